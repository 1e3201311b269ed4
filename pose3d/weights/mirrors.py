"""Fetching one file from the first address that has it, plain or the only such file in a zip."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pose3d.files import check_archive
from pose3d.weights.finding import wrong_hash

_TIMEOUT_S = 30
_BLOCK = 1 << 20


class MirrorError(Exception):
    """One address did not give the file; the message says why."""


def fetch_from_mirrors(
    urls: Sequence[str],
    target: Path,
    folder: Path,
    sha256: str | None,
    on_progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Brings a file to ``target`` from the first address that works, or returns why each failed.
    ``urls`` are ``https``, ``http`` or ``file``; ``folder`` is a temporary one on the same file
    system; ``sha256`` is the file's hash or how it begins. OSError: it cannot be stored."""
    failures = []
    for url in urls:
        if on_progress is not None:
            on_progress(f"Fetching {url}")
        try:
            part = _unpack(_download(url, folder), target.suffix, folder)
            wrong = wrong_hash(part, sha256)
            if wrong:
                part.unlink()
                raise MirrorError(wrong)
        except MirrorError as error:
            failures.append(f"{url}: {error}")
            continue
        os.replace(part, target)
        return []
    return failures


def _download(url: str, folder: Path) -> Path:
    path = folder / url.rsplit("/", 1)[-1]
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            expected = answer.headers.get("Content-Length")
            with path.open("wb") as file:
                shutil.copyfileobj(answer, file, _BLOCK)
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise MirrorError(str(getattr(error, "reason", error)) or type(error).__name__) from error
    received = path.stat().st_size
    if expected is not None and received != int(expected):
        raise MirrorError(f"broke off after {received} of {expected} bytes")
    return path


def _unpack(path: Path, suffix: str, folder: Path) -> Path:
    """Returns the file itself, taken out of its zip when it is in one."""
    if not zipfile.is_zipfile(path):
        return path
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(suffix)]
            if len(names) != 1:
                raise MirrorError(f"the zip holds {len(names)} files named *{suffix}, expected 1")
            out = folder / f"unpacked{suffix}"
            with archive.open(names[0]) as source, out.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    except (ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise MirrorError(f"the zip is damaged: {error}") from error
    return out
