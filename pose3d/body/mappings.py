"""Where the joints of Human3.6M lie among the keypoints of 2D detectors: tables of names.

Every code base guesses pelvis, spine, thorax and head differently, so weights name the mapping that
they were made with. A target point is a weighted sum of named source points, never of indices.
"""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17, LIMBS, SKELETONS, Skeleton
from pose3d.errors import UsageError, unknown_name

Array = NDArray[np.floating]

Weights = dict[str, float]  # source joint name -> weight; they add up to 1


@dataclass(frozen=True)
class AxisRule:
    """Sources of a point's horizontal and vertical coordinate, and of its mean score."""

    x: Weights
    y: Weights
    score: Weights


Mapping = collections.abc.Mapping[str, Weights | AxisRule]  # target joint -> source


def _mean(*names: str) -> Weights:
    return dict.fromkeys(names, 1 / len(names))


def _averaged(*names: str) -> AxisRule:
    return AxisRule(_mean(*names), _mean(*names), _mean(*names))


_SHOULDERS = ("left_shoulder", "right_shoulder")
_HIPS = ("left_hip", "right_hip")
_EYES = ("left_eye", "right_eye")
_EARS = ("left_ear", "right_ear")

_BETWEEN: dict[str, Weights] = {
    "pelvis": _mean(*_HIPS),
    "spine": _mean(*_HIPS, *_SHOULDERS),
    "thorax": _mean(*_SHOULDERS),
}
_LIMBS: dict[str, Weights] = {name: {name: 1.0} for name in LIMBS}

# ``face``: a nose and ears (COCO-17, Halpe-26, BlazePose-33) to H36M17; the mapping of pose3d's own
# weights. head_top continues from the shoulders' middle to the ears' middle by half.
FACE_TO_H36M: dict[str, Weights] = {
    **_LIMBS,
    **_BETWEEN,
    "neck_nose": {"nose": 1.0},
    "head_top": {**dict.fromkeys(_EARS, 0.75), **dict.fromkeys(_SHOULDERS, -0.25)},
}


def _towards_crown(share: float) -> Weights:
    """Returns a point on the line from the shoulders' middle (0) to the crown (1)."""
    return {"head_top": share, **dict.fromkeys(_SHOULDERS, (1 - share) / 2)}


# ``face`` from skeletons with a top of the head but no face (LSP-14, MPII-16): nose and head where
# FACE_TO_H36M puts them on average (fitted on CMU and ACCAD). LSP's neck and MPII's pelvis and
# thorax are not used: annotators place them elsewhere.
CROWN_TO_H36M: dict[str, Weights] = {
    **_LIMBS,
    **_BETWEEN,
    "neck_nose": _towards_crown(0.615),
    "head_top": _towards_crown(0.881),
}

# ``hot``: COCO-17 to H36M17 as published HoT, MHFormer and MotionAGFormer weights are used, for
# upright people only. Reference: demo/lib/preprocess.py of Vegetebird/MHFormer, from GAST-Net (Liu
# et al., 2021); its steps are multiplied out into one sum for each axis.
HOT_TO_H36M: Mapping = {
    **_LIMBS,
    "pelvis": _averaged(*_HIPS),
    "spine": AxisRule(
        x={**dict.fromkeys(_SHOULDERS, 5 / 12), **dict.fromkeys(_HIPS, 1 / 4), "nose": -1 / 3},
        y=_mean(*_SHOULDERS, *_HIPS),
        score=_mean(*_SHOULDERS, *_HIPS),
    ),
    "thorax": AxisRule(
        x=_mean(*_SHOULDERS, "nose"),
        y={**dict.fromkeys(_SHOULDERS, 1 / 3), **dict.fromkeys(_EYES, -1 / 3), "nose": 1.0},
        score=_mean(*_SHOULDERS),
    ),
    "neck_nose": AxisRule(
        x={"nose": 3 / 4, **dict.fromkeys(_SHOULDERS, 1 / 8)},
        y={"nose": 3 / 4, **dict.fromkeys(_SHOULDERS, 1 / 8)},
        score={"nose": 1.0},
    ),
    "head_top": AxisRule(
        x=_mean(*_EYES, *_EARS),
        y={**dict.fromkeys(_EYES, 1.0), "nose": -1.0},
        score=_mean(*_EYES, *_EARS),
    ),
}

# ``motionbert`` from skeletons without a neck; the eyes stand for the top of the head. Reference:
# coco2h36m in lib/data/dataset_action.py of Walter0807/MotionBERT.
MOTIONBERT_TO_H36M: Mapping = {
    **_LIMBS,
    "pelvis": _averaged(*_HIPS),
    "spine": _averaged(*_HIPS, *_SHOULDERS),
    "thorax": _averaged(*_SHOULDERS),
    "neck_nose": _averaged("nose"),
    "head_top": _averaged(*_EYES),
}

# ``motionbert`` from Halpe-26. Reference: halpe2h36m in lib/data/dataset_wild.py of
# Walter0807/MotionBERT.
MOTIONBERT_HALPE_TO_H36M: Mapping = {
    **_LIMBS,
    "spine": _averaged("neck", "pelvis"),
    "thorax": _averaged("neck"),
    "neck_nose": _averaged("nose"),
}

