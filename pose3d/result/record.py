"""The record that flows through pose3d, and how it is written to and read from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

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


def row_shapes(rows: int, joints: int, hypotheses: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array of a record that has a row for each person and frame."""
    return {
        "valid": (rows,),
        "boxes_xyxy_px": (rows, 4),
        "keypoints_px": (rows, joints, 2),
        "score": (rows, joints),
        "joints_cam_m": (rows, joints, 3),
        "root_cam_m": (rows, 3),
        "hypotheses_cam_m": (rows, hypotheses, joints, 3),
    }


ROW_ARRAYS = tuple(row_shapes(0, 0, 0))
LARGEST_ROWS = 20_000_000  # of one clip; more is damage


@dataclass(frozen=True, slots=True)
class Span:
    """One person: the frames of the clip from the first sight to the last, and their rows."""

    person_id: int
    frames: slice
    rows: slice

    def row(self, frame: int) -> int:
        """Returns the row of one of the frames."""
        return self.rows.start + frame - self.frames.start


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSequence:
    """Everything known about the people of one clip: a row for each person in each frame.

    The rows of a person stand together, one for every frame from the first sight to the last;
    :meth:`dense` has frames and people as axes. NaN means not seen, never zero. Camera axes are x
    right, y down, z forward; the centre of the first pixel is 0.5, 0.5.
    """

    video: VideoInfo
    time_s: Float[np.ndarray, " frame"]  # seconds, strictly increasing, every frame
    skeleton: Skeleton  # of all joints below
    frame: Int[np.ndarray, " row"]  # number in the clip, from 0
    person_id: Int[np.ndarray, " row"]  # stable track id, from 1
    boxes_xyxy_px: Float[np.ndarray, "row 4"]
    keypoints_px: Float[np.ndarray, "row joint 2"] | None = None
    score: Float[np.ndarray, "row joint"] | None = None  # 0..1
    # Metres relative to the pelvis (joint 0 of H36M17), camera axes.
    joints_cam_m: Float[np.ndarray, "row joint 3"] | None = None
    root_cam_m: Float[np.ndarray, "row 3"] | None = None  # of the pelvis
    # Other poses that the lifter holds possible, as joints_cam_m; None unless asked for.
    hypotheses_cam_m: Float[np.ndarray, "row hypothesis joint 3"] | None = None
    valid: Bool[np.ndarray, " row"]  # seen; False: interpolated or absent
    camera: Camera | None = None
    made_by: tuple[StageRecord, ...] = ()  # stages, in order

    def __post_init__(self) -> None:
        rows, others = len(self.frame), self.hypotheses_cam_m
        n_others = 0 if others is None or others.ndim != 4 else others.shape[1]
        shapes = row_shapes(rows, len(self.skeleton), n_others) | {"person_id": (rows,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        if self.video.n_frames != self.n_frames:
            frames = f"video.n_frames is {self.video.n_frames}"
            raise ValueError(f"{frames}, time_s has {self.n_frames} rows")
        if not (np.diff(self.time_s) > 0).all():
            raise ValueError("time_s does not increase strictly")
        if rows and not 0 <= self.frame.min() <= self.frame.max() < self.n_frames:
            raise ValueError("frame has numbers that are not in the clip")
        ids = [span.person_id for span in self.spans]
        if len(set(ids)) != len(ids):
            raise ValueError("the rows of a person do not stand together")
        if not ((np.diff(self.frame) == 1) | (np.diff(self.person_id) != 0)).all():
            raise ValueError("a person does not have a row for every frame of the span")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.time_s)

    @property
    def n_people(self) -> int:
        """Number of tracked people."""
        return len(self.spans)

    @property
    def person_ids(self) -> Int[np.ndarray, " person"]:
        """The track ids, in the order of the rows."""
        return np.array([span.person_id for span in self.spans], np.int64)

    @property
    def spans(self) -> list[Span]:
        """The people, in the order of the rows."""
        edges = [0, *(np.flatnonzero(np.diff(self.person_id)) + 1).tolist(), len(self.frame)]
        return [
            Span(
                int(self.person_id[a]),
                slice(int(self.frame[a]), int(self.frame[a]) + b - a),
                slice(a, b),
            )
            for a, b in pairwise(edges)
            if b > a
        ]

    @property
    def present(self) -> Bool[np.ndarray, " row"]:
        """Where there is a pose at all, seen or interpolated."""
        points = self.keypoints_px if self.joints_cam_m is None else self.joints_cam_m
        if points is None:
            return self.valid
        return np.isfinite(points).all(-1).any(-1)

    @property
    def spread_mm(self) -> Float[np.ndarray, "row joint"] | None:
        """How far the hypotheses lie apart, see :mod:`pose3d.result.spread`; None without any."""
        return None if self.hypotheses_cam_m is None else compute_spread_mm(self.hypotheses_cam_m)

    def rows_by_frame(self) -> list[NDArray[np.intp]]:
        """Returns for each frame the rows of the people in it, in the order of people."""
        return split_by_frame(self.frame, self.n_frames)

    def with_stage(self, record: StageRecord, **changes: Any) -> PoseSequence:
        """Returns a copy with ``changes`` and ``record`` appended to ``made_by``."""
        return replace(self, made_by=(*self.made_by, record), **changes)

    def span_of(self, person_id: int) -> Span:
        """Returns the span of a person who is in the clip."""
        return next(span for span in self.spans if span.person_id == person_id)

    def select_people(self, person_ids: Sequence[int]) -> PoseSequence:
        """Returns a copy with only these people, in this order."""
        parts = [np.arange(len(self.frame))[self.span_of(i).rows] for i in person_ids]
        rows = np.concatenate([*parts, np.zeros(0, np.intp)])
        arrays = {name: getattr(self, name) for name in ("frame", "person_id", *ROW_ARRAYS)}
        return replace(self, **{name: a[rows] for name, a in arrays.items() if a is not None})

    def dense(self, person_ids: Sequence[int] | None = None) -> DensePoses:
        """Returns the arrays with an axis of frames and one of people (None: everybody).

        Large for long clips with many people. Who never appears is NaN.
        """
        ids = self.person_ids if person_ids is None else np.array(person_ids, np.int64)
        spans = {span.person_id: span for span in self.spans}
        arrays: dict[str, Any] = dict.fromkeys(ROW_ARRAYS)
        for name in ROW_ARRAYS:
            if (array := getattr(self, name)) is not None:
                arrays[name] = _empty((self.n_frames, len(ids), *array.shape[1:]), array.dtype)
                for column, person in enumerate(ids.tolist()):
                    if person in spans:
                        arrays[name][spans[person].frames, column] = array[spans[person].rows]
        return DensePoses(person_ids=ids, **arrays)

    @classmethod
    def from_dense(cls, *, person_ids: Int[np.ndarray, " person"], **values: Any) -> PoseSequence:
        """Makes a record from arrays as :class:`DensePoses` has them, and the other fields.

        People have rows from their first frame with anything known to the last.
        """
        arrays = {name: values.pop(name) for name in ROW_ARRAYS if values.get(name) is not None}
        shape = (len(values["time_s"]), len(person_ids))
        known = np.zeros(shape, bool)
        for name, array in arrays.items():
            if array.shape[:2] != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape} first")
            known |= is_known(array, axes=2)
        at = np.nonzero(known)
        rows = {name: array[at] for name, array in arrays.items()}
        return cls(**values, **fill_spans(at[0], person_ids[at[1]], rows, person_ids.tolist()))

    def save(self, path: str | Path) -> Path:
        """Writes this record; the suffix chooses the format (``.npz`` or ``.json`` read back)."""
        return save(self, path)

    @staticmethod
    def load(path: str | Path) -> PoseSequence:
        """Reads a record written by :meth:`save`."""
        return load(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePoses:
    """The arrays of a :class:`PoseSequence` with axes for frames and people; NaN: absent."""

    person_ids: Int[np.ndarray, " person"]
    valid: Bool[np.ndarray, "frame person"]
    boxes_xyxy_px: Float[np.ndarray, "frame person 4"]
    keypoints_px: Float[np.ndarray, "frame person joint 2"] | None
    score: Float[np.ndarray, "frame person joint"] | None
    joints_cam_m: Float[np.ndarray, "frame person joint 3"] | None
    root_cam_m: Float[np.ndarray, "frame person 3"] | None
    hypotheses_cam_m: Float[np.ndarray, "frame person hypothesis joint 3"] | None


def split_by_frame(frame: NDArray[np.integer], n_frames: int) -> list[NDArray[np.intp]]:
    """Returns for each frame the rows, of which ``frame`` has the numbers, in order."""
    order = np.argsort(frame, kind="stable")
    return np.split(order, np.searchsorted(frame[order], np.arange(1, n_frames)))[:n_frames]


def rows_in_time(pose: PoseSequence) -> NDArray[np.intp]:
    """Returns the rows with a pose, frame by frame."""
    order = np.argsort(pose.frame, kind="stable")
    return order[pose.present[order]]


def is_known(array: NDArray[Any], axes: int = 1) -> NDArray[np.bool_]:
    """Tells where an array holds a number or True, over all but the first ``axes``."""
    known = array if array.dtype.kind == "b" else np.isfinite(array)
    return np.asarray(known.any(tuple(range(axes, array.ndim))))


def fill_spans(
    frame: NDArray[np.integer],
    person_id: NDArray[np.integer],
    arrays: Mapping[str, NDArray[Any]],
    order: Sequence[int],
) -> dict[str, Any]:
    """Returns ``frame``, ``person_id`` and arrays with a row for every frame of every span.

    Given are known rows, in any order, and the ``order`` of people. A ValueError where a person has
    two rows of a frame, or is not in ``order``.
    """
    ids, counts = np.unique(person_id, return_counts=True)
    rows = np.split(np.argsort(person_id, kind="stable"), np.cumsum(counts)[:-1])
    owned = dict(zip(ids.tolist(), rows, strict=False))
    to = np.full(len(frame), -1)  # the row where each given one goes
    frames, people, n = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for person in order:
        own = owned.get(person)
        if own is not None:
            first, length = int(frame[own].min()), int(np.ptp(frame[own])) + 1
            if n + length > LARGEST_ROWS:
                raise ValueError("from first sight to last its people take too many rows")
            to[own] = n + frame[own] - first
            frames.append(first + np.arange(length))
            people.append(np.full(length, person))
            n += length
    if len(np.unique(to)) != len(to) or (to < 0).any():
        raise ValueError("a person is twice in a frame, or not in the list")
    filled = dict(arrays)
    if not np.array_equal(to, np.arange(n)):  # a result may be half of the memory
        for name, array in arrays.items():
            filled[name] = _empty((n, *array.shape[1:]), array.dtype)
            filled[name][to] = array
    return {"frame": np.concatenate(frames), "person_id": np.concatenate(people), **filled}


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
    return np.full(shape, False if dtype.kind == "b" else np.nan, dtype)


def compute_spread_mm(
    hypotheses_cam_m: Float[np.ndarray, "*lead hypothesis joint 3"],
) -> Float[np.ndarray, "*lead joint"]:
    """Returns the RMS distance of the hypotheses (metres) from their mean, in millimetres."""
    apart = hypotheses_cam_m - hypotheses_cam_m.mean(-3, keepdims=True)
    return np.sqrt(np.square(apart).sum(-1).mean(-2)) * 1000


@runtime_checkable
class Exporter(Protocol):
    """Writes a record in one file format.

    It may have ``axes`` (and units) and ``away`` (what is there of who is away) for the list, and
    ``beside``, the exporter of a second file.
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
    return make_part("exporter", name)


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
    wanted = [(exporter, pose, path)]
    if exporter.per_person:
        there = dict.fromkeys(pose.person_id[pose.present].tolist())  # in the order of the rows
        files = {person: path.with_stem(f"{path.stem}.person{person}") for person in there}
        wanted = [(exporter, pose.select_people([p]), file) for p, file in files.items()]
    if (other := getattr(exporter, "beside", None)) is not None:
        wanted += [(other, p, file.with_suffix(other.suffix)) for _, p, file in wanted]
    for writer, record, file in wanted:
        with write_whole(file) as part:
            writer.write(record, part)
    return tuple(file for _, _, file in wanted)


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
    each = "A file a person" if exporter.per_person else ""
    words = exporter.description, axes, away and f"Who is away {away}", each
    return ". ".join(filter(None, words))
