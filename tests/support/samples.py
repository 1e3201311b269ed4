"""The exact truth of the sample clips as a record."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from pose3d.body.skeletons import H36M17
from pose3d.result.record import Camera, PoseSequence, StageRecord, VideoInfo

TILT_DEG = {"walk_turn": 9.1, "dance": 8.5, "two_people": 8.0, "portrait_phone": 8.4}
HEIGHT_M = {"walk_turn": 1.40, "dance": 1.40, "two_people": 1.45, "portrait_phone": 1.40}
"""Of the cameras, from samples/README.md."""


def true_up(name: str) -> np.ndarray:
    tilt = np.radians(TILT_DEG[name])
    return np.array([0.0, -np.cos(tilt), -np.sin(tilt)])


def sample_pose(folder: Path, name: str) -> PoseSequence:
    with np.load(folder / f"{name}.truth.npz") as truth:
        joints = truth["joints_cam_m"].astype(np.float64)
        n, people = joints.shape[:2]
        width, height = (int(v) for v in truth["size_wh"])
        x, y, z = (float(v) for v in true_up(name))
        return PoseSequence.from_dense(
            video=VideoInfo(
                path=f"samples/{name}.mp4", size_wh=(width, height), rate=Fraction(30), n_frames=n
            ),
            time_s=np.arange(n) / 30,
            person_ids=np.arange(1, people + 1),
            skeleton=H36M17,
            boxes_xyxy_px=truth["boxes_xyxy_px"].astype(np.float64),
            keypoints_px=truth["keypoints_px"].astype(np.float64),
            score=np.full((n, people, 17), 0.9),
            joints_cam_m=joints - joints[:, :, :1],
            root_cam_m=joints[:, :, 0],
            valid=truth["visible"],
            camera=Camera(
                focal_px=float(truth["K"][0, 0]),
                focal_source="given",
                up_cam=(x, y, z),
                ground_m=HEIGHT_M[name],
            ),
            made_by=(
                StageRecord(
                    stage="lift",
                    name="hot-mixste",
                    version="0.1.0",
                    weights="hot-mixste.cmu",
                    sha256="0f" * 32,
                    options={"flip_test": True, "words": ["a", "ü"]},
                ),
            ),
        )
