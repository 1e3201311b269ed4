"""``pose3d evaluate``: figures against truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.edge import add_command, print_changes
from pose3d.cli.evaluate_people import people
from pose3d.cli.evaluate_published import h36m, mpi_inf_3dhp
from pose3d.cli.flags import LIFTER_FLAGS, with_flags
from pose3d.cli.results import Json, Out
from pose3d.cli.results import print_rich_table as _print_table
from pose3d.cli.results import show_clips as _clips
from pose3d.cli.results import show_results as _print
from pose3d.cli.results import write_results as _write
from pose3d.options import PRESET_NAMES

if TYPE_CHECKING:
    pass

app = typer.Typer(
    help="Compare results with exact truth.\n\nExample: pose3d evaluate samples samples",
    no_args_is_help=True,
)
_3D_FLAGS = (
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
)


@with_flags(
    *PRESET_NAMES,
    *_3D_FLAGS,
    "detector",
    "keypoints",
    "tracker",
    "detect_every",
    "flip_test_2d",
    "threads",
)
def samples(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Clips NAME.mp4 with NAME.truth.npz.", show_default=False
        ),
    ],
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Run the whole chain on clips with exact 3D truth and print its errors.

    Beside each figure: that of the 2D network's own 3D guess on the same frames.

    Example: pose3d evaluate samples samples
    """
    from pose3d.cli.config import split_options
    from pose3d.lab.evaluation.samples import evaluate_samples, samples_table
    from pose3d.pipeline.estimate import load_models

    options, _, _ = split_options(given)
    models = load_models(options)
    print_changes(models.lifter.info)
    with _clips() as on_progress:
        results = evaluate_samples(folder, options, models=models, on_progress=on_progress)
    _print(results, samples_table, as_json)
    if not as_json:
        print(f"{results['cpu_ms_frame']:.1f} ms of processor time a frame, all threads together")
        if options.chosen_by is not None:
            print(options.chosen_by)


Keypoints = Annotated[
    list[str] | None,
    typer.Option(
        "--keypoints",
        metavar="NAME[:FILE]",
        help="An estimator; may be given several times. (default: all that can run here)",
        show_default=False,
    ),
]


@with_flags("device", "threads")
def keypoints(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Clips NAME.mp4 with NAME.truth.npz.")
    ] = Path("samples"),
    keypoints: Keypoints = None,
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME[:FILE]",
            help="Who finds the people that the estimators get; truth: the true boxes.",
        ),
    ] = "blazepose",
    every: Annotated[int, typer.Option(metavar="FRAMES", help="Take every n-th frame.")] = 5,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Compare 2D estimators and detectors with exact truth, picture by picture.

    Says how far the 12 limb joints are off in percent of the person's height, who was missed, what a
    frame and a person cost, and which estimators cannot run here and why.

    Example: pose3d evaluate keypoints samples --keypoints blazepose
    """
    from pose3d.lab.evaluation.keypoints import KeypointOptions, evaluate_keypoints
    from pose3d.lab.evaluation.keypoints_report import keypoints_tables

    options = KeypointOptions(
        keypoints=tuple(keypoints or ()), detector=detector, every=every, **given
    )
    with _clips() as on_progress:
        results = evaluate_keypoints(folder, options, on_progress=on_progress)
    if as_json:
        import json

        print(json.dumps(results, indent=1))
        return
    for table in keypoints_tables(results):
        _print_table(table)
    for part in results["skipped"]:
        print(f"skipped: {part['kind']} {part['name']}: {part['lacks']}. {part['todo']}.")


@with_flags(*_3D_FLAGS, "hypotheses")
def tracks(
    file: Annotated[
        Path,
        typer.Argument(help="Track file, e.g. rendered/tracks.npz.", show_default=False),
    ],
    split: Annotated[str, typer.Option(help="Which of its clips: fit or val.")] = "val",
    true_focal: Annotated[
        bool,
        typer.Option("--true-focal", help="Lift with the true focal length, not the assumed one."),
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Lift every frame from its past alone, as for a camera."),
    ] = False,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Lift recorded detector tracks with truth and print the errors: fast, no 2D networks.

    With --hypotheses a second table tells whether their spread is larger where the error is.

    Example: pose3d evaluate tracks data/rendered/tracks.npz
    """
    from pose3d.cli.config import split_options
    from pose3d.lab.evaluation.ambiguity import hypotheses_table
    from pose3d.lab.evaluation.tracks import evaluate_tracks, tracks_table
    from pose3d.lift.sequence import make_lifter_for

    options, _, _ = split_options(given)
    lifter = make_lifter_for(options)
    print_changes(lifter.info)
    with _clips() as on_progress:
        results = evaluate_tracks(
            file,
            lifter,
            split,
            options=options,
            true_focal=true_focal,
            live=live,
            on_progress=on_progress,
        )
    _print(results, tracks_table, as_json)
    if options.hypotheses and not as_json:
        _print(results["hypotheses"], hypotheses_table, as_json)


