"""What the flags of ``pose3d train`` change in a recipe, what they refuse, and what has to be said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pose3d.lab.training.recipe import Recipe


def with_strategy(recipe: Recipe, given: dict[str, Any]) -> tuple[Recipe, list[str]]:
    """Returns the recipe with another pruning or recovery, and in what it differs."""
    from pose3d.lab.training.recipes import vary_recipe
    from pose3d.lift.restructure import HourglassChange, describe_changes
    from pose3d.options import RunOptions

    varied = vary_recipe(recipe, HourglassChange.of(RunOptions(**given)))
    return varied, describe_changes(recipe.hourglass, varied.hourglass)


def with_knees(recipe: Recipe, straight: bool) -> Recipe:
    """Returns the recipe with the knees of its motions straightened, or as recorded."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None:
        flag = f"--{'' if straight else 'no-'}straight-knees"
        raise UsageError(
            f"Recipe {recipe.name} trains on a published data set, and {flag} is about motion files",
            "Leave it out, or take another recipe",
        )
    return replace(recipe, straight_knees=straight)


def with_motions(recipe: Recipe, files: list[Path], *, has_data: bool) -> tuple[Recipe, list[str]]:
    """Returns the recipe with other motion files, and what has to be said about it."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None:
        raise UsageError(
            f"Recipe {recipe.name} trains on a published data set, not on motion files",
            "Leave --motions out, or take another recipe",
        )
    # Absolute, so that the data folder does not come before them.
    names = tuple(str(file.resolve()) for file in files)
    notes = [f"motions: {', '.join(map(str, files))}; the licence of the weights is yours to state"]
    if not has_data and recipe.track_file is not None:
        notes.append("no --data: no real detector tracks, made-up detector noise alone")
        recipe = replace(recipe, track_file=None)
    return replace(recipe, motion_files=names), notes


def with_tracks(recipe: Recipe, files: list[Path]) -> tuple[Recipe, list[str]]:
    """Returns the recipe with more real tracks, and what has to be said about it."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None:
        raise UsageError(
            f"Recipe {recipe.name} trains on a published data set, not on detector tracks",
            "Leave --tracks out, or take another recipe",
        )
    if recipe.track_file is None:
        raise UsageError("--tracks join the recipe's own, which are below --data", "Give --data")
    notes = [f"more tracks: {', '.join(map(str, files))}"]
    return replace(recipe, more_tracks=tuple(str(file.resolve()) for file in files)), notes


def with_real_share(recipe: Recipe, share: float) -> Recipe:
    """Returns the recipe with another share of windows from real tracks."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if recipe.clips is not None or recipe.people is not None or recipe.track_file is None:
        raise UsageError(
            f"There are no detector tracks here that recipe {recipe.name} could take --real-share of",
            "Leave it out, give --data, or take another recipe",
        )
    return replace(recipe, batches=replace(recipe.batches, real_share=share))


def with_teachers(recipe: Recipe, names: list[str] | None, share: float | None) -> Recipe:
    """Returns the recipe with lifters that it learns from."""
    from dataclasses import replace

    from pose3d.errors import UsageError

    if not names:
        if share is not None:
            raise UsageError(
                "--teacher-share was given and no teacher", "Give --teacher, or leave it out"
            )
        return recipe
    if recipe.people is not None:
        raise UsageError(
            f"--teacher is an option of lifters, and {recipe.name} is a 2D network", "Leave it out"
        )
    share = recipe.teacher_share if share is None else share
    return replace(recipe, teachers=tuple(names), teacher_share=share)


def bind_to_sources(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Returns the recipe under its licence and those of the weights that it begins with and learns from.

    Several are joined by AND, as SPDX expressions are. What has to be said about it comes along.
    """
    from dataclasses import replace

    sources = [] if recipe.start is None else [("begins with", recipe.start)]
    sources += [("taught by", name) for name in recipe.teachers]
    notes, licences = [], [recipe.licence]
    for how, name in sources:
        path, licence = _find_licence(name)
        notes.append(f"{how} {path}; their licence ({licence}) binds what comes out")
        licences += [part for part in licence.split(" AND ") if part not in licences]
    if len(licences) > 1:
        recipe = replace(recipe, licence=" AND ".join(licences))
    if recipe.people is not None or len(licences) > 1:
        notes.append(f"licence of the weights: {recipe.licence}")
    return recipe, notes


def _find_licence(name: str) -> tuple[Path, str]:
    """Returns the file of weights and the licence that it states."""
    import json

    from pose3d.lab.training.start import find_start
    from pose3d.weights.network_files import read_tensors

    path = find_start(name)
    options = json.loads(read_tensors(path)[1].get("options", "{}"))
    return path, options.get("licence") or "not stated"


def change(recipe: Recipe, **changes: float | str | None) -> Recipe:
    """Returns the recipe with those values that were given."""
    from dataclasses import replace

    return replace(recipe, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]


def with_crop(recipe: Recipe, crop: str | None) -> Recipe:
    """Returns the recipe with crops of another size, given as ``192x256``."""
    from dataclasses import replace

    from pose3d.cli.files import parse_size
    from pose3d.errors import UsageError
    from pose3d.lab.training.people import change_crop

    if crop is None:
        return recipe
    if recipe.people is None:
        raise UsageError(f"Recipe {recipe.name} has no crops", "Leave out --crop")
    size_wh = parse_size(crop, "--crop", "192x256")
    return replace(recipe, people=change_crop(recipe.people, size_wh))


def refuse_lifter_options(
    recipe: Recipe, given: dict[str, Any], motions: list[Path] | None
) -> None:
    """Raises UsageError where options of lifters were given to a 2D network."""
    from pose3d.errors import UsageError

    if given or motions:
        flag = f"--{next(iter(given)).replace('_', '-')}" if given else "--motions"
        raise UsageError(
            f"{flag} is an option of lifters, and {recipe.name} is a 2D network",
            "Leave it out; its variants are recipes of their own",
        )


def with_clips(recipe: Recipe, hold_out: list[str] | None, detections: str | None) -> Recipe:
    """Returns the recipe with other held-out subjects or detections."""
    from dataclasses import replace

    from pose3d.errors import UsageError, unknown_name

    if not hold_out and detections is None:
        return recipe
    if recipe.clips is None:
        raise UsageError(
            f"Recipe {recipe.name} does not train on Human3.6M",
            "Leave out --hold-out and --detections",
        )
    for subject in hold_out or ():
        if subject not in recipe.clips.subjects:
            raise unknown_name("training subject", subject, recipe.clips.subjects)
    clips = replace(
        recipe.clips,
        hold_out=tuple(hold_out or ()),
        detections=detections or recipe.clips.detections,
    )
    return replace(recipe, clips=clips)
