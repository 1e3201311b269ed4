"""From pictures to people through time.

Each person is followed by the estimator itself: where it saw the joints in one frame tells it where
to look in the next. The detector only finds new people and those who were lost. All thresholds in
time are seconds, all in space are shares of a person's size, so that frame rate and resolution do
not matter.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pose3d.detect import SearchingDetector
from pose3d.likeness import (
    body_joints,
    colour_distance,
    colours_of,
    pose_distance,
    size_of,
    trunk_joints,
)
from pose3d.regions import regions_from_boxes
from pose3d.types import Detections, Detector, Image, KeypointEstimator, Keypoints

if TYPE_CHECKING:
    from pose3d.video import VideoFrame

Array = NDArray[np.floating]

MIN_PRESENCE = 0.5
SAME_PERSON = 0.22
"""Pose distance below which two poses of one frame are the same person seen twice."""
LOST_FOR_S = 2.0
"""A lost person is looked for at the predicted place for this long."""
_CONFIRM_S = 0.25
_HISTORY_S = 0.8
_RECENT_S = 0.2
_MAX_JUMP = 0.35
"""Share of the size that the trunk may move away from its predicted place between two frames."""
_QUICK_SEARCH_S = 0.1
_BOX_MARGIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One person in one frame.

    Args:
        track_id: from 1, the same for the same person.
        box_xyxy_px: ``(4,)`` around the keypoints with a small margin, cut at the picture's edges.
        keypoints_px: ``(joint, 2)``.
        score: ``(joint,)`` 0..1.
        region: ``(4,)`` where the estimator will look next, see :mod:`pose3d.regions`.
        presence: probability that there is a person at all.
        world_m: ``(joint, 3)`` the estimator's own 3D guess, or None.
        colours: histogram of the trunk's colours, or None.
        confirmed: followed for long enough not to be a mistake of a few frames.
    """

    track_id: int
    box_xyxy_px: Array
    keypoints_px: Array
    score: Array
    region: Array
    presence: float
    world_m: Array | None = None
    colours: NDArray[np.float32] | None = None
    confirmed: bool = True


@dataclass(slots=True)
class _Track:
    """What is remembered about one person."""

    id: int
    born_s: float
    keypoints_px: Array
    region: Array
    seen_s: float
    velocity_px_s: Array
    size_px: float
    colours: NDArray[np.float32] | None = None
    lost: bool = False
    history: deque[tuple[float, Array, float]] = field(default_factory=deque)
    """Time, centre of the trunk, size."""

    def travel(self, time_s: float) -> Array:
        """Returns the predicted displacement since the last sighting, ``(2,)`` pixels.

        People who go out of sight slow down or stop in the end: the speed fades within a second.
        """
        dt = max(0.0, time_s - self.seen_s)
        return self.velocity_px_s * (1.0 - np.exp(-dt))

    def predict_region(self, time_s: float) -> Array:
        region = np.array(self.region, np.float32)
        region[:2] += self.travel(time_s)
        return region

    def predict_keypoints(self, time_s: float) -> Array:
        return np.asarray(self.keypoints_px + self.travel(time_s))

    def extrapolate(self, time_s: float) -> tuple[Array, float] | None:
        """Returns centre and size expected from what was seen some time ago, or None.

        The most recent sightings are left out: they may already belong to somebody else.
        """
        old = [h for h in self.history if h[0] <= time_s - _RECENT_S]
        if len(old) < 2 or old[-1][0] - old[0][0] < _RECENT_S:
            return None
        t = np.array([h[0] for h in old])
        centres = np.array([h[1] for h in old])
        slope, origin = np.polyfit(t - t[-1], centres, 1)
        return origin + slope * (time_s - t[-1]), float(np.median([h[2] for h in old]))


