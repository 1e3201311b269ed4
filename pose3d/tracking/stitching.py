"""After the last frame: pieces of one person are joined, mistakes are removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.tracking.evidence import SURE_TRUST, Evidence
from pose3d.tracking.likeness import (
    NOT_POSSIBLE,
    body_joints,
    colour_distance,
    cover,
    difference,
    pair_up,
    pose_distance,
    size_of,
    trunk_joints,
)
from pose3d.tracking.track import MIN_SIZE_PX, MIN_SUPPORT, SURE, Observation

Array = NDArray[np.floating]

MIN_LIFE_S = 0.3  # tracks that were seen for a shorter time are mistakes
MAX_GAP_S = 3.0  # pieces further apart are not joined
_MOTION_S = 0.3
_SAME_PERSON = 0.3
_SAME_SHARE = 0.5
_PART_COVER = 0.75
_WORSE = 0.8  # of its visibility
_STILL = 0.3
_BRIEF_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracklet:
    """A person, or a piece of one, over all its k frames."""

    id: int
    frames: NDArray[np.int_]  # (k,) increasing
    boxes_xyxy_px: Array  # (k, 4)
    keypoints_px: Array  # (k, joint, 2)
    score: Array  # (k, joint)
    presence: Array  # (k,)
    world_m: Array | None  # (k, joint, 3)
    colours: NDArray[np.float32] | None  # of the trunk, in the middle of its life
    support: float  # highest detector score
    evidence: Evidence = field(default_factory=Evidence)

    def __len__(self) -> int:
        return len(self.frames)


def tracklet_of(seen: Sequence[tuple[int, Observation]]) -> Tracklet:
    """Gathers the frame numbers and observations of one track, in order; at least one."""
    observations = [o for _, o in seen]
    last = observations[-1]
    world = [o.world_m for o in observations if o.world_m is not None]
    return Tracklet(
        id=last.track_id,
        frames=np.array([frame for frame, _ in seen], int),
        boxes_xyxy_px=np.array([o.box_xyxy_px for o in observations], np.float32),
        keypoints_px=np.array([o.keypoints_px for o in observations], np.float32),
        score=np.array([o.score for o in observations], np.float32),
        presence=np.array([o.presence for o in observations], np.float32),
        world_m=np.array(world, np.float32) if len(world) == len(observations) else None,
        # At the end of a track they may already be those of whoever covered this person.
        colours=observations[len(seen) // 2].colours,
        support=max(o.support for o in observations),
        evidence=last.evidence,
    )


def is_short(track: Tracklet, time_s: Array) -> bool:
    """Tells whether a track is too short for a person; in a short clip everybody's life is short."""
    frame_s = _frame_s(time_s)
    return len(track) * frame_s < min(MIN_LIFE_S, 0.5 * len(time_s) * frame_s) - 1e-9


def _frame_s(time_s: Array) -> float:
    return float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0


def is_ghost(track: Tracklet, time_s: Array, skeleton: Skeleton) -> bool:
    """Tells whether a track is no person: never sure, or doubtful and brief or never moving."""
    size = float(np.median(size_of(track.keypoints_px[:, body_joints(skeleton)])))
    if track.support < MIN_SUPPORT or size < MIN_SIZE_PX or not track.evidence.believed:
        return True
    centres = track.keypoints_px[:, trunk_joints(skeleton)].mean(1)
    spread = np.percentile(centres, 95, axis=0) - np.percentile(centres, 5, axis=0)
    brief = len(track) * _frame_s(time_s) <= _BRIEF_S
    still = not brief and float(spread.max() / size) < _STILL
    # People stand still as well, but then both networks are sure of them.
    if track.evidence.trust is not None:
        doubtful = track.evidence.trust < SURE_TRUST
    else:
        brief = False
        doubtful = float(track.presence.mean()) < 0.9 or float(track.score.mean()) < 0.7
    return bool((still or brief) and doubtful and track.support < 0.8)


def clean_tracks(
    tracklets: Sequence[Tracklet], time_s: Array, skeleton: Skeleton, *, only_short: bool = False
) -> list[Tracklet]:
    """Joins each person's pieces and removes mistakes; ids from 1 in order of first appearance.
    ``only_short``: tracks that are too short are the only mistakes."""
    kept = join_pieces(remove_duplicates(tracklets, skeleton), time_s, skeleton)
    kept = [t for t in kept if not is_short(t, time_s)]
    kept = [t for t in kept if only_short or not is_ghost(t, time_s, skeleton)]
    kept.sort(key=lambda t: (int(t.frames[0]), t.id))
    return [replace(t, id=number) for number, t in enumerate(kept, 1)]


