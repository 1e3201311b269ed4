"""Skeletons: names, parents and left/right of joint sets, and mapping between them by name.

A mapping never relies on indices: every target point is a weighted sum of named source points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError, unknown_name
from pose3d.mappings import FACE_TO_H36M as FACE_TO_H36M
from pose3d.mappings import LIMBS as LIMBS
from pose3d.mappings import MAPPINGS_TO_H36M, AxisRule, Mapping, Weights


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


def _face_68() -> list[str]:
    """Returns the 68 points of a face in the order of iBUG 300-W, named by the person's sides.

    Points of the two sides that mirror each other have the same number.
    """
    jaw = [f"right_jaw_{i}" for i in range(1, 9)] + ["chin"]
    jaw += [f"left_jaw_{i}" for i in range(8, 0, -1)]
    brows = [f"right_brow_{i}" for i in range(1, 6)] + [f"left_brow_{i}" for i in range(5, 0, -1)]
    nose = [f"nose_bridge_{i}" for i in range(1, 5)]
    nose += ["right_nostril_1", "right_nostril_2", "nose_base", "left_nostril_2", "left_nostril_1"]
    # Right eye: outer corner, upper lid, inner corner, lower lid; the left one runs the other way.
    eyes = [f"right_lid_{i}" for i in range(1, 7)]
    eyes += [f"left_lid_{i}" for i in (4, 3, 2, 1, 6, 5)]
    outer = "right_lip_1 right_lip_2 right_lip_3 upper_lip left_lip_3 left_lip_2 left_lip_1"
    outer += " left_lip_5 left_lip_4 lower_lip right_lip_4 right_lip_5"
    inner = "right_mouth_1 right_mouth_2 upper_mouth left_mouth_2 left_mouth_1"
    inner += " left_mouth_3 lower_mouth right_mouth_3"
    return [*jaw, *brows, *nose, *eyes, *outer.split(), *inner.split()]


def _hand_21(side: str) -> list[str]:
    """Returns ``joint:parent`` of a hand: its root, then four joints of each finger."""
    out = [f"{side}_hand_root:{side}_wrist"]
    for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"):
        chain = [f"{side}_hand_root", *(f"{side}_{finger}{i}" for i in range(1, 5))]
        out += [f"{joint}:{parent}" for parent, joint in pairwise(chain)]
    return out


WHOLEBODY133 = _skeleton(
    "wholebody133",
    " ".join(
        [
            *(
                joint if parent < 0 else f"{joint}:{COCO17.joints[parent]}"
                for joint, parent in zip(COCO17.joints, COCO17.parents, strict=True)
            ),
            *(
                f"{side}_{part}:{side}_ankle"
                for side in ("left", "right")
                for part in ("big_toe", "small_toe", "heel")
            ),
            *_face_68(),
            *_hand_21("left"),
            *_hand_21("right"),
        ]
    ),
    (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
)
"""COCO-WholeBody: COCO-17, six points of the feet, 68 of the face, 21 of each hand."""

_HALPE136 = [
    *(
        joint if parent < 0 else f"{joint}:{HALPE26.joints[parent]}"
        for joint, parent in zip(HALPE26.joints, HALPE26.parents, strict=True)
    ),
    *_face_68(),
    *_hand_21("left"),
    *_hand_21("right"),
]
HALPE136 = _skeleton("halpe136", " ".join(_HALPE136))
"""Halpe-FullBody: Halpe-26, 68 points of the face, 21 of each hand."""

OPENPOSE18 = _skeleton(
    "openpose18",
    """nose:neck neck right_shoulder:neck right_elbow:right_shoulder right_wrist:right_elbow
    left_shoulder:neck left_elbow:left_shoulder left_wrist:left_elbow right_hip:neck
    right_knee:right_hip right_ankle:right_knee left_hip:neck left_knee:left_hip
    left_ankle:left_knee right_eye:nose left_eye:nose right_ear:right_eye left_ear:left_eye""",
)
"""OpenPose's COCO model: COCO-17 in another order, and a neck between the shoulders."""

OPENPOSE25 = _skeleton(
    "openpose25",
    """nose:neck neck:pelvis right_shoulder:neck right_elbow:right_shoulder right_wrist:right_elbow
    left_shoulder:neck left_elbow:left_shoulder left_wrist:left_elbow pelvis right_hip:pelvis
    right_knee:right_hip right_ankle:right_knee left_hip:pelvis left_knee:left_hip
    left_ankle:left_knee right_eye:nose left_eye:nose right_ear:right_eye left_ear:left_eye
    left_big_toe:left_ankle left_small_toe:left_big_toe left_heel:left_ankle
    right_big_toe:right_ankle right_small_toe:right_big_toe right_heel:right_ankle""",
)
"""OpenPose's BODY_25 model; its MidHip is called pelvis here."""

