"""``pose3d evaluate people``: 2D estimators on photographs of labelled people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pose3d.cli.flags import flag, with_flags
from pose3d.cli.results import Json, Out, check_out, show_clips, show_results, write_results
from pose3d.errors import UsageError

OWN_SPLIT = {"lsp": "test", "lspet": "test", "lsp-extended": "train"}
"""What is evaluated of data sets whose labels do not come with a split ``val``."""


@with_flags("keypoints", "device", "offline", "threads")
def people(
    data: Annotated[
        Path | None, flag("Folder of the data set as published.", "--data", metavar="DIR")
    ] = None,
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="coco, mpii, lsp, lsp-extended or lspet.")
    ] = "lspet",
    split: Annotated[
        str | None,
        flag("Which people. (default: test where its labels are public, else val, else all)"),
    ] = None,
    limit: Annotated[int | None, flag("Only so many people, evenly spaced.", min=1)] = None,
    compare: Annotated[
        tuple[str, str] | None,
        flag(
            "Compare result files instead: A.json B.json, or several runs of each, separated "
            "by commas (A0.json,A1.json B0.json,B1.json).",
            metavar="A B",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap draws of --compare.")] = 2000,
    out: Out = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Evaluate a 2D estimator on labelled people: OKS-AP, PCKh@0.5, PCK@0.2.

    The estimator looks at the labelled boxes. --compare tells whether two results differ: paired
    bootstrap over pictures and runs.

    Example: pose3d evaluate people --data data/lspet --keypoints tokenpose:best.safetensors
    """
    from pose3d.lab.evaluation.people import (
        compare_runs,
        comparison_table,
        people_table,
        read_results,
    )

    check_out(out)
    if compare is not None:
        ours, others = ([read_results(Path(p)) for p in side.split(",")] for side in compare)
        results, table = compare_runs(ours, others, draws=draws), comparison_table
    elif data is not None:
        results, table = _evaluate(dataset, data, split, limit, given, as_json), people_table
    else:
        raise UsageError("No data folder was given", "Give --data DIR, or --compare A.json B.json")
    write_results(results, out)
    show_results(results, table, as_json)


def _evaluate(
    dataset: str,
    data: Path,
    split: str | None,
    limit: int | None,
    given: dict[str, Any],
    quiet: bool,
) -> dict[str, Any]:
    import numpy as np

    from pose3d.cli.config import split_options
    from pose3d.lab.datasets.people.table import load_people
    from pose3d.lab.evaluation.people import evaluate_people
    from pose3d.networks2d.loading import make_keypoints

    options, _, _ = split_options(given)
    labelled = load_people(dataset, data, split or OWN_SPLIT.get(dataset, "val"))
    if limit is not None and limit < len(labelled):
        rows = np.linspace(0, len(labelled) - 1, limit).round().astype(int)
        labelled = labelled.take(rows)
    estimator = make_keypoints(
        options.keypoints, device=options.device, threads=options.threads, offline=options.offline
    )
    if not quiet:
        print(f"{estimator.info.name} on {estimator.info.device}, {estimator.info.licence}")
    with show_clips() as on_step:
        return evaluate_people(labelled, estimator, on_step=on_step)
