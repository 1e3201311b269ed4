"""COCO keypoint results: one JSON list for all pictures, people not followed.

An entry has ``image_id``, ``category_id`` (1: person) and ``keypoints`` (x, y, score in turn).
Pictures are frames of one clip in the order of their ids; one without an entry has no people.
Reference: https://cocodataset.org/#format-results, *Keypoint Detection*.
"""

from __future__ import annotations

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.frames import is_list_of, number_of, picture_of
from pose3d.keypoint_files.joint_names import choose_by_count
from pose3d.keypoint_files.poses import PoseRows, Poses, as_pose
from pose3d.keypoint_files.source import Source

_PERSON = 1


class CocoReader:
    """Reads results, not annotations."""

    kinds = ("json",)

    def recognises(self, source: Source) -> bool:
        if not is_list_of(source.json, "image_id", "keypoints"):
            return False
        first = source.json[0]
        image = first["image_id"]
        is_number = isinstance(image, (int, float)) or str(image).isdecimal()
        return is_number and not {"idx", "box"} & set(first)

    def read(self, source: Source) -> Poses:
        if not isinstance(source.json, list):
            raise ResultFileError(
                f"{source} is no list of results", "Give results as COCO's server takes them"
            )
        rows = PoseRows(str(source))
        for entry in source.json:
            image = picture_of(entry, source)
            if entry.get("category_id", _PERSON) != _PERSON:
                continue
            number = number_of(image) if isinstance(image, str) else image
            where = f"{source}, image_id {image}"
            if number is None:
                raise ResultFileError(
                    f"{where} is no frame number", "Number the images by their frames"
                )
            rows.add(number, as_pose(entry.get("keypoints"), f"{where}: keypoints"))
        return choose_by_count(rows.finish())
