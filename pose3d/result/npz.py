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


class NpzExporter:
    """Writes ``.npz`` that ``numpy.load`` reads back, exactly.

    ``metadata`` is a JSON text of everything but the arrays; ``joint_names``, ``parents``,
    ``person_ids`` and ``rate`` repeat some of it as arrays.
    """

    suffix = ".npz"
    description = "Everything at full precision: numpy.load; read back by pose3d"
    axes = "Axes of the camera; metres, pixels"
    away = "is NaN"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the record to ``path``."""
        rate = pose.video.rate
        arrays: dict[str, Any] = {
            "metadata": np.array(json.dumps(contents.describe(pose), allow_nan=False)),
            "joint_names": np.array(pose.skeleton.joints),
            "parents": np.array(pose.skeleton.parents, np.int64),
            "person_ids": np.asarray(pose.person_ids),
            "rate": np.array([rate.numerator, rate.denominator]),
            **contents.arrays_of(pose),
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
                arrays = {name: file[name] for name in FIELDS if name in file.files}
        except OSError:
            raise
        except BROKEN as error:
            raise damaged(path, str(error) or type(error).__name__) from error
        if not isinstance(header, dict):
            raise damaged(path, "its metadata is no JSON object")
        contents.check_dialect(header, path)
        if set(header.get("fields", ())) - set(DERIVED) != set(arrays):
            raise damaged(path, "it does not have the arrays that its metadata names")
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise damaged(path, f"{name} is no array")
            if array.dtype.kind != ("b" if name == "valid" else "f"):
                raise damaged(path, f"{name} holds {array.dtype} values")
        return contents.rebuild(header, arrays, path)
