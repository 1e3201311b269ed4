"""Where the time of a run goes."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.options import OutputOptions, RunOptions
from pose3d.result.record import PoseSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One row of the table."""

    stage: str
    seconds: float
    peak_mb: float | None  # of the process so far; None: the system does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """Times of one run."""

    video: str
    frames: int
    people: int  # found
    size_wh: tuple[int, int]
    machine: str  # processor and cores
    stages: tuple[StageTime, ...]
    first_pass_s: float  # decode, detect, follow, 2D
    chain_s: float  # whole chain with all outputs, without start-up
    inference_s: float  # inside the 2D networks
    changes: tuple[str, ...] = ()  # in what the lifter differs from its weights

    @property
    def ratio(self) -> float:
        """Whole chain over 2D inference alone."""
        return self.chain_s / self.inference_s if self.inference_s else float("nan")

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "ratio": self.ratio}, indent=1)


class TimedModel:
    """A detector or estimator that adds the seconds of its calls to ``seconds[name]``; otherwise it is
    the model itself."""

    def __init__(
        self, model: Any, seconds: dict[str, float], name: str, methods: tuple[str, ...]
    ) -> None:
        self._model = model
        for method in methods:
            if hasattr(model, method):
                setattr(self, method, _timed(getattr(model, method), seconds, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _timed(function: Callable[..., Any], seconds: dict[str, float], name: str) -> Any:
    def call(*args: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args)
        finally:
            seconds[name] += time.perf_counter() - began

    return call


def bench_run(
    video: str | Path,
    options: RunOptions | None = None,
    *,
    render: str = "side-by-side",
) -> RunTimes:
    """Runs the whole chain on a clip, with all outputs into a temporary folder, and times it."""
    options = options or RunOptions()
    began = time.perf_counter()
    from pose3d.networks2d.one_stage import OnePass
    from pose3d.pipeline import estimate as pipeline
    from pose3d.render.video import Renderer, render_video
    from pose3d.result import record as export

    models = pipeline.load_models(options)
    if render != "none":
        Renderer(_empty_pose(), mode=render)  # what painting imports is no part of a frame's time
    stages: list[StageTime] = []

    def note(stage: str, seconds: float) -> None:
        stages.append(StageTime(stage=stage, seconds=seconds, peak_mb=peak_memory_mb()))

    note("start-up", time.perf_counter() - began)
    spent = {"detect": 0.0, "keypoints": 0.0}
    searches = ("detect", "detect_near")
    timed = replace(
        models,
        detector=TimedModel(models.detector, spent, "detect", searches),
        estimator=TimedModel(models.estimator, spent, "keypoints", ("estimate",)),
    )
    if isinstance(models.estimator, OnePass):
        # It is the one network that counts, in batches; giving out what it found is tracking.
        network: Any = TimedModel(models.estimator.network, spent, "keypoints", ("find_people",))
        one = OnePass(network)
        timed = replace(models, detector=one, estimator=one)

    @contextmanager
    def measure(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        note(stage, time.perf_counter() - began)

    with tempfile.TemporaryDirectory(prefix="pose3d-bench-") as folder:
        chain_began = time.perf_counter()
        tracked = pipeline.track(video, options, timed)
        first_pass_s = time.perf_counter() - chain_began
        inference_s = sum(spent.values())
        rest_s = first_pass_s - inference_s
        for stage, seconds in {**spent, "track, wait for decoding": rest_s}.items():
            note(stage, seconds)
        with measure("clean, lift, smooth, place"):
            pose = pipeline.lift_keypoints(tracked, options, models=models)
        with measure("files"):
            for name in OutputOptions().format:
                export.save(pose, Path(folder) / f"pose.{name}")
        if render != "none":
            with measure("decode, draw, encode"):
                render_video(pose, video, Path(folder) / "drawing.mp4", mode=render)
        chain_s = time.perf_counter() - chain_began
    return RunTimes(
        video=str(video),
        frames=pose.n_frames,
        people=pose.n_people,
        size_wh=pose.video.size_wh,
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        stages=tuple(stages),
        first_pass_s=first_pass_s,
        chain_s=chain_s,
        inference_s=inference_s,
        changes=models.lifter.info.changes,
    )


def _empty_pose() -> PoseSequence:
    """Returns a record of one frame without people."""
    from pose3d.body.skeletons import H36M17
    from pose3d.lab.evaluation.tracks import single_person

    one = single_person("", np.zeros((1, 17, 2)), np.zeros((1, 17)), H36M17, (64, 64), 30.0)
    return replace(one, joints_cam_m=np.zeros((len(one.frame), 17, 3), np.float32)).select_people(
        []
    )


def peak_memory_mb() -> float | None:
    """Returns the greatest resident memory of this process so far in MB; None on Windows."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":
        # getrusage would count the memory of the process that started this one as well.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
        if match is not None:
            return int(match[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


# -- start-up --------------------------------------------------------------------------------------


def bench_startup(*, repeat: int = 5, lifter: str | None = None) -> dict[str, float]:
    """Returns seconds that a user waits for besides frames, medians of fresh processes."""
    from pose3d.video.writer import write_video

    python = [sys.executable, "-m", "pose3d"]
    times = {
        "pose3d --help": _median([*python, "--help"], repeat),
        "import pose3d": _median([sys.executable, "-c", "import pose3d"], repeat),
    }
    with tempfile.TemporaryDirectory(prefix="pose3d-bench-") as folder:
        clip = Path(folder) / "one.mp4"
        with write_video(clip, (1280, 720)) as writer:
            writer.write(np.full((720, 1280, 3), 90, np.uint8), 0.0)
        command = [*python, "run", str(clip), "-o", str(Path(folder) / "out"), "--overwrite"]
        command += ["--quiet", "--offline", *(["--lifter", lifter] if lifter else [])]
        times["run on one frame"] = _median(command, max(1, repeat // 2))
    return times


def _median(command: list[str], repeat: int) -> float:
    """Returns the median wall time of a command in seconds."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
