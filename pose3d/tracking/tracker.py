"""Follows people from picture to picture.
Where the joints were in one frame tells the estimator where to look in the next; the detector
only finds new and lost people. Thresholds are seconds and shares of a person's size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose3d.networks2d.interfaces import (
    Detections,
    Detector,
    KeypointEstimator,
    OneStageEstimator,
    SearchingDetector,
)
from pose3d.networks2d.regions import boxes_of_regions
from pose3d.tracking.likeness import NOT_POSSIBLE, colour_distance, difference, pair_up
from pose3d.tracking.motion import MotionHint, Turns
from pose3d.tracking.track import (
    MIN_SIZE_PX,
    REGION_OVER_BODY,
    SURE,
    Observation,
    Sighting,
    Track,
    regions_of,
    sightings_of,
)
from pose3d.video.picture import Image

if TYPE_CHECKING:
    from pose3d.video.reader import VideoFrame

Array = NDArray[np.floating]

MIN_PRESENCE = 0.5
LOST_FOR_S = 2.0  # so long a lost person is looked for around the predicted place
_PROBATION_S = 1.0  # after it a person of whom the detector is never sure is given up
_STRANGE_S = 0.2
_MAX_JUMP = 0.35  # share of the size that the trunk may be off its predicted place
_MAX_POSE_CHANGE = 0.3
_POSE_CHANGE_PER_S = 4.0
_GLANCE_S = 0.1  # between two cheap looks for somebody
_EAGER_S = 0.6
_SEARCH_SCALE = 1.6

_Seen = dict[int, Sighting]  # by track id
_Place = tuple[Array, Array]  # region and box (4,) of one person: estimators take one or the other


class Tracker:
    """Follows every person of a clip; the detector runs every ``detect_every`` frames."""

    def __init__(
        self,
        detector: Detector,
        estimator: KeypointEstimator,
        *,
        rate: Fraction | float,
        detect_every: int = 15,
    ) -> None:
        self.detector = detector
        self.estimator = estimator
        self.detect_every = detect_every
        self._glance = max(1, round(_GLANCE_S * float(rate)))
        self._motion, self._turns = MotionHint(), Turns()
        self._tracks: list[Track] = []
        self._next_id = 1
        self._frame = -1
        self._next_thorough = 0
        self._next_whole = 0
        self._lost_one = False  # since the last thorough search

    def look_ahead(self, frames: Iterable[VideoFrame]) -> Iterable[VideoFrame]:
        """Yields the frames of a clip, of which a one-stage network looks at several in one run."""
        if isinstance(self.estimator, OneStageEstimator):
            return self.estimator.look_ahead(frames)
        return frames

    def step(self, frame: VideoFrame) -> list[Observation]:
        """Takes the next frame and returns the people in it, ordered by track id."""
        self._frame += 1
        image, now = frame.image, float(frame.time_s)
        self._forget(image, now)
        active = [t for t in self._tracks if not t.lost]
        found = self._unclaimed(self._search(image, active, now), active, now)
        sightings = self._look(image, [_place_of(t, now) for t in active], found)
        seen = {
            track.id: sighting
            for track, sighting in zip(active, sightings, strict=False)
            if self._continues(track, sighting, now)
        }
        self._part_collapsed(active, seen, now)
        free = sightings[len(active) :]
        missing = [t for t in self._tracks if t.id not in seen and self._is_due(t, now)]
        if missing:
            free += self._look(image, *self._search_missing(image, missing, now))
        free = self._plausible(free, seen)
        free = self._pick_up(missing, free, seen, now)
        for track in active:
            if track.id not in seen and not track.lost:
                self._lose(track)
                if track.strange_since_s is not None:
                    track.roll_back(now)
        self._begin(image, free, seen, now)
        return self._report(seen, now)

    def _search(self, image: Image, active: list[Track], now: float) -> Detections:
        """Runs the detector: everywhere or quickly when due, else at motion and doubtful people."""
        every = self.detect_every
        if not isinstance(self.detector, SearchingDetector):
            if self._frame < self._next_thorough:
                return Detections.none()
            self._next_thorough = self._frame + every
            return self.detector.detect(image)
        expected = np.array([t.predict_region(now) for t in active], np.float32).reshape(-1, 4)
        bodies = boxes_of_regions(expected, shrink=1 / REGION_OVER_BODY)
        if self._frame >= self._next_thorough:
            self._next_thorough = self._frame + (2 * every if active else every)
            self._next_whole = self._frame + every
            certain = active and all(t.support >= SURE and not t.lost for t in self._tracks)
            choose = self._turns.choose if certain and not self._lost_one else self._turns.all
            self._lost_one = False
            return self.detector.detect_near(
                image, choose(image, self.detector.windows(image), bodies)
            )
        if self._frame >= self._next_whole:
            self._next_whole = self._frame + (every if active else min(every, self._glance))
            return self.detector.detect_near(image, self.detector.windows(image)[:1])
        if self._frame % self._glance:
            return Detections.none()
        doubtful = expected[[not t.confirmed for t in active]]
        windows = np.concatenate((self._motion.regions(image, bodies), doubtful))
        return self.detector.detect_near(image, windows) if len(windows) else Detections.none()

    def _search_missing(
        self, image: Image, missing: list[Track], now: float
    ) -> tuple[list[_Place], Detections]:
        """Returns where missing people are predicted, and what the detector finds there."""
        predicted = [_place_of(t, now) for t in missing]
        if not isinstance(self.detector, SearchingDetector):
            return predicted, Detections.none()
        windows = np.array([region for region, _ in predicted], np.float32)
        windows[:, 2] *= _SEARCH_SCALE
        return predicted, self.detector.detect_near(image, windows)

    def _is_due(self, track: Track, now: float) -> bool:
        """Tells whether a missing person is looked for: in every frame at first, then less often."""
        return now - track.seen_s < _EAGER_S or self._frame % self._glance == 0

    def _unclaimed(self, found: Detections, active: list[Track], now: float) -> Detections:
        """Returns the detections that no active track explains; the others support their tracks."""
        regions = regions_of(found)
        keep = []
        for i, region in enumerate(regions):
            claimed = False
            for track in active:
                expected = track.predict_region(now)
                side = max(expected[2], region[2])
                shift = np.hypot(*(expected[:2] - region[:2])) / side
                if shift < 0.15 and min(expected[2], region[2]) / side > 0.6:
                    track.support = max(track.support, float(found.score[i]))
                    claimed = True
            if not claimed:
                keep.append(i)
        return replace(found, regions=regions).select(keep)

    def _look(self, image: Image, places: list[_Place], found: Detections) -> list[Sighting]:
        """Runs the estimator on places and on detections; returns what it saw in this order."""
        regions = [region for region, _ in places] + list(regions_of(found))
        if not regions:
            return []
        height, width = image.shape[:2]
        boxes = np.array([box for _, box in places] + list(found.boxes_xyxy_px), np.float32)
        people = Detections(
            boxes_xyxy_px=np.clip(boxes, 0, [width, height, width, height]).astype(np.float32),
            score=np.ones(len(regions), np.float32),
            regions=np.array(regions, np.float32),
        )
        seen = self.estimator.estimate(image, people)
        support = [0.0] * len(places) + list(found.score)
        return sightings_of(image, seen, support, self.estimator.skeleton)

    def _continues(self, track: Track, seen: Sighting, now: float) -> bool:
        """Tells whether a sighting at a track's predicted place is that person."""
        if seen.presence < MIN_PRESENCE:
            return False
        dt = max(0.0, now - track.seen_s)
        jump = np.linalg.norm(seen.centre_px - track.predict_centre(now)) / track.size_px
        change = track.change_to(seen, now)
        ratio = seen.size_px / track.size_px
        if track.strange_since_s is not None and now - track.strange_since_s > _STRANGE_S:
            return False
        # At low frame rates people move further between two frames.
        return bool(
            jump < _MAX_JUMP + 0.8 * max(0.0, dt - 0.05)
            and change < _MAX_POSE_CHANGE + _POSE_CHANGE_PER_S * dt
            and 0.4 < ratio < 2.5
        )

    def _part_collapsed(self, active: list[Track], seen: _Seen, now: float) -> None:
        """Finds tracks that slid onto the same person and takes it away from the wrong ones."""
        for i, a in enumerate(active):
            for b in active[:i]:
                if a.id not in seen or b.id not in seen:
                    continue
                one, two = seen[a.id], seen[b.id]
                if not a.confirmed and one.is_part_of(two):
                    wrong = a
                elif one.is_same(two):
                    wrong = max((a, b), key=lambda t: _strangeness(t, seen[t.id], now))
                else:
                    continue
                del seen[wrong.id]
                if wrong.confirmed and wrong.roll_back(now):
                    self._lose(wrong)
                else:
                    self._tracks.remove(wrong)

    def _plausible(self, free: list[Sighting], seen: _Seen) -> list[Sighting]:
        """Returns the free sightings that are people whom nobody follows, best first."""
        kept: list[Sighting] = []
        owners = {t: seen[t.id] for t in self._tracks if t.id in seen}
        for one in sorted(free, key=lambda s: -(s.presence + s.support)):
            if one.presence < MIN_PRESENCE:
                continue
            same = [t for t, other in owners.items() if one.is_same(other)]
            for track in same:
                track.support = max(track.support, one.support)
            if not same and not any(one.is_same(other) for other in kept):
                kept.append(one)
        return kept

    def _pick_up(
        self, missing: list[Track], free: list[Sighting], seen: _Seen, now: float
    ) -> list[Sighting]:
        """Gives sightings to missing people by place, size and colours; returns those left."""
        missing = [t for t in missing if t in self._tracks]
        if not missing or not free:
            return free
        cost = np.array([[_cost(t, one, now) for one in free] for t in missing])
        for i, j in pair_up(cost):
            seen[missing[i].id] = free[j]
        return [one for one in free if one not in seen.values()]

    def _lose(self, track: Track) -> None:
        track.lost = True
        # Soon, but not again and again, the whole picture is searched.
        self._next_thorough = min(
            self._next_thorough, max(self._frame + self._glance, self._next_whole)
        )
        self._lost_one = True

    def _forget(self, image: Image, now: float) -> None:
        """Drops people who were lost too long or have left, and mistakes of the detector."""
        size = np.array(image.shape[1::-1])
        kept = []
        for track in self._tracks:
            if track.lost:
                centre = track.predict_centre(now)
                left = bool((centre < 0).any() or (centre > size).any())
                if now - track.seen_s > LOST_FOR_S or left or not track.confirmed:
                    continue
            elif not track.confirmed and now - track.born_s > _PROBATION_S:
                continue
            if track.size_px < MIN_SIZE_PX:
                continue
            kept.append(track)
        self._tracks = kept

    def _begin(self, image: Image, free: list[Sighting], seen: _Seen, now: float) -> None:
        """Starts tracks for new people, after a second look from where the first one pointed."""
        for first in free:
            if first.support <= 0 or first.size_px < MIN_SIZE_PX:
                continue
            if first.support < SURE and any(first.is_part_of(other) for other in seen.values()):
                continue
            (second,) = self._look(image, [(first.region, first.box_px)], Detections.none())
            if second.presence < MIN_PRESENCE or not first.is_same(second):
                continue
            if any(second.is_same(other) for other in seen.values()):
                continue
            second.support = first.support
            track = Track(
                id=self._next_id,
                born_s=now,
                body_px=second.body_px,
                centre_px=second.centre_px,
                region=second.region,
                box_px=second.box_px,
                seen_s=now,
                size_px=second.size_px,
            )
            self._next_id += 1
            self._tracks.append(track)
            seen[track.id] = second

    def _report(self, seen: _Seen, now: float) -> list[Observation]:
        """Updates every seen track and returns what is known about it."""
        out = []
        for track in self._tracks:
            if track.id not in seen:
                continue
            one = seen[track.id]
            others = [other for other in seen.values() if other is not one]
            crowded = any(one.covered_by(other) > 0.15 for other in others)
            track.update(one, now, crowded=crowded)
            out.append(
                one.report(
                    track.id,
                    colours=track.colours,
                    support=track.support,
                    evidence=track.evidence,
                )
            )
        return out


