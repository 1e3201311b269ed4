"""Units and axes of motion capture: which there are, and how that is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.body import leg_length, rest_up
from pose3d.lab.datasets.mocap.source import Array, SourceMotion
from pose3d.lab.datasets.motions import MOCAP_JOINTS

# 0.45 cmu make an inch (ASF headers of CMU's recordings)
UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "cmu": 0.0254 / 0.45}
UPS = ("x", "y", "z", "-x", "-y", "-z")
LEG_RANGE_M = (0.55, 1.15)


@dataclass(slots=True)
class Take:
    """A motion file that was read."""

    path: Path
    motion: SourceMotion
    limbs: dict[str, int]  # joint of ours -> column of ``motion``
    body: Array  # ``(frame, joint, 3)`` of ``MOCAP_JOINTS``, in the file's unit and axes
    name: str = ""


def to_metres(group: list[Take], unit: str | None) -> str:
    """Turns the bodies of files of one skeleton into metres; returns which units there are and why.
    Without ``unit`` (in ``UNITS_M``) it is what each file states, else as long as legs are."""
    found: dict[str, None] = {}  # each once, in order
    silent = [take for take in group if take.motion.unit_m is None]
    metres, legs = 1.0, ""
    if unit is None and silent:
        metres, legs = _find_unit(silent)
    for take in group:
        stated = take.motion.unit_m
        if unit is not None:
            size, how = UNITS_M[unit], f"unit {unit} (given)"
        elif stated is not None:
            size, how = stated, f"unit {stated * 100:.2f} cm (the file says so)"
        else:
            size, how = metres, legs
        take.body = take.body * size
        found[how] = None
    return ", ".join(found)


def _find_unit(group: list[Take]) -> tuple[float, str]:
    """Returns metres a unit from the length of the legs, and how it is known."""
    legs = [leg_length({n: t.motion.positions[:, i] for n, i in t.limbs.items()}) for t in group]
    leg = float(np.median(legs))
    fits = {n: leg * m for n, m in UNITS_M.items() if LEG_RANGE_M[0] <= leg * m <= LEG_RANGE_M[1]}
    if not fits:
        length = f"legs are {leg:.4g} long"
        raise DataError(f"The unit of {group[0].path} cannot be told: {length}", "Give --unit")
    best = min(fits, key=lambda n: abs(np.log(fits[n] / 0.84)))
    return UNITS_M[best], f"unit {best} (legs of {fits[best]:.2f} m)"


def find_up(group: list[Take], up: str | None) -> tuple[str, str]:
    """Returns which axis of files of one skeleton points up (in ``UPS``), and how it is known."""
    if up is not None:
        return up, f"{up} up (given)"
    rests = [rest_up(t.motion, t.limbs) for t in group]
    standing = [r for r in rests if r is not None]
    how = "the rest pose stands along it"
    if standing:
        mean = np.mean(standing, 0)
    else:
        how = "people stand along it"
        trunk = [MOCAP_JOINTS.index(n) for n in ("left_shoulder", "right_shoulder")]
        feet = [MOCAP_JOINTS.index(n) for n in ("left_ankle", "right_ankle")]
        every = np.concatenate([t.body[:, trunk].mean(1) - t.body[:, feet].mean(1) for t in group])
        # Whoever stands upright votes for one axis; who crawls votes for many, or for none.
        aligned = every / np.linalg.norm(every, axis=-1, keepdims=True)
        mean = np.where(np.abs(aligned) > 0.9, np.sign(aligned), 0.0).mean(0)
    likely = [k for k in range(3) if abs(mean[k]) > 0.25]
    if not likely:
        raise DataError(f"The axis of {group[0].path} that points up cannot be told", "Give --up")
    # Who crawls along x lies along x too, but leaves the floor only upwards.
    k = min(likely, key=lambda k: _floor_spread(group, k, np.sign(mean[k])))
    axis = ("-" if mean[k] < 0 else "") + "xyz"[k]
    return axis, f"{axis} up ({how})"


def _floor_spread(group: list[Take], axis: int, sign: float) -> float:
    """Returns how much the lowest joint rises and falls where ``axis`` points up."""
    lowest = np.concatenate([(sign * t.body[..., axis]).min(1) for t in group])
    return float(np.subtract(*np.percentile(lowest, [90, 10])))


def to_z_up(points: Array, up: str) -> Array:
    """Turns ``(..., 3)`` so that the axis ``up`` becomes Z, never mirrored."""
    x, y, z = (points[..., k] for k in range(3))
    turned = {"x": (y, z, x), "y": (x, -z, y), "z": (x, y, z)}[up[-1]]
    out = np.stack(turned, -1)
    return out * [1.0, -1.0, -1.0] if up.startswith("-") else out
