"""Where the joints of Human3.6M lie among the keypoints of 2D detectors: tables of names.

Human3.6M's joints come from a motion capture suit, those of detectors from annotators who clicked on
pictures; pelvis, spine, thorax and head have to be guessed, and every code base guesses differently.
Lifters are bound to the guess that they were trained or published with, so weights name theirs.
"""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass

LIMBS = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
"""The joints that every skeleton has under the same name."""

Weights = dict[str, float]
"""Source joint name -> weight; the weights of a point add up to 1."""


@dataclass(frozen=True)
class AxisRule:
    """Where a target point lies when its two axes follow different rules, and how sure it is.

    Args:
        x: sources of the horizontal coordinate.
        y: sources of the vertical coordinate.
        score: sources whose scores are averaged.
    """

    x: Weights
    y: Weights
    score: Weights


Mapping = collections.abc.Mapping[str, Weights | AxisRule]
"""Target joint name -> where it comes from."""

_BETWEEN: dict[str, Weights] = {
    "pelvis": {"left_hip": 0.5, "right_hip": 0.5},
    "spine": dict.fromkeys(("left_hip", "right_hip", "left_shoulder", "right_shoulder"), 0.25),
    "thorax": {"left_shoulder": 0.5, "right_shoulder": 0.5},
}
_LIMBS: dict[str, Weights] = {name: {name: 1.0} for name in LIMBS}

FACE_TO_H36M: dict[str, Weights] = {
    **_LIMBS,
    **_BETWEEN,
    "neck_nose": {"nose": 1.0},
    "head_top": {
        "left_ear": 0.75,
        "right_ear": 0.75,
        "left_shoulder": -0.25,
        "right_shoulder": -0.25,
    },
}
"""``face``: detectors with a nose and ears (COCO-17, Halpe-26, BlazePose-33) to H36M17.

Pelvis, spine and thorax lie on the middle line of hips and shoulders; head_top continues the line
from the shoulders' middle to the ears' middle by half. The mapping of pose3d's own weights.
"""


def _towards_crown(share: float) -> Weights:
    """Returns a point on the line from the shoulders' middle (0) to the top of the head (1)."""
    return {"head_top": share, **dict.fromkeys(_SHOULDERS, (1 - share) / 2)}


_SHOULDERS = ("left_shoulder", "right_shoulder")

CROWN_TO_H36M: dict[str, Weights] = {
    **_LIMBS,
    **_BETWEEN,
    "neck_nose": _towards_crown(0.615),
    "head_top": _towards_crown(0.881),
}
"""``face`` from skeletons with a top of the head but no face (LSP-14, MPII-16).

Where ``FACE_TO_H36M`` puts nose and head on average: shares fitted by least squares to the training
motions of CMU and ACCAD. Where the face points to is not known, so the nose is 11 cm off on average
(the head 3 cm). On 40 filmed test motions of CMU that cost ``hot-mixste`` 3.4 mm of 61.8 (exact
keypoints) and 4.5 of 81.5 (noisy ones); a lower score for both joints did not help. LSP's neck, which a
fifth of its people lack, and MPII's pelvis and thorax are not used: annotators place them elsewhere
than the middle points that the weights know.
"""


def _mean(*names: str) -> Weights:
    """Returns equal weights."""
    return dict.fromkeys(names, 1 / len(names))


def _averaged(*names: str) -> AxisRule:
    """Returns a rule that averages points and scores of its sources."""
    return AxisRule(_mean(*names), _mean(*names), _mean(*names))


_HIPS = ("left_hip", "right_hip")
_EYES = ("left_eye", "right_eye")
_EARS = ("left_ear", "right_ear")

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
"""``hot``: COCO-17 to H36M17 as published HoT, MHFormer and MotionAGFormer weights are used.

Thorax and head are guessed from the face, differently along the picture's two axes, so it holds for
upright people in an upright picture.

Reference: ``demo/lib/preprocess.py`` of Vegetebird/MHFormer, from GAST-Net (Liu et al., 2021); the
steps of the published code are multiplied out into one sum for each axis.
"""

MOTIONBERT_TO_H36M: Mapping = {
    **_LIMBS,
    "pelvis": _averaged(*_HIPS),
    "spine": _averaged(*_HIPS, *_SHOULDERS),
    "thorax": _averaged(*_SHOULDERS),
    "neck_nose": _averaged("nose"),
    "head_top": _averaged(*_EYES),
}
"""``motionbert`` from skeletons without a neck; the eyes stand for the top of the head.

Reference: ``coco2h36m`` in ``lib/data/dataset_action.py`` of Walter0807/MotionBERT.
"""

MOTIONBERT_HALPE_TO_H36M: Mapping = {
    **_LIMBS,
    "spine": _averaged("neck", "pelvis"),
    "thorax": _averaged("neck"),
    "neck_nose": _averaged("nose"),
}
"""``motionbert`` from Halpe-26, which has pelvis, neck and top of the head of its own.

Reference: ``halpe2h36m`` in ``lib/data/dataset_wild.py`` of Walter0807/MotionBERT.
"""

_FACED = (
    *("coco17", "blazepose33", "halpe26", "wholebody133"),
    *("halpe136", "openpose18", "openpose25"),
)

MAPPINGS_TO_H36M: dict[str, dict[str, Mapping]] = {
    "face": {
        **dict.fromkeys(_FACED, FACE_TO_H36M),
        **dict.fromkeys(("lsp14", "mpii16"), CROWN_TO_H36M),
    },
    "hot": dict.fromkeys(_FACED, HOT_TO_H36M),
    "hot-revised": dict.fromkeys(_FACED, HOT_TO_H36M),
    "motionbert": {
        **dict.fromkeys(_FACED, MOTIONBERT_TO_H36M),
        "halpe26": MOTIONBERT_HALPE_TO_H36M,
        "halpe136": MOTIONBERT_HALPE_TO_H36M,
    },
}
"""Mapping name (chosen by the lifter's weights) -> source skeleton name -> mapping to H36M17."""
