"""``pose3d bench lifters``: operations, speed and memory of the lifters, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.flags import argument, flag, split_list, with_flags
from pose3d.cli.results import Json, Out, check_out, show_clips, write_results

if TYPE_CHECKING:
    from pose3d.lab.benchmarks.lifter_speed import LifterSpeed, Rate
    from pose3d.lab.benchmarks.lifters import BenchMachine


@with_flags("device", "threads")
def lifters(
    names: Annotated[
        list[str] | None,
        argument(
            "Configurations with random weights, as 'pose3d bench lifters --list' names them. "
            "(default: all, unless --lifter is given)",
            metavar="[NAME]...",
        ),
    ] = None,
    lifter: Annotated[
        list[str] | None,
        flag(
            "Weights to measure too, separated by commas or given several times, see 'pose3d "
            "models', or .safetensors files.",
            metavar="NAMES",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        flag(
            "fp32, bf16, fp16, separated by commas. (default: fp32, and bf16 where the device "
            "is faster with it)",
            metavar="TYPES",
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Time for each row of the table; slow networks take what their first passes need.",
        ),
    ] = 10.0,
    clock: Annotated[
        str,
        typer.Option(
            metavar="CLOCK",
            help="wall, or cpu: processor time over threads, for a machine that is busy.",
        ),
    ] = "wall",
    out: Out = None,
    show_list: Annotated[bool, flag("Print the names and measure nothing.", "--list")] = False,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Measure operations, frames a second and memory of the lifters, one process for each row.

    After Ctrl-C, what was measured until then is printed and written.

    Example: pose3d bench lifters mixste hot-mixste --out lifters.json
    """
    from pose3d.lab.benchmarks.lifters import LifterBench, bench_lifters, describe_machine
    from pose3d.lift.configurations import CONFIGURATIONS

    if show_list:
        print("\n".join(CONFIGURATIONS))
        return
    weights = split_list(lifter)
    chosen = LifterBench(
        configurations=tuple(names or () if names or weights else CONFIGURATIONS),
        lifters=weights,
        precisions=split_list(precision) if precision is not None else None,
        seconds=seconds,
        clock=clock,
        **given,
    )
    machine = describe_machine(chosen)
    check_out(out)
    done: list[LifterSpeed] = []
    try:
        with show_clips() as on_step:
            done.extend(bench_lifters(chosen, machine, on_step=on_step))
    finally:
        if done:
            _show(machine, done, out, as_json)


def _show(
    machine: BenchMachine, speeds: list[LifterSpeed], out: Path | None, as_json: bool
) -> None:
    import json

    from pose3d.cli.edge import print_warning
    from pose3d.cli.results import print_table
    from pose3d.lab.benchmarks.lifters import to_document

    document = to_document(machine, speeds)
    write_results(document, out)
    if as_json:
        print(json.dumps(document, indent=1))
        return
    print(f"{machine.words}\n")
    print_table(TITLES, [_row(speed) for speed in speeds], right=TITLES[2:])
    print(
        "\nGFLOPs of one window, a multiply-add as two: of linear layers, and with the products inside"
        "\nattention. frames/s: batch 1 -> fastest batch (its windows); flip test and overlap of windows,"
        "\nwhich 'pose3d run' adds, are not in it. MB: of the process, at batch 1 -> at the end."
    )
    busy = [s.busy for s in speeds if s.busy is not None]
    if machine.clock == "wall" and busy and min(busy) < 0.7:
        print_warning(
            f"its threads had the processor only {100 * min(busy):.0f} % of the time: other "
            "programs were running, the figures are too low (--clock cpu counts otherwise)"
        )
    if out is not None:
        print(f"written: {out}")


TITLES = (
    "lifter",
    "type",
    "frames",
    "M params",
    "GFLOPs",
    "+ attention",
    "seq2seq frames/s",
    "seq2frame frames/s",
    "MB",
)


def _row(speed: LifterSpeed) -> tuple[str, ...]:
    kept = "" if speed.kept is None else f" ({speed.kept})"
    memory = [f"{m:.0f}" for m in (speed.peak_mb, speed.peak_best_mb) if m is not None]
    return (
        speed.name,
        speed.precision,
        f"{speed.frames}{kept}",
        f"{speed.params / 1e6:.2f}",
        f"{speed.linear_flops / 1e9:.2f}",
        f"{speed.total_flops / 1e9:.2f}",
        _rates(speed.seq2seq, speed.seq2seq_best),
        _rates(speed.seq2frame, speed.seq2frame_best),
        " -> ".join(memory),
    )


def _rates(first: Rate | None, best: Rate | None) -> str:
    """Returns e.g. ``"120 -> 151 (8)"``; a dash for a pipeline without answers."""
    if first is None or best is None:
        return "-"
    if best.batch == 1:
        return f"{_number(first.frames_per_s)} (1)"
    return f"{_number(first.frames_per_s)} -> {_number(best.frames_per_s)} ({best.batch})"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
