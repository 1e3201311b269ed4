"""What is asked for on top of a named recipe: ``KEY=VALUE`` for any of its fields, files, weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch

from pose3d.errors import UsageError, unknown_name
from pose3d.files import parse_json
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.recipes import get_recipe
from pose3d.lab.training.start import adopt_network, find_start, load_teacher
from pose3d.lab.training.tasks import keeps_some, lifter_options, make_task
from pose3d.lift.hourglass import HourglassOptions
from pose3d.weights.network_files import read_tensors

_FIXED = ("name", "epoch_steps", "people.dataset", "train_only", "many_rates")
_SOURCES = ("clips", "people")  # cannot be taken out of a recipe: they are what it trains on
_MOTIONS = (
    "motion_files",
    "track_file",
    "more_tracks",
    "noise_file",
    "straight_knees",
    "leave_out",
)
_LIFTER = ("sizes", "hourglass", "loss", "normalisation", "mapping", "teachers", "teacher_share")
# Source of a recipe -> fields that change nothing in it.
_IDLE = {
    "motions": ("clips", "people", "schedule"),
    "clips": ("people", *_MOTIONS, "ahead"),
    "people": ("clips", *_MOTIONS, "ahead", "backbone", "batches", *_LIFTER),
}
_FLAGS = {"motion_files": "--motions", "more_tracks": "--tracks", "teachers": "--teacher"}
_WORDS = {"true": True, "false": False}


def choose_recipe(
    name: str,
    settings: Sequence[str] = (),
    *,
    has_data: bool = True,
    motions: Sequence[Path] = (),
    tracks: Sequence[Path] = (),
    **values: Any,
) -> tuple[Recipe, list[str]]:
    """Returns a recipe as it was asked for, and what has to be said about it, without reading data.

    ``settings``: see :func:`change_recipe`; ``motions`` replace the recipe's (and are all there is
    unless ``has_data``), ``tracks`` join them; ``values``: fields; empty ones stay.
    """
    recipe, notes = get_recipe(name), []
    values = {k: v for k, v in values.items() if v is not None and v != ()}
    # Absolute, so that the data folder does not come before them.
    if motions:
        values["motion_files"] = tuple(str(path.resolve()) for path in motions)
        notes.append(
            f"motions: {', '.join(map(str, motions))}; the licence of the weights is yours to state"
        )
        if not has_data and recipe.track_file is not None:
            values["track_file"] = None
            notes.append("no --data: no real detector tracks, generated detector noise alone")
    if tracks:
        values["more_tracks"] = tuple(str(path.resolve()) for path in tracks)
        notes.append(f"more tracks: {', '.join(map(str, tracks))}")
    if recipe.train_only:
        recipe = adopt_network(replace(recipe, start=values.get("start")))
    recipe = change_recipe(recipe, settings, values)
    if not (has_data or motions):
        raise UsageError("No data folder was given", f"Give --data with {', '.join(recipe.files)}")
    recipe, said = bind_to_sources(recipe)
    for teacher in recipe.teachers:
        load_teacher(teacher, lifter_options(recipe))
    return recipe, [*said, *notes]


def change_recipe(recipe: Recipe, settings: Sequence[str], values: Mapping[str, Any]) -> Recipe:
    """Returns a recipe with other values of its fields.

    ``settings``: ``KEY=VALUE`` with dotted names such as ``loss.aligned``, tuples with commas,
    ``none``, ``true`` and ``false``; ``sizes.KEY`` takes JSON. ``values``: dotted name -> value.
    Parts that are lacking begin with their defaults. UsageError: a name is unknown, comes twice or
    changes nothing, a value is not understood, or the network is impossible.
    """
    changes = dict(values)
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise UsageError(f"--set {setting} has no value", f"Write e.g. --set {key}=1")
        if key in changes:
            raise UsageError(f"{key} is set twice", "Set it once")
        changes[key] = _read(key, text)
    # A schedule says what these two say without one.
    scheduled = bool(changes.get("schedule", recipe.schedule))
    for key in changes:
        _refuse_idle(recipe, key, scheduled)
    changed: Recipe = _apply(recipe, changes)
    if changed.track_file is None and changes.keys() & {"batches.real_share", "more_tracks"}:
        raise UsageError(
            f"Recipe {recipe.name} has no detector tracks here",
            "Give --data, or leave --tracks and batches.real_share out",
        )
    if changed.source == "motions" and not changed.motion_files:
        raise UsageError("motion_files is empty", "Name one file or more")
    if not (changed.steps or changed.schedule):
        raise UsageError("steps is 0", "Give 1 or more")
    if "teacher_share" in changes and not changed.teachers:
        raise UsageError("teacher_share is set, and there is no teacher", "Give --teacher")
    if keeps_some(changed) and changed.hourglass and not changed.hourglass.keep_centre:
        raise UsageError(
            "Without a recovery the frame in the middle may have no answer",
            "Set hourglass.keep_centre=true as well",
        )
    try:
        with torch.device("meta"):
            make_task(changed).build()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise UsageError(
            f"The network cannot be built ({error})", f"Give sizes that {changed.backbone} can have"
        ) from error
    return changed


def list_settings(part: type = Recipe, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted name and the type of every field that can be set."""
    hints = get_type_hints(part)
    for field in fields(part):
        name, kind = prefix + field.name, hints[field.name]
        if name in _FIXED:
            continue
        inner = _part_in(kind)
        if get_origin(kind) is Mapping:
            yield f"{name}.KEY", kind
        elif inner is None or (type(None) in get_args(kind) and name not in _SOURCES):
            yield name, kind
        if inner is not None:
            yield from list_settings(inner, f"{name}.")


