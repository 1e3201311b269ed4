"""Left/right exchanges of a 2D estimator: found and undone by following each limb through time.

With the right names a joint goes where its velocity leads, also where legs pass each other. Each
limb pair has 2^k states per frame, one bit for every joint pair, solved exactly (Viterbi over pairs
of frames). Being exchanged and changing the state cost, at prices fitted on a detector's tracks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

# Joints that are exchanged together: the end of a limb takes hand or foot along.
LEG = (("hip",), ("knee",), ("ankle", "heel", "foot_index", "big_toe", "small_toe"))
ARM = (("shoulder",), ("elbow",), ("wrist", "pinky", "index", "thumb"))

# The prices of a chain, in units of the log likelihood.
SPREAD = 0.016  # usual distance from the prediction, as a share of the person's size, at 30 Hz
DAMPING = 0.6  # how much of the velocity is believed to go on
CHANGE = 4.6  # a change of the exchanged joints of a limb
JOINT_CHANGE = 1.1  # each joint whose state changes, in addition
EXCHANGED = 0.9  # each frame in which any joint of a limb is exchanged
UNEVEN = 0.3  # each frame in which joints of one limb are in different states
OPEN_END = 2.0  # being exchanged at an end of a run: which side of the change is wrong is not known
RESTART_S = 0.25  # after a longer time unseen nothing is known about the motion


def limb_pairs(skeleton: Skeleton) -> list[list[tuple[list[int], list[int]]]]:
    """Returns for legs and arms the (left, right) joint indices of each part that exists."""
    limbs = []
    for limb in (LEG, ARM):
        parts = []
        for names in limb:
            there = [n for n in names if f"left_{n}" in skeleton.index]
            if there:
                left = [skeleton.index[f"left_{n}"] for n in there]
                parts.append((left, [skeleton.index[f"right_{n}"] for n in there]))
        if parts:
            limbs.append(parts)
    return limbs


def find_swaps(points_px: Array, time_s: Array, size_px: Array, skeleton: Skeleton) -> Mask:
    """Returns ``(frame, joint)`` True where a joint carries the name of the other side.

    ``points_px`` are ``(frame, joint, 2)``, NaN where not seen; ``size_px`` ``(frame,)`` is the
    person's size, in which distances are measured.
    """
    swapped = np.zeros(points_px.shape[:2], bool)
    for parts in limb_pairs(skeleton):
        # Only the first joint of a part is followed: heels and toes go where the ankle goes.
        pairs = np.stack([points_px[:, [left[0], right[0]]] for left, right in parts], 1)
        seen = np.isfinite(pairs).all((1, 2, 3)) & np.isfinite(size_px)
        frames = np.flatnonzero(seen)
        if len(frames) < 3:
            continue
        for run in np.split(frames, np.flatnonzero(np.diff(time_s[frames]) > RESTART_S) + 1):
            if len(run) < 3:
                continue
            state = _most_likely(pairs[run] / size_px[run, None, None, None], time_s[run])
            for part, (left, right) in enumerate(parts):
                swapped[run[:, None], [*left, *right]] = state[:, part, None]
    return swapped


def exchange_sides(array: Array, swapped: Mask, skeleton: Skeleton) -> Array:
    """Returns a copy of ``(frame, joint, ...)`` with marked joints from the other side."""
    mirrored = array[:, list(skeleton.mirror)]
    return np.where(swapped.reshape(*swapped.shape, *[1] * (array.ndim - 2)), mirrored, array)


def _most_likely(pairs: Array, time_s: Array) -> Mask:
    """Returns where sides are exchanged in ``(frame, part, 2, 2)``: side, then x and y in sizes."""
    n, parts = pairs.shape[:2]
    bits = (np.arange(2**parts)[:, None] >> np.arange(parts)) & 1  # (state, part)
    own = EXCHANGED * bits.any(1) + UNEVEN * (bits.min(1) != bits.max(1))
    flips = (bits[:, None] != bits[None]).sum(-1)
    change = CHANGE * (flips > 0) + JOINT_CHANGE * flips

    motion = _motion_costs(pairs, time_s)  # (frame - 2, part, 2, 2, 2)
    full = np.zeros((n - 2, *[len(bits)] * 3))
    for part in range(parts):
        b = bits[:, part]
        full += motion[:, part][:, b[:, None, None], b[None, :, None], b[None, None, :]]
    full += change[None, None] + own

    # cost[a, b]: best chain that ends with state a, then b.
    open_end = OPEN_END * bits.any(1)
    start = own + change[0] + open_end
    cost = start[:, None] + change + own[None]
    came_from = np.zeros((n - 2, len(bits), len(bits)), np.int8)
    for t in range(n - 2):
        total = cost[:, :, None] + full[t]
        came_from[t] = total.argmin(0)
        cost = total.min(0)
    before, last = np.unravel_index((cost + open_end).argmin(), cost.shape)
    states = [int(last), int(before)]
    for t in range(n - 3, -1, -1):
        states.append(int(came_from[t, states[-1], states[-2]]))
    return bits[states[::-1]].astype(bool)


def _motion_costs(pairs: Array, time_s: Array) -> Array:
    """Returns robust costs of triples of states: ``(frame - 2, part, first, second, third)``."""
    step = np.diff(time_s)
    ratio = (step[1:] / step[:-1])[:, None, None, None] * DAMPING
    spread = SPREAD * np.maximum(step[1:] * 30, 0.5)[:, None, None]
    both = np.stack([pairs, pairs[:, :, ::-1]])  # (state, frame, part, side, axis)
    out = np.empty((len(pairs) - 2, pairs.shape[1], 2, 2, 2))
    for a in range(2):
        for b in range(2):
            here = both[b, 1:-1]
            expected = here + ratio * (here - both[a, :-2])
            for c in range(2):
                off = np.linalg.norm(both[c, 2:] - expected, axis=-1)
                out[:, :, a, b, c] = np.log1p((off / spread) ** 2).sum(-1)
    return out
