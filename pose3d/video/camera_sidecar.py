"""``NAME.camera.json`` beside a clip: the camera's matrix and distortion, as OpenCV calibrates them."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.errors import VideoError, unknown_name
from pose3d.files import parse_json
from pose3d.result.camera import Camera, bend

ENDING = ".camera.json"
_NAMES = ("K", "distortion", "size_wh")
_SAME_SHAPE = 0.01  # by how much width over height may differ between two sizes of one picture
_GRID, _SAME_PLACE_PX = 9, 0.1


def sidecar_path(clip: str | Path) -> Path:
    """Returns where the sidecar of a video file or a folder of images lies, whether it is there or not."""
    path = Path(clip).absolute()
    return path.with_name((path.name if path.is_dir() else path.stem) + ENDING)


def read_sidecar(
    clip: str | Path, shown_wh: tuple[int, int], stored_wh: tuple[int, int] | None = None
) -> Camera | None:
    """Returns the camera of the sidecar, for the picture as shown; None where there is none.

    ``K`` counts from the centre of the first pixel, as OpenCV does. ``size_wh`` is the size of the
    pictures that it was measured in: as shown, or as stored (``stored_wh``, turned as shown) where
    pixels are not square; None: as shown. VideoError: it cannot be used.
    """
    path = sidecar_path(clip)
    if not os.path.isfile(path):  # Path.is_file raises where the name is too long
        return None
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise VideoError(
            f"{path} cannot be read ({error})", "Correct it or take it away"
        ) from error
    try:
        return _read(values, path, shown_wh, stored_wh or shown_wh)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise VideoError(
            f"{path} describes no camera: {why}",
            'Write {"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "distortion": [k1, k2, p1, p2, k3], '
            '"size_wh": [width, height]}; the last two may be left out',
        ) from error


def _read(values: Any, path: Path, shown_wh: tuple[int, int], stored_wh: tuple[int, int]) -> Camera:
    if not isinstance(values, dict):
        raise TypeError("it holds no JSON object")
    for name in values:
        if name not in _NAMES:
            error = unknown_name(f"entry of {path.name}", name, _NAMES)
            raise VideoError(error.what, error.todo)
    matrix = np.array(values["K"], np.float64)
    distortion = np.array(values.get("distortion") or [], np.float64).reshape(-1)
    measured_wh = np.array(values.get("size_wh") or shown_wh, np.float64)
    if matrix.shape != (3, 3) or measured_wh.shape != (2,) or not (measured_wh > 0).all():
        raise ValueError("K is 3 x 3 and size_wh two numbers above 0")
    # OpenCV: the first pixel's centre is 0, 0; the record's is 0.5, 0.5.
    matrix[:2, 2] += 0.5
    matrix[:2] *= _scale(measured_wh, shown_wh, stored_wh)[:, None]
    camera = Camera(
        focal_px=float(math.sqrt(abs(matrix[0, 0] * matrix[1, 1]))),
        focal_source="sidecar",
        focal_from=path.name,
        matrix_px=tuple((float(a), float(b), float(c)) for a, b, c in matrix),
        distortion=tuple(float(k) for k in distortion),
    )
    _check_fit(camera, shown_wh)
    return camera


def _scale(
    measured_wh: np.ndarray, shown_wh: tuple[int, int], stored_wh: tuple[int, int]
) -> np.ndarray:
    """Returns by how much the picture as shown is larger than the one that was measured, per axis."""
    shape = measured_wh[0] / measured_wh[1]
    for width, height in (shown_wh, stored_wh):
        if abs(shape / (width / height) - 1) < _SAME_SHAPE:
            return np.array(shown_wh) / measured_wh
    raise ValueError(
        f"it was measured in pictures of {measured_wh[0]:g}x{measured_wh[1]:g}, and this one is shown "
        f"at {shown_wh[0]}x{shown_wh[1]}, which is no smaller or larger copy (turned or cropped?)"
    )


def _check_fit(camera: Camera, size_wh: tuple[int, int]) -> None:
    """Refuses a principal point outside of the picture, and distortion that folds it."""
    assert camera.matrix_px is not None
    centre = np.array(camera.matrix_px)[:2, 2]
    if (centre < 0).any() or (centre > size_wh).any():
        raise ValueError(
            f"the middle of its lens, {centre[0]:.0f}, {centre[1]:.0f}, lies outside of the picture "
            f"({size_wh[0]}x{size_wh[1]}); was it measured in another size (size_wh)?"
        )
    x, y = (np.linspace(0, side, _GRID) for side in size_wh)
    grid = np.stack(np.meshgrid(x, y), -1)
    straight, flat = (
        (c.straighten(grid, size_wh) - np.array(size_wh) / 2) / camera.focal_px
        for c in (camera, replace(camera, distortion=()))
    )
    if camera.distortion and not (
        # Bent again they are where they were, and no two have changed places.
        np.abs(bend(straight, camera.distortion) - flat).max() * camera.focal_px < _SAME_PLACE_PX
        and (np.diff(straight[..., 0], axis=1) > 0).all()
        and (np.diff(straight[..., 1], axis=0) > 0).all()
    ):
        raise ValueError("its distortion cannot be undone all over the picture")
