"""Motion capture as NPZ, and detector tracks in several views, as tests of their readers write them."""

from __future__ import annotations

import numpy as np

from pose3d.body.skeletons import COCO17, H36M17
from pose3d.lab.datasets.motions import MOCAP_JOINTS
from tests.support.training import moving_body

ERROR_PX = np.array([6.0, -3.0])


def write_views(path, *, offsets=(0.0, 0.4), hide=0.0):
    """Two sequences (fit, val) of a walker seen by two cameras, each detection ERROR_PX wrong.

    Camera 0 stands in front of a person who faces +y, camera 1 on the person's right; camera 1 is
    ``offsets[1]`` frames late.
    """
    frames, focal = 80, 1000.0
    intrinsics = np.array([[focal, 0, 960], [0, focal, 540], [0, 0, 1]])
    turns = np.array([[[-1, 0, 0], [0, 0, -1], [0, -1, 0]], [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]])
    joints = np.full((2, frames, 17, 3), np.nan)
    points = np.full((2, 2, frames, 17, 2), np.nan)
    shift = np.array([[0.0, 1.0, 6.0]] * 2)
    for s in range(2):
        time = np.arange(frames)[:, None]
        body = moving_body(1, seed=0)[0, :17]
        # No turning: every joint moves evenly, so that half a frame later is known exactly.
        yaw = moving_yaw(body)
        body = body @ yaw.T
        path_m = np.array([0.004, 0.002, 0.0]) * (1 + s)
        for name in set(COCO17.joints) & set(H36M17.joints):
            joints[s, :, COCO17.index[name]] = body[H36M17.index[name]] + path_m * time
        for extra in ("left_ear", "right_ear", "nose"):
            joints[s, :, COCO17.index[extra]] = body[H36M17.index["neck_nose"]] + path_m * time
        for v in range(2):
            seen = joints[s] + offsets[v] * path_m
            cam = seen @ turns[v].T + shift[v]
            pixels = cam @ intrinsics.T
            points[s, v] = pixels[..., :2] / pixels[..., 2:] + ERROR_PX
    if hide:
        joints[:, 30:40, COCO17.index["left_knee"]] = np.nan
    score = np.full((2, 2, frames, 17), 1.02, np.float16)
    in_range = np.ones((2, 2, frames), bool)
    in_range[0, 1, :20] = False
    np.savez(
        path,
        keypoints_px=points.astype(np.float32),
        score=score,
        joints_world_m=joints.astype(np.float32),
        time_offset_frames=np.array([offsets] * 2, np.float32),
        K=np.repeat(intrinsics[None], 2, 0),
        R=turns.astype(float),
        t=shift,
        in_range=in_range,
        split=np.array(["fit", "val"]),
        fps=59.94,
    )
    return path


def moving_yaw(body):
    """Returns the rotation about Z that makes ``(17, 3)`` face +y (its left at -x)."""
    across = body[H36M17.index["left_hip"]] - body[H36M17.index["right_hip"]]
    angle = np.pi - np.arctan2(across[1], across[0])
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def write_npz(path, frames=120, *, unit=1.0, up="z", fps=30.0, seed=0, drop=()):
    """A moving body as an NPZ of named joints, in any unit, with any axis up."""
    body = moving_body(frames, fps=fps, seed=seed)
    if up == "y":
        body = np.stack([body[..., 0], body[..., 2], -body[..., 1]], -1)
    keep = [i for i, n in enumerate(MOCAP_JOINTS) if n not in drop]
    names = np.array([MOCAP_JOINTS[i] for i in keep])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, positions=body[:, keep] / unit, joint_names=names, fps=fps)
    return path


def change(path, **arrays):
    """Writes an NPZ file again with other arrays; None takes one away."""
    with np.load(path) as z:
        data = {**z, **arrays}
    np.savez(path, **{k: v for k, v in data.items() if v is not None})
    return path
