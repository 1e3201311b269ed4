"""From recorded points to the rotations of a body's bones.

Bones take the direction of the recorded limb; their turn about it follows from the hinge of elbow
and knee where the limb is bent, from the neighbouring bone or the foot where it is straight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.lab.datasets.motions import MOCAP_JOINTS
from pose3d.lab.synthesis.bodies import LIMB_BONES, Body

Array = NDArray[np.float64]

_UP = np.array([0.0, 0.0, 1.0])
_FLESH_M = 0.07  # around the bones of a body that rests on the floor
# sine of the bend below which a hinge says nothing, and above which it alone decides
_ELBOW_BEND, _KNEE_BEND = (0.10, 0.35), (0.15, 0.45)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """A body in motion."""

    rotations: Array  # ``(frame, bone, 3, 3)`` from the body at rest to the world
    heads_m: Array  # ``(frame, bone, 3)`` where the bones begin, Z up, the floor at 0
    joints_m: Array  # ``(frame, 17, 3)`` true joints in the order of H36M17


def pose_body(body: Body, points_m: Array) -> Posed:
    """Makes a body move as recorded ``(frame, 23, 3)``, Z up, at its own size, feet on the floor."""
    point = {name: points_m[:, i] for i, name in enumerate(MOCAP_JOINTS)}
    turn = _turn_trunk(body, point)
    for side in ("Left", "Right"):
        turn |= _turn_arm(body, point, turn, side) | _turn_leg(body, point, side)
    follow = {"LHipJoint": "Hips", "RHipJoint": "Hips"}
    for side, letter in (("Left", "L"), ("Right", "R")):
        hand = (f"{side}Hand", f"{letter}Thumb", f"{side}FingerBase", f"{side}HandFinger1")
        follow |= dict.fromkeys(hand, f"{side}ForeArm") | {f"{side}ToeBase": f"{side}Foot"}
    rotations = np.stack([turn[follow.get(bone, bone)] for bone in body.bones], 1)
    heads = _place(body, point, rotations)
    return Posed(rotations=rotations, heads_m=heads, joints_m=_true_joints(body, rotations, heads))


def put_on_floor(body: Body, posed: Posed) -> Posed:
    """Lifts a body that lies, kneels or stands on its hands until nothing is below the floor."""
    above = [b for b, bone in enumerate(body.bones) if not bone.endswith(("Foot", "ToeBase"))]
    lowest = np.percentile(posed.heads_m[:, above, 2].min(1), 2)
    up = np.array([0.0, 0.0, max(_FLESH_M - lowest, 0.0)])
    return replace(posed, heads_m=posed.heads_m + up, joints_m=posed.joints_m + up)


def _turn_trunk(body: Body, point: dict[str, Array]) -> dict[str, Array]:
    """Returns rotations ``(frame, 3, 3)`` of pelvis, spine, neck and head."""
    left, spine = np.array([1.0, 0.0, 0.0]), body.head("Spine")
    pelvis = _turn(
        (left, spine - _middle(body, "UpLeg")),
        (point["left_hip"] - point["right_hip"], point["spine"] - point["pelvis"]),
    )
    chest = _turn(
        (_thorax(body) - spine, left),
        (point["thorax"] - point["spine"], point["left_shoulder"] - point["right_shoulder"]),
    )
    ears = point["left_ear"] + point["right_ear"]
    head = _turn(
        (left, _UP),
        (point["left_ear"] - point["right_ear"], point["head_top"] - ears / 2),
    )
    return {
        "Hips": pelvis,
        "LowerBack": _between(pelvis, chest, 0.33),
        "Spine": _between(pelvis, chest, 0.7),
        "Spine1": chest,
        "Neck": _between(chest, head, 0.33),
        "Neck1": _between(chest, head, 0.67),
        "Head": head,
    }


def _turn_arm(
    body: Body, point: dict[str, Array], turn: dict[str, Array], side: str
) -> dict[str, Array]:
    chest, name = turn["Spine1"], side.lower()
    shoulder, elbow, wrist = (point[f"{name}_{j}"] for j in ("shoulder", "elbow", "wrist"))
    # The shoulder moves about its usual place as the recorded one moves about its own.
    recorded = np.einsum("fji,fj->fi", chest, shoulder - point["thorax"])
    width = np.linalg.norm(point["left_shoulder"] - point["right_shoulder"], axis=-1).mean()
    arm, root = body.head(f"{side}Arm"), body.head(f"{side}Shoulder")
    scale = np.linalg.norm(body.head("LeftArm") - body.head("RightArm")) / width
    target = arm - root + (recorded - np.median(recorded, 0)) * scale
    clavicle = chest @ _swing(np.broadcast_to(arm - root, target.shape), target)

    upper = body.head(f"{side}ForeArm") - arm
    fore = body.head(f"{side}Hand") - body.head(f"{side}ForeArm")
    hinge = np.cross(upper, fore)
    new_upper, new_fore = elbow - shoulder, wrist - elbow
    swung = _swing(clavicle @ upper, new_upper) @ clavicle
    new_hinge = _hinge(new_upper, new_fore, swung @ _unit(hinge), _ELBOW_BEND)
    return {
        f"{side}Shoulder": clavicle,
        f"{side}Arm": _turn((upper, hinge), (new_upper, new_hinge)),
        f"{side}ForeArm": _turn((fore, hinge), (new_fore, new_hinge)),
    }


def _turn_leg(body: Body, point: dict[str, Array], side: str) -> dict[str, Array]:
    name = side.lower()
    hip, knee, ankle = (point[f"{name}_{j}"] for j in ("hip", "knee", "ankle"))
    forward = point[f"{name}_toe"] - point[f"{name}_heel"]
    rest_knee, rest_ankle = body.head(f"{side}Leg"), body.head(f"{side}Foot")
    thigh, shank = rest_knee - body.head(f"{side}UpLeg"), rest_ankle - rest_knee
    foot = (body.head(f"{side}ToeBase") - rest_ankle) * [1, 1, 0]
    left = np.array([1.0, 0.0, 0.0])
    new_thigh, new_shank = knee - hip, ankle - knee
    across = _hinge(new_thigh, new_shank, _unit(np.cross(forward, new_shank)), _KNEE_BEND)
    return {
        f"{side}UpLeg": _turn((thigh, left), (new_thigh, across)),
        f"{side}Leg": _turn((shank, left), (new_shank, across)),
        f"{side}Foot": _turn((foot, np.cross(foot, -_UP)), (forward, np.cross(forward, new_shank))),
    }


def _place(body: Body, point: dict[str, Array], rotations: Array) -> Array:
    """Returns bone heads ``(frame, bone, 3)`` on the recorded way, scaled by leg length."""
    legs = [("hip", "knee", "UpLeg", "Leg"), ("knee", "ankle", "Leg", "Foot")]
    length = recorded = 0.0
    for above, below, upper, lower in legs:
        length += float(np.linalg.norm(body.head(f"Left{lower}") - body.head(f"Left{upper}")))
        bone = point[f"left_{below}"] - point[f"left_{above}"]
        recorded += float(np.linalg.norm(bone, axis=-1).mean())
    heads = np.zeros((*rotations.shape[:2], 3))
    hips = rotations[:, 0] @ (body.heads_m[0] - _middle(body, "UpLeg"))
    heads[:, 0] = point["pelvis"] * length / recorded + hips
    for b, parent in enumerate(body.parents):
        if parent >= 0:
            offset = body.heads_m[b] - body.heads_m[parent]
            heads[:, b] = heads[:, parent] + rotations[:, parent] @ offset
    soles = _soles(body, rotations, heads)
    heads[..., 2] -= np.percentile(soles, 2)
    return heads


def _soles(body: Body, rotations: Array, heads: Array) -> Array:
    """Returns how high the lowest point of the feet is, ``(frame,)``."""
    skin = np.unique(body.faces["body"])
    lowest = np.full(len(rotations), np.inf)
    for side in ("Left", "Right"):
        b = body.bones.index(f"{side}Foot")
        foot = skin[body.weights[skin, b] > 0.5]
        ground = body.vertices_m[foot, 2].min()
        for corner in ("Foot", "ToeBase"):
            below = body.head(f"{side}{corner}") * [1, 1, 0] + [0, 0, ground] - body.heads_m[b]
            lowest = np.minimum(lowest, (heads[:, b] + rotations[:, b] @ below)[:, 2])
    return lowest


def _true_joints(body: Body, rotations: Array, heads: Array) -> Array:
    """Returns the 17 joints ``(frame, 17, 3)``; definitions: :mod:`pose3d.lab.datasets.anatomy`."""

    def carried(bone: str, rest: Array) -> Array:
        return carry(body, rotations, heads, bone, rest)

    joint: dict[str, Array] = {}
    for name, bone in LIMB_BONES.items():
        # A hip is fixed to the pelvis, a shoulder to the clavicle; skin and knee lie between the bones.
        above = body.bones[body.parents[body.bones.index(bone)]]
        movers = {"hip": (above,), "shoulder": (above,), "knee": (above, bone)}
        bones = movers.get(name.partition("_")[2], (bone,))
        joint[name] = np.mean([carried(b, body.joint(name)) for b in bones], axis=0)
    joint["pelvis"] = (joint["left_hip"] + joint["right_hip"]) / 2
    joint["spine"] = carried("Spine", body.head("Spine"))
    joint["thorax"] = carried("Spine1", _thorax(body))
    nose = (body.head("Head") + body.vertices_m[body.nose_tip]) / 2
    joint["neck_nose"] = carried("Head", nose)
    joint["head_top"] = carried("Head", body.vertices_m[body.skull_top])
    return np.stack([joint[name] for name in H36M17.joints], 1)


def carry(body: Body, rotations: Array, heads: Array, bone: str, rest: Array) -> Array:
    """Returns where a point ``(3,)`` of the body at rest is when a bone carries it, ``(frame, 3)``."""
    b = body.bones.index(bone)
    return heads[:, b] + rotations[:, b] @ (rest - body.heads_m[b])


def nose_and_feet(body: Body, posed: Posed) -> tuple[Array, Array]:
    """Returns the tip of the nose ``(frame, 3)``, and left and right big toe and heel ``(frame, 4,
    3)``."""

    def carried(bone: str, vertex: int) -> Array:
        return carry(body, posed.rotations, posed.heads_m, bone, body.vertices_m[vertex])

    feet = [
        carried(f"{side}{bone}", body.extreme((f"{side}Foot", f"{side}ToeBase"), (0, along, 0)))
        for bone, along in (("ToeBase", -1), ("Foot", 1))
        for side in ("Left", "Right")
    ]
    return carried("Head", body.nose_tip), np.stack(feet, 1)


def _thorax(body: Body) -> Array:
    """Returns the point between the base of the neck and the middle of the shoulders, at rest."""
    return (body.head("Neck") + _middle(body, "Arm")) / 2


def _middle(body: Body, bone: str) -> Array:
    return (body.head(f"Left{bone}") + body.head(f"Right{bone}")) / 2


def _unit(v: Array) -> Array:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _hinge(upper: Array, lower: Array, otherwise: Array, bend: tuple[float, float]) -> Array:
    """Returns the bending axis ``(frame, 3)``; ``otherwise``, as far as the limb is straight."""
    axis = np.cross(_unit(upper), _unit(lower))
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    w = np.clip((sine - bend[0]) / (bend[1] - bend[0]), 0, 1)
    return _unit(w * _unit(axis) + (1 - w) * otherwise)


def _turn(rest: tuple[Array, Array], now: tuple[Array, Array]) -> Array:
    """Returns the rotations that carry one pair of directions to another, the first exactly."""
    return _basis(*now) @ np.swapaxes(_basis(*rest), -1, -2)


def _basis(first: Array, second: Array) -> Array:
    a = _unit(first)
    c = _unit(np.cross(a, second))
    return np.stack([a, np.cross(c, a), c], -1)


def _swing(start: Array, end: Array) -> Array:
    """Returns the smallest rotations ``(frame, 3, 3)`` that carry ``start`` to ``end``."""
    a, b = _unit(start), _unit(end)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis, axis=-1)
    angle = np.arctan2(sine, (a * b).sum(-1))
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-9)[:, None] * angle[:, None]).as_matrix()


def _between(a: Array, b: Array, share: float) -> Array:
    step = Rotation.from_matrix(np.swapaxes(a, -1, -2) @ b).as_rotvec() * share
    return a @ Rotation.from_rotvec(step).as_matrix()
