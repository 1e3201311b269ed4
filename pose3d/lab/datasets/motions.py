"""Motion capture as training material: loading, sampling, bodies of other proportions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose3d.body.skeletons import H36M17
from pose3d.errors import DataError
from pose3d.lab.datasets.anatomy import OFFSETS, to_anatomical
from pose3d.lab.datasets.clip_arrays import ClipArrays, reflect_times
from pose3d.lab.datasets.knees import straighten_people
from pose3d.lab.datasets.npz_files import Layout, check_clips, read_arrays
from pose3d.lift.normalise import BODY_LENGTH_M

Array = NDArray[np.floating]

MOCAP_JOINTS = [  # joints of a motion file
    *("nose" if name == "neck_nose" else name for name in H36M17.joints),
    *(f"{side}_{part}" for part in ("toe", "heel", "ear") for side in ("left", "right")),
]
MIRRORED = [*H36M17.mirror, 18, 17, 20, 19, 22, 21]  # joint of the other side of each

_FEET = tuple(
    tuple(MOCAP_JOINTS.index(f"{side}_{part}") for part in ("toe", "heel"))
    for side in ("left", "right")
)
_PARENTS = (*H36M17.parents, 6, 3, 6, 3, 9, 9)
# Which of the proportions below stretches the bone that ends at each joint (-1: none).
_GROUP = (-1, 0, 1, 2, 0, 1, 2, 3, 3, 4, 4, 5, 6, 7, 5, 6, 7, 8, 8, 8, 8, 4, 4)
_PROPORTIONS_STD = (0.07, 0.042, 0.042, 0.12, 0.07, 0.056, 0.042, 0.042, 0.06)
# hip width, thigh, shank, trunk, head, shoulder width, upper arm, forearm, foot

_NOSE, _EARS = MOCAP_JOINTS.index("nose"), (21, 22)
_HEAD = [_NOSE, MOCAP_JOINTS.index("head_top"), *_EARS]
# How a person carries the head differs more than recordings tell, whose heads are placed by guess:
# mean and standard deviation in body lengths, forwards and along the trunk, and in degrees of nodding.
_HEAD_FORWARD, _HEAD_UP, _HEAD_NOD_DEG = (0.015, 0.02), (0.0, 0.015), (0.0, 10.0)

STATURE_M = 1.70

_LAYOUT = {
    "positions_mm": "number frame joint 3",
    "starts": "number bound",
    "fps": "number clip",
    "names": "text clip",
    "subject": "text clip",
    "split": "text clip",
    "joint_names": "text joint",
    "skeleton": "text clip ?",
}
_TODO = "Make it with 'pose3d data prepare', or give another --data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Motions(ClipArrays):
    """Motion clips."""

    joints_world_m: Tensor  # ``(frame, 23, 3)`` Z up, joints as in ``MOCAP_JOINTS``
    weight: Tensor  # ``(clip,)`` probability of drawing each clip
    names: tuple[str, ...]
    knees_deg: tuple[float, ...]  # by how much knees were straightened


def load_motions(
    paths: Sequence[Path],
    split: str,
    *,
    leave_out: Sequence[str] = (),
    straighten: bool = False,
) -> Motions:
    """Reads one split (``train``, ``val``, ``test``) of motion files of ``pose3d data prepare``.

    Clips are weighted by the square root of their length, and by subject likewise. Recordings named
    in ``leave_out`` are not used; ``straighten``: see :mod:`pose3d.lab.datasets.knees`.
    """
    rows: list[Array] = []
    starts, fps, lengths, subjects, names = [0], [], [], [], []
    for path in paths:
        data = read_motion_file(path)
        bounds, clip_names = data["starts"], [str(n) for n in data["names"]]
        for c in np.flatnonzero(data["split"] == split):
            if clip_names[c].split("#")[0] in leave_out:
                continue
            clip = data["positions_mm"][bounds[c] : bounds[c + 1]].astype(np.float32) / 1000
            rows.append(clip)
            starts.append(starts[-1] + len(clip))
            fps.append(float(data["fps"][c]))
            lengths.append(len(clip) / fps[-1])
            subjects.append(f"{path.stem}/{data['subject'][c]}")
            names.append(clip_names[c])
    if not rows:
        how = f"name subjects with --{split}" if split != "train" else "leave subjects out of --val"
        todo = f"Prepare it again and {how} ('pose3d data prepare'), or check --data"
        raise DataError(f"No clip of split {split!r} in {', '.join(map(str, paths))}", todo)
    knees_deg = [0.0] * len(rows)
    if straighten:
        rows, knees_deg = straighten_people(rows, subjects, _FEET)
    weight = np.sqrt(np.array(lengths))
    for subject in set(subjects):
        mine = np.array([s == subject for s in subjects])
        weight[mine] /= np.sqrt(weight[mine].sum())
    return Motions(
        joints_world_m=torch.from_numpy(np.concatenate(rows)),
        starts=torch.tensor(starts),
        fps=torch.tensor(fps),
        weight=torch.from_numpy(weight / weight.sum()).float(),
        names=tuple(names),
        knees_deg=tuple(knees_deg),
    )


def read_motion_file(path: Path, more: Layout | None = None) -> dict[str, NDArray[Any]]:
    """Returns the arrays of a motion file that training reads, and ``more``; else DataError.

    Joints come out as anatomical joint centres, whatever the skeleton (if the file names it).
    """
    data = read_arrays(path, "motion file", _TODO, {**_LAYOUT, **(more or {})})
    if [str(n) for n in data["joint_names"]] != MOCAP_JOINTS:
        raise DataError(f"{path} has other joints than {MOCAP_JOINTS}", "Prepare it again")
    positions = data["positions_mm"]
    check_clips(path, data, len(positions), _TODO)
    if positions.dtype.kind == "f" and not np.isfinite(positions).all():
        raise DataError(f"{path}: positions_mm has missing values", _TODO)
    positions = np.ascontiguousarray(positions)
    if "skeleton" in data:
        for c, skeleton in enumerate(data["skeleton"]):
            rows = slice(data["starts"][c], data["starts"][c + 1])
            if str(skeleton) in OFFSETS:
                positions[rows] = to_anatomical(positions[rows].astype(np.float64), str(skeleton))
    return {**data, "positions_mm": positions}


def draw_windows(
    motions: Motions, batch: int, frames: int, rate_range: tuple[float, float], rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws windows ``(batch, frame, 23, 3)`` and their rates ``(batch,)``, evenly in the
    logarithm; windows longer than their clip run back from its end."""
    device = motions.joints_world_m.device
    clip = torch.multinomial(motions.weight, batch, replacement=True, generator=rng)
    first, last = motions.starts[clip], motions.starts[clip + 1] - 1
    low, high = np.log(rate_range[0]), np.log(rate_range[1])
    rate = torch.exp(low + (high - low) * torch.rand(batch, device=device, generator=rng))
    step = motions.fps[clip] / rate
    span = (last - first).float()
    room = (span - step * (frames - 1)).clamp(min=0)
    begin = torch.rand(batch, device=device, generator=rng) * room
    time = reflect_times(begin, step, frames, span)
    low_frame = time.floor().long().clamp(max=(span.long() - 1)[:, None])
    part = (time - low_frame)[:, :, None, None]
    rows = first[:, None] + low_frame
    a, b = motions.joints_world_m[rows], motions.joints_world_m[rows + 1]
    return a + (b - a) * part, rate


