"""``pose3d data``: training material of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from pose3d.cli.edge import add_command, print_warning
from pose3d.cli.flags import flag, split_list
from pose3d.errors import UsageError

if TYPE_CHECKING:
    from pose3d.lab.datasets.mocap.prepare import Prepared
    from pose3d.lab.synthesis.tracks import FilmOptions

app = typer.Typer(
    help="Prepare training material.\n\nExample: pose3d data prepare mocap", no_args_is_help=True
)
_SPLITS = ("train", "val", "test")


def prepare(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder with .bvh, .amc (and .asf) or .npz files, and its subfolders.",
        ),
    ],
    out: Annotated[Path, Option(metavar="FILE", help="Motion file (.npz) to write.")],
    unit: Annotated[
        str | None, flag("m, cm, mm, inch or cmu. (default: found from the legs)")
    ] = None,
    up: Annotated[str | None, flag("x, y, z, -x, -y or -z. (default: found from the pose)")] = None,
    fps: Annotated[
        float | None, flag("Rate of the files. (default: what they state)", min=1)
    ] = None,
    min_seconds: Annotated[
        float, Option(min=0.1, metavar="SECONDS", help="Drop shorter clips.")
    ] = 1.0,
    val: Annotated[
        str, Option(metavar="SUBJECTS", help="Subjects to validate on, separated by commas.")
    ] = "",
    test: Annotated[
        str, Option(metavar="SUBJECTS", help="Subjects to test on, separated by commas.")
    ] = "",
    licence: Annotated[str, Option(help="Licence of the recordings; written into the file.")] = "",
) -> None:
    """Turn a folder of motion capture into one file to train on: any skeleton with the usual limbs.

    The subject of a file is the folder it lies in, or its name up to the first underscore. Without
    --val and --test a tenth of the subjects validates; of a single subject, a tenth of the takes.
    Files that cannot be used are left out and named.

    Example: pose3d data prepare mocap --out mine.npz --val anna --test ben,eva
    """
    from pose3d.lab.datasets.mocap.prepare import PrepareOptions, prepare_folder, write_prepared

    _check_target(out, (".npz",))
    options = PrepareOptions(
        unit=unit, up=up, fps=fps, least_s=min_seconds, val=split_list(val), test=split_list(test)
    )
    prepared = prepare_folder(folder, options)
    write_prepared(prepared, out, licence)
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


def film(
    data: Annotated[
        Path | None, flag("Folder with mocap/cmu.npz and mocap/accad.npz.", metavar="DIR")
    ] = None,
    out: Annotated[Path | None, flag("Track file (.npz) to write.", metavar="FILE")] = None,
    sheet: Annotated[
        Path | None,
        flag(
            "Only draw a picture (.jpg, .png) of 12 clips: truth green, BlazePose red.",
            metavar="FILE",
        ),
    ] = None,
    motions: Annotated[
        list[Path] | None,
        flag(
            "Motion file with 17 joints, toes, heels and ears instead; may be repeated.",
            metavar="FILE",
        ),
    ] = None,
    clips: Annotated[int, Option(min=1, help="How many clips.")] = 900,
    frames: Annotated[int, Option(min=2, help="Frames of a clip, at 25 or 30 a second.")] = 64,
    seed: Annotated[int, Option(min=0, help="Seed of all random draws.")] = 0,
    split: Annotated[
        str,
        Option(
            metavar="NAME",
            help="Whose motions: train, val or test. The last two become tracks to evaluate on.",
        ),
    ] = "train",
    vary: Annotated[
        bool,
        flag(
            "Most people take poses that nobody recorded: other upper bodies, bent further, thrown over.",
            "--vary",
        ),
    ] = False,
    workers: Annotated[int | None, flag("Processes. (default: one for each core)", min=1)] = None,
    slim: Annotated[
        bool,
        flag(
            "Only what training reads (not evaluate tracks), rounded: a third of the size.",
            "--slim",
        ),
    ] = False,
) -> None:
    """Film synthetic people and note what BlazePose sees: detector tracks with exact 3D truth.

    CC0 bodies of all builds move as recorded people did, in rooms and yards, before cameras of all
    kinds; OpenGL draws them, on the CPU where there is no GPU. Needs the extra 'film'. An interrupted run
    goes on with the same command.

    Example: pose3d data film --data data --out tracks.npz
    """
    from pose3d.lab.synthesis.tracks import FilmOptions
    from pose3d.lab.training.recipe import SAMPLE_TRIALS, Recipe

    if motions is None and data is None:
        raise UsageError("No recordings were given", "Give --data DIR or --motions FILE")
    files = motions or [(data or Path()) / name for name in Recipe(name="film").motion_files]
    options = FilmOptions(
        clips=clips,
        frames=frames,
        seed=seed,
        leave_out=SAMPLE_TRIALS,
        split=split,
        vary=vary,
        slim=slim,
    )
    target = sheet or out
    if target is None:
        raise UsageError("Nothing to write was named", "Give --out FILE.npz, or --sheet FILE.jpg")
    _check_target(target, (".jpg", ".png") if sheet else (".npz",))
    print("reading the body model (two minutes the first time)")
    if sheet:
        from pose3d.lab.synthesis.sheet import draw_sheet

        draw_sheet(files, sheet, options)
        print(f"written: {sheet}")
    else:
        _film(files, target, options, workers, str(data or "DIR"))


def _film(
    files: list[Path], out: Path, options: FilmOptions, workers: int | None, data: str
) -> None:
    import os

    from pose3d.cli.results import show_clips
    from pose3d.lab.synthesis.film import film as film_people

    processes = workers or os.cpu_count() or 1
    with show_clips() as progress:
        seen = film_people(files, out, options, workers=processes, progress=progress)
    print(f"written: {out}, {options.clips} clips, a person found in {seen} frames")
    if options.split == "train":
        print(f"train with: pose3d train RECIPE --data {data} --tracks {out}")
    else:
        print(f"evaluate with: pose3d evaluate tracks {out}")


def _check_target(path: Path, kinds: tuple[str, ...]) -> None:
    if path.suffix not in kinds:
        raise UsageError(f"{path} is no {kinds[0]} file", f"Give FILE{kinds[0]}")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"Folder {path.parent} does not exist", "Make it first")


add_command(app, "prepare", prepare)
add_command(app, "film", film)
