"""One tracked person: what is seen of it in a frame, what is reported, and what is remembered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.regions import regions_from_boxes
from pose3d.tracking.evidence import Evidence, evidence_of
from pose3d.tracking.likeness import (
    OTHER_COLOURS,
    body_joints,
    colour_distance,
    colours_of,
    cover,
    pose_distance,
    size_of,
    trunk_joints,
)
from pose3d.video.picture import Image

Array = NDArray[np.floating]

MIN_SUPPORT = 0.65  # a track counts when the detector was once so sure; presence is not enough
MIN_SIZE_PX = 40.0  # smaller people are not tracked: the joints would be guesses
SURE = 0.85  # detector score from which a person may appear in front of another one's body
REGION_OVER_BODY = 1.25  # side of the region where an estimator looks, in box sizes
SAME_PERSON = 0.22  # below this pose distance two poses of a frame are one person seen twice
_HISTORY_S = 0.8
_RECENT_S = 0.2
_SPEED_MEMORY_S, _SIZE_MEMORY_S = 0.1, 0.2
_BOX_MARGIN = 0.05
_COLOUR_MEMORY_S = 3.0
_STEADY_S = 0.5
_STEADY_PRESENCE = 0.9
_STEADY_SHIFT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One person in one frame."""

    track_id: int  # from 1
    box_xyxy_px: Array  # (4,) with a small margin, cut at the picture's edges
    keypoints_px: Array  # (joint, 2)
    score: Array  # (joint,) 0..1
    presence: float  # probability that there is a person at all
    world_m: Array | None = None  # (joint, 3) the estimator's own 3D guess
    colours: NDArray[np.float32] | None = None  # histogram of the trunk
    support: float = 1.0  # highest detector score so far, 0..1
    evidence: Evidence = field(default_factory=Evidence)  # so far

    def shown(self, partial_people: bool) -> bool:
        """Tells whether enough speaks for a person by now, for who cannot wait for the end."""
        whole = partial_people or not self.evidence.partial
        return self.support >= MIN_SUPPORT and self.evidence.believed and whole


@dataclass(slots=True, kw_only=True, eq=False)
class Moving:
    """Speed and size, smoothed, of somebody who is followed."""

    seen_s: float  # time of the last sighting
    size_px: float
    velocity_px_s: Array = field(default_factory=lambda: np.zeros(2))

    def travel(self, time_s: float) -> Array:
        """Returns ``(2,)`` pixels moved since the last sighting; speed fades within a second."""
        dt = max(0.0, time_s - self.seen_s)
        return np.asarray(self.velocity_px_s * (1.0 - np.exp(-dt)))

    def move(self, shift_px: Array | None, size_px: float, time_s: float) -> None:
        """Enters a sighting; ``shift_px`` is the way since the last one, None: not known."""
        dt = time_s - self.seen_s
        if dt > 0 and shift_px is not None:
            weight = 1 - np.exp(-dt / _SPEED_MEMORY_S)
            self.velocity_px_s = self.velocity_px_s + weight * (shift_px / dt - self.velocity_px_s)
        self.size_px += float(1 - np.exp(-max(dt, 0.02) / _SIZE_MEMORY_S)) * (
            size_px - self.size_px
        )
        self.seen_s = time_s


