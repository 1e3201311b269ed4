"""``pose3d weights``: what is here, fetching, checking."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pose3d.cli.edge import add_command, print_error
from pose3d.cli.files import parse_size
from pose3d.cli.flags import argument, flag, with_options
from pose3d.errors import UsageError, WeightsError
from pose3d.options import option, parse_counts

app = typer.Typer(
    help="Look at, fetch, import and check the weights of the networks.\n\n"
    "Example: pose3d weights download",
    no_args_is_help=True,
)
Names = Annotated[
    list[str] | None, argument("Names, as 'pose3d weights list' shows them.", metavar="[NAME]...")
]


def list_() -> None:
    """List all weights: where they come from, licence, size, and whether they are here.

    Example: pose3d weights list
    """
    from pose3d.cli.results import print_table, size_in_words
    from pose3d.weights.finding import list_weights, target_path

    rows = [
        (
            entry.name,
            entry.kind,
            entry.licence,
            size_in_words(entry.size_bytes),
            "yes" if target_path(entry).is_file() else "no",
            entry.source,
        )
        for entry in list_weights()
    ]
    print_table(("name", "kind", "licence", "size", "here", "source"), rows)


def download(
    names: Names = None,
    offline: Annotated[
        bool, flag("Do not use the network: only check what is here.", "--offline")
    ] = False,
) -> None:
    """Fetch weights, so that later runs need no network. Without names: the default chain's.

    Example: pose3d weights download blazepose.detection
    """
    from pose3d.weights.fetching import fetch
    from pose3d.weights.finding import list_weights

    for name in names or [e.name for e in list_weights() if not e.only_by_name]:
        print(f"{name}: {fetch(name, offline=offline, on_progress=print)}")


def verify(names: Names = None) -> None:
    """Check the hashes of weights. Without names: of all that are here.

    Example: pose3d weights verify
    """
    from pose3d.weights import finding

    failed = False
    for entry in [finding.find_entry(n) for n in names] if names else finding.list_weights():
        here = finding.target_path(entry).is_file()
        if not here and not names and entry.is_fetched:
            print(f"{entry.name}: not here (fetched when needed)")
            continue
        try:
            finding.verify(entry.name)
        except WeightsError as error:
            failed = True
            print_error(error)
        else:
            stated = "ok" if entry.sha256 else "here, no hash is stated"
            print(f"{entry.name}: {stated}")
    if failed:
        raise typer.Exit(1)


def path(
    name: Annotated[
        str | None, argument("Name of weights. (default: the folder of fetched weights)")
    ] = None,
) -> None:
    """Print where a file of weights is, or would be.

    Example: pose3d weights path blazepose.detection
    """
    from pose3d.weights import finding

    print(finding.target_path(finding.find_entry(name)) if name else finding.user_weights_dir())


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Flags of ``pose3d weights import``: what the tensors of a checkpoint cannot tell."""

    name: str | None = option(
        None,
        "What to call the weights, ARCH.TAG.",
        names="--as",
        metavar="NAME",
        shown="the architecture and the file's name",
    )
    arch: str | None = option(
        None,
        "Architecture, where the tensors fit two: mixste or tpc-mixste, mhformer or tpc-mhformer.",
        shown="by the tensors",
    )
    keep: str | None = option(
        None,
        "Frames kept at each pruning step, e.g. 61 or 121,81.",
        metavar="FRAMES",
    )
    at: str | None = option(
        None,
        "Block before which each pruning step happens, counted from 0, e.g. 3 or 1,2.",
        metavar="BLOCKS",
    )
    heads: int | None = option(None, "Attention heads.", shown="8; MotionAGFormer needs it")
    neighbours: int | None = option(
        None, "Links of a frame in the temporal graphs of MotionAGFormer.", shown="none"
    )
    generator_heads: int | None = option(
        None, "Attention heads of MHFormer's generators.", shown="9"
    )
    recovery_heads: int | None = option(
        None, "Attention heads of HoT's recovery.", shown="8; with MotionAGFormer: --heads"
    )
    mapping: str | None = option(
        None,
        "How 2D keypoints become Human3.6M's: hot, hot-revised, motionbert or face.",
        shown="that of the code base's demo",
    )
    normalisation: str | None = option(
        None,
        "How pixels become the input: screen (over the picture's width), short-side (over its shorter "
        "side) or crop (over the square around the person in the whole clip).",
        shown="that of the code base's demo",
    )
    units: str | None = option(
        None,
        "What the network answers in: metres, or picture (units of its input).",
        shown="what its code base trains",
    )
    joints: str | None = option(
        None,
        "Whose numbers the joints have: h36m, or 3dhp (MPI-INF-3DHP; the weights are converted).",
        shown="h36m; asked for where the file is called otherwise",
    )
    crop: str | None = option(
        None,
        "Pixels of TokenPose's crops.",
        metavar="WIDTHxHEIGHT",
        shown="the 3:4 or square ones that fit the tensors",
    )
    sigma: float | None = option(
        None,
        "Deviation of the heatmaps that a TokenPose was trained on.",
        metavar="CELLS",
        shown="2",
    )
    skeleton: str | None = option(
        None, "Skeleton of a TokenPose's keypoints.", shown="coco17 for 17, mpii16 for 16"
    )
    licence: str | None = option(None, "Licence of the weights, an SPDX name.", shown="not stated")
    entry: str | None = option(
        None,
        "Which table of weights to take, where the file has several.",
        metavar="KEY",
        shown="the only one",
    )
    overwrite: bool = option(False, "Replace weights of this name.", one_way=True)

    def refuse(self, network: str, *names: str) -> None:
        """Raises UsageError for options that a network has no use for."""
        for name in names:
            if getattr(self, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{network} has no use for {flag}", "Leave it out")


@with_options(ImportOptions)
def import_(
    file: Annotated[
        Path,
        argument(
            "Published checkpoint (.pth, .bin, .pt, .tr, ...) or .safetensors.", metavar="FILE"
        ),
    ],
    *,
    options: ImportOptions,
) -> None:
    """Import a published checkpoint: MixSTE, MHFormer, MotionBERT, MotionAGFormer, their HoT and TPC versions, TokenPose.

    Nothing in the file is run. Architecture and sizes are read from the tensors, and every tensor has to
    fit. Afterwards --lifter NAME uses the weights, or --keypoints tokenpose:FILE those of a TokenPose.

    Example: pose3d weights import best_epoch.bin --as motionbert.h36m --licence Apache-2.0
    """
    from pose3d.lift.published.description import Hints
    from pose3d.lift.published.importing import import_weights
    from pose3d.networks2d.tokenpose.importing import (
        TokenHints,
        holds_tokenpose,
        import_tokenpose,
    )
    from pose3d.weights.checkpoint import read_checkpoint

    def pick(names: Iterable[str]) -> dict[str, Any]:
        return {name: getattr(options, name) for name in names}

    of_lifters = "arch", "neighbours", "generator_heads", "recovery_heads"
    of_input = "mapping", "normalisation", "units", "joints"
    hints = Hints(
        **pick(["heads", *of_lifters]),
        keep=parse_counts("--keep", options.keep),
        at=parse_counts("--at", options.at, least=0),
    )
    crop_wh = None if options.crop is None else parse_size(options.crop, "--crop", "192x256")
    common = pick(("name", "licence", "entry", "overwrite"))
    if holds_tokenpose(read_checkpoint(file, entry=options.entry)):
        options.refuse("TokenPose", *of_lifters, "keep", "at", *of_input)
        token_hints = TokenHints(crop_wh=crop_wh, **pick(("heads", "sigma", "skeleton")))
        done = import_tokenpose(file, hints=token_hints, **common)
        usage = f"--keypoints {shlex.quote(f'tokenpose:{done.path}')}"
    else:
        options.refuse("A lifter", "crop", "sigma", "skeleton")
        done = import_weights(file, hints=hints, **common, **pick(of_input))
        usage = f"--lifter {done.name}"
    print(f"{done.name}: {done.facts['network']}, {done.parameters / 1e6:.2f} M parameters")
    for title, text in {**done.facts, "file": str(done.path)}.items():
        if title != "network":
            print(f"  {title + ':':9} {text}")
    print(f"Try it: pose3d run VIDEO {usage}")


add_command(app, "list", list_)
add_command(app, "import", import_)
add_command(app, "download", download)
add_command(app, "verify", verify)
add_command(app, "path", path)
