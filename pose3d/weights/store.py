"""Placing finished weights in the user's folder: name checked, hash recorded, all or nothing."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pose3d.errors import UsageError
from pose3d.files import lock_folder
from pose3d.weights import finding

_SUFFIX = ".safetensors"


def check_new_name(name: str, *, taken: Iterable[str] = (), overwrite: bool = False) -> None:
    """Refuses (UsageError) bad names, those in ``taken`` and, unless ``overwrite``, the user's."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)+", name) is None:
        raise UsageError(
            f"{name!r} is no name for weights", "Give ARCH.TAG in lower case, e.g. hot-mixste.mine"
        )
    if name.endswith((".md", _SUFFIX)):
        raise UsageError(f"{name!r} is the name of a file", "Leave the ending out")
    entries = {entry.name: entry for entry in finding.list_weights()}
    if name in taken or (name in entries and entries[name].kind != "user"):
        raise UsageError(f"Weights {name!r} come with pose3d", "Choose another name with --as")
    if name in entries and not overwrite:
        raise UsageError(
            f"There are weights {name!r} already ({finding.target_path(entries[name])})",
            "Choose another name with --as, or replace them with --overwrite",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What became of a published checkpoint."""

    name: str  # of the weights
    path: Path
    options: Any  # that the weights file says about its network
    parameters: int
    facts: Mapping[str, str]  # in words; ``network``, ``assumed`` and ``licence`` among them


def place_import(
    name: str,
    source: Path,
    state: Mapping[str, Tensor],
    options: Any,
    *,
    facts: Mapping[str, str],
    save: Callable[[Path, Mapping[str, str]], None],
) -> Import:
    """Places imported weights with a card that leaves gaps; ``save`` also gets metadata to write."""
    sha256 = finding.sha256_of(source)
    extra = {"source": source.name, "source_sha256": sha256}
    rows = "\n".join(f"- {title}: {text}" for title, text in facts.items() if title != "licence")
    card = f"""# {name}

Licence: {facts["licence"]}

Imported with `pose3d weights import` from `{source.name}`, sha256 `{sha256}`.

{rows}

"assumed" is what the tensors do not tell. To fill in: who published it and where, the paper, the
training data, its licence, how well it does on data that you trust.
"""
    path = place_weights(name, lambda file: save(file, extra), card)
    fixed = ("running_mean", "running_var", "num_batches_tracked", "positions")
    parameters = sum(v.numel() for k, v in state.items() if not k.endswith(fixed))
    return Import(name=name, path=path, options=options, parameters=parameters, facts=facts)


def place_weights(name: str, write: Callable[[Path], None], card: str) -> Path:
    """Writes weights, card and hash into the user's folder, all or nothing.
    ``write`` writes the weights to the path it is given. WeightsError: the folder cannot be written
    to; ResultFileError: another process is writing into it."""
    folder = finding.user_weights_dir()
    target = folder / f"{name}{_SUFFIX}"
    with finding.storing(f"Weights {name!r}"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as new, lock_folder(folder):
            ready = Path(new) / target.name
            write(ready)
            sha256 = finding.sha256_of(ready)
            (Path(new) / "card").write_text(card, encoding="utf-8")
            (Path(new) / "sums").write_text(_sums_with(folder, target.name, sha256), "utf-8")
            os.replace(ready, target)
            os.replace(Path(new) / "card", target.with_suffix(".md"))
            os.replace(Path(new) / "sums", folder / "SHA256SUMS")
    return target


def _sums_with(folder: Path, file_name: str, sha256: str) -> str:
    """Returns the folder's list of hashes with one line added or replaced."""
    path = folder / "SHA256SUMS"
    old = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = [line for line in old if line.strip() and line.split(maxsplit=1)[1:] != [file_name]]
    return "\n".join([*lines, f"{sha256}  {file_name}"]) + "\n"
