"""Lists of results as COCO's server takes them, which AlphaPose writes as well."""

from __future__ import annotations

from typing import Any

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.poses import as_whole
from pose3d.keypoint_files.source import Source


def is_list_of_people(value: Any) -> bool:
    """Tells whether a JSON value is a list of results as COCO and AlphaPose write them."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and {"image_id", "keypoints"} <= set(value[0])
    )


def entry_of(value: Any, source: Source) -> dict[str, Any]:
    if not isinstance(value, dict) or "image_id" not in value:
        raise ResultFileError(f"{source}: an entry has no image_id", "Write it again")
    return value


def picture_of(entry: dict[str, Any], source: Source) -> int | str:
    """Returns the picture of an entry: its number, or its name where that is text."""
    image = entry["image_id"]
    return image if isinstance(image, str) else as_whole(image, f"{source}: image_id")
