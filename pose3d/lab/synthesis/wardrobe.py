"""What people wear: skin, hair and clothes as coloured layers over a body.

Clothes are cut from the mesh's helper geometry; colours and patterns are random, without textures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pose3d.lab.synthesis.bodies import Body
from pose3d.lab.synthesis.surfaces import Surface, plain

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SKIN = np.array(
    [
        [0.95, 0.80, 0.70],
        [0.87, 0.68, 0.55],
        [0.76, 0.55, 0.42],
        [0.55, 0.37, 0.27],
        [0.34, 0.22, 0.16],
    ]
)
_HAIR = np.array(
    [
        [0.06, 0.05, 0.05],
        [0.20, 0.12, 0.07],
        [0.40, 0.26, 0.14],
        [0.72, 0.56, 0.34],
        [0.65, 0.65, 0.65],
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Triangles of one material, each corner a vertex of the body moved outwards."""

    vertices: Ints  # ``(corner,)`` indices into the body's vertices
    triangles: Ints  # ``(triangle, 3)`` indices into ``vertices``
    outwards_m: Array  # ``(corner,)`` how far along the normal
    surface: Surface


def dress(body: Body, rng: np.random.Generator) -> list[Layer]:
    """Returns skin, eyes, hair, clothes and shoes of a person."""
    skin = _SKIN[rng.integers(len(_SKIN))] * rng.uniform(0.85, 1.1, 3)
    layers = [*_eyes(body), *_hair(body, rng)]
    skirt = body.female and rng.random() < 0.2
    legs = _cloth(rng)
    if skirt:
        hem = rng.uniform(0.25, 0.75)
        layers += _cut(body, "helper-skirt", _skirt(body, hem), rng.uniform(0.0, 0.02), legs)
    trousers = _trousers(body, rng.choice([0.35, 0.8, 1.3, 1.95]) if not skirt else 0.1)
    loose = rng.choice([0.0, 0.008, 0.02])
    layers += _cut(body, "helper-tights", trousers, loose, legs)
    sleeve = float(rng.choice([0.05, 0.4, 0.75, 1.5, 1.95]))
    shirt = _shirt(body, sleeve, rng.uniform(-0.14, 0.02))
    layers += _cut(body, "helper-tights", shirt, loose + rng.uniform(0.004, 0.02), _cloth(rng))
    bare = _seen_faces(body, ~(trousers | shirt))
    layers.append(_layer(bare, 0.0, plain(skin)))
    if rng.random() < 0.85:
        shoes = _faces_where(body, "body", _foot(body))
        gaudy = rng.random() < 0.5
        surface = Surface(rng.uniform(0.02, 0.95, (2, 3))) if gaudy else plain(0.08)
        layers.append(_layer(shoes, rng.uniform(0.004, 0.010), surface))
    return layers


def _cloth(rng: np.random.Generator) -> Surface:
    ground = rng.uniform(0.03, 0.95, 3)
    if rng.random() < 0.5:  # half of what people wear is black, white, grey or nearly so
        ground = ground.mean() + 0.15 * (ground - ground.mean())
    pattern = int(rng.choice(4, p=[0.55, 0.15, 0.12, 0.18]))
    other = np.clip(ground + rng.normal(0, 0.3, 3), 0, 1)
    size_m, folds = float(rng.uniform(0.02, 0.15)), rng.uniform(0.1, 0.5)
    return Surface(np.stack([ground, other]), pattern, size_m, folds)


def _eyes(body: Body) -> list[Layer]:
    layers = []
    for part in ("helper-l-eye", "helper-r-eye"):
        quads = body.faces[part]
        points = body.vertices_m[quads].mean(1)
        front = points[:, 1] < np.quantile(points[:, 1], 0.35)
        layers.append(_layer(quads[~front], 0.0, plain(0.9)))
        layers.append(_layer(quads[front], 0.001, plain(0.08)))
    # Brows: a strip above each eye.
    skin = body.vertices_m
    flags = np.zeros(len(skin), bool)
    for part in ("helper-l-eye", "helper-r-eye"):
        eye = skin[np.unique(body.faces[part])].mean(0)
        rise = skin[:, 2] - eye[2]
        flags |= (abs(skin[:, 0] - eye[0]) < 0.022) & (rise > 0.016) & (rise < 0.028)
    flags &= skin[:, 1] < skin[np.unique(body.faces["helper-l-eye"]), 1].mean()
    quads = _faces_where(body, "body", flags)
    return [*layers, _layer(quads, 0.002, plain(0.12))] if len(quads) else layers


