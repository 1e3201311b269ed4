"""Real detector tracks with 3D truth, and their errors, which are put whole on other motions.

Errors are in person sizes, the longer side of the box around the joints in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose3d.body.mappings import FACE_TO_H36M, map_points
from pose3d.body.skeletons import BLAZEPOSE33, H36M17, LIMBS
from pose3d.errors import DataError
from pose3d.lab.datasets.anatomy import ANATOMICAL, to_anatomical
from pose3d.lab.datasets.clip_arrays import ClipArrays, reflect_times
from pose3d.lab.datasets.knees import straighten_people
from pose3d.lab.datasets.npz_files import ODD_VALUES, Layout, blame_file, check_clips, read_arrays
from pose3d.lab.datasets.parametric import leave_picture, person_size, swap_sides

DETECTED = (*LIMBS, "nose", "left_ear", "right_ear")  # what detectors have in common

TRACKS_LAYOUT = {  # what training reads of a track file, see ``samples/README.md``
    "lm_px": "number frame 33 2",
    "visibility": "number frame 33",
    "detected": "flag frame",
    "joints_cam_m": "number frame 17 3",
    "joints_px": "number frame 17 2",
    "heading": "number frame",
    "starts": "number bound",
    "K": "number clip 3 3",
    "size_wh": "number clip 2",
    "fps": "number clip",
    "name": "text clip",
    "subject": "text clip",
    "split": "text clip",
    "definition": "text clip ?",
    "nose_cam_m": "number frame 3 ?",
}
_TODO = "Fetch it again, or give another --data"
_LOST = 0.2  # mean error of the limbs, in person sizes, of a detector that follows another thing


def _mapping_matrix() -> Tensor:
    matrix = torch.zeros(len(H36M17), len(DETECTED))
    for row, name in enumerate(H36M17.joints):
        for source, weight in FACE_TO_H36M[name].items():
            matrix[row, DETECTED.index(source)] = weight
    return matrix


_MATRIX = _mapping_matrix()


def map_detected(points: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Maps ``(..., 15, 2)`` points and ``(..., 15)`` scores of ``DETECTED`` to H36M17."""
    matrix = _MATRIX.to(points)
    mapped = torch.einsum("js,...sa->...ja", matrix, points)
    uses = matrix != 0
    lowest = torch.where(uses, score[..., None, :], torch.inf).amin(-1)
    return mapped, lowest


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualBank(ClipArrays):
    """Errors of a real detector."""

    error: Tensor  # ``(frame, 15, 2)`` detection minus truth in person sizes; joints of DETECTED
    score: Tensor  # ``(frame, 15)``
    heading_rad: Tensor  # ``(clip,)`` mean, for choosing errors of a similar view


@dataclass(frozen=True, slots=True, kw_only=True)
class RealTracks(ClipArrays):
    """Detector tracks with exact 3D truth, as training pairs."""

    keypoints_px: Tensor  # ``(frame, 17, 2)`` mapped to H36M17; gaps interpolated
    score: Tensor  # ``(frame, 17)``
    joints_cam_m: Tensor  # ``(frame, 17, 3)`` truth in camera axes
    bodies_cam_m: Tensor  # the same, or with straighter knees, for re-projection
    size_wh: Tensor  # ``(clip, 2)``
    focal_px: Tensor  # ``(clip,)``


def read_track_file(path: Path, layout: Layout, todo: str = _TODO) -> dict[str, NDArray[Any]]:
    """Reads the arrays of ``layout``, which has ``starts``, ``fps`` and ``K``, from a track file.

    Joints come out as anatomical joint centres; files that do not say so have those of the rig.
    """
    data = read_arrays(path, "track file", todo, layout)
    check_clips(path, data, len(data["lm_px"]), todo)
    if "definition" not in data:
        with blame_file(path, "track file", todo, ODD_VALUES):
            _make_anatomical(data)
    elif set(data["definition"]) != {ANATOMICAL}:
        raise DataError(f"{path} has joints of an unknown definition", todo)
    return data


def _make_anatomical(data: dict[str, NDArray[Any]]) -> None:
    joints = data["joints_cam_m"].astype(np.float64)
    for c, camera in enumerate(data["K"].astype(np.float64)):
        rows = slice(data["starts"][c], data["starts"][c + 1])
        joints[rows] = to_anatomical(joints[rows], "rig")
        if "joints_px" in data:
            seen = joints[rows] @ camera.T
            data["joints_px"][rows] = seen[..., :2] / seen[..., 2:]
    data["joints_cam_m"] = joints.astype(np.float32)


def load_tracks(
    path: Path, split: str, *, leave_out: tuple[str, ...] = (), straighten: bool = False
) -> tuple[ResidualBank, RealTracks]:
    """Reads the errors and the tracks of one split (``fit``, ``val``) of a track file.

    Clips are left out where the detector misses the person, or is elsewhere, in over one frame in
    ten; short misses are interpolated. ``leave_out``: recordings; ``straighten``: knees.
    """
    data = read_track_file(path, TRACKS_LAYOUT)
    with blame_file(path, "track file", _TODO, ODD_VALUES):
        found = _join_clips(data, split, leave_out, straighten)
    if found is None:
        raise DataError(f"No clip of split {split!r} in {path}", "Check --data")
    return found


