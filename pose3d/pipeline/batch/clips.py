"""Many clips, one after the other or several at once: what ``pose3d run`` does.

Every clip gets a folder of its own, ``<output>/<stem>/``, with ``pose.npz``, ``pose.json`` and
``<stem>.mp4`` (or what :class:`OutputOptions` says). What is there already is kept (see
:mod:`pose3d.pipeline.batch.state`), one bad clip does not stop the others, and the clips that are finished
stay when the run is interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pose3d.arguments import check_value, checked
from pose3d.errors import Pose3DError, UsageError
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.pipeline.batch.one_clip import failed, kept, run_one
from pose3d.pipeline.batch.overview import (
    forget_failure,
    note_failure,
    write_run_list,
    write_summary,
)
from pose3d.pipeline.batch.shards import parse_shard, take_shard
from pose3d.pipeline.batch.state import Plan, make_plan, options_for
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.pipeline.batch.workers import run_in_processes
from pose3d.pipeline.outputs import check_outputs
from pose3d.video.sources import Source

if TYPE_CHECKING:
    from pose3d.pipeline.estimate import Models


@checked
def run_batch(
    sources: Iterable[Source],
    options: RunOptions | None = None,
    outputs: OutputOptions | None = None,
    *,
    jobs: int = 1,
    shard: str | None = None,
    watcher: Watcher | None = None,
    load: Callable[[RunOptions], Models] | None = None,
) -> list[Outcome]:
    """Works on clips and writes their results.

    Everything that can be checked is checked before the first frame. Ctrl-C (KeyboardInterrupt)
    passes through; what was finished stays and the same call goes on from there.

    Args:
        sources: from :func:`pose3d.video.sources.find_inputs`.
        jobs: clips worked on at once, each in a process of its own.
        shard: only a share of the clips, e.g. ``"3/16"``, see :func:`parse_shard`.
        watcher: told how it gets on.
        load: makes the networks; with ``jobs`` above 1 a function that other processes can import;
            None: :func:`pose3d.pipeline.estimate.load_models`, which may fetch weights.

    Returns:
        One outcome per clip (of the share), in order. Errors of single clips are in them; those that concern all,
        such as missing weights, are raised.
    """
    sources = [check_value("sources", source, Source) for source in sources]
    options, outputs = options or RunOptions(), outputs or OutputOptions()
    watcher = watcher or Watcher()
    if jobs < 1:
        raise UsageError(f"--jobs is {jobs}", "Give a whole number from 1")
    check_outputs(outputs)
    _check_kinds(sources, options)
    numbers = _take_share(sources, shard, watcher)
    if len(sources) > 1:
        write_run_list(sources, options, outputs)
    outcomes: dict[int, Outcome] = {}
    waiting: list[int] = []
    needs_models = False
    for number in numbers:
        outcome, plan = _look(sources[number], options, outputs)
        if outcome is not None:
            outcomes[number] = outcome
            watcher.finished(number, outcome)
        else:
            waiting.append(number)
            needs_models |= plan is not None and plan.estimate
    if needs_models and load is None and not options.offline:
        pipeline.fetch_weights(options, watcher.say)
    load = load or pipeline.load_models
    models = None
    if jobs > 1 and len(waiting) > 1:
        tasks = {number: sources[number] for number in waiting}
        outcomes |= run_in_processes(
            tasks, options, outputs, jobs=jobs, watcher=watcher, load=load, needed=needs_models
        )
        waiting = []
    elif needs_models:
        models = _load(options, load, watcher)

    def work(numbers: Iterable[int]) -> None:
        for number in numbers:
            outcomes[number] = run_one(
                number,
                sources[number],
                options,
                outputs,
                models=models,
                watcher=watcher,
                load_models=load,
            )

    work(waiting)
    # Once more: the other runs may have finished or stopped by now.
    work([number for number, outcome in outcomes.items() if outcome.status == "busy"])
    if len(sources) > 1:
        write_summary(Path(outputs.output))
    return [outcomes[number] for number in numbers]


def _load(options: RunOptions, load: Callable[[RunOptions], Models], watcher: Watcher) -> Models:
    began = time.perf_counter()
    models = load(options)
    watcher.loaded(models.infos, time.perf_counter() - began)
    return models


def _take_share(sources: Sequence[Source], shard: str | None, watcher: Watcher) -> list[int]:
    """Returns the numbers of the clips to work on, and says how many they are."""
    numbers = list(range(len(sources)))
    if shard is not None:
        which, count = parse_shard(shard)
        numbers = take_shard(sources, which, count)
        watcher.say(f"shard {which} of {count}: {len(numbers)} of {len(sources)} clips")
    watcher.planned(len(numbers))
    return numbers


def _check_kinds(sources: Sequence[Source], options: RunOptions) -> None:
    """Raises where options are for another kind of clips than these."""
    kinds = {source.kind for source in sources}
    if options.rate is not None and "images" not in kinds:
        raise UsageError(
            "--rate is for folders of images, and there is none among the inputs",
            "Leave it out: videos and cameras have their own",
        )
    if options.stream is not None and "file" not in kinds:
        raise UsageError(
            "--stream is for video files, and there is none among the inputs", "Leave it out"
        )
    for camera in (source for source in sources if source.kind == "camera"):
        if options.duration is None:
            raise UsageError(f"Camera {camera.path} has no end", "Give --duration in seconds")
        if options.start is not None or options.end is not None:
            raise UsageError("A camera has no start or end", "Give --duration in seconds")


def _look(
    source: Source, options: RunOptions, outputs: OutputOptions
) -> tuple[Outcome | None, Plan | None]:
    """Checks one clip before any is worked on: its outcome when there is nothing to do, or its plan.

    Opening a clip takes milliseconds, so all bad ones are known at once.
    """
    folder = Path(outputs.output) / source.stem
    options = options_for(source, options)
    try:
        plan = make_plan(source, options, outputs)
        if plan.is_done:
            forget_failure(folder)
            return kept(source, folder), None
        if plan.estimate and source.kind != "camera":
            with pipeline.open_clip(source.path, options) as reader:
                pipeline.find_camera(reader, options)
    except Pose3DError as error:
        outcome = failed(source, folder, error)
        note_failure(outcome)
        return outcome, None
    return None, plan