def _part_in(kind: Any) -> Any:
    """Returns the dataclass in ``Options`` or ``Options | None``; else None."""
    return next((k for k in (kind, *get_args(kind)) if is_dataclass(k)), None)


def _read(key: str, text: str) -> Any:
    if key.startswith("sizes."):
        try:
            return parse_json(text)
        except ValueError:
            return text
    known = dict(list_settings())
    if key not in known:
        near = [name for name in known if name.startswith(key.split(".")[0] + ".")]
        raise unknown_name("setting", key, near or known)
    kind = known[key]
    if text == "none" and type(None) in get_args(kind):
        return None
    if _part_in(kind) is not None:
        raise UsageError(f"{key} cannot be {text!r}", f"Give {key}=none, or set fields of {key}")
    if get_origin(kind) is not tuple:
        simple = next((k for k in get_args(kind) if k is not type(None)), kind)
        return _read_word(key, text, simple)
    words, kinds = [word for word in text.split(",") if word], get_args(kind)
    if kinds[-1] is Ellipsis:
        words = [] if text == "none" else words
        kinds = (kinds[0],) * len(words)
    if len(kinds) != len(words):
        raise UsageError(
            f"{key} has {len(words)} values", f"Give {len(kinds)}, with commas between"
        )
    return tuple(_read_word(key, word, k) for word, k in zip(words, kinds, strict=True))


def _read_word(key: str, word: str, kind: type) -> Any:
    """Returns one word as a bool, number (not below 0) or text."""
    try:
        value = _WORDS[word.lower()] if kind is bool else kind(word)
        if kind in (int, float) and not value >= 0:
            raise ValueError(word)
    except (KeyError, ValueError) as error:
        what = "true or false" if kind is bool else f"{kind.__name__} from 0"
        raise UsageError(f"{key} cannot be {word!r}", f"Give {what}") from error
    return value


def _refuse_idle(recipe: Recipe, key: str, scheduled: bool) -> None:
    idle = key.split(".")[0] in _IDLE[recipe.source]
    idle |= scheduled and key in ("warm_up", "validate_every")
    if recipe.clips is not None and key.startswith("batches."):
        idle = key not in ("batches.frames", "batches.rate_range")
    if idle:
        raise UsageError(
            f"{_FLAGS.get(key, f'--set {key}')} changes nothing in recipe {recipe.name}, which trains "
            f"on {', '.join(recipe.files)}",
            "Leave it out, or take another recipe",
        )


def _apply(part: Any, changes: Mapping[str, Any]) -> Any:
    """Returns a dataclass with all its changes at once: they may need each other."""
    own = {key: value for key, value in changes.items() if "." not in key}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        head, dot, rest = key.partition(".")
        if dot:
            inner.setdefault(head, {})[rest] = value
    for head, its in inner.items():
        old = own.get(head, getattr(part, head))
        if isinstance(old, Mapping):
            own[head] = {**old, **its}
            continue
        if old is None and head == "hourglass":
            old = HourglassOptions(heads=part.sizes.get("heads", HourglassOptions().heads))
        if old is None:
            try:
                old = _part_in(get_type_hints(type(part))[head])()
            except TypeError as error:
                raise UsageError(f"This recipe has no {head}", "Take another recipe") from error
        own[head] = _apply(old, its)
    return replace(part, **own)


def bind_to_sources(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Returns the recipe under the licences of itself, its start and teachers; what to say."""
    sources = [] if recipe.start is None else [("begins with", recipe.start)]
    sources += [("distilled from", name) for name in recipe.teachers]
    notes, licences = [], [recipe.licence]
    for how, name in sources:
        path = find_start(name)
        options = parse_json(read_tensors(path)[1].get("options", "{}"))
        licence = options.get("licence") or "not stated"
        notes.append(f"{how} {path}; their licence ({licence}) binds what comes out")
        licences += [part for part in licence.split(" AND ") if part not in licences]
    if len(licences) > 1:
        recipe = replace(recipe, licence=" AND ".join(licences))
    if recipe.people is not None or len(licences) > 1:
        notes.append(f"licence of the weights: {recipe.licence}")
    return recipe, notes
