"""Small Human3.6M and MPI-INF-3DHP files, written as the published tools write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.lab.datasets.h36m_cameras import H36M_CAMERAS
from tests.support.training import moving_body

KEPT = [i for i in range(32) if i not in (4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31)]
"""VideoPose3D lists the joints it removes; here is what is left."""

SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]

RECORDINGS = {
    "S9": {"Walking": 30, "Walking 1": 11, "Directions 1": 5},
    "S11": {"WalkTogether": 20, "Walking": 9},
}


def camera_points(world_m: np.ndarray, subject: str, camera: int) -> np.ndarray:
    """World to camera by scipy's rotations, not by ours."""
    c = H36M_CAMERAS[subject][camera]
    w, x, y, z = c.world_from_cam
    turn = Rotation.from_quat([x, y, z, w]).as_matrix()  # world_from_cam
    return (world_m - np.array(c.position_world_m)) @ turn


def write_h36m(folder: Path, recordings=None, *, detections="gt", extra=0, joints=32, noise_px=0.0):
    """Writes both files; returns subject -> action -> ``(frame, 17, 3)`` world metres.

    Pixels are a pinhole's (no distortion). ``extra``: 2D frames after the end of the 3D truth.
    """
    rng = np.random.default_rng(0)
    poses, points, truth = {}, {}, {}
    for s, (subject, actions) in enumerate((recordings or RECORDINGS).items()):
        poses[subject], points[subject], truth[subject] = {}, {}, {}
        for a, (action, frames) in enumerate(actions.items()):
            body = moving_body(frames, fps=50.0, seed=10 * s + a)[:, :17]
            full = rng.normal(size=(frames, 32, 3))  # what is dropped is far away
            full[:, KEPT] = body
            poses[subject][action] = (full if joints == 32 else body).astype("float32")
            truth[subject][action] = body
            views = []
            for i, c in enumerate(H36M_CAMERAS[subject]):
                cam = camera_points(body, subject, i)
                px = cam[..., :2] / cam[..., 2:] * c.focal_xy_px + np.array(c.centre_px)
                px = px + noise_px * rng.normal(size=px.shape)
                views.append(np.concatenate([px, np.full((extra, 17, 2), 7.0)]).astype("float32"))
            points[subject][action] = views
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=poses)
    np.savez_compressed(
        folder / f"data_2d_h36m_{detections}.npz", positions_2d=points, metadata=metadata
    )
    return truth


NAMES_3DHP = [  # mpii_get_joints.m, "relevant"
    *("head_top", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head"),
]


def write_3dhp(folder: Path, frames=(12, 7, 9, 9, 8, 10), invalid=((0, 3), (4, 0))):
    """Writes the test file; returns name -> ``(frame, 17, 3)`` millimetres in its joint order."""
    data, truth = {}, {}
    for i, n in enumerate(frames):
        body = moving_body(n, fps=25.0, seed=40 + i)[:, :17]
        cam = np.stack([body[..., 0], 0.9 - body[..., 2], body[..., 1] + 4.0], -1)
        order = [
            H36M17.index[{"neck": "thorax", "head": "neck_nose"}.get(name, name)]
            for name in NAMES_3DHP
        ]
        width, height = (1920, 1080) if i >= 4 else (2048, 2048)
        px = cam[..., :2] / cam[..., 2:] * 1500 + np.array([width / 2, height / 2])
        valid = np.ones(n)
        for recording, frame in invalid:
            if recording == i:
                valid[frame] = 0
        name = f"TS{i + 1}"
        truth[name] = cam[:, order] * 1000
        data[name] = {"data_2d": px[:, order], "data_3d": truth[name].copy(), "valid": valid}
    np.savez_compressed(folder / "data_test_3dhp.npz", data=data)
    return truth
