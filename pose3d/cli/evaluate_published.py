"""``pose3d evaluate h36m`` and ``mpi-inf-3dhp``: the data sets of the field, as published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose3d.cli.flags import with_flags, with_options
from pose3d.cli.results import check_out, show_clips, show_results, write_results
from pose3d.errors import UsageError
from pose3d.options import option

if TYPE_CHECKING:
    from pose3d.lab.evaluation.protocol import Protocol
    from pose3d.lift.lifter import Lifter


@dataclass(frozen=True, kw_only=True)
class PublishedOptions:
    """Flags of both commands."""

    data: Path | None = option(None, "Folder with the .npz files.", metavar="DIR")
    padding: str = option(
        "published",
        "published: repeated frames of windows count, as in the published code. once: every "
        "frame counts one time. The JSON holds both.",
        metavar="WAY",
    )
    output: str | None = option(
        None,
        "window (seq2seq) or centre (seq2frame).",
        metavar="WHAT",
        shown="as the network was published",
    )
    windows: str = option(
        "centred",
        "centred (HoT, MHFormer) or aligned (MixSTE): where windows lie that do not fit.",
        metavar="HOW",
    )
    out: Path | None = option(None, "Write the results as JSON.", metavar="FILE")
    json: bool = option(False, "Print JSON instead of a table.", one_way=True)


@dataclass(frozen=True, kw_only=True)
class H36MOptions(PublishedOptions):
    """Flags of ``pose3d evaluate h36m``."""

    detections: str = option(
        "cpn_ft_h36m_dbb", "Which 2D keypoints: data_2d_h36m_NAME.npz, e.g. gt.", metavar="NAME"
    )
    action: tuple[str, ...] = option((), "Only this action; may be repeated.", metavar="NAME")


_PUBLISHED_FLAGS = ("lifter", "device", "offline", "flip_test")


@with_flags(*_PUBLISHED_FLAGS)
@with_options(H36MOptions)
def h36m(*, options: H36MOptions, given: dict[str, Any]) -> None:
    """Evaluate a lifter on Human3.6M as published: S9 and S11, 15 actions, protocols 1 and 2.

    Reads data_3d_h36m.npz and data_2d_h36m_*.npz as VideoPose3D prepares them. pose3d cannot
    download them: the data set's licence forbids it.

    Example: pose3d evaluate h36m --data data/h36m --lifter runs/mixste/best.safetensors
    """
    from pose3d.lab.evaluation.h36m import ACTIONS, evaluate_h36m, h36m_table

    folder, lifter, protocol = _prepare(options, given)
    with show_clips() as on_step:
        results = evaluate_h36m(
            folder,
            lifter,
            detections=options.detections,
            actions=options.action or ACTIONS,
            protocol=protocol,
            on_step=on_step,
        )
    write_results(results, options.out)
    show_results(results, h36m_table, options.json)


@with_flags(*_PUBLISHED_FLAGS)
@with_options(PublishedOptions)
def mpi_inf_3dhp(*, options: PublishedOptions, given: dict[str, Any]) -> None:
    """Evaluate a lifter on MPI-INF-3DHP as published: TS1 to TS6, MPJPE, PCK at 150 mm, AUC.

    Reads data_test_3dhp.npz as P-STMO prepares it; pose3d cannot download it.

    Example: pose3d evaluate mpi-inf-3dhp --data data/3dhp --lifter runs/mixste/best.safetensors
    """
    from pose3d.lab.evaluation.mpi_inf_3dhp import evaluate_3dhp, mpi_inf_3dhp_table

    folder, lifter, protocol = _prepare(options, given)
    with show_clips() as on_step:
        results = evaluate_3dhp(folder, lifter, protocol=protocol, on_step=on_step)
    write_results(results, options.out)
    show_results(results, mpi_inf_3dhp_table, options.json)


def _prepare(options: PublishedOptions, given: dict[str, Any]) -> tuple[Path, Lifter, Protocol]:
    """Checks what both data sets share before anything is read."""
    from pose3d.cli.config import split_options
    from pose3d.lab.evaluation.protocol import Protocol
    from pose3d.lift.sequence import make_lifter

    if options.data is None:
        raise UsageError("No data folder was given", "Give --data DIR")
    if not options.data.is_dir():
        raise UsageError(f"There is no folder {options.data}", "Check --data")
    check_out(options.out)
    chain, _, _ = split_options(given)
    protocol = Protocol(
        flip_test=chain.flip_test,
        output=options.output,
        windows=options.windows,
        padding=options.padding,
    )
    lifter = make_lifter(chain.lifter, device=chain.device, offline=chain.offline)
    return options.data, lifter, protocol
