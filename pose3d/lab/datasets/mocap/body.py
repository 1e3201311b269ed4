"""From a foreign skeleton to the 23 joints of a motion file.

Limb joints are taken as they are. Derived, in the body's own axes (u up the head, f forward, l
left), scaled with q = leg length / 0.83 m:

pelvis: middle of the hips. thorax: the point of the line pelvis - spine joints - neck nearest to
the middle of the shoulders, at its median place; spine: half way to it. nose 0.07 u + 0.10 f,
head_top 0.20 u, ears 0.065 u +- 0.075 l from the head joint, else from 0.12 u above the thorax.
toe: the end of the toe bone, else the toe joint, else 0.15 f - 0.05 u from the ankle; heel: -0.05 f
- 0.045 u from it, in axes that turn with the foot.

Head and foot axes turn with the joint where the file has rotations; else the head's follow the
shoulders and the neck, the foot's the toes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pose3d.body.geometry import unit_vectors
from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.source import Array, SourceMotion
from pose3d.lab.datasets.motions import MOCAP_JOINTS

LEG_M = 0.83
# joints of CMU in cgspeed's MotionBuilder form, without thorax bone and a third of the forearm
_CGSPEED = ("LHipJoint", "LeftFingerBase")
_THORAX_BONE_M = 0.117


def build_body(motion: SourceMotion, limbs: dict[str, int]) -> Array:
    """Returns ``(frame, 23, 3)`` in the file's units and axes; ``limbs`` are of ``find_limbs``."""
    is_cgspeed = all(name in motion.joints for name in _CGSPEED)
    if is_cgspeed:
        if motion.rotations is None:
            raise DataError("cgspeed's CMU skeleton needs rotations", "Give the BVH files")
        motion = _with_thorax_bone(motion, limbs)
    p = {name: motion.positions[:, i] for name, i in limbs.items()}
    if is_cgspeed:
        for side in ("left", "right"):
            elbow = p[f"{side}_elbow"]
            p[f"{side}_wrist"] = elbow + 1.5 * (p[f"{side}_wrist"] - elbow)
    q = leg_length(p) / LEG_M
    p["pelvis"] = (p["left_hip"] + p["right_hip"]) / 2
    p["thorax"], p["spine"] = _trunk(motion, limbs, p)
    _add_head(motion, limbs, p, q)
    for side in ("left", "right"):
        _add_foot(motion, limbs, p, q, side)
    return np.stack([p[name] for name in MOCAP_JOINTS], 1)


def _with_thorax_bone(motion: SourceMotion, limbs: dict[str, int]) -> SourceMotion:
    """Moves all that hangs on ``Spine1`` up along it by the length of the missing bone."""
    assert motion.rotations is not None
    chest = motion.joints.index("Spine1")
    unit = leg_length({n: motion.positions[:, i] for n, i in limbs.items()}) / LEG_M
    up = _THORAX_BONE_M * unit * motion.rotations[:, chest, :, 1]
    positions = motion.positions.copy()
    above = {chest}
    for i, parent in enumerate(motion.parents):  # parents come first
        if parent in above:
            above.add(i)
            positions[:, i] += up
    return replace(motion, positions=positions)


