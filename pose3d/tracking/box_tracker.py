"""Follows people by linking the boxes that a detector finds in every frame."""

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
    OneStageEstimator,
)
from pose3d.networks2d.one_stage import Lookahead
from pose3d.tracking.evidence import Evidence
from pose3d.tracking.track import Observation, Sighting, regions_of, sightings_of
from pose3d.tracking.tracker import MIN_PRESENCE
from pose3d.video.picture import Image

if TYPE_CHECKING:
    from pose3d.video.reader import VideoFrame


class Linker(Protocol):
    """Knows which boxes of successive frames are the same person."""

    name: str
    options: dict[str, Any]

    def link(self, image: Image, found: Detections) -> NDArray[np.int_]:
        """Returns for each box of the next frame the number of its person, 0: nobody."""


class BoxTracker:
    """Follows every person of a clip by boxes alone; a one-stage estimator is its own detector."""

    detect_every = 1

    def __init__(self, detector: Detector, estimator: KeypointEstimator, linker: Linker) -> None:
        self.detector, self.estimator, self.linker = detector, estimator, linker
        self._support: dict[int, float] = {}
        self._evidence: dict[int, Evidence] = {}
        self._ahead: Lookahead[Detections] | None = None
        if isinstance(detector, BatchDetector):
            self._ahead = Lookahead(detector.detect_batch, detector.batch_for)

    def look_ahead(self, frames: Iterable[VideoFrame]) -> Iterable[VideoFrame]:
        """Yields the frames of a clip, of which several are looked at in one run of the network."""
        if isinstance(self.estimator, OneStageEstimator):
            return self.estimator.look_ahead(frames)
        return frames if self._ahead is None else self._ahead.ahead(frames)

    def step(self, frame: VideoFrame) -> list[Observation]:
        """Takes the next frame and returns the people in it, ordered by track id."""
        image = frame.image
        if isinstance(self.estimator, OneStageEstimator):
            everybody = self.estimator.find(image)
            found = Detections(boxes_xyxy_px=everybody.boxes_xyxy_px, score=everybody.presence)
            numbers = self.linker.link(image, found)
            rows = np.flatnonzero(numbers)
            seen = everybody.select(rows)
        else:
            found = self.detector.detect(image) if self._ahead is None else self._ahead(image)
            numbers = self.linker.link(image, found)
            rows = np.flatnonzero(numbers)
            seen = self._look(image, found.select(rows))
            # In a one-stage network presence is the box, which the linker has judged already.
            good = np.flatnonzero(seen.presence >= MIN_PRESENCE)
            rows, seen = rows[good], seen.select(good)
        sightings = sightings_of(image, seen, list(found.score[rows]), self.estimator.skeleton)
        people = [self._report(s, int(numbers[r])) for s, r in zip(sightings, rows, strict=True)]
        return sorted(people, key=lambda person: person.track_id)

    def _look(self, image: Image, people: Detections) -> Keypoints:
        if people.regions is not None:
            return self.estimator.estimate(image, people)
        seen = self.estimator.estimate(image, replace(people, regions=regions_of(people)))
        if seen.regions is not None:
            # A box says nothing about how a person lies; an estimator that wants to know has told now.
            seen = self.estimator.estimate(image, replace(people, regions=seen.regions))
        return seen

    def _report(self, seen: Sighting, number: int) -> Observation:
        support = max(self._support.get(number, 0.0), seen.support)
        evidence = self._evidence.get(number, Evidence()) + seen.evidence
        self._support[number], self._evidence[number] = support, evidence
        return seen.report(number, colours=seen.colours, support=support, evidence=evidence)
