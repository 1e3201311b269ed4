"""MPI-INF-3DHP in the files of P-STMO, which MHFormer's and MotionAGFormer's code read too.

``data_test_3dhp.npz`` holds ``data``: ``TS1`` to ``TS6`` -> ``data_2d`` ``(frame, 17, 2)`` pixels,
``data_3d`` ``(frame, 17, 3)`` mm in camera axes (``univ_annot3``) and ``valid`` ``(frame,)``.

Reference: Mehta et al., 3DV 2017; paTRICK-swk/P-STMO ``common/load_data_3dhp_mae.py``,
TaatiTeam/MotionAGFormer ``data/preprocess/data_to_npz_3dhp_test.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.mappings import MPI_INF_3DHP_TO_H36M
from pose3d.body.skeletons import H36M17
from pose3d.errors import DataError
from pose3d.lab.datasets.object_arrays import load_object_npz
from pose3d.lab.datasets.sequences import LabelledSequence
from pose3d.lab.evaluation.metrics import auc, pck
from pose3d.lab.evaluation.protocol import Answers, Protocol, describe_evaluation
from pose3d.lab.evaluation.scores import action_table, score_all
from pose3d.lab.evaluation.tables import OnStep
from pose3d.lift.lifter import Lifter

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]

SEQUENCES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
OUTDOORS = ("TS5", "TS6")

_NOT_IN_PCK = ("pelvis", "spine", "neck_nose")
PCK_JOINTS = [i for i, name in enumerate(H36M17.joints) if name not in _NOT_IN_PCK]

# Focal lengths over sensor widths in millimetres, from the camera files of the test set.
_STUDIO = ((2048, 2048), 7.32506 / 10.0 * 2048)
_OUTDOOR = ((1920, 1080), 8.770747185 / 10.0 * 1920)

PREPARATION = "README.md (MPI-INF-3DHP) of github.com/paTRICK-swk/P-STMO"


def load_3dhp_test(folder: Path) -> list[LabelledSequence]:
    """Reads the six test recordings from ``data_test_3dhp.npz``."""
    path = folder / "data_test_3dhp.npz"
    todo = f"Prepare it as in {PREPARATION}"
    data = load_object_npz(path, made_by=PREPARATION).get("data")
    if not isinstance(data, dict):
        raise DataError(f"{path} holds no dictionary 'data'", todo)
    sequences = []
    for name in SEQUENCES:
        if name not in data:
            raise DataError(f"{path} has no {name}", todo)
        points, joints = (np.asarray(data[name].get(key, ())) for key in ("data_2d", "data_3d"))
        valid = np.asarray(data[name].get("valid", ())).ravel().astype(bool)
        frames = len(points)
        fits = points.shape == (frames, 17, 2) and joints.shape == (frames, 17, 3)
        if not fits or valid.shape != (frames,) or frames == 0:
            shapes = f"{points.shape}, {joints.shape} and {valid.shape}"
            raise DataError(f"{path} holds arrays of shapes {shapes} for {name}", todo)
        size_wh, focal_px = _OUTDOOR if name in OUTDOORS else _STUDIO
        sequences.append(
            LabelledSequence(
                subject=name,
                action=name,
                camera="",
                skeleton=H36M17,
                keypoints_px=points[:, MPI_INF_3DHP_TO_H36M].astype(np.float32),
                score=np.ones((frames, 17), np.float32),
                joints_cam_m=(joints[:, MPI_INF_3DHP_TO_H36M] / 1000).astype(np.float32),
                size_wh=size_wh,
                focal_px=focal_px,
                rate=None,
                valid=valid,
            )
        )
    return sequences


def evaluate_3dhp(
    folder: Path,
    lifter: Lifter,
    *,
    protocol: Protocol | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Evaluates a lifter on the test set, with its true 2D keypoints and focal lengths.

    As :func:`~pose3d.lab.evaluation.h36m.evaluate_h36m`, with ``pck_pct`` at 150 mm and ``auc_pct`` of
    each recording, and means over all valid frames.

    Reference: MPJPE over 17 joints of P-STMO's ``run_3dhp.py``; PCK and AUC over the 14 joints and the
    thresholds 0, 5 ... 150 mm of the data set's ``mpii_compute_3d_pck.m``.
    """
    protocol = protocol or Protocol()
    described = describe_evaluation(lifter, protocol)
    scores = score_all(load_3dhp_test(folder), lifter, protocol, SEQUENCES, on_step, _hits)
    return {"dataset": "mpi-inf-3dhp", **described, **scores}


def _hits(sequence: LabelledSequence, answers: Answers, padding: str) -> dict[str, float]:
    """Returns PCK and AUC of one recording in percent."""
    counts = sequence.valid[answers.rows]
    counts &= answers.first if padding == "once" else True
    ours = answers.joints_m[counts][:, PCK_JOINTS]
    target = sequence.relative_m[answers.rows[counts]][:, PCK_JOINTS]
    return {"pck_pct": 100 * pck(ours, target), "auc_pct": 100 * auc(ours, target)}


def mpi_inf_3dhp_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`evaluate_3dhp` as a table."""
    heads = {
        "mpjpe_mm": "MPJPE mm",
        "p_mpjpe_mm": "P-MPJPE mm",
        "n_mpjpe_mm": "N-MPJPE mm",
        "velocity_mm": "velocity mm, a frame",
        "pck_pct": "PCK@150 %",
        "auc_pct": "AUC %",
    }
    title = f"MPI-INF-3DHP test set, {results['lifter']}"
    return action_table(results, title, heads, first="recording")
