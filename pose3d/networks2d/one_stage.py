"""One-stage networks, and looking at several pictures at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from pose3d.body.geometry import compute_iou
from pose3d.networks2d.interfaces import Detections, Keypoints, OneStageNetwork
from pose3d.video.picture import Image

if TYPE_CHECKING:
    from pose3d.video.reader import VideoFrame

T = TypeVar("T")

DOUBTFUL = 0.25  # boxes below this score begin nobody; only linking uses them (ultralytics' limit)
_MIN_OVERLAP = 0.1  # IoU from which a found person may be the one who was asked for


class Lookahead(Generic[T]):
    """Answers about pictures; ``look`` finds out ``batch_for(picture)`` of them in one run."""

    def __init__(
        self, look: Callable[[Sequence[Image]], list[T]], batch_for: Callable[[Image], int]
    ) -> None:
        self._look, self._batch_for = look, batch_for
        # Pictures are told apart by being the same object: holding them keeps that sound.
        self._known: list[tuple[Image, T]] = []

    def __call__(self, image: Image) -> T:
        """Returns the answer for one picture; the last one asked for is remembered."""
        for known, answer in self._known:
            if known is image:
                return answer
        answer = self._look([image])[0]
        self._known = [(image, answer)]
        return answer

    def ahead(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Yields the frames of a clip; while one is out, its answer is known."""
        waiting: list[VideoFrame] = []
        for frame in frames:
            waiting.append(frame)
            if len(waiting) >= self._batch_for(frame.image):
                yield from self._answer(waiting)
        if waiting:
            yield from self._answer(waiting)

    def _answer(self, waiting: list[VideoFrame]) -> Iterator[VideoFrame]:
        images = [frame.image for frame in waiting]
        self._known = list(zip(images, self._look(images), strict=True))
        while waiting:
            yield waiting.pop(0)
            self._known.pop(0)


class OnePass:
    """A one-stage network as detector and as estimator of given people."""

    def __init__(self, network: OneStageNetwork) -> None:
        self.network = network
        self.info = network.info
        self.skeleton = network.skeleton
        self.find: Lookahead[Keypoints] = Lookahead(network.find_people, network.batch_for)
        self.look_ahead = self.find.ahead

    def detect(self, image: Image) -> Detections:
        """Returns the people of a picture, best first."""
        found = self.find(image)
        return Detections(boxes_xyxy_px=found.boxes_xyxy_px, score=found.presence).above(DOUBTFUL)

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns for each box the person found there, so that the sum of overlaps is greatest.
        Where nobody is found, ``presence`` and scores are 0, all points in the box's middle."""
        from scipy.optimize import linear_sum_assignment  # slow to import

        found = self.find(image)
        asked = people.boxes_xyxy_px
        n, joints = len(asked), len(self.skeleton)
        boxes = np.array(asked, np.float32)
        middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        points = np.repeat(middle, joints, 1)
        score, presence = np.zeros((n, joints), np.float32), np.zeros(n, np.float32)
        overlap = compute_iou(asked, found.boxes_xyxy_px)
        for i, j in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[i, j] >= _MIN_OVERLAP:
                points[i], score[i] = found.keypoints_px[j], found.score[j]
                presence[i], boxes[i] = found.presence[j], found.boxes_xyxy_px[j]
        return Keypoints(keypoints_px=points, score=score, presence=presence, boxes_xyxy_px=boxes)
