"""What a training run of a 2D network is made of: data, network, augmentation. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from pose3d.errors import UsageError, unknown_name
from pose3d.networks2d.tokenpose.options import TokenPoseOptions

ROTATIONS = ("normal", "uniform")

# What training reads of each data set.
FILES = {
    "coco": ("annotations/person_keypoints_train2017.json", "train2017/"),
    "mpii": ("annot/train.json", "images/"),
    "lsp": ("joints.mat", "images/"),
    "lsp-extended": ("joints.mat", "images/"),
    "lspet": ("lspet.npz",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """How crops of people are varied."""

    rotation_deg: float = 45.0  # deviation (at most twice as much), or greatest
    rotation: str = "normal"  # or ``uniform``
    rotation_share: float = 0.6  # of the crops that are turned at all
    scale: float = 0.35  # deviation of the box's factor, which ends at 1 -+ ``scale``
    shift: float = 0.0  # greatest, in widths and heights of the box
    flip: float = 0.5  # share of mirrored crops
    half_body: float = 0.3  # share of people cut down to their upper or lower half
    half_body_joints: int = 8  # who have more labelled joints than this
    erase: float = 0.0  # share of crops with an occluder of one colour
    erase_area: tuple[float, float] = (0.02, 0.15)  # of the crop that it covers
    colour: float = 0.0  # 0.2: brightness, contrast and saturation times 0.8 to 1.2

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS:
            raise unknown_name("kind of rotation", self.rotation, ROTATIONS)


NO_AUGMENTATION = AugmentOptions(rotation_share=0.0, scale=0.0, flip=0.0, half_body=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleOptions:
    """What a 2D network is trained on, and what it is."""

    dataset: str  # in ``pose3d.lab.datasets.people.table.DATASETS``
    network: TokenPoseOptions
    val_split: str | None = None  # chooses the best weights; None: see ``hold_out``
    hold_out: int = 50  # every n-th training picture instead; 0: the last weights are kept
    val_people: int = 1000  # at most, evenly spaced
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    guide: float = 0.0  # weight of the loss of people_task.patch_loss; 0: none
    guide_after: int = 2  # layer, from 0, whose patches are asked

    def __post_init__(self) -> None:
        removed_at = self.network.remove.at[0] if self.network.remove else self.network.depth
        if self.guide and not 0 <= self.guide_after < min(removed_at, self.network.depth):
            raise UsageError(
                f"guide_after is layer {self.guide_after}: the network has {self.network.depth} layers "
                f"and removes patches from layer {removed_at} on",
                "Give an earlier layer",
            )

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are read."""
        return FILES[self.dataset]
