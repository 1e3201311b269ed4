"""ultralytics pose models: label files of ``save_txt``, or ``Results.to_json()``.

Label files: one a frame, ``labels/<video>_12.txt`` from 1 (``<picture>.txt``), none without people.
A line is ``class x y w h`` in shares of the picture, x, y and visibility (or x, y) of each
keypoint, the box's confidence with ``save_conf``, the id with ``model.track``. JSON: what
``to_json`` returned for each frame, as a list (also of strings), one a line, or a file a frame:
``class``, ``box``, perhaps ``track_id``, and ``keypoints`` with lists ``x``, ``y``, ``visible`` in
pixels, or shares (``normalize``).
Reference: ``Results.save_txt`` and ``Results.summary`` in ``ultralytics/engine/results.py``, names
in ``BasePredictor.write_results`` of ultralytics/ultralytics 8.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.body.skeletons import COCO17, HALPE26
from pose3d.errors import ResultFileError
from pose3d.files import parse_json
from pose3d.keypoint_files.frames import is_list_of, number_frames, number_of, numbered_parts
from pose3d.keypoint_files.joint_names import choose_by_count
from pose3d.keypoint_files.poses import PoseRows, Poses, as_numbers, as_pose
from pose3d.keypoint_files.source import Source, damaged, read_bytes

_SKELETONS = (COCO17, HALPE26)
_PERSON = 0
_OF_A_VIDEO = re.compile(r"_([1-9]\d*|0)\.\w+")


class UltralyticsReader:
    """Reads both; only the class 0, which is the person in pose models."""

    kinds = ("folder of .txt", "folder of .json", "text", "json")

    def recognises(self, source: Source) -> bool:
        if source.kind == "folder of .txt":
            return any(_looks_like_labels(path) for path in source.files)
        if source.kind == "folder of .json":
            return any(_are_results(_decoded(v)) for _, v in source.parts)
        if source.kind == "text":
            return source.path.suffix == ".txt" and _looks_like_labels(source.path)
        if not isinstance(source.json, list):
            return False
        frames = [_decoded(v) for v in source.json]
        nobody = bool(frames) and all(v == [] for v in frames)
        return nobody or _are_results(frames) or any(_are_results(v) for v in frames)

    def read(self, source: Source) -> Poses:
        if source.kind in ("folder of .txt", "text"):
            return _read_labels(source)
        return _read_json(source)


# -- label files ------------------------------------------------------------------------------------


def _looks_like_labels(path: Path) -> bool:
    words = next(iter(_lines(path)), [])
    return len(words) >= 5 + 2 * len(COCO17) and all(_is_number(w) for w in words)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan", word, re.I) is not None


def _lines(path: Path) -> list[list[str]]:
    text = read_bytes(path).decode("utf-8", "replace")
    return [line.split() for line in text.splitlines() if line.strip()]


def _read_labels(source: Source) -> Poses:
    files = _label_files(source)
    numbers = number_frames([p.name for p in files], source)
    table: list[tuple[int, Path, list[float]]] = []
    for number, path in zip(numbers, files, strict=True):
        for words in _lines(path):
            if not all(_is_number(w) for w in words):
                raise ResultFileError(
                    f"{path}: a line is no list of numbers", "Write it again, or keep it elsewhere"
                )
            values = as_numbers([float(w) for w in words], str(path)).tolist()
            if values[0] == _PERSON:
                table.append((number, path, values))
    if not table:
        raise ResultFileError(f"{source} holds no person", "Give labels of a pose model")
    joints, axes, has_id = _layout([values for _, _, values in table], source)
    rows = PoseRows(str(source))
    for number, path, values in table:
        pose = as_pose(values[5 : 5 + joints * axes], str(path), joints_by=axes)
        rows.add(number, _unseen(pose), values[-1] if has_id else None)
    poses = rows.finish(numbers, first=_first(files, numbers), normalised=True)
    return choose_by_count(poses, _SKELETONS)


def _label_files(source: Source) -> list[Path]:
    """Returns the files that are of a frame: not ``classes.txt`` and other notes beside them."""
    files = [p for p in source.files if number_of(p.name) is not None or _looks_like_labels(p)]
    return files or source.files


def _layout(lines: list[list[float]], source: Source) -> tuple[int, int, bool]:
    """Returns keypoints, numbers of each, and whether lines end with a track id."""
    lengths = sorted({len(values) for values in lines})
    # A person whom the tracker has not confirmed yet has no id: one number less.
    if lengths[-1] - lengths[0] > 1:
        raise ResultFileError(
            f"{source} mixes lines of {lengths[0]} and {lengths[-1]} numbers", "Use one model"
        )
    for joints in map(len, _SKELETONS):
        for axes in (3, 2):
            extra = [n - 5 - joints * axes for n in lengths]
            if not all(0 <= e <= 2 for e in extra):
                continue
            last = [v[-1] for v in lines if len(v) == lengths[-1]]
            # Confidences are below 1, ids whole numbers from 1.
            whole = all(v >= 1 and v.is_integer() for v in last)
            return joints, axes, len(lengths) == 1 and extra[-1] > 0 and whole
    raise ResultFileError(
        f"{source}: lines of {lengths[-1]} numbers fit no pose model of "
        f"{' or '.join(str(len(s)) for s in _SKELETONS)} keypoints",
        "Lines have class, box, and x, y, visibility of each keypoint",
    )


def _first(files: list[Path], numbers: list[int]) -> int | None:
    """Returns the number of a video's first frame (files not padded); None: of pictures."""
    if not all(_OF_A_VIDEO.search(path.name) for path in files):
        return None
    return 1 if min(numbers) > 0 else 0


