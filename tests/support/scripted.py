"""A scripted clip: who is where and who hides whom is known.

Its detector and estimator see only what is visible, so that every decision of a tracker can be
compared with what truly happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from pose3d.body.skeletons import COCO17
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.tracking.clip import collect_tracks
from pose3d.tracking.tracker import Tracker
from pose3d.video.reader import VideoFrame
from pose3d.weights.info import ModelInfo
from tests.support.grids import grid

SIZE_WH = (960, 540)
INFO = ModelInfo(name="scripted", licence="CC0-1.0")

BODY = np.array(
    # nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; the whole is 1 high
    [[0, -0.45], [0.02, -0.47], [-0.02, -0.47], [0.04, -0.46], [-0.04, -0.46], [0.1, -0.3]]
    + [[-0.1, -0.3], [0.13, -0.15], [-0.13, -0.15], [0.14, 0], [-0.14, 0], [0.07, 0.02]]
    + [[-0.07, 0.02], [0.07, 0.25], [-0.07, 0.25], [0.07, 0.5], [-0.07, 0.5]]
)


@dataclass(frozen=True)
class Actor:
    """A scripted person.

    Args:
        path: time in seconds -> centre in pixels, or None while out of the picture.
        height: pixels.
        colour: of the trunk, RGB.
        hidden: ``[start, end)`` seconds behind something.
        score: what the detector gives.
        presence: what the estimator gives.
    """

    path: Callable[[float], tuple[float, float] | None]
    height: float = 200
    colour: tuple[int, int, int] = (200, 40, 40)
    hidden: tuple[float, float] = (0, 0)
    score: float = 0.95
    presence: float = 0.99

    def pose(self, t: float) -> np.ndarray | None:
        """Returns the keypoints, ``(17, 2)``, walking; None when not in the picture."""
        centre = self.path(t)
        if centre is None:
            return None
        stride = np.zeros((17, 2))
        stride[[13, 15], 0], stride[[14, 16], 0] = 0.1 * np.sin(6 * t), -0.1 * np.sin(6 * t)
        return np.asarray((BODY + stride) * self.height + centre)

    def seen(self, t: float) -> np.ndarray | None:
        return None if self.hidden[0] <= t < self.hidden[1] else self.pose(t)


@dataclass
class World:
    """The scripted clip, its detector and its estimator.

    Args:
        actors: the people (and the mistakes) in it.
        seconds: length.
        rate: frames per second.
        boxes_per_person: how often the detector reports everybody.
    """

    actors: list[Actor]
    seconds: float
    rate: int = 30
    boxes_per_person: int = 1
    info: ModelInfo = INFO
    skeleton: object = COCO17
    now: float = 0.0
    looks: int = 0
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def frames(self) -> Iterator[VideoFrame]:
        for index in range(round(self.seconds * self.rate)):
            self.now = index / self.rate
            image = np.full((SIZE_WH[1], SIZE_WH[0], 3), 128, np.uint8)
            for actor in self.actors:
                pose = actor.seen(self.now)
                if pose is not None:
                    low = np.clip(pose[[5, 6, 11, 12]].min(0), 0, SIZE_WH).astype(int)
                    high = np.clip(pose[[5, 6, 11, 12]].max(0), 0, SIZE_WH).astype(int)
                    image[low[1] : high[1], low[0] : high[0]] = actor.colour
            yield VideoFrame(index=index, time_s=self.now, image=image)

    def detect(self, image: np.ndarray) -> Detections:
        self.looks += 1
        boxes, score = [], []
        for actor in self.actors:
            pose = actor.seen(self.now)
            for copy in range(self.boxes_per_person if pose is not None else 0):
                shift = copy * 0.06 * actor.height
                boxes.append(np.concatenate((pose.min(0) + shift, pose.max(0) + shift)))
                score.append(actor.score)
        return Detections(
            boxes_xyxy_px=np.array(boxes, np.float32).reshape(-1, 4),
            score=np.array(score, np.float32),
        )

    def estimate(self, image: np.ndarray, people: Detections) -> Keypoints:
        """Sees in each region whoever is nearest to its centre, like the real network."""
        n = len(people)
        points = np.zeros((n, 17, 2), np.float32)
        presence = np.zeros(n, np.float32)
        visible = [(a, p) for a in self.actors if (p := a.seen(self.now)) is not None]
        for i, box in enumerate(people.boxes_xyxy_px):
            centre = (box[:2] + box[2:]) / 2
            points[i] = BODY * 100 + centre
            reach = 0.6 * max((box[2:] - box[:2]).max(), 1)
            gaps = [np.linalg.norm(pose.mean(0) - centre) for _, pose in visible]
            if gaps and min(gaps) < reach:
                actor, pose = visible[int(np.argmin(gaps))]
                points[i] = pose + self.noise.normal(0, 0.005 * actor.height, pose.shape)
                presence[i] = actor.presence
        boxes = np.concatenate((points.min(1), points.max(1)), -1)
        score = np.repeat(presence[:, None], 17, 1)
        return Keypoints(keypoints_px=points, score=score, presence=presence, boxes_xyxy_px=boxes)

    def track(self, **options) -> PoseSequence:
        tracker = Tracker(self, self, rate=self.rate, **options)
        info = VideoInfo(path="-", size_wh=SIZE_WH, rate=Fraction(self.rate), n_frames=0)
        pose = collect_tracks(self.frames(), tracker, info).pose
        assert pose.n_frames == pose.video.n_frames == round(self.seconds * self.rate)
        return pose

    def who(self, pose: PoseSequence) -> list[list[int]]:
        """Returns for each tracked person which actors it truly was, in order, without repeats."""
        out: list[list[int]] = []
        for column in range(pose.n_people):
            chain: list[int] = []
            for frame in np.flatnonzero(grid(pose).valid[:, column]):
                t = float(pose.time_s[frame])
                true = [a.pose(t) for a in self.actors]
                gaps = [
                    np.inf
                    if p is None
                    else np.abs(p - grid(pose).keypoints_px[frame, column]).mean()
                    for p in true
                ]
                actor = int(np.argmin(gaps))
                assert gaps[actor] < 0.05 * self.actors[actor].height
                if not chain or chain[-1] != actor:
                    chain.append(actor)
            out.append(chain)
        return out


def line(x0: float, speed: float, y: float = 270) -> Callable[[float], tuple[float, float]]:
    """Walks at ``speed`` pixels per second."""
    return lambda t: (x0 + speed * t, y)


RED, GREEN, BLUE = (200, 40, 40), (40, 180, 60), (40, 60, 200)
