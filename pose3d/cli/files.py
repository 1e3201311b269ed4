"""Commands that start from a file: ``lift``, ``render`` and ``export``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from pose3d.cli.flags import (
    LIFTER_FLAGS,
    default_of,
    split_names,
    with_flags,
)
from pose3d.options import PRESET_NAMES

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
_LIFT_FLAGS = (
    *PRESET_NAMES,
    "person",
    "lifter",
    *LIFTER_FLAGS,
    "device",
    "offline",
    "smooth",
    "smooth_strength",
    "max_gap",
    "flip_test",
    "rate_test",
    "constant_bones",
    "place",
    "focal_px",
    "height",
    "hypotheses",
    "output",
    "format",
    "render",
    "style",
    "overwrite",
    "quiet",
)


@with_flags(*_LIFT_FLAGS)
def lift(
    file: Annotated[
        Path,
        typer.Argument(
            help="2D keypoints: NPZ or JSON with 'keypoints' (frame, person, joint, 2 or 3: x, y, "
            "score, in pixels), a CSV with the names of joints, a result of pose3d, or the file or "
            "folder that OpenPose, MMPose, AlphaPose, COCO tools, ultralytics, MediaPipe programs or "
            "DeepLabCut wrote.",
            show_default=False,
        ),
    ],
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="Skeleton of the keypoints, e.g. coco17. (default: as the file says)",
            show_default=False,
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="The clip they were found in: gives times and size, and is drawn on. (default: none)",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Size of the picture in pixels, e.g. 1280x720. (default: as the file says)",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="FPS", help="Frames per second. (default: as the file says)", show_default=False
        ),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Format of the file: pose3d, csv, openpose, mmpose, alphapose, coco, ultralytics, "
            "mediapipe or deeplabcut. (default: by its content)",
            show_default=False,
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(metavar="0..1", help="Keypoints up to this score count as not seen."),
    ] = 0.0,
    first_frame: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number that the clip's first frame has in the file. (default: as the program that "
            "wrote it counts, else the smallest)",
            show_default=False,
        ),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Lift 2D keypoints of your own to 3D, whatever program found them.

    Without --video the drawing shows 3D only. People whom the program did not follow are followed
    here.

    Example: pose3d lift openpose_json/ --video walk.mp4
    """
    from pose3d.cli.config import merge_config, split_options

    options, outputs, rest = split_options(merge_config(given, None), parts=("lifter",))
    size_wh = parse_size(size) if size is not None else None

    from pose3d.keypoint_files.reading import check_joints, read_keypoints
    from pose3d.pipeline import estimate as pipeline
    from pose3d.pipeline.batch.clips import check_outputs

    check_outputs(outputs)
    folder = Path(outputs.output) / _stem_of(file)
    pose = read_keypoints(
        file,
        skeleton=skeleton,
        video=video,
        size_wh=size_wh,
        rate=rate,
        input_format=input_format,
        min_score=min_score,
        first_frame=first_frame,
    )
    mode = given.get("render", outputs.render if video is not None else "3d")
    targets = [folder / f"pose.{name}" for name in outputs.format]
    drawing = folder / f"{_stem_of(file)}.mp4"
    refuse_existing([*targets, *([drawing] if mode != "none" else [])], outputs.overwrite)
    from pose3d.cli.edge import print_changes
    from pose3d.lift.sequence import make_lifter_for

    lifter = make_lifter_for(options)
    if not rest["quiet"]:
        print_changes(lifter.info)
    pose = pipeline.choose_people(pose, options.person)
    check_joints(pose, lifter.options.mapping)
    if not rest["quiet"]:
        if options.chosen_by is not None:
            print(options.chosen_by)
        _print_reading(pose)
    pose = pipeline.lift_keypoints(pose, options, lifter=lifter)
    written = _write_all(pose, folder, outputs.format)
    if mode != "none":
        from pose3d.render.video import render_video

        ghosts = options.hypotheses and mode != "overlay"
        written.append(
            render_video(pose, video, drawing, mode=mode, style=outputs.style, hypotheses=ghosts)
        )
    if not rest["quiet"]:
        for path in written:
            print(path)
        if options.hypotheses:
            _print_spread(pose)


