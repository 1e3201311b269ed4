"""``pose3d bench``: where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pose3d.cli.bench_lifters import lifters as bench_lifters
from pose3d.cli.edge import add_command
from pose3d.cli.flags import LIFTER_FLAGS, with_flags
from pose3d.options import PRESET_NAMES

app = typer.Typer(
    help="Measure speed and memory.\n\nExample: pose3d bench run walk.mp4", no_args_is_help=True
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_CHAIN_FLAGS = (
    *PRESET_NAMES,
    "start",
    "end",
    "detector",
    "keypoints",
    "tracker",
    "lifter",
    *LIFTER_FLAGS,
    "detect_every",
    "flip_test_2d",
    "device",
    "threads",
    "offline",
    "flip_test",
    "rate_test",
    "render",
)


@with_flags(*_CHAIN_FLAGS)
def run(
    video: Annotated[Path, typer.Argument(help="A clip.", show_default=False)],
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Time every stage of a run on one clip; nothing is kept.

    Example: pose3d bench run walk.mp4
    """
    from pose3d.cli.config import split_options
    from pose3d.cli.edge import make_console
    from pose3d.cli.tables import print_table
    from pose3d.lab.benchmarks.stages import bench_run

    options, outputs, _ = split_options(given)
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
        is_part = stage.stage != "start-up" and not stage.overlaps
        rows.append(
            (
                f"  {stage.stage}" if stage.overlaps else stage.stage,
                f"{stage.seconds:.2f}",
                "" if stage.stage == "start-up" else f"{1000 * per_frame:.1f}",
                f"{100 * stage.seconds / times.chain_s:.0f} %" if is_part else "",
                "" if stage.stage == "start-up" else f"{1 / max(per_frame, 1e-9):.0f}",
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


def tokenpose(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Configurations; the first is what the others are compared with. "
            "(default: all that need no extra)",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 7,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Time TokenPose and its sparse variants, for one person and for 16 at once.

    Example: pose3d bench tokenpose tokenpose-s tokenpose-s-removed
    """
    import json
    from dataclasses import asdict

    from pose3d.cli.edge import make_console
    from pose3d.cli.tables import print_table
    from pose3d.networks2d.tokenpose.bench import BATCHES, bench_tokenpose

    with make_console().status("running the networks in turn"):
        speeds = bench_tokenpose(names, threads=threads, repeat=repeat)
    if as_json:
        print(json.dumps([asdict(s) for s in speeds], indent=1))
        return
    columns = ["M params", "GFLOPs", "x", "masked %"]
    columns += [f"{title} ({n})" for n in BATCHES for title in ("ms", "x")]
    rows = []
    for s in speeds:
        row = [s.name, f"{s.params / 1e6:.1f}", f"{s.gflops:.2f}", f"{s.flops_ratio:.2f}"]
        row.append(f"{100 * s.masked_share:.1f}")
        for n in BATCHES:
            row += [f"{s.ms[n]:.1f}", f"{s.ratio[n]:.2f}"]
        rows.append(tuple(row))
    print_table(("configuration", *columns), rows, right=tuple(columns))
    print(f"\nms a person in a batch of (n), {threads} CPU thread(s); x: over {speeds[0].name}")
    print("masked: operations on links that a mask leaves out; a mask alone does not save them")


@with_flags("device", "threads")
def keypoints(
    video: Annotated[
        Path | None,
        typer.Argument(
            help="A clip; its first picture is taken. (default: a drawn picture of 1280x720)",
            show_default=False,
        ),
    ] = None,
    keypoints: Annotated[
        list[str] | None,
        typer.Option(
            "--keypoints",
            metavar="NAME[:FILE]",
            help="An estimator; may be given several times. (default: all that can run here)",
            show_default=False,
        ),
    ] = None,
    people: Annotated[
        str, typer.Option(metavar="N,N", help="How many people in the picture, one size a column.")
    ] = "1,4,16",
    repeat: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 7,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Time 2D estimators by the number of people, and detectors by the picture.

    Example: pose3d bench keypoints --people 1,8 --threads 1
    """
    import json

    from pose3d.cli.edge import make_console
    from pose3d.cli.tables import print_table
    from pose3d.lab.benchmarks.keypoints import bench_keypoints
    from pose3d.options import parse_counts

    sizes = parse_counts("--people", people)
    with make_console().status("running the networks in turn"):
        results = bench_keypoints(
            video, names=tuple(keypoints or ()), people=sizes, repeat=repeat, **given
        )
    if as_json:
        print(json.dumps(results, indent=1))
        return
    columns = [f"{title} ({n})" for n in sizes for title in ("ms", "CPU ms")]
    rows = [
        (
            row["name"],
            row["device"],
            *(f"{row[key][str(n)]:.1f}" for n in sizes for key in ("ms_person", "cpu_ms_person")),
        )
        for row in results["estimators"]
    ]
    print_table(("estimator", "device", *columns), rows, right=tuple(columns))
    print("ms a person with (n) people in the picture; CPU ms: of all threads together\n")
    times = ("ms a frame", "CPU ms a frame")
    rows = [
        (row["name"], row["device"], f"{row['ms_frame']:.1f}", f"{row['cpu_ms_frame']:.1f}")
        for row in results["detectors"]
    ]
    print_table(("detector", "device", *times), rows, right=times)
    for part in results["skipped"]:
        print(f"skipped: {part['kind']} {part['name']}: {part['lacks']}. {part['todo']}.")


@with_flags("device", "threads")
def live(
    lifters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LIFTER]...",
            help="Weights or files. (default: all weights of pose3d)",
            show_default=False,
        ),
    ] = None,
    people: Annotated[
        str, typer.Option(metavar="N,N", help="How many people in the picture, one size a column.")
    ] = "1,2,4,8",
    repeat: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 15,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Time lifting the newest frame of everybody, as a camera needs it (pose3d.stream).

    Example: pose3d bench live hot-mixste mixste.live9 --people 1,4
    """
    import json

    from pose3d.cli.edge import make_console
    from pose3d.cli.tables import print_table
    from pose3d.lab.benchmarks.live import bench_live
    from pose3d.options import parse_counts

    sizes = parse_counts("--people", people)
    with make_console().status("running the lifters in turn"):
        results = bench_live(lifters or (), people=sizes, repeat=repeat, **given)
    if as_json:
        print(json.dumps(results, indent=1))
        return
    columns = [f"{title} ({n})" for n in sizes for title in ("ms", "no flip test")]
    rows = [
        (
            row["name"],
            str(row["frames"]),
            *(f"{row[key][str(n)]:.1f}" for n in sizes for key in ("ms", "ms_no_flip")),
        )
        for row in results
    ]
    print_table(("lifter", "window", *columns), rows, right=("window", *columns))
    print("ms a picture with (n) people in it, all together")


add_command(app, "run", run)
add_command(app, "keypoints", keypoints)
add_command(app, "tokenpose", tokenpose)
add_command(app, "lifters", bench_lifters)
add_command(app, "live", live)
add_command(app, "startup", startup)
