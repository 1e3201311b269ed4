"""BVH: a moving skeleton with constant bones for Blender and other animation programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import bone_lengths
from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.result.numbers import fill_template
from pose3d.result.record import PoseSequence
from pose3d.result.upright import upright_joints

Array = NDArray[np.float64]

_CM = 100.0
_END_M = 0.08  # a bone must end somewhere; hands, feet and crown are drawn this long


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    joint: int  # index in the skeleton that it lies on
    parent: int  # index of the node above, -1 for the root
    bone: int  # joint that ends the bone that its rotation points, or -1
    # Where the node has children on both sides: the joints (right, left, lower, upper) of the line
    # across and the line along the trunk that give its rotation.
    across: tuple[str, ...] = ()


class BvhExporter:
    """Writes ``.bvh``: y up, centimetres, channels Z X Y in degrees, T-pose at rest, facing +z.

    Bones have their median length and a rotation each (joints with several children get a node of
    length zero for each); twist about a bone is not observed and kept least. While a person is away
    the pose goes straight to the next one; times are even.
    """

    suffix = ".bvh"
    description = "moving skeleton for Blender and other animation programs, one file a person"
    per_person = True

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the only person of ``pose`` to ``path``."""
        if pose.skeleton.name != H36M17.name:
            raise UsageError(
                f"BVH needs the skeleton {H36M17.name}, the result has {pose.skeleton.name}",
                "Lift it first (pose3d lift), or export json, npz or csv",
            )
        joints = _steady_joints(pose)
        nodes, rest = _nodes(), _rest_directions()
        offsets = _offsets(joints, nodes, rest)
        angles = _euler_zxy_deg(_local_rotations(joints, nodes, rest))
        motion = np.concatenate([joints[:, 0] * _CM, angles.reshape(len(joints), -1)], 1)
        columns = motion.shape[1]
        pieces = ["", *[" "] * (columns - 1), "\n"]
        text = fill_template(motion, [4] * columns, pieces, missing="0")
        head = "HIERARCHY\n" + _hierarchy(nodes, offsets, rest, 0, 0)
        head += f"MOTION\nFrames: {len(joints)}\nFrame Time: {float(1 / pose.video.rate):.8f}\n"
        with path.open("wb") as file:
            file.writelines([head.encode(), text])


def _steady_joints(pose: PoseSequence) -> Array:
    """Returns ``(frame, joint, 3)`` at even times, without gaps."""
    joints = upright_joints(pose)[:, 0]
    known = np.isfinite(joints).all((1, 2))
    times = pose.time_s
    if pose.video.variable_rate:
        step = float(1 / pose.video.rate)
        times = np.arange(times[0], times[-1] + step / 2, step)
    flat = joints[known].reshape(int(known.sum()), -1)
    even = [np.interp(times, pose.time_s[known], column) for column in flat.T]
    return np.stack(even, -1).reshape(len(times), -1, 3)


def _rest_directions() -> Array:
    """Returns the direction of the bone that ends in each joint when standing in T-pose."""

    def direction(name: str) -> tuple[float, float, float]:
        if name.endswith(("knee", "ankle")):
            return 0.0, -1.0, 0.0
        side = {"left": 1.0, "right": -1.0}.get(name.split("_")[0])
        return (0.0, 1.0, 0.0) if side is None else (side, 0.0, 0.0)

    return np.array([direction(name) for name in H36M17.joints])


_ACROSS = {
    "pelvis": ("right_hip", "left_hip", "pelvis", "spine"),
    "thorax": ("right_shoulder", "left_shoulder", "spine", "thorax"),
}


def _nodes() -> list[_Node]:
    """Lists the nodes of the file, parents before children, depth first."""
    names, parents = H36M17.joints, H36M17.parents
    children = [[c for c, p in enumerate(parents) if p == j] for j in range(len(names))]
    nodes: list[_Node] = []

    def add(joint: int, parent: int) -> None:
        below = children[joint]
        bone = below[0] if len(below) == 1 else -1
        nodes.append(_Node(names[joint], joint, parent, bone, _ACROSS.get(names[joint], ())))
        here = len(nodes) - 1
        for child in below:
            if len(below) == 1:
                add(child, here)
            else:
                nodes.append(_Node(f"{names[joint]}_to_{names[child]}", joint, here, child))
                add(child, len(nodes) - 1)

    add(0, -1)
    return nodes


def _offsets(joints: Array, nodes: list[_Node], rest: Array) -> Array:
    """Returns ``(node, 3)`` metres from the parent at rest: the median length of the bone."""
    lengths = np.median(bone_lengths(joints, H36M17), axis=0)
    offsets = np.zeros((len(nodes), 3))
    for i, node in enumerate(nodes):
        if node.parent >= 0 and nodes[node.parent].joint != node.joint:
            offsets[i] = lengths[node.joint] * rest[node.joint]
    return offsets


def _local_rotations(joints: Array, nodes: list[_Node], rest: Array) -> Array:
    """Returns ``(frame, node, 3, 3)``: each node's rotation against its parent."""
    world = np.zeros((len(joints), len(nodes), 3, 3))
    local = np.zeros_like(world)
    for i, node in enumerate(nodes):
        above = world[:, node.parent] if node.parent >= 0 else np.eye(3)[None]
        if node.across:
            right, left, lower, upper = (joints[:, H36M17.index[name]] for name in node.across)
            world[:, i] = _frame(left - right, upper - lower)
        elif node.bone >= 0:
            along = _unit(joints[:, node.bone] - joints[:, node.joint])
            world[:, i] = _swing(above @ rest[node.bone], along) @ above
        else:
            world[:, i] = above
        local[:, i] = np.swapaxes(above, -1, -2) @ world[:, i]
    return local


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


def _euler_zxy_deg(rotation: Array) -> Array:
    """Splits rotations into Rz @ Rx @ Ry: ``(frame, node, 3)`` degrees, without jumps."""
    z = np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    x = np.arcsin(np.clip(rotation[..., 2, 1], -1, 1))
    y = np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    return np.rad2deg(np.stack([np.unwrap(z, axis=0), x, np.unwrap(y, axis=0)], -1))


def _hierarchy(nodes: list[_Node], offsets: Array, rest: Array, at: int, depth: int) -> str:
    pad = "  " * depth
    x, y, z = offsets[at] * _CM
    position = "" if depth else "Xposition Yposition Zposition "
    text = f"{pad}{'JOINT' if depth else 'ROOT'} {nodes[at].name}\n{pad}{{\n"
    text += f"{pad}  OFFSET {x:.5f} {y:.5f} {z:.5f}\n"
    text += f"{pad}  CHANNELS {3 if depth else 6} {position}Zrotation Xrotation Yrotation\n"
    below = [i for i, node in enumerate(nodes) if node.parent == at]
    for child in below:
        text += _hierarchy(nodes, offsets, rest, child, depth + 1)
    if not below:
        x, y, z = rest[nodes[at].joint] * _END_M * _CM
        text += f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET {x:.5f} {y:.5f} {z:.5f}\n{pad}  }}\n"
    return text + f"{pad}}}\n"
