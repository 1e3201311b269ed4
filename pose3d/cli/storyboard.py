"""``pose3d storyboard``: the key frames of a clip on one sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.edge import print_warning
from pose3d.cli.files import RESULT_NAMES, find_result, refuse_existing, stem_of
from pose3d.cli.flags import argument, default_of, with_flags, with_options
from pose3d.errors import ResultFileError, UsageError
from pose3d.options import STYLES, OutputOptions, RunOptions, option, parse_person

if TYPE_CHECKING:
    from pose3d.result.record import PoseSequence
    from pose3d.video.sources import Source


@dataclass(frozen=True, kw_only=True)
class BoardOptions:
    """Flags of ``pose3d storyboard``."""

    frames: int = option(
        12, "Key frames of each person, at most.", names="--frames -n", metavar="N", least=1
    )
    person: str = option(
        "longest", "Whom to show: all, largest, longest, or track ids such as 1,3.", metavar="WHO"
    )
    lifter: str | None = option(
        None,
        "Lifter whose tokens are clustered, see 'pose3d models'.",
        metavar="NAME",
        shown="the one that made the result",
    )
    output: Path | None = option(
        None,
        "A .png file, or a folder in which the clip gets a folder of its own.",
        short="-o",
        metavar="PATH",
        shown="beside the result; for a video out/NAME/",
    )
    style: str = option(default_of("style"), "Its colours: light or dark.", choices=STYLES)
    overwrite: bool = option(False, "Replace a storyboard that exists.", one_way=True)

    def __post_init__(self) -> None:
        parse_person(self.person)

    def target_in(self, folder: Path, stem: str) -> Path:
        """Returns the picture to write, where ``folder`` is that of a result; refuses to replace it."""
        if self.output is None:
            target = folder / "storyboard.png"
        elif self.output.suffix.lower() == ".png":
            target = self.output
        else:
            target = self.output / stem / "storyboard.png"
        refuse_existing([target, target.with_suffix(".json")], self.overwrite)
        return target


@with_flags("stream", "rate", "device", "offline", "quiet")
@with_options(BoardOptions)
def storyboard(
    source: Annotated[
        Path,
        argument(
            "A video, or a result: pose.npz, pose.json, or their folder.", metavar="VIDEO|RESULT"
        ),
    ],
    video: Annotated[
        Path | None,
        argument("The clip that the result was made from. (default: the one that it names)"),
    ] = None,
    *,
    options: BoardOptions,
    given: dict[str, Any],
) -> None:
    """Show the key frames of a motion on one sheet: storyboard.png, and storyboard.json.

    They are the frames that stand for the others when the lifter's tokens are clustered. A video
    that has no result yet gets one first, as by pose3d run --render none.

    Example: pose3d storyboard dance.mp4 --frames 8
    """
    quiet = bool(given.pop("quiet", False))
    result = _existing_result(source)
    reading = {name: given.pop(name) for name in ("stream", "rate") if name in given}
    if result is not None:
        if reading:
            raise UsageError(
                f"--{next(iter(reading))} is for videos, and {result} is a result", "Leave it out"
            )
        from pose3d.result.record import load

        target = options.target_in(result.parent, stem_of(result))
        pose = load(result)
    elif video is not None:
        raise UsageError(f"{source} is a video already", "Give one video, or a result first")
    else:
        clip = _find_clip(source)
        folder = Path(default_of("output")) / clip.stem
        target = options.target_in(folder, clip.stem)
        lifter: dict[str, Any] = {} if options.lifter is None else {"lifter": options.lifter}
        at = options.output if options.output is not None and target != options.output else None
        chain = RunOptions(**given, **lifter, **reading)
        pose, video = _run(clip, chain, at or folder.parent, quiet=quiet), source

    from pose3d.storyboard.storyboard import make_storyboard

    board = make_storyboard(
        pose,
        target,
        video=video,
        frames=options.frames,
        person=options.person,
        lifter=options.lifter,
        style=options.style,
        on_warning=print_warning,
        **given,
    )
    if quiet:
        return
    for people in board.people:
        if len(people.frames) < options.frames:
            print(
                f"person {people.person_id}: {len(people.frames)} key frames instead of "
                f"{options.frames}, the rest would look like one of them"
            )
    print(board.picture)
    print(board.listing)


def _existing_result(source: Path) -> Path | None:
    """Returns the result that the argument names; None when it is a video or a folder of images."""
    if source.is_dir():
        named = any((source / name).is_file() for name in RESULT_NAMES)
        return find_result(source) if named else None
    return source if source.suffix.lower() in (".npz", ".json") else None


def _find_clip(source: Path) -> Source:
    """Returns the clip that the argument names; its stem is as ``pose3d run`` chooses it."""
    from pose3d.video.sources import find_inputs

    found = find_inputs([str(source)])
    if len(found) != 1:
        raise UsageError(f"{source} holds {len(found)} clips", "Give one of them")
    if found[0].kind == "camera":
        raise UsageError(
            f"{source} is a camera", "Record it with pose3d run, then give the result's folder"
        )
    return found[0]


def _run(clip: Source, options: RunOptions, folder: Path, *, quiet: bool) -> PoseSequence:
    """Runs the chain on a clip, or takes the result that is there and up to date."""
    from pose3d.cli.report import RunReport
    from pose3d.cli.run import exit_code
    from pose3d.pipeline.batch.clips import run_batch
    from pose3d.pipeline.batch.state import make_plan, options_for
    from pose3d.result.record import load

    outputs = OutputOptions(output=str(folder), format=("npz",), render="none")
    try:
        make_plan(clip, options_for(clip, options), outputs)
    except ResultFileError as error:
        # What a run would advise, --overwrite, replaces only storyboards here.
        raise ResultFileError(
            error.what,
            f"To show what is there: pose3d storyboard {folder / clip.stem}; or give another --output",
        ) from error
    report = RunReport([clip], quiet=quiet, verbose=False)
    with report:
        outcomes = run_batch([clip], options, outputs, watcher=report)
    if outcomes[0].status == "busy" and outcomes[0].error is not None:
        raise outcomes[0].error
    if exit_code(outcomes):
        raise typer.Exit(exit_code(outcomes))
    return load(outcomes[0].folder / "pose.npz")
