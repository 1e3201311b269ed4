"""``pose3d data``: training material of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pose3d.cli.edge import add_command

app = typer.Typer(
    help="Prepare training material.\n\nExample: pose3d data prepare mocap",
    no_args_is_help=True,
)


def prepare(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder with .bvh, .amc (and .asf) or .npz files, recursive."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Motion file (.npz) to write.")],
    unit: Annotated[
        str | None,
        typer.Option(
            help="m, cm, mm, inch or cmu. (default: found from the legs)", show_default=False
        ),
    ] = None,
    up: Annotated[
        str | None,
        typer.Option(
            help="x, y, z, -x, -y or -z. (default: found from the pose)", show_default=False
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=1, help="Rate of the files. (default: what they state)", show_default=False
        ),
    ] = None,
    min_seconds: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Drop shorter clips.")
    ] = 1.0,
    val: Annotated[
        str, typer.Option(metavar="SUBJECTS", help="Subjects to validate on, separated by commas.")
    ] = "",
    test: Annotated[
        str, typer.Option(metavar="SUBJECTS", help="Subjects to test on, separated by commas.")
    ] = "",
    licence: Annotated[str, typer.Option(help="Written into the file.")] = "",
) -> None:
    """Turn a folder of motion capture into one file to train on: any skeleton with the usual limbs.

    The subject of a file is the folder it lies in, or its name up to the first underscore. Without
    --val and --test a tenth of the subjects validates; of a single subject, a tenth of the takes.
    Files that cannot be used are left out and named.

    Example: pose3d data prepare mocap --out mine.npz --val anna --test ben,eva
    """
    from pose3d.cli.edge import print_warning
    from pose3d.errors import UsageError
    from pose3d.lab.datasets.mocap.prepare import PrepareOptions, prepare_folder, write_prepared

    def names(text: str) -> tuple[str, ...]:
        return tuple(n.strip() for n in text.split(",") if n.strip())

    if out.suffix != ".npz":
        raise UsageError(f"--out {out} is no .npz file", "Give FILE.npz")
    if not out.resolve().parent.is_dir():
        raise UsageError(f"Folder {out.parent} does not exist", "Make it first")
    options = PrepareOptions(
        unit=unit, up=up, fps=fps, least_s=min_seconds, val=names(val), test=names(test)
    )
    prepared = prepare_folder(folder, options)
    write_prepared(prepared, out, licence)
    for sentence in prepared.found:
        print(sentence)
    for name, why in prepared.left_out:
        print_warning(f"{name}: {why}")
    for split in ("train", "val", "test"):
        clips = [c for c in prepared.clips if c.split == split]
        subjects = sorted({c.subject for c in clips})
        minutes = sum(len(c.joints_m) / c.fps for c in clips) / 60
        print(
            f"{split}: {len(clips)} clips, {minutes:.1f} minutes, subjects {', '.join(subjects) or '-'}"
        )
    there = {clip.split for clip in prepared.clips}
    absent = [split for split in ("train", "val") if split not in there]
    how = "" if absent else f" (train with: pose3d train RECIPE --motions {out})"
    print(f"written: {out}{how}")
    for split in absent:
        print_warning(_missing_split(split))


def film(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with mocap/cmu.npz and mocap/accad.npz.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Track file (.npz) to write.", show_default=False),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Only draw a picture (.jpg, .png) of 12 clips: truth green, BlazePose red.",
            show_default=False,
        ),
    ] = None,
    motions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Motion file with 17 joints, toes, heels and ears instead; may be repeated.",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 900,
    frames: Annotated[
        int, typer.Option(min=2, help="Frames of a clip, at 25 or 30 a second.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    split: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Whose motions: train, val or test. The last two become tracks to evaluate on.",
        ),
    ] = "train",
    vary: Annotated[
        bool,
        typer.Option(
            "--vary",
            help="Most people take poses that nobody recorded: other upper bodies, bent further, thrown over.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes. (default: one for each core)", show_default=False),
    ] = None,
    slim: Annotated[
        bool,
        typer.Option(
            "--slim",
            help="Only what training reads (not evaluate tracks), rounded: a third of the size.",
        ),
    ] = False,
) -> None:
    """Film made people and note what BlazePose sees: detector tracks with exact 3D truth.

    CC0 bodies of all builds move as recorded people did, in rooms and yards, before cameras of all
    kinds; OpenGL draws them, on the CPU where there is no GPU. Needs the extra 'film'. An interrupted run
    goes on with the same command.

    Example: pose3d data film --data data --out tracks.npz
    """
    import os
    from dataclasses import replace

    from pose3d.cli.results import show_clips
    from pose3d.errors import UsageError, unknown_name
    from pose3d.lab.synthesis.sheet import SHEET_CLIPS, draw_sheet
    from pose3d.lab.synthesis.tracks import FilmOptions
    from pose3d.lab.synthesis.tracks import film as film_people
    from pose3d.lab.training.recipe import SAMPLE_TRIALS, Recipe

    if motions is None and data is None:
        raise UsageError("No recordings were given", "Give --data DIR or --motions FILE")
    files = motions or [(data or Path()) / name for name in Recipe(name="film").motion_files]
    if split not in ("train", "val", "test"):
        raise unknown_name("split", split, ("train", "val", "test"))
    if slim and split != "train":
        raise UsageError(
            f"--slim keeps what training reads, and split {split!r} is not trained on",
            "Leave one of them out",
        )
    options = FilmOptions(
        clips=clips,
        frames=frames,
        seed=seed,
        leave_out=SAMPLE_TRIALS,
        split=split,
        vary=vary,
    )
    wanted, kinds = (sheet, (".jpg", ".png")) if sheet is not None else (out, (".npz",))
    if wanted is None:
        raise UsageError("Nothing to write was named", "Give --out FILE.npz, or --sheet FILE.jpg")
    if wanted.suffix not in kinds:
        raise UsageError(f"{wanted} is no {kinds[0]} file", f"Give FILE{kinds[0]}")
    if not wanted.resolve().parent.is_dir():
        raise UsageError(f"Folder {wanted.parent} does not exist", "Make it first")
    print("reading the body model (two minutes the first time)")
    if sheet is not None:
        draw_sheet(files, sheet, replace(options, clips=min(clips, SHEET_CLIPS)))
        print(f"written: {sheet}")
        return
    assert out is not None
    with show_clips() as progress:
        seen = film_people(
            files,
            out,
            options,
            workers=workers or os.cpu_count() or 1,
            slim=slim,
            progress=progress,
        )
    print(f"written: {out}, {clips} clips, a person found in {seen} frames")
    if split == "train":
        print(f"train with: pose3d train RECIPE --data {data or 'DIR'} --tracks {out}")
    else:
        print(f"evaluate with: pose3d evaluate tracks {out}")


def _missing_split(split: str) -> str:
    """Returns what to do about a file that cannot be trained on alone."""
    todo = {
        "val": "Name subjects with --val, add a second recording,",
        "train": "Name fewer subjects with --val and --test, add recordings,",
    }[split]
    return (
        f"no clip of split {split!r}, so the file cannot be trained on alone. {todo} or give "
        "'pose3d train' another file with a second --motions."
    )


add_command(app, "prepare", prepare)
add_command(app, "film", film)