class Tracker:
    """Follows every person of a clip, frame by frame.

    Args:
        detector: finds people; one with quick searches (:class:`SearchingDetector`) is used better.
        estimator: finds the keypoints of given people.
        rate: frames per second, for the time of frames that carry none.
        detect_every: frames between two runs of the detector.
        max_people: follow at most so many at once; None: all.
    """

    def __init__(
        self,
        detector: Detector,
        estimator: KeypointEstimator,
        *,
        rate: Fraction | float,
        detect_every: int = 15,
        max_people: int | None = None,
    ) -> None:
        self.detector = detector
        self.estimator = estimator
        self.rate = rate
        self.detect_every = detect_every
        self.max_people = max_people
        self._body = body_joints(estimator.skeleton)
        self._trunk = trunk_joints(estimator.skeleton)
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._frame = -1
        self._searched_frame: int | None = None
        self._thorough_frame: int | None = None
        self._owed_thorough = False

    def step(self, frame: VideoFrame) -> list[Observation]:
        """Takes the next frame and returns the people in it, ordered by track id.

        Frames have to come in order; ``frame.time_s`` has to increase.
        """
        self._frame += 1
        image, now = frame.image, float(frame.time_s)
        self._tracks = [t for t in self._tracks if now - t.seen_s <= LOST_FOR_S or not t.lost]
        active = [t for t in self._tracks if not t.lost]
        found = self._search(image, active)
        candidates = self._unclaimed(found, active, now)
        regions = [t.predict_region(now) for t in active] + candidates
        seen = self._look(image, regions)
        sightings = _Sightings(seen, self._body, self._trunk)
        rows: dict[int, int] = {}  # track id -> row of `sightings`
        for row, track in enumerate(active):
            if self._is_continuation(track, sightings, row, now):
                rows[track.id] = row
        self._part_collapsed(active, rows, sightings, image, now)
        failed = [t for t in active if t.id not in rows]
        free = list(range(len(active), len(sightings)))
        missing = failed + [t for t in self._tracks if t.lost and self._is_due(t, now)]
        if missing:
            more = self._search_missing(image, missing, now)
            free += sightings.extend(self._look(image, more))
        free = self._plausible(free, rows, sightings)
        self._pick_up(missing, free, rows, sightings, image, now)
        for track in failed:
            if track.id not in rows:
                track.lost = True
                self._owed_thorough = True
        self._begin(free, rows, sightings, image, now)
        return self._report(rows, sightings, image, now)

    # -- searching ----------------------------------------------------------------------------

    def _search(self, image: Image, active: list[_Track]) -> Detections | None:
        """Runs the detector when it is due, thoroughly or quickly."""
        every = self.detect_every
        since = None if self._searched_frame is None else self._frame - self._searched_frame
        since_thorough = (
            None if self._thorough_frame is None else self._frame - self._thorough_frame
        )
        quick_gap = every if active else min(every, max(1, round(_QUICK_SEARCH_S * self.rate)))
        if since is not None and since < quick_gap:
            return None
        self._searched_frame = self._frame
        due = since_thorough is None or since_thorough >= (2 * every if active else every)
        due |= self._owed_thorough and since_thorough is not None and since_thorough >= every // 2
        if not isinstance(self.detector, SearchingDetector) or due:
            self._thorough_frame = self._frame
            self._owed_thorough = False
            return self.detector.detect(image)
        return self.detector.detect_whole(image)

    def _search_missing(self, image: Image, missing: list[_Track], now: float) -> list[Array]:
        """Returns regions where missing people may be: where predicted, and what is found there."""
        predicted = np.array([t.predict_region(now) for t in missing], np.float32)
        regions = list(predicted)
        if isinstance(self.detector, SearchingDetector):
            regions += list(_regions_of(self.detector.detect_near(image, predicted)))
        return regions

    def _is_due(self, track: _Track, now: float) -> bool:
        """Tells whether a lost person is looked for in this frame: always at first, then less."""
        gone = now - track.seen_s
        return gone < 0.4 or self._frame % max(1, round(0.1 * self.rate)) == 0

    def _unclaimed(self, found: Detections | None, active: list[_Track], now: float) -> list[Array]:
        """Returns the regions of detections that no active track already covers."""
        if found is None:
            return []
        out = []
        for region in _regions_of(found):
            near = False
            for track in active:
                expected = track.predict_region(now)
                side = max(expected[2], region[2])
                shift = np.hypot(*(expected[:2] - region[:2])) / side
                ratio = min(expected[2], region[2]) / side
                near |= bool(shift < 0.15 and ratio > 0.6)
            if not near:
                out.append(region)
        return out

    def _look(self, image: Image, regions: list[Array]) -> Keypoints | None:
        """Runs the estimator on regions."""
        if not regions:
            return None
        array = np.array(regions, np.float32)
        half = array[:, 2:3] / 2.5
        boxes = np.concatenate((array[:, :2] - half, array[:, :2] + half), -1)
        height, width = image.shape[:2]
        boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
        score = np.ones(len(array), np.float32)
        return self.estimator.estimate(
            image, Detections(boxes_xyxy_px=boxes, score=score, regions=array)
        )

    # -- deciding -----------------------------------------------------------------------------

    def _is_continuation(self, track: _Track, sightings: _Sightings, row: int, now: float) -> bool:
        """Tells whether a sighting at a track's predicted place is that person."""
        if sightings.presence[row] < MIN_PRESENCE:
            return False
        expected = track.predict_keypoints(now)[self._trunk].mean(0)
        jump = np.linalg.norm(sightings.centre(row) - expected) / track.size_px
        ratio = sightings.size[row] / track.size_px
        # At low frame rates people move further between two frames.
        reach = _MAX_JUMP + 0.8 * max(0.0, now - track.seen_s - 0.05)
        return bool(jump < reach and 0.4 < ratio < 2.5)

    def _part_collapsed(
        self,
        active: list[_Track],
        rows: dict[int, int],
        sightings: _Sightings,
        image: Image,
        now: float,
    ) -> None:
        """Finds tracks that slid onto the same person and takes it away from the wrong ones."""
        tracks = [t for t in active if t.id in rows]
        for i, a in enumerate(tracks):
            for b in tracks[:i]:
                if a.id not in rows or b.id not in rows:
                    continue
                if sightings.distance(rows[a.id], rows[b.id]) > SAME_PERSON:
                    continue
                wrong = max((a, b), key=lambda t: self._strangeness(t, sightings, rows, image, now))
                self._roll_back(wrong, now)
                del rows[wrong.id]

    def _strangeness(
        self,
        track: _Track,
        sightings: _Sightings,
        rows: dict[int, int],
        image: Image,
        now: float,
    ) -> float:
        """Returns how little a sighting fits what was known of a track some time ago."""
        row = rows[track.id]
        expected = track.extrapolate(now)
        if expected is None:
            return 10.0 - (now - track.born_s)  # the younger track is the duplicate
        centre, size = expected
        shift = np.linalg.norm(sightings.centre(row) - centre) / size
        scale = abs(np.log(sightings.size[row] / size))
        colours = colours_of(image, sightings.trunk(row))
        return float(shift + scale + colour_distance(track.colours, colours))

    def _roll_back(self, track: _Track, now: float) -> None:
        """Returns a track to where it would be, had it not slid onto somebody else."""
        expected = track.extrapolate(now)
        if expected is None:
            self._tracks.remove(track)
            return
        centre, size = expected
        shift = centre - track.keypoints_px[self._trunk].mean(0)
        track.keypoints_px = track.keypoints_px + shift
        track.region = np.array(track.region, np.float32)
        track.region[:2] += shift
        track.region[2] *= size / track.size_px
        track.size_px = size
        track.seen_s = now
        track.lost = True
        self._owed_thorough = True

    def _plausible(self, free: list[int], rows: dict[int, int], sightings: _Sightings) -> list[int]:
        """Returns the free sightings that are people and nobody who is already followed."""
        taken = list(rows.values())
        kept: list[int] = []
        for row in sorted(free, key=lambda r: -sightings.presence[r]):
            if sightings.presence[row] < MIN_PRESENCE:
                continue
            if any(sightings.distance(row, other) < SAME_PERSON for other in taken + kept):
                continue
            if any(sightings.is_part(row, other) for other in taken):
                continue
            kept.append(row)
        return kept

    def _pick_up(
        self,
        missing: list[_Track],
        free: list[int],
        rows: dict[int, int],
        sightings: _Sightings,
        image: Image,
        now: float,
    ) -> None:
        """Gives sightings to missing people by place, size and colours; takes them out of ``free``."""
        if not missing or not free:
            return
        cost = np.array(
            [[self._cost(t, sightings, row, image, now) for row in free] for t in missing]
        )
        for i, j in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
            if cost[i, j] < 1:
                rows[missing[i].id] = free[j]
        free[:] = [row for row in free if row not in rows.values()]

    def _cost(
        self, track: _Track, sightings: _Sightings, row: int, image: Image, now: float
    ) -> float:
        """Returns below 1 when a sighting may be a missing person; less is better."""
        gone = now - track.seen_s
        expected = track.predict_keypoints(now)[self._trunk].mean(0)
        shift = np.linalg.norm(sightings.centre(row) - expected) / track.size_px
        scale = abs(np.log(sightings.size[row] / track.size_px))
        reach = 0.3 + 0.5 * min(gone, 1.0)
        if shift > reach or scale > 0.6:
            return 1e3
        colours = colour_distance(track.colours, colours_of(image, sightings.trunk(row)))
        return float(0.5 * shift / reach + 0.4 * scale + 0.6 * colours)

    # -- keeping the books --------------------------------------------------------------------

    def _begin(
        self,
        free: list[int],
        rows: dict[int, int],
        sightings: _Sightings,
        image: Image,
        now: float,
    ) -> None:
        """Starts tracks for new people, after a second look from where the first one pointed."""
        room = len(free) if self.max_people is None else self.max_people - len(rows)
        for row in free[: max(0, room)]:
            again = self._look(image, [sightings.region(row)])
            assert again is not None
            second = sightings.extend(again)[0]
            if sightings.presence[second] < MIN_PRESENCE:
                continue
            if sightings.distance(row, second) > SAME_PERSON:
                continue
            if any(sightings.distance(second, other) < SAME_PERSON for other in rows.values()):
                continue
            track = _Track(
                id=self._next_id,
                born_s=now,
                keypoints_px=sightings.keypoints[second],
                region=sightings.region(second),
                seen_s=now,
                velocity_px_s=np.zeros(2),
                size_px=float(sightings.size[second]),
            )
            self._next_id += 1
            self._tracks.append(track)
            rows[track.id] = second

    def _report(
        self, rows: dict[int, int], sightings: _Sightings, image: Image, now: float
    ) -> list[Observation]:
        """Updates every seen track and returns what is known about it."""
        out = []
        for track in self._tracks:
            if track.id not in rows:
                continue
            row = rows[track.id]
            crowded = any(
                sightings.overlap(row, other) > 0.15 for other in rows.values() if other != row
            )
            self._update(track, sightings, row, image, now, crowded=crowded)
            out.append(
                Observation(
                    track_id=track.id,
                    box_xyxy_px=_box_around(sightings.keypoints[row], image),
                    keypoints_px=sightings.keypoints[row],
                    score=sightings.score[row],
                    region=track.region,
                    presence=float(sightings.presence[row]),
                    world_m=sightings.world_m(row),
                    colours=track.colours,
                    confirmed=now - track.born_s >= _CONFIRM_S,
                )
            )
        return out

    def _update(
        self,
        track: _Track,
        sightings: _Sightings,
        row: int,
        image: Image,
        now: float,
        *,
        crowded: bool,
    ) -> None:
        """Enters a sighting into its track."""
        centre, size = sightings.centre(row), float(sightings.size[row])
        dt = now - track.seen_s
        if track.lost:
            track.velocity_px_s = np.zeros(2)
        elif dt > 0:
            moved = (centre - track.keypoints_px[self._trunk].mean(0)) / dt
            weight = 1 - np.exp(-dt / 0.1)
            track.velocity_px_s = track.velocity_px_s + weight * (moved - track.velocity_px_s)
        track.lost = False
        track.seen_s = now
        track.keypoints_px = sightings.keypoints[row]
        track.region = sightings.region(row)
        track.size_px += (1 - np.exp(-max(dt, 0.02) / 0.2)) * (size - track.size_px)
        track.history.append((now, centre, size))
        while track.history[0][0] < now - _HISTORY_S:
            track.history.popleft()
        if not crowded or track.colours is None:
            colours = colours_of(image, sightings.trunk(row))
            if track.colours is None:
                track.colours = colours
            elif colours is not None:
                track.colours = 0.9 * track.colours + np.float32(0.1) * colours


