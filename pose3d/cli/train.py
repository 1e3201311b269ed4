"""``pose3d train``: lifters and 2D networks of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pose3d.cli.flags import argument, flag
from pose3d.cli.train_run import Bf16, Device, Steps, Threads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pose3d.lab.training.recipe import Recipe

RecipeName = Annotated[str | None, argument("Name of a recipe. (default: list the recipes)")]
Data = Annotated[Path | None, flag("Folder with the recipe's files.", metavar="DIR")]
Motions = Annotated[
    list[Path] | None,
    flag(
        "Motion file of 'pose3d data prepare' instead of the recipe's; may be repeated.",
        metavar="FILE",
    ),
]
Tracks = Annotated[
    list[Path] | None,
    flag(
        "Track file of 'pose3d data film' that joins the recipe's real detector tracks; may be repeated.",
        metavar="FILE",
    ),
]
Out = Annotated[
    Path | None,
    flag("Folder for checkpoints, weights and log. (default: runs/RECIPE)", metavar="DIR"),
]
Start = Annotated[
    str | None,
    flag(
        "Begin with these weights: a name or a .safetensors file. (default: random ones)",
        metavar="NAME",
    ),
]
Teacher = Annotated[
    list[str] | None,
    flag(
        "Knowledge distillation: learn from the answers of these weights as well, named like --start; "
        "may be repeated: then from their mean.",
        metavar="NAME",
    ),
]
Seed = Annotated[int | None, flag("Of everything random. (default: the recipe's)", min=0)]
Set = Annotated[
    list[str] | None,
    flag(
        "Change any field of the recipe; may be repeated. E.g. batch=32, learning_rate=3e-4, "
        "keep_start=0.75, teacher_share=0.5, batches.real_share=0.4, loss.aligned=1, sizes.dim=64, "
        "hourglass.keep=14,9, hourglass=none, straight_knees=false, clips.hold_out=S8, "
        "people.network.size_wh=96,128. A wrong name is answered with all names.",
        metavar="KEY=VALUE",
    ),
]
Resume = Annotated[bool, flag("Go on from the last checkpoint.", "--resume")]
Compile = Annotated[
    bool,
    flag("Compile, and on one GPU record the step: worth it on a GPU and long runs.", "--compile"),
]
MaxMinutes = Annotated[float | None, flag("Stop and save after this time. (default: no limit)")]


def train(
    recipe: RecipeName = None,
    data: Data = None,
    motions: Motions = None,
    tracks: Tracks = None,
    out: Out = None,
    device: Device = "auto",
    steps: Steps = None,
    seed: Seed = None,
    start: Start = None,
    teacher: Teacher = None,
    set: Set = None,
    resume: Resume = False,
    bf16: Bf16 = None,
    compile: Compile = False,
    threads: Threads = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train a lifter or a 2D network (tokenpose-*). Without a recipe: list the recipes.

    Ctrl-C saves a checkpoint; the same command with --resume goes on from it.

    Several GPUs: 'torchrun --standalone --nproc-per-node N -m -- pose3d train RECIPE ...' splits each
    step's batch between N processes, one GPU each.

    Example: pose3d train hot-mixste.free27 --data data --out runs/mine --set batch=32
    """
    if recipe is None:
        _list_recipes()
        return
    from pose3d.cli.train_run import run_training
    from pose3d.lab.training.settings import choose_recipe

    def choose() -> tuple[Recipe, list[str]]:
        return choose_recipe(
            recipe,
            set or (),
            has_data=data is not None,
            motions=motions or (),
            tracks=tracks or (),
            steps=steps,
            seed=seed,
            start=start,
            teachers=tuple(teacher or ()),
        )

    run_training(
        choose,
        data=data or Path(),
        folder=out or Path("runs") / recipe,
        wanted=device,
        resume=resume,
        bf16=bf16,
        compile_network=compile,
        threads=threads,
        max_minutes=max_minutes,
    )


def _list_recipes() -> None:
    from pose3d.lab.training.recipes import RECIPES

    _print_recipes("lifter", "frames", [r for r in RECIPES.values() if r.people is None])
    print()
    _print_recipes("2D network", "crop", [r for r in RECIPES.values() if r.people is not None])


def _print_recipes(kind: str, size: str, recipes: Iterable[Recipe]) -> None:
    from pose3d.cli.tables import print_table

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
