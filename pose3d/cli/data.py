"""``pose3d data``: training material of your own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose3d.cli.edge import add_command, print_warning
from pose3d.cli.flags import argument, split_list, with_options
from pose3d.cli.results import show_clips
from pose3d.errors import UsageError
from pose3d.options import option

if TYPE_CHECKING:
    from pose3d.lab.datasets.mocap.prepare import Prepared

app = typer.Typer(
    help="Prepare training material.\n\nExample: pose3d data prepare mocap",
    no_args_is_help=True,
)
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class PrepareFlags:
    """Flags of ``pose3d data prepare``."""

    unit: str | None = option(None, "m, cm, mm, inch or cmu.", shown="found from the legs")
    up: str | None = option(None, "x, y, z, -x, -y or -z.", shown="found from the pose")
    fps: float | None = option(None, "Rate of the files.", shown="what they state", least=1)
    min_seconds: float = option(1.0, "Drop shorter clips.", metavar="SECONDS", least=0.1)
    val: str = option("", "Subjects to validate on, separated by commas.", metavar="SUBJECTS")
    test: str = option("", "Subjects to test on, separated by commas.", metavar="SUBJECTS")
    licence: str = option("", "Written into the file.")


@with_options(PrepareFlags)
def prepare(
    folder: Annotated[
        Path,
        argument("Folder with .bvh, .amc (and .asf) or .npz files, recursive.", metavar="DIR"),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Motion file (.npz) to write.")],
    *,
    options: PrepareFlags,
) -> None:
    """Turn a folder of motion capture into one file to train on: any skeleton with the usual limbs.

    The subject of a file is the folder it lies in, or its name up to the first underscore. Without
    --val and --test a tenth of the subjects validates; of a single subject, a tenth of the takes.
    Files that cannot be used are left out and named.

    Example: pose3d data prepare mocap --out mine.npz --val anna --test ben,eva
    """
    from pose3d.lab.datasets.mocap.prepare import PrepareOptions, prepare_folder, write_prepared

    _check_target(out, (".npz",))
    how = PrepareOptions(
        unit=options.unit,
        up=options.up,
        fps=options.fps,
        least_s=options.min_seconds,
        val=split_list(options.val),
        test=split_list(options.test),
    )
    prepared = prepare_folder(folder, how)
    write_prepared(prepared, out, options.licence)
    _report(prepared, out)


def _report(prepared: Prepared, out: Path) -> None:
    for sentence in prepared.found:
        print(sentence)
    for name, why in prepared.left_out:
        print_warning(f"{name}: {why}")
    absent = []
    for split in _SPLITS:
        clips = [c for c in prepared.clips if c.split == split]
        subjects = ", ".join(sorted({c.subject for c in clips})) or "-"
        minutes = sum(len(c.joints_m) / c.fps for c in clips) / 60
        print(f"{split}: {len(clips)} clips, {minutes:.1f} minutes, subjects {subjects}")
        if not clips and split != "test":
            absent.append(split)
    how = "" if absent else f" (train with: pose3d train RECIPE --motions {out})"
    print(f"written: {out}{how}")
    todo = {
        "val": "Name subjects with --val, add a second recording,",
        "train": "Name fewer subjects with --val and --test, add recordings,",
    }
    for split in absent:
        print_warning(
            f"no clip of split {split!r}, so the file cannot be trained on alone. {todo[split]} or "
            "give 'pose3d train' another file with a second --motions."
        )


@dataclass(frozen=True, kw_only=True)
class FilmFlags:
    """Flags of ``pose3d data film``."""

    data: Path | None = option(
        None, "Folder with mocap/cmu.npz and mocap/accad.npz.", metavar="DIR"
    )
    out: Path | None = option(None, "Track file (.npz) to write.", metavar="FILE")
    sheet: Path | None = option(
        None,
        "Only draw a picture (.jpg, .png) of 12 clips: truth green, BlazePose red.",
        metavar="FILE",
    )
    motions: tuple[Path, ...] = option(
        (),
        "Motion file with 17 joints, toes, heels and ears instead; may be repeated.",
        metavar="FILE",
    )
    clips: int = option(900, "How many.", least=1)
    frames: int = option(64, "Frames of a clip, at 25 or 30 a second.", least=2)
    seed: int = option(0, "Of everything random.", least=0)
    split: str = option(
        "train",
        "Whose motions: train, val or test. The last two become tracks to evaluate on.",
        metavar="NAME",
    )
    vary: bool = option(
        False,
        "Most people take poses that nobody recorded: other upper bodies, bent further, thrown over.",
        one_way=True,
    )
    keypoints: str = option("blazepose", "Who looks: blazepose or blazepose-heavy.", metavar="NAME")
    workers: int | None = option(None, "Processes.", shown="one for each core", least=1)
    slim: bool = option(
        False,
        "Only what training reads (not evaluate tracks), rounded: a third of the size.",
        one_way=True,
    )


@with_options(FilmFlags)
def film(*, options: FilmFlags) -> None:
    """Film synthetic people and note what BlazePose sees: detector tracks with exact 3D truth.

    CC0 bodies of all builds move as recorded people did, in rooms and yards, before cameras of all
    kinds; OpenGL draws them, on the CPU where there is no GPU. Needs the extra 'film'. An interrupted run
    goes on with the same command.

    Example: pose3d data film --data data --out tracks.npz
    """
    from pose3d.lab.synthesis.tracks import FilmOptions
    from pose3d.lab.training.recipe import SAMPLE_TRIALS, Recipe

    if not options.motions and options.data is None:
        raise UsageError("No recordings were given", "Give --data DIR or --motions FILE")
    folder, recorded = options.data or Path(), Recipe(name="film").motion_files
    files = list(options.motions) or [folder / name for name in recorded]
    how = FilmOptions(
        clips=options.clips,
        frames=options.frames,
        seed=options.seed,
        leave_out=SAMPLE_TRIALS,
        split=options.split,
        vary=options.vary,
        slim=options.slim,
        keypoints=options.keypoints,
    )
    target = options.sheet or options.out
    if target is None:
        raise UsageError("Nothing to write was named", "Give --out FILE.npz, or --sheet FILE.jpg")
    _check_target(target, (".jpg", ".png") if options.sheet else (".npz",))
    print("reading the body model (two minutes the first time)")
    if options.sheet:
        from pose3d.lab.synthesis.sheet import draw_sheet

        draw_sheet(files, target, how)
        print(f"written: {target}")
        return
    from pose3d.lab.synthesis.film import film as film_people

    with show_clips() as progress:
        workers = options.workers or os.cpu_count() or 1
        seen = film_people(files, target, how, workers=workers, progress=progress)
    print(f"written: {target}, {how.clips} clips, a person found in {seen} frames")
    if how.split == "train":
        print(f"train with: pose3d train RECIPE --data {options.data or 'DIR'} --tracks {target}")
    else:
        print(f"evaluate with: pose3d evaluate tracks {target}")


def _check_target(path: Path, kinds: tuple[str, ...]) -> None:
    if path.suffix not in kinds:
        raise UsageError(f"{path} is no {kinds[0]} file", f"Give FILE{kinds[0]}")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"Folder {path.parent} does not exist", "Make it first")


add_command(app, "prepare", prepare)
add_command(app, "film", film)
