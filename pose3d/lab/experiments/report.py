"""What an experiment found: tables by group, and one JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from pose3d.errors import UsageError
from pose3d.lab.evaluation.tables import make_table
from pose3d.lab.experiments.rows import Experiment

if TYPE_CHECKING:
    from rich.table import Table

DIALECT = "pose3d-experiment"
VERSION = 1
DRAWS = 2000

Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # row -> its runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One column: ``of`` returns it from a run's result (None: not measured), shown with ``places``."""

    name: str
    unit: str
    of: Callable[[Mapping[str, Any]], float | None]
    places: int = 1


def _part(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda run: run["parts"][name]["procrustes_mm"] if name in run["parts"] else None


def _megaflops(run: Mapping[str, Any]) -> float:
    """Operations for one answer."""
    answers = 1 if run["seq2seq_per_s"] is None else run["frames"]
    return float(run["flops"]) / answers / 1e6


def _rate(run: Mapping[str, Any]) -> float:
    return float(run["seq2seq_per_s"] or run["seq2frame_per_s"])


ERRORS_3D = tuple(
    Figure(name=name, unit="mm", of=_part(name)) for name in ("mocap", "rendered", "aist")
)
COSTS_3D = (
    Figure(name="operations", unit="MFLOPs a frame", of=_megaflops, places=2),
    Figure(name="speed", unit="frames/s", of=_rate, places=0),
)
ERRORS_2D = (
    Figure(name="PCK@0.2", unit="%", of=lambda run: run["results"]["metrics"]["pck"]),
    Figure(name="OKS-AP", unit="%", of=lambda run: run["results"]["metrics"]["ap"]),
)


def figures_of(experiment: Experiment) -> tuple[Figure, ...]:
    """Returns the columns of an experiment."""
    return ERRORS_2D if experiment.is_2d else (*ERRORS_3D, *COSTS_3D)


def summarise(experiment: Experiment, runs: Runs, *, draws: int = DRAWS) -> dict[str, Any]:
    """Returns what was found, as JSON values; ``draws``: of the paired bootstrap of 2D experiments.

    ``rows``: row -> ``words``, ``runs`` (number), ``figures`` (name -> mean, sd, values) and, for
    2D networks but the first of a group, ``against``: its name, and PCK difference with 95 %
    interval. ``groups``, ``steps``, ``question``; ``start``: ``words``, ``steps`` and ``figures``,
    or None. UsageError: no run is done, or budgets, recipes or first weights differ.
    """
    start, runs = experiment.start, dict(runs)
    began = None if start is None else runs.pop(start.name, None)
    steps = _check_alike(runs)
    rows: dict[str, Any] = {
        name: {
            "words": experiment.row(name).words,
            "runs": len(done),
            "figures": _figures(experiment, done),
        }
        for name, done in runs.items()
    }
    if experiment.is_2d:
        for name, against in _compare_2d(experiment, runs, draws).items():
            rows[name]["against"] = against
    summary = {
        "dialect": DIALECT,
        "version": VERSION,
        "experiment": experiment.name,
        "question": experiment.question,
        "steps": steps,
        "start": None,
        "groups": [[title, list(names)] for title, names in experiment.groups],
        "rows": rows,
    }
    if start is not None and began is not None:
        figures = _figures(experiment, began)
        summary["start"] = {"words": start.words, "steps": began[0]["steps"], "figures": figures}
    return summary


def _check_alike(runs: Runs) -> int:
    """Returns the steps of all runs; UsageError: they cannot be compared."""
    if not runs:
        raise UsageError("No run of the experiment is done yet", "Give --data to begin")
    everything = [run for done in runs.values() for run in done]
    steps = {run["steps"] for run in everything}
    if len(steps) > 1:
        budgets = ", ".join(map(str, sorted(steps)))
        raise UsageError(f"Runs had {budgets} steps", "Give another --out for each budget")
    if len({run["start_sha256"] for run in everything}) > 1:
        raise UsageError("Runs began with different weights", "Give another --out")
    for name, done in runs.items():
        if len({run["recipe_sha256"] for run in done}) > 1:
            todo = "Remove the older ones, or give another --out"
            raise UsageError(f"Runs of {name} had different recipes", todo)
    return int(steps.pop())


def _figures(experiment: Experiment, done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns name -> mean, sd (None for one run), values."""
    found: dict[str, Any] = {}
    for figure in figures_of(experiment):
        if values := [value for run in done if (value := figure.of(run)) is not None]:
            spread = stdev(values) if len(values) > 1 else None
            found[figure.name] = {"mean": fmean(values), "sd": spread, "values": values}
    return found


def _compare_2d(experiment: Experiment, runs: Runs, draws: int) -> dict[str, dict[str, Any]]:
    """Compares each row with the first of its group on the same people."""
    from pose3d.lab.evaluation.people import compare_runs

    found: dict[str, dict[str, Any]] = {}
    for _, (first, *others) in experiment.groups:
        for name in others:
            if first in runs and name in runs:
                sides = [[run["results"] for run in runs[side]] for side in (name, first)]
                pck = compare_runs(*sides, draws=draws)["pck"]
                found[name] = {"row": first, **{k: pck[k] for k in ("difference", "low", "high")}}
    return found


def group_tables(summary: Mapping[str, Any], experiment: Experiment) -> list[Table]:
    """Returns one table for each group that has a run."""
    return [
        _group_table(summary, experiment, title, names)
        for title, names in experiment.groups
        if any(name in summary["rows"] for name in names)
    ]


def _group_table(
    summary: Mapping[str, Any], experiment: Experiment, title: str, names: Sequence[str]
) -> Table:
    figures = figures_of(experiment)
    heads = ["row", "", "runs", *(f"{figure.name}\n{figure.unit}" for figure in figures)]
    if experiment.is_2d:
        heads.append("against the first\npoints of PCK, 95 %")
    rows = []
    for name in names:
        row = summary["rows"].get(name, {"runs": 0, "figures": {}})
        cells = [_cell(row["figures"].get(figure.name), figure) for figure in figures]
        if experiment.is_2d:
            cells.append(_interval(row.get("against")))
        rows.append((name, experiment.row(name).words, str(row["runs"]), *cells))
    return make_table(title, heads, rows, left=2)


def _cell(value: Mapping[str, Any] | None, figure: Figure) -> str:
    if value is None:
        return "-"
    words = f"{value['mean']:.{figure.places}f}"
    known = value["sd"] is not None and figure.name not in {f.name for f in COSTS_3D}
    return f"{words} ± {value['sd']:.{figure.places}f}" if known else words


def _interval(against: Mapping[str, Any] | None) -> str:
    if against is None:
        return ""
    return f"{against['difference']:+.1f} ({against['low']:+.1f} to {against['high']:+.1f})"