# Mapping name -> its tables; the first whose joints are all there is taken.
MAPPINGS_TO_H36M: dict[str, tuple[Mapping, ...]] = {
    "face": (FACE_TO_H36M, CROWN_TO_H36M),
    "hot": (HOT_TO_H36M,),
    "hot-revised": (HOT_TO_H36M,),
    "motionbert": (MOTIONBERT_HALPE_TO_H36M, MOTIONBERT_TO_H36M),
}

# H36M17 in the 17 "relevant" joints of MPI-INF-3DHP: their neck lies where H36M17 has its thorax,
# their head where it has neck_nose.
MPI_INF_3DHP_TO_H36M = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)


def map_points(
    points: Array, score: Array | None, source: Skeleton, mapping: Mapping, target: Skeleton
) -> tuple[Array, Array | None]:
    """Maps ``(..., source joint, axis)`` points and their scores to another skeleton.

    A joint that ``mapping`` leaves out is that of the same name. NaN spreads to every point that
    needs it. A score is the least of its sources', or their mean for an :class:`AxisRule`.
    """
    out = np.empty((*points.shape[:-2], len(target), points.shape[-1]), points.dtype)
    out_score = None if score is None else np.empty((*score.shape[:-1], len(target)), score.dtype)
    for t, name in enumerate(target.joints):
        rule = mapping.get(name, {name: 1.0})
        if isinstance(rule, AxisRule):
            for axis, weights in enumerate((rule.x, rule.y)):
                out[..., t, axis] = _weigh(points[..., axis], weights, source)
        else:
            out[..., t, :] = np.moveaxis(_weigh(np.moveaxis(points, -1, 0), rule, source), 0, -1)
        if score is not None and out_score is not None:
            if isinstance(rule, AxisRule):
                out_score[..., t] = _weigh(score, rule.score, source)
            else:
                out_score[..., t] = score[..., [source.index[s] for s in rule]].min(-1)
    return out, out_score


def _weigh(values: Array, weights: Weights, source: Skeleton) -> Array:
    """Returns ``(...)``, the weighted sum of named joints of ``(..., source joint)``."""
    columns = [source.index[s] for s in weights]
    return values[..., columns] @ np.array(list(weights.values()), values.dtype)


_WEAK_SCORE = 0.3
# Joints below the threshold -> where each of them goes.
_FOLDS = {
    "right_knee right_ankle left_knee left_ankle": "right_hip right_hip left_hip left_hip",
    "right_knee right_ankle left_ankle": "right_hip right_hip left_knee",
    "right_ankle left_knee left_ankle": "right_knee left_hip left_hip",
    "right_ankle left_ankle": "right_knee left_knee",
    "right_ankle": "right_knee",
    "left_ankle": "left_knee",
}


def fold_weak_legs(points: Array, score: Array) -> Array:
    """Moves knees and ankles of H36M17 that were hardly seen onto the next surer joint of the leg.

    Reference: ``revise_kpts`` in ``demo/lib/preprocess.py`` of Vegetebird/MHFormer, its six
    patterns.
    """
    legs = ["right_knee", "right_ankle", "left_knee", "left_ankle"]
    columns = [H36M17.index[name] for name in legs]
    weak = score[..., columns] < _WEAK_SCORE
    out = points.copy()
    for pattern, targets in _FOLDS.items():
        wanted = [name in pattern.split() for name in legs]
        here = (weak == wanted).all(-1)
        for name, target in zip(pattern.split(), targets.split(), strict=True):
            out[here, H36M17.index[name]] = points[here, H36M17.index[target]]
    return out


def map_to_h36m(name: str, points: Array, score: Array, source: Skeleton) -> tuple[Array, Array]:
    """Maps ``(..., source joint, 2)`` keypoints and scores to H36M17 by the mapping ``name``."""
    mapped, mapped_score = map_points(points, score, source, mapping_to_h36m(name, source), H36M17)
    assert mapped_score is not None
    if name == "hot-revised":
        mapped = fold_weak_legs(mapped, mapped_score)
    return mapped, mapped_score


def mapping_to_h36m(name: str, source: Skeleton) -> Mapping:
    """Returns the mapping ``name`` to H36M17; the joints of ``source`` decide, not its name."""
    if source.name == H36M17.name:
        return {}
    if name not in MAPPINGS_TO_H36M:
        raise unknown_name("keypoint mapping", name, MAPPINGS_TO_H36M)
    tables = MAPPINGS_TO_H36M[name]
    lacking = [sorted(_needed(table) - set(source.joints)) for table in tables]
    for table, missing in zip(tables, lacking, strict=True):
        if not missing:
            return table
    fits = [s.name for s in SKELETONS.values() if any(_needed(t) <= set(s.joints) for t in tables)]
    first, *others = map(", ".join, lacking)
    raise UsageError(
        f"Mapping {name!r} does not start from skeleton {source.name!r}: it has no {first}"
        + "".join(f" (nor {other} instead)" for other in others),
        f"It accepts: {', '.join(sorted({*fits, H36M17.name}))}, and others with the same joints",
    )


def _needed(mapping: Mapping) -> set[str]:
    """Returns the source joints of a mapping to H36M17; left out: itself."""
    rules = [mapping.get(joint, {joint: 1.0}) for joint in H36M17.joints]
    parts = [(r.x, r.y, r.score) if isinstance(r, AxisRule) else (r,) for r in rules]
    return {source for part in parts for weights in part for source in weights}


def mapping_sources(name: str, source: Skeleton) -> set[str]:
    """Returns the joints of ``source`` that the mapping ``name`` to H36M17 is made of."""
    return _needed(mapping_to_h36m(name, source))
