"""The files that a training run goes on from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pose3d.errors import DataError, WeightsError
from pose3d.lab.training.recipe import EpochSchedule, Recipe
from pose3d.lab.training.start import find_start
from pose3d.lift.hourglass import name_readout
from pose3d.weights.finding import sha256_of


def write_checkpoint(path: Path, recipe: Recipe, state: dict[str, Any]) -> None:
    """Writes a checkpoint; it appears only when it is complete.

    Args:
        path: target file.
        recipe: of the run.
        state: tensors and numbers. Weights that the run began with (``start_sha256``) and those of its
            teachers (``teachers_sha256``) are known by their content: they may be moved.
    """
    part = path.with_name(f".{path.name}.part")
    torch.save({"recipe": describe_recipe(recipe), **state}, part)
    part.replace(path)


def read_checkpoint(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Returns what :func:`write_checkpoint` wrote, on the CPU.

    Raises:
        DataError: there is none, or it belongs to another recipe.
        WeightsError: it is damaged.
    """
    if not path.is_file():
        raise DataError(f"There is no checkpoint {path}", "Start without --resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"Checkpoint {path} cannot be read ({error})", "Start without --resume"
        ) from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise WeightsError(f"{path} is no checkpoint of a training run", "Give another --out")
    saved, began = state["recipe"], state.get("start_sha256")  # older checkpoints have no hash
    if recipe.start is not None and began is not None:
        same = began == sha256_of(find_start(recipe.start))
        saved = json.dumps({**json.loads(saved), "start": recipe.start if same else began})
    if recipe.teachers and json.loads(saved).get("teachers"):
        taught = state["teachers_sha256"]
        same = taught == [sha256_of(find_start(name)) for name in recipe.teachers]
        saved = json.dumps({**json.loads(saved), "teachers": recipe.teachers if same else taught})
    if not same_recipe(saved, recipe):
        raise DataError(
            f"Checkpoint {path} was made by another recipe or other options",
            "Give the same options, or another --out",
        )
    return state


def describe_recipe(recipe: Recipe) -> str:
    """Returns a recipe as JSON."""
    return json.dumps(asdict(recipe), sort_keys=True, default=str)


_NEUTRAL = (
    "clips",
    "people",
    "normalisation",
    "mapping",
    "schedule",
    "epoch_steps",
    "optimiser",
    "initial",
    "restarts",
    "start",
    "keep_start",
    "teachers",
    "teacher_share",
    "ahead",
    "more_tracks",
    "straight_knees",
)
"""Fields of recipes that are newer than some checkpoints, whose defaults change nothing."""


def same_recipe(saved: str, recipe: Recipe) -> bool:
    """Tells whether a checkpoint's recipe (JSON) is this one.

    Terms of the loss, options of the batches and fields of ``_NEUTRAL`` that did not exist yet when
    the checkpoint was written had their defaults.
    """
    defaults = json.loads(describe_recipe(Recipe(name=recipe.name)))
    old: dict[str, Any] = {**{name: defaults[name] for name in _NEUTRAL}, **json.loads(saved)}
    for part in ("loss", "batches"):
        old[part] = {**defaults[part], **old.get(part, {})}
    if old["hourglass"] is not None:
        old["hourglass"] = name_readout(old["hourglass"])
    if old["people"] is not None:
        old["people"] = {"guide": 0.0, "guide_after": 2, **old["people"]}
    if old["schedule"] is not None:
        plain = json.loads(json.dumps(asdict(EpochSchedule(epochs=1, decay=1.0))))
        old["schedule"] = {**plain, **old["schedule"]}
    return json.dumps(old, sort_keys=True) == describe_recipe(recipe)