@dataclass(slots=True, kw_only=True, eq=False)
class Track(Moving):
    """What is remembered about one person."""

    id: int
    born_s: float  # first sighting
    body_px: Array  # (joint, 2) last sighting
    centre_px: Array  # (2,) middle of the trunk, last sighting
    region: Array  # (4,) where to look next, before prediction
    box_px: Array  # (4,) the same for estimators that look at boxes
    support: float = 0.0  # highest detector score so far
    colours: NDArray[np.float32] | None = None  # smoothed
    lost: bool = False  # not seen in the last frame
    strange_since_s: float | None = None  # since when the colours are another's
    birth_centre_px: Array = field(default_factory=lambda: np.zeros(2))
    evidence: Evidence = field(default_factory=Evidence)
    history: deque[tuple[float, Array, float]] = field(default_factory=deque)  # sightings of 0.8 s

    @property
    def confirmed(self) -> bool:
        """The detector was sure of this person at least once."""
        return self.support >= MIN_SUPPORT

    def predict_region(self, time_s: float) -> Array:
        """Returns where to look at ``time_s``, ``(4,)``."""
        region = np.array(self.region, np.float32)
        region[:2] += self.travel(time_s)
        return region

    def predict_box(self, time_s: float) -> Array:
        """Returns where an estimator that takes boxes has to look at ``time_s``, ``(4,)``."""
        return np.asarray(self.box_px + np.tile(self.travel(time_s), 2))

    def predict_centre(self, time_s: float) -> Array:
        """Returns where the trunk is expected at ``time_s``, ``(2,)`` pixels."""
        return np.asarray(self.centre_px + self.travel(time_s))

    def extrapolate(self, time_s: float) -> tuple[Array, float] | None:
        """Returns centre and size expected from all but the most recent sightings, or None."""
        old = [h for h in self.history if h[0] <= time_s - _RECENT_S]
        if len(old) < 2 or old[-1][0] - old[0][0] < _RECENT_S:
            return None
        t = np.array([h[0] for h in old])
        slope, origin = np.polyfit(t - t[-1], np.array([h[1] for h in old]), 1)
        return origin + slope * (time_s - t[-1]), float(np.median([h[2] for h in old]))

    def roll_back(self, time_s: float) -> bool:
        """Puts it where it would be had it not slid onto somebody else; False: too little known."""
        expected = self.extrapolate(time_s)
        if expected is None:
            return False
        centre, size = expected
        shift = centre - self.centre_px
        self.body_px = self.body_px + shift
        self.centre_px = centre
        self.region = np.array(self.region, np.float32)
        self.region[:2] += shift
        self.region[2] *= size / self.size_px
        middle = (self.box_px[:2] + self.box_px[2:]) / 2
        half = (self.box_px[2:] - self.box_px[:2]) * (0.5 * size / self.size_px)
        self.box_px = np.concatenate((middle + shift - half, middle + shift + half))
        self.size_px = size
        self.seen_s = time_s
        self.lost = True
        return True

    def change_to(self, seen: Sighting, time_s: float) -> float:
        """Returns the pose distance of a sighting from where the last pose should be by now."""
        return float(pose_distance(seen.body_px, self.body_px + self.travel(time_s)))

    def update(self, seen: Sighting, now: float, *, crowded: bool) -> None:
        """Enters a sighting; the colours of somebody ``crowded`` by others are not trusted."""
        centre = seen.centre_px
        dt = now - self.seen_s
        if self.lost:
            self.velocity_px_s = np.zeros(2)
        self.move(None if self.lost else centre - self.centre_px, seen.size_px, now)
        self.lost = False
        self.body_px, self.centre_px = seen.body_px, centre
        self.region, self.box_px = seen.region, seen.box_px
        self.support = max(self.support, seen.support)
        self.history.append((now, centre, seen.size_px))
        while self.history[0][0] < now - _HISTORY_S:
            self.history.popleft()
        self._update_colours(seen.colours, now, dt, crowded=crowded)
        self._update_trust(seen, now)

    def _update_colours(
        self, colours: NDArray[np.float32] | None, now: float, dt: float, *, crowded: bool
    ) -> None:
        if colours is None:
            return
        if self.colours is None:
            self.colours = colours
        strange = colour_distance(self.colours, colours) > OTHER_COLOURS
        if not strange:
            self.strange_since_s = None
        elif self.strange_since_s is None:
            self.strange_since_s = now
        if not crowded and not strange:
            # Learn fast at first, then remember for seconds.
            memory = min(_COLOUR_MEMORY_S, 0.2 + now - self.born_s)
            weight = np.float32(1 - np.exp(-dt / memory))
            self.colours = (1 - weight) * self.colours + weight * colours

    def _update_trust(self, seen: Sighting, now: float) -> None:
        """Believes in people whom the detector does not like when they hold steady and move."""
        if self.evidence.frames == 0:
            self.birth_centre_px = self.centre_px
        self.evidence = self.evidence + seen.evidence
        moved = float(np.linalg.norm(self.centre_px - self.birth_centre_px)) / self.size_px
        steady = now - self.born_s > _STEADY_S and self.evidence.presence > _STEADY_PRESENCE
        if steady and moved > _STEADY_SHIFT:
            self.support = max(self.support, MIN_SUPPORT)


