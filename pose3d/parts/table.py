"""Every exchangeable model in one list: what it is, under which licence, and whether it can run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pose3d.errors import MissingExtraError, WeightsError
from pose3d.options import RunOptions
from pose3d.parts.installed import (
    NO_WEIGHTS,
    Attempt,
    list_names,
    try_model,
)
from pose3d.parts.presets import choose_all
from pose3d.plugins import PARTS, find_parts, load_part
from pose3d.weights import finding

DEFAULT_WEIGHTS_OF = {
    ("detector", "blazepose"): "blazepose.detection",
    ("keypoints", "blazepose"): "blazepose.landmark-full",
    ("keypoints", "rtmpose"): "rtmpose.body7-m",
    ("detector", "rtmdet"): "rtmdet.person-m",
    ("detector", "yolox"): "yolox.humanart-m",
}
"""Kind and name -> weights of the table that it uses unless told otherwise. Written by hand: a class
whose package is missing cannot be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model.

    Args:
        kind: ``"detector"``, ``"keypoints"`` or ``"lifter"``.
        name: what users type.
        is_default: used when nothing is said.
        licence: of code and weights; empty when it could not be asked.
        size_bytes: of all its weights, here or not; None: not known.
        state: ``"ready"``, or what is missing.
        weights: names of its weights; of the default ones where none is here.
        presets: those that take it on this machine, see :mod:`pose3d.parts.presets`.
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
    named = {p: str(getattr(options, row.kind)) for p, options in chosen.items()}
    # A preset may name the weights of a network: rtmpose:rtmpose.body7-s.
    taking = [p for p, name in named.items() if row.name in (name, name.partition(":")[0])]
    return replace(row, presets=tuple(taking))


def _networks(kind: str, default: str) -> Iterator[ModelRow]:
    """Yields detectors or estimators. They are made, for only then is it sure that they run here."""
    for name in list_names(kind):
        tried = _try_with_any_weights(kind, name)
        todo = tried.todo
        if tried.lacks == NO_WEIGHTS:
            todo = "pose3d weights download"
            if name != default:
                todo = f"give a file (--{kind} {_with_argument(kind, name)})"
        unused = DEFAULT_WEIGHTS_OF.get((kind, name))
        used = tried.model.info.weights if tried.model is not None else (unused,) if unused else ()
        ready = "ready" if tried.name == name else f"ready as {tried.name}"
        yield ModelRow(
            kind=kind,
            name=name,
            is_default=name == default,
            licence=tried.licence,
            size_bytes=_size_of(used),
            state=f"{tried.lacks}: {todo}" if tried.lacks else ready,
            weights=used,
        )


def _try_with_any_weights(kind: str, name: str) -> Attempt:
    """Makes a network, with other weights that are called after it where its default ones are not here."""
    tried = try_model(kind, name, threads=1)
    if tried.model is not None or getattr(_class_of(kind, name), "ARGUMENT", None) is None:
        return tried
    again = (try_model(kind, f"{name}:{w}", threads=1) for w in _arguments_here(name))
    return next((a for a in again if not a.lacks), tried)


def _class_of(kind: str, name: str) -> object:
    """Returns a network's class; None where its package is not installed."""
    try:
        return load_part(kind, name)
    except MissingExtraError:
        return None


def _arguments_here(name: str) -> list[str]:
    """Returns weights on this machine that are called after a network: names of the table, or files."""
    entries = [e for e in finding.list_weights() if e.name.startswith(f"{name}.")]
    here = [(e, finding.target_path(e)) for e in entries]
    return [e.name if e.is_fetched else str(path) for e, path in here if path.is_file()]


def _size_of(names: tuple[str, ...]) -> int | None:
    """Returns the size of weights, of the files where they are here; None: not known.

    Args:
        names: in the table or of files, as models say them.
    """
    entries = finding.list_weights()
    known = {e.name: e for e in entries} | {e.file_name: e for e in entries}
    total = 0
    for name in names:
        if name not in known:
            return None
        path = finding.target_path(known[name])
        size = path.stat().st_size if path.is_file() else known[name].size_bytes
        if size is None:
            return None
        total += size
    return total if names else None


def _with_argument(kind: str, name: str) -> str:
    """Returns how a user names a model together with a file of weights."""
    argument = getattr(load_part(kind, name), "ARGUMENT", None)
    return f"{name}:{argument}" if argument else name


def _lifters(default: str) -> Iterator[ModelRow]:
    """Yields lifters: one for each file of weights, then those of other packages."""
    from pose3d.lift.sequence import LIFTERS

    shown = LIFTERS.get(default, default)
    files = {e.name: e for e in finding.list_weights() if e.file_name.endswith(".safetensors")}
    # Imported networks of keypoints lie in the same folder.
    files = {n: e for n, e in files.items() if n.partition(".")[0] not in PARTS["keypoints"]}
    for name in sorted({*files, *LIFTERS.values()}):
        entry = files.get(name)
        state = "weights are missing"
        if entry is not None:
            try:
                finding.verify(name)
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
    for name in sorted(find_parts("lifter")):
        yield ModelRow(
            kind="lifter",
            name=name,
            is_default=name == shown,
            licence="see its package",
            size_bytes=None,
            state="from another package",
            weights=(),
        )
