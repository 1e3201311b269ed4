"""Lists of JSON objects, and which frame a file or picture is of by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.poses import as_whole
from pose3d.keypoint_files.source import Source, damaged

_DIGITS = re.compile(r"\d+")
_LONGEST = 15  # digits of a frame number; more are a hash or the like


def number_of(name: str) -> int | None:
    """Returns the last number in a name (12 for ``clip2_000000000012_keypoints.json``), without the
    ending; None where there is none or it is too long."""
    stem = name.rsplit(".", 1)[0] if "." in name[1:] else name
    found = _DIGITS.findall(stem)
    last = found[-1].lstrip("0") if found else None
    return None if last is None or len(last) > _LONGEST else int(last or "0")


def number_frames(names: Sequence[str], where: object) -> list[int]:
    """Returns the frame number in each name of a file or picture; none may be of two."""
    if len(names) == 1:
        return [number_of(names[0]) or 0]
    numbers: dict[int, str] = {}
    for name in names:
        number = number_of(name)
        if number is None:
            raise ResultFileError(
                f"{where}: {name} has no frame number in its name (up to {_LONGEST} digits)",
                "Name the files by their frames, e.g. walk_000012.json, and keep others elsewhere",
            )
        if number in numbers:
            raise ResultFileError(
                f"{where}: {numbers[number]} and {name} are both of frame {number}",
                "Keep the files of one clip in a folder, numbered by frames at the end of the name",
            )
        numbers[number] = name
    return list(numbers)


def numbered_parts(source: Source) -> list[tuple[int, Path, Any]]:
    """Returns frame number, file and value of every JSON file of a folder."""
    numbers = number_frames([path.name for path, _ in source.parts], source)
    return [(number, *part) for number, part in zip(numbers, source.parts, strict=True)]


def is_list_of(value: Any, *keys: str) -> bool:
    """Tells whether a JSON value is a list that begins with an object with these keys."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and set(keys) <= set(first)


def picture_of(entry: Any, source: Source) -> int | str:
    """Returns the picture of an entry of COCO or AlphaPose: its number, or a name that is text."""
    if not isinstance(entry, dict) or "image_id" not in entry:
        raise damaged(f"{source}: an entry has no image_id")
    image = entry["image_id"]
    return image if isinstance(image, str) else as_whole(image, f"{source}: image_id")
