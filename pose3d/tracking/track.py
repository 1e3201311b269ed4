"""One tracked person: what is reported of it, what is remembered, and all sightings of one frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pose3d.networks2d.interfaces import Keypoints
from pose3d.networks2d.regions import regions_from_boxes
from pose3d.tracking.likeness import (
    OTHER_COLOURS,
    colour_distance,
    colours_of,
    cover,
    pose_distance,
    size_of,
)
from pose3d.video.picture import Image

Array = NDArray[np.floating]

MIN_SUPPORT = 0.65
"""A track counts when the detector was once so sure of it. Presence alone is the opinion of one
network, which also likes table legs."""
MIN_SIZE_PX = 40.0
"""People smaller than this are not tracked: the joints would be guesses."""
SURE = 0.85
"""Detector score from which a person may appear in front of another one's body."""
REGION_OVER_BODY = 1.25
"""Side of the region where an estimator looks, in sizes of the box."""
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
    """One person in one frame.

    Args:
        track_id: from 1, the same for the same person.
        box_xyxy_px: ``(4,)`` around the keypoints with a small margin, cut at the picture's edges.
        keypoints_px: ``(joint, 2)``.
        score: ``(joint,)`` 0..1.
        presence: probability that there is a person at all.
        world_m: ``(joint, 3)`` the estimator's own 3D guess, or None.
        colours: histogram of the trunk's colours, or None.
        support: highest detector score for this person so far, 0..1.
    """

    track_id: int
    box_xyxy_px: Array
    keypoints_px: Array
    score: Array
    presence: float
    world_m: Array | None
    colours: NDArray[np.float32] | None
    support: float


@dataclass(slots=True, kw_only=True)
class Moving:
    """Speed and size of somebody who is followed.

    Args:
        seen_s: time of the last sighting.
        size_px: smoothed.
        velocity_px_s: ``(2,)`` smoothed.
    """

    seen_s: float
    size_px: float
    velocity_px_s: Array = field(default_factory=lambda: np.zeros(2))

    def travel(self, time_s: float) -> Array:
        """Returns the predicted displacement since the last sighting, ``(2,)`` pixels.

        People who go out of sight slow down or stop in the end: the speed fades within a second.
        """
        dt = max(0.0, time_s - self.seen_s)
        return np.asarray(self.velocity_px_s * (1.0 - np.exp(-dt)))

    def move(self, shift_px: Array | None, size_px: float, time_s: float) -> None:
        """Enters a sighting; ``shift_px`` is the way since the last one, None if it is not known."""
        dt = time_s - self.seen_s
        if dt > 0 and shift_px is not None:
            weight = 1 - np.exp(-dt / _SPEED_MEMORY_S)
            self.velocity_px_s = self.velocity_px_s + weight * (shift_px / dt - self.velocity_px_s)
        self.size_px += float(1 - np.exp(-max(dt, 0.02) / _SIZE_MEMORY_S)) * (
            size_px - self.size_px
        )
        self.seen_s = time_s


@dataclass(slots=True, kw_only=True)
class Track(Moving):
    """What is remembered about one person.

    Args:
        id: from 1.
        born_s: time of the first sighting.
        keypoints_px: ``(joint, 2)`` of the last sighting.
        centre_px: ``(2,)`` middle of the trunk at the last sighting.
        region: ``(4,)`` where to look next, before prediction.
        box_px: ``(4,)`` the same for estimators that look at boxes.
        support: highest detector score so far.
        colours: smoothed histogram of the trunk.
        lost: not seen in the last frame.
        strange_since_s: since when the colours have been those of somebody else, or None.
        birth_centre_px: ``(2,)`` centre at the first sighting.
        presence: mean over the life so far.
        n_seen: number of sightings.
        history: time, centre and size of the sightings of the last 0.8 s.
    """

    id: int
    born_s: float
    keypoints_px: Array
    centre_px: Array
    region: Array
    box_px: Array
    support: float = 0.0
    colours: NDArray[np.float32] | None = None
    lost: bool = False
    strange_since_s: float | None = None
    birth_centre_px: Array = field(default_factory=lambda: np.zeros(2))
    presence: float = 0.0
    n_seen: int = 0
    history: deque[tuple[float, Array, float]] = field(default_factory=deque)

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
        """Returns centre and size expected from what was seen some time ago, or None.

        The most recent sightings are left out: they may already belong to somebody else.
        """
        old = [h for h in self.history if h[0] <= time_s - _RECENT_S]
        if len(old) < 2 or old[-1][0] - old[0][0] < _RECENT_S:
            return None
        t = np.array([h[0] for h in old])
        slope, origin = np.polyfit(t - t[-1], np.array([h[1] for h in old]), 1)
        return origin + slope * (time_s - t[-1]), float(np.median([h[2] for h in old]))

    def roll_back(self, time_s: float) -> bool:
        """Puts the track where it would be, had it not slid onto somebody else, and marks it lost.

        Returns False when too little is known of the time before.
        """
        expected = self.extrapolate(time_s)
        if expected is None:
            return False
        centre, size = expected
        shift = centre - self.centre_px
        self.keypoints_px = self.keypoints_px + shift
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

    def update(self, sightings: Sightings, row: int, *, crowded: bool) -> None:
        """Enters a sighting; of somebody who is ``crowded`` by others the colours are not trusted."""
        now, centre, size = sightings.time_s, sightings.centre(row), sightings.size[row]
        dt = now - self.seen_s
        if self.lost:
            self.velocity_px_s = np.zeros(2)
        self.move(None if self.lost else centre - self.centre_px, size, now)
        self.lost = False
        self.keypoints_px = sightings.keypoints[row]
        self.centre_px = centre
        self.region = sightings.regions[row]
        self.box_px = sightings.boxes[row]
        self.support = max(self.support, sightings.support[row])
        self.history.append((now, centre, size))
        while self.history[0][0] < now - _HISTORY_S:
            self.history.popleft()
        self._update_colours(sightings.colours(row), now, dt, crowded=crowded)
        self._update_trust(sightings.presence[row], now)

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

    def _update_trust(self, presence: float, now: float) -> None:
        """Believes in people whom the detector does not like when they hold steady and move."""
        if self.n_seen == 0:
            self.birth_centre_px = self.centre_px
        self.n_seen += 1
        self.presence += (presence - self.presence) / self.n_seen
        moved = float(np.linalg.norm(self.centre_px - self.birth_centre_px)) / self.size_px
        if (
            now - self.born_s > _STEADY_S
            and self.presence > _STEADY_PRESENCE
            and moved > _STEADY_SHIFT
        ):
            self.support = max(self.support, MIN_SUPPORT)

    def report(self, sightings: Sightings, row: int) -> Observation:
        """Returns what is known about this person in this frame."""
        return sightings.report(row, self.id, colours=self.colours, support=self.support)


