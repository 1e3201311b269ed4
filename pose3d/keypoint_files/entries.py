"""Lists of JSON objects, as several programs write them."""

from __future__ import annotations

from typing import Any

from pose3d.keypoint_files.poses import as_whole
from pose3d.keypoint_files.source import Source, damaged


def is_list_of(value: Any, *keys: str) -> bool:
    """Tells whether a JSON value is a list that begins with an object with these keys."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and set(keys) <= set(value[0])
    )


def picture_of(entry: Any, source: Source) -> int | str:
    """Returns the picture of an entry of COCO or AlphaPose: its number, or a name that is text."""
    if not isinstance(entry, dict) or "image_id" not in entry:
        raise damaged(f"{source}: an entry has no image_id")
    image = entry["image_id"]
    return image if isinstance(image, str) else as_whole(image, f"{source}: image_id")
