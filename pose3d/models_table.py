"""Every exchangeable model in one list: what it is, under which licence, and whether it can run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pose3d import weights
from pose3d.errors import WeightsError
from pose3d.installed import NO_WEIGHTS, TABLES, list_names, try_model
from pose3d.options import RunOptions
from pose3d.presets import choose_all
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
        presets: those that take it on this machine, see :mod:`pose3d.presets`.
    """

    kind: str
    name: str
    is_default: bool
    licence: str
    size_bytes: int | None
    state: str
    weights: tuple[str, ...]
    presets: tuple[str, ...] = ()


def list_models() -> Iterator[ModelRow]:
    """Yields every model that is known, ready or not. Nothing is fetched."""
    defaults, chosen = RunOptions(), choose_all()
    for kind, default in (("detector", defaults.detector), ("keypoints", defaults.keypoints)):
        yield from (_with_presets(row, chosen) for row in _networks(kind, default))
    yield from (_with_presets(row, chosen) for row in _lifters(defaults.lifter))


def _with_presets(row: ModelRow, chosen: Mapping[str, RunOptions]) -> ModelRow:
    """Returns a row with the presets that take it."""
    taking = [p for p, options in chosen.items() if getattr(options, row.kind) == row.name]
    return replace(row, presets=tuple(taking))


def _networks(kind: str, default: str) -> Iterator[ModelRow]:
    """Yields detectors or estimators. They are made, for only then is it sure that they run here."""
    sizes = {entry.name: entry.size_bytes for entry in weights.list_weights()}
    for name in list_names(kind):
        tried = try_model(kind, name, threads=1)
        todo = tried.todo
        if tried.lacks == NO_WEIGHTS:
            todo = "pose3d weights download"
            if name != default:
                todo = f"give a file (--{kind} {_with_argument(kind, name, TABLES[kind])})"
        used = tried.model.info.weights if tried.model is not None else ()
        known = [sizes[w] for w in used if w in sizes]
        yield ModelRow(
            kind=kind,
            name=name,
            is_default=name == default,
            licence=tried.licence,
            size_bytes=sum(s or 0 for s in known) if known else None,
            state=f"{tried.lacks}: {todo}" if tried.lacks else "ready",
            weights=used,
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