def vary_bodies(joints: Tensor, rng: torch.Generator, *, amount: float = 1.0) -> Tensor:
    """Gives windows ``(batch, frame, 23, 3)``, Z up, other proportions, mirrors half of them, and
    scales all to ``BODY_LENGTH_M``; ``amount`` 0: scales alone."""
    b, device = len(joints), joints.device
    std = torch.tensor([*_PROPORTIONS_STD, 0.0], device=device) * amount
    factor = (1 + std * torch.randn(b, len(std), device=device, generator=rng)).clamp(0.7, 1.4)
    # A tenth are children: larger heads, shorter legs.
    child = (torch.rand(b, device=device, generator=rng) < 0.1 * min(amount, 1.0)).float()
    factor[:, 4] *= 1 + 0.35 * child
    factor[:, 1:3] *= (1 - 0.12 * child)[:, None]
    out = joints.clone()
    for j, parent in enumerate(_PARENTS):
        if parent >= 0:
            bone = joints[:, :, j] - joints[:, :, parent]
            out[:, :, j] = out[:, :, parent] + bone * factor[:, _GROUP[j], None, None]
    if amount > 0:
        out = _move_heads(out, rng, amount)
        mirrored = torch.rand(b, device=device, generator=rng) < 0.5
        out = torch.where(mirrored[:, None, None, None], mirror(out), out)
    scale = BODY_LENGTH_M / body_length(out).mean(1)
    return out * scale[:, None, None, None]


