"""What a training run of a 2D network is made of: data, network, augmentation. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from pose3d.errors import UsageError, unknown_name
from pose3d.networks2d.tokenpose.options import TokenPoseOptions

ROTATIONS = ("normal", "uniform")

FILES = {
    "coco": ("annotations/person_keypoints_train2017.json", "train2017/"),
    "mpii": ("annot/train.json", "images/"),
    "lsp": ("joints.mat", "images/"),
    "lsp-extended": ("joints.mat", "images/"),
    "lspet": ("lspet.npz",),
}
"""What training reads of each data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """How crops of people are varied.

    Args:
        rotation_deg: ``normal``: deviation of the angle, which ends at twice as much (HRNet);
            ``uniform``: greatest angle.
        rotation_share: of the crops that are turned at all.
        scale: deviation of the factor on the box; it ends at 1 -+ ``scale``.
        shift: greatest shift of the box along each axis, in widths and heights of it.
        flip: share of mirrored crops.
        half_body: share of the people with more than ``half_body_joints`` labelled joints who are cut
            down to their upper or lower half.
        erase: share of crops with a patch of one colour in front: an occluder.
        erase_area: least and greatest share of the crop that it covers.
        colour: greatest change of brightness, contrast and saturation; 0.2: factors 0.8 to 1.2.
    """

    rotation_deg: float = 45.0
    rotation: str = "normal"
    rotation_share: float = 0.6
    scale: float = 0.35
    shift: float = 0.0
    flip: float = 0.5
    half_body: float = 0.3
    half_body_joints: int = 8
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.15)
    colour: float = 0.0

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS:
            raise unknown_name("kind of rotation", self.rotation, ROTATIONS)


NO_AUGMENTATION = AugmentOptions(rotation_share=0.0, scale=0.0, flip=0.0, half_body=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleOptions:
    """What a 2D network is trained on, and what it is.

    Args:
        dataset: in :data:`pose3d.lab.datasets.people.table.DATASETS`.
        network: of the weights.
        val_split: chooses the best weights; None: every ``hold_out``-th picture of the training split
            instead (0: none, and the last weights are kept). Published test sets choose nothing.
        val_people: at most so many, evenly spaced.
        augment: how crops are varied.
        guide: weight of a second loss, which asks the patches themselves what is in them
            (:mod:`pose3d.lab.training.people_task`); 0: none.
        guide_after: layer, from 0, whose patches are asked.
    """

    dataset: str
    network: TokenPoseOptions
    val_split: str | None = None
    hold_out: int = 50
    val_people: int = 1000
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    guide: float = 0.0
    guide_after: int = 2

    def __post_init__(self) -> None:
        removed_at = self.network.remove.at[0] if self.network.remove else self.network.depth
        if self.guide and not 0 <= self.guide_after < min(removed_at, self.network.depth):
            raise UsageError(
                f"Patches cannot be asked after layer {self.guide_after}: the network has "
                f"{self.network.depth} layers and takes patches out from layer {removed_at} on",
                "Give an earlier layer",
            )

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are read."""
        return FILES[self.dataset]
