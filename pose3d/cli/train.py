"""``pose3d train``: lifters and 2D networks of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pose3d.cli.flags import argument, with_options
from pose3d.cli.train_run import TrainOptions, run_training

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pose3d.lab.training.recipe import Recipe


@with_options(TrainOptions)
def train(
    recipe: Annotated[str | None, argument("Name of a recipe. (default: list them)")] = None,
    *,
    options: TrainOptions,
) -> None:
    """Train a lifter or a 2D network (tokenpose-*). Without a recipe: list the recipes.

    Ctrl-C saves a checkpoint; the same command with --resume goes on from it.

    Several GPUs: 'torchrun --standalone --nproc-per-node N -m -- pose3d train RECIPE ...' splits each
    step's batch between N processes, one GPU each.

    Example: pose3d train hot-mixste.free27 --data data --out runs/mine --set batch=32
    """
    if recipe is None:
        _list_recipes()
    else:
        run_training(recipe, options)


def _list_recipes() -> None:
    from pose3d.lab.training.recipes import RECIPES

    _print_recipes("lifter", "frames", [r for r in RECIPES.values() if r.people is None])
    print()
    _print_recipes("2D network", "crop", [r for r in RECIPES.values() if r.people is not None])


def _print_recipes(kind: str, size: str, recipes: Iterable[Recipe]) -> None:
    from pose3d.cli.results import print_table

    rows = [
        (
            r.name,
            "x".join(map(str, r.people.network.size_wh)) if r.people else str(r.batches.frames),
            str(r.steps) if r.schedule is None else f"{r.schedule.epochs} epochs",
            str(r.batch),
            ", ".join(r.files),
        )
        for r in recipes
    ]
    numbers = (size, "steps", "batch")
    print_table((kind, *numbers, "files below --data"), rows, right=numbers)
