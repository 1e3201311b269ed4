"""Carrying a training run out: in one process or several, seen, stopped, and told what it yielded."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pose3d.cli.edge import INTERRUPTED
from pose3d.errors import UsageError
from pose3d.options import option

if TYPE_CHECKING:
    from pose3d.lab.training.clips import ClipData
    from pose3d.lab.training.data import TrainingData
    from pose3d.lab.training.loop import Trainer
    from pose3d.lab.training.people_data import PeopleData
    from pose3d.lab.training.ranks import Ranks
    from pose3d.lab.training.recipe import Recipe

    Data = TrainingData | ClipData | PeopleData


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """Flags of ``pose3d train`` and ``experiment``: how long and on what a network trains."""

    steps: int | None = option(None, "Optimiser steps of a run.", shown="the recipe's", least=1)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    bf16: bool | None = option(None, "bfloat16 autocast.", shown="on a GPU")
    threads: int | None = option(
        None, "CPU threads of a process.", shown="all cores, split between its processes", least=1
    )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(MachineOptions):
    """Flags of ``pose3d train``."""

    data: Path | None = option(None, "Folder with the recipe's files.", metavar="DIR")
    motions: tuple[Path, ...] = option(
        (),
        "Motion file of 'pose3d data prepare' instead of the recipe's; may be repeated.",
        metavar="FILE",
    )
    tracks: tuple[Path, ...] = option(
        (),
        "Track file of 'pose3d data film', beside the recipe's own tracks; may be repeated.",
        metavar="FILE",
    )
    out: Path | None = option(
        None, "Folder for checkpoints, weights and log.", metavar="DIR", shown="runs/RECIPE"
    )
    seed: int | None = option(None, "Seed of all random draws.", shown="the recipe's", least=0)
    start: str | None = option(
        None,
        "Begin with these weights: a name or a .safetensors file.",
        metavar="NAME",
        shown="random ones",
    )
    teacher: tuple[str, ...] = option(
        (),
        "Knowledge distillation: learn from the answers of these weights as well, named like --start; "
        "may be repeated: then from their mean.",
        metavar="NAME",
    )
    set: tuple[str, ...] = option(
        (),
        "Change any field of the recipe; may be repeated. E.g. batch=32, learning_rate=3e-4, "
        "keep_start=0.75, teacher_share=0.5, batches.real_share=0.4, loss.aligned=1, sizes.dim=64, "
        "hourglass.keep=14,9, hourglass=none, straight_knees=false, clips.hold_out=S8, "
        "people.network.size_wh=96,128. A wrong name is answered with all names.",
        metavar="KEY=VALUE",
    )
    resume: bool = option(False, "Go on from the last checkpoint.", one_way=True)
    compile: bool = option(
        False,
        "Compile, and on one GPU record the step: worth it on a GPU and long runs.",
        one_way=True,
    )
    max_minutes: float | None = option(None, "Stop and save after this time.", shown="no limit")


def run_training(name: str, options: TrainOptions) -> None:
    """Trains a recipe in as many processes as ``torchrun`` started."""
    from pose3d.lab.training.loop import Trainer
    from pose3d.lab.training.ranks import join_ranks
    from pose3d.lab.training.settings import choose_recipe

    folder = options.out or Path("runs") / name
    with join_ranks() as ranks, _heard_once(ranks):

        def prepare() -> tuple[Recipe, Data, str]:
            recipe, notes = choose_recipe(
                name,
                options.set,
                has_data=options.data is not None,
                motions=options.motions,
                tracks=options.tracks,
                steps=options.steps,
                seed=options.seed,
                start=options.start,
                teachers=options.teacher,
            )
            if (folder / "last.pt").exists() and not options.resume:
                raise UsageError(
                    f"{folder} holds a checkpoint already",
                    "Give --resume to go on, or another --out",
                )
            place, reason = _take_device(options.device, options.threads, ranks)
            if ranks.first:
                number = f", {ranks.world} processes" if ranks.world > 1 else ""
                kind = precision_note(use_bf16(options.bf16, place), place)
                print(f"recipe {recipe.name} on {place} ({reason}){number}{kind}")
                for note in notes:
                    print(f"  {note}")
            return *_read_data(recipe, options.data or Path(), place, ranks), place

        recipe, training_data, place = ranks.together(prepare)
        trainer = Trainer(
            recipe,
            training_data,
            folder,
            device=place,
            bf16=use_bf16(options.bf16, place),
            compile_network=options.compile,
            ranks=ranks,
        )
        if trainer.fresh and ranks.first and not options.resume:
            print(f"  starting fresh: {', '.join(trainer.fresh)}")
        if options.resume:
            ranks.together(trainer.resume)
            if ranks.first:
                print(f"resumed at step {trainer.step}")
        best = _train(trainer, ranks, options.max_minutes)
        if ranks.first:
            _say_result(trainer, best)


@contextmanager
def _heard_once(ranks: Ranks) -> Iterator[None]:
    """Keeps all processes but the first from saying what the first one says."""
    from pose3d.lab.training.ranks import PeerLostError, SharedError

    try:
        yield
    except (SharedError, PeerLostError) as error:
        if ranks.first:
            raise
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        if ranks.first:
            raise
        raise typer.Exit(INTERRUPTED) from error


def _take_device(wanted: str, threads: int | None, ranks: Ranks) -> tuple[str, str]:
    """Returns the device of this process and why; sets how many CPU threads it takes."""
    import torch

    from pose3d.lab.training.ranks import pick_rank_device, threads_of_rank

    place, reason = pick_rank_device(wanted, ranks)
    if place.startswith("cuda") and ranks.world > 1:
        torch.cuda.set_device(place)
    threads = threads or threads_of_rank(ranks)
    if threads is not None:
        torch.set_num_threads(threads)
    return place, reason


def use_bf16(asked: bool | None, place: str) -> bool:
    """Returns whether to train in bfloat16: as asked for, else on a GPU."""
    return place.startswith("cuda") if asked is None else asked


def precision_note(bf16: bool, place: str) -> str:
    """Returns what the first line says of the precision, and what to do if bfloat16 is emulated."""
    from pose3d.device import has_bf16

    if not bf16:
        return ""
    if place == "cpu" and not has_bf16(place):
        return ", bfloat16 (no instructions for it were found here: --no-bf16 may be many times faster)"
    return ", bfloat16"


def _read_data(recipe: Recipe, folder: Path, place: str, ranks: Ranks) -> tuple[Recipe, Data]:
    """Returns the recipe with the steps that its epochs have, and what it trains on."""
    from pose3d.lab.training.data import TrainingData, load_training_data, schedule_epochs

    data = load_training_data(recipe, folder, place, ranks)
    if recipe.straight_knees and isinstance(data, TrainingData) and ranks.first:
        print(f"  {_describe_knees(data)}")
    recipe = schedule_epochs(recipe, data)
    if recipe.schedule is not None and ranks.first:
        print(f"  {recipe.epoch_steps} steps an epoch, {recipe.steps} in all")
    return recipe, data


def _describe_knees(data: TrainingData) -> str:
    degrees = [d for motions in (data.train, data.val) for d in motions.knees_deg]
    changed = sum(d > 0 for d in degrees)
    if not changed:
        return "knees: all people stand straight, nothing changed"
    return (
        f"knees: straightened in {changed} of {len(degrees)} recordings, whose people never stand "
        f"straight, by up to {max(degrees):.0f} degrees (--set straight_knees=false: as recorded)"
    )


def _train(trainer: Trainer, ranks: Ranks, max_minutes: float | None) -> float:
    """Trains and shows how far it is; Ctrl-C saves and stops all processes after the same step."""
    from rich.progress import MofNCompleteColumn, Progress

    from pose3d.cli.edge import make_console

    total, console = trainer.recipe.steps, make_console()
    console.quiet = not ranks.first
    bars = Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=console,
        disable=console.quiet or not console.is_terminal,
        transient=True,
    )
    task = bars.add_task("training", total=total, completed=trainer.step)
    with bars, stop_between_steps(alone=ranks.world == 1, quiet=not ranks.first) as asked:

        def after_step(step: int) -> None:
            bars.update(task, completed=step)
            if ranks.any(asked.is_set()):
                # Here and not where it is caught: a second Ctrl-C leaves half a step behind.
                trainer.save()
                say(
                    f"Stopped at step {step} of {total}; saved {trainer.out / 'last.pt'}. "
                    "The same command with --resume goes on from there."
                )
                raise KeyboardInterrupt

        def say(text: str) -> None:
            console.print(text, markup=False)

        return trainer.train(
            on_log=lambda row: say(_describe_row(row)),
            on_step=after_step,
            max_seconds=None if max_minutes is None else 60 * max_minutes,
        )


def _describe_row(row: Mapping[str, float]) -> str:
    shown = {k: v for k, v in row.items() if k not in ("step", "seconds", "lr")}
    missed, mm = shown.pop("val_missed", None), shown.pop("val_mm", math.nan)
    figure = f"{mm:.1f} mm" if missed is None else f"PCK@0.2 {100 - missed:.1f}"
    if math.isnan(mm if missed is None else missed):
        figure = "not validated"
    terms = ", ".join(f"{k} {v:.4g}" for k, v in shown.items())
    return f"step {row['step']:.0f}: {figure} ({terms}), {row['seconds']:.0f} s"


def _say_result(trainer: Trainer, best: float) -> None:
    recipe, weights = trainer.recipe, trainer.out / "best.safetensors"
    if math.isnan(best):
        print(f"not validated: the weights of the last step, {weights}")
    elif recipe.people is not None:
        print(f"best: PCK@0.2 {100 - best:.1f} on held-out people, {weights}")
        print(f"use it: pose3d run VIDEO --keypoints tokenpose:{weights}")
    else:
        print(f"best: {best:.1f} mm on the validation clips, {weights}")
    if trainer.step < recipe.steps:
        print(f"{trainer.step} of {recipe.steps} steps are done; --resume goes on")


@contextmanager
def stop_between_steps(*, alone: bool = True, quiet: bool = False) -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into an event (half a step cannot be resumed); a second one stops.

    Several processes stop together: ``torchrun`` may pass a signal on twice, sends SIGTERM when one
    ends and kills those that have not ended after 30 seconds.
    """
    asked = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if asked.is_set() and alone:
            raise KeyboardInterrupt
        if not (asked.is_set() or quiet):
            again = "; press Ctrl-C again to stop now" if alone else ""
            print(f"pose3d: stopping after this step{again}", file=sys.stderr)
        asked.set()

    signals = [signal.SIGINT] if alone else [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
