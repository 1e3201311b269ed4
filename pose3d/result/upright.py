"""Joints in the axes that animation and biomechanics programs expect: y up, floor at 0."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pose3d.errors import UsageError
from pose3d.result.record import PoseSequence


def upright_joints(pose: PoseSequence) -> Float[np.ndarray, "row joint 3"]:
    """Turns the joints to right-handed axes: x right, y up, z towards the camera; metres, float64.

    With a known ground plane the floor is at y = 0 and the origin lies below the camera; without it
    "up" is the camera's own, and without ``root_cam_m`` the pelvis of everybody is the origin.
    """
    if pose.joints_cam_m is None:
        raise UsageError(
            f"The result of {pose.video.path} has no 3D joints, which this format is made of",
            "Lift it first (pose3d lift), or export json, npz or csv",
        )
    joints = pose.joints_cam_m.astype(np.float64)
    if pose.root_cam_m is not None:
        joints = joints + pose.root_cam_m[:, None]
    camera = pose.camera
    known_up = None if camera is None else camera.up_cam
    up = np.array(known_up or (0.0, -1.0, 0.0))
    up /= np.linalg.norm(up)
    back = np.array([0.0, 0.0, -1.0])
    if abs(up[2]) > 0.98:  # the camera looks straight down or up: the picture's bottom is "back"
        back = np.array([0.0, 1.0, 0.0])
    back = back - (back @ up) * up
    back /= np.linalg.norm(back)
    upright = joints @ np.stack([np.cross(up, back), up, back]).T
    ground_m = None if camera is None else camera.ground_m
    if pose.root_cam_m is not None and known_up is not None and ground_m is not None:
        upright[..., 1] += ground_m
    return upright


def upright_track(pose: PoseSequence) -> Float[np.ndarray, "frame joint 3"]:
    """Returns :func:`upright_joints` of the only person for every frame of the clip; NaN: away."""
    rows = upright_joints(pose)
    out = np.full((pose.n_frames, *rows.shape[1:]), np.nan)
    out[pose.frame] = rows
    return out
