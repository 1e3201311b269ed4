"""How many clips an hour a fleet does, on a simulated one: its networks take their time, not cores.

A clip is run once with the real networks on one core. Workers then get the networks' recorded answers
after the recorded time, and do everything else themselves: so few cores stand for many.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from pose3d.errors import UsageError
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.pipeline.batch.workers import limit_threads
from pose3d.pipeline.estimate import Models
from pose3d.video.sources import find_inputs

CLIPS_EACH = 6
"""Clips that each worker gets."""
MILLION = 1_000_000
CLIP_S, CLIP_RATE = 10, 30
"""What a clip of a million is taken to be: seconds, and frames a second."""

_METHODS = {
    "detector": ("detect", "detect_near"),
    "estimator": ("estimate",),
    "lifter": ("lift_windows",),
}
_Tape: TypeAlias = list[tuple[Any, float]]
_Answers: TypeAlias = dict[str, dict[str, _Tape]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTime:
    """A fleet of so many workers."""

    workers: int
    clips: int
    start_s: float  # until the first clip began
    seconds: float  # from then to the end of the last clip
    clips_an_hour: float
    lost: float  # share of the workers' time in which they were not at work on a clip


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTimes:
    """What :func:`bench_batch` found."""

    video: str
    machine: str
    engine: str
    frames: int
    real_s: float  # a clip on one core with its networks
    networks_s: float  # of that in the networks
    alone_s: float  # a clip with recorded networks in a process of its own, nothing beside it
    fleets: tuple[FleetTime, ...]

    @property
    def million_core_hours(self) -> float:
        """Core hours of a million clips of CLIP_S at CLIP_RATE, with what the largest fleet lost."""
        seconds = self.real_s / self.frames * CLIP_S * CLIP_RATE
        return MILLION * seconds / 3600 / (1 - self.fleets[-1].lost)

    def to_json(self) -> str:
        values = {**asdict(self), "million_core_hours": self.million_core_hours}
        return json.dumps(values, indent=1)


def bench_batch(
    video: str | Path,
    options: RunOptions,
    *,
    engine: str = "local",
    address: str | None = None,
    workers: Sequence[int] = (1, 2, 4),
) -> FleetTimes:
    """Times fleets of one core a worker; results are written, nothing is drawn, nothing is kept."""
    if not workers or min(workers) < 1:
        raise UsageError("There are no workers to time", "Give numbers from 1, e.g. 1,2,4")
    options = replace(options, threads=1)
    with tempfile.TemporaryDirectory(prefix="pose3d-bench-") as folder:
        work = Path(folder)
        real_s, answers = _record(video, options, work / "real")
        load = partial(load_recorded, answers)

        def go(count: int, name: str, **how: Any) -> tuple[list[Outcome], _Clock]:
            clips = work / name
            clips.mkdir()
            for number in range(count):
                # No links: a clip that is named twice is taken once.
                shutil.copyfile(video, clips / f"{number}{Path(video).suffix}")
            clock = _Clock()
            outputs = OutputOptions(output=str(work / f"{name}-out"), render="none")
            sources = find_inputs([clips])
            found = run_batch(sources, options, outputs, load=load, watcher=clock, **how)
            for error in (outcome.error for outcome in found if outcome.error is not None):
                raise error
            return found, clock

        alone, _ = go(CLIPS_EACH, "alone")
        alone_s = sum(outcome.seconds for outcome in alone) / len(alone)
        fleets = []
        for count in workers:
            how: dict[str, Any] = {"jobs": count, "engine": engine, "ray_address": address}
            found, clock = go(CLIPS_EACH * count, f"fleet{count}", **how)
            fleets.append(
                FleetTime(
                    workers=count,
                    clips=len(found),
                    start_s=clock.start_s,
                    seconds=clock.seconds,
                    clips_an_hour=3600 * len(found) / clock.seconds,
                    lost=max(0.0, 1 - len(found) * alone_s / (count * clock.seconds)),
                )
            )
    return FleetTimes(
        video=str(video),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        engine=engine,
        frames=alone[0].frames or 0,
        real_s=real_s,
        networks_s=_seconds_in(answers),
        alone_s=alone_s,
        fleets=tuple(fleets),
    )


class _Clock(Watcher):
    """Notes when the first clip began and the last one ended."""

    def __init__(self) -> None:
        self._made = self._began = self._ended = time.perf_counter()
        self._first = True

    def started(self, number: int) -> None:
        if self._first:
            self._first, self._began = False, time.perf_counter()

    def finished(self, number: int, outcome: Outcome) -> None:
        self._ended = time.perf_counter()

    @property
    def start_s(self) -> float:
        return self._began - self._made

    @property
    def seconds(self) -> float:
        return self._ended - self._began


# -- networks that only take their time ------------------------------------------------------------


def _record(video: str | Path, options: RunOptions, out: Path) -> tuple[float, _Answers]:
    """Runs a clip on one core; returns its seconds and what its networks answered."""
    limit_threads(1)
    answers: _Answers = {
        part: {method: [] for method in methods} for part, methods in _METHODS.items()
    }
    models = _wrap(pipeline.load_models(options), partial(_recording, answers))
    seconds = 0.0
    for overwrite in (False, True):  # the first clip of a process also pays for what it imports
        for part in answers.values():
            for taped in part.values():
                taped.clear()
        outputs = OutputOptions(output=str(out), render="none", overwrite=overwrite)
        (outcome,) = run_batch(find_inputs([video]), options, outputs, load=lambda _: models)
        if outcome.error is not None:
            raise outcome.error
        seconds = outcome.seconds
    return seconds, answers


def _seconds_in(answers: _Answers) -> float:
    return sum(s for part in answers.values() for taped in part.values() for _, s in taped)


def load_recorded(answers: _Answers, options: RunOptions) -> Models:
    """Loads the networks, whose answers then are the recorded ones, after the time that they took."""
    return _wrap(pipeline.load_models(options), partial(_replaying, answers))


def _wrap(models: Models, how: Callable[[Any, str], Any]) -> Models:
    return Models(**{part: how(getattr(models, part), part) for part in _METHODS})


class _Stand:
    """A network some of whose methods are others."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _recording(answers: _Answers, model: Any, part: str) -> Any:
    stand = _Stand(model)
    for method, taped in answers[part].items():
        if hasattr(model, method):
            setattr(stand, method, partial(_recorded, getattr(model, method), taped))
    return stand


def _recorded(ask: Callable[..., Any], taped: _Tape, *args: Any, **how: Any) -> Any:
    began = time.perf_counter()
    answer = ask(*args, **how)
    taped.append((answer, time.perf_counter() - began))
    return answer


def _replaying(answers: _Answers, model: Any, part: str) -> Any:
    stand = _Stand(model)
    for method, taped in answers[part].items():
        if taped:  # clip after clip: each asks the same again
            setattr(stand, method, partial(_replayed, itertools.cycle(taped)))
    return stand


def _replayed(taped: Any, *_: Any, **__: Any) -> Any:
    answer, seconds = next(taped)
    time.sleep(seconds)
    return answer
