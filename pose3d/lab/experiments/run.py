"""Carries out an experiment: trains what is not trained yet, measures it, keeps a file a run.

The folder is the state. A run is locked while it is worked on, so several processes may share one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pose3d.errors import FolderBusyError, ResultFileError
from pose3d.files import lock_folder, parse_json, write_whole
from pose3d.lab.experiments.measure import measure_run
from pose3d.lab.experiments.rows import Experiment, Row
from pose3d.lab.training.checkpoints import describe_recipe
from pose3d.lab.training.data import load_training_data, schedule_epochs
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.start import find_start
from pose3d.version import __version__
from pose3d.weights.finding import sha256_of

RESULT = "result.json"
WEIGHTS = "best.safetensors"
DIALECT = "pose3d-experiment-run"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentOptions:
    """Which rows (none: all), how many seeds and steps at most (None: as they say), and on what."""

    rows: tuple[str, ...] = ()
    seeds: int | None = None
    steps: int | None = None
    device: str = "cpu"
    bf16: bool = False


def run_folder(out: Path, row: str, seed: int) -> Path:
    """Returns where a run keeps its files."""
    return out / f"{row}.{seed}"


def run_experiment(
    experiment: Experiment,
    data: Path,
    out: Path,
    options: ExperimentOptions,
    on_run: Callable[[str, str], None] = lambda run, words: None,
    on_step: Callable[[int], None] = lambda step: None,
) -> int:
    """Carries out the runs that are not done, seed by seed; returns how many another process has.

    ``data`` holds the recipes' files, ``out`` the runs (continued from their last checkpoints).
    ``on_run`` gets a run's name and what happens to it; KeyboardInterrupt in ``on_step`` saves
    first.
    """

    def run_once(row: Row, seed: int) -> bool:
        """Does one run unless it is done; False: another process is at it."""
        folder = run_folder(out, row.name, seed)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RESULT).exists():
            return True
        try:
            with lock_folder(folder):
                if not (folder / RESULT).exists():
                    recipe = replace(row.recipe, seed=seed, steps=options.steps or row.recipe.steps)
                    row = replace(row, recipe=recipe)
                    _train_and_measure(row, data, folder, options, on_run, on_step)
        except FolderBusyError:
            on_run(folder.name, "another process is at it")
            return False
        return True

    runs = list(experiment.runs(options.rows, options.seeds))
    if experiment.start is not None:
        if not run_once(experiment.start, 0):
            return len(runs)
        begin = str((run_folder(out, experiment.start.name, 0) / WEIGHTS).resolve())
        runs = [(replace(row, recipe=replace(row.recipe, start=begin)), seed) for row, seed in runs]
    return sum(not run_once(row, seed) for row, seed in runs)


def _train_and_measure(
    row: Row,
    data: Path,
    folder: Path,
    options: ExperimentOptions,
    say: Callable[[str, str], None],
    on_step: Callable[[int], None],
) -> None:
    training_data = load_training_data(row.recipe, data, options.device)
    recipe = schedule_epochs(row.recipe, training_data)
    trainer = Trainer(recipe, training_data, folder, device=options.device, bf16=options.bf16)
    if (folder / "last.pt").exists():
        trainer.resume()
        say(folder.name, f"goes on at step {trainer.step} of {recipe.steps}")
    else:
        say(folder.name, f"{recipe.steps} steps")

    def between_steps(step: int) -> None:
        try:
            on_step(step)
        except KeyboardInterrupt:
            trainer.save()
            raise

    trainer.train(on_step=between_steps)
    say(folder.name, f"best {trainer.task.metric} {trainer.best:.2f}; measuring")
    measured = measure_run(row, folder / WEIGHTS, data)
    result = {
        "dialect": DIALECT,
        "version": VERSION,
        "row": row.name,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "batch": recipe.batch,
        "recipe_sha256": _recipe_sha256(recipe),
        "start_sha256": None if recipe.start is None else sha256_of(find_start(recipe.start)),
        "bf16": options.bf16,
        "device": options.device,
        "training_s": trainer.seconds,
        trainer.task.metric: trainer.best,
        "pose3d": __version__,
        "data": {  # bytes of a file, None for a folder
            name: (data / name).stat().st_size if (data / name).is_file() else None
            for name in recipe.files
        },
        **measured,
    }
    with write_whole(folder / RESULT) as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _recipe_sha256(recipe: Recipe) -> str:
    """Returns what tells recipes apart in more than seed and start."""
    return sha256(describe_recipe(replace(recipe, seed=0, start=None)).encode()).hexdigest()


def read_runs(experiment: Experiment, out: Path) -> dict[str, list[dict[str, Any]]]:
    """Returns the results so far: row (the shared start too) -> runs in order of seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    start = () if experiment.start is None else (experiment.start,)
    for row in (*start, *experiment.rows):
        for seed in range(row.seeds):
            path = run_folder(out, row.name, seed) / RESULT
            if path.exists():
                found.setdefault(row.name, []).append(_read(path))
    return found


def _read(path: Path) -> dict[str, Any]:
    todo = "Remove it and run again"
    try:
        result = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultFileError(f"{path} cannot be read ({error})", todo) from error
    if not isinstance(result, dict) or result.get("dialect") != DIALECT:
        raise ResultFileError(f"{path} is no result of an experiment", todo)
    if result.get("version") != VERSION:
        raise ResultFileError(f"{path} has another version", todo)
    return result