def _move_heads(joints: Tensor, rng: torch.Generator, amount: float) -> Tensor:
    """Nods, raises and advances the heads of ``(batch, frame, 23, 3)``, one way for each window."""
    b, device = len(joints), joints.device

    def draw(mean_std: tuple[float, float]) -> Tensor:
        mean, std = mean_std
        drawn = mean + std * torch.randn(b, device=device, generator=rng)
        return (amount * drawn)[:, None, None]

    def unit(v: Tensor) -> Tensor:
        return v / v.norm(dim=-1, keepdim=True).clamp(min=1e-6)

    ears = joints[:, :, _EARS].mean(2)
    left = unit(joints[:, :, _EARS[0]] - joints[:, :, _EARS[1]])
    trunk = unit(joints[:, :, 8] - joints[:, :, 7])
    forward = unit(joints[:, :, _NOSE] - ears)
    length = body_length(joints)[..., None]
    ahead, up, nod = draw(_HEAD_FORWARD), draw(_HEAD_UP), torch.deg2rad(draw(_HEAD_NOD_DEG))
    shift = (ahead * forward + up * trunk) * length
    arms = joints[:, :, _HEAD] - ears[:, :, None]  # batch frame joint 3
    axis = left[:, :, None].expand_as(arms)
    along = (arms * axis).sum(-1, keepdim=True) * axis
    across = torch.linalg.cross(axis, arms)
    c, s = nod.cos()[..., None], nod.sin()[..., None]
    out = joints.clone()
    out[:, :, _HEAD] = along + (arms - along) * c + across * s + (ears + shift)[:, :, None]
    return out


def h36m_joints(joints: Tensor) -> Tensor:
    """Returns H36M17 ``(..., 17, 3)`` of ``(..., 23, 3)``: neck_nose lies inside the head, half-way
    from the ears to the nose."""
    out = joints[..., :17, :].clone()
    ears = joints[..., _EARS, :].mean(-2)
    out[..., _NOSE, :] = (joints[..., _NOSE, :] + ears) / 2
    return out


def mirror(joints: Tensor) -> Tensor:
    """Exchanges left and right of ``(..., 23, 3)`` by a reflection of X."""
    return joints[..., MIRRORED, :] * joints.new_tensor([-1.0, 1.0, 1.0])


def body_length(joints: Tensor) -> Tensor:
    """Returns thigh + shank (mean of both sides) + trunk of ``(..., >=17, 3)``, same units."""
    chains = (((1, 2), (2, 3)), ((4, 5), (5, 6)))
    legs = [
        sum((joints[..., c, :] - joints[..., p, :]).norm(dim=-1) for p, c in chain)
        for chain in chains
    ]
    trunk = (joints[..., 7, :] - joints[..., 0, :]).norm(dim=-1)
    trunk = trunk + (joints[..., 8, :] - joints[..., 7, :]).norm(dim=-1)
    return (legs[0] + legs[1]) / 2 + trunk
