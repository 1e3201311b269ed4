"""``pose3d data prepare``: folders of motion capture into one file to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.errors import DataError, UsageError
from pose3d.mocap.asf import read_amc
from pose3d.mocap.body import build_body, leg_length, rest_up
from pose3d.mocap.bvh import read_bvh
from pose3d.mocap.limbs import find_limbs
from pose3d.mocap.npz import read_npz
from pose3d.mocap.source import Array, SourceMotion
from pose3d.train.motions import MOCAP_JOINTS

READERS: dict[str, Callable[[Path], SourceMotion]] = {
    ".bvh": read_bvh,
    ".amc": read_amc,
    ".npz": read_npz,
}
UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "cmu": 0.0254 / 0.45}
"""``cmu``: the unit of CMU's recordings, 0.45 of it to an inch (their ASF headers)."""
UPS = ("x", "y", "z", "-x", "-y", "-z")
LEG_RANGE_M = (0.55, 1.15)
MAX_SPEED_M_S = 12.0
FLOOR_WITHIN_M = 0.15
_FEET = [
    MOCAP_JOINTS.index(f"{s}_{p}") for s in ("left", "right") for p in ("toe", "heel", "ankle")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """How files become clips.

    Args:
        unit: name in ``UNITS_M``; None: found from the length of the legs.
        up: in ``UPS``; None: found from the rest pose, else from how people stand most of the time.
        fps: given rate for files that state none, or wrongly; None: theirs.
        most_fps: faster clips are thinned out to this.
        least_s: shorter clips are dropped.
        val, test: subjects of these splits; both empty: a tenth of the subjects, at least one where
            there are two, are ``val``, chosen by a hash of their names.
    """

    unit: str | None = None
    up: str | None = None
    fps: float | None = None
    most_fps: float = 60.0
    least_s: float = 1.0
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in (None, *UNITS_M):
            raise UsageError(f"--unit is {self.unit}", f"Give one of {', '.join(UNITS_M)}")
        if self.up not in (None, *UPS):
            raise UsageError(f"--up is {self.up}", f"Give one of {', '.join(UPS)}")
        if set(self.val) & set(self.test):
            raise UsageError("A subject is in --val and in --test", "Name each once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A finished clip: ``(frame, 23, 3)`` metres, Z up, floor at 0, first pelvis at X = Y = 0."""

    name: str
    subject: str
    action: str
    source: str
    joints_m: Array
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of a folder.

    Args:
        clips: all of them.
        splits: split of each subject.
        found: sentences about units and axes, one a skeleton.
        left_out: file (or piece) and why.
    """

    clips: tuple[Clip, ...]
    splits: dict[str, str]
    found: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Take:
    path: Path
    motion: SourceMotion
    limbs: dict[str, int]
    body: Array


def prepare_folder(
    folder: Path,
    options: PrepareOptions | None = None,
    *,
    on_file: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """Reads every motion file below a folder.

    Files that cannot be read are left out and named. The subject is the folder that a file lies in,
    directly in ``folder`` the part of its name before the first ``_``. Units and axes are found once
    for each skeleton (set of joint names), so that people who crawl or fly do not decide alone.

    Raises:
        DataError: nothing could be used, or units or axes cannot be told.
        UsageError: ``val`` or ``test`` name a subject who is not there.
    """
    options = options or PrepareOptions()
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in READERS)
    if not paths:
        raise DataError(
            f"{folder} holds no {', '.join(READERS)} files",
            "Give the folder with the motion capture",
        )
    takes: list[_Take] = []
    left_out: list[tuple[str, str]] = []
    for done, path in enumerate(paths):
        if on_file is not None:
            on_file(path.name, done, len(paths))
        try:
            motion = READERS[path.suffix.lower()](path)
            limbs = find_limbs(motion, str(path))
            takes.append(_Take(path, motion, limbs, build_body(motion, limbs)))
        except DataError as error:
            left_out.append((str(path), str(error)))
    if not takes:
        raise DataError(f"No file of {folder} could be used; the first: {left_out[0][1]}", "")
    kinds: dict[tuple[Any, ...], list[_Take]] = {}
    for take in takes:
        kinds.setdefault((take.path.suffix.lower(), take.motion.joints), []).append(take)
    clips: list[Clip] = []
    found = []
    for (suffix, joints), group in kinds.items():
        unit = _find_unit(group, options)
        up = _find_up(group, options)
        found.append(f"{len(group)} {suffix} files with {len(joints)} joints: {unit[1]}, {up[1]}")
        for take in group:
            finished, why = _finish(take, unit[0], up[0], folder, options)
            clips += finished
            left_out += why
    if not clips:
        raise DataError(
            f"No clip of {folder} is long enough; {left_out[0][1]}", "Give --min-seconds"
        )
    clips.sort(key=lambda c: (c.subject, c.name))
    names = [c.name for c in clips]
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise DataError(f"Two files are called {doubled[0]!r}", "Rename one")
    splits = split_subjects(sorted({c.subject for c in clips}), options.val, options.test)
    return Prepared(clips=tuple(clips), splits=splits, found=tuple(found), left_out=tuple(left_out))


def split_subjects(
    subjects: Sequence[str], val: Sequence[str], test: Sequence[str]
) -> dict[str, str]:
    """Returns the split of each subject, see :class:`PrepareOptions`.

    Raises:
        UsageError: a subject does not exist.
    """
    for name in (*val, *test):
        if name not in subjects:
            raise UsageError(f"There is no subject {name!r}", f"Subjects are {', '.join(subjects)}")
    if not val and not test and len(subjects) > 1:
        order = sorted(subjects, key=lambda s: hashlib.sha256(s.encode()).hexdigest())
        val = order[: max(1, len(subjects) // 10)]
    return {s: "val" if s in val else "test" if s in test else "train" for s in subjects}


def write_prepared(prepared: Prepared, path: Path, licence: str = "") -> None:
    """Writes the training file (layout: :func:`pose3d.train.motions.load_motions`).

    Raises:
        DataError: the file cannot be written, or somebody is over 32 m away.
    """
    clips = prepared.clips
    every = np.concatenate([c.joints_m for c in clips]) * 1000
    if np.abs(every).max() > 32_767:
        raise DataError("A clip goes more than 32 m from its start", "Cut it, or check --unit")
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                positions_mm=every.round().astype(np.int16),
                starts=np.cumsum([0, *(len(c.joints_m) for c in clips)]).astype(np.int64),
                fps=np.array([c.fps for c in clips], np.float32),
                names=np.array([c.name for c in clips]),
                subject=np.array([c.subject for c in clips]),
                action=np.array([c.action for c in clips]),
                split=np.array([prepared.splits[c.subject] for c in clips]),
                source=np.array([c.source for c in clips]),
                licence=np.array([licence] * len(clips)),
                joint_names=np.array(MOCAP_JOINTS),
            )
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"{path} cannot be written ({error.strerror})", "Give another --out"
        ) from error


# -- units and axes ----------------------------------------------------------------------------


def _find_unit(group: list[_Take], options: PrepareOptions) -> tuple[float, str]:
    """Returns metres a unit, and how it is known."""
    if options.unit is not None:
        return UNITS_M[options.unit], f"unit {options.unit} (given)"
    stated = group[0].motion.unit_m
    if stated is not None:
        return stated, f"unit {stated * 100:.2f} cm (the file says so)"
    legs = [leg_length({n: t.motion.positions[:, i] for n, i in t.limbs.items()}) for t in group]
    leg = float(np.median(legs))
    fits = {n: leg * m for n, m in UNITS_M.items() if LEG_RANGE_M[0] <= leg * m <= LEG_RANGE_M[1]}
    if not fits:
        raise DataError(
            f"The unit of {group[0].path} cannot be told: legs are {leg:.4g} long", "Give --unit"
        )
    best = min(fits, key=lambda n: abs(np.log(fits[n] / 0.84)))
    return UNITS_M[best], f"unit {best} (legs of {fits[best]:.2f} m)"


def _find_up(group: list[_Take], options: PrepareOptions) -> tuple[str, str]:
    """Returns the axis that points up, and how it is known."""
    if options.up is not None:
        return options.up, f"{options.up} up (given)"
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
        raise DataError(
            f"Which axis of {group[0].path} points up cannot be told",
            "Give --up x, y, z, -x, -y or -z",
        )
    # Who crawls along x lies along x too, but leaves the floor only upwards.
    k = min(likely, key=lambda k: _floor_spread(group, k, np.sign(mean[k])))
    axis = ("-" if mean[k] < 0 else "") + "xyz"[k]
    return axis, f"{axis} up ({how})"


def _floor_spread(group: list[_Take], axis: int, sign: float) -> float:
    """Returns how much the lowest joint rises and falls where ``axis`` is the one that points up."""
    lowest = np.concatenate([(sign * t.body[..., axis]).min(1) for t in group])
    return float(np.subtract(*np.percentile(lowest, [90, 10])))


def to_z_up(points: Array, up: str) -> Array:
    """Turns ``(..., 3)`` so that the axis ``up`` becomes Z, never mirrored."""
    x, y, z = (points[..., k] for k in range(3))
    turned = {"x": (y, z, x), "y": (x, -z, y), "z": (x, y, z)}[up[-1]]
    out = np.stack(turned, -1)
    return out * [1.0, -1.0, -1.0] if up.startswith("-") else out


# -- clips -------------------------------------------------------------------------------------


def _finish(
    take: _Take, unit_m: float, up: str, folder: Path, options: PrepareOptions
) -> tuple[list[Clip], list[tuple[str, str]]]:
    """Returns the clips of a take, and what was dropped of it and why."""
    fps = options.fps or take.motion.fps
    if fps is None:
        return [], [(str(take.path), "it states no frame rate: give --fps")]
    joints = to_z_up(take.body * unit_m, up)
    joints, fps = _thin_out(joints, fps, options.most_fps)
    relative = take.path.relative_to(folder)
    subject = relative.parent.name or take.path.stem.split("_")[0]
    pieces = [p for p in _steady_pieces(joints, fps) if len(p) >= max(2, options.least_s * fps)]
    kept = sum(len(p) for p in pieces)
    dropped = []
    if kept < len(joints) - 1:  # a T-pose before the first frame is no loss
        seconds = (len(joints) - kept) / fps
        dropped.append(
            (str(take.path), f"{seconds:.1f} s left out: jumps, or pieces that are too short")
        )
    clips = [
        Clip(
            name=take.path.stem + (f"#{k}" if len(pieces) > 1 else ""),
            subject=subject,
            action=take.path.stem,
            source=str(relative),
            joints_m=_on_the_floor(piece),
            fps=fps,
        )
        for k, piece in enumerate(pieces, 1)
    ]
    return clips, dropped


def _thin_out(joints: Array, fps: float, most: float) -> tuple[Array, float]:
    """Brings ``(frame, ...)`` to at most ``most`` frames per second; straight lines between frames."""
    if fps <= most * 1.001:
        return joints, fps
    step = round(fps / most)
    if abs(fps / step - most) < 0.02 * most:
        return joints[::step], fps / step
    time = np.arange(0, len(joints) - 1, fps / most)
    low = time.astype(int)
    part = (time - low)[:, None, None]
    return joints[low] + part * (joints[low + 1] - joints[low]), most


def _steady_pieces(joints: Array, fps: float) -> list[Array]:
    """Cuts where a joint moves faster than people can (also between a T-pose and the first frame)."""
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(-1) * fps
    cuts = np.flatnonzero(speed > MAX_SPEED_M_S) + 1
    return np.split(joints, cuts)


def _on_the_floor(joints: Array) -> Array:
    """Puts the first pelvis at X = Y = 0 and the floor at 0 where the feet say that it is near."""
    out = joints.copy()
    out[..., :2] -= joints[0, 0, :2]
    floor = float(np.percentile(joints[:, _FEET, 2].min(1), 1))
    if abs(floor) < FLOOR_WITHIN_M:
        out[..., 2] -= floor
    return out
