"""Skeletons: names, parents and left/right of joint sets, and mapping between them by name.

A mapping never relies on indices: every target point is a weighted sum of named source points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered set of points on a body.

    Args:
        name: e.g. ``"h36m17"``.
        joints: names in array order; left and right are the person's own.
        parents: index of the parent of each joint, -1 for a root; drawn as bones.
        extra_bones: bones to draw that are not parent links (pairs of indices).
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    extra_bones: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents):
            raise ValueError(f"{self.name}: {len(self.joints)} joints, {len(self.parents)} parents")

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of each joint name."""
        return {name: i for i, name in enumerate(self.joints)}

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (parent, child) to draw."""
        links = tuple((p, c) for c, p in enumerate(self.parents) if p >= 0)
        return links + self.extra_bones

    @cached_property
    def side(self) -> tuple[str, ...]:
        """``"left"``, ``"right"`` or ``"middle"`` for each joint."""
        return tuple(
            "left" if n.startswith("left_") else "right" if n.startswith("right_") else "middle"
            for n in self.joints
        )

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Index of the joint of the other side (itself in the middle)."""
        other = {"left": "right", "right": "left"}
        return tuple(
            self.index[other[s] + n[len(s) :]] if s in other else i
            for i, (n, s) in enumerate(zip(self.joints, self.side, strict=True))
        )


def _skeleton(name: str, text: str, extra_bones: tuple[tuple[str, str], ...] = ()) -> Skeleton:
    """Builds a skeleton from lines of ``joint:parent`` (no parent: a root)."""
    pairs = [(entry + ":").split(":")[:2] for entry in text.split()]
    joints = tuple(joint for joint, _ in pairs)
    index = {joint: i for i, joint in enumerate(joints)}
    return Skeleton(
        name,
        joints,
        tuple(index[parent] if parent else -1 for _, parent in pairs),
        tuple((index[a], index[b]) for a, b in extra_bones),
    )


H36M17 = _skeleton(
    "h36m17",
    """pelvis right_hip:pelvis right_knee:right_hip right_ankle:right_knee
    left_hip:pelvis left_knee:left_hip left_ankle:left_knee
    spine:pelvis thorax:spine neck_nose:thorax head_top:neck_nose
    left_shoulder:thorax left_elbow:left_shoulder left_wrist:left_elbow
    right_shoulder:thorax right_elbow:right_shoulder right_wrist:right_elbow""",
)