@with_flags(
    *(flag for flag in _3D_FLAGS if flag != "lifter"),
    "detector",
    "keypoints",
    "flip_test_2d",
    "threads",
)
def wild(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder with mocap/, aist/, rendered/, samples/; what is missing is skipped.",
            show_default=False,
        ),
    ],
    lifter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Lifters, separated by commas or given several times; the bars are about the first. "
            "(default: hot-mixste,mixste.free27,residual)",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where wild.json and wild.png go.")
    ] = Path("out/wild"),
    full: Annotated[
        bool, typer.Option("--full", help="Everything, not pieces chosen with fixed seeds: slow.")
    ] = False,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Evaluate lifters on everything: generated, real, rendered detections, and from pixels.

    Every lifter runs in the same chain, on the same frames, beside the 2D network's own 3D guess.

    Example: pose3d evaluate wild --data data --lifter hot-mixste,mine.safetensors
    """
    import json

    from pose3d.cli.config import split_options
    from pose3d.lab.evaluation.wild import WildOptions, evaluate_wild
    from pose3d.lab.evaluation.wild_report import draw_wild, wild_tables

    options, _, _ = split_options(given)
    names = [n.strip() for n in ",".join(lifter or WildOptions().lifters).split(",")]
    chosen = WildOptions(lifters=tuple(names), full=full)
    _make_folder(out)
    with _clips() as on_progress:
        results = evaluate_wild(data, chosen, options=options, on_step=on_progress)
    (out / "wild.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    draw_wild(results, out / "wild.png")
    if as_json:
        print(json.dumps(results, indent=1))
        return
    for name, entry in results["lifters"].items():
        for change in entry["changes"]:
            print(f"{name}: {change}")
    for table in wild_tables(results):
        _print_table(table)
    for part in results["skipped"]:
        print(f"skipped: {data} has no {part} part")
    if not full:
        print(
            f"Chosen with seed {chosen.seed}: {chosen.pieces} pieces of mocap, {chosen.aist_s:g} s of "
            f"each aist view, {chosen.robust_pieces} pieces per robustness row; --full takes all."
        )
    print(f"written: {out / 'wild.json'}, {out / 'wild.png'}")


def noise(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder with rendered/, aist/ and mocap/.", show_default=False
        ),
    ],
    out: Out = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the results as PNG.", show_default=False),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each piece of motion is filmed.")
    ] = 8,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Compare the 2D noise that training generates with what real detectors do.

    Bias by view, spread, bursts, course in time, exchanged sides, scores, jitter by size, and joints
    that err together, each in percent of the person's size.

    Example: pose3d evaluate noise --data data --out noise.json --plot noise.png
    """
    import json

    from pose3d.errors import UsageError
    from pose3d.lab.evaluation.noise import NoiseOptions, evaluate_noise
    from pose3d.lab.evaluation.noise_report import draw_noise, noise_tables

    for flag, file in (("--out", out), ("--plot", plot)):
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"There is no folder {file.absolute().parent}", f"Check {flag}")
    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(f"{plot} is not named .png", "Give --plot a name that ends in .png")
    with _clips() as on_progress:
        results = evaluate_noise(data, NoiseOptions(rounds=rounds, seed=seed), on_step=on_progress)
    _write(results, out)
    if plot is not None:
        draw_noise(results, plot)
    if as_json:
        print(json.dumps(results, indent=1))
        return
    for table in noise_tables(results):
        _print_table(table)
    for file in (out, plot):
        if file is not None:
            print(f"written: {file}")


def _make_folder(out: Path) -> None:
    from pose3d.errors import ResultFileError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultFileError(
            f"Folder {out} cannot be made ({error.strerror})", "Give another --out"
        ) from error


add_command(app, "samples", samples)
add_command(app, "keypoints", keypoints)
add_command(app, "tracks", tracks)
add_command(app, "h36m", h36m)
add_command(app, "mpi-inf-3dhp", mpi_inf_3dhp)
add_command(app, "wild", wild)
add_command(app, "noise", noise)
add_command(app, "people", people)