def leg_length(points: dict[str, Array]) -> float:
    """Returns the median of thigh + shank, mean of both sides."""
    sides = [
        np.linalg.norm(points[f"{s}_{a}"] - points[f"{s}_{b}"], axis=-1)
        for s in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(np.median(sum(sides[1:], sides[0]))) / 2


def _trunk(motion: SourceMotion, limbs: dict[str, int], p: dict[str, Array]) -> tuple[Array, Array]:
    """Returns thorax and spine, ``(frame, 3)``, on the line from the pelvis to the neck."""
    shoulders = (p["left_shoulder"] + p["right_shoulder"]) / 2
    chain: list[Array] = []
    at = limbs.get("neck", limbs.get("head", -1))
    while at >= 0 and motion.parents[at] >= 0:  # the root itself is the pelvis
        chain.append(motion.positions[:, at])
        at = motion.parents[at]
    line = np.stack([p["pelvis"], *reversed(chain)] if chain else [p["pelvis"], shoulders], 1)
    steps = np.median(np.linalg.norm(np.diff(line, axis=1), axis=-1), 0)
    reach = np.concatenate([[0.0], np.cumsum(steps)])
    fine = np.linspace(0, reach[-1], 200)
    distance = [
        np.median(np.linalg.norm(_along(line, reach, s) - shoulders, axis=-1)) for s in fine
    ]
    end = float(fine[int(np.argmin(distance))])
    return _along(line, reach, end), _along(line, reach, end / 2)


def _along(line: Array, reach: Array, s: float) -> Array:
    """Returns points at length ``s`` of ``(frame, point, 3)`` lines with points at ``reach``."""
    k = int(np.clip(np.searchsorted(reach, s, side="right") - 1, 0, len(reach) - 2))
    step = reach[k + 1] - reach[k]
    part = (s - reach[k]) / step if step > 0 else 0.0
    return line[:, k] + part * (line[:, k + 1] - line[:, k])


def _rest_axes(motion: SourceMotion, limbs: dict[str, int]) -> Array | None:
    """Returns left, up, forward as columns of a rest pose that stands, else None."""
    if motion.rest is None or motion.rotations is None:
        return None
    rest = {name: motion.rest[i] for name, i in limbs.items()}
    left = (rest["left_hip"] - rest["right_hip"]) + (rest["left_shoulder"] - rest["right_shoulder"])
    hips = (rest["left_hip"] + rest["right_hip"]) / 2
    up = (rest["left_shoulder"] + rest["right_shoulder"]) / 2 - hips
    legs = (rest["left_ankle"] + rest["right_ankle"]) / 2 - hips
    lengths = np.linalg.norm(up) * np.linalg.norm(legs)
    if lengths == 0 or up @ legs > -0.9 * lengths or np.linalg.norm(left) == 0:
        return None  # not standing: some programs draw every bone along one axis
    return _axes(left[None], up[None])[0]


def rest_up(motion: SourceMotion, limbs: dict[str, int]) -> Array | None:
    """Returns the direction up of a rest pose that stands, else None."""
    axes = _rest_axes(motion, limbs)
    return None if axes is None else axes[:, 1]


def _axes(left: Array, up: Array) -> Array:
    """Returns ``(frame, 3, 3)`` with columns left, up, forward; keeps ``up``, squares ``left``."""
    u = unit_vectors(up)
    side = unit_vectors(left - (left * u).sum(-1, keepdims=True) * u)
    return np.stack([side, u, np.cross(side, u)], -1)


def _add_head(motion: SourceMotion, limbs: dict[str, int], p: dict[str, Array], q: float) -> None:
    rest = _rest_axes(motion, limbs)
    left = p["left_shoulder"] - p["right_shoulder"]
    trunk = p["thorax"] - p["pelvis"]
    base = p["head"] if "head" in limbs else p["thorax"] + 0.12 * q * unit_vectors(trunk)
    up = base - p["thorax"] if "head" in limbs else trunk
    axes: Array = _axes(left, up)
    if rest is not None and motion.rotations is not None and "head" in limbs:
        axes = np.asarray(motion.rotations[:, limbs["head"]] @ rest)
    side, u, f = (axes[..., k] * q for k in range(3))
    p["nose"] = base + 0.07 * u + 0.10 * f
    p["head_top"] = base + 0.20 * u
    p["left_ear"] = base + 0.065 * u + 0.075 * side
    p["right_ear"] = base + 0.065 * u - 0.075 * side


def _add_foot(
    motion: SourceMotion, limbs: dict[str, int], p: dict[str, Array], q: float, side: str
) -> None:
    ankle, shank = p[f"{side}_ankle"], p[f"{side}_ankle"] - p[f"{side}_knee"]
    rest = _rest_axes(motion, limbs)
    toe = p.get(f"{side}_toe")
    if toe is not None:
        end = f"{motion.joints[limbs[f'{side}_toe']]}_end"
        if end in motion.joints:
            toe = motion.positions[:, motion.joints.index(end)]
    if rest is not None and motion.rotations is not None:
        axes: Array = motion.rotations[:, limbs[f"{side}_ankle"]] @ rest
    else:
        hips = p["left_hip"] - p["right_hip"]
        forward = np.cross(hips, -shank) if toe is None else toe - ankle
        axes = _axes(np.cross(-shank, forward), np.cross(forward, np.cross(-shank, forward)))
    u, f = axes[..., 1] * q, axes[..., 2] * q
    p[f"{side}_toe"] = ankle + 0.15 * f - 0.05 * u if toe is None else toe
    p[f"{side}_heel"] = ankle - 0.05 * f - 0.045 * u
