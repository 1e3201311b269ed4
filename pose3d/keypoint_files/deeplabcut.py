"""DeepLabCut: the CSV or HDF5 file that ``analyze_videos`` leaves beside each video.

CSV: header lines ``scorer``, ``individuals`` (of several animals), ``bodyparts``, ``coords``, then
frame number and x, y, likelihood of each part. HDF5: the same table as pandas stores it (PyTables,
``df_with_missing``), column names as pickled lists of words; it needs the package h5py.
Reference: ``create_df_from_prediction`` in ``deeplabcut/pose_estimation_pytorch/apis/videos.py`` of
DeepLabCut/DeepLabCut; pandas ``io/pytables.py`` for the layout of the table.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import MissingExtraError, ResultFileError
from pose3d.keypoint_files.joint_names import choose_joints
from pose3d.keypoint_files.poses import Array, Poses, as_whole, grid_of_poses
from pose3d.keypoint_files.source import Source
from pose3d.plugins import EXTRAS, install_command

_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_NO_ANIMAL = "single"  # parts that belong to no animal, e.g. corners of an arena

_Label = tuple[str, ...]


class DeepLabCutReader:
    """Reads results with one or several individuals whose body parts are people's."""

    kinds = ("hdf5", "text")

    def recognises(self, source: Source) -> bool:
        """Tells whether this is a table of DeepLabCut; any HDF5 file counts as one."""
        return source.kind == "hdf5" or _is_table(source)

    def read(self, source: Source) -> Poses:
        levels, labels, index, values = (
            _read_hdf5(source) if source.kind == "hdf5" else _read_csv(source)
        )
        _check(levels, labels, values, source)
        several = "individuals" in levels
        places = {(label[1] if several else "", *label[-2:]): i for i, label in enumerate(labels)}
        animals = list(dict.fromkeys(a for a, _, _ in places if a != _NO_ANIMAL or not several))
        parts = list(dict.fromkeys(p for a, p, _ in places if a in animals))
        xyl = np.full((len(index), len(animals), len(parts), 3), np.nan)
        for (animal, part, coord), column in places.items():
            if animal in animals and coord in ("x", "y", "likelihood"):
                axis = ("x", "y", "likelihood").index(coord)
                xyl[:, animals.index(animal), parts.index(part), axis] = values[:, column]
        ids = np.arange(1, len(animals) + 1)
        score = np.nan_to_num(xyl[..., 2])
        poses = grid_of_poses(xyl[..., :2], score, ids, numbers=index, people=ids)
        return choose_joints(poses, parts, source)


def _is_table(source: Source) -> bool:
    first = [row[0].lower() for row in source.rows[:4] if row]
    return first[:1] == ["scorer"] and "bodyparts" in first and "coords" in first


_Parsed = tuple[list[str], list[_Label], NDArray[np.int_], Array]


def _read_csv(source: Source) -> _Parsed:
    """Returns header levels, column labels, frame numbers and values."""
    rows = source.rows
    depth = next((i for i, r in enumerate(rows[:5]) if r and r[0].lower() == "coords"), None)
    if depth is None or len(rows) <= depth + 1:
        raise ResultFileError(
            f"{source} has no header of scorer, bodyparts and coords, or no frames", _HOW
        )
    header, body = rows[: depth + 1], rows[depth + 1 :]
    width = len(header[0])
    for line, row in enumerate([*header, *body], 1):
        if len(row) != width:
            raise ResultFileError(f"{source}, line {line} has {len(row)} cells of {width}", _HOW)
    levels = [row[0].lower() for row in header]
    labels = [tuple(cells) for cells in zip(*(row[1:] for row in header), strict=True)]
    try:
        frames = [int(row[0]) for row in body]
        values = np.array([[float(c) if c else np.nan for c in row[1:]] for row in body])
    except ValueError as error:
        raise ResultFileError(
            f"{source} holds something else than numbers ({error})", _HOW
        ) from error
    index = np.array([as_whole(number, f"{source}: frame") for number in frames], int)
    return levels, labels, index, values


_HOW = "Give the .csv or .h5 file that DeepLabCut's analyze_videos wrote"


def _check(levels: Sequence[str], labels: Sequence[_Label], values: Array, source: Source) -> None:
    if not {"bodyparts", "coords"} <= set(levels) or set(levels) - set(_LEVELS):
        raise ResultFileError(f"{source} has the header {', '.join(levels)}", _HOW)
    if not {"x", "y"} <= {label[-1] for label in labels} or np.isinf(values).any():
        raise ResultFileError(f"{source} has no finite x and y of its body parts", _HOW)


# -- HDF5 -------------------------------------------------------------------------------------------


class _WordsOnly(pickle.Unpickler):
    """Makes lists, tuples, dictionaries, words and numbers; refuses everything with a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _read_hdf5(source: Source) -> _Parsed:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{source} is an HDF5 file, which needs the package h5py",
            f"Run {install_command(*EXTRAS['deeplabcut'])}, or give the .csv that DeepLabCut "
            "writes with save_as_csv",
        ) from error
    try:
        with h5py.File(source.path, "r") as file:
            tables = [
                g["table"] for g in file.values() if isinstance(g, h5py.Group) and "table" in g
            ]
            if len(tables) != 1:
                raise ResultFileError(
                    f"{source} holds {len(tables)} tables of pandas, not one", _HOW
                )
            table = tables[0]
            source.check_size(table.nbytes)
            records = table[()]
            blocks = sorted(n for n in records.dtype.names if n.startswith("values_block_"))
            labels = [
                tuple(str(word) for word in label)
                for name in blocks
                for label in _words(table.attrs[f"{name}_kind"])
            ]
            levels = [str(name).lower() for name in _level_names(table.parent.attrs)]
            values = np.concatenate([records[n].reshape(len(records), -1) for n in blocks], 1)
    except (OSError, KeyError, ValueError, EOFError, pickle.UnpicklingError, TypeError) as error:
        raise ResultFileError(f"{source} is no table of DeepLabCut ({error})", _HOW) from error
    values = values.astype(float)
    if values.shape[1] != len(labels) or any(len(label) != len(levels) for label in labels):
        raise ResultFileError(f"{source}: names and columns differ in number", _HOW)
    return levels, labels, records["index"].astype(int), values


def _words(pickled: Any) -> Any:
    content = pickled if isinstance(pickled, bytes) else bytes(np.asarray(pickled).tobytes())
    return _WordsOnly(io.BytesIO(content)).load()


def _level_names(attributes: Any) -> list[str]:
    info = _words(attributes["info"])
    for axis in info.values():
        names = axis.get("names") if isinstance(axis, dict) else None
        if names:
            return list(names)
    raise ValueError("the header's levels have no names")