def _hair(body: Body, rng: np.random.Generator) -> list[Layer]:
    kind = rng.random()
    if kind < 0.08:  # bald
        return []
    colour = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.8, 1.2)
    strands = Surface(np.stack([colour, colour * 1.3]), pattern=3, size_m=0.02, folds=0.5)
    eye = body.vertices_m[np.unique(body.faces["helper-l-eye"])].mean(0)
    rise = body.vertices_m[:, 2] - eye[2] + 1.1 * (body.vertices_m[:, 1] - eye[1])
    head = body.weights[:, [body.bones.index(b) for b in ("Head", "Neck1")]].sum(1) > 0.6
    scalp = _faces_where(body, "body", (rise > rng.uniform(0.055, 0.085)) & head)
    layers = [_layer(scalp, rng.uniform(0.003, 0.02), strands)]
    if kind > (0.45 if body.female else 0.9):
        low = body.head("Head")[2] - rng.uniform(-0.05, 0.3)
        long = _faces_where(body, "helper-hair", body.vertices_m[:, 2] > low)
        layers.append(_layer(long, 0.0, strands))
    return layers


def _along(body: Body, chain: tuple[str, str, str]) -> Array:
    """Returns how far down a limb each vertex is: 1 at its middle joint, 2 at its end."""
    a, b, c = (body.head(bone) for bone in chain)
    upper, lower = (body.vertices_m - a) @ (b - a), (body.vertices_m - b) @ (c - b)
    first = upper / ((b - a) ** 2).sum()
    second = 1 + lower / ((c - b) ** 2).sum()
    return np.where(second > 1, second, np.minimum(first, 1.0))


def _belongs(body: Body, *bones: str) -> Flags:
    """Returns which vertices the named bones move most."""
    named = [body.bones.index(b) for b in bones]
    return body.weights[:, named].sum(1) > 0.5


def _trousers(body: Body, down: float) -> Flags:
    flags = _belongs(body, "Hips", "LHipJoint", "RHipJoint") | (
        _belongs(body, "LowerBack") & (body.vertices_m[:, 2] < body.head("Hips")[2] + 0.06)
    )
    for side in ("Left", "Right"):
        leg = _belongs(body, f"{side}UpLeg", f"{side}Leg", f"{side}Foot")
        way = _along(body, (f"{side}UpLeg", f"{side}Leg", f"{side}Foot"))
        flags |= leg & (way < down)
    mixed = body.weights[:, [i for i, b in enumerate(body.bones) if "Hip" in b or "UpLeg" in b]]
    return flags | (
        (mixed.sum(1) > 0.8) & (body.vertices_m[:, 2] > body.head("LeftUpLeg")[2] - 0.1)
    )


def _shirt(body: Body, sleeve: float, hem: float) -> Flags:
    arms = [b for b in body.bones if any(k in b for k in ("Arm", "Hand", "Thumb", "Finger"))]
    legs = [b for b in body.bones if any(k in b for k in ("Leg", "Foot", "Toe"))]
    head = [body.bones.index(b) for b in ("Neck1", "Head")]
    z = body.vertices_m[:, 2]
    flags = ~_belongs(body, *arms) & ~_belongs(body, *legs) & (z > body.head("Hips")[2] + hem)
    flags &= (body.weights[:, head].sum(1) < 0.5) & (z < body.head("Neck")[2] + 0.02)
    for side in ("Left", "Right"):
        arm = _belongs(body, f"{side}Arm", f"{side}ForeArm")
        flags |= arm & (_along(body, (f"{side}Arm", f"{side}ForeArm", f"{side}Hand")) < sleeve)
    return flags


def _skirt(body: Body, share: float) -> Flags:
    hips, ankle = body.head("Hips")[2], body.head("LeftFoot")[2]
    return body.vertices_m[:, 2] > hips - share * (hips - ankle)


def _foot(body: Body) -> Flags:
    low = body.vertices_m[:, 2] < body.head("LeftFoot")[2] - 0.01
    return low & _belongs(body, "LeftFoot", "LeftToeBase", "RightFoot", "RightToeBase")


def _faces_where(body: Body, part: str, flags: Flags) -> Ints:
    quads = body.faces[part]
    return quads[flags[quads].all(1)]


def _seen_faces(body: Body, flags: Flags) -> Ints:
    """Returns the skin's faces near the marked vertices: clothes cover the others."""
    quads = body.faces["body"]
    near = flags.copy()
    for _ in range(2):  # under the hems
        near[quads[near[quads].any(1)]] = True
    return quads[near[quads].any(1)]


def _cut(body: Body, part: str, flags: Flags, outwards_m: float, cloth: Surface) -> list[Layer]:
    quads = _faces_where(body, part, flags)
    return [_layer(quads, outwards_m, cloth)] if len(quads) else []


def _layer(quads: Ints, outwards_m: float, surface: Surface) -> Layer:
    vertices, corners = np.unique(quads, return_inverse=True)
    corners = corners.reshape(-1, 4)
    return Layer(
        vertices=vertices,
        triangles=np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]),
        outwards_m=np.full(len(vertices), outwards_m),
        surface=replace(surface, colours=np.clip(surface.colours, 0, 1)),
    )
