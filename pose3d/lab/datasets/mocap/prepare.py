"""``pose3d data prepare``: folders of motion capture into one file to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.mocap.asf import read_amc
from pose3d.lab.datasets.mocap.axes import UNITS_M, UPS, Take, find_up, to_metres, to_z_up
from pose3d.lab.datasets.mocap.body import build_body, leg_length
from pose3d.lab.datasets.mocap.bvh import read_bvh
from pose3d.lab.datasets.mocap.limbs import find_limbs
from pose3d.lab.datasets.mocap.npz import read_npz
from pose3d.lab.datasets.mocap.source import Array, SourceMotion
from pose3d.lab.datasets.mocap.splits import split_takes
from pose3d.lab.datasets.motions import MOCAP_JOINTS
from pose3d.lab.datasets.npz_files import ODD_VALUES, blame_file, write_arrays

READERS: dict[str, Callable[[Path], SourceMotion]] = {
    ".bvh": read_bvh,
    ".amc": read_amc,
    ".npz": read_npz,
}
MAX_SPEED_M_S = 12.0
MAX_FPS = 60.0  # faster clips are thinned out to this
RATE_RANGE = (1.0, 10_000.0)  # fps that a file can mean
FARTHEST_M = 32.0  # from the start of a clip; millimetres are 16-bit numbers
FLOOR_WITHIN_M = 0.15
_HUGE = 1e9  # beyond, a coordinate is damaged, whatever the unit is
_FEET = [
    MOCAP_JOINTS.index(f"{s}_{p}") for s in ("left", "right") for p in ("toe", "heel", "ankle")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """How files become clips."""

    unit: str | None = None  # in ``UNITS_M``; None: from the length of the legs
    up: str | None = None  # in ``UPS``; None: from the rest pose, else from how people stand
    fps: float | None = None  # for files that state none, or wrongly
    least_s: float = 1.0  # shorter clips are dropped
    val: tuple[str, ...] = ()  # subjects, see :func:`split_takes`
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in (None, *UNITS_M):
            raise UsageError(f"--unit is {self.unit}", f"Give one of {', '.join(UNITS_M)}")
        if self.up not in (None, *UPS):
            raise UsageError(f"--up is {self.up}", f"Give one of {', '.join(UPS)}")
        if self.fps is not None and not RATE_RANGE[0] <= self.fps <= RATE_RANGE[1]:
            raise UsageError(f"--fps is {self.fps:g}", "Give the frames per second of the files")
        if set(self.val) & set(self.test):
            raise UsageError("A subject is in --val and in --test", "Name each once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A finished clip."""

    name: str  # of the recording (or its path), ``#`` and a number for pieces of one
    subject: str
    action: str  # the name of the file
    source: str  # path of the file below the folder
    joints_m: Array  # ``(frame, 23, 3)`` Z up, floor at 0, first pelvis at X = Y = 0
    fps: float
    split: str = "train"  # or ``val`` or ``test``


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of a folder."""

    clips: tuple[Clip, ...]
    found: tuple[str, ...]  # sentences about units, axes and takes that are held out
    left_out: tuple[tuple[str, str], ...]  # file (or piece) and why


def prepare_folder(folder: Path, options: PrepareOptions | None = None) -> Prepared:
    """Reads every motion file below a folder; those that cannot be used are left out and named.

    The subject is the folder that a file lies in, directly in ``folder`` the part of its name
    before the first ``_``. Axes, and units that files do not state, are found once a set of joints.
    """
    options = options or PrepareOptions()
    every = folder.rglob("*")
    paths = sorted(p for p in every if p.suffix.lower() in READERS and not p.is_dir())
    if not paths:
        todo = "Give the folder with the motion capture"
        raise DataError(f"{folder} holds no {', '.join(READERS)} files", todo)
    takes: list[Take] = []
    left_out: list[tuple[str, str]] = []
    for path in paths:
        try:
            takes.append(_read_take(path))
        except DataError as error:
            left_out.append((str(path), str(error)))
    if not takes:
        raise DataError(f"No file of {folder} could be used; the first: {left_out[0][1]}", "")
    _name_takes(takes, folder)
    kinds: dict[tuple[Any, ...], list[Take]] = {}
    for take in takes:
        kinds.setdefault((take.path.suffix.lower(), take.motion.joints), []).append(take)
    clips: list[Clip] = []
    found = []
    for (suffix, joints), group in kinds.items():
        try:
            unit = to_metres(group, options.unit)
            up, why_up = find_up(group, options.up)
        except DataError as error:
            left_out += [(str(take.path), str(error)) for take in group]
            continue
        found.append(f"{len(group)} {suffix} files with {len(joints)} joints: {unit}, {why_up}")
        for take in group:
            finished, why = _finish(take, up, folder, options)
            clips += finished
            left_out += why
    if not clips:
        raise DataError(
            f"No clip of {folder} could be used; the first file, {left_out[0][0]}: {left_out[0][1]}",
            "Look at --fps, --unit, --up and --min-seconds",
        )
    clips.sort(key=lambda c: (c.subject, c.name))
    takes_of = [Path(clip.source).with_suffix("").as_posix() for clip in clips]
    subject_of = {take: clip.subject for take, clip in zip(takes_of, clips, strict=True)}
    splits, said = split_takes(subject_of, options.val, options.test)  # pieces of a take together
    return Prepared(
        clips=tuple(
            replace(c, split=splits[take]) for take, c in zip(takes_of, clips, strict=True)
        ),
        found=(*found, *said),
        left_out=tuple(left_out),
    )


def _read_take(path: Path) -> Take:
    what, todo = "usable motion capture", "Export it again"
    with blame_file(path, what, todo), np.errstate(all="ignore"):
        motion = READERS[path.suffix.lower()](path)
    with blame_file(path, what, todo, ODD_VALUES), np.errstate(all="ignore"):
        limbs = find_limbs(motion, str(path))
        body = build_body(motion, limbs)
        leg = leg_length({n: motion.positions[:, i] for n, i in limbs.items()})
    if not 0 < leg < _HUGE or not (np.abs(body) < _HUGE).all():
        raise DataError(
            f"{path}: legs are {leg:.4g} long, or joints are missing or all in one point", todo
        )
    return Take(path, motion, limbs, body)


def _name_takes(takes: list[Take], folder: Path) -> None:
    """Names takes after their files; several of one name after their paths below ``folder``."""
    stems = Counter(take.path.stem for take in takes)
    by_name: dict[str, Path] = {}
    for take in takes:
        stem = take.path.stem
        path = take.path.relative_to(folder).with_suffix("").as_posix()
        take.name = stem if stems[stem] == 1 else path
        other = by_name.setdefault(take.name, take.path)
        if other != take.path:
            raise DataError(f"{other} and {take.path} have the same name", "Rename one")


def write_prepared(prepared: Prepared, path: Path, licence: str = "") -> None:
    """Writes the file for :func:`pose3d.lab.datasets.motions.load_motions`."""
    clips = prepared.clips
    every = np.concatenate([c.joints_m for c in clips]) * 1000
    words = ("subject", "action", "split", "source")
    arrays = {
        "positions_mm": every.round().astype(np.int16),
        "starts": np.cumsum([0, *(len(c.joints_m) for c in clips)]).astype(np.int64),
        "fps": np.array([c.fps for c in clips], np.float32),
        "names": np.array([c.name for c in clips]),
        **{word: np.array([getattr(c, word) for c in clips]) for word in words},
        "licence": np.array([licence] * len(clips)),
        "joint_names": np.array(MOCAP_JOINTS),
    }
    write_arrays(path, arrays)


def _finish(
    take: Take, up: str, folder: Path, options: PrepareOptions
) -> tuple[list[Clip], list[tuple[str, str]]]:
    """Returns the clips of a take, and what was dropped of it and why."""
    fps = options.fps or take.motion.fps
    if fps is None:
        return [], [(str(take.path), "it states no frame rate: give --fps")]
    if not RATE_RANGE[0] <= fps <= RATE_RANGE[1]:
        return [], [(str(take.path), f"it states a frame rate of {fps:g}: give --fps")]
    joints, fps = _thin_out(to_z_up(take.body, up), fps)
    relative = take.path.relative_to(folder)
    subject = relative.parent.name or take.path.stem.split("_")[0]
    pieces = [p for p in _steady_pieces(joints, fps) if len(p) >= max(2, options.least_s * fps)]
    kept = sum(len(p) for p in pieces)
    dropped = []
    if not kept or kept < len(joints) - 1:  # a T-pose before the first frame is no loss
        seconds = (len(joints) - kept) / fps
        dropped.append(f"{seconds:.1f} s left out: jumps, or pieces that are too short")
    clips = [
        Clip(
            name=take.name + (f"#{k}" if len(pieces) > 1 else ""),
            subject=subject,
            action=take.path.stem,
            source=str(relative),
            joints_m=_on_the_floor(piece),
            fps=fps,
        )
        for k, piece in enumerate(pieces, 1)
    ]
    near = [clip for clip in clips if np.abs(clip.joints_m).max() <= FARTHEST_M]
    if len(near) < len(clips):
        dropped.append(f"{len(clips) - len(near)} clips go over {FARTHEST_M:g} m from the start")
    return near, [(str(take.path), why) for why in dropped]


def _thin_out(joints: Array, fps: float) -> tuple[Array, float]:
    """Brings ``(frame, ...)`` to at most ``MAX_FPS``; straight lines between frames."""
    if fps <= MAX_FPS * 1.001:
        return joints, fps
    step = round(fps / MAX_FPS)
    if abs(fps / step - MAX_FPS) < 0.02 * MAX_FPS:
        return joints[::step], fps / step
    time = np.arange(0, len(joints) - 1, fps / MAX_FPS)
    low = time.astype(int)
    part = (time - low)[:, None, None]
    return joints[low] + part * (joints[low + 1] - joints[low]), MAX_FPS


def _steady_pieces(joints: Array, fps: float) -> list[Array]:
    """Cuts where a joint moves faster than people can, also after a first T-pose."""
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(-1) * fps
    cuts = np.flatnonzero(speed > MAX_SPEED_M_S) + 1
    return np.split(joints, cuts)


def _on_the_floor(joints: Array) -> Array:
    """Puts the first pelvis at X = Y = 0, and the floor at 0 if the feet say it is near."""
    out = joints.copy()
    out[..., :2] -= joints[0, 0, :2]
    floor = float(np.percentile(joints[:, _FEET, 2].min(1), 1))
    if abs(floor) < FLOOR_WITHIN_M:
        out[..., 2] -= floor
    return out
