"""``pose3d train``: lifters and 2D networks of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.flags import STRATEGY_FLAGS, with_flags

if TYPE_CHECKING:
    from pose3d.lab.training.recipe import Recipe


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
    from pose3d.cli.train_changes import (
        bind_to_sources,
        change,
        refuse_lifter_options,
        with_clips,
        with_crop,
        with_knees,
        with_motions,
        with_real_share,
        with_strategy,
        with_teachers,
        with_tracks,
    )
    from pose3d.cli.train_run import run_training
    from pose3d.errors import UsageError
    from pose3d.lab.training.recipes import get_recipe
    from pose3d.lab.training.tasks import lifter_options
    from pose3d.lab.training.teachers import check_teachers

    def choose() -> tuple[Recipe, list[str]]:
        chosen = change(
            get_recipe(recipe),
            steps=steps,
            batch=batch,
            seed=seed,
            learning_rate=learning_rate,
            start=start,
            keep_start=keep_start,
        )
        if straight_knees is not None:
            chosen = with_knees(chosen, straight_knees)
        chosen = with_crop(with_clips(chosen, hold_out, detections), crop)
        chosen = with_teachers(chosen, teacher, teacher_share)
        chosen, notes = bind_to_sources(chosen)
        if chosen.people is not None:
            refuse_lifter_options(chosen, given, motions)
        if given:
            chosen, said = with_strategy(chosen, given)
            notes += said
        if motions:
            chosen, said = with_motions(chosen, motions, has_data=data is not None)
            notes += said
        if tracks:
            chosen, said = with_tracks(chosen, tracks)
            notes += said
        if real_share is not None:
            chosen = with_real_share(chosen, real_share)
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
    from pose3d.lab.training.recipes import RECIPES

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