@dataclass(kw_only=True, eq=False)
class Sighting:
    """One pose that was seen in a frame; fields as in :class:`Observation` and :class:`Track`."""

    image: Image
    keypoints_px: Array
    body_px: Array  # joints that poses are compared by
    trunk_px: Array  # shoulders and hips
    size_px: float  # longer side of the box around body_px
    score: Array
    presence: float
    support: float  # detector score that led here, 0: none
    region: Array
    box_px: Array
    world_m: Array | None
    evidence: Evidence  # of this frame alone

    @property
    def centre_px(self) -> Array:
        """Middle of the trunk, ``(2,)``."""
        return np.asarray(self.trunk_px.mean(0))

    @cached_property
    def colours(self) -> NDArray[np.float32] | None:
        """Histogram of the trunk's colours, or None."""
        return colours_of(self.image, self.trunk_px)

    @property
    def extent_px(self) -> Array:
        """Box around all joints, ``(4,)``."""
        return np.concatenate((self.keypoints_px.min(0), self.keypoints_px.max(0)))

    def is_same(self, other: Sighting) -> bool:
        """Tells whether two poses of one frame are the same person seen twice."""
        return float(pose_distance(self.body_px, other.body_px)) < SAME_PERSON

    def covered_by(self, other: Sighting) -> float:
        """Returns the share of this one's box that the other one's covers."""
        return float(cover(self.extent_px, other.extent_px))

    def is_part_of(self, other: Sighting) -> bool:
        """Tells whether this is a piece of the other one, such as a leg that was taken for a person."""
        return self.size_px < 0.8 * other.size_px and self.covered_by(other) > 0.75

    def report(
        self,
        track_id: int,
        *,
        colours: NDArray[np.float32] | None,
        support: float,
        evidence: Evidence,
    ) -> Observation:
        """Returns what is known of this person in this frame."""
        box = self.extent_px
        margin = _BOX_MARGIN * (box[2:] - box[:2]).max()
        height, width = self.image.shape[:2]
        grown = box + np.array([-margin, -margin, margin, margin])
        return Observation(
            track_id=track_id,
            box_xyxy_px=np.clip(grown, 0, [width, height, width, height]),
            keypoints_px=self.keypoints_px,
            score=self.score,
            presence=self.presence,
            world_m=self.world_m,
            colours=colours,
            support=support,
            evidence=evidence,
        )


def regions_of(people: Detections | Keypoints) -> Array:
    """Returns where to look for people: their regions, else squares around their boxes."""
    if people.regions is not None:
        return people.regions
    return regions_from_boxes(people.boxes_xyxy_px, scale=REGION_OVER_BODY)


def sightings_of(
    image: Image, seen: Keypoints, support: Sequence[float], skeleton: Skeleton
) -> list[Sighting]:
    """Returns the people that were seen in a picture, with the detector scores that led to them."""
    if not len(seen):
        return []
    body, trunk, regions = body_joints(skeleton), trunk_joints(skeleton), regions_of(seen)
    sizes = size_of(seen.keypoints_px[:, body])
    return [
        Sighting(
            image=image,
            keypoints_px=points,
            body_px=points[body],
            trunk_px=points[trunk],
            size_px=float(sizes[i]),
            score=seen.score[i],
            presence=float(seen.presence[i]),
            support=float(support[i]),
            region=regions[i],
            box_px=seen.boxes_xyxy_px[i],
            world_m=None if seen.world_m is None else seen.world_m[i],
            evidence=evidence_of(seen.select([i]), image.shape[1::-1], skeleton),
        )
        for i, points in enumerate(seen.keypoints_px)
    ]
