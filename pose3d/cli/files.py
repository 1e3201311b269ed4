"""Files and sizes that are given to commands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pose3d.errors import ResultFileError, UsageError
from pose3d.video.sources import shorten

RESULT_NAMES = ("pose.npz", "pose.json")


def parse_size(text: str, option: str = "--size", example: str = "1280x720") -> tuple[int, int]:
    """Reads ``1280x720``; option and example are for the error."""
    match = re.fullmatch(r"(\d+)\s*[xX×]\s*(\d+)", text.strip())
    if match is None or not (int(match[1]) and int(match[2])):
        raise UsageError(f"{option} {text!r} is not understood", f"Write e.g. {option} {example}")
    return int(match[1]), int(match[2])


def find_result(path: Path) -> Path:
    """Returns the result file that a path names: the file, or the one in the folder."""
    if not path.is_dir():
        return path
    for name in RESULT_NAMES:
        if (path / name).is_file():
            return path / name
    raise ResultFileError(f"There is no result in the folder {path}", "It should hold pose.npz")


def stem_of(file: Path) -> str:
    """Returns what files made from this one are called: a result has the name of its folder."""
    return shorten(file.absolute().parent.name if file.stem == "pose" else file.stem)


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Raises UsageError when a file would be replaced without being asked to."""
    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists", "Use --overwrite, or give another --output")
