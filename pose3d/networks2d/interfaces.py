"""What detectors and 2D keypoint estimators take and give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from pose3d.body.skeletons import Skeleton
from pose3d.video.picture import Image
from pose3d.weights.info import ModelInfo

if TYPE_CHECKING:
    from pose3d.video.reader import VideoFrame


_T = TypeVar("_T", bound="_Rows")


class _Rows:
    """Arrays with a row for each person."""

    __slots__ = ()

    def select(self: _T, rows: np.ndarray | list[int]) -> _T:
        """Returns some of the people, by number or by a mask."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{n: None if a is None else a[rows] for n, a in arrays.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections(_Rows):
    """People found in one picture."""

    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    score: Float[np.ndarray, " n"]  # 0..1
    regions: Float[np.ndarray, "n 4"] | None = None  # oriented squares, see ``regions``

    def __len__(self) -> int:
        return len(self.score)

    def above(self, least: float) -> Detections:
        """Returns those with at least this score, in the same order."""
        return self.select(self.score >= least)

    @staticmethod
    def none() -> Detections:
        """Returns the result of a picture without people."""
        return Detections(
            boxes_xyxy_px=np.zeros((0, 4), np.float32),
            score=np.zeros(0, np.float32),
            regions=np.zeros((0, 4), np.float32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints(_Rows):
    """2D keypoints of n people in one picture."""

    keypoints_px: Float[np.ndarray, "n joint 2"]
    score: Float[np.ndarray, "n joint"]  # 0..1
    presence: Float[np.ndarray, " n"]  # probability that there is a person at all
    boxes_xyxy_px: Float[np.ndarray, "n 4"]  # around the keypoints
    regions: Float[np.ndarray, "n 4"] | None = None  # where to look in the next frame
    world_m: Float[np.ndarray, "n joint 3"] | None = None  # about the hips, camera axes
    on_mask: Float[np.ndarray, "n joint"] | None = None  # 0..1, in the network's own outline

    def __len__(self) -> int:
        return len(self.presence)


@runtime_checkable
class Detector(Protocol):
    """Finds people in one picture. Made by ``Class(device=..., threads=..., offline=...)``."""

    info: ModelInfo

    def detect(self, image: Image) -> Detections:
        """Returns the people of an RGB picture, best first."""


@runtime_checkable
class KeypointEstimator(Protocol):
    """Finds the 2D keypoints of given people. Made as a :class:`Detector` is."""

    info: ModelInfo
    skeleton: Skeleton

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person of ``people``, in the same order."""


@runtime_checkable
class BatchDetector(Detector, Protocol):
    """A detector that looks at several pictures in one run of its network (optional)."""

    def detect_batch(self, images: Sequence[Image]) -> list[Detections]:
        """Returns the people of each picture, best first, doubtful ones included."""

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""


@runtime_checkable
class SearchingDetector(Detector, Protocol):
    """A detector with cheaper searches than the thorough :meth:`detect` (optional)."""

    def windows(self, image: Image) -> Float[np.ndarray, "n 4"]:
        """Returns the squares that :meth:`detect` looks into, the whole picture first."""

    def detect_near(self, image: Image, regions: Float[np.ndarray, "n 4"]) -> Detections:
        """Returns the people found inside the given squares (see :mod:`pose3d.networks2d.regions`)."""


@runtime_checkable
class OneStageNetwork(Protocol):
    """Finds people and keypoints in whole pictures; ``make_keypoints`` wraps it in an OnePass."""

    info: ModelInfo
    skeleton: Skeleton

    def find_people(self, images: Sequence[Image]) -> list[Keypoints]:
        """Returns everybody in each picture, best first; ``presence`` is the score of the box."""

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""


@runtime_checkable
class OneStageEstimator(Detector, KeypointEstimator, Protocol):
    """An estimator that finds people itself: trackers ask it and no detector."""

    def find(self, image: Image) -> Keypoints:
        """Returns everybody in a picture, best first, doubtful ones included."""

    def look_ahead(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Yields the frames of a clip, of which several are looked at in one run of the network."""
