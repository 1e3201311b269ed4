"""Matlab files as plain Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pose3d.errors import DataError


def read_mat(path: Path) -> dict[str, Any]:
    """Reads a Matlab file of version 7.2 or older.

    Returns:
        Variables by name: arrays, and objects with one attribute a field for structures. Structures
        of one element are single objects, not arrays; empty fields are empty arrays.

    Raises:
        DataError: missing, damaged or of a newer version.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise DataError(f"{path} is missing", "Give the folder that holds it as published")
    try:
        return dict(loadmat(str(path), struct_as_record=False, squeeze_me=True))
    except (MatReadError, OSError, ValueError, TypeError, NotImplementedError, EOFError) as error:
        raise DataError(f"{path} is no readable Matlab file ({error})", "Fetch it again") from error
