"""NPZ: everything at full precision, for NumPy; no pickles inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.files import BROKEN, check_archive, parse_json
from pose3d.result import contents
from pose3d.result.contents import DERIVED, FIELDS, damaged
from pose3d.result.record import PoseSequence

LARGEST_HEADER = 64 << 20  # bytes

_ALWAYS = {"time_s": "f", "frame": "iu", "person_id": "iu"}
_KINDS = _ALWAYS | dict.fromkeys(FIELDS, "f") | {"valid": "b"}  # of numbers


class NpzExporter:
    """Writes ``.npz`` that ``numpy.load`` reads back, exactly.

    ``metadata`` is a JSON text of everything but the arrays; ``joint_names``, ``parents`` and
    ``rate`` repeat some of it as arrays. All but ``time_s`` have a row for each person in each frame:
    those of ``frame`` and ``person_id``.
    """

    suffix = ".npz"
    description = "Everything at full precision: numpy.load; read back by pose3d"
    axes = "Axes of the camera; metres, pixels"
    away = "has no row"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the record to ``path``."""
        rate = pose.video.rate
        rows = contents.rows_of(pose)
        arrays: dict[str, Any] = {
            "metadata": np.array(json.dumps(contents.describe(pose, rows), allow_nan=False)),
            "joint_names": np.array(pose.skeleton.joints),
            "parents": np.array(pose.skeleton.parents, np.int64),
            "rate": np.array([rate.numerator, rate.denominator]),
            "time_s": pose.time_s,
            **rows,
        }
        with path.open("wb") as file:  # given a name, NumPy would add a suffix to it
            np.savez(file, **arrays)

    @staticmethod
    def read(path: Path) -> PoseSequence:
        """Reads a file that :meth:`write` wrote; a ResultFileError when it cannot be used."""
        try:
            check_archive(path)
            # Opened here: NumPy leaves a file open whose ZIP directory is broken.
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                if "metadata" not in file.files:
                    contents.check_dialect({}, path)
                if file.zip.getinfo("metadata.npy").file_size > LARGEST_HEADER:
                    raise ValueError("its metadata is too large")
                header = parse_json(str(file["metadata"][()]))
                arrays = {name: file[name] for name in _KINDS if name in file.files}
        except OSError:
            raise
        except BROKEN as error:
            raise damaged(path, str(error) or type(error).__name__) from error
        if not isinstance(header, dict):
            raise damaged(path, "its metadata is no JSON object")
        contents.check_dialect(header, path)
        if {*_ALWAYS, *header.get("fields", ())} - set(DERIVED) != set(arrays):
            raise damaged(path, "it does not have the arrays that its metadata names")
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise damaged(path, f"{name} is no array")
            if array.dtype.kind not in _KINDS[name]:
                raise damaged(path, f"{name} holds {array.dtype} values")
        return contents.rebuild(header, arrays.pop("time_s"), arrays, path)
