"""Result files: writing in many formats, reading back the two that keep everything."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.errors import ResultFileError
from pose3d.types import Exporter, PoseSequence
from pose3d.variants import find_variants, load_variant

EXPORTERS: dict[str, str] = {
    "npz": "pose3d.export.npz:NpzExporter",
    "json": "pose3d.export.json:JsonExporter",
    "csv": "pose3d.export.csv:CsvExporter",
    "trc": "pose3d.export.trc:TrcExporter",
    "bvh": "pose3d.export.bvh:BvhExporter",
}
"""Format name -> ``"module:Class"``. Others may add ``exporter.NAME`` entry points."""

_ZIP = b"PK\x03\x04"
_numbers = itertools.count()


def make_exporter(name: str) -> Exporter:
    """Returns the exporter of a format.

    Raises:
        UsageError: there is no format of that name.
    """
    return load_variant("exporter", name, EXPORTERS)()


def write(pose: PoseSequence, path: str | Path, format: str | None = None) -> Path:
    """Writes a result to a file, complete or not at all.

    Args:
        pose: the result.
        path: where to; formats of one person a file (trc, bvh) put the track id into the name,
            e.g. ``walk.person1.trc``.
        format: a name of :data:`EXPORTERS`; None: the path's suffix.

    Returns:
        The file written; the first of them where there are several (see :func:`write_files`).

    Raises:
        UsageError: unknown format, or one that cannot hold this result.
        ResultFileError: the file cannot be written, or there is nobody to write.
    """
    files = write_files(pose, path, format)
    if not files:
        raise ResultFileError(
            f"There is nobody in the result of {pose.video.path} to write to {path}",
            "Formats with one file a person need a person",
        )
    return files[0]


def write_files(
    pose: PoseSequence, path: str | Path, format: str | None = None
) -> tuple[Path, ...]:
    """Writes as :func:`write` does and returns every file; none when a person's format has nobody.

    Raises:
        UsageError, ResultFileError: as :func:`write`.
    """
    path = Path(path)
    exporter = make_exporter(format or path.suffix.lower().removeprefix("."))
    if not exporter.per_person:
        return (_write_whole(exporter, pose, path),)
    known = np.any(pose.present, axis=0)
    return tuple(
        _write_whole(
            exporter,
            pose.select_people([column]),
            path.with_name(f"{path.stem}.person{pose.person_ids[column]}{path.suffix}"),
        )
        for column in range(pose.n_people)
        if known[column]
    )


def _write_whole(exporter: Exporter, pose: PoseSequence, path: Path) -> Path:
    """Writes one file under a temporary name and renames it; leaves nothing behind on error.

    Raises:
        ResultFileError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.part")
    try:
        exporter.write(pose, part)
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ResultFileError(
                f"{path} cannot be written: {error.strerror or error}",
                "Check that the folder exists, can be written to, and that the disk is not full",
            ) from error
        raise
    return path


def read(path: str | Path) -> PoseSequence:
    """Reads a result written as npz or json; the content decides which, not the name.

    Raises:
        ResultFileError: not a pose3d result, damaged, or of an unknown version.
    """
    from pose3d.export.json import read_json
    from pose3d.export.npz import read_npz

    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(_ZIP):
            return read_npz(path)
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return read_json(path)
    except OSError as error:
        raise ResultFileError(
            f"{path} cannot be read: {error.strerror or error}",
            "Give a pose.npz or pose.json that pose3d wrote",
        ) from error
    raise ResultFileError(
        f"{path} is not a result of pose3d: it is neither NPZ nor JSON",
        "Give a pose.npz or pose.json that pose3d wrote",
    )


load = read
save = write


def list_formats() -> dict[str, str]:
    """Returns format name -> description, of all formats that can be written."""
    known: dict[str, Any] = find_variants("exporter", EXPORTERS)
    return {name: make_exporter(name).description for name in known}
