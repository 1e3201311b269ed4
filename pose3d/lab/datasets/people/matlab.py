"""Matlab files as plain Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pose3d.files import BROKEN
from pose3d.lab.datasets.npz_files import blame_file


def read_mat(path: Path) -> dict[str, Any]:
    """Returns the variables of a Matlab file (up to version 7.2): arrays, objects for structures,
    single where there is one element; empty fields are empty arrays."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    todo = "Give the folder that holds it as published, or fetch it again"
    with blame_file(path, "readable Matlab file", todo, (*BROKEN, MatReadError)):
        return dict(loadmat(str(path), struct_as_record=False, squeeze_me=True))
