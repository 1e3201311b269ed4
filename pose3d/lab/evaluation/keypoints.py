"""2D networks against the exact truth of ``samples/``: errors, people missed, cost.

Every picture by itself, without tracking. All estimators get the same people.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pose3d.body.skeletons import H36M17, LIMBS
from pose3d.errors import DataError, Pose3DError, UsageError
from pose3d.lab.evaluation.compare import limb_columns
from pose3d.lab.evaluation.samples import (
    Truth,
    box_overlap,
    find_clips,
    load_truth,
    match_pairs,
    truth_path,
)
from pose3d.lab.evaluation.tables import OnStep, figures_table, make_table, tell_each, words
from pose3d.networks2d.interfaces import Detections, Detector, Keypoints
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.parts.installed import in_words, list_names
from pose3d.tracking.tracker import MIN_PRESENCE
from pose3d.video.picture import Image
from pose3d.video.reader import open_video

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]
T = TypeVar("T")

TRUE_BOXES = "truth"  # stands for a detector that makes no mistakes
NEAR = 0.25  # of a person's height, how far a detector's box may be away


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointOptions:
    """What is measured and how."""

    keypoints: tuple[str, ...] = ()  # estimators; empty: all that can run here
    detector: str = "blazepose"  # whose people they get; "truth": the true boxes
    every: int = 5  # take every n-th frame
    device: str = "auto"
    threads: int | None = None  # of each network; None: all cores

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"--every is {self.every}", "Give a whole number from 1")


@dataclass(slots=True)
class Tally:
    """What is counted of one model over all frames."""

    true_people: int = 0
    found: int = 0
    extra: int = 0  # where nobody is, or somebody a second time
    frames: int = 0
    # (12,) of each found person, over the standing height at the person's depth
    errors_pct: list[Array] = field(default_factory=list)
    # of each call: ms by the clock, ms of the processor, people
    costs: list[tuple[float, float, int]] = field(default_factory=list)

    def measure(self, call: Callable[[], T], people: Callable[[T], int] = lambda _: 1) -> T:
        """Returns what ``call`` returns and notes what it took, unless nobody is in the answer."""
        wall, cpu = time.perf_counter(), time.process_time()
        answer = call()
        took = 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)
        if n := people(answer):
            self.costs.append((*took, n))
        return answer

    def count(self, matched: int, n_true: int, n_found: int) -> None:
        self.true_people += n_true
        self.found += matched
        self.extra += n_found - matched
        self.frames += 1

    def row(self) -> dict[str, Any]:
        return {
            "true_people": self.true_people,
            "found": self.found,
            "missed": self.true_people - self.found,
            "missed_share": 1 - self.found / self.true_people if self.true_people else math.nan,
            "extra": self.extra,
            "extra_per_frame": self.extra / self.frames if self.frames else math.nan,
            "ms_frame": _median([wall for wall, _, _ in self.costs]),
            "cpu_ms_frame": _median([cpu for _, cpu, _ in self.costs]),
        }

    def estimator_row(self) -> dict[str, Any]:
        """Returns :meth:`row`, what a person costs, and errors of all limb joints and of each."""
        errors = np.stack(self.errors_pct) if self.errors_pct else np.empty((0, len(LIMBS)))
        return {
            **self.row(),
            **_spread(errors),
            "joints": {name: _spread(errors[:, i]) for i, name in enumerate(LIMBS)},
            "ms_person": _median([wall / n for wall, _, n in self.costs]),
            "cpu_ms_person": _median([cpu / n for _, cpu, n in self.costs]),
        }


def _median(values: Sequence[float] | Array) -> float | None:
    return float(np.median(values)) if len(values) else None


def _spread(errors: Array) -> dict[str, float | None]:
    p90 = float(np.percentile(errors, 90)) if len(errors) else None
    return {"median_pct": _median(errors), "p90_pct": p90}


def evaluate_keypoints(
    folder: Path, options: KeypointOptions | None = None, *, on_step: OnStep | None = None
) -> dict[str, Any]:
    """Measures estimators, and every detector that can run here, on clips with truth.

    Returns JSON values. ``estimators`` and ``detectors``: one row each, with ``missed`` and ``extra``
    people and median milliseconds (``cpu_ms``: of the processor, all threads added up); estimators also
    ``median_pct``, ``p90_pct`` and ``joints``. ``skipped``: what cannot run here and why.
    """
    options = options or KeypointOptions()
    clips = find_clips(folder)
    where: dict[str, Any] = {"device": options.device, "threads": options.threads}
    estimators, skipped = load_parts("keypoints", options.keypoints, make_keypoints, where)
    detectors, without = load_parts("detector", (), make_detector, where)
    source = None
    if options.detector != TRUE_BOXES:
        source = detectors.get(options.detector) or make_detector(options.detector, **where)
    counts = {name: Tally() for name in estimators}
    found = {name: Tally() for name in detectors}
    for clip in tell_each(clips, lambda c: c.stem, on_step):
        for image, people in _frames(clip, options.every):
            for name, detector in detectors.items():
                _try_detector(found[name], detector, image, people)
            given = source.detect(image) if source is not None else people.as_detections()
            for name, estimator in estimators.items():
                _try_estimator(counts[name], estimator, image, given, people)
    return {
        "clips": [clip.stem for clip in clips],
        "every": options.every,
        "people_from": options.detector,
        "estimators": [
            {
                "name": name,
                "skeleton": e.skeleton.name,
                "licence": e.info.licence,
                "weights": list(e.info.weights),
                "device": e.info.device,
                "people_from": "itself" if isinstance(e, Detector) else options.detector,
                **counts[name].estimator_row(),
            }
            for name, e in estimators.items()
        ],
        "detectors": [
            {"name": n, "licence": d.info.licence, **found[n].row()} for n, d in detectors.items()
        ],
        "skipped": [*skipped, *without],
    }


def load_parts(
    kind: str, names: Sequence[str], make: Callable[..., Any], where: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Returns the parts that were named, or all that can run here, by name; and those left out.

    ``names`` empty: all that can run here. Weights are fetched for named ones only.
    """
    made = {name: make(name, **where) for name in names}
    skipped = []
    for name in () if names else list_names(kind):
        try:
            made[name] = make(name, offline=True, **where)
        except Pose3DError as error:
            lacks = in_words(error, named=False)
            skipped.append({"kind": kind, "name": name, "lacks": lacks, "todo": error.todo})
    if kind == "keypoints":
        for name, model in made.items():
            lacking = [joint for joint in LIMBS if joint not in model.skeleton.index]
            if lacking:
                raise UsageError(f"Estimator {name} has no {lacking[0]}", "Name other --keypoints")
    return made, skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class _People:
    """The visible people of one frame: boxes, limb joints and how tall they look, pixels."""

    boxes_xyxy_px: Array
    limbs_px: Array
    height_px: Array

    def as_detections(self) -> Detections:
        boxes = self.boxes_xyxy_px.astype(np.float32)
        return Detections(boxes_xyxy_px=boxes, score=np.ones(len(boxes), np.float32))


