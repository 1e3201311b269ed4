"""The table of weights: what exists, where it lies, how it is fetched and checked.

Four kinds of entries:

* ``wheel``: a file inside a published Python wheel. ``pip download`` fetches the wheel by name and
  version (so a mirror, a proxy or an offline index configured for pip is respected, and no address
  is written here); wheel and member are checked against the hashes below and only the member is kept.
* ``mirror``: a file at one of several addresses, plain or alone in a zip. Of no use to the default
  chain, fetched only when asked for by name.
* ``packaged``: lifters that ship with pose3d, found by their file names.
* ``user``: files that the user imported or trained, found by their file names in the cache folder.

Nothing is ever loaded without its hash being right, where a hash is known.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from pose3d.errors import WeightsError, unknown_name
from pose3d.mirrors import fetch_from_mirrors
from pose3d.openmmlab import OPENMMLAB_ONNX, PublishedOnnx

_PACKAGE = Path(__file__).resolve().parent
_LIFTER_SUFFIX = ".safetensors"
_PIP_TIMEOUT_S = 900
_REINSTALL = "Install pose3d again, or put the right file there"
_REIMPORT = "Import or train them again (pose3d weights import FILE --as NAME --overwrite)"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """A file inside a wheel of the Python package index.

    Args:
        requirement: exact version, e.g. ``"mediapipe==0.10.21"``.
        sha256: of the wheel.
        size_bytes: of the wheel, to tell the user what is downloaded.
        path: of the file inside the wheel.
    """

    requirement: str
    sha256: str
    size_bytes: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One file of weights.

    Args:
        name: ``arch.tag``, what users type.
        file_name: name of the file on disk.
        kind: ``"wheel"``, ``"packaged"`` or ``"user"``.
        source: where it comes from, in words.
        licence: SPDX identifier, or what the model card says.
        sha256: of the file; None where nobody stated one (files of the user).
        size_bytes: of the file; None when it is not there and unknown.
        member: where to fetch it (kind ``"wheel"``).
        mirrors: addresses of the file, or of a zip with it, in the order in which they are tried
            (kind ``"mirror"``).
    """

    name: str
    file_name: str
    kind: str
    source: str
    licence: str
    sha256: str | None
    size_bytes: int | None
    member: WheelMember | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def is_fetched(self) -> bool:
        """It is fetched when needed, rather than shipped or placed by the user."""
        return self.member is not None or bool(self.mirrors)


def _mediapipe(path: str) -> WheelMember:
    return WheelMember(
        requirement="mediapipe==0.10.21",
        sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        size_bytes=35_622_638,
        path=path,
    )


def _onnx(published: PublishedOnnx) -> WeightsEntry:
    return WeightsEntry(
        name=published.name,
        file_name=f"{published.name}.onnx",
        kind="mirror",
        source=published.source,
        licence=f"Apache-2.0; trained on {published.data}: not for commercial use",
        sha256=published.sha256,
        size_bytes=published.size_bytes,
        mirrors=published.mirrors,
    )


WEIGHTS: dict[str, WeightsEntry] = {
    entry.name: entry
    for entry in (
        WeightsEntry(
            name="blazepose.detection",
            file_name="pose_detection.tflite",
            kind="wheel",
            source="MediaPipe 0.10.21, pose detector (BlazePose, 224x224)",
            licence="Apache-2.0",
            sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            size_bytes=2_959_046,
            member=_mediapipe("mediapipe/modules/pose_detection/pose_detection.tflite"),
        ),
        WeightsEntry(
            name="blazepose.landmark-full",
            file_name="pose_landmark_full.tflite",
            kind="wheel",
            source="MediaPipe 0.10.21, pose landmarks (BlazePose GHUM Full, 256x256)",
            licence="Apache-2.0",
            sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            size_bytes=6_440_512,
            member=_mediapipe("mediapipe/modules/pose_landmark/pose_landmark_full.tflite"),
        ),
        *map(_onnx, OPENMMLAB_ONNX),
    )
}
"""Weights that are fetched, by name. Packaged and imported lifters are found by :func:`list_weights`."""


