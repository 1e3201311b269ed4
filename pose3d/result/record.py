"""The record that flows through pose3d, and how it is written to and read from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from pose3d.arguments import checked
from pose3d.body.skeletons import Skeleton
from pose3d.errors import ResultFileError
from pose3d.files import write_whole
from pose3d.plugins import find_parts, load_part, make_part
from pose3d.result.camera import Camera
from pose3d.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What is known about a clip."""

    path: str  # as the user named it
    size_wh: tuple[int, int]  # pixels as shown, after rotation
    rate: Fraction  # frames per second, exact; that of the median frame duration where it varies
    n_frames: int  # of the clip, or of the range of it that was chosen
    variable_rate: bool = False  # frame durations differ by more than the container's rounding
    rotation_deg: int = 0  # clockwise turn of the stored picture: 0, 90, 180, 270
    has_audio: bool = False
    stream: int = 0  # number among the video streams of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """How one stage of the chain was carried out."""

    stage: str  # detect, keypoints, track, clean, lift, smooth, place
    name: str  # the variant, e.g. ``blazepose``
    version: str = __version__  # of the pose3d that ran it
    weights: str | None = None
    sha256: str | None = None  # of the weights file
    options: Mapping[str, Any] = field(default_factory=dict)  # all that change the result; JSON
    device: str = "cpu"
    device_reason: str = ""


def array_shapes(
    frames: int, people: int, joints: int, hypotheses: int
) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array of a record but ``person_ids``."""
    return {
        "time_s": (frames,),
        "valid": (frames, people),
        "boxes_xyxy_px": (frames, people, 4),
        "keypoints_px": (frames, people, joints, 2),
        "score": (frames, people, joints),
        "joints_cam_m": (frames, people, joints, 3),
        "root_cam_m": (frames, people, 3),
        "hypotheses_cam_m": (frames, people, hypotheses, joints, 3),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSequence:
    """Everything known about the people of one clip. NaN means not seen, never zero.

    Camera axes are x right, y down, z forward; the centre of the first pixel is 0.5, 0.5.
    """

    video: VideoInfo
    time_s: Float[np.ndarray, " frame"]  # seconds, strictly increasing, every frame
    person_ids: Int[np.ndarray, " person"]  # stable track ids, from 1
    skeleton: Skeleton  # of all joints below
    boxes_xyxy_px: Float[np.ndarray, "frame person 4"]
    keypoints_px: Float[np.ndarray, "frame person joint 2"] | None = None
    score: Float[np.ndarray, "frame person joint"] | None = None  # 0..1
    # Metres relative to the pelvis (joint 0 of H36M17), camera axes.
    joints_cam_m: Float[np.ndarray, "frame person joint 3"] | None = None
    root_cam_m: Float[np.ndarray, "frame person 3"] | None = None  # of the pelvis
    # Other poses that the lifter holds possible, as joints_cam_m; None unless asked for.
    hypotheses_cam_m: Float[np.ndarray, "frame person hypothesis joint 3"] | None = None
    valid: Bool[np.ndarray, "frame person"]  # seen; False: interpolated or absent
    camera: Camera | None = None
    made_by: tuple[StageRecord, ...] = ()  # stages, in order

    def __post_init__(self) -> None:
        n, p, others = len(self.time_s), len(self.person_ids), self.hypotheses_cam_m
        n_others = 0 if others is None or others.ndim != 5 else others.shape[2]
        for name, shape in array_shapes(n, p, len(self.skeleton), n_others).items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        if self.video.n_frames != n:
            raise ValueError(f"video.n_frames is {self.video.n_frames}, time_s has {n} rows")
        if not (np.diff(self.time_s) > 0).all():
            raise ValueError("time_s does not increase strictly")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.time_s)

    @property
    def n_people(self) -> int:
        """Number of tracked people."""
        return len(self.person_ids)

    @property
    def present(self) -> Bool[np.ndarray, "frame person"]:
        """Where there is a pose at all, seen or interpolated."""
        points = self.keypoints_px if self.joints_cam_m is None else self.joints_cam_m
        if points is None:
            return self.valid
        return np.isfinite(points).all(-1).any(-1)

    @property
    def spread_mm(self) -> Float[np.ndarray, "frame person joint"] | None:
        """How far the hypotheses lie apart, see :mod:`pose3d.result.spread`; None without any."""
        return None if self.hypotheses_cam_m is None else compute_spread_mm(self.hypotheses_cam_m)

    def with_stage(self, record: StageRecord, **changes: Any) -> PoseSequence:
        """Returns a copy with ``changes`` and ``record`` appended to ``made_by``."""
        return replace(self, made_by=(*self.made_by, record), **changes)

    def select_people(self, columns: list[int]) -> PoseSequence:
        """Returns a copy with only the people at these positions, in this order."""
        arrays = {name: getattr(self, name) for name in array_shapes(0, 0, 0, 0)}
        del arrays["time_s"]
        picked = {name: a[:, columns] for name, a in arrays.items() if a is not None}
        return replace(self, person_ids=self.person_ids[columns], **picked)

    def save(self, path: str | Path) -> Path:
        """Writes this record; the suffix chooses the format (``.npz`` or ``.json`` read back)."""
        return save(self, path)

    @staticmethod
    def load(path: str | Path) -> PoseSequence:
        """Reads a record written by :meth:`save`."""
        return load(path)


def compute_spread_mm(
    hypotheses_cam_m: Float[np.ndarray, "*lead hypothesis joint 3"],
) -> Float[np.ndarray, "*lead joint"]:
    """Returns the RMS distance of the hypotheses (metres) from their mean, in millimetres."""
    apart = hypotheses_cam_m - hypotheses_cam_m.mean(-3, keepdims=True)
    return np.sqrt(np.square(apart).sum(-1).mean(-2)) * 1000


@runtime_checkable
class Exporter(Protocol):
    """Writes a record in one file format.

    ``axes`` (and units) and ``away`` (what is there of who is away) may say more for the list.
    """

    suffix: str  # of its files, e.g. ``.npz``
    description: str  # for the list of formats: what it is, and who reads it
    per_person: bool  # ``write`` is called for each person with only that one

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes to a temporary ``path``; a UsageError if the format cannot hold the record."""


