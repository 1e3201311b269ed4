"""Scores of 2D keypoints: PCK, PCKh, and OKS with the average precision built on it.

Reference: ``PythonAPI/pycocotools/cocoeval.py`` of cocodataset/cocoapi (``iouType='keypoints'``),
https://cocodataset.org/#keypoints-eval; sigmas of neck and crown: CrowdPose (Li et al., CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.errors import UsageError

TORSO_SHARE = 0.2
HEAD_SHARE = 0.5
_TORSO = ("left_shoulder", "right_hip")
NOT_IN_PCKH = ("pelvis", "thorax")  # of the benchmark of MPII


def torso_px(
    keypoints_px: Float[np.ndarray, "n joint 2"], skeleton: Skeleton
) -> Float[np.ndarray, " n"]:
    """Returns the distance from left shoulder to right hip in pixels; NaN if not labelled.

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

    People whose ``reach_px`` (greatest distance that is near enough) is NaN or 0 do not count, nor
    joints whose truth is NaN.
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
    """Returns which joints the benchmark of MPII counts."""
    return np.array([name not in NOT_IN_PCKH for name in joints], bool)


# -- OKS ---------------------------------------------------------------------------------------

# deviation of annotators over the square root of a person's area, by joint without its side
SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    # COCO labels none of the following: CrowdPose's for neck and crown, the nearest joint's else.
    "neck": 0.079,
    "upper_neck": 0.079,
    "thorax": 0.079,
    "head_top": 0.079,
    "pelvis": 0.107,
}

LEVELS = tuple(0.5 + 0.05 * i for i in range(10))  # OKS from which a person counts as found
MOST_PEOPLE = 20  # detections of a picture that count, best first
_RECALLS = np.linspace(0, 1, 101)
IGNORED, MISSED, FOUND = -1, 0, 1


def sigmas_of(joints: Sequence[str]) -> Float[np.ndarray, " joint"]:
    """Returns the sigma of each joint."""
    plain = [name.removeprefix("left_").removeprefix("right_") for name in joints]
    unknown = [name for name in plain if name not in SIGMAS]
    if unknown:
        raise UsageError(
            f"OKS has no sigma for {', '.join(unknown)}", "Leave OKS out for this skeleton"
        )
    return np.array([SIGMAS[name] for name in plain])


def compute_oks(
    found_px: Float[np.ndarray, "d joint 2"],
    truth_px: Float[np.ndarray, "n joint 2"],
    boxes_xyxy_px: Float[np.ndarray, "n 4"],
    area_px2: Float[np.ndarray, " n"],
    sigmas: Float[np.ndarray, " joint"],
) -> Float[np.ndarray, "d n"]:
    """Returns how alike detections and labelled people are, 0..1.

    People without labelled joints are compared by how far detections lie outside of their box, twice as
    wide and high on each side, as COCO does it.
    """
    out = np.zeros((len(found_px), len(area_px2)))
    found = np.asarray(found_px, np.float64)
    for g, (points, box) in enumerate(zip(truth_px, boxes_xyxy_px, strict=True)):
        known = np.isfinite(points).all(-1)
        if known.any():
            off = found - points
        else:
            low, wh = box[:2].astype(np.float64), (box[2:] - box[:2]).astype(np.float64)
            off = np.maximum(low - wh - found, 0) + np.maximum(found - (low + 2 * wh), 0)
            known = np.ones_like(known)
        area = area_px2[g] + np.spacing(1)
        distance = (off**2).sum(-1) / (2 * sigmas) ** 2 / area / 2
        out[:, g] = np.exp(-distance[:, known]).mean(1)
    return out


def match_people(
    oks: Float[np.ndarray, "d n"],
    ignored: Bool[np.ndarray, " n"],
    crowd: Bool[np.ndarray, " n"],
) -> Int[np.ndarray, "level d"]:
    """Matches detections to labelled people at each of ``LEVELS``, best detection first.

    1: found a person; 0: a false alarm; -1: matched to an ignored one.
    """
    order = np.argsort(ignored, kind="stable")  # those that count are tried first
    out = np.full((len(LEVELS), len(oks)), MISSED)
    for row, level in zip(out, LEVELS, strict=True):
        taken = np.zeros(len(ignored), bool)
        for d in range(len(oks)):
            best, needed = -1, min(level, 1 - 1e-10)
            for g in order:
                if taken[g] and not crowd[g]:
                    continue
                if best >= 0 and not ignored[best] and ignored[g]:
                    break
                if oks[d, g] >= needed:
                    best, needed = g, oks[d, g]
            if best >= 0:
                taken[best] = True
                row[d] = IGNORED if ignored[best] else FOUND
    return out


def average_precision(
    score: Float[np.ndarray, " d"], matches: Int[np.ndarray, "level d"], people: int
) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Returns precision averaged over 101 recalls, and the recall, at each level, 0..1.

    Of all detections of all pictures; ``people``: labelled ones that count, with none it is NaN.
    """
    levels = len(matches)
    if not people:
        return np.full(levels, np.nan), np.full(levels, np.nan)
    ranked = matches[:, np.argsort(-score, kind="stable")]
    precision, recall = np.zeros(levels), np.zeros(levels)
    for i, row in enumerate(ranked):
        right, wrong = np.cumsum(row == FOUND), np.cumsum(row == MISSED)
        if not len(row):
            continue
        reached = right / people
        exact = right / (right + wrong + np.spacing(1))
        falling = np.maximum.accumulate(exact[::-1])[::-1]
        at = np.searchsorted(reached, _RECALLS, side="left")
        precision[i] = np.append(falling, 0.0)[at].mean()
        recall[i] = reached[-1]
    return precision, recall


def summarise_levels(
    precision: NDArray[np.floating], recall: NDArray[np.floating]
) -> dict[str, float]:
    """Returns AP, AP50, AP75 and AR in percent."""
    return {
        "ap": 100 * float(precision.mean()),
        "ap50": 100 * float(precision[0]),
        "ap75": 100 * float(precision[5]),
        "ar": 100 * float(recall.mean()),
    }
