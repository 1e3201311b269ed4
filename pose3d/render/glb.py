"""GLB: everybody as a low-poly figure that moves, for 3D programs and game engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from pose3d.body.skeletons import H36M17
from pose3d.render import body
from pose3d.render.style import person_colour, side_colours
from pose3d.result.gltf import Gltf, Motion, add_skeleton
from pose3d.result.record import PoseSequence
from pose3d.result.rig import Array, Node, rig_joints


class GlbExporter:
    """Writes ``.glb``: a skinned figure a person, its skeleton in T-pose, and one animation.

    Keys are at the times of the record. Who is away is scaled to nothing meanwhile.
    """

    suffix = ".glb"
    description = "Moving figures: Blender, Unity, Godot, three.js, Windows"
    axes = "Y up, x right, z to the camera; metres"
    away = "is scaled to zero"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes everybody to ``path``."""
        gltf, roots = Gltf(), []
        motion = Motion(gltf)
        for person in pose.person_ids.tolist():
            joints = rig_joints(pose.select_people([person]), "pose3d", "GLB")
            present = np.asarray(np.isfinite(joints).all((1, 2)))
            if not present.any():
                continue
            roots += _add_person(gltf, motion, joints, present, pose.time_s, person)
        motion.finish("motion")
        gltf.write(path, roots, Path(pose.video.path).stem)


def _add_person(
    gltf: Gltf,
    motion: Motion,
    joints: Array,
    present: NDArray[np.bool_],
    time_s: Array,
    person: int,
) -> list[int]:
    """Adds a skeleton and the figure on it; returns their root nodes."""
    nodes, first, rest = add_skeleton(
        gltf, motion, joints[present], time_s[present], "pose3d", stretch=True
    )
    root = gltf.add("nodes", name=f"person_{person}", children=[first])
    changes = np.flatnonzero(np.diff(present, prepend=~present[:1]))
    if len(changes) > 1 or not present[0]:
        times = motion.add_times(time_s[changes])
        shown = np.repeat(present[changes, None].astype(np.float64), 3, 1)
        motion.add(root, "scale", times, shown, "STEP")
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(nodes), 1, 1))
    inverse[:, 3, :3] = -rest  # column by column
    skin = gltf.add(
        "skins",
        joints=[first + i for i in range(len(nodes))],
        skeleton=first,
        inverseBindMatrices=gltf.add_array(inverse),
    )
    mesh = gltf.add(
        "meshes", name=f"figure_{person}", primitives=_primitives(gltf, nodes, rest, person)
    )
    return [root, gltf.add("nodes", name=f"figure_{person}", mesh=mesh, skin=skin)]


def _primitives(gltf: Gltf, nodes: list[Node], rest: Array, person: int) -> list[dict]:
    """Adds the surface, in a colour for each side."""
    primitives = []
    parts = _parts(nodes, rest)
    for side, colour in side_colours(person_colour(person)).items():
        made = [_hull(balls) for of, balls in parts if of == side]
        starts = np.cumsum([0, *(len(points) for points, _, _, _ in made)])
        faces = np.concatenate([f + s for (_, _, _, f), s in zip(made, starts, strict=False)])
        points, normals, bones = (np.concatenate([m[k] for m in made]) for k in range(3))
        joints = np.zeros((len(points), 4), np.uint8)
        joints[:, 0] = bones
        weights = np.zeros((len(points), 4), np.uint8)
        weights[:, 0] = 255
        attributes = {
            "POSITION": gltf.add_array(points.astype(np.float32), bounds=True),
            "NORMAL": gltf.add_array(normals.astype(np.float32)),
            "JOINTS_0": gltf.add_array(joints),
            "WEIGHTS_0": gltf.add_array(weights, normalized=True),
        }
        linear = (np.array(colour) / 255) ** 2.2
        material = gltf.add(
            "materials",
            name=f"person_{person}_{side}",
            pbrMetallicRoughness={
                "baseColorFactor": [*linear.round(4).tolist(), 1.0],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.8,
            },
        )
        indices = gltf.add_array(faces.astype(np.uint16).ravel())
        primitives.append({"attributes": attributes, "indices": indices, "material": material})
    return primitives


# A ball: where its middle rests, its radius, the node that carries it.
_Ball = tuple[Array, float, int]


def _parts(nodes: list[Node], rest: Array) -> list[tuple[str, list[_Ball]]]:
    """Lists side and balls of each convex part: limbs, trunk, neck and head."""
    plan = body.plan(H36M17)
    at = {node.joint: rest[i] for i, node in enumerate(nodes)}
    on = {node.joint: i for i, node in reversed([*enumerate(nodes)])}
    along = {node.bone: i for i, node in enumerate(nodes) if node.bone >= 0}

    def ball(joint: int, radius: float, node: int | None = None) -> _Ball:
        return at[joint], radius, on[joint] if node is None else node

    parts = []
    for (a, b), (ra, rb), side in zip(
        plan.ends.tolist(), plan.radius_m.tolist(), plan.side, strict=True
    ):
        parts.append((side, [ball(a, ra, along[b]), ball(b, rb, along[b])]))
    assert plan.trunk is not None
    assert plan.head is not None
    left_shoulder, right_shoulder, left_hip, right_hip, spine = plan.trunk
    chest, waist, hips = body.TRUNK_RADIUS_M.values()
    middle = ball(spine, waist)
    for ends, radius in (((left_shoulder, right_shoulder), chest), ((left_hip, right_hip), hips)):
        parts.append(("middle", [middle, *(ball(end, radius, along[end]) for end in ends)]))
    low, top = plan.head
    span = at[top] - at[low]
    head = [(at[low] + share * span, body.HEAD_M, along[top]) for share in (0.38, 0.62)]
    parts.append(("middle", head))
    return parts


def _hull(balls: list[_Ball]) -> tuple[Array, Array, NDArray, NDArray]:
    """Returns points, normals and nodes of the corners of the hull of balls, and its triangles."""
    unit = _sphere()
    points = np.concatenate([middle + radius * unit for middle, radius, _ in balls])
    bones = np.repeat([node for _, _, node in balls], len(unit))
    hull = ConvexHull(points)
    used = hull.vertices
    place = np.zeros(len(points), np.int64)
    place[used] = np.arange(len(used))
    a, b, c = (points[hull.simplices[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(-1) < 0
    faces = np.where(inward[:, None], hull.simplices[:, ::-1], hull.simplices)
    return points[used], np.tile(unit, (len(balls), 1))[used], bones[used], place[faces]


def _sphere() -> Array:
    """Returns ``(point, 3)`` directions of a sphere of five rings of ten, and its poles."""
    height = np.sin(np.pi / 6 * np.arange(-2, 3))
    turn = np.pi / 5 * np.arange(10)
    ring = np.stack([np.cos(turn), np.zeros(10), np.sin(turn)], -1)
    rings = [ring * np.sqrt(1 - h * h) + [0.0, h, 0.0] for h in height]
    return np.concatenate([[[0.0, -1.0, 0.0]], *rings, [[0.0, 1.0, 0.0]]])
