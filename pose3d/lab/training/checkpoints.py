"""The files that a training run goes on from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pose3d.errors import DataError, WeightsError
from pose3d.files import write_whole
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.start import find_start
from pose3d.weights.finding import sha256_of
from pose3d.weights.network_files import load_pickle


def write_checkpoint(path: Path, recipe: str, state: dict[str, Any]) -> None:
    """Writes the state of a run (tensors and numbers) with what :func:`describe_recipe` said."""
    with write_whole(path, WeightsError) as part:
        torch.save({"recipe": recipe, **state}, part)


def read_checkpoint(path: Path, recipe: str) -> dict[str, Any]:
    """Returns what :func:`write_checkpoint` wrote, on the CPU; DataError: it is of another recipe."""
    if not path.is_file():
        raise DataError(f"There is no checkpoint {path}", "Start without --resume")
    try:
        state = load_pickle(path)
    except Exception as error:
        raise WeightsError(
            f"Checkpoint {path} cannot be read ({error})", "Start without --resume"
        ) from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise WeightsError(f"{path} is no checkpoint of a training run", "Give another --out")
    if state["recipe"] != recipe:
        raise DataError(
            f"Checkpoint {path} was made by another recipe or other options",
            "Give the same options, or another --out",
        )
    return state


def describe_recipe(recipe: Recipe) -> str:
    """Returns a recipe as JSON; weights that it names are known by content: they may be moved."""
    content = replace(
        recipe,
        start=None if recipe.start is None else sha256_of(find_start(recipe.start)),
        teachers=tuple(sha256_of(find_start(name)) for name in recipe.teachers),
    )
    return json.dumps(asdict(content), sort_keys=True, default=str)
