"""Skeletons: names, parents and left/right of joint sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from pose3d.errors import unknown_name

# The joints that every skeleton has under the same name.
LIMBS = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered set of points on a body; left and right are the person's own."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]  # index of the parent of each joint, -1 for a root; drawn as bones
    extra_bones: tuple[tuple[int, int], ...] = ()  # to draw; no parent links

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
        first = (name.split("_")[0] for name in self.joints)
        return tuple(word if word in ("left", "right") else "middle" for word in first)

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

_TRUNK = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))
_COCO17 = """nose left_eye:nose right_eye:nose left_ear:left_eye right_ear:right_eye
    left_shoulder right_shoulder left_elbow:left_shoulder right_elbow:right_shoulder
    left_wrist:left_elbow right_wrist:right_elbow left_hip:left_shoulder right_hip:right_shoulder
    left_knee:left_hip right_knee:right_hip left_ankle:left_knee right_ankle:right_knee"""
COCO17 = _skeleton("coco17", _COCO17, _TRUNK)

_HALPE26 = """nose left_eye:nose right_eye:nose left_ear:left_eye right_ear:right_eye
    left_shoulder:neck right_shoulder:neck left_elbow:left_shoulder right_elbow:right_shoulder
    left_wrist:left_elbow right_wrist:right_elbow left_hip:pelvis right_hip:pelvis
    left_knee:left_hip right_knee:right_hip left_ankle:left_knee right_ankle:right_knee
    head_top:neck neck:pelvis pelvis
    left_big_toe:left_ankle right_big_toe:right_ankle left_small_toe:left_ankle
    right_small_toe:right_ankle left_heel:left_ankle right_heel:right_ankle"""
HALPE26 = _skeleton("halpe26", _HALPE26)

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
    _TRUNK,
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
    """Returns the face points of iBUG 300-W by the person's sides; mirrored ones share a number."""
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
    """Its root, then four joints of each finger."""
    out = [f"{side}_hand_root:{side}_wrist"]
    for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"):
        chain = [f"{side}_hand_root", *(f"{side}_{finger}{i}" for i in range(1, 5))]
        out += [f"{joint}:{parent}" for parent, joint in pairwise(chain)]
    return out


_FACE_AND_HANDS = [*_face_68(), *_hand_21("left"), *_hand_21("right")]
_FEET = [
    f"{side}_{part}:{side}_ankle"
    for side in ("left", "right")
    for part in ("big_toe", "small_toe", "heel")
]

# COCO-WholeBody: COCO-17, six points of the feet, 68 of the face, 21 of each hand.
WHOLEBODY133 = _skeleton(
    "wholebody133",
    " ".join([_COCO17, *_FEET, *_FACE_AND_HANDS]),
    _TRUNK,
)

# Halpe-FullBody: Halpe-26, 68 points of the face, 21 of each hand.
HALPE136 = _skeleton("halpe136", " ".join([_HALPE26, *_FACE_AND_HANDS]))

# OpenPose's COCO model: COCO-17 in another order, and a neck between the shoulders.
OPENPOSE18 = _skeleton(
    "openpose18",
    """nose:neck neck right_shoulder:neck right_elbow:right_shoulder right_wrist:right_elbow
    left_shoulder:neck left_elbow:left_shoulder left_wrist:left_elbow right_hip:neck
    right_knee:right_hip right_ankle:right_knee left_hip:neck left_knee:left_hip
    left_ankle:left_knee right_eye:nose left_eye:nose right_ear:right_eye left_ear:left_eye""",
)

# OpenPose's BODY_25 model; its MidHip is called pelvis here.
OPENPOSE25 = _skeleton(
    "openpose25",
    """nose:neck neck:pelvis right_shoulder:neck right_elbow:right_shoulder right_wrist:right_elbow
    left_shoulder:neck left_elbow:left_shoulder left_wrist:left_elbow pelvis right_hip:pelvis
    right_knee:right_hip right_ankle:right_knee left_hip:pelvis left_knee:left_hip
    left_ankle:left_knee right_eye:nose left_eye:nose right_ear:right_eye left_ear:left_eye
    left_big_toe:left_ankle left_small_toe:left_big_toe left_heel:left_ankle
    right_big_toe:right_ankle right_small_toe:right_big_toe right_heel:right_ankle""",
)

SKELETONS: dict[str, Skeleton] = {
    s.name: s
    for s in (
        *(H36M17, COCO17, HALPE26, BLAZEPOSE33, MPII16, LSP14),
        *(WHOLEBODY133, HALPE136, OPENPOSE18, OPENPOSE25),
    )
}


def get_skeleton(name: str) -> Skeleton:
    """Returns the skeleton called ``name``; a UsageError where there is none."""
    if name not in SKELETONS:
        raise unknown_name("skeleton", name, SKELETONS)
    return SKELETONS[name]
