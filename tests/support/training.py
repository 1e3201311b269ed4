"""What tests of the training share: small motion and track files in the layout of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose3d.body.skeletons import BLAZEPOSE33, H36M17
from pose3d.lab.datasets.motions import MOCAP_JOINTS
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.tasks import make_task
from pose3d.lift.hourglass import HourglassOptions

_STANDING = {  # metres; x away from the middle, y forward, z up
    "pelvis": (0, 0, 0.95),
    "hip": (0.09, 0, 0.95),
    "knee": (0.1, 0.02, 0.52),
    "ankle": (0.1, 0, 0.09),
    "spine": (0, 0, 1.18),
    "thorax": (0, 0, 1.42),
    "nose": (0, 0.11, 1.6),
    "head_top": (0, 0, 1.7),
    "shoulder": (0.18, 0, 1.4),
    "elbow": (0.22, 0, 1.12),
    "wrist": (0.24, 0.04, 0.88),
    "toe": (0.1, 0.15, 0.02),
    "heel": (0.1, -0.05, 0.02),
    "ear": (0.075, 0, 1.6),
}


def moving_body(frames: int, fps: float = 60.0, seed: int = 0) -> np.ndarray:
    """A person who walks in a circle, turns and swings every joint: ``(frame, 23, 3)`` metres, Z up."""
    rng = np.random.default_rng(seed)
    body = np.empty((23, 3))
    for i, name in enumerate(MOCAP_JOINTS):
        side, _, part = name.partition("_")
        sign = {"left": -1.0, "right": 1.0}.get(side, 1.0)  # who faces +y has the left at -x
        x, y, z = _STANDING[part if part in _STANDING and side in ("left", "right") else name]
        body[i] = (sign * x, y, z)
    time = np.arange(frames) / fps
    phase, pace = rng.uniform(0, 6, (23, 3)), rng.uniform(2, 6, (23, 3))
    swing = 0.06 * np.sin(time[:, None, None] * pace + phase)
    yaw = 0.8 * time + rng.uniform(0, 6)
    c, s = np.cos(yaw), np.sin(yaw)
    zero = np.zeros_like(c)
    turn = np.stack([c, -s, zero, s, c, zero, zero, zero, zero + 1], -1).reshape(-1, 3, 3)
    moved = np.einsum("fij,fnj->fni", turn, body + swing)
    return moved + np.stack([np.cos(0.5 * time), np.sin(0.5 * time), zero], -1)[:, None]


def write_motions(path: Path, *, lengths=(200, 150, 40), splits=None, names=None) -> Path:
    """Writes a motion file (layout: ``pose3d.lab.datasets.motions``)."""
    clips = [moving_body(n, seed=i) for i, n in enumerate(lengths)]
    n = len(clips)
    np.savez(
        path,
        positions_mm=(np.concatenate(clips) * 1000).round().astype(np.int16),
        starts=np.cumsum([0, *lengths]),
        fps=np.full(n, 60, np.float32),
        names=np.array(names or [f"{i:02d}_01" for i in range(n)]),
        subject=np.array([f"{i:02d}" for i in range(n)]),
        action=np.array(["walk"] * n),
        split=np.array(splits or ["train", "val", "train"]),
        joint_names=np.array(MOCAP_JOINTS),
    )
    return path


def write_tracks(path: Path, *, noise_px: float = 0.0, frames=(60, 70, 50)) -> Path:
    """Writes a track file (layout: ``samples/README.md``): fit, val and a half-seen clip."""
    rng = np.random.default_rng(0)
    size, focal = np.array([480, 270]), 400.0
    truth, pixels, marks, world = [], [], [], []
    for c, n in enumerate(frames):
        body = moving_body(n, fps=30.0, seed=10 + c)[:, :17]
        cam = np.stack([body[..., 0], 0.9 - body[..., 2], body[..., 1] + 4.0], -1)
        px = cam[..., :2] / cam[..., 2:] * focal + size / 2
        lm = np.repeat(px[:, 9:10], 33, 1)
        guess = np.repeat(cam[:, 9:10] - cam[:, :1], 33, 1)
        for name in set(BLAZEPOSE33.joints) & set(H36M17.joints):
            lm[:, BLAZEPOSE33.index[name]] = px[:, H36M17.index[name]]
            guess[:, BLAZEPOSE33.index[name]] = cam[:, H36M17.index[name]] - cam[:, 0]
        truth.append(cam)
        pixels.append(px)
        marks.append(lm + noise_px * rng.normal(size=lm.shape))
        world.append(guess)
    total, clips = sum(frames), len(frames)
    seen = np.ones(total, bool)
    seen[5:7] = False
    seen[-frames[-1] :: 2] = False
    lost = ~seen[:, None, None]
    across = np.concatenate(truth)[:, 4] - np.concatenate(truth)[:, 1]
    np.savez(
        path,
        lm_px=np.where(lost, np.nan, np.concatenate(marks)).astype(np.float32),
        visibility=np.where(seen[:, None], 0.9, 0.0).repeat(33, 1).astype(np.float16),
        world_m=np.where(lost, np.nan, np.concatenate(world)).astype(np.float16),
        detected=seen,
        joints_cam_m=np.concatenate(truth).astype(np.float32),
        joints_px=np.concatenate(pixels).astype(np.float32),
        heading=np.degrees(np.arctan2(across[:, 2], across[:, 0])).astype(np.float16),
        elevation_deg=np.repeat([-10.0, 10.0, 30.0], frames).astype(np.float16),
        starts=np.cumsum([0, *frames]).astype(np.int32),
        K=np.repeat(np.diag([focal, focal, 1.0])[None], clips, 0),
        size_wh=np.repeat(size[None], clips, 0),
        fps=np.full(clips, 30.0),
        name=np.array(["01_01", "02_01", "03_01"]),
        subject=np.array(["01", "02", "03"]),
        action=np.array(["walk"] * clips),
        split=np.array(["fit", "val", "fit"]),
        definition=np.array(["anatomical"] * clips),
    )
    return path


def tiny_recipe(**changes) -> Recipe:
    """A recipe that does a step in a hundredth of a second."""
    values = {
        "name": "mixste.tiny",
        "sizes": {"dim": 16, "depth": 3, "heads": 2, "drop_path": 0.3},
        "hourglass": HourglassOptions(keep=(4,), at=(1,), heads=2),
        "batches": BatchOptions(frames=9),
        "motion_files": ("motions.npz",),
        "track_file": "tracks.npz",
        "noise_file": None,
        "leave_out": (),
        "batch": 5,
        "steps": 10,
        "warm_up": 2,
        "validate_every": 4,
        **changes,
    }
    return Recipe(**values)


def save_random_weights(recipe: Recipe, path: Path, seed: int = 7) -> dict[str, Tensor]:
    """Writes random weights of a recipe; returns them."""
    torch.manual_seed(seed)
    task = make_task(recipe)
    state = task.build().state_dict()
    task.save(path, state, {})
    return state


def assert_resumes_to_the_bit(recipe: Recipe, folder: Path) -> None:
    """Trains on the data in ``folder`` at once, and with a break after two steps."""
    data = load_training_data(recipe, folder, "cpu")
    whole = Trainer(recipe, data, folder / "whole")
    whole.train()
    Trainer(recipe, data, folder / "cut").train(2)
    rest = Trainer(recipe, data, folder / "cut")
    rest.resume()
    rest.train()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name]), name
