"""Writing files: each whole or not at all, and one process at a time in a folder."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import socket
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

from pose3d.errors import FolderBusyError, Pose3DError, ResultFileError

PART_PATTERN = ".*.part"  # files being written, or that a killed process left

_numbers = itertools.count()


def part_path(path: Path) -> Path:
    """Returns a hidden name beside ``path``, unique for each process and call, to write to."""
    return path.with_name(f".{os.getpid()}-{next(_numbers)}.part")


SHORTER = "Give a shorter name"


def how_to_write(error: Exception) -> str:
    """Returns what to do about a file or folder that could not be written."""
    if getattr(error, "errno", None) == errno.ENAMETOOLONG:
        return SHORTER
    return "Check that the folder exists, may be written to and has space left, or give another one"


def remove(path: Path) -> None:
    """Removes a file, or a folder that was written as one; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int | None:
    """Returns the bytes of a file, or how many files a folder has; None: it is not there."""
    if path.is_dir():
        return sum(1 for _ in path.iterdir())
    return path.stat().st_size if path.is_file() else None


@contextlib.contextmanager
def write_whole(path: Path, error: type[Pose3DError] = ResultFileError) -> Iterator[Path]:
    """Gives a name to write to, which becomes ``path`` if the ``with`` block ends well.

    A folder that was made under it replaces an earlier one.
    An OSError in the block is raised as ``error``, so nothing else than writing belongs there.
    """
    part = part_path(path)
    try:
        yield part
        if part.is_dir():
            remove(path)
        os.replace(part, path)
    except BaseException as cause:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            remove(part)
        if isinstance(cause, OSError):
            what = f"{path} cannot be written: {cause.strerror or cause}"
            raise error(what, how_to_write(cause)) from cause
        raise


def parse_json(text: str | bytes, **more: Any) -> Any:
    """Reads JSON; a ValueError where it is damaged or nested too deeply."""
    try:
        return json.loads(text, **more)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
LARGEST_ARCHIVE = 4 << 30  # bytes an archive may declare; more is damage or a bomb


# What NumPy, zipfile and readers of text raise on damaged files.
BROKEN = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    TokenError,
    SyntaxError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # ZIP features that Python lacks, JSON nested too deep
    MemoryError,  # a damaged header that asks for a huge array
)


def check_archive(path: Path | BinaryIO) -> int:
    """Returns how many bytes a ZIP archive declares; a ValueError where it cannot be read safely."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise ValueError(str(error) or "its directory is damaged") from error
    if any(member.flag_bits & 1 for member in members):
        raise ValueError("it is encrypted")
    if any(m.compress_type not in METHODS for m in members):
        raise ValueError("it is compressed by an unknown method")
    declared = sum(member.file_size for member in members)
    if declared > LARGEST_ARCHIVE:
        raise ValueError(f"it declares {declared / 1e9:.1f} GB")
    return declared


LOCK_NAME = ".pose3d.lock"
LOCK_OUTLIVES_S = 150.0
"""How long the lock of a machine that is gone may hold on a shared file system or in a store."""

_FAR = 1 << 30  # Windows locks bytes against reading too; this is behind the holder's name


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Holds the lock of an existing folder for a ``with`` block, or raises FolderBusyError.

    The operating system drops it when the process ends, so no lock is ever stale.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(path, folder)
    try:
        try:
            os.ftruncate(descriptor, 0)
            since = datetime.now().isoformat(sep=" ", timespec="seconds")
            who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            os.write(descriptor, json.dumps(who).encode())
        except OSError as error:
            raise _not_writable(folder, error) from error
        yield
    finally:
        _release(path, descriptor)


def _acquire(path: Path, folder: Path) -> int:
    """Opens and locks the file; returns its descriptor."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise _not_writable(folder, error) from error
        try:
            _lock(descriptor)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if not isinstance(error, (BlockingIOError, PermissionError)):
                raise _not_writable(folder, error) from error
            what = f"{folder} is being written by {holder}"
            todo = "Wait until it is done, or give another --output"
            raise FolderBusyError(what, todo) from error
        # The one before may have removed the file between our opening and locking it; then a third
        # process could make and lock a new one.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)


def _release(path: Path, descriptor: int) -> None:
    if sys.platform == "win32":  # an open file cannot be removed there
        os.close(descriptor)
        with contextlib.suppress(OSError):  # somebody else has it by now
            path.unlink()
    else:
        with contextlib.suppress(OSError):  # a lock file too many does no harm
            path.unlink()
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Locks an open file; BlockingIOError or PermissionError when another process has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(descriptor: int) -> str:
    try:
        who = json.loads(os.read(descriptor, 1000))
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not written its name yet
        return "another process"


def _not_writable(folder: Path, error: OSError) -> ResultFileError:
    what = f"{folder} cannot be written to ({error.strerror or error})"
    return ResultFileError(what, how_to_write(error))
