"""How long a lifter takes for the newest frame of everybody, as :func:`pose3d.stream` asks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from pose3d.device import torch_threads
from pose3d.lab.benchmarks.keypoints import run_in_turn
from pose3d.lift.lifter import Lifter
from pose3d.lift.sequence import lift_ends, list_lifters, make_lifter

SIZE_WH, FOCAL_PX = (1280, 720), 1024.0


def bench_live(
    names: Sequence[str] = (),
    *,
    people: Sequence[int] = (1, 2, 4, 8),
    repeat: int = 15,
    device: str = "auto",
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Times every lifter for every number of people, with and without the flip test.

    All run in turn, so that what else the machine does meets them alike; the first turn is left out.

    Args:
        names: lifters; empty: all weights of pose3d.
        people: in the picture, each with a full window of past.
        repeat: turns; the median counts.
        device: see :func:`pose3d.lift.sequence.make_lifter`.
        threads: CPU threads; None: all cores.

    Returns:
        JSON values for each lifter: ``name``, ``frames`` (window), ``device``, ``ms`` and
        ``ms_no_flip`` by the number of people (as text): milliseconds a picture, everybody in it.

    Raises:
        UsageError: there is no lifter of that name.
        WeightsError: its weights are missing.
        DeviceError: the device is not there.
    """
    names = names or [n for n in list_lifters() if "." in n]
    with torch_threads(threads):
        lifters = {name: make_lifter(name, device=device) for name in names}
        jobs: dict[tuple[str, bool, int], Callable[[], Any]] = {
            (name, flip, n): _asking(lifter, n, flip)
            for name, lifter in lifters.items()
            for flip in (True, False)
            for n in people
        }
        times = run_in_turn(jobs, repeat)

    def column(name: str, flip: bool) -> dict[str, float]:
        return {str(n): median(wall for wall, _ in times[name, flip, n]) for n in people}

    return [
        {
            "name": name,
            "frames": lifter.frames,
            "device": lifter.info.device,
            "ms": column(name, True),
            "ms_no_flip": column(name, False),
        }
        for name, lifter in lifters.items()
    ]


def _asking(lifter: Lifter, people: int, flip_test: bool) -> Callable[[], Any]:
    """Returns a call that lifts the newest frame of people who move in some way."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(people, lifter.frames, 17, 2)).cumsum(1) * 3
    points = rng.uniform((300, 100), (700, 600), (people, 1, 17, 2)) + steps
    past = np.concatenate([points, np.full((*points.shape[:3], 1), 0.9)], -1).astype(np.float32)
    return lambda: lift_ends(list(past), lifter, SIZE_WH, FOCAL_PX, flip_test=flip_test)
