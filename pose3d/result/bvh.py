"""BVH: a moving skeleton with constant bones for Blender and other animation programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose3d.body.geometry import bone_lengths
from pose3d.body.skeletons import H36M17
from pose3d.errors import unknown_name
from pose3d.result.numbers import fill_template
from pose3d.result.record import PoseSequence
from pose3d.result.rig import (
    END_M,
    Array,
    Node,
    euler_zxy_deg,
    even_times,
    make_nodes,
    rest_directions,
    rest_offsets,
    rig_joints,
    turn_nodes,
    whole_frames,
)

_CM = 100.0
BONES = ("pose3d", "mixamo", "lafan1")


class BvhExporter:
    """Writes ``.bvh``: y up, centimetres, channels Z X Y in degrees, T-pose at rest, facing +z.

    Bones have their median length and a rotation each; with the names ``pose3d`` joints with several
    children get a node of length zero for each, see :data:`pose3d.result.rig.NAMES` for the others.
    While a person is away the pose goes straight to the next one; times are even.
    """

    ARGUMENT = "|".join(BONES)
    suffix = ".bvh"
    description = "Moving skeleton: Blender, Maya, MotionBuilder; names by --bones"
    axes = "Y up, x right, z to the camera; centimetres"
    away = "moves straight to the next pose"
    per_person = True

    def __init__(self, argument: str | None = None) -> None:
        self.bones = argument or BONES[0]
        if self.bones not in BONES:
            raise unknown_name("bones", self.bones, BONES)

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the only person of ``pose`` to ``path``."""
        joints = _without_gaps(rig_joints(pose, self.bones, "BVH"), pose)
        nodes = make_nodes(self.bones)
        turns = np.stack(
            [np.broadcast_to(local, (len(joints), 3, 3)) for _, local in turn_nodes(joints, nodes)],
            axis=1,
        )
        angles = euler_zxy_deg(turns)
        motion = np.concatenate([joints[:, 0] * _CM, angles.reshape(len(joints), -1)], 1)
        columns = motion.shape[1]
        pieces = ["", *[" "] * (columns - 1), "\n"]
        text = fill_template(motion, [4] * columns, pieces, missing="0")
        ends = _ends(joints, nodes)
        head = "HIERARCHY\n" + _hierarchy(nodes, rest_offsets(joints, nodes), ends, 0, 0)
        head += f"MOTION\nFrames: {len(joints)}\nFrame Time: {float(1 / pose.video.rate):.8f}\n"
        with path.open("wb") as file:
            file.writelines([head.encode(), text])


def _without_gaps(joints: Array, pose: PoseSequence) -> Array:
    """Returns ``(frame, joint, 3)`` at even times, without gaps."""
    known = whole_frames(joints, pose)
    flat = joints[known].reshape(int(known.sum()), -1)
    times = even_times(pose)
    even = [np.interp(times, pose.time_s[known], column) for column in flat.T]
    return np.stack(even, -1).reshape(len(times), -1, 3)


def _ends(joints: Array, nodes: list[Node]) -> Array:
    """Returns ``(node, 3)`` metres from each node to where its bone ends if nothing is below it."""
    rest = rest_directions()
    lengths = np.median(bone_lengths(joints, H36M17), axis=0)
    ends = np.array([END_M * rest[node.joint] for node in nodes])
    for i, node in enumerate(nodes):
        if node.toe:
            ends[i] = (0.0, 0.0, END_M)
        elif node.bone >= 0:
            ends[i] = lengths[node.bone] * rest[node.bone]
    return ends


def _hierarchy(nodes: list[Node], offsets: Array, ends: Array, at: int, depth: int) -> str:
    pad = "  " * depth
    x, y, z = offsets[at] * _CM
    position = "" if depth else "Xposition Yposition Zposition "
    text = f"{pad}{'JOINT' if depth else 'ROOT'} {nodes[at].name}\n{pad}{{\n"
    text += f"{pad}  OFFSET {x:.5f} {y:.5f} {z:.5f}\n"
    text += f"{pad}  CHANNELS {3 if depth else 6} {position}Zrotation Xrotation Yrotation\n"
    below = [i for i, node in enumerate(nodes) if node.parent == at]
    for child in below:
        text += _hierarchy(nodes, offsets, ends, child, depth + 1)
    if not below:
        x, y, z = ends[at] * _CM
        text += f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET {x:.5f} {y:.5f} {z:.5f}\n{pad}  }}\n"
    return text + f"{pad}}}\n"