def _join_clips(
    data: dict[str, NDArray[Any]], split: str, leave_out: tuple[str, ...], straighten: bool
) -> tuple[ResidualBank, RealTracks] | None:
    columns = [BLAZEPOSE33.index[n] for n in DETECTED]
    limbs = [H36M17.index[n] for n in LIMBS]
    errors, scores, starts, clips, mapped, mapped_score, truth = [], [], [0], [], [], [], []
    for c in np.flatnonzero(data["split"] == split):
        s = slice(data["starts"][c], data["starts"][c + 1])
        seen = data["detected"][s].astype(bool)
        if seen.mean() < 0.9 or str(data["name"][c]) in leave_out:
            continue
        points = bridge_gaps(data["lm_px"][s].astype(np.float64), seen[:, None])
        score = data["visibility"][s].astype(np.float32).clip(0, 1)
        true_px = data["joints_px"][s]
        size = (true_px.max(1) - true_px.min(1)).max(-1)[:, None, None]
        off = (points[:, columns[:12]] - true_px[:, limbs]) / size
        if (np.linalg.norm(off, axis=-1).mean(1) > _LOST).mean() > 0.1:
            continue
        error = np.zeros((len(points), len(DETECTED), 2), np.float32)
        error[:, : len(limbs)] = off
        # Nose and ears move with the head; where its truth is missing, with the shoulders.
        error[:, 12:] = error[:, :2].mean(1, keepdims=True)
        if "nose_cam_m" in data:
            nose = data["nose_cam_m"][s] @ data["K"][c].T
            off_nose = points[:, columns[12]] - nose[:, :2] / nose[:, 2:]
            error[:, 12:] = (off_nose / size[:, 0])[:, None]
        errors.append(error)
        scores.append(score[:, columns])
        h_points, h_score = map_points(points, score, BLAZEPOSE33, FACE_TO_H36M, H36M17)
        assert h_score is not None
        mapped.append(h_points.astype(np.float32))
        mapped_score.append(h_score)
        truth.append(data["joints_cam_m"][s])
        starts.append(starts[-1] + len(points))
        clips.append(c)
    if not clips:
        return None
    heading = np.deg2rad(data["heading"].astype(np.float32))
    mean_heading = [
        np.angle(np.exp(1j * heading[data["starts"][c] : data["starts"][c + 1]]).mean())
        for c in clips
    ]
    time = {"starts": torch.tensor(starts), "fps": torch.tensor(data["fps"][clips]).float()}
    bank = ResidualBank(
        **time,
        error=_rows(errors),
        score=_rows(scores),
        heading_rad=torch.tensor(np.array(mean_heading)).float(),
    )
    people = [str(data["subject"][c]) for c in clips]
    bodies = straighten_people(truth, people)[0] if straighten else truth
    tracks = RealTracks(
        **time,
        keypoints_px=_rows(mapped),
        score=_rows(mapped_score),
        joints_cam_m=_rows(truth),
        bodies_cam_m=_rows(bodies),
        size_wh=torch.tensor(data["size_wh"][clips]).float(),
        focal_px=torch.tensor(data["K"][clips, 0, 0]).float(),
    )
    return bank, tracks


def _rows(clips: Sequence[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.concatenate(clips)).float()


def bridge_gaps(course: NDArray[Any], known: NDArray[Any]) -> NDArray[Any]:
    """Interpolates ``(frame, joint, 2)`` in place where ``known (frame, joint)`` is False."""
    time = np.arange(len(course))
    some = np.broadcast_to(known, course.shape[:2])
    for j in range(course.shape[1]):
        for axis in range(2):
            course[:, j, axis] = np.interp(time, time[some[:, j]], course[some[:, j], j, axis])
    return course


def draw_residuals(
    points_px: Tensor,
    size_wh: Tensor,
    heading_rad: Tensor,
    rate: Tensor,
    bank: ResidualBank,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Adds real errors of clips seen from a similar side, resampled to the rate of the windows.

    Joints outside of the picture and exchanged sides are drawn again: they do not carry over.
    Shapes: :mod:`pose3d.lab.datasets.parametric`.
    """
    b, t = points_px.shape[:2]
    device = points_px.device
    mean = torch.atan2(heading_rad.sin().mean(1), heading_rad.cos().mean(1))
    likeness = torch.cos(mean[:, None] - bank.heading_rad[None]) * 4
    clip = torch.multinomial(likeness.softmax(1), 1, generator=rng)[:, 0]
    first, last = bank.starts[clip], bank.starts[clip + 1] - 1
    step = bank.fps[clip] / rate
    span = (last - first).float()
    begin = torch.rand(b, device=device, generator=rng) * span
    time = reflect_times(begin, step, t, span)
    # The nearest frame: the mean of two would take a third of the jitter away.
    rows = first[:, None] + time.round().long()
    strength = 0.7 + 0.6 * torch.rand(b, 1, 1, 1, device=device, generator=rng)
    unit = person_size(points_px)[:, :, None, None]
    points = points_px + bank.error[rows] * strength * unit
    beyond = torch.randn((b, 1, *points.shape[2:]), device=device, generator=rng)
    points, score = leave_picture(points, bank.score[rows], points_px, size_wh, beyond, rng)
    return swap_sides(points, heading_rad, rate, rng), score
