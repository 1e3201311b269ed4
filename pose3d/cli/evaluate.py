"""``pose3d evaluate``: figures against truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.edge import add_command, make_console
from pose3d.cli.flags import LIFTER_FLAGS, with_flags

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    help="Compare results with exact truth.\n\nExample: pose3d evaluate samples samples",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_3D_FLAGS = (
    "lifter",
    *LIFTER_FLAGS,
    "device",
    "offline",
    "smooth",
    "smooth_strength",
    "max_gap",
    "flip_test",
    "constant_bones",
)


@with_flags(*_3D_FLAGS, "detector", "keypoints", "detect_every", "threads")
def samples(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Clips NAME.mp4 with NAME.truth.npz.", show_default=False
        ),
    ],
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Run the whole chain on clips with exact 3D truth and print its errors.

    Beside each figure: that of the 2D network's own 3D guess on the same frames.

    Example: pose3d evaluate samples samples
    """
    from pose3d.cli.config import split_options
    from pose3d.evaluate.samples import evaluate_samples, samples_table

    options, _, _ = split_options(given)
    with _clips() as on_progress:
        results = evaluate_samples(folder, options, on_progress=on_progress)
    _print(results, samples_table, as_json)


@with_flags(*_3D_FLAGS)
def tracks(
    file: Annotated[
        Path,
        typer.Argument(help="Track file, e.g. rendered/tracks.npz.", show_default=False),
    ],
    split: Annotated[str, typer.Option(help="Which of its clips: fit or val.")] = "val",
    true_focal: Annotated[
        bool,
        typer.Option("--true-focal", help="Lift with the true focal length, not the assumed one."),
    ] = False,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Lift recorded detector tracks with truth and print the errors: fast, no 2D networks.

    Example: pose3d evaluate tracks data/rendered/tracks.npz
    """
    from pose3d.cli.config import split_options
    from pose3d.evaluate.tracks import evaluate_tracks, tracks_table
    from pose3d.lift import make_lifter_for

    options, _, _ = split_options(given)
    lifter = make_lifter_for(options)
    with _clips() as on_progress:
        results = evaluate_tracks(
            file, lifter, split, options=options, true_focal=true_focal, on_progress=on_progress
        )
    _print(results, tracks_table, as_json)


def _print(
    results: Mapping[str, Any], as_table: Callable[[Mapping[str, Any]], Table], as_json: bool
) -> None:
    import json

    if as_json:
        print(json.dumps(results, indent=1))
        return
    console = make_console()
    if not console.is_terminal:
        console.width = 400  # into a file or pipe nothing is broken or cut
    console.print(as_table(results))


@contextmanager
def _clips() -> Iterator[Callable[[str, int, int], None]]:
    """Shows a bar of clips on a terminal."""
    from rich.progress import Progress

    console = make_console()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task("", total=None)

        def move(name: str, done: int, total: int) -> None:
            bars.update(task, description=name, completed=done, total=total)

        yield move


add_command(app, "samples", samples)
add_command(app, "tracks", tracks)
