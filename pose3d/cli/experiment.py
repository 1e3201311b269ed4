"""``pose3d experiment``: many training runs that differ in one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def experiment(
    name: Annotated[
        str | None,
        typer.Argument(help="Of an experiment. (default: list them)", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with the files of its recipes. (default: train nothing, show what is done)",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of its runs, experiment.json and experiment.png. (default: runs/NAME)",
            show_default=False,
        ),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW", help="Only this row; may be repeated. (default: all)", show_default=False
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many runs of a row. (default: the row's)", show_default=False
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Optimiser steps of a run. (default: the recipe's)", show_default=False
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16",
            help="Train in bfloat16 autocast. (default: on a GPU)",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads. (default: all cores)", show_default=False),
    ] = None,
) -> None:
    """Train many networks that differ in one thing, and compare them.

    Runs that are done are kept, broken ones go on. Started twice, two processes share the runs.

    Example: pose3d experiment hourglass --data data --out runs/hourglass
    """
    from pose3d.errors import UsageError
    from pose3d.lab.experiments.table import EXPERIMENTS, get_experiment

    if name is None:
        from pose3d.cli.tables import print_table

        lines = [
            (e.name, str(len(e.rows)), str(sum(r.seeds for r in e.rows)), e.question)
            for e in EXPERIMENTS.values()
        ]
        print_table(("experiment", "rows", "runs", "question"), lines, right=("rows", "runs"))
        return
    chosen = get_experiment(name)
    folder = out or Path("runs") / name
    if data is None and not folder.is_dir():
        raise UsageError(f"There is no folder {folder}", "Give --data to begin, or another --out")
    busy = 0
    if data is not None:
        import torch

        from pose3d.cli.train_run import stop_between_steps
        from pose3d.device import pick_device
        from pose3d.lab.experiments.run import ExperimentOptions, run_experiment

        place, reason = pick_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        options = ExperimentOptions(
            rows=tuple(row or ()),
            seeds=seeds,
            steps=steps,
            device=place,
            bf16=place.startswith("cuda") if bf16 is None else bf16,
        )
        print(f"{chosen.question} On {place} ({reason}){', bfloat16' if options.bf16 else ''}")
        with stop_between_steps() as asked:

            def after_step(_step: int) -> None:
                if asked.is_set():
                    raise KeyboardInterrupt

            busy = run_experiment(
                chosen,
                data,
                folder,
                options,
                on_run=lambda run, words: print(f"{run}: {words}", flush=True),
                on_step=after_step,
            )
    _report(name, folder)
    if busy:
        print(f"{busy} runs are left to other processes; ask again when they are done")


def _report(name: str, folder: Path) -> None:
    """Prints the tables of the runs that are done, and writes them beside the runs."""
    from pose3d.cli.results import print_rich_table, write_results
    from pose3d.lab.experiments.plot import draw_experiment
    from pose3d.lab.experiments.report import group_tables, summarise
    from pose3d.lab.experiments.run import read_runs
    from pose3d.lab.experiments.table import get_experiment

    chosen = get_experiment(name)
    summary = summarise(chosen, read_runs(chosen, folder))
    for table in group_tables(summary, chosen):
        print_rich_table(table)
        print()
    start = summary["start"]
    if start is not None:
        figures = (f"{name} {value['mean']:.1f}" for name, value in start["figures"].items())
        print(f"All began with: {start['words']}, {start['steps']} steps ({', '.join(figures)})")
    write_results(summary, folder / "experiment.json")
    draw_experiment(summary, chosen, folder / "experiment.png")
    print(f"{folder / 'experiment.json'}, {folder / 'experiment.png'}")
