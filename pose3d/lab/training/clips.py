"""Training on recordings with 3D truth (Human3.6M): windows cut from them, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pose3d.errors import DataError
from pose3d.lab.datasets.sequences import LabelledSequence
from pose3d.lab.evaluation.protocol import place_windows
from pose3d.lab.training.batches import normalise
from pose3d.lab.training.ranks import ALONE, Ranks
from pose3d.lab.training.recipe import ClipOptions, Recipe
from pose3d.lab.training.tasks import lifter_options, pick_frames
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.lifter import mirror_joints


def cut_starts(length: int, frames: int, options: ClipOptions) -> np.ndarray:
    """Returns the first row of each training window; rows outside the recording are clamped.

    Reference: ``common/generator.py`` (stride 1) and ``common/generator_stride.py`` of HoT;
    ``split_clips`` in ``lib/utils/utils_data.py`` of MotionBERT (``inside``).
    Differs: MotionBERT stretches recordings shorter than a window; here their ends are repeated.
    """
    if options.inside and length >= frames:
        return np.arange(0, length - frames + 1, options.stride)
    if options.stride == 1:  # one window around every frame
        return np.arange(length) - (frames - 1) // 2
    return centred_starts(length, frames, options.stride)


def centred_starts(length: int, frames: int, stride: int) -> np.ndarray:
    """Returns the first rows of windows that stick out of a recording equally on both sides."""
    count = max(-(-(length - frames) // stride) + 1, 1)
    return np.arange(count) * stride - ((count - 1) * stride + frames - length) // 2


class Windows:
    """Windows of recordings on the training device; ``starts``: first rows in each recording."""

    def __init__(
        self,
        sequences: Sequence[LabelledSequence],
        starts: Sequence[np.ndarray],
        recipe: Recipe,
        device: str,
    ) -> None:
        sizes = lifter_options(recipe).sizes
        self.frames, self.channels = sizes["frames"], sizes["channels_in"]
        self.normalisation = recipe.normalisation
        mapped = [s.mapped("face") for s in sequences]
        lengths = np.array([len(s.valid) for s in sequences])
        self.points = torch.from_numpy(np.concatenate([p for p, _ in mapped])).to(device)
        self.score = torch.from_numpy(np.concatenate([c for _, c in mapped])).to(device)
        self.joints = torch.from_numpy(np.concatenate([s.relative_m for s in sequences])).to(device)
        self.size_wh = torch.tensor([s.size_wh for s in sequences], dtype=torch.float32).to(device)
        self.focal = torch.tensor([s.focal_px for s in sequences], dtype=torch.float32).to(device)
        self.offset = torch.from_numpy(np.cumsum([0, *lengths[:-1]])).to(device)
        self.length = torch.from_numpy(lengths).to(device)
        owner = np.repeat(np.arange(len(sequences)), [len(s) for s in starts])
        self.owner = torch.from_numpy(owner).to(device)
        self.start = torch.from_numpy(np.concatenate(starts)).to(device)

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
        """Returns windows by number ``(batch,)``, mirrored where ``flip``, ``(batch,)``, is True.

        Inputs ``(batch, frame, 17, channel)``, targets ``(batch, frame, 17, 3)``: metres, about the
        pelvis.
        """
        owner = self.owner[index]
        frame = torch.arange(self.frames, device=index.device)
        inside = (self.start[index][:, None] + frame).clamp(min=0)
        inside = torch.minimum(inside, self.length[owner][:, None] - 1)
        rows = inside + self.offset[owner][:, None]  # batch frame
        windows = self.points[rows], self.score[rows], self.joints[rows]
        cameras = self.size_wh[owner], self.focal[owner]
        inputs, joints = normalise(self.normalisation, *windows, *cameras)
        flip = flip[:, None, None, None]
        inputs = torch.where(flip, mirror_joints(inputs), inputs)
        joints = torch.where(flip, mirror_joints(joints), joints)
        return inputs[..., : self.channels], joints


class ClipData:
    """What a recipe with ``clips`` trains and validates on: all recordings of its subjects."""

    def __init__(
        self,
        recipe: Recipe,
        sequences: Sequence[LabelledSequence],
        device: str,
        ranks: Ranks = ALONE,
    ) -> None:
        assert recipe.clips is not None
        self.flip, self.batch, self.seed = recipe.clips.flip, recipe.batch, recipe.seed
        self.device, self.ranks = device, ranks
        train = [s for s in sequences if s.subject not in recipe.clips.hold_out]
        held = [s for s in sequences if s.subject in recipe.clips.hold_out]
        if not train:
            raise DataError("No subject is left to train on", "Hold out fewer")
        frames = lifter_options(recipe).sizes["frames"]
        starts = [cut_starts(len(s.valid), frames, recipe.clips) for s in train]
        self.windows = Windows(train, starts, recipe, device)
        self.held, self.counted = None, torch.empty(0)
        if held:
            placed = [place_windows(len(s.valid), frames) for s in held]
            starts = [centred_starts(len(s.valid), frames, frames) for s in held]
            self.held = Windows(held, starts, recipe, device)
            self.counted = torch.from_numpy(np.concatenate([f for _, f in placed])).to(device)
        windows = len(self.windows) * (2 if self.flip == "both" else 1)
        self._epoch_windows = windows - windows % ranks.world
        self.steps_per_epoch = -(-self._epoch_windows // self.batch)  # the last may be smaller
        self._epoch: tuple[int, Tensor, Tensor] | None = None

    def draw(self, recipe: Recipe, step: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns inputs and targets of this process' part of a step; ``step`` alone decides."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, *self._order(epoch))
        stop = min((place + 1) * self.batch, self._epoch_windows)
        part = self.ranks.part(torch.arange(place * self.batch, stop))
        _, index, flip = self._epoch
        return self.windows.take(index[part].to(self.device), flip[part].to(self.device))

    def _order(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Returns the windows of an epoch in random order, and which of them are mirrored."""
        rng = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
        n = len(self.windows)
        if self.flip == "both":
            order = torch.randperm(2 * n, generator=rng)
            return order % n, order >= n
        order = torch.randperm(n, generator=rng)
        if self.flip == "none":
            return order, torch.zeros(n, dtype=torch.bool)
        return order, torch.rand(n, generator=rng) < 0.5

    def validate(self, recipe: Recipe, network: Hourglass, device: str) -> float:
        """Returns the MPJPE on held-out subjects in millimetres, of answered frames; NaN: none held out."""
        if self.held is None:
            return float("nan")
        total, count = 0.0, 0
        everything = torch.arange(len(self.held), device=self.device)
        with torch.inference_mode():
            for index in everything.split(32):
                inputs, target = self.held.take(index, torch.zeros_like(index, dtype=torch.bool))
                joints, kept = network.forward_with_index(inputs)
                counted = self.counted[index]
                if joints.shape[1] != target.shape[1]:
                    target = pick_frames(target, kept)
                    counted = counted.gather(1, kept)
                joints = joints - joints[:, :, :1]
                errors = (joints.float() - target).norm(dim=-1).mean(-1)[counted]
                total, count = total + float(errors.sum()), count + len(errors)
        return 1000 * total / count