COCO17 = _skeleton(
    "coco17",
    """nose left_eye:nose right_eye:nose left_ear:left_eye right_ear:right_eye
    left_shoulder right_shoulder left_elbow:left_shoulder right_elbow:right_shoulder
    left_wrist:left_elbow right_wrist:right_elbow left_hip:left_shoulder right_hip:right_shoulder
    left_knee:left_hip right_knee:right_hip left_ankle:left_knee right_ankle:right_knee""",
    (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
)

HALPE26 = _skeleton(
    "halpe26",
    """nose left_eye:nose right_eye:nose left_ear:left_eye right_ear:right_eye
    left_shoulder:neck right_shoulder:neck left_elbow:left_shoulder right_elbow:right_shoulder
    left_wrist:left_elbow right_wrist:right_elbow left_hip:pelvis right_hip:pelvis
    left_knee:left_hip right_knee:right_hip left_ankle:left_knee right_ankle:right_knee
    head_top:neck neck:pelvis pelvis
    left_big_toe:left_ankle right_big_toe:right_ankle left_small_toe:left_ankle
    right_small_toe:right_ankle left_heel:left_ankle right_heel:right_ankle""",
)

BLAZEPOSE33 = _skeleton(
    "blazepose33",
    """nose left_eye_inner:nose left_eye:left_eye_inner left_eye_outer:left_eye
    right_eye_inner:nose right_eye:right_eye_inner right_eye_outer:right_eye
    left_ear:left_eye_outer right_ear:right_eye_outer left_mouth right_mouth:left_mouth
    left_shoulder right_shoulder left_elbow:left_shoulder right_elbow:right_shoulder
    left_wrist:left_elbow right_wrist:right_elbow left_pinky:left_wrist right_pinky:right_wrist
    left_index:left_wrist right_index:right_wrist left_thumb:left_wrist right_thumb:right_wrist
    left_hip:left_shoulder right_hip:right_shoulder left_knee:left_hip right_knee:right_hip
    left_ankle:left_knee right_ankle:right_knee left_heel:left_ankle right_heel:right_ankle
    left_foot_index:left_heel right_foot_index:right_heel""",
    (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
)

MPII16 = _skeleton(
    "mpii16",
    """right_ankle:right_knee right_knee:right_hip right_hip:pelvis left_hip:pelvis
    left_knee:left_hip left_ankle:left_knee pelvis thorax:pelvis upper_neck:thorax
    head_top:upper_neck right_wrist:right_elbow right_elbow:right_shoulder right_shoulder:thorax
    left_shoulder:thorax left_elbow:left_shoulder left_wrist:left_elbow""",
)

LSP14 = _skeleton(
    "lsp14",
    """right_ankle:right_knee right_knee:right_hip right_hip:neck left_hip:neck
    left_knee:left_hip left_ankle:left_knee right_wrist:right_elbow right_elbow:right_shoulder
    right_shoulder:neck left_shoulder:neck left_elbow:left_shoulder left_wrist:left_elbow
    neck head_top:neck""",
)

SKELETONS: dict[str, Skeleton] = {
    s.name: s for s in (H36M17, COCO17, HALPE26, BLAZEPOSE33, MPII16, LSP14)
}

LIMBS = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)


def get_skeleton(name: str) -> Skeleton:
    """Returns the skeleton called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SKELETONS:
        raise unknown_name("skeleton", name, SKELETONS)
    return SKELETONS[name]


Mapping = dict[str, dict[str, float]]
"""Target joint name -> {source joint name: weight}."""

_BETWEEN: Mapping = {
    "pelvis": {"left_hip": 0.5, "right_hip": 0.5},
    "spine": dict.fromkeys(("left_hip", "right_hip", "left_shoulder", "right_shoulder"), 0.25),
    "thorax": {"left_shoulder": 0.5, "right_shoulder": 0.5},
}
_LIMBS: Mapping = {name: {name: 1.0} for name in LIMBS}

FACE_TO_H36M: Mapping = {
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

MAPPINGS_TO_H36M: dict[str, dict[str, Mapping]] = {
    "face": {"coco17": FACE_TO_H36M, "blazepose33": FACE_TO_H36M, "halpe26": FACE_TO_H36M},
}
"""Mapping name (chosen by the lifter's weights) -> source skeleton name -> mapping to H36M17."""


def map_points(
    points: NDArray[np.floating],
    score: NDArray[np.floating] | None,
    source: Skeleton,
    mapping: Mapping,
    target: Skeleton,
) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
    """Maps points from one skeleton to another by name.

    Args:
        points: ``(..., source joint, axis)``; NaN spreads to every point that needs it.
        score: ``(..., source joint)`` or None; a target's score is the least of its sources'.
        source: skeleton of ``points``.
        mapping: weights by name; every joint of ``target`` must be in it.
        target: skeleton of the result.

    Returns:
        Points ``(..., target joint, axis)`` and scores ``(..., target joint)``.

    Raises:
        UsageError: the source lacks a joint that the mapping needs.
    """
    needed = {s for t in target.joints for s in mapping.get(t, {t: 1.0})}
    missing = sorted(needed - set(source.joints))
    if missing:
        raise UsageError(
            f"Skeleton {source.name!r} cannot be mapped to {target.name!r}: it has no "
            + ", ".join(missing),
            "Use a 2D estimator with these joints, or a lifter with another mapping",
        )
    out = np.empty((*points.shape[:-2], len(target), points.shape[-1]), points.dtype)
    out_score = None if score is None else np.empty((*score.shape[:-1], len(target)), score.dtype)
    for t, name in enumerate(target.joints):
        weights = mapping.get(name, {name: 1.0})
        columns = [source.index[s] for s in weights]
        w = np.array(list(weights.values()), points.dtype)
        out[..., t, :] = np.einsum("...sa,s->...a", points[..., columns, :], w)
        if score is not None and out_score is not None:
            out_score[..., t] = score[..., columns].min(-1)
    return out, out_score


def mapping_to_h36m(name: str, source: Skeleton) -> Mapping:
    """Returns the mapping called ``name`` from ``source`` to H36M17 (identity for H36M17 itself).

    Raises:
        UsageError: there is no such mapping from this skeleton.
    """
    if source.name == H36M17.name:
        return {}
    if name not in MAPPINGS_TO_H36M:
        raise unknown_name("keypoint mapping", name, MAPPINGS_TO_H36M)
    table = MAPPINGS_TO_H36M[name]
    if source.name not in table:
        raise UsageError(
            f"Mapping {name!r} does not start from skeleton {source.name!r}",
            f"It accepts: {', '.join(sorted(table))}, h36m17",
        )
    return table[source.name]