def cache_dir() -> Path:
    """Returns pose3d's cache folder: ``$POSE3D_CACHE``, or the user's cache folder of this system."""
    chosen = os.environ.get("POSE3D_CACHE")
    return Path(chosen).expanduser() if chosen else Path(user_cache_dir("pose3d"))


def user_weights_dir() -> Path:
    """Returns the folder of fetched, imported and hand-placed weights (it may not exist yet)."""
    return cache_dir() / "weights"


def packaged_weights_dir() -> Path | None:
    """Returns the folder of the weights that came with pose3d.

    Installed from a wheel they lie in the package; in a checkout in ``weights/`` beside it.
    None when there is neither.
    """
    installed = _PACKAGE / "_weights"
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent
    # A folder called "weights" in site-packages belongs to somebody else: ask for our project file.
    if (checkout / "pyproject.toml").is_file() and (checkout / "weights").is_dir():
        return checkout / "weights"
    return None


def list_weights() -> list[WeightsEntry]:
    """Returns every known file of weights: packaged lifters, imported ones, then the fetched ones.

    A file of the user does not hide a packaged one of the same name.

    Raises:
        WeightsError: a checksum list is not readable.
    """
    entries: dict[str, WeightsEntry] = {}
    packaged = packaged_weights_dir()
    if packaged is not None:
        for entry in _discover(packaged, "packaged"):
            entries[entry.name] = entry
    for entry in _discover(user_weights_dir(), "user"):
        entries.setdefault(entry.name, entry)
    entries.update(WEIGHTS)
    return list(entries.values())