def render(
    result: Annotated[
        Path,
        typer.Argument(help="A result: pose.npz, pose.json, or their folder.", show_default=False),
    ],
    video: Annotated[
        Path | None,
        typer.Argument(
            help="The clip it was made from. (default: the one that the result names)",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.mp4",
            help="What to write. (default: beside the result)",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option("--mode", "--render", help="side-by-side, overlay or 3d.")
    ] = default_of("render"),
    style: Annotated[str, typer.Option(help="Its colours: light or dark.")] = default_of("style"),
    orbit: Annotated[
        float,
        typer.Option(metavar="DEGREES", help="Turn the 3D view by so much a second."),
    ] = 0.0,
    hypotheses: Annotated[
        bool,
        typer.Option(
            "--hypotheses",
            help="Draw the result's hypotheses as ghosts, with their spread; it must have been made "
            "with --hypotheses.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw a result over its video again, in another mode or style.

    Example: pose3d render out/walk/pose.npz walk.mp4 --mode overlay --style dark
    """
    from pose3d.render.video import render_video
    from pose3d.result.record import load

    path = find_result(result)
    pose = load(path)
    target = output or path.parent / f"{_stem_of(path)}.mp4"
    refuse_existing([target], overwrite)
    print(
        render_video(
            pose,
            video,
            target,
            mode=mode,
            style=style,
            orbit_deg_per_s=orbit,
            hypotheses=hypotheses,
        )
    )


def export(
    result: Annotated[
        Path | None,
        typer.Argument(
            help="A result: pose.npz, pose.json, or their folder. (default: list the formats)",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAMES",
            help="Formats, separated by commas or given several times. (default: by the suffix of "
            "--output)",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file (for one format), or a folder. (default: beside the result)",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a result in other formats: npz, json, csv, trc, bvh. Without a result: list them.

    Example: pose3d export out/walk/pose.npz --format bvh,csv
    """
    from pose3d.errors import ResultFileError, UsageError
    from pose3d.result.record import (
        list_formats,
        load,
        make_exporter,
        write_files,
    )

    if result is None:
        for name, description in list_formats().items():
            print(f"{name:6} {description}")
        return
    path = find_result(result)
    if not format:
        if output is None or not output.suffix:
            raise UsageError("No format was given", f"Give --format: {', '.join(list_formats())}")
        format = [output.suffix[1:]]
    names = split_names(format)
    exporters = {name: make_exporter(name) for name in names}
    is_file = output is not None and bool(output.suffix) and not output.is_dir()
    if is_file and len(names) > 1:
        raise UsageError(f"{output} is one file for {len(names)} formats", "Give a folder")
    pose = load(path)
    for name, exporter in exporters.items():
        folder = output or path.parent
        target = folder if is_file else folder / f"{path.stem}{exporter.suffix}"
        if target.resolve() == path.resolve():
            raise UsageError(f"{target} is the result itself", "Give another --output")
        if not exporter.per_person:
            refuse_existing([target], overwrite)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultFileError(
                f"The folder {target.parent} cannot be made ({error.strerror or error})",
                "Give another --output",
            ) from error
        for written in write_files(pose, target, name):
            print(written)


def parse_size(text: str, option: str = "--size", example: str = "1280x720") -> tuple[int, int]:
    """Reads ``1280x720``.

    Args:
        text: what was typed.
        option: after which it was typed.
        example: for whoever typed something else.

    Raises:
        UsageError: it is something else.
    """
    from pose3d.errors import UsageError

    match = re.fullmatch(r"(\d+)\s*[xX×]\s*(\d+)", text.strip())
    if match is None or not (int(match[1]) and int(match[2])):
        raise UsageError(f"{option} {text!r} is not understood", f"Write e.g. {option} {example}")
    return int(match[1]), int(match[2])


def find_result(path: Path) -> Path:
    """Returns the result file that a path names: the file, or the one in the folder.

    Raises:
        ResultFileError: there is none.
    """
    from pose3d.errors import ResultFileError

    if not path.is_dir():
        return path
    for name in ("pose.npz", "pose.json"):
        if (path / name).is_file():
            return path / name
    raise ResultFileError(f"There is no result in the folder {path}", "It should hold pose.npz")


def refuse_existing(paths: list[Path], overwrite: bool) -> None:
    """Raises when a file would be replaced without being asked to.

    Raises:
        UsageError: one of them exists.
    """
    from pose3d.errors import UsageError

    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists", "Use --overwrite, or give another --output")


def _print_reading(pose: Any) -> None:
    """Prints what was made of a file of another program."""
    for stage in pose.made_by:
        if stage.stage != "read" or "format" not in stage.options:
            continue
        said = stage.options
        people = f"{pose.n_people} {'person' if pose.n_people == 1 else 'people'}"
        if said["people"] == "followed":
            people += " (followed here)"
        print(
            f"{stage.name}: {said['format']}, {pose.skeleton.name}, {pose.n_frames} frames at "
            f"{float(pose.video.rate):g}/s, {people}"
        )
        if said["frames_not_listed"]:
            print(f"  {said['frames_not_listed']} frames are not in it: nobody there")
        if said["poses_left_out"]:
            print(f"  {said['poses_left_out']} poses are seen twice or belong to nobody: left out")


def _print_spread(pose: Any) -> None:
    """Prints how far the hypotheses lie apart, unless there is nobody."""
    from pose3d.result.spread import describe_spread, summarise_spread

    groups = summarise_spread(pose)
    if groups:
        print(describe_spread(groups))


def _stem_of(file: Path) -> str:
    """Returns what files made from this one are called: a result has the name of its folder."""
    return file.absolute().parent.name if file.stem == "pose" else file.stem


def _write_all(pose: Any, folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Writes a result into a folder, under the folder's lock."""
    from pose3d.errors import ResultFileError
    from pose3d.files import lock_folder
    from pose3d.result.record import make_exporter, write_files

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultFileError(
            f"The folder {folder} cannot be made ({error.strerror or error})",
            "Give another --output",
        ) from error
    written: list[Path] = []
    with lock_folder(folder):
        for name in formats:
            target = folder / f"pose{make_exporter(name).suffix}"
            written += write_files(pose, target, name)
    return written
