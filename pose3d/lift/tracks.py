"""Tracks of keypoints as published lifters were trained on them: every joint has a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17

Array = NDArray[np.floating]

CROP_WH = (2, 2)  # the size of the picture that ``crop`` makes of a track

_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
# joint -> joints between which it is looked for, the surest first; in the order of filling
_NEAR: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (_HIPS, _SHOULDERS),
    "thorax": (_SHOULDERS, ("pelvis",)),
    "spine": (("pelvis", "thorax"),),
    "neck_nose": (("thorax",),),
    "head_top": (("neck_nose",),),
    **{
        f"{side}_{joint}": ((near if near in ("pelvis", "thorax") else f"{side}_{near}",),)
        for side in ("left", "right")
        for near, joint in (
            *(("pelvis", "hip"), ("hip", "knee"), ("knee", "ankle")),
            *(("thorax", "shoulder"), ("shoulder", "elbow"), ("elbow", "wrist")),
        )
    },
}


def fill_unseen(points: Array) -> Array:
    """Gives every joint of ``(row, 17, 2)`` a place where it is NaN; nobody at all stays NaN.
    A joint keeps its distance from its neighbour, linear between two sights and held outside them;
    one that is never seen is folded onto the neighbour.
    Differs: the published demos have detectors that guess every joint; leg joints that those hardly
    saw are folded likewise (``revise_kpts`` in Vegetebird/MHFormer)."""
    if np.isfinite(points).all():
        return points
    out = np.array(points, np.float64)
    for name, places in _NEAR.items():
        joint = H36M17.index[name]
        for near in places:
            around = out[:, [H36M17.index[n] for n in near]].mean(1)
            out[:, joint] = _follow(out[:, joint], around)
        if name == "pelvis":  # all others hang on it
            seen = np.isfinite(out)
            count = seen.sum(1)
            centre = np.where(seen, out, 0).sum(1) / np.where(count, count, np.nan)
            out[:, joint] = _follow(out[:, joint], centre)
            out[:, joint] = _follow(out[:, joint], np.zeros_like(centre), fold=False)
    return out.astype(points.dtype)


def _follow(joint: Array, near: Array, *, fold: bool = True) -> Array:
    """Fills ``(row, 2)`` where NaN, by its distance from ``near``; ``fold``: also if never seen."""
    offset = joint - near
    known = np.isfinite(offset).all(1)
    if not known.any() and not fold:
        return joint
    rows, at = np.arange(len(joint)), np.flatnonzero(known)
    held = [np.interp(rows, at, o[at]) if len(at) else np.zeros(len(joint)) for o in offset.T]
    seen = np.isfinite(joint).all(1, keepdims=True)
    return np.where(seen, joint, near + np.stack(held, 1))


def prepare_tracks(
    tracks: list[Array], normalisation: str, size_wh: tuple[int, int]
) -> tuple[list[Array], tuple[int, int]]:
    """Prepares whole tracks ``(row, 17, x y score)`` in pixels for a lifter, before windows are cut.
    Returns them and the size of their picture. ``person`` takes them as they are; for all others
    unseen joints get a place (and the score 0). ``crop`` moves each to the square around the person
    in the whole track.
    Reference: ``crop_scale`` in ``lib/utils/utils_data.py`` of Walter0807/MotionBERT."""
    if normalisation == "person":
        return tracks, size_wh
    prepared = []
    for track in tracks:
        seen = np.isfinite(track[..., :2]).all(-1)
        points = fill_unseen(track[..., :2])
        if normalisation == "crop":
            counted = track[..., :2][seen & (track[..., 2] > 0)]
            counted = counted if len(counted) else np.nan_to_num(points.reshape(-1, 2))
            low, high = counted.min(0), counted.max(0)
            side = max(float((high - low).max()), 1e-6)
            points = ((points - (low + high - side) / 2) / side * CROP_WH[0]).clip(0, CROP_WH[0])
        score = np.where(seen, track[..., 2], 0)[..., None]
        prepared.append(np.concatenate([points, score], -1).astype(track.dtype))
    return prepared, CROP_WH if normalisation == "crop" else size_wh
