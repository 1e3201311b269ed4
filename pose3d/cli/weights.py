"""``pose3d weights``: what is here, fetching, checking."""

from __future__ import annotations

from typing import Annotated

import typer

from pose3d.cli.edge import add_command

app = typer.Typer(
    help="Look at, fetch and check the weights of the networks.\n\n"
    "Example: pose3d weights download",
    no_args_is_help=True,
)
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help="Names of weights. (default: all)", show_default=False
    ),
]


def list_() -> None:
    """List all weights: where they come from, licence, size, and whether they are here.

    Example: pose3d weights list
    """
    from pose3d.cli.tables import print_table, size_in_words
    from pose3d.weights import list_weights, target_path

    rows = []
    for entry in list_weights():
        here = target_path(entry).is_file()
        rows.append(
            (
                entry.name,
                entry.kind,
                entry.licence,
                size_in_words(entry.size_bytes),
                "yes" if here else "no",
                entry.source,
            )
        )
    print_table(("name", "kind", "licence", "size", "here", "source"), rows)


def download(
    names: Names = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not use the network: only check what is here.")
    ] = False,
) -> None:
    """Fetch weights, so that later runs need no network.

    Example: pose3d weights download blazepose.detection
    """
    from pose3d.weights import fetch, list_weights

    for name in names or [entry.name for entry in list_weights()]:
        print(f"{name}: {fetch(name, offline=offline, on_progress=print)}")


def verify(names: Names = None) -> None:
    """Check the hashes of weights. Without names: of all that are here.

    Example: pose3d weights verify
    """
    from pose3d import weights
    from pose3d.cli.edge import print_error
    from pose3d.errors import WeightsError

    failed = False
    for entry in [weights.find_entry(n) for n in names] if names else weights.list_weights():
        here = weights.target_path(entry).is_file()
        if not here and not names and entry.kind == "wheel":
            print(f"{entry.name}: not here (fetched when needed)")
            continue
        try:
            weights.verify(entry.name)
        except WeightsError as error:
            failed = True
            print_error(error)
        else:
            stated = "ok" if entry.sha256 else "here, but nobody stated its hash"
            print(f"{entry.name}: {stated}")
    if failed:
        raise typer.Exit(1)


def path(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of weights. (default: the folder of fetched weights)", show_default=False
        ),
    ] = None,
) -> None:
    """Print where a file of weights is, or would be.

    Example: pose3d weights path blazepose.detection
    """
    from pose3d import weights

    print(weights.target_path(weights.find_entry(name)) if name else weights.user_weights_dir())


add_command(app, "list", list_)
add_command(app, "download", download)
add_command(app, "verify", verify)
add_command(app, "path", path)