class _Sightings:
    """All poses seen in one frame, in rows that stay valid while more are added."""

    def __init__(
        self, seen: Keypoints | None, body: NDArray[np.int_], trunk: NDArray[np.int_]
    ) -> None:
        self._body, self._trunk = body, trunk
        self.keypoints: list[Array] = []
        self.score: list[Array] = []
        self.presence: list[float] = []
        self.size: list[float] = []
        self._regions: list[Array] = []
        self._world: list[Array | None] = []
        self.extend(seen)

    def __len__(self) -> int:
        return len(self.keypoints)

    def extend(self, seen: Keypoints | None) -> list[int]:
        """Adds poses and returns their rows."""
        if seen is None:
            return []
        first = len(self)
        regions = seen.regions
        if regions is None:
            regions = regions_from_boxes(seen.boxes_xyxy_px, scale=1.25)
        self.keypoints += list(seen.keypoints_px)
        self.score += list(seen.score)
        self.presence += [float(p) for p in seen.presence]
        self.size += [float(s) for s in size_of(seen.keypoints_px[:, self._body])]
        self._regions += list(regions)
        self._world += [None] * len(seen) if seen.world_m is None else list(seen.world_m)
        return list(range(first, len(self)))

    def region(self, row: int) -> Array:
        """Returns where to look next."""
        return self._regions[row]

    def world_m(self, row: int) -> Array | None:
        """Returns the estimator's own 3D guess."""
        return self._world[row]

    def trunk(self, row: int) -> Array:
        """Returns shoulders and hips, ``(joint, 2)`` pixels."""
        return self.keypoints[row][self._trunk]

    def centre(self, row: int) -> Array:
        """Returns the middle of the trunk, ``(2,)`` pixels."""
        return np.asarray(self.trunk(row).mean(0))

    def distance(self, a: int, b: int) -> float:
        """Returns the pose distance of two rows."""
        one, two = self.keypoints[a][self._body], self.keypoints[b][self._body]
        return float(pose_distance(one[None], two[None])[0, 0])

    def overlap(self, a: int, b: int) -> float:
        """Returns the share of row a's box that row b's box covers."""
        one, two = _box(self.keypoints[a]), _box(self.keypoints[b])
        common = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None)
        return float(common.prod() / max((one[2:] - one[:2]).prod(), 1.0))

    def is_part(self, a: int, b: int) -> bool:
        """Tells whether row a is a small piece inside row b, such as a leg taken for a person."""
        return self.size[a] < 0.5 * self.size[b] and self.overlap(a, b) > 0.8


def _regions_of(found: Detections) -> Array:
    if found.regions is not None:
        return found.regions
    return regions_from_boxes(found.boxes_xyxy_px, scale=1.25)


def _box(keypoints_px: Array) -> Array:
    return np.concatenate((keypoints_px.min(0), keypoints_px.max(0)))


def _box_around(keypoints_px: Array, image: Image) -> Array:
    """Returns the box around a pose with a margin, cut at the edges of the picture."""
    box = _box(keypoints_px)
    margin = _BOX_MARGIN * (box[2:] - box[:2]).max()
    height, width = image.shape[:2]
    grown = box + np.array([-margin, -margin, margin, margin])
    return np.clip(grown, 0, [width, height, width, height])
