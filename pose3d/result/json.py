"""JSON: everything in one readable file, one line per frame; described by ``pose.schema.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.files import parse_json
from pose3d.result import contents
from pose3d.result.contents import DERIVED, FIELDS, arrays_of, damaged
from pose3d.result.numbers import BOOLEAN, fill_template
from pose3d.result.record import PoseSequence, array_shapes

# Decimals that are written.
DECIMALS = {
    "time_s": 9,
    "valid": BOOLEAN,
    "boxes_xyxy_px": 2,
    "keypoints_px": 2,
    "score": 3,
    "joints_cam_m": 4,
    "root_cam_m": 4,
    "hypotheses_cam_m": 4,
    "spread_mm": 1,
}


class JsonExporter:
    """Writes ``.json``, rounded as :data:`DECIMALS` says."""

    suffix = ".json"
    description = "Everything, readable, a line a frame; read back by pose3d"
    axes = "Axes of the camera; metres, pixels"
    away = "is null"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the record to ``path``."""
        # File names that are no Unicode hold lone surrogates; JSON has an escape for them too.
        head = _head(pose).encode("utf-8", "backslashreplace")
        with path.open("wb") as file:
            file.writelines([head, _frames(pose), b"\n]}\n"])

    @staticmethod
    def read(path: Path) -> PoseSequence:
        """Reads a file that :meth:`write` wrote; a ResultFileError when it cannot be used."""
        try:
            values = parse_json(path.read_bytes(), parse_constant=_refuse)
        except ValueError as error:
            raise damaged(path, f"it is not JSON ({error})") from error
        if not isinstance(values, dict):
            raise damaged(path, "it holds no JSON object")
        contents.check_dialect(values, path)
        return contents.rebuild(values, _arrays(values, path), path)


def _head(pose: PoseSequence) -> str:
    """Returns all but the frames, up to their opening bracket."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    entries = []
    for key, value in contents.describe(pose).items():
        if key == "fields":
            lines = [f" {text(name)}: {text(words)}" for name, words in value.items()]
            entries.append(f'"{key}": {{\n' + ",\n".join(lines) + "\n}")
        elif key == "made_by":
            lines = [f" {text(stage)}" for stage in value]
            entries.append(f'"{key}": [\n' + ",\n".join(lines) + "\n]")
        else:
            entries.append(f'"{key}": {text(value)}')
    return "{\n" + ",\n".join(entries) + ',\n"frames": [\n'


def _frames(pose: PoseSequence) -> bytes:
    """Returns one JSON object a line for each frame, separated by commas."""
    arrays = arrays_of(pose)
    rows = pose.n_frames
    columns, decimals, pieces = [], [], ["{"]
    for name, array in arrays.items():
        pieces[-1] += f'{"" if name == "time_s" else ", "}"{name}": '
        _brackets(pieces, array.shape[1:])
        columns.append(array.reshape(rows, int(np.prod(array.shape[1:]))).astype(np.float64))
        decimals += [DECIMALS[name]] * columns[-1].shape[1]
    pieces[-1] += "},\n"
    text = fill_template(np.concatenate(columns, 1), decimals, pieces, missing="null")
    return text[: -len(",\n")]


def _brackets(pieces: list[str], shape: tuple[int, ...]) -> None:
    """Appends what stands around and between the numbers of an array of ``shape``."""
    if not shape:
        pieces.append("")
        return
    pieces[-1] += "["
    for i in range(shape[0]):
        pieces[-1] += "," if i else ""
        _brackets(pieces, shape[1:])
    pieces[-1] += "]"


def _refuse(word: str) -> Any:
    """Refuses NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError(f"{word} is no JSON")


def _arrays(values: dict[str, Any], path: Path) -> dict[str, NDArray]:
    fields, frames = values.get("fields"), values.get("frames")
    if not isinstance(fields, dict) or not isinstance(frames, list):
        raise damaged(path, "fields or frames are missing")
    unknown = sorted(set(fields) - set(FIELDS) - set(DERIVED))
    if unknown:
        raise damaged(path, f"its fields {', '.join(unknown)} are unknown")
    arrays = {}
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict) or set(frame) != set(fields):
            raise damaged(path, f"frame {index} does not have the fields that the file names")
    try:
        people, joints = len(values["person_ids"]), len(values["skeleton"]["joints"])
        empty = array_shapes(len(frames), people, joints, 0)
        for name in set(fields) - set(DERIVED):
            arrays[name] = _stack([frame[name] for frame in frames], empty[name], name == "valid")
    except (TypeError, ValueError, KeyError) as error:
        raise damaged(path, f"its numbers do not form arrays ({error})") from error
    return arrays


def _stack(rows: list[Any], if_empty: tuple[int, ...], boolean: bool) -> NDArray:
    """Makes one array of nested lists (null: NaN); ``if_empty`` is the shape of no rows."""
    if boolean:
        flags = [flag for row in rows for flag in row]
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError("valid holds something else than true and false")
        return np.array(flags, bool).reshape(if_empty)
    array = np.array(rows, dtype=np.float64)
    return array if array.size else np.zeros(if_empty)
