"""``pose3d experiment``: many training runs that differ in one thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pose3d.cli.flags import argument, flag
from pose3d.cli.train_run import Bf16, Device, Steps, Threads

if TYPE_CHECKING:
    from pose3d.lab.experiments.rows import Experiment

Name = Annotated[str | None, argument("Of an experiment. (default: list them)")]
Data = Annotated[
    Path | None,
    flag(
        "Folder with the files of its recipes. (default: train nothing, show what is done)",
        metavar="DIR",
    ),
]
Out = Annotated[
    Path | None, flag("Folder of its runs and experiment.json. (default: runs/NAME)", metavar="DIR")
]
Rows = Annotated[
    list[str] | None, flag("Only this row; may be repeated. (default: all)", metavar="ROW")
]
Seeds = Annotated[int | None, flag("At most so many runs of a row. (default: the row's)", min=1)]


def experiment(
    name: Name = None,
    data: Data = None,
    out: Out = None,
    row: Rows = None,
    seeds: Seeds = None,
    steps: Steps = None,
    device: Device = "auto",
    bf16: Bf16 = None,
    threads: Threads = None,
) -> None:
    """Train many networks that differ in one thing, and compare them.

    Runs that are done are kept, broken ones go on. Started twice, two processes share the runs.

    Example: pose3d experiment hourglass --data data --out runs/hourglass
    """
    from pose3d.errors import UsageError
    from pose3d.lab.experiments.table import get_experiment

    if name is None:
        _list_experiments()
        return
    chosen, folder, busy = get_experiment(name), out or Path("runs") / name, 0
    if data is not None:
        import torch

        from pose3d.cli.train_run import precision_note, stop_between_steps, use_bf16
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
            bf16=use_bf16(bf16, place),
        )
        print(f"{chosen.question} On {place} ({reason}){precision_note(options.bf16, place)}")
        with stop_between_steps() as asked:

            def after_step(_step: int) -> None:
                if asked.is_set():
                    raise KeyboardInterrupt

            busy = run_experiment(chosen, data, folder, options, _say, after_step)
    elif not folder.is_dir():
        raise UsageError(f"There is no folder {folder}", "Give --data to begin, or another --out")
    _report(chosen, folder)
    if busy:
        print(f"{busy} runs are left to other processes; ask again when they are done")


def _say(run: str, words: str) -> None:
    print(f"{run}: {words}", flush=True)


def _list_experiments() -> None:
    from pose3d.cli.tables import print_table
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
