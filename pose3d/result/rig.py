"""A moving skeleton with constant bones: nodes in T-pose, facing +z, and how they turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import bone_lengths
from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.result.record import PoseSequence
from pose3d.result.upright import upright_track

Array = NDArray[np.float64]

END_M = 0.08
"""A bone must end somewhere; hands, feet and crown are drawn this long."""
_TOE_M = (0.0, -0.06, 0.12)  # from the ankle; nobody sees it


@dataclass(frozen=True, slots=True)
class Node:
    """One node: a joint, or a second one on a joint that several bones begin at."""

    name: str
    joint: int  # index in the skeleton that it lies on
    parent: int  # index of the node above, -1 for the root
    bone: int  # joint that ends the bone that its rotation points, or -1
    # Where the node has children on both sides: the joints (right, left, lower, upper) of the line
    # across and the line along the trunk that give its rotation.
    across: tuple[str, ...] = ()
    toe: bool = False  # lies before the ankle, and does not turn


_ACROSS = {
    "pelvis": ("right_hip", "left_hip", "pelvis", "spine"),
    "thorax": ("right_shoulder", "left_shoulder", "spine", "thorax"),
}
_TRUNK = "pelvis pelvis_to_spine spine thorax thorax_to_neck_nose neck_nose"
_LIMBS = "hip knee ankle toe thorax_to shoulder elbow wrist"


def _table(trunk: str, limbs: str, left: str, right: str, prefix: str = "") -> dict[str, str]:
    """Names our nodes after those of others; their limbs have ``left`` or ``right`` in front."""
    named = dict(zip(_TRUNK.split(), trunk.split(), strict=True))
    for side, word in (("left", left), ("right", right)):
        for ours, theirs in zip(_LIMBS.split(), limbs.split(), strict=False):
            key = f"thorax_to_{side}_shoulder" if ours == "thorax_to" else f"{side}_{ours}"
            named[key] = word + theirs
    return {ours: prefix + theirs for ours, theirs in named.items() if not theirs.endswith("-")}


_SPINE = "Hips Spine Spine1 Spine2 Neck Head"
_ARM = "Shoulder Arm ForeArm Hand"
NAMES: dict[str, dict[str, str]] = {
    "pose3d": {},
    "mixamo": _table(_SPINE, f"UpLeg Leg Foot ToeBase {_ARM}", "Left", "Right", "mixamorig:"),
    "lafan1": _table(_SPINE, f"UpLeg Leg Foot Toe {_ARM}", "Left", "Right"),
    "vrm": _table(
        "hips spine chest upperChest neck head",
        "UpperLeg LowerLeg Foot - Shoulder UpperArm LowerArm Hand",
        *("left", "right"),
    ),
}
"""How nodes are called, ours -> theirs. Theirs have no node between pelvis and hip, so that the
pelvis is the middle of the hips, and none for the crown.

