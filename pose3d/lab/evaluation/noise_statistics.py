"""What there is to know about 2D noise: bias, spread, bursts, course in time, swaps, scores.

All lengths are in units of the person's size. Left and right are pooled: the x axis of right joints
is mirrored, and so is the heading under which they are seen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import LIMBS
from pose3d.lab.evaluation.noise_sources import RATE, Detections

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

KINDS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROSS = 0.10
"""An error above a tenth of the person is gross (aist/README.md)."""
LAGS = (1, 3, 10)
"""Frames of 1/30 s."""
SCORE_EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.01)
SIZE_EDGES_PX = (0.0, 75.0, 150.0, 300.0, 600.0, np.inf)
HEADINGS = {"facing": (0, 60), "side": (60, 120), "back": (120, 181)}
"""Distance of the heading from the camera's direction in degrees."""
N_HEADINGS = 8
LEAST_APART = 0.06
"""Left and right that lie nearer to each other cannot be told from exchanged ones."""
LEAST_FRAMES = 20
"""Known frames a piece needs to tell its constant error."""
NEIGHBOURS = {
    "shoulder-elbow": (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    "elbow-wrist": (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    "hip-knee": (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    "knee-ankle": (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
    "shoulders": (("left_shoulder", "right_shoulder"),),
    "hips": (("left_hip", "right_hip"),),
    "shoulder-hip": (("left_shoulder", "left_hip"), ("right_shoulder", "right_hip")),
    "wrist-ankle": (("left_wrist", "right_ankle"), ("right_wrist", "left_ankle")),
}


def measure_noise(found: Detections) -> dict[str, Any]:
    """Computes every statistic of a source.

    Args:
        found: detections with truth.

    Returns:
        Shares and lengths (in person sizes) by name; those ``by_joint`` follow ``KINDS``. NaN: too
        little data.
    """
    length = np.linalg.norm(found.error, axis=-1)
    known = np.isfinite(length) & found.inside
    gross = known & (length > GROSS)
    bias, by_heading = measure_bias(found, known & ~gross)
    rest = _without_bias(found, bias, by_heading)
    return {
        "pieces": len(found.error),
        "frames": int(known.any(-1).sum()),
        "median": _median(length[known]),
        "p90": _quantile(length[known], 0.9),
        "bias": {
            "by_joint": bias.tolist(),
            "by_heading": by_heading.tolist(),
            "over_views": _over_views(found, by_heading).tolist(),
        },
        "spread": _spread(rest, known),
        "gross": _bursts(found, gross, known),
        "autocorrelation": _autocorrelation(found, rest, known & ~gross),
        "jitter": _jitter(found, known),
        "neighbours": _neighbours(rest, known & ~gross),
        "swaps": _swaps(found),
        "score": _scores(found, length, known),
        "outside": _outside(found, length),
    }


def fold(values: Array) -> Array:
    """Turns ``(..., 12, 2)`` vectors into ``(..., 6, 2, 2)``: kind, side, axis; right ones mirrored."""
    folded = values.reshape(*values.shape[:-2], len(KINDS), 2, 2).copy()
    folded[..., 1, 0] *= -1
    return folded


def _unfold(values: Array) -> Array:
    unfolded = values.copy()
    unfolded[..., 1, 0] *= -1
    return unfolded.reshape(*values.shape[:-3], len(LIMBS), 2)


def _by_kind(values: NDArray[Any]) -> NDArray[Any]:
    """Turns ``(piece, frame, 12)`` into ``(6, everything else)``."""
    shaped = values.reshape(*values.shape[:2], len(KINDS), 2)
    return np.moveaxis(shaped, 2, 0).reshape(len(KINDS), -1)


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _quantile(values: Array, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _mad_std(values: Array) -> float:
    """Robust standard deviation of one axis of ``(n, 2)`` vectors: 1.4826 x the median deviation."""
    if len(values) < LEAST_FRAMES:
        return float("nan")
    spread = 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    return float(np.sqrt(np.mean(spread**2)))


def _share(part: Mask, whole: Mask) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


# -- bias and spread ---------------------------------------------------------------------------


def measure_bias(found: Detections, core: Mask) -> tuple[Array, Array]:
    """Returns the median error of each kind, ``(6, 2)``, and by heading, ``(6, 8, 2)``.

    Args:
        found: detections.
        core: ``(piece, frame, 12)`` what counts.
    """
    folded, which = fold(found.error), _heading_bins(found)
    use = core.reshape(*core.shape[:2], len(KINDS), 2)
    bias = np.full((len(KINDS), 2), np.nan)
    by_heading = np.full((len(KINDS), N_HEADINGS, 2), np.nan)
    for k in range(len(KINDS)):
        mine = use[:, :, k]
        if mine.any():
            bias[k] = np.median(folded[:, :, k][mine], axis=0)
        for h in range(N_HEADINGS):
            here = mine & (which == h)
            if here.sum() >= LEAST_FRAMES:
                by_heading[k, h] = np.median(folded[:, :, k][here], axis=0)
    return bias, by_heading


def _heading_bins(found: Detections) -> NDArray[np.intp]:
    """Returns ``(piece, frame, 2)`` eighths of a turn for left and right joints; -1: not known."""
    heading = np.stack([found.heading_rad, -found.heading_rad], -1)
    lost = ~np.isfinite(heading)
    eighth = np.round(np.where(lost, 0, heading) / (2 * np.pi / N_HEADINGS)).astype(np.intp)
    return np.where(lost, -1, eighth % N_HEADINGS)


def _without_bias(found: Detections, bias: Array, by_heading: Array) -> Array:
    """Returns ``(piece, frame, 6, 2, 2)`` folded errors less what the heading alone predicts."""
    which = _heading_bins(found)
    table = np.where(np.isnan(by_heading), bias[:, None], by_heading)
    table = np.concatenate([table, bias[:, None]], 1)  # last: heading not known
    expected = np.moveaxis(table[:, which], 0, 2)  # piece frame kind side axis
    return fold(found.error) - expected


def _over_views(found: Detections, by_heading: Array) -> Array:
    """Returns ``(6,)`` the length of the bias, as a root mean square over the headings seen."""
    which = _heading_bins(found)
    weight = np.array([(which == h).sum() for h in range(N_HEADINGS)], float)
    square = (by_heading**2).sum(-1)
    weight = np.where(np.isnan(square), 0, weight)
    total = np.maximum(weight.sum(1), 1)
    return np.asarray(np.sqrt((np.nan_to_num(square) * weight).sum(1) / total))


def _spread(rest: Array, known: Mask) -> dict[str, Any]:
    """Spread in all, of what is constant in a piece, and of what moves in it; by joint."""
    use = known.reshape(*known.shape[:2], len(KINDS), 2)
    rest = np.where(use[..., None], rest, np.nan)
    enough = use.sum(1) >= LEAST_FRAMES  # piece kind side
    constant = np.full((len(rest), *rest.shape[2:]), np.nan)
    for i, k, side in np.argwhere(enough):
        constant[i, k, side] = np.nanmedian(rest[i, :, k, side], axis=0)
    moving = rest - constant[:, None]

    def by_kind(values: Array) -> list[float]:
        return [
            _mad_std(part[np.isfinite(part).all(-1)])
            for part in (values[..., k, :, :].reshape(-1, 2) for k in range(len(KINDS)))
        ]

    return {"by_joint": by_kind(rest), "constant": by_kind(constant), "moving": by_kind(moving)}


# -- course in time ----------------------------------------------------------------------------


def _bursts(found: Detections, gross: Mask, known: Mask) -> dict[str, Any]:
    """Share of gross errors; in timed pieces how surely one follows another, and how long they last."""
    timed, seen = gross[found.timed], known[found.timed]
    return {
        "by_joint": [_share(g, n) for g, n in zip(_by_kind(gross), _by_kind(known), strict=True)],
        "share": _share(gross, known),
        "persists": [
            _share(timed[:, :-lag] & timed[:, lag:], timed[:, :-lag] & seen[:, lag:])
            for lag in LAGS
        ],
        "run_s": mean_run_s(timed),
    }


def mean_run_s(on: Mask) -> float:
    """Returns how long a run of ``on`` lasts in the mean, in seconds.

    Args:
        on: ``(piece, frame, ...)`` at ``RATE``.
    """
    begins = on.copy()
    begins[:, 1:] &= ~on[:, :-1]
    return float(on.sum() / begins.sum() / RATE) if on.any() else float("nan")


def _autocorrelation(found: Detections, rest: Array, core: Mask) -> dict[str, Any]:
    """Correlation of the error vector with itself, with what is constant in a piece and without."""
    use = core.reshape(*core.shape[:2], len(KINDS), 2)[found.timed]
    error = np.where(use[..., None], rest[found.timed], np.nan)
    count = use.sum(1, keepdims=True)[..., None]
    mean = np.nansum(error, axis=1, keepdims=True) / np.maximum(count, 1)
    moving = np.where(count >= LEAST_FRAMES, error - mean, np.nan)
    return {
        "by_joint": [[_lagged(error[:, :, k], lag) for lag in LAGS] for k in range(len(KINDS))],
        "all": [_lagged(error, lag) for lag in LAGS],
        "moving": [_lagged(moving, lag) for lag in LAGS],
    }


def _lagged(values: Array, lag: int) -> float:
    a, b = values[:, :-lag], values[:, lag:]
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    power = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / power) if power > 0 else float("nan")


def _jitter(found: Detections, known: Mask) -> dict[str, Any]:
    """What cannot be a course in time: second differences, as the spread of white noise they imply."""
    error = np.where(known[..., None], found.error, np.nan)[found.timed]
    fast = (error[:, 2:] - 2 * error[:, 1:-1] + error[:, :-2]) / np.sqrt(6)
    size = np.broadcast_to(found.size_px[found.timed][:, 1:-1, None], fast.shape[:3])
    seen = np.isfinite(fast).all(-1)
    by_size = [
        _mad_std(fast[seen & (size >= low) & (size < high)])
        for low, high in pairwise(SIZE_EDGES_PX)
    ]
    kinds = zip(
        np.moveaxis(fast.reshape(*fast.shape[:2], len(KINDS), 2, 2), 2, 0),
        np.moveaxis(seen.reshape(*seen.shape[:2], len(KINDS), 2), 2, 0),
        strict=True,
    )
    return {
        "by_joint": [_mad_std(f[s]) for f, s in kinds],
        "by_size": by_size,
        "all": _mad_std(fast[seen]),
    }


# -- joints together ---------------------------------------------------------------------------


def _neighbours(rest: Array, core: Mask) -> dict[str, float]:
    """Correlation of the error vectors of two joints, less what the heading predicts."""
    error = np.where(core[..., None], _unfold(rest), np.nan)
    out = {}
    for name, pairs in NEIGHBOURS.items():
        first = np.concatenate([error[:, :, LIMBS.index(i)] for i, _ in pairs])
        second = np.concatenate([error[:, :, LIMBS.index(j)] for _, j in pairs])
        both = np.isfinite(first).all(-1) & np.isfinite(second).all(-1)
        a, b = first[both], second[both]
        power = np.sqrt((a * a).sum() * (b * b).sum())
        out[name] = float((a * b).sum() / power) if power > 0 else float("nan")
    return out


def _swaps(found: Detections) -> dict[str, Any]:
    """Arms and legs whose labels are exchanged, and single joints that lie on their partner.

    Exchanged: with the other labels the error is below 60 % (rendered/README.md), where both limbs
    are seen and ``LEAST_APART`` from each other. On the partner: within ``LEAST_APART`` of the
    other side's place and at most half as far from it as from the own one (aist/README.md).
    """
    shape = (*found.error.shape[:2], len(KINDS), 2, 2)
    true = found.true.reshape(shape)
    seen = (found.true + found.error).reshape(shape)
    each = (np.isfinite(found.error).all(-1) & found.inside).reshape(shape[:-1])
    known = np.asarray(each.all(-1), bool)  # piece frame kind: both sides
    kept = np.linalg.norm(seen - true, axis=-1)
    other = np.linalg.norm(seen - true[..., ::-1, :], axis=-1)
    apart = np.linalg.norm(true[..., 0, :] - true[..., 1, :], axis=-1)
    heading = np.abs(np.rad2deg(found.heading_rad))
    out: dict[str, Any] = {}
    for name, kinds in (("arms", slice(0, 3)), ("legs", slice(3, 6))):
        able = np.asarray(
            known[..., kinds].all(-1) & (apart[..., kinds].mean(-1) > LEAST_APART), bool
        )
        swapped: Mask = able & (
            other[..., kinds, :].sum((-1, -2)) < 0.6 * kept[..., kinds, :].sum((-1, -2))
        )
        timed = swapped[found.timed]
        out[name] = {
            "share": _share(swapped, able),
            "by_heading": {
                h: _share(swapped & turned, able & turned)
                for h, (low, high) in HEADINGS.items()
                for turned in [(heading >= low) & (heading < high)]
            },
            "persists": _share(
                timed[:, :-1] & timed[:, 1:], timed[:, :-1] & able[found.timed][:, 1:]
            ),
            "run_s": mean_run_s(timed),
        }
    tellable = np.repeat((known & (apart > LEAST_APART))[..., None], 2, axis=-1)
    on = tellable & (other < LEAST_APART) & (other < kept / 2)
    out["on_partner"] = [_share(on[..., k, :], tellable[..., k, :]) for k in range(len(KINDS))]
    return out


# -- scores ------------------------------------------------------------------------------------


def _scores(found: Detections, length: Array, known: Mask) -> dict[str, Any]:
    """How often a score is given and how large the error then is."""
    bins = [
        known & (found.score >= low) & (found.score < high) for low, high in pairwise(SCORE_EDGES)
    ]
    low = found.score < 0.3
    return {
        "share": [_share(b, known) for b in bins],
        # A mean that a few lost tracks do not decide.
        "mean_error": [
            float(length[b].clip(max=0.3).mean()) if b.sum() >= LEAST_FRAMES else float("nan")
            for b in bins
        ],
        "p90_error": [
            _quantile(length[b], 0.9) if b.sum() >= LEAST_FRAMES else float("nan") for b in bins
        ],
        "low_by_joint": [
            _share(b & n, n) for b, n in zip(_by_kind(low), _by_kind(known), strict=True)
        ],
        "low": _share(known & low, known),
        "gross_low": _share(known & low & (length > GROSS), known & (length > GROSS)),
    }


def _outside(found: Detections, length: Array) -> dict[str, float]:
    """Joints whose true place is outside of the picture."""
    beyond: Mask = np.isfinite(length) & ~found.inside
    return {
        "share": _share(beyond, np.isfinite(length)),
        "median": _median(length[beyond]),
        "score_median": _median(found.score[beyond]),
    }
