"""``pose3d evaluate people``: 2D estimators on photographs of labelled people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pose3d.cli.flags import flag, with_flags, with_options
from pose3d.cli.results import Json, check_out, show_clips, show_results, write_results
from pose3d.errors import UsageError
from pose3d.options import option

OWN_SPLIT = {"lsp": "test", "lspet": "test", "lsp-extended": "train"}
"""What is evaluated of data sets whose labels do not come with a split ``val``."""


@dataclass(frozen=True, kw_only=True)
class PeopleOptions:
    """Flags of ``pose3d evaluate people``."""

    data: Path | None = option(None, "Folder of the data set as published.", metavar="DIR")
    dataset: str = option("lspet", "coco, mpii, lsp, lsp-extended or lspet.", metavar="NAME")
    split: str | None = option(
        None, "Which people.", shown="test where its labels are public, else val, else all"
    )
    limit: int | None = option(None, "Only so many people, evenly spaced.", least=1)
    draws: int = option(2000, "Bootstrap draws of --compare.", least=1)
    out: Path | None = option(None, "Write the results as JSON.", metavar="FILE")


@with_flags("keypoints", "device", "offline", "threads")
@with_options(PeopleOptions)
def people(
    compare: Annotated[
        tuple[str, str] | None,
        flag(
            "Compare result files instead: A.json B.json, or several runs of each, separated "
            "by commas (A0.json,A1.json B0.json,B1.json).",
            metavar="A B",
        ),
    ] = None,
    as_json: Json = False,
    *,
    options: PeopleOptions,
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

    check_out(options.out)
    if compare is not None:
        ours, others = ([read_results(Path(p)) for p in side.split(",")] for side in compare)
        results, table = compare_runs(ours, others, draws=options.draws), comparison_table
    elif options.data is not None:
        results, table = _evaluate(options.data, options, given, quiet=as_json), people_table
    else:
        raise UsageError("No data folder was given", "Give --data DIR, or --compare A.json B.json")
    write_results(results, options.out)
    show_results(results, table, as_json)


def _evaluate(
    data: Path, options: PeopleOptions, given: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    import numpy as np

    from pose3d.cli.config import split_options
    from pose3d.lab.datasets.people.table import load_people
    from pose3d.lab.evaluation.people import evaluate_people
    from pose3d.networks2d.loading import make_keypoints

    chain, _, _ = split_options(given)
    split = options.split or OWN_SPLIT.get(options.dataset, "val")
    labelled = load_people(options.dataset, data, split)
    if options.limit is not None and options.limit < len(labelled):
        rows = np.linspace(0, len(labelled) - 1, options.limit).round().astype(int)
        labelled = labelled.take(rows)
    estimator = make_keypoints(
        chain.keypoints, device=chain.device, threads=chain.threads, offline=chain.offline
    )
    if not quiet:
        print(f"{estimator.info.name} on {estimator.info.device}, {estimator.info.licence}")
    with show_clips() as on_step:
        return evaluate_people(labelled, estimator, on_step=on_step)
