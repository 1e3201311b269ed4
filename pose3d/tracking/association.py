"""Who is who in poses of another program that does not follow people: one pass over arrays.

Every pose is compared with where each known person should be by now (constant speed that fades, as in
:mod:`pose3d.tracking.track`); all pairs of a frame are decided together. Joints that were not seen do not count.
Afterwards duplicates are removed and pieces of one person joined by :mod:`pose3d.tracking.stitching`, which also
serves our own tracker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pose3d.body.skeletons import Skeleton
from pose3d.cleaning.gaps import seen_points
from pose3d.tracking.likeness import body_joints
from pose3d.tracking.stitching import Tracklet, join_pieces, remove_duplicates

Array = NDArray[np.floating]

LOST_FOR_S = 1.0
"""A person who was not seen for longer gets a new track; stitching may join it to the old one."""
MIN_LIFE_S = 0.3
"""People who were seen for a shorter time in all are mistakes of the detector."""
_MIN_JOINTS = 3
_REACH = 0.35
_REACH_PER_S = 4.0
_FARTHEST = 1.2
"""Mean distance of joints from the expected place, as a share of the person's size: at once, more
for each second since the last sighting, and at most."""
_MEMORY_S = 0.1
_NOT_POSSIBLE = 1e3


@dataclass(slots=True)
class _Person:
    """Somebody who is followed.

    Args:
        rows: of the poses so far.
        pose: ``(joint, 2)`` last known place of each body joint, NaN where never seen.
        size_px: longer side of the box around the body, smoothed.
        seen_s: time of the last sighting.
        velocity_px_s: ``(2,)`` of the whole body, smoothed.
    """

    rows: list[int]
    pose: Array
    size_px: float
    seen_s: float
    velocity_px_s: Array = field(default_factory=lambda: np.zeros(2))

    def expected(self, now_s: float) -> Array:
        """Returns where the joints should be, ``(joint, 2)``."""
        travelled = self.velocity_px_s * (1.0 - np.exp(-(now_s - self.seen_s)))
        return np.asarray(self.pose + travelled)

    def update(self, row: int, pose: Array, size_px: float, now_s: float) -> None:
        """Enters a sighting."""
        dt = now_s - self.seen_s
        seen = seen_points(pose)
        both = seen & seen_points(self.pose)
        if dt > 0 and both.any():
            speed = np.median(pose[both] - self.pose[both], axis=0) / dt
            self.velocity_px_s = self.velocity_px_s + (1 - np.exp(-dt / _MEMORY_S)) * (
                speed - self.velocity_px_s
            )
        shift = np.median(pose[both] - self.pose[both], axis=0) if both.any() else np.zeros(2)
        # Joints out of sight go along with the rest of the body.
        self.pose = np.where(seen[:, None], pose, self.pose + shift)
        self.size_px += (1 - np.exp(-max(dt, 0.02) / 0.2)) * (size_px - self.size_px)
        self.seen_s = now_s
        self.rows.append(row)


def follow_people(
    frames: NDArray[np.int_], points_px: Array, score: Array, time_s: Array, skeleton: Skeleton
) -> NDArray[np.int_]:
    """Tells which poses are of the same person.

    Args:
        frames: ``(row,)`` frame of each pose, rows in any order.
        points_px: ``(row, joint, 2)``; NaN where not seen.
        score: ``(row, joint)`` 0..1.
        time_s: ``(frame,)`` time of every frame of the clip.
        skeleton: of the joints.

    Returns:
        ``(row,)`` ids from 1 in order of first appearance; 0 for poses that are no person: seen
        twice, fewer than three joints, or for less than 0.3 s in the whole clip.
    """
    body = body_joints(skeleton)
    poses = points_px[:, body]
    seen = seen_points(poses)
    usable = seen.sum(-1) >= _MIN_JOINTS
    people = _walk(frames, poses, usable, time_s)
    tracklets = [_tracklet(n, p.rows, frames, points_px, score) for n, p in enumerate(people)]
    kept = join_pieces(remove_duplicates(tracklets, skeleton), time_s, skeleton)
    kept = [t for t in kept if _lives(t, time_s)]
    kept.sort(key=lambda t: (int(t.frames[0]), t.id))
    ids = np.zeros(len(frames), int)
    rows_of = {(int(frames[r]), n): r for n, p in enumerate(people) for r in p.rows}
    for number, track in enumerate(kept, 1):
        for frame, piece in zip(track.frames, track.presence, strict=True):
            ids[rows_of[int(frame), int(piece)]] = number
    return ids


def _walk(
    frames: NDArray[np.int_], poses: Array, usable: NDArray[np.bool_], time_s: Array
) -> list[_Person]:
    """Goes through the frames in order and returns everybody who was followed."""
    everybody: list[_Person] = []
    sizes = _sizes(poses)
    order = np.argsort(frames, kind="stable")
    order = order[usable[order]]
    for rows in np.split(order, np.flatnonzero(np.diff(frames[order])) + 1):
        if not len(rows):
            continue
        now = float(time_s[frames[rows[0]]])
        alive = [p for p in everybody if now - p.seen_s <= LOST_FOR_S]
        free = set(range(len(rows)))
        if alive:
            cost = np.array([[_cost(p, poses[r], now) for r in rows] for p in alive])
            for i, j in zip(*linear_sum_assignment(cost), strict=True):
                if cost[i, j] < 1:
                    alive[i].update(int(rows[j]), poses[rows[j]], float(sizes[rows[j]]), now)
                    free.discard(j)
        for j in sorted(free):
            row = int(rows[j])
            everybody.append(_Person([row], poses[row].copy(), float(sizes[row]), now))
    return everybody


def _cost(person: _Person, pose: Array, now_s: float) -> float:
    """Returns below 1 when a pose may be this person; less is better."""
    expected = person.expected(now_s)
    gaps = np.linalg.norm(pose - expected, axis=-1)
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) < _MIN_JOINTS:
        return _NOT_POSSIBLE
    reach = min(_REACH + _REACH_PER_S * max(0.0, now_s - person.seen_s - 0.05), _FARTHEST)
    cost = float(gaps.mean()) / (reach * max(person.size_px, 1.0))
    return cost if cost < 1 else _NOT_POSSIBLE


def _sizes(poses: Array) -> Array:
    """Returns the longer side of the box around the seen joints of each pose, at least 1 pixel."""
    seen = seen_points(poses)[..., None]
    low = np.where(seen, poses, np.inf).min(1, initial=np.inf)
    high = np.where(seen, poses, -np.inf).max(1, initial=-np.inf)
    return np.asarray(np.maximum(high - low, 1.0).max(-1))


def _tracklet(
    number: int, rows: list[int], frames: NDArray[np.int_], points_px: Array, score: Array
) -> Tracklet:
    """Makes what stitching works on: every joint has a place in every frame of the track.

    ``presence`` carries the track's number, so that after joining each frame leads back to its row.
    """
    points = _without_holes(points_px[rows])
    return Tracklet(
        id=number,
        frames=frames[rows],
        boxes_xyxy_px=np.concatenate((points.min(1), points.max(1)), -1),
        keypoints_px=points,
        score=score[rows],
        presence=np.full(len(rows), number, float),
        world_m=None,
        colours=None,
        support=1.0,
    )


def _without_holes(points: Array) -> Array:
    """Returns ``(frame, joint, 2)`` with unseen joints at their last or next place in the body."""
    seen = seen_points(points)
    centre = np.nanmean(points, axis=1, keepdims=True)
    out = points - centre
    index = np.arange(len(points))
    for joint in range(points.shape[1]):
        known = index[seen[:, joint]]
        if not len(known):
            out[:, joint] = 0.0
            continue
        for axis in range(2):
            out[:, joint, axis] = np.interp(index, known, out[known, joint, axis])
    return np.asarray(out + centre)


def _lives(track: Tracklet, time_s: Array) -> bool:
    """Tells whether a track is long enough for a person; in a short clip everybody's life is short."""
    frame_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0
    return len(track) * frame_s >= min(MIN_LIFE_S, 0.5 * len(time_s) * frame_s) - 1e-9
