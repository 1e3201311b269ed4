"""``pose3d evaluate h36m`` and ``mpi-inf-3dhp``: the data sets of the field, as published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.flags import flag, with_flags
from pose3d.cli.results import Json, Out, check_out, show_clips, show_results, write_results

if TYPE_CHECKING:
    from pose3d.lab.evaluation.protocol import Protocol
    from pose3d.lift.lifter import Lifter

Data = Annotated[Path | None, flag("Folder with the .npz files.", "--data", metavar="DIR")]
Padding = Annotated[
    str,
    typer.Option(
        metavar="WAY",
        help="published: repeated frames of windows count, as in the published code. once: every "
        "frame counts one time. The JSON holds both.",
    ),
]
Output = Annotated[
    str | None,
    flag(
        "window (seq2seq) or centre (seq2frame). (default: as the network was published)",
        metavar="WHAT",
    ),
]
Windows = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="centred (HoT, MHFormer) or aligned (MixSTE): where windows lie that do not fit.",
    ),
]
_PUBLISHED_FLAGS = ("lifter", "device", "offline", "flip_test")


@with_flags(*_PUBLISHED_FLAGS)
def h36m(
    data: Data = None,
    detections: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which 2D keypoints: data_2d_h36m_NAME.npz, e.g. gt."),
    ] = "cpn_ft_h36m_dbb",
    action: Annotated[
        list[str] | None, flag("Only this action; may be repeated.", metavar="NAME")
    ] = None,
    padding: Padding = "published",
    output: Output = None,
    windows: Windows = "centred",
    out: Out = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Evaluate a lifter on Human3.6M as published: S9 and S11, 15 actions, protocols 1 and 2.

    Reads data_3d_h36m.npz and data_2d_h36m_*.npz as VideoPose3D prepares them. pose3d cannot
    download them: the data set's licence forbids it.

    Example: pose3d evaluate h36m --data data/h36m --lifter runs/mixste/best.safetensors
    """
    from pose3d.lab.evaluation.h36m import ACTIONS, evaluate_h36m, h36m_table

    how: dict[str, Any] = {"output": output, "windows": windows, "padding": padding}
    folder, lifter, protocol = _prepare(data, out, how, given)
    chosen: dict[str, Any] = {"detections": detections, "actions": action or ACTIONS}
    with show_clips() as on_step:
        results = evaluate_h36m(folder, lifter, protocol=protocol, on_step=on_step, **chosen)
    write_results(results, out)
    show_results(results, h36m_table, as_json)


@with_flags(*_PUBLISHED_FLAGS)
def mpi_inf_3dhp(
    data: Data = None,
    padding: Padding = "published",
    output: Output = None,
    windows: Windows = "centred",
    out: Out = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Evaluate a lifter on MPI-INF-3DHP as published: TS1 to TS6, MPJPE, PCK at 150 mm, AUC.

    Reads data_test_3dhp.npz as P-STMO prepares it; pose3d cannot download it.

    Example: pose3d evaluate mpi-inf-3dhp --data data/3dhp --lifter runs/mixste/best.safetensors
    """
    from pose3d.lab.evaluation.mpi_inf_3dhp import evaluate_3dhp, mpi_inf_3dhp_table

    how: dict[str, Any] = {"output": output, "windows": windows, "padding": padding}
    folder, lifter, protocol = _prepare(data, out, how, given)
    with show_clips() as on_step:
        results = evaluate_3dhp(folder, lifter, protocol=protocol, on_step=on_step)
    write_results(results, out)
    show_results(results, mpi_inf_3dhp_table, as_json)


def _prepare(
    data: Path | None, out: Path | None, how: dict[str, Any], given: dict[str, Any]
) -> tuple[Path, Lifter, Protocol]:
    """Checks what both data sets share before anything is read."""
    from pose3d.cli.config import split_options
    from pose3d.errors import UsageError
    from pose3d.lab.evaluation.protocol import Protocol
    from pose3d.lift.sequence import make_lifter

    if data is None:
        raise UsageError("No data folder was given", "Give --data DIR")
    if not data.is_dir():
        raise UsageError(f"There is no folder {data}", "Check --data")
    check_out(out)
    options, _, _ = split_options(given)
    protocol = Protocol(flip_test=options.flip_test, **how)
    lifter = make_lifter(options.lifter, device=options.device, offline=options.offline)
    return data, lifter, protocol
