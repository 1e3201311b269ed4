"""``pose3d batch``: what became of many clips."""

from __future__ import annotations

from typing import Annotated

import typer

from pose3d.cli.edge import add_command
from pose3d.cli.flags import argument, flag
from pose3d.cli.results import Json, print_table

app = typer.Typer(
    help="Look after many clips in one output folder, whichever machines work on them.\n\n"
    "Example: pose3d batch status out",
    no_args_is_help=True,
)

Output = Annotated[str, argument("Output folder of 'pose3d run'.", metavar="OUTPUT")]


def status(output: Output, as_json: Json = False) -> None:
    """Say which clips are done, failed (and why), running and left; renew OUTPUT/summary.csv.

    Example: pose3d batch status out
    """
    import json
    from dataclasses import asdict

    from pose3d.pipeline.batch.overview import STATUSES, write_summary
    from pose3d.stores.places import to_place

    rows = write_summary(to_place(output))
    counts = {name: sum(row.status == name for row in rows) for name in STATUSES}
    if as_json:
        print(json.dumps({**counts, "clips": [asdict(row) for row in rows]}, indent=1))
        return
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    told = [
        (row.clip, row.status, row.error) for row in rows if row.status in ("failed", "running")
    ]
    if told:
        print_table(("clip", "status", "why"), told)


def retry(
    output: Output,
    jobs: Annotated[int, flag("Clips worked on at once.", "--jobs", metavar="N")] = 1,
) -> None:
    """Work again on the clips that failed, with the options of their run.

    Example: pose3d batch retry out
    """
    from pose3d.cli.report import RunReport
    from pose3d.cli.run import exit_code
    from pose3d.pipeline.batch.clips import run_batch
    from pose3d.pipeline.batch.overview import failed_clips
    from pose3d.stores.places import to_place

    code = 0
    runs = failed_clips(to_place(output))
    if not runs:
        print("no clip has failed")
    for run in runs:
        with RunReport(run.sources, quiet=False, verbose=False) as report:
            outcomes = run_batch(run.sources, run.options, run.outputs, jobs=jobs, watcher=report)
        report.print_summary()
        code = max(code, exit_code(outcomes))
    raise typer.Exit(code)


add_command(app, "status", status)
add_command(app, "retry", retry)
