"""The record that flows through pose3d, and the protocols of its exchangeable parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from pose3d.skeletons import Skeleton

Image = UInt8[np.ndarray, "height width 3"]
"""RGB picture."""


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
        """How far the hypotheses of each joint lie apart, see :mod:`pose3d.spread`; None: no hypotheses."""
        from pose3d.spread import compute_spread_mm

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
        from pose3d.export import write

        return write(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> PoseSequence:
        """Reads a record written by :meth:`save`.

        Raises:
            ResultFileError: not a pose3d result, damaged, or of an unknown version.
        """
        from pose3d.export import read

        return read(Path(path))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """People found in one picture.

    Args:
        boxes_xyxy_px: ``(n, 4)``.
        score: ``(n,)`` 0..1.
        regions: ``(n, 4)`` oriented squares (centre x, centre y, side in pixels, rotation in radians,
            clockwise as seen) for estimators that take them, or None.
    """

    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    score: Float[np.ndarray, " n"]
    regions: Float[np.ndarray, "n 4"] | None = None

    def __len__(self) -> int:
        return len(self.score)

    def above(self, least: float) -> Detections:
        """Returns those with at least this score, in the same order."""
        keep = self.score >= least
        regions = None if self.regions is None else self.regions[keep]
        return Detections(
            boxes_xyxy_px=self.boxes_xyxy_px[keep], score=self.score[keep], regions=regions
        )

    @staticmethod
    def none() -> Detections:
        """Returns the result of a picture without people."""
        return Detections(
            boxes_xyxy_px=np.zeros((0, 4), np.float32),
            score=np.zeros(0, np.float32),
            regions=np.zeros((0, 4), np.float32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints:
    """2D keypoints of n people in one picture.

    Args:
        keypoints_px: ``(n, joint, 2)``.
        score: ``(n, joint)`` 0..1.
        presence: ``(n,)`` probability that there is a person in the region at all.
        boxes_xyxy_px: ``(n, 4)`` boxes around the keypoints.
        regions: ``(n, 4)`` where to look in the next frame (as in :class:`Detections`), or None.
        world_m: ``(n, joint, 3)`` the network's own 3D guess, metres about the hips, camera axes, or None.
    """

    keypoints_px: Float[np.ndarray, "n joint 2"]
    score: Float[np.ndarray, "n joint"]
    presence: Float[np.ndarray, " n"]
    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    regions: Float[np.ndarray, "n 4"] | None = None
    world_m: Float[np.ndarray, "n joint 3"] | None = None

    def __len__(self) -> int:
        return len(self.presence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a user wants to know about a model before and after using it.

    Args:
        name: table name, e.g. ``"blazepose"``.
        licence: SPDX identifier of code and weights.
        weights: names in the weights table (empty: none needed).
        sha256: hashes of these files, in order; empty until loaded.
        device: where it runs.
        device_reason: why there.
        changes: what was changed of how its weights were made to be used, in words.
    """

    name: str
    licence: str
    weights: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    device: str = "cpu"
    device_reason: str = ""
    changes: tuple[str, ...] = ()


@runtime_checkable
class Detector(Protocol):
    """Finds people in one picture. Made by ``Class(device=..., threads=..., offline=...)``."""

    info: ModelInfo

    def detect(self, image: Image) -> Detections:
        """Returns the people of an RGB picture, best first."""
        ...


@runtime_checkable
class KeypointEstimator(Protocol):
    """Finds the 2D keypoints of given people. Made by ``Class(device=..., threads=..., offline=...)``."""

    info: ModelInfo
    skeleton: Skeleton

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person of ``people``, in the same order."""
        ...


@runtime_checkable
class BatchDetector(Detector, Protocol):
    """A detector that looks at several pictures in one run of its network. Optional.

    Trackers that detect in every frame use it (:class:`pose3d.tracking.box_tracker.BoxTracker`).
    """

    def detect_batch(self, images: Sequence[Image]) -> list[Detections]:
        """Returns the people of each picture, best first, with those of which it is in doubt."""
        ...

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        ...


@runtime_checkable
class OneStageEstimator(Protocol):
    """Finds people and their keypoints in whole pictures; no detector is run.

    Its class says so by ``DETECTS_ITSELF = True``; :class:`pose3d.keypoints.onepass.OnePass` makes a detector
    and an estimator of given people of it.
    """

    info: ModelInfo
    skeleton: Skeleton

    def find_people(self, images: Sequence[Image]) -> list[Keypoints]:
        """Returns everybody in each picture, best first; ``presence`` is the score of the box."""
        ...

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        ...


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
        ...
