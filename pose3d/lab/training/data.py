"""What a recipe trains and validates on, read from its files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pose3d.lab.datasets.motions import Motions, load_motions
from pose3d.lab.datasets.multiview import load_multiview_bank
from pose3d.lab.datasets.noise import RealTracks, ResidualBank, load_tracks
from pose3d.lab.datasets.poses import PoseOptions
from pose3d.lab.evaluation.h36m import load_h36m
from pose3d.lab.training.batches import draw_batch
from pose3d.lab.training.clips import ClipData
from pose3d.lab.training.ranks import ALONE, Ranks
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.tasks import lifter_options, pick_frames
from pose3d.lift.hourglass import Hourglass
from pose3d.weights.finding import sha256_of

if TYPE_CHECKING:
    from pose3d.lab.training.people_data import PeopleData

VALIDATION_SEED = 20_000
VALIDATION_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Motions and tracks that a recipe trains and validates on, on the training device."""

    train: Motions
    val: Motions
    bank: ResidualBank | None  # errors of real detectors
    tracks: RealTracks | None  # real ones with truth
    ranks: Ranks = ALONE
    fingerprint: str = ""  # of the files; resuming with others is refused
    # drawn last: recipe and number of the draw, inputs, targets
    ahead: list[tuple[tuple[Recipe, int], Tensor, Tensor]] = field(default_factory=list, repr=False)

    def draw(self, recipe: Recipe, step: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws inputs and targets of one step, by ``rng`` alone or, ``ahead``, seed and step."""
        share = self.ranks.share(recipe.batch)
        if recipe.ahead == 1:
            return self._draw(share, recipe, rng)
        number, place = divmod(step, recipe.ahead)
        if not self.ahead or self.ahead[0][0] != (recipe, number):
            rng.manual_seed(self.ranks.seeds(recipe.seed, number)[0])
            inputs, target = self._draw(share * recipe.ahead, recipe, rng)
            # Windows of a kind lie side by side.
            order = torch.randperm(len(inputs), device=inputs.device, generator=rng)
            self.ahead[:] = [((recipe, number), inputs[order], target[order])]
        _, inputs, target = self.ahead[0]
        mine = slice(place * share, (place + 1) * share)
        return inputs[mine], target[mine]

    def _draw(self, n: int, recipe: Recipe, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        return draw_batch(
            n,
            recipe.batches,
            self.train,
            self.bank,
            self.tracks,
            rng,
            normalisation=recipe.normalisation,
            channels=lifter_options(recipe).sizes["channels_in"],
        )

    def validate(self, recipe: Recipe, network: Hourglass, device: str) -> float:
        """Returns the MPJPE in millimetres on fixed batches of ``val``, knees as in training.
        Where hypotheses alone are trained: of the nearest one of each window."""
        rng = torch.Generator(device).manual_seed(VALIDATION_SEED)
        held_out = TrainingData(train=self.val, val=self.val, bank=self.bank, tracks=None)
        batches = replace(recipe.batches, real_share=0.0, poses=PoseOptions())
        drawn = replace(recipe, batch=64, ahead=1, batches=batches)
        errors = []
        with torch.inference_mode():
            for step in range(VALIDATION_BATCHES):
                inputs, target = held_out.draw(drawn, step, rng)
                if recipe.train_only:  # the final pose stays what it is
                    _, others = network.forward_with_hypotheses(inputs)
                    assert others is not None
                    off = (others - target[:, :, None]).norm(dim=-1).mean((1, 3))
                    errors.append(off.amin(1).mean())
                    continue
                answer, kept = network.forward_with_index(inputs)
                if answer.shape[1] != target.shape[1]:  # without a recovery
                    target = pick_frames(target, kept)
                errors.append((answer - target).norm(dim=-1).mean())
        return float(torch.stack(errors).mean()) * 1000


def load_training_data(
    recipe: Recipe, data: Path, device: str, ranks: Ranks = ALONE
) -> TrainingData | ClipData | PeopleData:
    """Reads the files of a recipe below ``data``; DataError: one is missing or of another layout."""
    ranks.share(recipe.batch)
    if recipe.people is not None:
        from pose3d.lab.training.people_data import load_people_data

        return load_people_data(recipe, data, device, ranks)
    if recipe.clips is not None:
        clips = recipe.clips
        sequences = load_h36m(data, clips.subjects, detections=clips.detections)
        return ClipData(recipe, sequences, device, ranks)
    files = [data / name for name in recipe.motion_files]
    read = list(files)
    chosen: dict[str, Any] = {"leave_out": recipe.leave_out, "straighten": recipe.straight_knees}
    bank, tracks = None, None
    if recipe.track_file is not None:
        paths = [data / name for name in (recipe.track_file, *recipe.more_tracks)]
        read += paths
        loaded = [load_tracks(path, "fit", **chosen) for path in paths]
        banks = [one for one, _ in loaded]
        if recipe.noise_file is not None:
            read.append(data / recipe.noise_file)
            banks.append(load_multiview_bank(read[-1], "fit"))
        bank = ResidualBank.join(banks).to(device)
        tracks = RealTracks.join([one for _, one in loaded]).to(device)
    return TrainingData(
        train=load_motions(files, "train", **chosen).to(device),
        val=load_motions(files, "val", **chosen).to(device),
        bank=bank,
        tracks=tracks,
        ranks=ranks,
        fingerprint=" ".join(sha256_of(path) for path in read),
    )


def schedule_epochs(recipe: Recipe, data: TrainingData | ClipData | PeopleData) -> Recipe:
    """Returns the recipe with the steps that its epochs have, unless it says how many itself."""
    if recipe.schedule is None or isinstance(data, TrainingData):
        return recipe
    steps = data.steps_per_epoch
    return replace(
        recipe,
        steps=recipe.steps or recipe.schedule.epochs * steps,
        epoch_steps=steps,
        validate_every=steps,
    )
