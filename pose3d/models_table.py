"""Every exchangeable model in one list: what it is, under which licence, and whether it can run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pose3d import weights
from pose3d.detect import DETECTORS, make_detector
from pose3d.errors import MissingExtraError, Pose3DError, WeightsError
from pose3d.keypoints import KEYPOINTS, make_keypoints
from pose3d.options import RunOptions
from pose3d.types import ModelInfo
from pose3d.variants import find_variants, load_variant


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model.

    Args:
        kind: ``"detector"``, ``"keypoints"`` or ``"lifter"``.
        name: what users type.
        is_default: used when nothing is said.
        licence: of code and weights; empty when it could not be asked.
        size_bytes: of all its weights; None: not known.
        state: ``"ready"``, or what is missing.
        weights: names of its weights.
    """

    kind: str
    name: str
    is_default: bool
    licence: str
    size_bytes: int | None
    state: str
    weights: tuple[str, ...]


def list_models() -> Iterator[ModelRow]:
    """Yields every model that is known, ready or not. Nothing is fetched."""
    defaults = RunOptions()
    yield from _networks("detector", DETECTORS, make_detector, defaults.detector)
    yield from _networks("keypoints", KEYPOINTS, make_keypoints, defaults.keypoints)
    yield from _lifters(defaults.lifter)


def _networks(
    kind: str, table: dict[str, str], make: Callable[..., Any], default: str
) -> Iterator[ModelRow]:
    """Yields detectors or estimators. They are made, for only then is it sure that they run here."""
    sizes = {entry.name: entry.size_bytes for entry in weights.list_weights()}
    for name in sorted(find_variants(kind, table)):
        info, state = ModelInfo(name=name, licence=""), "ready"
        try:
            # A licence that binds is told before anything is installed or fetched.
            licence = getattr(load_variant(kind, name, table), "LICENCE", "")
            info = ModelInfo(name=name, licence=licence)
            info = make(name, device="auto", threads=1, offline=True).info
        except MissingExtraError as error:
            state = f"not installed: {error.todo}"
        except WeightsError:
            state = "weights are not here: " + (
                "pose3d weights download"
                if name == default
                else f"give a file (--{kind} {_with_argument(kind, name, table)})"
            )
        except Pose3DError as error:
            state = error.what
        known = [sizes[w] for w in info.weights if w in sizes]
        yield ModelRow(
            kind=kind,
            name=name,
            is_default=name == default,
            licence=info.licence,
            size_bytes=sum(s or 0 for s in known) if known else None,
            state=state,
            weights=info.weights,
        )


def _with_argument(kind: str, name: str, table: dict[str, str]) -> str:
    """Returns how a user names a model together with a file of weights."""
    argument = getattr(load_variant(kind, name, table), "ARGUMENT", None)
    return f"{name}:{argument}" if argument else name


def _lifters(default: str) -> Iterator[ModelRow]:
    """Yields lifters: one for each file of weights, then those of other packages."""
    from pose3d.lift import LIFTERS

    shown = LIFTERS.get(default, default)
    files = {e.name: e for e in weights.list_weights() if e.file_name.endswith(".safetensors")}
    for name in sorted({*files, *LIFTERS.values()}):
        entry = files.get(name)
        state = "weights are missing"
        if entry is not None:
            try:
                weights.verify(name)
                state = "ready"
            except WeightsError as error:
                state = error.what
        yield ModelRow(
            kind="lifter",
            name=name,
            is_default=name == shown,
            licence=entry.licence if entry else "",
            size_bytes=entry.size_bytes if entry else None,
            state=state,
            weights=(name,),
        )
    for name in sorted(find_variants("lifter", {})):
        yield ModelRow(
            kind="lifter",
            name=name,
            is_default=name == shown,
            licence="see its package",
            size_bytes=None,
            state="from another package",
            weights=(),
        )
