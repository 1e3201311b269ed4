"""Every exchangeable model in one list: what it is, under which licence, and whether it can run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pose3d.errors import MissingExtraError, WeightsError
from pose3d.options import RunOptions
from pose3d.parts.installed import NO_WEIGHTS, Candidate, list_names, look_at
from pose3d.parts.presets import choose_all
from pose3d.plugins import PARTS, find_parts, load_part
from pose3d.weights import finding

_OTHERS, _THEIR_LICENCE = "from another package", "see its package"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model."""

    kind: str
    name: str
    is_default: bool
    licence: str = _THEIR_LICENCE
    size_bytes: int | None = None  # of all its weights, here or not; None: not known
    state: str = _OTHERS  # ``ready``, or what is missing
    weights: tuple[str, ...] = ()  # the default ones where none is here
    presets: tuple[str, ...] = ()  # those that take it on this machine


def list_models() -> list[ModelRow]:
    """Returns every model that is known, ready or not; nothing is fetched or made."""
    defaults = RunOptions()
    chosen = {p: a for p, a in choose_all().items() if isinstance(a, RunOptions)}
    rows = [
        *_networks("detector", defaults.detector),
        *_networks("keypoints", defaults.keypoints),
        *_lifters(defaults.lifter),
    ]
    return [_with_presets(row, chosen) for row in rows]


def _with_presets(row: ModelRow, chosen: Mapping[str, RunOptions]) -> ModelRow:
    named = {p: str(getattr(options, row.kind)) for p, options in chosen.items()}
    # A preset may name the weights of a network: rtmpose:rtmpose.body7-s.
    taking = [p for p, name in named.items() if row.name in (name, name.partition(":")[0])]
    return replace(row, presets=tuple(taking))


def _networks(kind: str, default: str) -> Iterator[ModelRow]:
    """Yields detectors or estimators."""
    for name in list_names(kind):
        used_as, found = _with_any_weights(kind, name)
        todo = found.todo
        if found.lacks == NO_WEIGHTS:
            todo = "pose3d weights download"
            if takes := getattr(load_part(kind, name), "ARGUMENT", None):
                todo = f"give a file (--{kind} {name}:{takes})"
            elif name != default:
                todo = f"pose3d weights download {found.weights[0]}"
        ready = "ready" if used_as == name else f"ready as {used_as}"
        if name not in PARTS[kind]:
            ready = _OTHERS
        yield ModelRow(
            kind=kind,
            name=name,
            is_default=name == default,
            licence=found.licence or _THEIR_LICENCE,
            size_bytes=_size_of(found.weights),
            state=f"{found.lacks}: {todo}" if found.lacks else ready,
            weights=found.weights,
        )


def _with_any_weights(kind: str, name: str) -> tuple[str, Candidate]:
    """Looks at a network, with other weights called after it where its default ones are not here."""
    found = look_at(kind, name)
    try:
        takes_weights = hasattr(load_part(kind, name), "ARGUMENT")
    except MissingExtraError:
        takes_weights = False
    if found.lacks and takes_weights:
        for weights in _arguments_here(name):
            other = look_at(kind, f"{name}:{weights}")
            if not other.lacks:
                return f"{name}:{weights}", other
    return name, found


def _arguments_here(name: str) -> list[str]:
    """Returns weights on this machine that are called after a network: names of the table, or files."""
    entries = [e for e in finding.list_weights() if e.name.startswith(f"{name}.")]
    here = [(e, finding.target_path(e)) for e in entries]
    return [e.name if e.is_fetched else str(path) for e, path in here if path.is_file()]


def _size_of(names: tuple[str, ...]) -> int | None:
    """Returns the size of weights (names of the table or of files); None: not known."""
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
        yield ModelRow(kind="lifter", name=name, is_default=name == shown)
