"""PCK: the share of joints found near enough, by the size of the torso or of the head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton

TORSO_SHARE = 0.2
HEAD_SHARE = 0.5
_TORSO = ("left_shoulder", "right_hip")
NOT_IN_PCKH = ("pelvis", "thorax")
"""The benchmark of MPII counts all joints but these."""


def torso_px(
    keypoints_px: Float[np.ndarray, "n joint 2"], skeleton: Skeleton
) -> Float[np.ndarray, " n"]:
    """Returns the distance from left shoulder to right hip in pixels, ``(n,)``; NaN if not labelled.

    Reference: Yang and Ramanan, TPAMI 2013, section 6, as LSP's benchmarks use it.
    """
    shoulder, hip = (keypoints_px[:, skeleton.index[name]] for name in _TORSO)
    return np.asarray(np.linalg.norm(shoulder - hip, axis=-1), np.float64)


def find_hits(
    found_px: Float[np.ndarray, "n joint 2"],
    truth_px: Float[np.ndarray, "n joint 2"],
    reach_px: Float[np.ndarray, " n"],
) -> tuple[Bool[np.ndarray, "n joint"], Bool[np.ndarray, "n joint"]]:
    """Returns which joints were found, and which count at all.

    Args:
        found_px: where an estimator puts them; NaN: not found.
        truth_px: the labels, NaN if unlabelled.
        reach_px: greatest distance that is near enough, itself included; people with NaN or 0 do not
            count.

    Returns:
        ``(n, joint)`` both; hits are a part of what counts.
    """
    counted = np.isfinite(truth_px).all(-1) & (np.nan_to_num(reach_px) > 0)[:, None]
    away = np.linalg.norm(np.asarray(found_px, np.float64) - truth_px, axis=-1)
    with np.errstate(invalid="ignore"):
        hits = counted & (away <= reach_px[:, None])
    return hits, counted


def share_of(hits: NDArray[np.bool_], counted: NDArray[np.bool_]) -> float:
    """Returns the hits among what counts in percent; NaN of nothing."""
    total = int(counted.sum())
    return 100 * int(hits.sum()) / total if total else float("nan")


def pckh_columns(joints: Sequence[str]) -> NDArray[np.bool_]:
    """Returns which joints the benchmark of MPII counts, ``(joint,)``."""
    return np.array([name not in NOT_IN_PCKH for name in joints], bool)
