"""What a training recipe is: everything that decides what a training run yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pose3d.body.mappings import MAPPINGS_TO_H36M
from pose3d.errors import UsageError, unknown_name
from pose3d.lab.evaluation.h36m import DETECTIONS, TRAIN_SUBJECTS
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.losses import LossWeights
from pose3d.lab.training.people import PeopleOptions
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.normalise import NORMALISATIONS

SAMPLE_TRIALS = ("26_01", "05_02", "29_01", "27_01", "13_30")
"""The recordings behind ``samples/``: never trained on, so that the samples stay a test."""

OPTIMISERS = ("adamw", "adamw-all", "adam", "adam-amsgrad", "muon")
INITIALS = ("wide", "normal", "torch")
FLIPS = ("both", "half", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """What windows are cut from which recordings of Human3.6M.

    Args:
        subjects: trained on.
        hold_out: subjects among them that choose the best epoch instead; empty: the last epoch counts.
        detections: the part of the name of the 2D file.
        stride: frames between the starts of windows.
        inside: windows lie inside the recording if it is long enough; else they stick out equally on
            both sides and see its first and last frame repeated.
        flip: ``both`` (each window also mirrored, in every epoch), ``half`` (each mirrored by
            chance) or ``none``.
    """

    subjects: tuple[str, ...] = TRAIN_SUBJECTS
    hold_out: tuple[str, ...] = ()
    detections: str = DETECTIONS
    stride: int = 243
    inside: bool = False
    flip: str = "both"

    def __post_init__(self) -> None:
        if self.flip not in FLIPS:
            raise unknown_name("mirroring", self.flip, FLIPS)
        for subject in self.hold_out:
            if subject not in self.subjects:
                raise unknown_name("training subject", subject, self.subjects)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are read."""
        return ("data_3d_h36m.npz", f"data_2d_h36m_{self.detections}.npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSchedule:
    """A learning rate that falls from epoch to epoch, as in the published codes.

    Args:
        epochs: to train.
        decay: factor after an epoch.
        large_decay: factor instead of ``decay`` after every ``large_every``-th epoch (0: never).
        milestones: epochs (from 0) from which on ``milestone_decay`` counts once more.
    """

    epochs: int
    decay: float
    large_decay: float = 1.0
    large_every: int = 0
    milestones: tuple[int, ...] = ()
    milestone_decay: float = 0.1

    def factor(self, epoch: int) -> float:
        """Returns what the learning rate of an epoch (from 0) is multiplied by."""
        large = epoch // self.large_every if self.large_every else 0
        passed = sum(epoch >= m for m in self.milestones)
        steady = self.decay ** (epoch - large) * self.large_decay**large
        return float(steady * self.milestone_decay**passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run.

    Args:
        name: ``arch.tag``; the weights it yields carry it.
        backbone: name in the backbone table.
        sizes: the backbone's arguments (without ``frames`` and ``channels_in``).
        hourglass: pruning and recovery, or None for the plain backbone.
        motion_files: motion files below the data folder.
        track_file: detector tracks with truth below the data folder, or None.
        more_tracks: files of the same kind that join them.
        noise_file: multi-view detector tracks below the data folder whose errors join the residual
            bank, or None.
        straight_knees: straighten the knees of people who never stand straight
            (:mod:`pose3d.lab.datasets.knees`).
        leave_out: recordings never used.
        clips: windows of Human3.6M instead of motions, tracks and ``batches`` (whose ``frames`` and
            ``rate_range`` still say what the network is made for).
        people: photographs of people for a 2D network; then nothing above but ``name`` counts.
        normalisation: ``person`` or ``screen``.
        mapping: keypoint mapping that the weights will ask for.
        batch: windows (or people) per step, of all processes.
        ahead: steps whose windows are drawn together: a few hundred small kernels a draw, which a GPU
            waits for. Only motions and tracks are drawn so.
        steps: optimiser steps; 0: as many as the epochs of ``schedule`` need.
        schedule: epochs instead of warm-up and cosine decay.
        epoch_steps: steps of an epoch; filled in once the data is read.
        warm_up: steps of rising learning rate; cosine decay to a hundredth follows.
        learning_rate: the greatest.
        optimiser: ``adamw`` (decays matrices only), ``adamw-all`` (decays everything), ``adam`` or
            ``adam-amsgrad`` (decay nothing), or ``muon`` (for hidden matrices, the rest as ``adamw``).
        start: weights to begin with: a file or a name (:func:`pose3d.lab.training.start.find_start`).
        keep_start: weight interpolation: the share of the weights to begin with in those that are
            validated and written (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
        teachers: lifters to distil from (:mod:`pose3d.lab.training.teachers`); named like ``start``.
        teacher_share: how much of the target is their mean answer.
        initial: first weights otherwise, see :func:`pose3d.lab.training.optimisers.initialise`.
        ema: decay of the averaged weights that are saved; 0: the weights themselves.
        clip_norm: greatest norm of the gradient; infinity: none.
        validate_every: steps between validations.
        licence: SPDX identifier of the weights.

    Raises:
        UsageError: a name is unknown, a share not from 0 to 1, or a number 0 that cannot be.
    """

    name: str
    backbone: str = "mixste"
    sizes: Mapping[str, Any] = field(default_factory=dict)
    hourglass: HourglassOptions | None = None
    batches: BatchOptions = field(default_factory=BatchOptions)
    loss: LossWeights = field(default_factory=LossWeights)
    motion_files: tuple[str, ...] = ("mocap/cmu.npz", "mocap/accad.npz")
    track_file: str | None = "rendered/tracks.npz"
    more_tracks: tuple[str, ...] = ()
    noise_file: str | None = "aist/aist_break.npz"
    straight_knees: bool = False
    leave_out: tuple[str, ...] = SAMPLE_TRIALS
    clips: ClipOptions | None = None
    people: PeopleOptions | None = None
    normalisation: str = "person"
    mapping: str = "face"
    batch: int = 64
    ahead: int = 1
    steps: int = 20_000
    schedule: EpochSchedule | None = None
    epoch_steps: int = 0
    warm_up: int = 300
    learning_rate: float = 1e-3
    optimiser: str = "adamw"
    weight_decay: float = 0.05
    start: str | None = None
    keep_start: float = 0.0
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.8
    initial: str = "wide"
    ema: float = 0.999
    clip_norm: float = 1.0
    seed: int = 0
    validate_every: int = 500
    licence: str = "Apache-2.0"

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("initialisation", self.initial, INITIALS),
            ("normalisation", self.normalisation, NORMALISATIONS),
            ("mapping to H36M", self.mapping, MAPPINGS_TO_H36M),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        shares = {
            "batches.real_share": self.batches.real_share,
            "keep_start": self.keep_start,
            "teacher_share": self.teacher_share,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UsageError(f"{name} is {share}", "Give a share from 0 to 1")
        if min(self.batch, self.ahead, self.validate_every) < 1:
            raise UsageError(
                f"Recipe {self.name} has a batch, ahead or validate_every of 0", "Give 1 or more"
            )

    @property
    def source(self) -> str:
        """What it trains on: ``motions``, ``clips`` or ``people``."""
        return "people" if self.people else "clips" if self.clips else "motions"

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are read, below the data folder."""
        if self.people is not None:
            return self.people.files
        if self.clips is not None:
            return self.clips.files
        if self.track_file is None:
            return self.motion_files
        noise = () if self.noise_file is None else (self.noise_file,)
        return (*self.motion_files, self.track_file, *self.more_tracks, *noise)