Reference: Mixamo's rig, the BVH files of Ubisoft's LAFAN1, and ``humanoid.md`` of VRMC_vrm 1.0.
"""


def make_nodes(bones: str) -> list[Node]:
    """Lists the nodes of a rig of :data:`NAMES`, parents before children, depth first."""
    joints, parents, names = H36M17.joints, H36M17.parents, NAMES[bones]
    nodes: list[Node] = []

    def add(name: str, joint: int, parent: int, bone: int = -1, **more: object) -> int:
        nodes.append(Node(names.get(name, name), joint, parent, bone, **more))  # type: ignore[arg-type]
        return len(nodes) - 1

    def grow(joint: int, parent: int) -> None:
        name = joints[joint]
        below = [child for child, above in enumerate(parents) if above == joint]
        # In LAFAN1's order: left leg, right leg, trunk; neck, left arm, right arm.
        below.sort(key=lambda c: (joints[c] == "spine", joints[c].startswith("right")))
        if names and not below and name not in names:
            return
        single = below[0] if len(below) == 1 else -1
        here = add(name, joint, parent, single, across=_ACROSS.get(name, ()))
        if name.replace("ankle", "toe") in names and name.endswith("ankle"):
            add(name.replace("ankle", "toe"), joint, here, toe=True)
        for child in below:
            extra = f"{name}_to_{joints[child]}"
            own = single < 0 and (not names or extra in names)
            grow(child, add(extra, joint, here, child) if own else here)

    grow(0, -1)
    return nodes


def rest_directions() -> Array:
    """Returns the direction of the bone that ends in each joint when standing in T-pose."""

    def direction(name: str) -> tuple[float, float, float]:
        if name.endswith(("knee", "ankle")):
            return 0.0, -1.0, 0.0
        side = {"left": 1.0, "right": -1.0}.get(name.split("_")[0])
        return (0.0, 1.0, 0.0) if side is None else (side, 0.0, 0.0)

    return np.array([direction(name) for name in H36M17.joints])


def rig_joints(pose: PoseSequence, bones: str, what: str) -> Array:
    """Returns ``(frame, joint, 3)`` of the only person, y up; NaN while away.

    ``what`` names the format in the UsageError for other skeletons.
    """
    if pose.skeleton.name != H36M17.name:
        raise UsageError(
            f"{what} needs the skeleton {H36M17.name}, the result has {pose.skeleton.name}",
            "Lift it first (pose3d lift), or export json, npz or csv",
        )
    joints = upright_track(pose)
    if NAMES[bones]:
        joints[:, 0] = joints[:, [H36M17.index["left_hip"], H36M17.index["right_hip"]]].mean(1)
    return joints


def whole_frames(joints: Array, pose: PoseSequence) -> NDArray[np.bool_]:
    """Tells in which frames every joint is known; a UsageError where there is none."""
    known = np.asarray(np.isfinite(joints).all((1, 2)))
    if not known.any():
        raise UsageError(
            f"Person {pose.person_ids[0]} of {pose.video.path} has no frame with every joint",
            "Export json, npz or csv",
        )
    return known


def even_times(pose: PoseSequence) -> Array:
    """Returns the times of rows at an even rate, from the first frame to the last."""
    if not pose.video.variable_rate:
        return pose.time_s
    step = float(1 / pose.video.rate)
    return np.arange(pose.time_s[0], pose.time_s[-1] + step / 2, step)


def rest_offsets(joints: Array, nodes: list[Node]) -> Array:
    """Returns ``(node, 3)`` metres from the parent at rest: the median length of the bone."""
    lengths = np.median(bone_lengths(joints, H36M17), axis=0)
    rest = rest_directions()
    offsets = np.zeros((len(nodes), 3))
    for i, node in enumerate(nodes):
        if node.toe:
            offsets[i] = _TOE_M
        elif node.parent >= 0 and nodes[node.parent].joint != node.joint:
            offsets[i] = lengths[node.joint] * rest[node.joint]
    return offsets


def turn_nodes(joints: Array, nodes: list[Node]) -> Iterator[tuple[Array, Array]]:
    """Yields for each node ``(frame, 3, 3)`` its rotation in the world and against its parent.

    Twist about a bone is not observed and kept least.
    """
    rest = rest_directions()
    world: list[Array] = []
    for node in nodes:
        above = world[node.parent] if node.parent >= 0 else np.eye(3)[None]
        if node.across:
            right, left, lower, upper = (joints[:, H36M17.index[name]] for name in node.across)
            turned = _frame(left - right, upper - lower)
        elif node.bone >= 0:
            along = _unit(joints[:, node.bone] - joints[:, node.joint])
            turned = _swing(above @ rest[node.bone], along) @ above
        else:
            turned = above
        world.append(turned)
        yield turned, np.swapaxes(above, -1, -2) @ turned


def euler_zxy_deg(rotation: Array) -> Array:
    """Splits rotations into Rz @ Rx @ Ry: ``(frame, ..., 3)`` degrees, without jumps."""
    z = np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    x = np.arcsin(np.clip(rotation[..., 2, 1], -1, 1))
    y = np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    return np.rad2deg(np.stack([np.unwrap(z, axis=0), x, np.unwrap(y, axis=0)], -1))


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _frame(to_left: Array, up: Array) -> Array:
    """Returns ``(frame, 3, 3)`` rotations that take x to the person's left and y roughly up."""
    x = _unit(to_left)
    y = _unit(up - (up * x).sum(-1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], -1)


def _swing(a: Array, b: Array) -> Array:
    """Returns the least rotations of unit vectors ``a`` to ``b``, exact also near half a turn."""
    middle = a + b
    opposite = np.linalg.norm(middle, axis=-1) < 1e-9
    if opposite.any():  # the middle is anything at right angles
        other = np.where(np.abs(a[opposite][:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
        middle[opposite] = np.cross(a[opposite], other)
    return _half_turn(_unit(middle)) @ _half_turn(a)


def _half_turn(axis: Array) -> Array:
    return 2 * axis[:, :, None] * axis[:, None, :] - np.eye(3)
