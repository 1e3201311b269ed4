"""Motions of people who were never trained on, filmed and detected by the training's generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose3d.body.geometry import ASSUMED_FOCAL
from pose3d.body.skeletons import H36M17
from pose3d.lab.datasets.cameras import LONG_SIDE_PX, CameraSetups, Shots, draw_shots, film
from pose3d.lab.datasets.motions import (
    MOCAP_JOINTS,
    STATURE_M,
    Motions,
    h36m_joints,
    load_motions,
    vary_bodies,
)
from pose3d.lab.datasets.noise import DETECTED, ResidualBank, draw_residuals, map_detected
from pose3d.lab.datasets.npz_files import read_arrays
from pose3d.lab.datasets.parametric import draw_parametric
from pose3d.lab.evaluation.compare import limb_columns, limb_joints
from pose3d.lab.evaluation.tracks import TruthClip, single_person

Array = NDArray[np.floating]

_DETECTED_COLUMNS = [MOCAP_JOINTS.index(n) for n in DETECTED]
CLIP_S = 4.0
RATE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Pieces of motion of one length and rate: ``(piece, frame, 23, 3)``, Z up, and of what."""

    joints_world_m: Tensor
    names: tuple[str, ...]
    actions: tuple[str, ...]


def cut_pieces(path: Path, *, seconds: float, rate: float, most: int | None, seed: int) -> Pieces:
    """Cuts the clips of the test split of a motion file into pieces and chooses ``most`` of them.

    Every recording is chosen about equally often; what is left over at the end of a clip is dropped.
    """
    motions = load_motions([path], "test")
    layout = {"names": "text clip", "action": "text clip"}
    words = read_arrays(path, "motion file", "Check --data", layout)
    action_of = dict(zip(words["names"].tolist(), words["action"].tolist(), strict=True))
    starts = motions.starts.tolist()
    where = []  # turn within the recording, clip, first second
    rng = np.random.default_rng(seed)
    for clip, name in enumerate(motions.names):
        length_s = (starts[clip + 1] - starts[clip] - 1) / float(motions.fps[clip])
        begins = np.arange(int(length_s / seconds)) * seconds
        if not len(begins) and most is not None:
            continue
        for turn, begin in enumerate(rng.permutation(begins)):
            where.append((turn, clip, float(begin), name))
    order = rng.permutation(len(where))
    # First pieces of all recordings come before second ones: no long recording fills the test.
    chosen = sorted((where[i] for i in order), key=lambda w: w[0])[:most]
    chosen.sort(key=lambda w: (w[1], w[2]))
    parts = [_sample(motions, clip, begin, seconds, rate) for _, clip, begin, _ in chosen]
    names = tuple(name for *_, name in chosen)
    actions = tuple(action_of[name] for name in names)
    return Pieces(joints_world_m=torch.stack(parts), names=names, actions=actions)


def _sample(motions: Motions, clip: int, begin_s: float, seconds: float, rate: float) -> Tensor:
    """Returns ``(frame, 23, 3)`` of one clip at another rate, by straight lines between frames."""
    first, last = int(motions.starts[clip]), int(motions.starts[clip + 1])
    time = (begin_s + torch.arange(round(seconds * rate)) / rate) * float(motions.fps[clip])
    low = time.floor().long().clamp(max=last - first - 2)
    part = (time - low)[:, None, None]
    a, b = motions.joints_world_m[first + low], motions.joints_world_m[first + low + 1]
    return a + (b - a) * part


def generate_clips(
    pieces: Pieces, rate: float, bank: ResidualBank | None, seed: int
) -> list[TruthClip]:
    """Films pieces as training does: bodies, cameras and noise drawn.

    The noise is parametric; with ``bank`` that of a real detector for every other piece.
    """
    rng = torch.Generator().manual_seed(seed)
    world = vary_bodies(pieces.joints_world_m, rng)
    shots = draw_shots(world, rng)
    points, score = _detect(shots, rate, rng)
    if bank is not None:
        rates = torch.full((len(world),), rate)
        true_px = shots.points_px[:, :, _DETECTED_COLUMNS]
        theirs = draw_residuals(true_px, shots.size_wh, shots.heading_rad, rates, bank, rng)
        points[1::2], score[1::2] = theirs[0][1::2], theirs[1][1::2]
    return _as_clips(pieces, shots, points, score, rate)