SKELETONS: dict[str, Skeleton] = {
    s.name: s
    for s in (
        *(H36M17, COCO17, HALPE26, BLAZEPOSE33, MPII16, LSP14),
        *(WHOLEBODY133, HALPE136, OPENPOSE18, OPENPOSE25),
    )
}


def get_skeleton(name: str) -> Skeleton:
    """Returns the skeleton called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SKELETONS:
        raise unknown_name("skeleton", name, SKELETONS)
    return SKELETONS[name]


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
        score: ``(..., source joint)`` or None; a target's score is the least of its sources', or
            their mean where an :class:`AxisRule` says so.
        source: skeleton of ``points``.
        mapping: weights by name; every joint of ``target`` must be in it.
        target: skeleton of the result.

    Returns:
        Points ``(..., target joint, axis)`` and scores ``(..., target joint)``.

    Raises:
        UsageError: the source lacks a joint that the mapping needs.
    """
    rules = {name: mapping.get(name, {name: 1.0}) for name in target.joints}
    needed = {s for rule in rules.values() for s in _sources(rule)}
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
        rule = rules[name]
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


def _sources(rule: Weights | AxisRule) -> set[str]:
    parts = (rule.x, rule.y, rule.score) if isinstance(rule, AxisRule) else (rule,)
    return {source for part in parts for source in part}


def _weigh(
    values: NDArray[np.floating], weights: Weights, source: Skeleton
) -> NDArray[np.floating]:
    """Returns the weighted sum of named joints of ``(..., source joint)``: ``(...)``."""
    columns = [source.index[s] for s in weights]
    return values[..., columns] @ np.array(list(weights.values()), values.dtype)


_WEAK_SCORE = 0.3
_FOLDS = {
    "right_knee right_ankle left_knee left_ankle": "right_hip right_hip left_hip left_hip",
    "right_knee right_ankle left_ankle": "right_hip right_hip left_knee",
    "right_ankle left_knee left_ankle": "right_knee left_hip left_hip",
    "right_ankle left_ankle": "right_knee left_knee",
    "right_ankle": "right_knee",
    "left_ankle": "left_knee",
}
"""Joints below the threshold -> where each of them goes."""


def fold_weak_legs(
    points: NDArray[np.floating], score: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Moves knees and ankles that were hardly seen onto the next surer joint of their leg.

    A network that was trained on whole bodies takes folded legs better than guessed ones, which
    detectors place anywhere when a picture ends at the hips.

    Args:
        points: ``(..., 17, 2)`` H36M17 keypoints in pixels.
        score: ``(..., 17)``.

    Returns:
        A copy. Only the six patterns of the published code are changed: both legs, one whole leg and
        the other ankle, both ankles, one ankle.

    Reference: ``revise_kpts`` in ``demo/lib/preprocess.py`` of Vegetebird/MHFormer.
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


def map_to_h36m(
    name: str, points: NDArray[np.floating], score: NDArray[np.floating], source: Skeleton
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Maps keypoints to H36M17 as weights with the mapping ``name`` expect them.

    Args:
        name: in ``MAPPINGS_TO_H36M``.
        points: ``(..., source joint, 2)`` pixels.
        score: ``(..., source joint)``.
        source: skeleton of ``points``.

    Returns:
        Points ``(..., 17, 2)`` and scores ``(..., 17)``.

    Raises:
        UsageError: there is no such mapping from this skeleton.
    """
    mapped, mapped_score = map_points(points, score, source, mapping_to_h36m(name, source), H36M17)
    assert mapped_score is not None
    if name == "hot-revised":
        mapped = fold_weak_legs(mapped, mapped_score)
    return mapped, mapped_score


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


def mapping_sources(name: str, source: Skeleton) -> set[str]:
    """Returns the joints of ``source`` that the mapping ``name`` to H36M17 is made of.

    Raises:
        UsageError: there is no such mapping from this skeleton.
    """
    mapping = mapping_to_h36m(name, source)
    return {s for joint in H36M17.joints for s in _sources(mapping.get(joint, {joint: 1.0}))}
