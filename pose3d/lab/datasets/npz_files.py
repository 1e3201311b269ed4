"""Data files: checked arrays of NPZ files, and errors that name the file and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError
from pose3d.files import BROKEN, check_archive, write_whole

# array -> number, flag or text, then its axes: sizes, or names that are as long everywhere; a ``?``
# behind: only if it is there
Layout = Mapping[str, str]

_HOLDS = {"number": "fiu", "flag": "biu", "text": "U"}  # kinds of NumPy
# of arithmetic on odd values; narrower than BROKEN, which would hide mistakes of ours
ODD_VALUES = (ValueError, IndexError, ArithmeticError)


@contextmanager
def blame_file(
    path: Path, what: str, todo: str, errors: tuple[type[Exception], ...] = BROKEN
) -> Iterator[None]:
    """Turns ``errors`` into a DataError that names the file, ``what`` it should be and ``todo``."""
    try:
        yield
    except errors as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{path} is missing", todo) from error
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{path} cannot be read ({error.strerror})", todo) from error
        raise DataError(f"{path} is no {what} ({_cause(error)})", todo) from error


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an NPZ file; it appears only when it is complete."""
    with write_whole(path, DataError) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_arrays(
    path: Path, what: str, todo: str, layout: Layout | None = None
) -> dict[str, NDArray[Any]]:
    """Reads the arrays of an NPZ file without pickles; ``layout``: which, and what they have to be.

    ``what`` it should be and ``todo`` are for DataError: missing, damaged, or other arrays.
    """
    # Opened here: NumPy leaves a file open whose ZIP directory is broken.
    with blame_file(path, what, todo), path.open("rb") as opened:
        _refuse_other_files(opened.read(8))
        check_archive(opened)
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            there_or_due = {
                n: t for n, t in (layout or {}).items() if t[-1] != "?" or n in file.files
            }
            absent = [name for name in there_or_due if name not in file.files]
            arrays = {} if absent else {name: file[name] for name in there_or_due or file.files}
            there = ", ".join(file.files) or "nothing"
    if absent:
        plural = "s" if len(absent) > 1 else ""
        named = ", ".join(map(repr, absent))
        raise DataError(f"{path} has no array{plural} {named}; it holds {there}", todo)
    check_layout(path, arrays, there_or_due, todo)
    return arrays


def check_clips(path: Path, data: Mapping[str, NDArray[Any]], frames: int, todo: str) -> None:
    """Refuses ``starts`` that do not cut the frames into ``fps`` clips, and rates that are not above 0."""
    starts, fps, clips = data["starts"], data["fps"], len(data["fps"])
    whole = starts.dtype.kind in "iu" and len(starts) == clips + 1
    starts = starts.astype(np.int64) if whole else starts
    if not whole or (clips and not (starts[0] >= 0 and starts[-1] <= frames)):
        raise DataError(f"{path}: starts do not cut {frames} frames into {clips} clips", todo)
    if clips and np.diff(starts).min() < 2:
        raise DataError(f"{path}: starts leave a clip with fewer than 2 frames", todo)
    if not (np.isfinite(fps) & (fps > 0)).all():
        raise DataError(f"{path}: fps must be finite and above 0", todo)


def _refuse_other_files(head: bytes) -> None:
    """NumPy calls all other files pickles."""
    if not head:
        raise ValueError("it is empty")
    if head.startswith(b"\x93NUMPY"):
        raise ValueError("it is a single array, an NPY file")
    if not head.startswith(b"PK"):
        raise ValueError("it is no NPZ file")


def check_layout(path: Path, arrays: Mapping[str, NDArray[Any]], layout: Layout, todo: str) -> None:
    """Refuses arrays that are not as ``layout`` says."""
    sizes: dict[str, int] = {}
    for name, text in layout.items():
        holds, *axes = text.rstrip(" ?").split()
        array = arrays[name]
        if array.dtype.kind not in _HOLDS[holds]:
            raise DataError(f"{path}: {name} holds {array.dtype}, not {holds}s", todo)
        fits = array.ndim == len(axes)
        for axis, size in zip(axes, array.shape, strict=False):
            wanted = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            fits &= size == wanted
        if not fits:
            wanted_shape = ", ".join(f"{a} {sizes[a]}" if a in sizes else a for a in axes)
            raise DataError(f"{path}: {name} has shape {array.shape}, not ({wanted_shape})", todo)


def _cause(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it is damaged, or larger than the memory"
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return str(error) or type(error).__name__
