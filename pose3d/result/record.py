"""The record that flows through pose3d, and how it is written to and read from files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from pose3d.body.skeletons import Skeleton
from pose3d.errors import ResultFileError
from pose3d.files import write_whole
from pose3d.plugins import find_parts, load_part


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What is known about a clip.

    Args:
        path: where it was read from, as the user named it.
        size_wh: width and height in pixels as shown, after rotation.
        rate: frames per second, exact; the average where the rate varies.
        n_frames: frames of the clip (of the chosen range, when a range was chosen).
        variable_rate: the frame durations differ by more than the container's rounding.
        rotation_deg: clockwise quarter turn that was applied to the stored picture: 0, 90, 180, 270.
        has_audio: the file has an audio stream.
    """

    path: str
    size_wh: tuple[int, int]
    rate: Fraction
    n_frames: int
    variable_rate: bool = False
    rotation_deg: int = 0
    has_audio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """How one stage of the chain was carried out.

    Args:
        stage: ``"detect"``, ``"keypoints"``, ``"track"``, ``"clean"``, ``"lift"``, ``"smooth"``, ``"place"``.
        name: the variant, e.g. ``"blazepose"``.
        version: version of pose3d that ran it.
        weights: name of the weights, or None.
        sha256: hash of the weights file, or None.
        options: every option that changes the result; JSON values.
        device: where it ran, e.g. ``"cpu"``.
        device_reason: why there.
    """

    stage: str
    name: str
    version: str
    weights: str | None = None
    sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    device_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSequence:
    """Everything known about the people of one clip. NaN means not seen, never zero.

    Args:
        video: the clip.
        time_s: ``(frame,)`` presentation time in seconds, strictly increasing.
        person_ids: ``(person,)`` stable track ids, from 1.
        skeleton: of ``keypoints_px``, ``score`` and ``joints_cam_m``.
        boxes_xyxy_px: ``(frame, person, 4)`` left, top, right, bottom in pixels.
        keypoints_px: ``(frame, person, joint, 2)`` pixels; the centre of the first pixel is 0.5, 0.5.
        score: ``(frame, person, joint)`` confidence 0..1.
        joints_cam_m: ``(frame, person, joint, 3)`` metres relative to the pelvis (joint 0 of H36M17),
            camera axes: x right, y down, z forward.
        root_cam_m: ``(frame, person, 3)`` estimated position of the pelvis in camera axes, metres.
        hypotheses_cam_m: ``(frame, person, hypothesis, joint, 3)`` other poses that the lifter holds
            possible, in the frame of ``joints_cam_m``; None unless they were asked for.
        valid: ``(frame, person)`` the person was seen; False: interpolated or absent.
        camera: focal length in pixels and ground plane used for ``root_cam_m``, or None.
        made_by: the stages that made this record, in order.
    """

    video: VideoInfo
    time_s: Float[np.ndarray, " frame"]
    person_ids: Int[np.ndarray, " person"]
    skeleton: Skeleton
    boxes_xyxy_px: Float[np.ndarray, "frame person 4"]
    keypoints_px: Float[np.ndarray, "frame person joint 2"] | None = None
    score: Float[np.ndarray, "frame person joint"] | None = None
    joints_cam_m: Float[np.ndarray, "frame person joint 3"] | None = None
    root_cam_m: Float[np.ndarray, "frame person 3"] | None = None
    hypotheses_cam_m: Float[np.ndarray, "frame person hypothesis joint 3"] | None = None
    valid: Bool[np.ndarray, "frame person"]
    camera: Camera | None = None
    made_by: tuple[StageRecord, ...] = ()

    def __post_init__(self) -> None:
        n, p, j = len(self.time_s), len(self.person_ids), len(self.skeleton)
        expected = {
            "boxes_xyxy_px": (n, p, 4),
            "keypoints_px": (n, p, j, 2),
            "score": (n, p, j),
            "joints_cam_m": (n, p, j, 3),
            "root_cam_m": (n, p, 3),
            "valid": (n, p),
        }
        if self.hypotheses_cam_m is not None:
            expected["hypotheses_cam_m"] = (n, p, self.hypotheses_cam_m.shape[2], j, 3)
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        if self.video.n_frames != n:
            raise ValueError(f"video.n_frames is {self.video.n_frames}, time_s has {n} rows")
        if n > 1 and not (np.diff(self.time_s) > 0).all():
            raise ValueError("time_s does not increase strictly")

    @property
    def n_frames(self) -> int:
        """Number of frames; no frame of the clip is ever left out."""
        return len(self.time_s)

    @property
    def n_people(self) -> int:
        """Number of tracked people."""
        return len(self.person_ids)

    @property
    def present(self) -> Bool[np.ndarray, "frame person"]:
        """Where there is a pose at all, seen or interpolated."""
        points = self.joints_cam_m if self.joints_cam_m is not None else self.keypoints_px
        if points is None:
            return self.valid
        return np.isfinite(points).all(-1).any(-1)

    @property
    def spread_mm(self) -> Float[np.ndarray, "frame person joint"] | None:
        """How far the hypotheses of each joint lie apart, see :mod:`pose3d.result.spread`; None: no hypotheses."""
        return None if self.hypotheses_cam_m is None else compute_spread_mm(self.hypotheses_cam_m)

    def with_stage(self, record: StageRecord, **changes: Any) -> PoseSequence:
        """Returns a copy with ``changes`` and ``record`` appended to ``made_by``."""
        return replace(self, made_by=(*self.made_by, record), **changes)

    def select_people(self, columns: list[int]) -> PoseSequence:
        """Returns a copy with only the people at these positions, in this order."""

        names = ["boxes_xyxy_px", "keypoints_px", "score", "joints_cam_m", "root_cam_m", "valid"]
        arrays = {n: getattr(self, n) for n in [*names, "hypotheses_cam_m"]}
        picked = {n: a[:, columns] for n, a in arrays.items() if a is not None}
        return replace(self, person_ids=self.person_ids[columns], **picked)

    def save(self, path: str | Path) -> Path:
        """Writes this record; the suffix chooses the format (``.npz`` or ``.json`` read back).

        Raises:
            UsageError: the suffix names no format.
            ResultFileError: the file cannot be written.
        """
        return save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> PoseSequence:
        """Reads a record written by :meth:`save`.

        Raises:
            ResultFileError: not a pose3d result, damaged, or of an unknown version.
        """
        return load(Path(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """The pinhole camera that ``root_cam_m`` refers to.

    Args:
        focal_px: focal length in pixels, both axes; the principal point is the image centre.
        focal_source: ``"given"`` or ``"assumed"``.
        up_cam: unit vector of "up" in camera axes, or None.
        ground_m: distance of the camera centre above the ground plane along ``up_cam``, or None.
    """

    focal_px: float
    focal_source: str
    up_cam: tuple[float, float, float] | None = None
    ground_m: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise ValueError(f"focal_px is {self.focal_px}")


def compute_spread_mm(
    hypotheses_cam_m: Float[np.ndarray, "*lead hypothesis joint 3"],
) -> Float[np.ndarray, "*lead joint"]:
    """Computes the root mean square distance of the hypotheses from their mean.

    Args:
        hypotheses_cam_m: metres from the pelvis, camera axes; NaN where there is no pose.

    Returns:
        Millimetres, joint by joint; NaN where a hypothesis is NaN.
    """
    apart = hypotheses_cam_m - hypotheses_cam_m.mean(-3, keepdims=True)
    return np.sqrt(np.square(apart).sum(-1).mean(-2)) * 1000


@runtime_checkable
class Exporter(Protocol):
    """Writes a record in one file format.

    Args:
        suffix: of its files, e.g. ``".npz"``.
        description: one line for the list of formats.
        per_person: a file holds one person; ``write`` is called for each with only that one.
    """

    suffix: str
    description: str
    per_person: bool

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes ``pose`` to ``path`` (already a temporary name; the caller renames)."""


_ZIP = b"PK\x03\x04"


def make_exporter(name: str) -> Exporter:
    """Returns the exporter of a format.

    Raises:
        UsageError: there is no format of that name.
    """
    return load_part("exporter", name)()


def save(pose: PoseSequence, path: str | Path, format: str | None = None) -> Path:
    """Writes a result to a file, complete or not at all.

    Args:
        pose: the result.
        path: where to; formats of one person a file (trc, bvh) put the track id into the name,
            e.g. ``walk.person1.trc``.
        format: a name of ``pose3d export``; None: the path's suffix.

    Returns:
        The file written; the first of them where there are several (see :func:`write_files`).

    Raises:
        UsageError: unknown format, or one that cannot hold this result.
        ResultFileError: the file cannot be written, or there is nobody to write.
    """
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
    """Writes as :func:`save` does and returns every file; none when a person's format has nobody.

    Raises:
        UsageError, ResultFileError: as :func:`save`.
    """
    path = Path(path)
    exporter = make_exporter(format or path.suffix.lower().removeprefix("."))
    if not exporter.per_person:
        return (_write_one(exporter, pose, path),)
    known = np.any(pose.present, axis=0)
    return tuple(
        _write_one(
            exporter,
            pose.select_people([column]),
            path.with_name(f"{path.stem}.person{pose.person_ids[column]}{path.suffix}"),
        )
        for column in range(pose.n_people)
        if known[column]
    )


def _write_one(exporter: Exporter, pose: PoseSequence, path: Path) -> Path:
    with write_whole(path) as part:
        exporter.write(pose, part)
    return path


def load(path: str | Path) -> PoseSequence:
    """Reads a result written as npz or json; the content decides which, not the name.

    Raises:
        ResultFileError: not a pose3d result, damaged, or of an unknown version.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(_ZIP):
            return load_part("exporter", "npz").read(path)
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return load_part("exporter", "json").read(path)
    except OSError as error:
        raise ResultFileError(
            f"{path} cannot be read: {error.strerror or error}",
            "Give a pose.npz or pose.json that pose3d wrote",
        ) from error
    raise ResultFileError(
        f"{path} is not a result of pose3d: it is neither NPZ nor JSON",
        "Give a pose.npz or pose.json that pose3d wrote",
    )


def list_formats() -> dict[str, str]:
    """Returns format name -> description, of all formats that can be written."""
    known: dict[str, Any] = find_parts("exporter")
    return {name: make_exporter(name).description for name in known}
