"""A body of boxes on the rig of real ones: what `pose3d.lab.synthesis` can be tested with everywhere."""

from __future__ import annotations

import numpy as np

from pose3d.lab.synthesis.bodies import MESH_PARTS, Body

_LEFT = {
    "HipJoint": ("Hips", (0.0, 0.0, 0.95)),
    "UpLeg": ("HipJoint", (0.10, 0.0, 0.93)),
    "Leg": ("UpLeg", (0.11, -0.02, 0.50)),
    "Foot": ("Leg", (0.12, 0.0, 0.09)),
    "ToeBase": ("Foot", (0.13, -0.12, 0.03)),
    "Shoulder": ("Spine1", (0.03, 0.0, 1.40)),
    "Arm": ("Shoulder", (0.17, 0.0, 1.40)),
    "ForeArm": ("Arm", (0.34, 0.0, 1.21)),
    "Hand": ("ForeArm", (0.47, -0.13, 1.08)),
    "Thumb": ("Hand", (0.47, -0.16, 1.07)),
    "FingerBase": ("Hand", (0.48, -0.17, 1.05)),
    "HandFinger1": ("FingerBase", (0.50, -0.20, 1.02)),
}
_MIDDLE = {
    "Hips": ("", (0.0, 0.0, 0.95)),
    "LowerBack": ("Hips", (0.0, 0.03, 1.02)),
    "Spine": ("LowerBack", (0.0, 0.02, 1.16)),
    "Spine1": ("Spine", (0.0, 0.03, 1.29)),
    "Neck": ("Spine1", (0.0, 0.0, 1.46)),
    "Neck1": ("Neck", (0.0, -0.01, 1.51)),
    "Head": ("Neck1", (0.0, -0.02, 1.56)),
}
_SHORT = {"HipJoint": "{}HipJoint", "Thumb": "{}Thumb"}


def _bone(side: str, name: str) -> str:
    if name in _MIDDLE:
        return name
    letter = side if name not in _SHORT else side[0]
    return _SHORT.get(name, "{}" + name).format(letter)


def _box(low, high, first):
    """Corners of a box and its six quads, whose vertices are numbered from ``first``."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return np.array(low) + corners * (np.array(high) - np.array(low)), np.array(quads) + first


def stick_body(scale: float = 1.0) -> Body:
    """Returns a body that stands with its arms half raised, facing -y."""
    tree = dict(_MIDDLE)
    for side, sign in (("Left", 1), ("Right", -1)):
        for name, (parent, (x, y, z)) in _LEFT.items():
            tree[_bone(side, name)] = (_bone(side, parent), (sign * x, y, z))
    bones: list[str] = []
    while len(bones) < len(tree):  # parents first
        bones += [b for b, (p, _) in tree.items() if b not in bones and (not p or p in bones)]
    heads = np.array([tree[b][1] for b in bones]) * scale
    parents = np.array([bones.index(tree[b][0]) if tree[b][0] else -1 for b in bones])
    vertices, weights, quads, first = [], [], [], 0
    for b in range(len(bones)):
        size = 0.03 if bones[b] != "Head" else 0.09
        lift = [0, 0, 0.08] if bones[b] == "Head" else [0, 0, 0]
        low, high = heads[b] + lift - size, heads[b] + lift + size
        if bones[b].endswith("Foot"):  # reaches down to the sole
            low[2] = 0.0
        box, faces = _box(low, high, first)
        vertices.append(box)
        quads.append(faces)
        weights.append(np.repeat(np.eye(len(bones))[b][None], len(box), 0))
        first += len(box)
    head = bones.index("Head")
    nose, faces = _box(heads[head] + [-0.005, -0.12, 0], heads[head] + [0.005, -0.09, 0.01], first)
    vertices.append(nose)
    quads.append(faces)
    weights.append(np.repeat(np.eye(len(bones))[head][None], len(nose), 0))
    first += len(nose)
    parts = {"body": np.concatenate(quads)}
    for part in MESH_PARTS[1:]:
        bone = "Head" if "eye" in part or "hair" in part else "Spine"
        b = bones.index(bone)
        place = heads[b] + ([0.03 if "-l-" in part else -0.03, -0.08, 0.06] if "eye" in part else 0)
        box, faces = _box(place - 0.02, place + 0.02, first)
        vertices.append(box)
        weights.append(np.repeat(np.eye(len(bones))[b][None], len(box), 0))
        parts[part] = faces
        first += len(box)
    return Body(
        vertices_m=np.concatenate(vertices),
        faces=parts,
        bones=tuple(bones),
        parents=parents,
        heads_m=heads,
        weights=np.concatenate(weights),
        female=True,
        name="female adult",
    )