def _unseen(pose: np.ndarray) -> np.ndarray:
    """Marks keypoints at 0, 0, which ultralytics writes for those that it does not trust."""
    pose[(pose[:, :2] == 0).all(-1), 2] = 0
    return pose


# -- JSON -------------------------------------------------------------------------------------------


def _decoded(value: Any) -> Any:
    """Undoes a second encoding: ``json.dump([r.to_json() for r in results])``."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def _are_results(value: Any) -> bool:
    return is_list_of(value, "box", "class", "keypoints")


def _read_json(source: Source) -> Poses:
    if source.path.is_dir():
        parts = numbered_parts(source)
        numbers = [number for number, _, _ in parts]
        frames = [_decoded(value) for _, _, value in parts]
        first = _first([path for _, path, _ in parts], numbers)
    else:
        value = source.json
        frames = [value] if _are_results(value) else [_decoded(v) for v in value]
        numbers, first = list(range(len(frames))), 0
    rows = PoseRows(str(source))
    largest = 0.0
    for number, people in zip(numbers, frames, strict=True):
        if not isinstance(people, list):
            raise damaged(f"{source}, frame {number} is no list of results")
        for person in people:
            where = f"{source}, frame {number}"
            if not isinstance(person, dict) or person.get("class", _PERSON) != _PERSON:
                continue
            pose = _pose(person.get("keypoints"), where)
            largest = max(largest, float(np.nanmax(np.abs(pose[:, :2]), initial=0)))
            rows.add(number, pose, person.get("track_id"))
    poses = rows.finish(numbers, first=first, normalised=0 < largest <= 1.0)
    return choose_by_count(poses, _SKELETONS)


def _pose(keypoints: Any, where: str) -> np.ndarray:
    if not isinstance(keypoints, dict) or not {"x", "y"} <= set(keypoints):
        raise ResultFileError(f"{where}: a person has no keypoints", "Use a pose model")
    x, y = (as_numbers(keypoints[k], f"{where}: {k}").ravel() for k in "xy")
    visible = keypoints.get("visible")
    score = np.ones(len(x)) if visible is None else as_numbers(visible, where).ravel()
    if not len(x) == len(y) == len(score):
        raise damaged(f"{where}: x, y and visible differ in length")
    return _unseen(np.column_stack([x, y, score]))