def _frames(clip: Path, every: int) -> Iterator[tuple[Image, _People]]:
    truth = load_truth(truth_path(clip))
    with open_video(clip) as reader:
        for frame in reader:
            if frame.index >= len(truth.visible):
                raise DataError(f"{clip} has more frames than its truth", "Fetch it again")
            if frame.index % every == 0:
                yield frame.image, _people_of(truth, frame.index)


def _people_of(truth: Truth, frame: int) -> _People:
    seen = truth.visible[frame]
    depth_m = truth.joints_cam_m[frame, seen, 0, 2]
    return _People(
        boxes_xyxy_px=truth.boxes_xyxy_px[frame, seen],
        limbs_px=truth.keypoints_px[frame, seen][:, limb_columns(H36M17)],
        height_px=truth.focal_px * truth.height_m[seen] / depth_m,
    )


def _try_detector(tally: Tally, detector: Detector, image: Image, people: _People) -> None:
    if not tally.frames:  # what is set up at the first call is no part of a frame's time
        detector.detect(image)
    found = tally.measure(lambda: detector.detect(image))
    rows = match_places(people.boxes_xyxy_px, found.boxes_xyxy_px)
    tally.count(len(rows), len(people.height_px), len(found))


def _try_estimator(
    tally: Tally, estimator: Any, image: Image, given: Detections, people: _People
) -> None:
    def look(image: Image = image) -> Keypoints:
        # One that finds people itself has its own answer, and finding them is part of its time.
        asked = estimator.detect(image) if isinstance(estimator, Detector) else given
        answer: Keypoints = estimator.estimate(image, asked)
        return answer

    if not tally.frames:
        look(image.copy())  # a copy, for the answer to a picture may be remembered
    answer = tally.measure(look, len)
    sure = np.asarray(answer.presence) >= MIN_PRESENCE
    points = np.asarray(answer.keypoints_px, np.float64)[sure][:, limb_columns(estimator.skeleton)]
    pairs = match_boxes(_boxes_around(people.limbs_px), _boxes_around(points))
    tally.count(len(pairs), len(people.height_px), len(points))
    for row, column in pairs:
        distance = np.linalg.norm(points[column] - people.limbs_px[row], axis=-1)
        tally.errors_pct.append(100 * distance / people.height_px[row])


