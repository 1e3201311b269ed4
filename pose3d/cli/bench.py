"""``pose3d bench``: where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pose3d.cli.bench_batch import batch as bench_batch
from pose3d.cli.bench_lifters import lifters as bench_lifters
from pose3d.cli.edge import add_command
from pose3d.cli.flags import FLAGS_2D, LIFTER_FLAGS, argument, with_flags
from pose3d.cli.results import Json
from pose3d.options import PRESET_NAMES

app = typer.Typer(
    help="Measure speed and memory.\n\nExample: pose3d bench run walk.mp4", no_args_is_help=True
)
_CHAIN_FLAGS = "device", "offline", "flip_test", "rate_test", "render"


@with_flags(*PRESET_NAMES, "start", "end", *FLAGS_2D, "lifter", *LIFTER_FLAGS, *_CHAIN_FLAGS)
def run(
    video: Annotated[Path, argument("A clip.")],
    as_json: Json = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON",
            help="Compare with MediaPipe's own loop, five times by turns: a Python that has "
            "mediapipe 0.10.21.",
        ),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Time every stage of a run on one clip; nothing is kept.

    Example: pose3d bench run walk.mp4
    """
    from pose3d.cli.config import split_options
    from pose3d.cli.edge import make_console
    from pose3d.cli.results import print_table
    from pose3d.lab.benchmarks.stages import bench_run

    options, outputs, _ = split_options(given)
    if against is not None:
        from pose3d.lab.benchmarks.peer import bench_against

        with make_console().status("running MediaPipe and the whole chain by turns"):
            found = bench_against(against, video, options, render=outputs.render)
        if as_json:
            print(found.to_json())
            return
        compared = [
            ("MediaPipe's loop", f"{found.peer_ms:.1f}", ""),
            ("first pass", f"{found.first_pass_ms:.1f}", f"{found.first_pass_ratio:.2f}"),
            ("whole chain", f"{found.chain_ms:.1f}", f"{found.chain_ratio:.2f}"),
        ]
        print_table(("", "ms a frame", "ratio"), compared, right=("ms a frame", "ratio"))
        print(f"\nmedians of {found.rounds} rounds, without start-up")
        return
    with make_console().status("running the whole chain"):
        times = bench_run(video, options, render=outputs.render)
    if as_json:
        print(times.to_json())
        return
    width, height = times.size_wh
    print(f"{times.video}: {times.frames} frames of {width}x{height}, {times.people} people")
    print(f"on {times.machine}")
    for change in times.changes:
        print(f"lifter: {change}")
    print()
    if options.chosen_by is not None:
        print(f"{options.chosen_by}\n")
    rows = []
    for stage in times.stages:
        per_frame = stage.seconds / times.frames
        is_part = stage.stage != "start-up"
        rows.append(
            (
                stage.stage,
                f"{stage.seconds:.2f}",
                f"{1000 * per_frame:.1f}" if is_part else "",
                f"{100 * stage.seconds / times.chain_s:.0f} %" if is_part else "",
                f"{1 / max(per_frame, 1e-9):.0f}" if is_part else "",
                "" if stage.peak_mb is None else f"{stage.peak_mb:.0f}",
            )
        )
    numbers = ("seconds", "ms a frame", "share", "frames/s", "peak MB")
    print_table(("stage", *numbers), rows, right=numbers)
    per_frame_ms = 1000 * times.chain_s / times.frames
    print(
        f"\nwhole chain, all outputs: {times.chain_s:.1f} s, {per_frame_ms:.1f} ms a frame, "
        f"{times.frames / times.chain_s:.1f} frames/s"
    )
    print(f"over 2D inference alone ({times.inference_s:.1f} s): {times.ratio:.2f} x")


@with_flags("lifter")
def startup(
    as_json: Json = False,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 5,
    *,
    given: dict[str, Any],
) -> None:
    """Time what is not frames: the help text, importing, and a run on a single frame.

    Example: pose3d bench startup
    """
    import json

    from pose3d.lab.benchmarks.stages import bench_startup

    times = bench_startup(repeat=repeat, **given)
    if as_json:
        print(json.dumps(times, indent=1))
        return
    for name, seconds in times.items():
        print(f"{name:20} {seconds:6.2f} s")


@with_flags(*PRESET_NAMES, *FLAGS_2D, "lifter", "device", "offline", "smooth", "flip_test")
def live(
    video: Annotated[Path, argument("A clip with one person.")],
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Play a clip in real time and time each pose from the picture's capture to the arrival of its
    VMC packet on this machine; also with four people, and how much somebody at rest trembles.

    Needs the extra live. Lifter and --detect-every are those of 'pose3d live' unless given.

    Example: pose3d bench live walk.mp4
    """
    import json
    from dataclasses import asdict

    from pose3d.cli.config import split_options
    from pose3d.cli.edge import make_console
    from pose3d.cli.live import LIVE
    from pose3d.cli.results import print_table
    from pose3d.lab.benchmarks.live import bench_live

    options, _, _ = split_options({**LIVE, **given})
    with make_console().status("loading") as status:
        measured = bench_live(video, options, status.update)
    if as_json:
        print(json.dumps(asdict(measured), indent=1))
        return
    print(f"{video} in real time on {measured.machine}\n")
    rows = [
        (
            row.clip,
            f"{row.people:.1f}",
            f"{row.rate:g}",
            str(row.frames),
            str(row.dropped),
            f"{row.median_ms:.0f}",
            f"{row.p95_ms:.0f}",
        )
        for row in measured.times
    ]
    numbers = ("people", "frames/s", "worked on", "dropped", "median ms", "95 % ms")
    print_table(("clip", *numbers), rows, right=numbers)
    print(f"\nat rest: joints are {measured.still_mm:.1f} mm (RMS) from where they are on average")


add_command(app, "run", run)
add_command(app, "live", live)
add_command(app, "batch", bench_batch)
add_command(app, "lifters", bench_lifters)
add_command(app, "startup", startup)
