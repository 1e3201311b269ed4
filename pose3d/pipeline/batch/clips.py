"""Many clips, one after the other or several at once: what ``pose3d run`` does.

Every clip gets a folder of its own, ``<output>/<stem>/``, with ``pose.npz``, ``pose.json`` and
``<stem>.mp4`` (or what :class:`OutputOptions` says). What is there already is kept (see
:mod:`pose3d.pipeline.batch.state`), one bad clip does not stop the others, and the clips that are finished
stay when the run is interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pose3d.arguments import check_value, checked
from pose3d.errors import Pose3DError, UsageError, unknown_name
from pose3d.options import ENGINES, OutputOptions, RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.pipeline.batch.fleet import run_on_ray
from pose3d.pipeline.batch.one_clip import failed, kept, run_one
from pose3d.pipeline.batch.overview import (
    forget_failure,
    note_failure,
    write_run_list,
    write_summary,
)
from pose3d.pipeline.batch.shards import parse_shard, take_shard
from pose3d.pipeline.batch.state import Plan, folder_of, make_plan, options_for
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.pipeline.batch.workers import run_in_processes
from pose3d.pipeline.outputs import check_outputs, refuse_store
from pose3d.stores.folders import ask_all
from pose3d.stores.places import is_address, to_place
from pose3d.video.sources import Source

if TYPE_CHECKING:
    from pose3d.pipeline.estimate import Models


@checked
def run_batch(
    sources: Iterable[Source],
    options: RunOptions | None = None,
    outputs: OutputOptions | None = None,
    *,
    jobs: int | None = None,
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    watcher: Watcher | None = None,
    load: Callable[[RunOptions], Models] | None = None,
) -> list[Outcome]:
    """Works on clips and writes their results.

    Everything that can be checked is checked before the first frame. Ctrl-C (KeyboardInterrupt)
    passes through; what was finished stays and the same call goes on from there.

    Args:
        sources: from :func:`pose3d.video.sources.find_inputs`.
        jobs: clips worked on at once, each in a process of its own; None: one, or with Ray as many
            as its cluster has room for.
        shard: only a share of the clips, e.g. ``"3/16"``, see :func:`parse_shard`.
        engine: ``"local"`` or ``"ray"``: on a cluster, see :mod:`pose3d.pipeline.batch.fleet`.
        ray_address: of the cluster; None: as ``ray.init`` finds it, else Ray is started here.
        watcher: told how it gets on.
        load: makes the networks; for other processes a function that they can import;
            None: :func:`pose3d.pipeline.estimate.load_models`, which may fetch weights.

    Returns:
        One outcome per clip (of the share), in order. Errors of single clips are in them; those that concern all,
        such as missing weights, are raised.
    """
    sources = [check_value("sources", source, Source) for source in sources]
    options, outputs = options or RunOptions(), outputs or OutputOptions()
    watcher = watcher or Watcher()
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs is {jobs}", "Give a whole number from 1")
    check_outputs(outputs)
    _check_kinds(sources, options, outputs)
    _check_engine(engine, ray_address, sources)
    numbers = _take_share(sources, shard, watcher)
    if len(sources) > 1:
        write_run_list(sources, options, outputs)
    outcomes, waiting, needs_models = _look_at_all(sources, numbers, options, outputs, watcher)
    if needs_models and load is None and not options.offline:
        pipeline.fetch_weights(options, watcher.say)
    load = load or pipeline.load_models
    load_here = functools.lru_cache(maxsize=1)(load)

    def work(numbers: Iterable[int], *, jobs: int | None, needed: bool) -> None:
        tasks = {number: sources[number] for number in numbers}
        how: dict[str, Any] = {"watcher": watcher, "needed": needed}
        if engine == "ray" and tasks:
            how["address"] = ray_address
            found = run_on_ray(tasks, options, outputs, jobs=jobs, load=load, **how)
        elif jobs is not None and jobs > 1 and len(tasks) > 1:
            found = run_in_processes(tasks, options, outputs, jobs=jobs, load=load, **how)
        else:
            found = _run_here(tasks, options, outputs, load=load_here, **how)
        outcomes.update(found)

    work(waiting, jobs=jobs, needed=needs_models)
    # Once more: the other runs may have finished or stopped by now.
    busy = [number for number, outcome in outcomes.items() if outcome.status == "busy"]
    work(busy, jobs=None, needed=False)
    if len(sources) > 1:
        write_summary(to_place(outputs.output))
    return [outcomes[number] for number in numbers]


def _look_at_all(
    sources: Sequence[Source],
    numbers: Sequence[int],
    options: RunOptions,
    outputs: OutputOptions,
    watcher: Watcher,
) -> tuple[dict[int, Outcome], list[int], bool]:
    """Returns what is known before any work, the clips to work on, and whether they need networks."""
    outcomes: dict[int, Outcome] = {}
    waiting: list[int] = []
    needs_models = False
    looks = ask_all(
        lambda number: _look(sources[number], options, outputs),
        numbers,
        at_once=is_address(outputs.output) or any(source.is_remote for source in sources),
    )
    with contextlib.closing(looks):  # Ctrl-C: what was not asked yet is not asked
        for number, (outcome, plan) in zip(numbers, looks, strict=True):
            if outcome is not None:
                outcomes[number] = outcome
                watcher.finished(number, outcome)
            else:
                waiting.append(number)
                needs_models |= plan is not None and plan.estimate
    return outcomes, waiting, needs_models


def _run_here(
    tasks: dict[int, Source],
    options: RunOptions,
    outputs: OutputOptions,
    *,
    watcher: Watcher,
    load: Callable[[RunOptions], Models],
    needed: bool,
) -> dict[int, Outcome]:
    """Works on clips in this process, one after the other."""
    models = None
    if needed and tasks:
        began = time.perf_counter()
        models = load(options)
        watcher.loaded(models.infos, time.perf_counter() - began)
    return {
        number: run_one(
            number, source, options, outputs, models=models, watcher=watcher, load_models=load
        )
        for number, source in tasks.items()
    }


def _take_share(sources: Sequence[Source], shard: str | None, watcher: Watcher) -> list[int]:
    """Returns the numbers of the clips to work on, and says how many they are."""
    numbers = list(range(len(sources)))
    if shard is not None:
        which, count = parse_shard(shard)
        numbers = take_shard(sources, which, count)
        watcher.say(f"shard {which} of {count}: {len(numbers)} of {len(sources)} clips")
    watcher.planned(len(numbers))
    return numbers


def _check_kinds(sources: Sequence[Source], options: RunOptions, outputs: OutputOptions) -> None:
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
        refuse_store(outputs)


def _check_engine(engine: str, address: str | None, sources: Sequence[Source]) -> None:
    """Raises where clips cannot be handed to the engine."""
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if address is not None and engine != "ray":
        raise UsageError("--ray-address is for --engine ray", "Give both or none")
    if engine == "ray" and any(source.kind == "camera" for source in sources):
        raise UsageError("A camera is at this machine, not at the fleet's", "Leave out --engine")


def _look(
    source: Source, options: RunOptions, outputs: OutputOptions
) -> tuple[Outcome | None, Plan | None]:
    """Checks one clip before any is worked on: its outcome when there is nothing to do, or its plan.

    Opening a clip takes milliseconds, so all bad ones are known at once; those in stores are opened
    when they were copied.
    """
    folder = folder_of(source, outputs)
    options = options_for(source, options)
    try:
        plan = make_plan(source, options, outputs)
        if plan.is_done:
            forget_failure(folder)
            return kept(source, folder), None
        if plan.estimate and source.kind != "camera" and not source.is_remote:
            with pipeline.open_clip(source.path, options) as reader:
                pipeline.find_camera(reader, options)
    except Pose3DError as error:
        outcome = failed(source, folder, error)
        note_failure(outcome)
        return outcome, None
    return None, plan
