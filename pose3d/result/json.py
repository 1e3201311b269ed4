"""JSON: everything in one readable file, one line per frame; described by ``pose.schema.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.files import parse_json
from pose3d.result import contents
from pose3d.result.contents import DERIVED, FIELDS, damaged, rows_of
from pose3d.result.numbers import BOOLEAN, fill_template
from pose3d.result.record import PoseSequence, row_shapes, split_by_frame

TIME_DECIMALS = 9
# Decimals that are written.
DECIMALS = {
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
    away = "is not in the frame"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the record to ``path``."""
        # File names that are no Unicode hold lone surrogates; JSON has an escape for them too.
        rows = rows_of(pose)
        head = _head(contents.describe(pose, rows)).encode("utf-8", "backslashreplace")
        with path.open("wb") as file:
            file.writelines([head, _frames(pose.time_s, rows), b"\n]}\n"])

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
        return contents.rebuild(values, *_arrays(values, path), path)


def _head(described: dict[str, Any]) -> str:
    """Returns all but the frames, up to their opening bracket."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    entries = []
    for key, value in described.items():
        if key == "fields":
            lines = [f" {text(name)}: {text(words)}" for name, words in value.items()]
            entries.append(f'"{key}": {{\n' + ",\n".join(lines) + "\n}")
        elif key == "made_by":
            lines = [f" {text(stage)}" for stage in value]
            entries.append(f'"{key}": [\n' + ",\n".join(lines) + "\n]")
        else:
            entries.append(f'"{key}": {text(value)}')
    return "{\n" + ",\n".join(entries) + ',\n"frames": [\n'


def _frames(time_s: NDArray, rows: dict[str, NDArray]) -> bytes:
    """Returns one JSON object a line for each frame, separated by commas."""
    columns: list[NDArray] = []
    decimals, pieces = [], ["{"]
    arrays = {"person_id": rows["person_id"], **{n: a for n, a in rows.items() if n in DECIMALS}}
    for name, array in arrays.items():
        pieces[-1] += f'{", " if columns else ""}"{name}": '
        _brackets(pieces, array.shape[1:])
        columns.append(array.reshape(len(array), int(np.prod(array.shape[1:]))).astype(np.float64))
        decimals += [DECIMALS.get(name, 0)] * columns[-1].shape[1]
    pieces[-1] += "}\n"
    text = fill_template(np.concatenate(columns, 1), decimals, pieces, missing="null")
    people = text.split(b"\n")
    frames = split_by_frame(rows["frame"], len(time_s))
    times = fill_template(time_s[:, None], [TIME_DECIMALS], ["", "\n"], missing="").splitlines()
    return b",\n".join(
        b'{"time_s": ' + time + b', "people": [' + b", ".join(people[r] for r in found) + b"]}"
        for time, found in zip(times, frames, strict=True)
    )


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


def _arrays(values: dict[str, Any], path: Path) -> tuple[NDArray, dict[str, NDArray]]:
    """Returns the times of frames, and the rows of people."""
    fields, frames = values.get("fields"), values.get("frames")
    if not isinstance(fields, dict) or not isinstance(frames, list):
        raise damaged(path, "fields or frames are missing")
    unknown = sorted(set(fields) - set(FIELDS) - set(DERIVED))
    if unknown:
        raise damaged(path, f"its fields {', '.join(unknown)} are unknown")
    names = {"person_id", *fields}
    numbers, people = [], []
    for index, frame in enumerate(frames):
        there = frame.get("people") if isinstance(frame, dict) else None
        if not isinstance(there, list) or set(frame) != {"time_s", "people"}:
            raise damaged(path, f"frame {index} has not just time_s and people")
        if any(not isinstance(person, dict) or set(person) != names for person in there):
            raise damaged(path, f"frame {index} does not have the fields that the file names")
        numbers += [index] * len(there)
        people += there
    try:
        shapes = row_shapes(0, len(values["skeleton"]["joints"]), 0)
        rows: dict[str, NDArray] = {
            name: _stack([person[name] for person in people], shapes[name], name == "valid")
            for name in set(fields) - set(DERIVED)
        }
        rows["person_id"] = _whole_numbers([person["person_id"] for person in people])
        time_s = _stack([frame["time_s"] for frame in frames], (0,), False)
    except (TypeError, ValueError, KeyError) as error:
        raise damaged(path, f"its numbers do not form arrays ({error})") from error
    return time_s, rows | {"frame": np.array(numbers, np.int64)}


def _whole_numbers(values: list[Any]) -> NDArray:
    if not all(type(value) is int for value in values):
        raise ValueError("person_id holds something else than whole numbers")
    return np.array(values, np.int64)


def _stack(rows: list[Any], if_empty: tuple[int, ...], boolean: bool) -> NDArray:
    """Makes one array of nested lists (null: NaN); ``if_empty`` is the shape of no rows."""
    if not rows:
        return np.zeros(if_empty, bool if boolean else np.float64)
    if not boolean:
        return np.array(rows, dtype=np.float64)
    if not all(isinstance(flag, bool) for flag in rows):
        raise ValueError("valid holds something else than true and false")
    return np.array(rows, bool)
