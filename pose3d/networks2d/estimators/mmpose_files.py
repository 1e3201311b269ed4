"""Configurations and checkpoints of MMPose: found by path or name, loaded without running pickles."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose3d.errors import UsageError, WeightsError, unknown_name
from pose3d.networks2d.part import first_line
from pose3d.weights import finding
from pose3d.weights.mirrors import fetch_from_mirrors
from pose3d.weights.network_files import load_pickle


def find_config(name: str) -> tuple[Path, str | None]:
    """Returns the file of a configuration, and the address of its published checkpoint or None.
    ``name`` is a ``.py`` path, an alias of MMPose or the name of a shipped configuration."""
    if name.endswith(".py"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise UsageError(f"There is no file {name}", "Check the path")
        return path, None
    folder = _shipped_folder()
    known: dict[str, tuple[Path, str | None]] = {
        path.stem: (path, None) for path in folder.glob("configs/*2d_keypoint/**/*.py")
    }
    from mmengine.fileio import load

    for listed in load(str(folder / "model-index.yml"))["Import"]:
        if "2d_keypoint" not in listed:
            continue
        for model in load(str(folder / listed))["Models"]:
            # The file's own name counts: some entries are named after another configuration.
            path = folder / model["Config"]
            aliases = model.get("Alias", [])
            for alias in [path.stem, *([aliases] if isinstance(aliases, str) else aliases)]:
                known[alias] = (path, model.get("Weights"))
    if name not in known:
        raise unknown_name("MMPose configuration", name, known)
    return known[name]


def find_checkpoint(
    checkpoint: str | None, published: str | None, name: str, *, offline: bool
) -> Path:
    """Returns the file ``checkpoint``, or if None that of the address ``published``, fetched."""
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        if not path.is_file():
            raise WeightsError(f"There is no file {checkpoint}", "Check the path")
        return path
    if published is None:
        raise WeightsError(
            f"No published checkpoint of {name} is known", f"Write mmpose:{name}:CHECKPOINT.pth"
        )
    path = finding.user_weights_dir() / published.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    by_hand = f"Put what {published} gives at {path}, or name a file: mmpose:{name}:FILE.pth"
    if offline:
        raise WeightsError(f"The checkpoint of {name} is not on this machine", by_hand)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
            failures = fetch_from_mirrors([published], path, Path(folder), _hash_in(path.name))
    except OSError as error:
        raise WeightsError(f"{path} cannot be stored: {error}", by_hand) from error
    if failures:
        raise WeightsError(f"The checkpoint of {name} cannot be fetched: {failures[0]}", by_hand)
    return path


def load_checkpoint(model: Any, path: Path) -> dict[str, Any] | None:
    """Loads weights, which all have to fit; returns the file's data set description or None.
    Pickles are not run: only tensors and arrays are made, MMEngine's counters become empty."""
    try:
        with torch.serialization.safe_globals(_readable()):
            loaded = load_pickle(path)
    except Exception as error:  # torch raises many kinds for files that are no checkpoints
        unread = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds {unread[1]}" if unread else first_line(error)
        raise WeightsError(
            f"{path} cannot be read as a checkpoint: {reason}", "Give a .pth file of MMPose"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{path} holds no weights", "Give a .pth file of MMPose")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{path} does not fit the configuration: {reason}", "Give the two that belong together"
        ) from error
    meta = loaded.get("meta", {}) if "state_dict" in loaded else {}
    described = meta.get("dataset_meta")
    return described if isinstance(described, dict) else None


class _Counter:
    """Takes the place of MMEngine's ``HistoryBuffer``."""


def _no_attribute(*_args: object) -> None:
    """Takes the place of ``getattr``, by which MMEngine's counters name their methods."""


def _readable() -> list[Any]:
    """Returns what torch may make from a checkpoint besides tensors; see ``safe_globals``."""
    kinds = (np.float64, np.float32, np.int64, np.int32, np.bool_, np.str_)
    makers = [np._core.multiarray._reconstruct, np._core.multiarray.scalar]  # type: ignore[attr-defined]
    return [
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in kinds),
        *makers,
        # Files written with NumPy 1 know them under their old address.
        *((maker, f"numpy.core.multiarray.{maker.__name__}") for maker in makers),
        (_Counter, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_no_attribute, "builtins.getattr"),
    ]


def _shipped_folder() -> Path:
    spec = importlib.util.find_spec("mmpose")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / ".mim"


def _hash_in(file_name: str) -> str | None:
    """Returns the first digits of the hash, which OpenMMLab writes into file names."""
    match = re.search(r"-([0-9a-f]{8})(_\d{8})?\.pth$", file_name)
    return match and match[1]
