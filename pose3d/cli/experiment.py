"""``pose3d experiment``: many training runs that differ in one thing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pose3d.cli.flags import argument, with_options
from pose3d.cli.train_run import MachineOptions, precision_note, stop_between_steps, use_bf16
from pose3d.errors import UsageError
from pose3d.options import option

if TYPE_CHECKING:
    from pose3d.lab.experiments.rows import Experiment


@dataclass(frozen=True, kw_only=True)
class ExperimentFlags(MachineOptions):
    """Flags of ``pose3d experiment``."""

    data: Path | None = option(
        None,
        "Folder with the files of its recipes.",
        metavar="DIR",
        shown="train nothing, show what is done",
    )
    out: Path | None = option(
        None, "Folder of its runs and experiment.json.", metavar="DIR", shown="runs/NAME"
    )
    row: tuple[str, ...] = option((), "Only this row; may be repeated.", metavar="ROW", shown="all")
    seeds: int | None = option(
        None, "Runs of a row, at most.", shown="as many as the row has seeds", least=1
    )


@with_options(ExperimentFlags)
def experiment(
    name: Annotated[str | None, argument("Name of an experiment. (default: list them)")] = None,
    *,
    options: ExperimentFlags,
) -> None:
    """Train many networks that differ in one thing, and compare them.

    Finished runs are kept, interrupted ones go on. Several processes may share the runs.

    Example: pose3d experiment hourglass --data data --out runs/hourglass
    """
    from pose3d.lab.experiments.table import get_experiment

    if name is None:
        _list_experiments()
        return
    chosen, folder, busy = get_experiment(name), options.out or Path("runs") / name, 0
    if options.data is not None:
        busy = _run(chosen, options.data, folder, options)
    elif not folder.is_dir():
        raise UsageError(f"There is no folder {folder}", "Give --data to begin, or another --out")
    _report(chosen, folder)
    if busy:
        print(f"{busy} runs are left to other processes; ask again when they are done")


def _run(chosen: Experiment, data: Path, folder: Path, options: ExperimentFlags) -> int:
    """Trains what is not done; returns how many runs other processes work on."""
    import torch

    from pose3d.device import pick_device
    from pose3d.lab.experiments.run import ExperimentOptions, run_experiment

    place, reason = pick_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    wanted = ExperimentOptions(
        rows=options.row,
        seeds=options.seeds,
        steps=options.steps,
        device=place,
        bf16=use_bf16(options.bf16, place),
    )
    print(f"{chosen.question} On {place} ({reason}){precision_note(wanted.bf16, place)}")
    with stop_between_steps() as asked:

        def after_step(_step: int) -> None:
            if asked.is_set():
                raise KeyboardInterrupt

        return run_experiment(chosen, data, folder, wanted, _say, after_step)


def _say(run: str, words: str) -> None:
    print(f"{run}: {words}", flush=True)


def _list_experiments() -> None:
    from pose3d.cli.results import print_table
    from pose3d.lab.experiments.table import EXPERIMENTS

    lines = [
        (e.name, str(len(e.rows)), str(sum(r.seeds for r in e.rows)), e.question)
        for e in EXPERIMENTS.values()
    ]
    print_table(("experiment", "rows", "runs", "question"), lines, right=("rows", "runs"))


def _report(chosen: Experiment, folder: Path) -> None:
    """Prints the tables of the runs that are done, and writes them beside the runs."""
    from pose3d.cli.results import print_rich_table, write_results
    from pose3d.lab.experiments.report import group_tables, summarise
    from pose3d.lab.experiments.run import read_runs

    summary = summarise(chosen, read_runs(chosen, folder))
    for table in group_tables(summary, chosen):
        print_rich_table(table)
        print()
    start = summary["start"]
    if start is not None:
        figures = (f"{name} {value['mean']:.1f}" for name, value in start["figures"].items())
        print(f"All began with: {start['words']}, {start['steps']} steps ({', '.join(figures)})")
    write_results(summary, folder / "experiment.json")
    print(folder / "experiment.json")
