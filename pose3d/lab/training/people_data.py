"""Labelled people as training material: which are drawn, their crops, how good a network is on others."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.people.labelled import LabelledPeople
from pose3d.lab.datasets.people.table import load_people
from pose3d.lab.evaluation.keypoint_scores import TORSO_SHARE, find_hits, share_of, torso_px
from pose3d.lab.training.people import NO_AUGMENTATION
from pose3d.lab.training.people_crops import (
    Crops,
    cover,
    draw_crops,
    gather_sources,
    normalise,
    recolour,
    sample_crops,
)
from pose3d.lab.training.ranks import ALONE, Ranks
from pose3d.networks2d.crops import crops_to_picture
from pose3d.networks2d.estimators.tokenpose import decode_answer

if TYPE_CHECKING:
    from pose3d.lab.training.recipe import Recipe

_READERS = 4  # threads that decode pictures
_VALIDATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class _Prepared:
    sources: Tensor
    matrices: Tensor
    points: Tensor
    rng: torch.Generator


class PeopleData:
    """What a recipe with ``people`` trains and validates on; ``ignored`` people are left out.

    DataError: fewer people than a batch has. UsageError: another skeleton than the labels.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: LabelledPeople,
        val: LabelledPeople | None,
        device: str,
        ranks: Ranks = ALONE,
    ) -> None:
        assert recipe.people is not None
        self.options, self.batch, self.seed = recipe.people, recipe.batch, recipe.seed
        self.device, self.ranks = device, ranks
        theirs, ours = train.skeleton.name, self.options.network.skeleton
        if theirs != ours:
            raise UsageError(
                f"The labels have the skeleton {theirs}, the network {ours}",
                "Choose the recipe of this data set",
            )
        self.train = train.take(~train.ignored)
        self.val = None if val is None else val.take(~val.ignored)
        if len(self.train) < self.batch:
            raise DataError(
                f"{train.name} has {len(self.train)} labelled people, fewer than the {self.batch} of "
                "a step",
                "Give a smaller --set batch=, or more data",
            )
        self.steps_per_epoch = len(self.train) // self.batch  # those left over wait for the next
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="pose3d-pictures")
        self._next = ThreadPoolExecutor(1, thread_name_prefix="pose3d-step")
        self._ahead: tuple[int, Future[_Prepared]] | None = None
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    def rows_of(self, step: int) -> NDArray[np.int64]:
        """Returns the people of a step, of all processes: every one at most once an epoch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            rng = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
            self._epoch = (epoch, torch.randperm(len(self.train), generator=rng).numpy())
        return self._epoch[1][place * self.batch : (place + 1) * self.batch]

    def draw(
        self, recipe: Recipe, step: int, rng: torch.Generator
    ) -> tuple[Float[Tensor, "n 3 height width"], Float[Tensor, "n joint 3"]]:
        """Returns normalised crops and targets of this process' part of a step.

        Seed and ``step`` alone decide. Targets: see :func:`weigh_points`, pixels of the crop.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == step:
            prepared = ahead[1].result()
        else:
            prepared = self._prepare(self.rows_of(step), step)
        # On a GPU the next pictures are read while the network is busy with these.
        if self.device.startswith("cuda"):
            rows = self.rows_of(step + 1)
            self._ahead = (step + 1, self._next.submit(self._prepare, rows, step + 1))
        crops = sample_crops(
            prepared.sources.to(self.device),
            prepared.matrices.to(self.device),
            self.options.network.size_wh,
        )
        augment = self.options.augment
        crops = cover(recolour(crops, augment.colour, prepared.rng), augment, prepared.rng)
        return normalise(crops), weigh_points(prepared.points, self.options.network.size_wh).to(
            self.device
        )

    def _prepare(self, rows: NDArray[np.int64], step: int) -> _Prepared:
        rng = torch.Generator().manual_seed(self.ranks.seeds(self.seed, step)[0])
        people = self.train.take(self.ranks.part(rows))
        crops = draw_crops(people, self.options.augment, self.options.network.size_wh, rng)
        return self._read(people, crops, rng)

    def _read(self, people: LabelledPeople, crops: Crops, rng: torch.Generator) -> _Prepared:
        images = list(self._readers.map(people.images.read, people.image.tolist()))
        sources, matrices = gather_sources(images, crops.matrices, self.options.network.size_wh)
        return _Prepared(
            sources, torch.from_numpy(matrices), torch.from_numpy(crops.points_crop), rng
        )

    def validate(self, recipe: Recipe, network: nn.Module, device: str) -> float:
        """Returns the percentage of joints off by more than 0.2 torsos; NaN: there is no validation part."""
        if self.val is None or not len(self.val):
            return float("nan")
        rows = np.linspace(0, len(self.val) - 1, min(len(self.val), self.options.val_people))
        people = self.val.take(np.unique(rows.round().astype(int)))
        found = self.locate(people, network)
        reach = TORSO_SHARE * torso_px(people.keypoints_px, people.skeleton)
        return 100 - share_of(*find_hits(found, people.keypoints_px, reach))

    def locate(self, people: LabelledPeople, network: nn.Module) -> NDArray[np.float32]:
        """Returns where a network puts the keypoints of people, ``(n, joint, 2)`` px of the picture."""
        size_wh, rng = self.options.network.size_wh, torch.Generator().manual_seed(0)
        out = [np.zeros((0, len(people.skeleton), 2), np.float32)]
        for start in range(0, len(people), _VALIDATION_BATCH):
            part = people.take(np.arange(start, min(start + _VALIDATION_BATCH, len(people))))
            crops = draw_crops(part, NO_AUGMENTATION, size_wh, rng)
            prepared = self._read(part, crops, rng)
            images = sample_crops(
                prepared.sources.to(self.device), prepared.matrices.to(self.device), size_wh
            )
            with torch.inference_mode():
                answer = network(normalise(images))
            points, _ = decode_answer(answer, self.options.network)
            out.append(crops_to_picture(points, crops.matrices))
        return np.concatenate(out)


def weigh_points(
    points_crop: Float[Tensor, "n joint 2"], size_wh: tuple[int, int]
) -> Float[Tensor, "n joint 3"]:
    """Returns points with weights: 1 if labelled and inside the crop, else 0 0 0.

    Differs: HRNet trains on points up to three deviations outside of the crop too.
    """
    edge = torch.tensor(size_wh, dtype=points_crop.dtype) - 0.5
    inside = ((points_crop > -0.5) & (points_crop < edge)).all(-1)  # NaN is nowhere
    points = torch.where(inside[..., None], points_crop, 0.0)
    return torch.cat((points, inside[..., None].to(points.dtype)), -1)


def load_people_data(recipe: Recipe, folder: Path, device: str, ranks: Ranks = ALONE) -> PeopleData:
    """Reads the labels that a recipe with ``people`` trains and validates on."""
    options = recipe.people
    assert options is not None
    train = load_people(options.dataset, folder, "train")
    val = None
    if options.val_split is not None:
        val = load_people(options.dataset, folder, options.val_split)
    elif options.hold_out:
        held = train.image % options.hold_out == 0
        train, val = train.take(~held), train.take(held)
    return PeopleData(recipe, train, val, device, ranks)
