"""A file or folder, opened once: what kind it is by its content, and what it holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import ResultFileError
from pose3d.files import BROKEN, check_archive, parse_json

_ZIP, _HDF5, _BOM = b"PK", b"\x89HDF\r\n\x1a\n", b"\xef\xbb\xbf"
LARGEST_ARRAYS = 400_000_000  # bytes of float64; reading takes up to five times as much
_HOW = "Give keypoints in one of the formats listed under 'pose3d lift --help'"


class Source:
    """A file, or a folder with one file a frame; properties are read once, when asked for, and
    raise ResultFileError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise ResultFileError(f"{path} does not exist", "Check the path")
        self.kind = self._kind()

    def __str__(self) -> str:
        return str(self.path)

    def _kind(self) -> str:
        """Returns npz, hdf5, json, text (also CSV), folder of .json or folder of .txt."""
        if self.path.is_dir():
            suffixes = {p.suffix.lower() for p in self._listed if p.suffix.lower() in _PARTS}
            if not suffixes:
                raise ResultFileError(
                    f"The folder {self.path} holds no keypoint files (.json or .txt)", _HOW
                )
            if len(suffixes) > 1:
                raise ResultFileError(
                    f"The folder {self.path} holds .json and .txt files", "Move one kind elsewhere"
                )
            return f"folder of {suffixes.pop()}"
        try:
            with self.path.open("rb") as file:
                start = file.read(len(_HDF5))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if start.startswith(_ZIP):
            return "npz"
        if start.startswith(_HDF5):
            return "hdf5"
        if not self._bytes.removeprefix(_BOM).strip():
            raise ResultFileError(f"{self.path} is empty", _HOW)
        return "json" if self._bytes.removeprefix(_BOM).lstrip()[:1] in b"{[" else "text"

    def summary(self) -> str:
        """Returns what it holds, in a few words for messages."""
        if self.kind == "npz":
            return f"arrays {_few(self.arrays)}"
        if self.kind == "json":
            value = self.json
            if isinstance(value, dict):
                return f"a JSON object with {_few(value)}"
            if value and isinstance(value[0], dict):
                return f"a JSON list of objects with {_few(value[0])}"
            return "a JSON list" if value else "an empty JSON list"
        if self.kind == "text":
            return f"text that begins with {self.text.lstrip().partition(chr(10))[0][:60]!r}"
        return self.kind if self.kind == "hdf5" else f"a {self.kind} files"

    @cached_property
    def _listed(self) -> list[Path]:
        try:
            return sorted(p for p in self.path.iterdir() if p.is_file() and p.name[0] != ".")
        except OSError as error:
            raise _unreadable(self.path, error) from error

    @cached_property
    def files(self) -> list[Path]:
        """The keypoint files of a folder by name; the file itself where it is one."""
        if not self.path.is_dir():
            return [self.path]
        return [p for p in self._listed if p.suffix.lower() in _PARTS]

    @cached_property
    def _bytes(self) -> bytes:
        return read_bytes(self.path)

    @cached_property
    def text(self) -> str:
        return _decode(self._bytes, self.path)

    @cached_property
    def json(self) -> Any:
        return _parse(self.text, self.path)

    @cached_property
    def parts(self) -> list[tuple[Path, Any]]:
        """Path and value of every JSON file of a folder, by name; of the file where it is one."""
        if not self.path.is_dir():
            return [(self.path, self.json)]
        return [(p, _parse(_decode(read_bytes(p), p), p)) for p in self.files]

    @cached_property
    def rows(self) -> list[list[str]]:
        """The cells of a CSV file; lines that are empty or start with # are left out."""
        lines = [line for line in self.text.splitlines() if line.strip() and line[0] != "#"]
        first = lines[0] if lines else ""
        comma = max(",;\t", key=first.count)
        try:
            rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=comma))
        except csv.Error as error:
            raise ResultFileError(f"{self.path} is no CSV ({error})", _HOW) from error
        return [[cell.strip() for cell in row] for row in rows]

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of an NPZ file; empty ones for a result of pose3d, which has its own reader."""
        try:
            declared = check_archive(self.path)
            # Opened here: NumPy leaves a file open whose ZIP directory is broken.
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if "metadata" in arrays.files:
                    return dict.fromkeys(arrays.files, np.zeros(0))
                self.check_size(declared)
                found = {name: arrays[name] for name in arrays.files}
                # NumPy gives the bytes of what is no array.
                return {n: array for n, array in found.items() if isinstance(array, np.ndarray)}
        except BROKEN as error:
            raise ResultFileError(
                f"{self.path} is no NPZ without pickles ({error})", _HOW
            ) from error

    def check_size(self, declared: int) -> None:
        """Refuses arrays of so many bytes that reading them could take more than 2 GB of memory."""
        if declared > LARGEST_ARRAYS:
            raise ResultFileError(
                f"{self.path} declares {declared / 1e9:.1f} GB of arrays, more than "
                f"{LARGEST_ARRAYS / 1e9:.1f}",
                "Split the clip",
            )


def damaged(what: str) -> ResultFileError:
    """Builds the error for content that its program cannot have written like this."""
    return ResultFileError(what, "Write the file again")


_PARTS = (".json", ".txt")


def _few(names: Iterable[str]) -> str:
    found = sorted(map(str, names))
    return (", ".join(found[:8]) + (", ..." if len(found) > 8 else "")) or "nothing"


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ResultFileError:
    return ResultFileError(f"{path} cannot be read ({error.strerror or error})", "Check the path")


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ResultFileError(f"{path} is neither text nor NPZ nor HDF5", _HOW) from error


def _parse(text: str, path: Path) -> Any:
    """Reads JSON, or one JSON value a line."""
    try:
        return parse_json(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1:
            try:
                return [parse_json(line) for line in lines]
            except ValueError:
                pass  # told below, of the file as a whole
        raise damaged(f"{path} is damaged JSON ({error})") from error