def _boxes_around(points: Array) -> Array:
    """Returns ``(n, 4)`` boxes around points ``(n, joint, 2)``."""
    if not len(points):
        return np.zeros((0, 4))
    return np.concatenate((points.min(1), points.max(1)), -1)


def match_boxes(true_boxes: Array, boxes: Array) -> list[tuple[int, int]]:
    """Pairs true with found people by the overlap of their boxes; returns positions in both."""
    seen = np.ones((1, len(true_boxes)), bool)
    return match_pairs(box_overlap(true_boxes[None], np.asarray(boxes, np.float64)[None], seen)[0])


def match_places(true_boxes: Array, boxes: Array) -> list[int]:
    """Returns positions of the true people that a detector found, each box used at most once.

    Overlap would be unfair: BlazePose gives squares, others tight boxes. A box counts when its centre is
    within :data:`NEAR` of the true height from the true centre and it is half to twice as high.
    """
    centres, true_centres = (b[:, :2] + b[:, 2:] for b in (boxes, true_boxes))
    heights, true_heights = (b[:, 3] - b[:, 1] for b in (boxes, true_boxes))
    shift = np.linalg.norm(true_centres[:, None] - centres, axis=-1) / 2 / true_heights[:, None]
    times = heights / true_heights[:, None]
    fits = (shift <= NEAR) & (times >= 0.5) & (times <= 2)
    gain = np.where(fits, 1 - shift, 0.0)
    return [int(r) for r, c in zip(*linear_sum_assignment(-gain), strict=True) if fits[r, c]]


# -- tables ------------------------------------------------------------------------------------


_SHOWN = {
    "missed": "{missed} of {true_people}",
    "missed %": "{missed_share:.1%}",
    "extra": "{extra}",
    "ms a frame": "{ms_frame:.1f}",
}


def keypoints_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the results of :func:`evaluate_keypoints` as tables, without empty ones."""
    estimators, source = results["estimators"], results["people_from"]
    people = "true boxes" if source == TRUE_BOXES else f"people found by {source}"
    errors = figures_table(
        f"2D keypoints against exact truth, {people}; % of the person's height, 12 limb joints",
        {
            "estimator": "{name}",
            "people of": "{people_from}",
            "median %": "{median_pct:.2f}",
            "90th pct. %": "{p90_pct:.2f}",
            **_SHOWN,
            "ms a person": "{ms_person:.1f}",
            "CPU ms a person": "{cpu_ms_person:.1f}",
        },
        estimators,
    )
    form = "{median_pct:.2f} ({p90_pct:.2f})"
    joints = make_table(
        "Each joint: median (90th percentile), % of the person's height",
        ["joint", *(row["name"] for row in estimators)],
        (
            [joint.replace("_", " "), *(words(form, row["joints"][joint]) for row in estimators)]
            for joint in (LIMBS if estimators else ())
        ),
    )
    columns = {"detector": "{name}", **_SHOWN, "CPU ms a frame": "{cpu_ms_frame:.1f}"}
    found = figures_table("Detectors on the same frames", columns, results["detectors"])
    return [table for table in (errors, joints, found) if table.row_count]
