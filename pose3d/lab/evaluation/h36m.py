"""Human3.6M in the files of VideoPose3D, and the two protocols on it.

``data_3d_h36m.npz`` holds ``positions_3d``: subject -> action -> ``(frame, 32 or 17, 3)`` metres,
world axes. ``data_2d_h36m_DETECTIONS.npz`` holds ``positions_2d``: subject -> action -> one
``(frame, 17, 2)`` of pixels for each of the four cameras, and ``metadata``.

Reference: Pavllo et al., CVPR 2019; facebookresearch/VideoPose3D ``DATASETS.md``,
``data/prepare_data_h36m.py``, ``common/h36m_dataset.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError, unknown_name
from pose3d.lab.datasets.h36m_cameras import H36M_CAMERAS, RATE
from pose3d.lab.datasets.object_arrays import load_object_npz
from pose3d.lab.datasets.sequences import LabelledSequence, skeleton_of_symmetry
from pose3d.lab.evaluation.protocol import Protocol, describe_evaluation
from pose3d.lab.evaluation.scores import action_table, score_all
from pose3d.lab.evaluation.tables import OnStep
from pose3d.lift.lifter import Lifter

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]

TRAIN_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
# in the order of the tables of the field; two takes each, "Walking" and "Walking 1"
ACTIONS = (
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Photo",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    "Smoking",
    "Waiting",
    "WalkDog",
    "Walking",
    "WalkTogether",
)

DETECTIONS = "cpn_ft_h36m_dbb"  # what the published figures are made with

# H36M17 in the 32 joints of the recordings; the others are copies or ends of limbs
MOVING_JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

PREPARATION = "DATASETS.md of github.com/facebookresearch/VideoPose3D"
_TODO = f"Prepare it as in {PREPARATION}"


def load_h36m(
    folder: Path, subjects: Sequence[str], *, detections: str = DETECTIONS
) -> list[LabelledSequence]:
    """Reads the recordings of some subjects: every action, every camera, in the order of the files.

    Frames of the 2D detections beyond the 3D truth are left off, as published.
    """
    poses_path = folder / "data_3d_h36m.npz"
    points_path = folder / f"data_2d_h36m_{detections}.npz"
    poses = _entry(load_object_npz(poses_path, made_by=PREPARATION), "positions_3d", poses_path)
    file_2d = load_object_npz(points_path, made_by=PREPARATION)
    points = _entry(file_2d, "positions_2d", points_path)
    metadata = _entry(file_2d, "metadata", points_path)
    skeleton = skeleton_of_symmetry(metadata.get("keypoints_symmetry"), str(points_path))
    sequences = []
    for subject in subjects:
        if subject not in H36M_CAMERAS:
            raise unknown_name("subject of Human3.6M with published cameras", subject, H36M_CAMERAS)
        for action, world in _entry(poses, subject, poses_path).items():
            takes = _entry(points, subject, points_path).get(action)
            if not isinstance(takes, (list, tuple, np.ndarray)) or len(takes) != 4:
                raise DataError(f"{points_path} has no {action!r} of {subject} by 4 cameras", _TODO)
            for camera, pixels in zip(H36M_CAMERAS[subject], takes, strict=True):
                joints = camera.to_camera(_moving_joints(world, poses_path))
                name = f"{subject} {action}"
                found, score = _keypoints(np.asarray(pixels), len(joints), name, points_path)
                sequences.append(
                    LabelledSequence(
                        subject=subject,
                        action=action,
                        camera=camera.name,
                        skeleton=skeleton,
                        keypoints_px=found,
                        score=score,
                        joints_cam_m=joints.astype(np.float32),
                        size_wh=camera.size_wh,
                        focal_px=camera.focal_px,
                        rate=float(RATE),
                        valid=np.ones(len(joints), bool),
                    )
                )
    return sequences


def _entry(table: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    if not isinstance(table.get(name), dict):
        there = ", ".join(map(str, table))
        raise DataError(f"{path} holds no dictionary {name!r}; it has {there}", _TODO)
    entry: dict[str, Any] = table[name]
    return entry


def _moving_joints(world: Any, path: Path) -> Array:
    """Returns ``(frame, 17, 3)`` of an array with 32 or 17 joints."""
    joints = np.asarray(world)
    if joints.ndim != 3 or joints.shape[1:] not in ((32, 3), (17, 3)):
        raise DataError(f"{path} holds poses of shape {joints.shape}, not (frame, 32, 3)", _TODO)
    return joints[:, list(MOVING_JOINTS)] if joints.shape[1] == 32 else joints


def _keypoints(pixels: Array, frames: int, name: str, path: Path) -> tuple[Array, Array]:
    """Returns keypoints and scores (ones where the file has none) of the frames with a 3D truth."""
    if pixels.ndim != 3 or pixels.shape[1] != 17 or pixels.shape[2] < 2:
        raise DataError(f"{path} holds keypoints of shape {pixels.shape} ({name})", _TODO)
    if len(pixels) < frames:
        less = f"{len(pixels)} frames of {name}, the 3D truth {frames}"
        raise DataError(f"{path} has {less}", "Use files that were prepared together")
    pixels = pixels[:frames].astype(np.float32)
    score = pixels[..., 2] if pixels.shape[2] > 2 else np.ones(pixels.shape[:2], np.float32)
    return pixels[..., :2], score


def evaluate_h36m(
    folder: Path,
    lifter: Lifter,
    *,
    detections: str = DETECTIONS,
    actions: Sequence[str] = ACTIONS,
    protocol: Protocol | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Evaluates a lifter on S9 and S11; weights that want a focal length get the true one.

    Returns what was evaluated, and ``published`` and ``once``: each with ``actions`` (frames, P1, P2,
    N-MPJPE, velocity error; mm) and ``mean``, the plain mean over actions.

    Reference: ``main_mixste.py``, ``common/utils.py`` of HoT.
    Differs: HoT's protocol 2 adds the mean of a whole batch to the action of each of its windows; here
    each counts for its own. MotionBERT leaves out three recordings of S9 and the ends of all.
    """
    protocol = protocol or Protocol()
    for action in actions:
        if action not in ACTIONS:
            raise unknown_name("action", action, ACTIONS)
    described = describe_evaluation(lifter, protocol)
    sequences = [
        s for s in load_h36m(folder, TEST_SUBJECTS, detections=detections) if s.group in actions
    ]
    if not sequences:
        raise DataError(f"{folder} has none of the wanted actions", "Leave out --action")
    return {
        "dataset": "h36m",
        "subjects": list(TEST_SUBJECTS),
        "detections": detections,
        "recordings": len(sequences),
        **described,
        **score_all(sequences, lifter, protocol, actions, on_step),
    }


def h36m_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`evaluate_h36m` as a table."""
    title = (
        f"Human3.6M {', '.join(results['subjects'])}, {results['detections']}, "
        f"{results['lifter']}; millimetres"
    )
    heads = {
        "mpjpe_mm": "MPJPE (P1)",
        "p_mpjpe_mm": "P-MPJPE (P2)",
        "n_mpjpe_mm": "N-MPJPE",
        "velocity_mm": "velocity, a frame",
    }
    return action_table(results, title, heads)
