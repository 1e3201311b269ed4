"""``pose3d train``: lifters and 2D networks of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.flags import STRATEGY_FLAGS, with_flags

if TYPE_CHECKING:
    from pose3d.train.recipes import Recipe


@with_flags(*STRATEGY_FLAGS)
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="Name of a recipe. (default: list the recipes)", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with the recipe's files.",
            show_default=False,
        ),
    ] = None,
    motions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Motion file of 'pose3d data prepare' instead of the recipe's; may be repeated.",
            show_default=False,
        ),
    ] = None,
    tracks: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Track file of 'pose3d data film' that joins the recipe's real detector tracks; may "
            "be repeated.",
            show_default=False,
        ),
    ] = None,
    real_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of the windows that come from real detector tracks; more where there are more "
            "of them. (default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for checkpoints, weights and log. (default: runs/RECIPE)",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps. (default: the recipe's)", show_default=False),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Windows (or people) per step, of all processes. (default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="The greatest; less to begin with good weights. (default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of everything random. (default: the recipe's)", show_default=False
        ),
    ] = None,
    straight_knees: Annotated[
        bool | None,
        typer.Option(
            "--straight-knees/--no-straight-knees",
            help="Straighten the knees of recorded people who never stand straight, by one angle for "
            "each person. (default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Begin with these weights: a name or a .safetensors file. (default: random ones)",
            show_default=False,
        ),
    ] = None,
    keep_start: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="How much of the weights of --start stays in those that are validated and written: less "
            "is forgotten. (default: 0)",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Learn from the answers of these weights as well, named like --start; may be repeated: "
            "then from their mean.",
            show_default=False,
        ),
    ] = None,
    teacher_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="How much of what is learned are the answers of --teacher; the rest is the truth. "
            "(default: 0.8)",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16", help="bfloat16 autocast. (default: on a GPU)", show_default=False
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile, and on one GPU record the step: worth it on a GPU and long runs.",
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads of a process. (default: all cores, split between its processes)",
            show_default=False,
        ),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SUBJECT",
            help="Recipes on Human3.6M: validate on this training subject, and keep the epoch that "
            "is best on it. (default: train on all five and keep the last epoch)",
            show_default=False,
        ),
    ] = None,
    detections: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Recipes on Human3.6M: which 2D keypoints. (default: cpn_ft_h36m_dbb)",
            show_default=False,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Recipes on photographs: pixels of the crop, e.g. 192x192. (default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Stop and save after this time. (default: no limit)", show_default=False),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Train a lifter or a 2D network (tokenpose-*). Without a recipe: list the recipes.

    Ctrl-C saves a checkpoint; the same command with --resume goes on from it.

    Several GPUs: 'torchrun --standalone --nproc-per-node N -m -- pose3d train RECIPE ...' splits each
    step's batch between N processes, one GPU each.

    Example: pose3d train hot-mixste.free27 --data data --out runs/mine
    """
    if recipe is None:
        _list_recipes()
        return
    from pose3d.cli.train_run import run_training
    from pose3d.errors import UsageError
    from pose3d.train.recipes import get_recipe
    from pose3d.train.tasks import lifter_options
    from pose3d.train.teachers import check_teachers

    def choose() -> tuple[Recipe, list[str]]:
        chosen = _change(
            get_recipe(recipe),
            steps=steps,
            batch=batch,
            seed=seed,
            learning_rate=learning_rate,
            start=start,
            keep_start=keep_start,
        )
        if straight_knees is not None:
            chosen = _with_knees(chosen, straight_knees)
        chosen = _change_crop(_change_clips(chosen, hold_out, detections), crop)
        chosen = _with_teachers(chosen, teacher, teacher_share)
        notes = _describe_sources(chosen)
        if chosen.people is not None:
            _refuse_lifter_options(chosen, given, motions)
            notes.append(f"licence of the weights: {chosen.licence}")
        if given:
            chosen, said = _with_strategy(chosen, given)
            notes += said
        if motions:
            chosen, said = _with_motions(chosen, motions, with_tracks=data is not None)
            notes += said
        if tracks:
            chosen, said = _with_tracks(chosen, tracks)
            notes += said
        if real_share is not None:
            chosen = _with_real_share(chosen, real_share)
        if chosen.teachers:
            check_teachers(chosen.teachers, lifter_options(chosen))
        if data is None and not motions:
            raise UsageError(
                "No data folder was given", f"Give --data with {', '.join(chosen.files)}"
            )
        return chosen, notes

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
    from pose3d.cli.tables import print_table
    from pose3d.train.recipes import RECIPES

    rows = [
        (
            r.name,
            str(r.batches.frames),
            str(r.steps) if r.schedule is None else f"{r.schedule.epochs} epochs",
            str(r.batch),
            ", ".join(r.files),
        )
        for r in RECIPES.values()
        if r.people is None
    ]
    numbers = ("frames", "steps", "batch")
    print_table(("lifter", *numbers, "files below --data"), rows, right=numbers)
    print()
    people = [
        (
            r.name,
            "x".join(map(str, r.people.network.size_wh)),
            str(r.steps) if r.schedule is None else f"{r.schedule.epochs} epochs",
            str(r.batch),
            ", ".join(r.files),
        )
        for r in RECIPES.values()
        if r.people is not None
    ]
    numbers = ("crop", "steps", "batch")
    print_table(("2D network", *numbers, "files below --data"), people, right=numbers)


def _with_strategy(recipe: Recipe, given: dict[str, Any]) -> tuple[Recipe, list[str]]:
    """Returns the recipe with another pruning or recovery, and in what it differs."""
    from pose3d.lift.restructure import HourglassChange, describe_changes
    from pose3d.options import RunOptions
    from pose3d.train.recipes import vary_recipe

    varied = vary_recipe(recipe, HourglassChange.of(RunOptions(**given)))
    return varied, describe_changes(recipe.hourglass, varied.hourglass)