def _place_of(track: Track, time_s: float) -> _Place:
    return track.predict_region(time_s), track.predict_box(time_s)


def _strangeness(track: Track, seen: Sighting, now: float) -> float:
    """Returns how little a sighting fits what was known of a track some time ago."""
    expected = track.extrapolate(now)
    if expected is None:
        return 10.0 + track.id  # of two tracks without a past the younger is the duplicate
    centre, size = expected
    shift = np.linalg.norm(seen.centre_px - centre) / size
    scale = abs(np.log(seen.size_px / size))
    return float(shift + scale + colour_distance(track.colours, seen.colours))


def _cost(track: Track, seen: Sighting, now: float) -> float:
    """Returns below 1 when a sighting may be a missing person; less is better."""
    gone = now - track.seen_s
    shift = np.linalg.norm(seen.centre_px - track.predict_centre(now)) / track.size_px
    ratio = seen.size_px / track.size_px
    # When nobody but the landmark network says so, it must be nearly the pose that was lost.
    if seen.support <= 0 and (
        track.change_to(seen, now) > 0.3 + 0.3 * gone or abs(np.log(ratio)) > 0.3
    ):
        return NOT_POSSIBLE
    colours = colour_distance(track.colours, seen.colours)
    return difference(float(shift), ratio, colours, reach=0.3 + 0.5 * min(gone, 1.0))
