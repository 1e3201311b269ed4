"""``pose3d bench batch``: clips an hour of a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pose3d.cli.flags import LIFTER_FLAGS, argument, flag, with_flags
from pose3d.cli.results import Json
from pose3d.options import PRESET_NAMES


@with_flags(*PRESET_NAMES, "engine", "ray_address", "offline", "lifter", *LIFTER_FLAGS)
def batch(
    video: Annotated[Path, argument("A clip.")],
    workers: Annotated[
        str, flag("Numbers of workers, of a core each. (default: 1,2,4)", metavar="N,N")
    ] = "1,2,4",
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Time a fleet whose networks take their measured time, but no cores; nothing is kept.

    Example: pose3d bench batch walk.mp4 --engine ray
    """
    from pose3d.cli.config import split_options
    from pose3d.cli.edge import make_console
    from pose3d.cli.results import print_table
    from pose3d.lab.benchmarks.fleet import CLIP_RATE, CLIP_S, bench_batch
    from pose3d.options import parse_counts

    options, _, command = split_options(given)
    with make_console().status("running fleets"):
        times = bench_batch(
            video,
            options,
            engine=command.engine,
            address=command.ray_address,
            workers=parse_counts("--workers", workers) or (),
        )
    if as_json:
        print(times.to_json())
        return
    print(f"{times.video}: {times.frames} frames; {times.machine}; engine {times.engine}")
    print(
        f"a clip on one core: {times.real_s:.2f} s, {times.networks_s:.2f} s of them in the networks; "
        f"with recorded networks {times.alone_s:.2f} s\n"
    )
    numbers = ("workers", "clips", "start-up s", "seconds", "clips an hour", "lost")
    rows = [
        (
            str(fleet.workers),
            str(fleet.clips),
            f"{fleet.start_s:.1f}",
            f"{fleet.seconds:.1f}",
            f"{fleet.clips_an_hour:.0f}",
            f"{100 * fleet.lost:.1f} %",
        )
        for fleet in times.fleets
    ]
    print_table(numbers, rows, right=numbers)
    print(
        f"\non paper, a million clips of {CLIP_S} s at {CLIP_RATE} frames/s, results without drawings: "
        f"{times.million_core_hours:,.0f} core hours ({1000 * times.real_s / times.frames:.1f} ms a "
        f"frame, {100 * times.fleets[-1].lost:.1f} % lost)"
    )