class Sightings:
    """All poses seen in one frame, in rows that stay valid while more are added.

    Args:
        image: the picture.
        time_s: its time.
        body: indices of the joints that poses are compared by.
        trunk: indices of shoulders and hips.
    """

    def __init__(
        self, image: Image, time_s: float, body: NDArray[np.int_], trunk: NDArray[np.int_]
    ) -> None:
        self.image, self.time_s = image, time_s
        self._body, self._trunk = body, trunk
        self._colours: dict[int, NDArray[np.float32] | None] = {}
        self.keypoints: list[Array] = []
        self.score: list[Array] = []
        self.presence: list[float] = []
        self.support: list[float] = []
        self.size: list[float] = []
        self.regions: list[Array] = []
        self.boxes: list[Array] = []
        self.world_m: list[Array | None] = []

    def __len__(self) -> int:
        return len(self.keypoints)

    def add(self, seen: Keypoints, support: Sequence[float]) -> list[int]:
        """Adds poses with the detector scores that led to them (0: none) and returns their rows."""
        first = len(self)
        regions = seen.regions
        if regions is None:
            regions = regions_from_boxes(seen.boxes_xyxy_px, scale=REGION_OVER_BODY)
        self.keypoints += list(seen.keypoints_px)
        self.score += list(seen.score)
        self.presence += [float(p) for p in seen.presence]
        self.support += [float(s) for s in support]
        if len(seen):
            self.size += [float(s) for s in size_of(seen.keypoints_px[:, self._body])]
        self.regions += list(regions)
        self.boxes += list(seen.boxes_xyxy_px)
        self.world_m += [None] * len(seen) if seen.world_m is None else list(seen.world_m)
        return list(range(first, len(self)))

    def centre(self, row: int) -> Array:
        """Returns the middle of the trunk, ``(2,)`` pixels."""
        return np.asarray(self.keypoints[row][self._trunk].mean(0))

    def colours(self, row: int) -> NDArray[np.float32] | None:
        """Returns the colours of the trunk."""
        if row not in self._colours:
            self._colours[row] = colours_of(self.image, self.keypoints[row][self._trunk])
        return self._colours[row]

    def distance(self, a: int, b: int) -> float:
        """Returns the pose distance of two rows."""
        return self.distance_to(a, self.keypoints[b])

    def distance_to(self, row: int, keypoints_px: Array) -> float:
        """Returns the pose distance of a row to another pose."""
        one, two = self.keypoints[row][self._body], keypoints_px[self._body]
        return float(pose_distance(one, two))

    def box(self, row: int) -> Array:
        """Returns the box around all joints, ``(4,)``."""
        points = self.keypoints[row]
        return np.concatenate((points.min(0), points.max(0)))

    def cover(self, a: int, b: int) -> float:
        """Returns the share of row a's box that row b's box covers."""
        return float(cover(self.box(a), self.box(b)))

    def report(
        self, row: int, track_id: int, *, colours: NDArray[np.float32] | None, support: float
    ) -> Observation:
        """Returns what is known in this frame about the person of a row."""
        box = self.box(row)
        margin = _BOX_MARGIN * (box[2:] - box[:2]).max()
        height, width = self.image.shape[:2]
        grown = box + np.array([-margin, -margin, margin, margin])
        return Observation(
            track_id=track_id,
            box_xyxy_px=np.clip(grown, 0, [width, height, width, height]),
            keypoints_px=self.keypoints[row],
            score=self.score[row],
            presence=self.presence[row],
            world_m=self.world_m[row],
            colours=colours,
            support=support,
        )
