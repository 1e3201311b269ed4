"""What a training recipe is: everything that decides what a training run yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from pose3d.body.mappings import MAPPINGS_TO_H36M
from pose3d.errors import UsageError, unknown_name
from pose3d.lab.evaluation.h36m import DETECTIONS, TRAIN_SUBJECTS
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.losses import LossWeights
from pose3d.lab.training.people import PeopleOptions
from pose3d.lift.hourglass import HourglassOptions

# The recordings behind ``samples/``: never trained on, so that the samples stay a test.
SAMPLE_TRIALS = ("26_01", "05_02", "29_01", "27_01", "13_30")

OPTIMISERS = ("adamw", "adamw-all", "adam", "adam-amsgrad", "muon")
INITIALS = ("wide", "normal", "torch")
FLIPS = ("both", "half", "none")
_SHARES = (
    "batches.residual_share",
    "batches.real_share",
    "batches.smooth_share",
    "batches.true_focal_share",
    "keep_start",
    "teacher_share",
)
_COUNTS = ("batch", "batches.frames", "ahead", "validate_every")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """What windows are cut from which recordings of Human3.6M."""

    subjects: tuple[str, ...] = TRAIN_SUBJECTS  # trained on
    hold_out: tuple[str, ...] = ()  # choose the best epoch instead; empty: the last counts
    detections: str = DETECTIONS  # part of the 2D file's name
    stride: int = 243  # frames between the starts of windows
    inside: bool = False  # the recording, where possible; else windows stick out equally
    flip: str = "both"  # or ``half`` (mirrored by chance) or ``none``

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UsageError(f"clips.stride is {self.stride}", "Give 1 or more")
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
    """A learning rate that falls from epoch to epoch, as in the published codes."""

    epochs: int
    decay: float  # factor after an epoch
    large_decay: float = 1.0  # instead of ``decay`` after every ``large_every``-th
    large_every: int = 0  # 0: never
    milestones: tuple[int, ...] = ()  # epochs, from 0
    milestone_decay: float = 0.1  # once more from each milestone on

    def factor(self, epoch: int) -> float:
        """Returns what the learning rate of an epoch (from 0) is multiplied by."""
        large = epoch // self.large_every if self.large_every else 0
        passed = sum(epoch >= m for m in self.milestones)
        steady = self.decay ** (epoch - large) * self.large_decay**large
        return float(steady * self.milestone_decay**passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run; UsageError: a name is unknown or a number impossible."""

    name: str  # ``arch.tag``, also of the weights
    backbone: str = "mixste"
    # of the network, without ``frames``; ``channels_in`` is 3 unless given
    sizes: Mapping[str, Any] = field(default_factory=dict)
    hourglass: HourglassOptions | None = None
    batches: BatchOptions = field(default_factory=BatchOptions)
    loss: LossWeights = field(default_factory=LossWeights)
    # below the data folder, as all files
    motion_files: tuple[str, ...] = ("mocap/cmu.npz", "mocap/accad.npz")
    track_file: str | None = "rendered/tracks.npz"  # detector tracks with truth
    more_tracks: tuple[str, ...] = ()  # of the same kind
    # multi-view tracks whose errors join the residual bank
    noise_file: str | None = "aist/aist_break.npz"
    straight_knees: bool = False  # of people who never stand straight
    leave_out: tuple[str, ...] = SAMPLE_TRIALS  # recordings never used
    # Human3.6M instead of the above but ``frames`` and ``rate_range`` of ``batches``.
    clips: ClipOptions | None = None
    # photographs for a 2D network; of the above only ``name`` counts
    people: PeopleOptions | None = None
    normalisation: str = "person"  # or ``screen``
    mapping: str = "face"  # that the weights will ask for
    batch: int = 64  # windows (or people) a step, of all processes
    ahead: int = 1  # steps whose windows (of motions and tracks) are drawn together
    steps: int = 20_000  # 0: those of the epochs of ``schedule``
    schedule: EpochSchedule | None = None  # instead of warm-up and cosine decay
    epoch_steps: int = 0  # filled in once the data is read
    warm_up: int = 300  # steps; cosine decay to a hundredth follows
    learning_rate: float = 1e-3  # the greatest
    # or ``adamw-all`` (decays more than matrices), ``adam``, ``adam-amsgrad`` (decay nothing),
    # ``muon``
    optimiser: str = "adamw"
    weight_decay: float = 0.05
    start: str | None = None  # weights to begin with: a file or a name
    # parts of the network that learn; all else stays as in ``start``, which also says what the
    # network is and is given
    train_only: tuple[str, ...] = ()
    many_rates: bool = True  # the weights will also be asked at half the rate
    # share of ``start`` in what is validated and written (Wortsman et al., "Robust fine-tuning of
    # zero-shot models", CVPR 2022)
    keep_start: float = 0.0
    teachers: tuple[str, ...] = ()  # lifters to distil from, named like ``start``
    teacher_share: float = 0.8  # of their mean answer in the target
    initial: str = "wide"  # see optimisers.initialise
    ema: float = 0.999  # decay of the averaged weights that are saved; 0: none
    clip_norm: float = 1.0  # of the gradient; infinity: no limit
    seed: int = 0
    validate_every: int = 500  # steps
    licence: str = "Apache-2.0"

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("initialisation", self.initial, INITIALS),
            ("normalisation", self.normalisation, ("person", "screen")),
            ("mapping to H36M", self.mapping, MAPPINGS_TO_H36M),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        for name in _SHARES:
            if not 0 <= (share := attrgetter(name)(self)) <= 1:
                raise UsageError(f"{name} is {share}", "Give a share from 0 to 1")
        for name in _COUNTS:
            if attrgetter(name)(self) < 1:
                raise UsageError(f"{name} is below 1", "Give 1 or more")
        low, high = self.batches.rate_range
        if not 0 < low <= high:
            raise UsageError(
                f"batches.rate_range is {low:g} to {high:g}", "Give the lower one first, above 0"
            )
        if "frames" in self.sizes:
            raise UsageError("sizes.frames is set", "Set batches.frames instead")

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