def find_entry(name: str) -> WeightsEntry:
    """Returns the entry called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
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
    """Returns the file of these weights, or None when it is not on this machine (nothing is fetched).

    Raises:
        UsageError: there are no weights of that name.
    """
    path = target_path(find_entry(name))
    return path if path.is_file() else None


def verify(name: str) -> Path:
    """Checks that the file of these weights is there and has the stated hash.

    Returns:
        The file.

    Raises:
        UsageError: there are no weights of that name.
        WeightsError: it is missing, damaged, or packaged without a stated hash.
    """
    entry = find_entry(name)
    path = target_path(entry)
    if not path.is_file():
        raise WeightsError(f"Weights {name!r} are not on this machine", _how_to_place(entry, path))
    if entry.sha256 is None:
        if entry.kind == "packaged":
            raise WeightsError(
                f"Weights {name!r} have no line in {path.parent / 'SHA256SUMS'}", _REINSTALL
            )
        return path
    found = sha256_of(path)
    if found != entry.sha256:
        todo = f"Delete {path}; the next run fetches it again"
        raise WeightsError(
            f"Weights {name!r} are damaged: {path} has sha256 {found}, expected {entry.sha256}",
            todo if entry.is_fetched else _again(entry),
        )
    return path


def fetch(
    name: str, *, offline: bool = False, on_progress: Callable[[str], None] | None = None
) -> Path:
    """Returns the verified file of these weights, fetching it first when it is not here.

    Safe when several processes do it at once: each works in a folder of its own and the finished
    file is renamed into place.

    Args:
        name: of the weights.
        offline: never use the network.
        on_progress: called with one sentence before something that takes seconds.

    Raises:
        UsageError: there are no weights of that name.
        WeightsError: it cannot be fetched, or what was fetched has another hash (then nothing of
            it stays behind); the message says how to place the file by hand.
    """
    entry = find_entry(name)
    path = target_path(entry)
    if path.is_file():
        return verify(name)
    if not entry.is_fetched:
        raise WeightsError(f"Weights {name!r} are not on this machine", _again(entry))
    by_hand = _how_to_place(entry, path)
    if offline:
        raise WeightsError(
            f"Weights {name!r} are not on this machine and the network may not be used", by_hand
        )
    try:
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
            for other in WEIGHTS.values():
                wanted = other.member is not None and other.member.sha256 == entry.member.sha256
                if wanted and not target_path(other).is_file():
                    _place_member(other, wheel, Path(folder), by_hand)
    except OSError as error:
        raise WeightsError(f"Weights {name!r} could not be stored: {error}", by_hand) from error
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenFile:
    """A file of weights that the user named.

    Args:
        path: of the file.
        name: in the table, or the file's own.
        licence: as the table says, or that nobody stated it.
    """

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
    """Returns the file behind a path or a name of the table, fetching it when it is not here.

    Args:
        named: what the user wrote; a path ends with ``suffix``.
        suffix: of such files, e.g. ``".onnx"``.
        offline: never use the network.
        on_progress: as in :func:`fetch`.

    Raises:
        UsageError: there are no weights of that name.
        WeightsError: the file does not exist, or cannot be fetched.
    """
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


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal.

    Raises:
        WeightsError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}", "Check its permissions") from error
    return digest.hexdigest()


def _again(entry: WeightsEntry) -> str:
    return _REIMPORT if entry.kind == "user" else _REINSTALL


def _fetch_mirrored(
    entry: WeightsEntry,
    path: Path,
    folder: Path,
    by_hand: str,
    on_progress: Callable[[str], None] | None,
) -> None:
    """Fetches a file from the first of its addresses that has it."""

    def check(part: Path) -> str | None:
        found = sha256_of(part)
        if entry.sha256 is not None and found != entry.sha256:
            return f"it has sha256 {found}, expected {entry.sha256}; it was deleted"
        return None

    failures = fetch_from_mirrors(entry.mirrors, path, folder, check, on_progress)
    if failures:
        reasons = "\n  ".join(failures)
        raise WeightsError(f"Weights {entry.name!r} could not be fetched:\n  {reasons}\n", by_hand)
    if on_progress is not None:
        on_progress(f"{entry.name}: {entry.licence}")
        if entry.sha256 is None:
            on_progress(f"{entry.name}: nobody stated its hash, so it is unverified")


def _how_to_place(entry: WeightsEntry, path: Path) -> str:
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


def _download_wheel(entry: WeightsEntry, folder: Path, by_hand: str) -> Path:
    """Fetches the wheel of ``entry`` into ``folder`` with pip and checks its hash."""
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
            f"Fetching weights {entry.name!r} took more than {_PIP_TIMEOUT_S // 60} minutes",
            by_hand,
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [s for s in log.read_text(errors="replace").splitlines() if s.strip()]
        reason = "\n  ".join(lines[-6:]) or "no output"
        raise WeightsError(
            f"Weights {entry.name!r} could not be fetched; pip said:\n  {reason}\n", by_hand
        )
    found = sha256_of(wheels[0])
    if found != entry.member.sha256:
        raise WeightsError(
            f"The wheel {wheels[0].name} has sha256 {found}, expected {entry.member.sha256}; "
            "it was deleted",
            by_hand,
        )
    return wheels[0]


def _place_member(entry: WeightsEntry, wheel: Path, folder: Path, by_hand: str) -> None:
    """Extracts one file of a wheel, checks it and renames it into place."""
    assert entry.member is not None
    part = folder / entry.file_name
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(entry.member.path) as source,
            part.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{wheel.name} does not contain {entry.member.path}: {error}", by_hand
        ) from error
    found = sha256_of(part)
    if found != entry.sha256:
        raise WeightsError(
            f"{entry.member.path} has sha256 {found}, expected {entry.sha256}; it was deleted",
            by_hand,
        )
    os.replace(part, target_path(entry))


def _discover(folder: Path, kind: str) -> list[WeightsEntry]:
    """Returns the lifters in a folder: ``<arch>.<tag>.safetensors`` with card ``<arch>.<tag>.md``.

    A file that the checksum list names and that is missing is returned as well, so that the loss
    is reported by name.
    """
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