def _with_knees(recipe: Recipe, straight: bool) -> Recipe:
    """Returns the recipe with the knees of its motions straightened, or as recorded."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None:
        flag = f"--{'' if straight else 'no-'}straight-knees"
        raise UsageError(
            f"Recipe {recipe.name} trains on a published data set, and {flag} is about motion files",
            "Leave it out, or take another recipe",
        )
    return replace(recipe, straight_knees=straight)


def _with_motions(
    recipe: Recipe, files: list[Path], *, with_tracks: bool
) -> tuple[Recipe, list[str]]:
    """Returns the recipe with other motion files, and what has to be said about it."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None:
        raise UsageError(
            f"Recipe {recipe.name} trains on a published data set, not on motion files",
            "Leave --motions out, or take another recipe",
        )
    # Absolute, so that the data folder does not come before them.
    names = tuple(str(file.resolve()) for file in files)
    notes = [f"motions: {', '.join(map(str, files))}; the licence of the weights is yours to state"]
    if not with_tracks and recipe.track_file is not None:
        notes.append("no --data: no real detector tracks, made-up detector noise alone")
        recipe = replace(recipe, track_file=None)
    return replace(recipe, motion_files=names), notes


def _with_tracks(recipe: Recipe, files: list[Path]) -> tuple[Recipe, list[str]]:
    """Returns the recipe with more real tracks, and what has to be said about it."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None:
        raise UsageError(
            f"Recipe {recipe.name} trains on a published data set, not on detector tracks",
            "Leave --tracks out, or take another recipe",
        )
    if recipe.track_file is None:
        raise UsageError("--tracks join the recipe's own, which are below --data", "Give --data")
    notes = [f"more tracks: {', '.join(map(str, files))}"]
    return replace(recipe, more_tracks=tuple(str(file.resolve()) for file in files)), notes


def _with_real_share(recipe: Recipe, share: float) -> Recipe:
    """Returns the recipe with another share of windows from real tracks."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None or recipe.track_file is None:
        raise UsageError(
            f"There are no detector tracks here that recipe {recipe.name} could take --real-share of",
            "Leave it out, give --data, or take another recipe",
        )
    return replace(recipe, batches=replace(recipe.batches, real_share=share))


def _with_teachers(recipe: Recipe, names: list[str] | None, share: float | None) -> Recipe:
    """Returns the recipe with lifters that it learns from."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if not names:
        if share is not None:
            raise UsageError(
                "--teacher-share was given and no teacher", "Give --teacher, or leave it out"
            )
        return recipe
    if recipe.people is not None:
        raise UsageError(
            f"--teacher is an option of lifters, and {recipe.name} is a 2D network", "Leave it out"
        )
    share = recipe.teacher_share if share is None else share
    return replace(recipe, teachers=tuple(names), teacher_share=share)


def _describe_sources(recipe: Recipe) -> list[str]:
    """Returns what has to be said about weights that training begins with and learns from."""
    notes = []
    if recipe.start is not None:
        notes.append(f"begins with {_with_licence(recipe.start)} binds what comes out")
    notes += [f"taught by {_with_licence(name)} binds what comes out" for name in recipe.teachers]
    return notes


def _with_licence(name: str) -> str:
    """Returns the file of weights and its licence, as the beginning of a sentence."""
    import json

    from pose3d.train.start import find_start
    from pose3d.weights.network_files import read_tensors

    path = find_start(name)
    options = json.loads(read_tensors(path)[1].get("options", "{}"))
    return f"{path}; their licence ({options.get('licence') or 'not stated'})"


def _change(recipe: Recipe, **changes: float | str | None) -> Recipe:
    """Returns the recipe with those values that were given."""
    from dataclasses import replace

    return replace(recipe, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]


def _change_crop(recipe: Recipe, crop: str | None) -> Recipe:
    """Returns the recipe with crops of another size, given as ``192x256``."""
    from dataclasses import replace

    from pose3d.cli.files import parse_size
    from pose3d.errors import UsageError
    from pose3d.train.people import change_crop

    if crop is None:
        return recipe
    if recipe.people is None:
        raise UsageError(f"Recipe {recipe.name} has no crops", "Leave out --crop")
    size_wh = parse_size(crop, "--crop", "192x256")
    return replace(recipe, people=change_crop(recipe.people, size_wh))


def _refuse_lifter_options(
    recipe: Recipe, given: dict[str, Any], motions: list[Path] | None
) -> None:
    """Raises UsageError where options of lifters were given to a 2D network."""
    from pose3d.errors import UsageError

    if given or motions:
        flag = f"--{next(iter(given)).replace('_', '-')}" if given else "--motions"
        raise UsageError(
            f"{flag} is an option of lifters, and {recipe.name} is a 2D network",
            "Leave it out; its variants are recipes of their own",
        )


def _change_clips(recipe: Recipe, hold_out: list[str] | None, detections: str | None) -> Recipe:
    """Returns the recipe with other held-out subjects or detections."""
    from dataclasses import replace

    from pose3d.errors import UsageError, unknown_name

    if not hold_out and detections is None:
        return recipe
    if recipe.clips is None:
        raise UsageError(
            f"Recipe {recipe.name} does not train on Human3.6M",
            "Leave out --hold-out and --detections",
        )
    for subject in hold_out or ():
        if subject not in recipe.clips.subjects:
            raise unknown_name("training subject", subject, recipe.clips.subjects)
    clips = replace(
        recipe.clips,
        hold_out=tuple(hold_out or ()),
        detections=detections or recipe.clips.detections,
    )
    return replace(recipe, clips=clips)
