"""Who is who in poses of another program that does not follow people: one pass over arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.cleaning.gaps import seen_points
from pose3d.tracking.likeness import NOT_POSSIBLE, body_joints, pair_up, size_of
from pose3d.tracking.stitching import Tracklet, clean_tracks
from pose3d.tracking.track import Moving

Array = NDArray[np.floating]

LOST_FOR_S = 1.0  # who was not seen for longer gets a new track; stitching may join it
_MIN_JOINTS = 3
# Mean distance of joints from the expected place, in sizes of the person:
_REACH = 0.35  # at once
_REACH_PER_S = 4.0  # more for each second unseen
_FARTHEST = 1.2  # at most


@dataclass(slots=True, kw_only=True, eq=False)
class _Person(Moving):
    rows: list[int]  # of the poses so far
    pose: Array  # (joint, 2) last known places, NaN where never seen

    def update(self, row: int, pose: Array, now_s: float) -> None:
        seen = seen_points(pose)
        both = seen & seen_points(self.pose)
        shift = np.median(pose[both] - self.pose[both], axis=0) if both.any() else None
        self.move(shift, float(size_of(pose)), now_s)
        # Joints out of sight go along with the rest of the body.
        moved = self.pose if shift is None else self.pose + shift
        self.pose = np.where(seen[:, None], pose, moved)
        self.rows.append(row)


def follow_people(
    frames: NDArray[np.int_], points_px: Array, score: Array, time_s: Array, skeleton: Skeleton
) -> NDArray[np.int_]:
    """Returns ids ``(row,)`` from 1 in order of first appearance; 0 for poses that are no person.
    Those were seen twice, have fewer than three joints, or lived less than 0.3 s. Rows
    (``frames``, ``points_px`` ``(row, joint, 2)`` with NaN where not seen, ``score`` 0..1) come
    in any order; ``time_s`` is that of every frame of the clip."""
    body = body_joints(skeleton)
    poses = points_px[:, body]
    seen = seen_points(poses)
    usable = seen.sum(-1) >= _MIN_JOINTS
    people = _walk(frames, poses, usable, time_s)
    tracklets = [_tracklet(n, p.rows, frames, points_px, score) for n, p in enumerate(people)]
    kept = clean_tracks(tracklets, time_s, skeleton, only_short=True)
    ids = np.zeros(len(frames), int)
    rows_of = {(int(frames[r]), n): r for n, p in enumerate(people) for r in p.rows}
    for track in kept:
        for frame, piece in zip(track.frames, track.presence, strict=True):
            ids[rows_of[int(frame), int(piece)]] = track.id
    return ids


def _walk(
    frames: NDArray[np.int_], poses: Array, usable: NDArray[np.bool_], time_s: Array
) -> list[_Person]:
    """Goes through the frames in order and returns everybody who was followed."""
    everybody: list[_Person] = []
    order = np.argsort(frames, kind="stable")
    order = order[usable[order]]
    for rows in np.split(order, np.flatnonzero(np.diff(frames[order])) + 1):
        if not len(rows):
            continue
        now = float(time_s[frames[rows[0]]])
        alive = [p for p in everybody if now - p.seen_s <= LOST_FOR_S]
        free = set(range(len(rows)))
        if alive:
            cost = np.array([_costs(p, poses[rows], now) for p in alive])
            for i, j in pair_up(cost):
                alive[i].update(int(rows[j]), poses[rows[j]], now)
                free.discard(j)
        for j in sorted(free):
            row = int(rows[j])
            size = float(size_of(poses[row]))
            everybody.append(_Person(rows=[row], pose=poses[row].copy(), size_px=size, seen_s=now))
    return everybody


def _costs(person: _Person, poses: Array, now_s: float) -> Array:
    """Returns for each pose below 1 when it may be this person; less is better."""
    gaps = np.linalg.norm(poses - (person.pose + person.travel(now_s)), axis=-1)
    seen = np.isfinite(gaps)
    joints = seen.sum(-1)
    reach = min(_REACH + _REACH_PER_S * max(0.0, now_s - person.seen_s - 0.05), _FARTHEST)
    mean = np.where(seen, gaps, 0).sum(-1) / np.maximum(joints, 1)
    cost = mean / (reach * max(person.size_px, 1.0))
    return np.where((joints >= _MIN_JOINTS) & (cost < 1), cost, NOT_POSSIBLE)


def _tracklet(
    number: int, rows: list[int], frames: NDArray[np.int_], points_px: Array, score: Array
) -> Tracklet:
    """Makes a tracklet without holes; ``presence`` is its number, to lead back to the rows."""
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
