"""``pose3d evaluate``: figures against truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pose3d.cli.edge import add_command, print_changes
from pose3d.cli.evaluate_people import people
from pose3d.cli.evaluate_published import h36m, mpi_inf_3dhp
from pose3d.cli.flags import (
    FLAGS_2D,
    LIFTER_FLAGS,
    SMOOTHING_FLAGS,
    argument,
    flag,
    split_list,
    with_flags,
)
from pose3d.cli.results import Json, show_clips, show_results, write_results
from pose3d.options import PRESET_NAMES

app = typer.Typer(
    help="Compare results with exact truth.\n\nExample: pose3d evaluate samples samples",
    no_args_is_help=True,
)
_3D_FLAGS = ("lifter", *LIFTER_FLAGS, "device", "offline", *SMOOTHING_FLAGS)


@with_flags(*PRESET_NAMES, *_3D_FLAGS, *FLAGS_2D)
def samples(
    folder: Annotated[Path, argument("Clips NAME.mp4 with NAME.truth.npz.", metavar="DIR")],
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
    with show_clips() as on_step:
        results = evaluate_samples(folder, options, models=models, on_step=on_step)
    show_results(results, samples_table, as_json)
    if not as_json:
        print(f"{results['cpu_ms_frame']:.1f} ms of processor time a frame, all threads together")
        if options.chosen_by is not None:
            print(options.chosen_by)


@with_flags("device", "threads")
def keypoints(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Clips NAME.mp4 with NAME.truth.npz.")
    ] = Path("samples"),
    keypoints: Annotated[
        list[str] | None,
        flag(
            "An estimator; may be given several times. (default: all that can run here)",
            metavar="NAME[:FILE]",
        ),
    ] = None,
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

    Says how far the 12 limb joints are off in percent of the person's height, who was missed, what
    a frame and a person cost, and which estimators cannot run here and why.

    Example: pose3d evaluate keypoints samples --keypoints blazepose
    """
    from pose3d.lab.evaluation.keypoints import (
        KeypointOptions,
        evaluate_keypoints,
        keypoints_tables,
    )

    options = KeypointOptions(
        keypoints=tuple(keypoints or ()), detector=detector, every=every, **given
    )
    with show_clips() as on_step:
        results = evaluate_keypoints(folder, options, on_step=on_step)
    show_results(results, keypoints_tables, as_json)
    for part in results["skipped"] if not as_json else ():
        print(f"skipped: {part['kind']} {part['name']}: {part['lacks']}. {part['todo']}.")


@with_flags(*_3D_FLAGS, "hypotheses")
def tracks(
    file: Annotated[Path, argument("Track file, e.g. rendered/tracks.npz.")],
    split: Annotated[str, typer.Option(help="Which of its clips: fit or val.")] = "val",
    true_focal: Annotated[
        bool, flag("Lift with the true focal length, not the assumed one.", "--true-focal")
    ] = False,
    live: Annotated[
        bool, flag("Lift every frame from its past alone, as for a camera.", "--live")
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
    with show_clips() as on_step:
        how: dict[str, Any] = {"true_focal": true_focal, "live": live, "on_step": on_step}
        results = evaluate_tracks(file, lifter, split, options=options, **how)
    show_results(results, tracks_table, as_json)
    if options.hypotheses and not as_json:
        show_results(results["hypotheses"], hypotheses_table, as_json)


@with_flags(*_3D_FLAGS[1:], "detector", "keypoints", "flip_test_2d", "threads")
def wild(
    data: Annotated[
        Path,
        flag(
            "Folder with mocap/, aist/, rendered/, samples/; what is missing is skipped.",
            metavar="DIR",
        ),
    ],
    lifter: Annotated[
        list[str] | None,
        flag(
            "Lifters, separated by commas or given several times. "
            "(default: hot-mixste,mixste.free27,residual)",
            metavar="NAMES",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where wild.json goes.")] = Path(
        "out/wild"
    ),
    full: Annotated[
        bool, flag("Everything, not pieces chosen with fixed seeds: slow.", "--full")
    ] = False,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Evaluate lifters on everything: generated, real, rendered detections, and from pixels.

    Every lifter runs in the same chain, on the same frames, beside the 2D network's own 3D guess.

    Example: pose3d evaluate wild --data data --lifter hot-mixste,mine.safetensors
    """
    from pose3d.cli.config import split_options
    from pose3d.lab.evaluation.wild import WildOptions, evaluate_wild
    from pose3d.lab.evaluation.wild_report import wild_tables
    from pose3d.pipeline.outputs import make_folder

    options, _, _ = split_options(given)
    chosen = WildOptions(lifters=split_list(lifter) or WildOptions().lifters, full=full)
    make_folder(out)
    with show_clips() as on_step:
        results = evaluate_wild(data, chosen, options=options, on_step=on_step)
    write_results(results, out / "wild.json")
    for name, entry in results["lifters"].items() if not as_json else ():
        for change in entry["changes"]:
            print(f"{name}: {change}")
    show_results(results, wild_tables, as_json)
    if as_json:
        return
    for part in results["skipped"]:
        print(f"skipped: {data} has no {part} part")
    if not full:
        print(
            f"Chosen with seed {chosen.seed}: {chosen.pieces} pieces of mocap, {chosen.aist_s:g} s "
            f"of each aist view, {chosen.robust_pieces} pieces per robustness row; --full takes all."
        )
    print(f"written: {out / 'wild.json'}")


add_command(app, "samples", samples)
add_command(app, "keypoints", keypoints)
add_command(app, "tracks", tracks)
add_command(app, "h36m", h36m)
add_command(app, "mpi-inf-3dhp", mpi_inf_3dhp)
add_command(app, "wild", wild)
add_command(app, "people", people)
