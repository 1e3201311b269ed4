"""The command line: one file per group of commands; parse, call, print, no maths.

Nothing heavy is imported before a command runs, so that ``pose3d --help`` is quick.
"""

from __future__ import annotations

import io
import sys

import typer

from pose3d.cli import (
    angles,
    batch,
    bench,
    data,
    evaluate,
    experiment,
    export,
    inspect,
    lift,
    live,
    models,
    render,
    run,
    storyboard,
    train,
    view,
    weights,
)
from pose3d.cli.edge import add_command
from pose3d.version import __version__

app = typer.Typer(
    name="pose3d",
    help="Video in, 3D human motion out.\n\nExample: pose3d run walk.mp4",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pose3d {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and stop.",
        is_eager=True,
        callback=_print_version,
    ),
) -> None:
    pass


add_command(app, "run", run.run)
app.add_typer(batch.app, name="batch")
add_command(app, "live", live.live)
add_command(app, "lift", lift.lift)
add_command(app, "render", render.render)
add_command(app, "export", export.export, export.ExportCommand)
add_command(app, "angles", angles.angles)
add_command(app, "view", view.view)
add_command(app, "storyboard", storyboard.storyboard)
add_command(app, "models", models.models)
app.add_typer(weights.app, name="weights")
add_command(app, "doctor", models.doctor)
app.add_typer(bench.app, name="bench")
add_command(app, "train", train.train)
add_command(app, "experiment", experiment.experiment)
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(inspect.app, name="inspect")


def main() -> None:
    """Runs the command line; the console script ``pose3d``."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal's encoding lacks must not end a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="pose3d")