LEAST_IN_PICTURE = 4  # limb joints; with fewer a frame does not count


def _detect(shots: Shots, rate: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    rates = torch.full((len(shots.points_px),), rate)
    points = shots.points_px[:, :, _DETECTED_COLUMNS]
    return draw_parametric(points, shots.size_wh, shots.heading_rad, rates, rng)


def _as_clips(
    pieces: Pieces, shots: Shots, points: Tensor, score: Tensor, rate: float
) -> list[TruthClip]:
    mapped, mapped_score = map_detected(points, score)
    edge = shots.size_wh[:, None, None]
    limbs_px = shots.points_px[:, :, limb_columns(H36M17)]
    inside = ((limbs_px > 0) & (limbs_px < edge)).all(-1).sum(-1) >= LEAST_IN_PICTURE
    joints = h36m_joints(shots.joints_cam_m).double().numpy()
    elevations = torch.rad2deg(shots.elevation_rad).tolist()
    clips = []
    for i, name in enumerate(pieces.names):
        w, h = (round(side) for side in shots.size_wh[i].tolist())
        found = mapped[i].numpy(), mapped_score[i].numpy()
        clips.append(
            TruthClip(
                name=name,
                action=pieces.actions[i],
                pose=single_person(name, *found, H36M17, (w, h), rate),
                truth_m=limb_joints(joints[i], H36M17),
                used=inside[i].numpy(),
                elevation_deg=np.full(points.shape[1], elevations[i]),
            )
        )
    return clips


# -- robustness --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a robustness row is filmed like; everything else is the same in every row."""

    portrait: bool = False  # the same phone turned upright
    rate: float = 30.0
    edge: bool = False  # at the left or right edge, not in the centre
    height: float = 0.6  # of the person over the picture's


# what must not matter: axis -> name of the row -> view
AXES: Mapping[str, Mapping[str, View]] = {
    "framing": {"landscape": View(), "portrait": View(portrait=True)},
    "rate": {"25 fps": View(rate=25.0), "60 fps": View(rate=60.0)},
    "place": {"centre": View(), "edge": View(edge=True)},
    "height": {
        "0.25 of the frame": View(height=0.25),
        "0.6 of the frame": View(),
        "0.9 of the frame": View(height=0.9),
    },
}

EDGE_PLACE = 0.35  # of the person's middle from the picture's, over its width
ELEVATION_DEG = 8.0


def film_view(path: Path, view: View, *, seconds: float, most: int, seed: int) -> list[TruthClip]:
    """Films the same test motions as seen in ``view``: same bodies, same sides, same noise.

    The camera is a phone's, stands still, slightly above. Noise is in units of the person's size.
    """
    pieces = cut_pieces(path, seconds=seconds, rate=view.rate, most=most, seed=seed)
    n = len(pieces.names)
    world = vary_bodies(pieces.joints_world_m, torch.Generator().manual_seed(seed))
    side = torch.Generator().manual_seed(seed + 1)
    yaw = (2 * torch.rand(n, generator=side) - 1) * torch.pi
    short = LONG_SIDE_PX * 9 / 16
    size = (short, LONG_SIDE_PX) if view.portrait else (LONG_SIDE_PX, short)
    focal = torch.full((n,), ASSUMED_FOCAL * LONG_SIDE_PX)
    place = torch.zeros(n, 2)
    if view.edge:
        place[:, 0] = EDGE_PLACE * (1 - 2 * (torch.arange(n) % 2))
    setups = CameraSetups(
        size_wh=torch.tensor(size).expand(n, 2),
        focal_px=focal,
        distance_m=STATURE_M * focal / (size[1] * view.height),
        yaw_rad=yaw,
        elevation_rad=torch.full((n,), float(np.radians(ELEVATION_DEG))),
        roll_rad=torch.zeros(n),
        place=place,
    )
    shots = film(world, setups)
    noise = torch.Generator().manual_seed(seed + 2)
    points, score = _detect(shots, view.rate, noise)
    # All frames count: which people leave the picture must not change from row to row.
    clips = _as_clips(pieces, shots, points, score, view.rate)
    return [replace(clip, used=np.ones_like(clip.used)) for clip in clips]
