"""``pose3d storyboard``: the key frames of a clip on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.flags import default_of, with_flags

if TYPE_CHECKING:
    from pose3d.options import RunOptions
    from pose3d.result.record import PoseSequence
    from pose3d.video.sources import Source

_FLAGS = ("device", "offline", "quiet")


@with_flags(*_FLAGS)
def storyboard(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="VIDEO|RESULT",
            help="A video, or a result: pose.npz, pose.json, or their folder.",
            show_default=False,
        ),
    ],
    video: Annotated[
        Path | None,
        typer.Argument(
            help="The clip that the result was made from. (default: the one that it names)",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", "-n", metavar="N", help="Key frames of each person, at most.")
    ] = 12,
    person: Annotated[
        str,
        typer.Option(
            metavar="WHO", help="Whom to show: all, largest, longest, or track ids such as 1,3."
        ),
    ] = "longest",
    lifter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Lifter whose tokens are clustered, see 'pose3d models'. (default: the one that "
            "made the result)",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A .png file, or a folder in which the clip gets a folder of its own. (default: "
            "beside the result; for a video out/NAME/)",
            show_default=False,
        ),
    ] = None,
    style: Annotated[str, typer.Option(help="Its colours: light or dark.")] = default_of("style"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a storyboard that exists.")
    ] = False,
    *,
    given: dict[str, Any],
) -> None:
    """Show the key frames of a motion on one sheet: storyboard.png, and storyboard.json.

    They are the frames that stand for the others when the lifter's tokens are clustered. A video
    that has no result yet gets one first, as by pose3d run --render none.

    Example: pose3d storyboard dance.mp4 --frames 8
    """
    from pose3d.cli.edge import print_warning
    from pose3d.cli.files import refuse_existing
    from pose3d.errors import UsageError

    if frames < 1:
        raise UsageError(f"--frames is {frames}", "Give a whole number from 1")
    file = output if output is not None and output.suffix.lower() == ".png" else None
    folder = output if file is None else None

    from pose3d.options import RunOptions, parse_person
    from pose3d.render.style import get_style

    parse_person(person)
    get_style(style)
    chain = {k: v for k, v in given.items() if k in ("device", "offline")}
    if lifter is not None:
        chain["lifter"] = lifter
    options = RunOptions(**chain)
    result = _existing_result(source)
    if result is None:
        if video is not None:
            raise UsageError(f"{source} is a video already", "Give one video, or a result first")
        at = (folder or Path(default_of("output"))) / _find_clip(source).stem
        target = file or at / "storyboard.png"
        refuse_existing([target, target.with_suffix(".json")], overwrite)
        pose, video = _run(source, options, at.parent, quiet=bool(given.get("quiet"))), source
    else:
        from pose3d.cli.files import _stem_of
        from pose3d.result.record import load

        at = result.parent if folder is None else folder / _stem_of(result)
        target = file or at / "storyboard.png"
        refuse_existing([target, target.with_suffix(".json")], overwrite)
        pose = load(result)

    from pose3d.storyboard.storyboard import make_storyboard

    board = make_storyboard(
        pose,
        target,
        video=video,
        frames=frames,
        person=person,
        lifter=lifter,
        style=style,
        device=options.device,
        offline=options.offline,
        on_warning=print_warning,
    )
    for people in board.people:
        if len(people.frames) < frames and not given.get("quiet"):
            print(
                f"person {people.person_id}: {len(people.frames)} key frames instead of {frames}, "
                "the rest would look like one of them"
            )
    if not given.get("quiet"):
        print(board.picture)
        print(board.listing)


def _existing_result(source: Path) -> Path | None:
    """Returns the result that the argument names; None when it is a video or a folder of images."""
    from pose3d.cli.files import find_result

    if source.is_dir():
        named = any((source / name).is_file() for name in ("pose.npz", "pose.json"))
        return find_result(source) if named else None
    return source if source.suffix.lower() in (".npz", ".json") else None


def _find_clip(source: Path) -> Source:
    """Returns the clip that the argument names; its stem is as ``pose3d run`` chooses it.

    Raises:
        UsageError: it stands for several, or for a camera.
        VideoError: it does not exist.
    """
    from pose3d.errors import UsageError
    from pose3d.video.sources import find_inputs

    found = find_inputs([str(source)])
    if len(found) != 1:
        raise UsageError(f"{source} holds {len(found)} clips", "Give one of them")
    if found[0].kind == "camera":
        raise UsageError(
            f"{source} is a camera", "Record it with pose3d run, then give the result's folder"
        )
    return found[0]


def _run(source: Path, options: RunOptions, folder: Path, *, quiet: bool) -> PoseSequence:
    """Runs the chain on a clip, or takes the result that is there and up to date.

    Raises:
        ResultFileError: the folder holds another result.
        typer.Exit: the run failed; the report has said why.
    """
    from pose3d.cli.report import RunReport
    from pose3d.cli.run import exit_code, fetch_weights
    from pose3d.errors import ResultFileError
    from pose3d.options import OutputOptions
    from pose3d.pipeline.batch.clips import run_batch
    from pose3d.pipeline.batch.state import make_plan
    from pose3d.result.record import load

    clip = _find_clip(source)
    outputs = OutputOptions(output=str(folder), format=("npz",), render="none")
    try:
        plan = make_plan(clip, options, outputs)
    except ResultFileError as error:
        # What a run would advise, --overwrite, replaces only storyboards here.
        raise ResultFileError(
            error.what,
            f"To show what is there: pose3d storyboard {folder / clip.stem}; or give another --output",
        ) from error
    report = RunReport([clip], quiet=quiet, verbose=False)
    if plan.estimate and not options.offline:
        fetch_weights(options, report.say)
    with report:
        outcomes = run_batch([clip], options, outputs, watcher=report)
    if exit_code(outcomes):
        raise typer.Exit(exit_code(outcomes))
    return load(outcomes[0].folder / "pose.npz")