def make_exporter(name: str) -> Exporter:
    """Returns the exporter of a format; a UsageError where there is none of that name.

    What a format takes stands behind a colon: ``bvh:mixamo``.
    """
    exporter: Exporter = make_part("exporter", name)
    return exporter


@checked
def save(pose: PoseSequence, path: str | Path, format: str | None = None) -> Path:
    """Writes as :func:`write_files` and returns the (first) file; an error if there is none."""
    files = write_files(pose, path, format)
    if not files:
        raise ResultFileError(
            f"There is nobody in the result of {pose.video.path} to write to {path}",
            "Formats with one file a person need a person",
        )
    return files[0]


def write_files(
    pose: PoseSequence, path: str | Path, format: str | None = None
) -> tuple[Path, ...]:
    """Writes a result, each file complete or not at all, and returns the files.

    ``format`` is a name of ``pose3d export``; None: the path's suffix. Formats of one person a file
    put the track id into the name (``walk.person1.trc``) and write none for nobody.
    """
    path = Path(path)
    exporter = make_exporter(format or path.suffix.lower().removeprefix("."))
    wanted = [(pose, path)]
    if exporter.per_person:
        several = [pose.select_people([c]) for c in np.flatnonzero(pose.present.any(0)).tolist()]
        wanted = [(p, path.with_stem(f"{path.stem}.person{p.person_ids[0]}")) for p in several]
    for record, file in wanted:
        with write_whole(file) as part:
            exporter.write(record, part)
    return tuple(file for _, file in wanted)


@checked
def load(path: str | Path) -> PoseSequence:
    """Reads a result written as npz or json; the content decides which, not the name."""
    path = Path(path)
    advice = "Give a pose.npz or pose.json that pose3d wrote"
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(b"PK\x03\x04"):  # a ZIP file
            return load_part("exporter", "npz").read(path)
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return load_part("exporter", "json").read(path)
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror or error}"
        raise ResultFileError(what, advice) from error
    raise ResultFileError(f"{path} is not a result of pose3d: neither NPZ nor JSON", advice)


def list_formats() -> dict[str, str]:
    """Returns format name -> description, of all formats that can be written."""
    return {name: _describe(make_exporter(name)) for name in find_parts("exporter")}


def _describe(exporter: Exporter) -> str:
    axes, away = (getattr(exporter, name, "") for name in ("axes", "away"))
    words = [exporter.description, axes, away and f"Who is away {away}"]
    words.append("A file a person" if exporter.per_person else "")
    return ". ".join(filter(None, words))
