"""Key frames: the few frames of a motion that stand for the rest, chosen by a lifter's tokens.

HoT's clustering (frames that are dense and far from every denser one), on the whole clip: frames
are described by their tokens and a clock that runs only while the body moves; in the order of
:func:`~pose3d.lift.pruning.cluster_frames` those are taken in which the person was seen, and has
moved, some time away from those taken before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose3d.arguments import checked
from pose3d.errors import UsageError
from pose3d.render.paint import Array
from pose3d.result.record import PoseSequence

if TYPE_CHECKING:
    from pose3d.lift.lifter import Lifter
    from pose3d.lift.tokens import WindowChoice

# The clock between two evenly spread key frames counts as much as this many times the root mean
# square distance of the tokens from their mean.
CLOCK_WEIGHT = 2.0

STILL_M = 0.15  # poses in which no joint differs by more (about the pelvis) are one

CLOSEST = 1 / 3  # share of their even distance that key frames are at least apart

_AT_ONCE = 2048  # frames clustered together: the distances of all pairs are 16 MB
_SPARE = 4  # candidates for each key frame wanted, for some are too much alike


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrame:
    """One key frame."""

    frame: int  # number in the clip
    time_s: float  # presentation time
    rank: int  # 1: what the clustering calls most representative, and so on
    ranges: tuple[tuple[int, int], ...]  # the frames that it stands for: [start, stop), increasing

    @property
    def size(self) -> int:
        """How many frames it stands for, itself included."""
        return sum(stop - start for start, stop in self.ranges)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrames:
    """The key frames of one person."""

    person_id: int  # track id
    frames: tuple[KeyFrame, ...]  # in the order of time
    windows: tuple[WindowChoice, ...]  # what the network itself kept; empty if it keeps all


@checked
def choose_key_frames(pose: PoseSequence, lifter: Lifter, *, count: int = 12) -> list[KeyFrames]:
    """Chooses at most ``count`` key frames for every person of a clip, by the tokens of ``lifter``.

    A UsageError when there is nothing to cluster, or the lifter has no tokens.
    """
    from pose3d.lift.tokens import read_tokens

    if count < 1:
        raise UsageError(f"{count} key frames are wanted", "Give a whole number from 1")
    if pose.joints_cam_m is None:
        raise UsageError(
            f"The result of {pose.video.path} has no 3D joints", "Lift it first (pose3d lift)"
        )
    out = []
    for span, tokens in zip(pose.spans, read_tokens(pose, lifter), strict=True):
        joints = pose.joints_cam_m[span.rows]
        known = np.isfinite(tokens.features).all(-1) & np.isfinite(joints).all((1, 2))
        seen = pose.valid[span.rows][known]
        chosen, groups = cluster_clip(tokens.features[known], joints[known], seen, count)
        numbers = pose.frame[span.rows][known]
        frames = tuple(
            KeyFrame(
                frame=int(numbers[at]),
                time_s=float(pose.time_s[numbers[at]]),
                rank=rank,
                ranges=_ranges(numbers[groups == at]),
            )
            for rank, at in enumerate(chosen, 1)
        )
        out.append(
            KeyFrames(
                person_id=span.person_id,
                frames=tuple(sorted(frames, key=lambda f: f.frame)),
                windows=tokens.windows,
            )
        )
    return out


def cluster_clip(
    features: Array, joints_m: Array, seen: NDArray[np.bool_], count: int
) -> tuple[list[int], NDArray[np.intp]]:
    """Chooses one person's key rows, best first, and ``(frame,)`` which of them stands for each.

    ``features`` ``(frame, channel)`` and ``joints_m`` ``(frame, joint, 3)`` are of frames where the
    person is there; ``seen`` is False where filled in.
    """
    if not seen.any():
        return [], np.full(len(features), -1, np.intp)
    space = add_clock(features, joints_m, count)
    chosen: list[int] = []
    least = CLOSEST * len(features) / count
    for row in rank_frames(space, _SPARE * count):
        if len(chosen) == count:
            break
        crowded = any(abs(row - other) < least for other in chosen)
        if seen[row] and not crowded and not _stood_still(joints_m, row, chosen):
            chosen.append(row)
    distance = np.stack([((space - space[row]) ** 2).sum(1) for row in chosen], 1)
    return chosen, np.array(chosen, np.intp)[distance.argmin(1)]


def add_clock(features: Array, joints_m: Array, count: int) -> NDArray[np.float64]:
    """Appends how far the joints have travelled, scaled by :data:`CLOCK_WEIGHT`."""
    features = np.asarray(features, np.float64)
    step = np.linalg.norm(np.diff(joints_m.astype(np.float64), axis=0), axis=-1).mean(-1)
    clock = np.concatenate([[0.0], np.cumsum(step)])
    spread = float(np.sqrt(((features - features.mean(0)) ** 2).sum(1).mean()))
    scale = CLOCK_WEIGHT * count * spread / clock[-1] if clock[-1] > 0 else 0.0
    return np.concatenate([features, scale * clock[:, None]], 1)


def rank_frames(space: Array, count: int) -> list[int]:
    """Ranks ``count`` frames by density-peaks clustering, best first; long clips part by part."""
    import torch

    from pose3d.lift.pruning import cluster_frames

    rows = np.arange(len(space))
    while len(rows) > _AT_ONCE:
        parts = np.array_split(rows, -(-len(rows) // _AT_ONCE))
        keep = min(2 * count, _AT_ONCE // 4)
        kept = [cluster_frames(torch.from_numpy(space[p])[None], keep)[0][0].numpy() for p in parts]
        rows = np.concatenate([p[k] for p, k in zip(parts, kept, strict=True)])
    tokens = torch.from_numpy(space[rows])[None]
    # k = 2 neighbours do not exist in a clip of one frame.
    chosen, groups = cluster_frames(tokens, min(count, len(rows)), neighbours=min(2, len(rows)))
    index, group = chosen[0].numpy(), groups[0].numpy()
    # A chosen frame is in its own cluster, and clusters are counted in the order of their score.
    return [int(r) for r in rows[index[np.argsort(group[index])]]]


def _stood_still(joints_m: Array, row: int, chosen: list[int]) -> bool:
    """Tells whether nothing happened between a frame and the chosen ones before and after it."""
    before = max((c for c in chosen if c < row), default=None)
    after = min((c for c in chosen if c > row), default=None)
    ways = [joints_m[before : row + 1]] if before is not None else []
    ways += [joints_m[row : after + 1]] if after is not None else []
    return any(np.linalg.norm(w - joints_m[row], axis=-1).max() < STILL_M for w in ways)


def _ranges(frames: NDArray[np.intp]) -> tuple[tuple[int, int], ...]:
    runs = np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1)
    return tuple((int(run[0]), int(run[-1]) + 1) for run in runs)