def remove_duplicates(tracklets: Sequence[Tracklet], skeleton: Skeleton) -> list[Tracklet]:
    """Removes tracks that mostly share a longer one's pose, or, doubtful or less visible, lie in its box."""
    body = body_joints(skeleton)
    kept: list[Tracklet] = []
    for track in sorted(tracklets, key=lambda t: (-len(t), t.id)):
        if not any(_shared(track, other, body) > _SAME_SHARE for other in kept):
            kept.append(track)
    return kept


def _shared(track: Tracklet, other: Tracklet, body: NDArray[np.int_]) -> float:
    """Returns the share of a track's frames in which another one is the same person."""
    _, mine, its = np.intersect1d(
        track.frames, other.frames, assume_unique=True, return_indices=True
    )
    if not len(mine):
        return 0.0
    a, b = track.keypoints_px[mine][:, body], other.keypoints_px[its][:, body]
    same = pose_distance(a, b) < _SAME_PERSON
    inside = cover(track.boxes_xyxy_px[mine], other.boxes_xyxy_px[its]) > _PART_COVER
    # A detector that looks often finds a person twice; the second pose is seen less well.
    worse = track.score[mine][:, body].mean(-1) < _WORSE * other.score[its][:, body].mean(-1)
    same |= inside & (worse | (track.support < SURE))
    return float(same.sum() / len(track))


def join_pieces(tracklets: Sequence[Tracklet], time_s: Array, skeleton: Skeleton) -> list[Tracklet]:
    """Joins tracks that end with those that begin soon after near by, alike in size and colours."""
    pieces = list(tracklets)
    while len(pieces) > 1:
        cost = np.array([[_join_cost(a, b, time_s, skeleton) for b in pieces] for a in pieces])
        pairs = pair_up(cost)
        if not pairs:
            return pieces
        # The best pair only: a chain of three is joined in the next rounds.
        i, j = min(pairs, key=lambda pair: cost[pair])
        joined = _join(pieces[i], pieces[j])
        pieces = [p for k, p in enumerate(pieces) if k not in (i, j)] + [joined]
    return pieces


def _join_cost(a: Tracklet, b: Tracklet, time_s: Array, skeleton: Skeleton) -> float:
    """Returns below 1 when b may be the continuation of a; less is better."""
    if b.frames[0] <= a.frames[-1]:
        return NOT_POSSIBLE
    gap = float(time_s[b.frames[0]] - time_s[a.frames[-1]])
    if gap > MAX_GAP_S:
        return NOT_POSSIBLE
    body, trunk = body_joints(skeleton), trunk_joints(skeleton)
    size_a = float(np.median(size_of(a.keypoints_px[-10:, body])))
    size_b = float(np.median(size_of(b.keypoints_px[:10, body])))
    centre_a, speed_a = _motion(a, time_s, trunk, end=True)
    centre_b, speed_b = _motion(b, time_s, trunk, end=False)
    fade = 1 - np.exp(-gap)
    # Each is carried over half of the gap by its own speed.
    shift = np.linalg.norm((centre_a + speed_a * fade / 2) - (centre_b - speed_b * fade / 2))
    shift /= (size_a + size_b) / 2
    colours = colour_distance(a.colours, b.colours)
    return difference(float(shift), size_a / size_b, colours, reach=0.4 + 0.4 * min(gap, 1.0))


def _motion(
    track: Tracklet, time_s: Array, trunk: NDArray[np.int_], *, end: bool
) -> tuple[Array, Array]:
    """Returns centre and speed ``(2,)`` (pixels, pixels per second) at one end of a track."""
    t = time_s[track.frames]
    near = t >= t[-1] - _MOTION_S if end else t <= t[0] + _MOTION_S
    centres = track.keypoints_px[near][:, trunk].mean(1)
    here = centres[-1] if end else centres[0]
    if near.sum() < 3:
        return here, np.zeros(2)
    return here, np.polyfit(t[near] - t[near].mean(), centres, 1)[0]


def _join(a: Tracklet, b: Tracklet) -> Tracklet:
    world = None
    if a.world_m is not None and b.world_m is not None:
        world = np.concatenate((a.world_m, b.world_m))
    names = "frames", "boxes_xyxy_px", "keypoints_px", "score", "presence"
    return Tracklet(
        **{name: np.concatenate((getattr(a, name), getattr(b, name))) for name in names},
        id=min(a.id, b.id),
        world_m=world,
        colours=a.colours if len(a) > len(b) else b.colours,
        support=max(a.support, b.support),
        evidence=a.evidence + b.evidence,
    )
