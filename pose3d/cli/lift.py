"""``pose3d lift``: 2D keypoints of other programs to 3D."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pose3d.cli.edge import print_changes, print_warning
from pose3d.cli.files import parse_size, refuse_existing, stem_of
from pose3d.cli.flags import (
    LIFTER_FLAGS,
    SMOOTHING_FLAGS,
    argument,
    with_flags,
    with_options,
)
from pose3d.options import PRESET_NAMES, option

if TYPE_CHECKING:
    from pose3d.result.record import PoseSequence

_CHAIN = "person", "lifter", *LIFTER_FLAGS, "device", "offline"
_PLACING = "place", "focal_px", "focal_35mm", "height", "hypotheses"
_OUTPUTS = "output", "format", "render", "render_height", "encoder", "style", "overwrite", "quiet"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Flags of ``pose3d lift`` on how a file is read."""

    skeleton: str | None = option(
        None, "Skeleton of the keypoints, e.g. coco17.", shown="as the file says"
    )
    video: Path | None = option(
        None, "The clip they were found in: gives times and size, and is drawn on."
    )
    size: str | None = option(
        None,
        "Size of the picture in pixels, e.g. 1280x720.",
        metavar="WxH",
        shown="as the file says",
    )
    rate: float | None = option(None, "Frames per second.", metavar="FPS", shown="as the file says")
    input_format: str | None = option(
        None,
        "Format of the file: pose3d, csv, openpose, mmpose, alphapose, coco, ultralytics, mediapipe "
        "or deeplabcut.",
        metavar="NAME",
        shown="by its content",
    )
    min_score: float = option(0.0, "Keypoints up to this score count as not seen.", metavar="0..1")
    first_frame: int | None = option(
        None,
        "Number that the clip's first frame has in the file.",
        metavar="N",
        shown="as the program that wrote it counts, else the smallest",
    )


@with_flags(*PRESET_NAMES, *_CHAIN, *SMOOTHING_FLAGS, *_PLACING, *_OUTPUTS)
@with_options(ReadOptions)
def lift(
    file: Annotated[
        Path,
        argument(
            "2D keypoints: NPZ or JSON with 'keypoints' (frame, person, joint, 2 or 3: x, y, "
            "score, in pixels), a CSV with the names of joints, a result of pose3d, or the file or "
            "folder that OpenPose, MMPose, AlphaPose, COCO tools, ultralytics, MediaPipe programs or "
            "DeepLabCut wrote.",
        ),
    ],
    *,
    options: ReadOptions,
    given: dict[str, Any],
) -> None:
    """Lift 2D keypoints of your own to 3D, whatever program found them.

    Without --video the drawing shows 3D only. People whom the program did not follow are followed
    here.

    Example: pose3d lift openpose_json/ --video walk.mp4
    """
    from pose3d.cli.config import merge_config, split_options

    chain, outputs, command = split_options(merge_config(given, None), parts=("lifter",))
    if options.video is None:
        outputs = replace(outputs, render=given.get("render", "3d"))
    size_wh = parse_size(options.size) if options.size is not None else None

    from pose3d.errors import caught, raise_all
    from pose3d.files import lock_folder
    from pose3d.keypoint_files.reading import check_joints, read_keypoints
    from pose3d.lift.sequence import make_lifter_for
    from pose3d.pipeline.estimate import choose_people, lift_keypoints
    from pose3d.pipeline.outputs import check_outputs, draw_result, make_folder, write_formats

    check_outputs(outputs)
    folder = Path(outputs.output) / stem_of(file)
    pose = read_keypoints(
        file,
        skeleton=options.skeleton,
        video=options.video,
        size_wh=size_wh,
        rate=options.rate,
        input_format=options.input_format,
        min_score=options.min_score,
        first_frame=options.first_frame,
    )
    drawing = None if outputs.render == "none" else folder / f"{stem_of(file)}.mp4"
    targets = [folder / f"pose.{name}" for name in outputs.format]
    refuse_existing(targets if drawing is None else [*targets, drawing], outputs.overwrite)
    lifter = make_lifter_for(chain)
    if not command.quiet:
        print_changes(lifter.info)
    pose = choose_people(pose, chain.person)
    check_joints(pose, lifter.options.mapping)
    if not command.quiet:
        _print_reading(pose, chain.chosen_by)
    pose = lift_keypoints(pose, chain, lifter=lifter)
    _tell_camera(pose, chain.place, quiet=command.quiet)
    make_folder(folder)
    failures: list[Exception] = []
    with lock_folder(folder):
        made = write_formats(pose, folder, outputs.format, failures)
        written = [path for _, paths in made for path in paths]
    if drawing is not None:
        hypotheses = chain.hypotheses
        with caught(failures):
            written.append(
                draw_result(pose, options.video, drawing, outputs, hypotheses=hypotheses)
            )
    if not command.quiet:
        _print_written(pose, written, chain.hypotheses)
    raise_all(failures)


def _print_reading(pose: PoseSequence, chosen_by: str | None) -> None:
    """Prints what a preset chose, and what was made of a file of another program."""
    if chosen_by is not None:
        print(chosen_by)
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


def _tell_camera(pose: PoseSequence, place: bool, *, quiet: bool) -> None:
    """Prints where the focal length comes from, and what it costs where it is assumed."""
    from pose3d.result.camera import ASSUMED_WARNING

    assert pose.camera is not None
    if not quiet:
        print(f"camera: {pose.camera.describe()}")
    if place and pose.camera.focal_source == "assumed":
        print_warning(ASSUMED_WARNING)


def _print_written(pose: PoseSequence, written: list[Path], hypotheses: bool) -> None:
    from pose3d.result.spread import describe_spread, summarise_spread

    for path in written:
        print(path)
    groups = summarise_spread(pose) if hypotheses else {}
    if groups:
        print(describe_spread(groups))
