"""Follows people by linking the boxes that a detector finds in every frame (``--tracker bytetrack``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pose3d.networks2d.interfaces import (
    BatchDetector,
    Detections,
    Detector,
    KeypointEstimator,
    Keypoints,
)
from pose3d.networks2d.one_stage import Lookahead, OnePass
from pose3d.networks2d.regions import regions_from_boxes
from pose3d.tracking.likeness import body_joints, trunk_joints
from pose3d.tracking.track import Observation, Sightings
from pose3d.tracking.tracker import MIN_PRESENCE, REGION_OVER_BODY
from pose3d.video.picture import Image

if TYPE_CHECKING:
    from pose3d.video.reader import VideoFrame


class Linker(Protocol):
    """Knows which boxes of successive frames are the same person."""

    name: str
    options: dict[str, Any]

    def link(self, image: Image, found: Detections) -> NDArray[np.int_]:
        """Returns for each box of the next frame the number of its person, 0: nobody."""
        ...


class BoxTracker:
    """Follows every person of a clip by boxes alone, frame by frame.

    The detector runs in every frame, in batches where it can (:class:`BatchDetector`), and keypoints
    are looked for in the boxes that the linker believes. A one-stage estimator
    (:class:`~pose3d.networks2d.one_stage.OnePass`) is its own detector.

    Args:
        detector: finds people.
        estimator: finds the keypoints of given people.
        linker: a new one.
    """

    detect_every = 1
    max_people: int | None = None

    def __init__(self, detector: Detector, estimator: KeypointEstimator, linker: Linker) -> None:
        self.detector, self.estimator, self.linker = detector, estimator, linker
        self._body = body_joints(estimator.skeleton)
        self._trunk = trunk_joints(estimator.skeleton)
        self._support: dict[int, float] = {}
        self._ahead: Lookahead[Detections] | None = None
        if isinstance(detector, BatchDetector) and not isinstance(estimator, OnePass):
            self._ahead = Lookahead(detector.detect_batch, detector.batch_for)

    def look_ahead(self, frames: Iterable[VideoFrame]) -> Iterable[VideoFrame]:
        """Yields the frames of a clip, of which several are looked at in one run of the network."""
        if isinstance(self.estimator, OnePass):
            return self.estimator.look_ahead(frames)
        return frames if self._ahead is None else self._ahead.ahead(frames)

    def step(self, frame: VideoFrame) -> list[Observation]:
        """Takes the next frame and returns the people in it, ordered by track id."""
        image = frame.image
        if isinstance(self.estimator, OnePass):
            everybody = self.estimator.find(image)
            found = Detections(boxes_xyxy_px=everybody.boxes_xyxy_px, score=everybody.presence)
            numbers = self.linker.link(image, found)
            rows = np.flatnonzero(numbers)
            seen = _select(everybody, rows)
        else:
            found = self.detector.detect(image) if self._ahead is None else self._ahead(image)
            numbers = self.linker.link(image, found)
            rows = np.flatnonzero(numbers)
            seen = self._look(image, found, rows)
            # In a one-stage network presence is the box, which the linker has judged already.
            good = seen.presence >= MIN_PRESENCE
            rows, seen = rows[good], _select(seen, np.flatnonzero(good))
        sightings = Sightings(image, float(frame.time_s), self._body, self._trunk)
        sightings.add(seen, [float(s) for s in found.score[rows]])
        people = [self._report(sightings, i, int(numbers[row])) for i, row in enumerate(rows)]
        return sorted(people, key=lambda person: person.track_id)

    def _look(self, image: Image, found: Detections, rows: NDArray[np.int_]) -> Keypoints:
        """Returns the keypoints of chosen people."""
        boxes = found.boxes_xyxy_px[rows]
        regions = None if found.regions is None else found.regions[rows]
        if regions is None:
            regions = regions_from_boxes(boxes, scale=REGION_OVER_BODY)
        people = Detections(boxes_xyxy_px=boxes, score=found.score[rows], regions=regions)
        seen = self.estimator.estimate(image, people)
        if found.regions is None and seen.regions is not None:
            # A box says nothing about how a person lies; an estimator that wants to know has told now.
            seen = self.estimator.estimate(image, replace(people, regions=seen.regions))
        return seen

    def _report(self, sightings: Sightings, row: int, number: int) -> Observation:
        support = max(self._support.get(number, 0.0), sightings.support[row])
        self._support[number] = support
        return Observation(
            track_id=number,
            box_xyxy_px=sightings.box_with_margin(row),
            keypoints_px=sightings.keypoints[row],
            score=sightings.score[row],
            region=sightings.regions[row],
            presence=sightings.presence[row],
            world_m=sightings.world_m[row],
            colours=sightings.colours(row),
            support=support,
        )


def _select(seen: Keypoints, rows: NDArray[np.int_]) -> Keypoints:
    """Returns some people of a picture."""
    return Keypoints(
        keypoints_px=seen.keypoints_px[rows],
        score=seen.score[rows],
        presence=seen.presence[rows],
        boxes_xyxy_px=seen.boxes_xyxy_px[rows],
        regions=None if seen.regions is None else seen.regions[rows],
        world_m=None if seen.world_m is None else seen.world_m[rows],
    )
