"""How long 2D networks take: estimators by the number of people, detectors by the picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

from pose3d.errors import VideoError
from pose3d.lab.evaluation.keypoints import load_parts
from pose3d.networks2d.interfaces import Detections, Detector
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.video.picture import Image
from pose3d.video.reader import open_video

PICTURE_WH = (1280, 720)

Key = TypeVar("Key", bound=Hashable)


def bench_keypoints(
    video: str | Path | None = None,
    *,
    names: Sequence[str] = (),
    people: Sequence[int] = (1, 4, 16),
    repeat: int = 7,
    device: str = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """Times every estimator and detector that can run here.

    All run in turn, so that what else the machine does meets them alike; the first turn is left out.

    Args:
        video: its first picture is taken; None: a drawn one. What is in the boxes does not change how
            long an estimator takes.
        names: estimators; empty: all that can run here.
        people: boxes in the picture, upright and two thirds as high as it.
        repeat: turns; the median counts.
        device: see :func:`pose3d.networks2d.loading.make_keypoints`.
        threads: CPU threads of each network; None: all cores.

    Returns:
        JSON values: ``estimators`` with ``ms_person`` and ``cpu_ms_person`` by the number of people
        (as text), ``detectors`` with ``ms_frame`` and ``cpu_ms_frame``, and what was ``skipped``.
        Estimators that find people themselves are timed on the whole picture: their ``ms_person``
        is that of a picture, whoever is in it.

    Raises:
        UsageError: there is no estimator of that name.
        VideoError: the clip cannot be read.
        MissingExtraError, WeightsError: an estimator that was named cannot run here.
    """
    where: dict[str, Any] = {"device": device, "threads": threads}
    estimators, skipped = load_parts("keypoints", names, make_keypoints, where)
    detectors, without = load_parts("detector", (), make_detector, where)
    image = draw_picture() if video is None else _first_picture(video)
    jobs: dict[tuple[str, str, int], Callable[[], Any]] = {}
    for name, estimator in estimators.items():
        for n in people:
            jobs["estimator", name, n] = _estimating(estimator, image, n)
    for name, detector in detectors.items():
        jobs["detector", name, 1] = _detecting(detector, image)
    times = run_in_turn(jobs, repeat)

    def mid(kind: str, name: str, n: int, clock: int) -> float:
        took = median(t[clock] for t in times[kind, name, n])
        alone = kind == "estimator" and isinstance(estimators[name], Detector)
        return took if alone else took / n

    return {
        "size_wh": [image.shape[1], image.shape[0]],
        "repeat": repeat,
        "threads": threads,
        "estimators": [
            {
                "name": name,
                "device": e.info.device,
                "finds_people": isinstance(e, Detector),
                "ms_person": {str(n): mid("estimator", name, n, 0) for n in people},
                "cpu_ms_person": {str(n): mid("estimator", name, n, 1) for n in people},
            }
            for name, e in estimators.items()
        ],
        "detectors": [
            {
                "name": name,
                "device": d.info.device,
                "ms_frame": mid("detector", name, 1, 0),
                "cpu_ms_frame": mid("detector", name, 1, 1),
            }
            for name, d in detectors.items()
        ],
        "skipped": [
            {"kind": a.kind, "name": a.name, "lacks": a.lacks, "todo": a.todo}
            for a in (*skipped, *without)
        ],
    }


def draw_picture() -> Image:
    """Returns a smooth picture of :data:`PICTURE_WH`, the same every time, with nobody in it."""
    width, height = PICTURE_WH
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack((200 * x, 180 * y, 220 * (1 - x * y)), -1).astype(np.uint8)


def place_boxes(size_wh: tuple[int, int], n: int) -> Detections:
    """Returns n people side by side, upright, two thirds as high as the picture."""
    width, height = size_wh
    tall, wide = height * 2 / 3, height * 2 / 9
    left = np.linspace(0, max(0.0, width - wide), n)
    low = np.full(n, (height - tall) / 2)
    boxes = np.stack((left, low, left + wide, low + tall), -1).astype(np.float32)
    return Detections(boxes_xyxy_px=boxes, score=np.ones(n, np.float32))


def _first_picture(video: str | Path) -> Image:
    with open_video(video) as reader:
        for frame in reader:
            return frame.image
    raise VideoError(f"{video} has no picture", "Give another clip")


def _estimating(estimator: Any, image: Image, n: int) -> Callable[[], Any]:
    given = place_boxes((image.shape[1], image.shape[0]), n)
    if isinstance(estimator, Detector):
        # A copy each time: the answer for the same picture is remembered.
        return lambda: estimator.detect(image.copy())
    return lambda: estimator.estimate(image, given)


def _detecting(detector: Detector, image: Image) -> Callable[[], Any]:
    return lambda: detector.detect(image.copy())


def run_in_turn(
    jobs: Mapping[Key, Callable[[], Any]], repeat: int
) -> dict[Key, list[tuple[float, float]]]:
    """Returns milliseconds of each turn of each job: by the clock, and of the processor.

    Args:
        jobs: what to call, by any key.
        repeat: turns, after a first one that is left out.
    """
    times: dict[Key, list[tuple[float, float]]] = {key: [] for key in jobs}
    for turn in range(repeat + 1):
        for key, job in jobs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            job()
            took = time.perf_counter() - wall, time.process_time() - cpu
            if turn:
                times[key].append((1000 * took[0], 1000 * took[1]))
    return times
