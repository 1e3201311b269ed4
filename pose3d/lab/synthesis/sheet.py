"""A sheet of synthetic people: pictures, true joints and those of the detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import BLAZEPOSE33, H36M17, LIMBS
from pose3d.errors import DataError
from pose3d.files import write_whole
from pose3d.lab.synthesis.bodies import prepare_bodies
from pose3d.lab.synthesis.pictures import Painter
from pose3d.lab.synthesis.recordings import Recordings
from pose3d.lab.synthesis.tracks import FilmOptions, Watcher, film_clip
from pose3d.video.picture import Image

SHEET_CLIPS = 12
_CELL_PX = 240
_COLUMNS = 6
_MARGIN = 1.6
_FRAMES = 8
_TRUE, _FOUND = (60, 220, 60), (240, 60, 60)


def draw_sheet(files: list[Path], out: Path, options: FilmOptions) -> None:
    """Films the beginning of each clip into one picture: truth in green, BlazePose in red."""
    recordings = Recordings(files, options.leave_out, options.split)
    prepare_bodies()
    painter, watcher = Painter(), Watcher(options.keypoints)
    cells = []
    for number in range(min(options.clips, SHEET_CLIPS)):
        shown: list[Image] = []
        clip = film_clip(
            number, replace(options, frames=_FRAMES), recordings, painter, watcher, shown
        )
        cell, place = _cut_out(shown[-1], clip["joints_px"][-1])
        for name in LIMBS:
            true = clip["joints_px"][-1, H36M17.index[name]]
            found = clip["lm_px"][-1, BLAZEPOSE33.index[name]]
            for point, colour, radius in ((true, _TRUE, 5), (found, _FOUND, 3)):
                if np.isfinite(point).all():
                    x, y = np.round(place(point)).astype(int).tolist()
                    cv2.circle(cell, (x, y), radius, colour, -1, cv2.LINE_AA)
        cells.append(cell)
    blank = np.zeros_like(cells[0])
    cells += [blank] * (-len(cells) % _COLUMNS)
    rows = [np.hstack(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
    done, coded = cv2.imencode(out.suffix, cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    assert done
    with write_whole(out, DataError) as part:
        part.write_bytes(coded.tobytes())


def _cut_out(
    picture: Image, joints_px: NDArray[np.floating]
) -> tuple[Image, Callable[[NDArray[np.floating]], NDArray[np.floating]]]:
    """Returns the square around a person within the picture, and where points are in it."""
    height, width = picture.shape[:2]
    low, high = joints_px.min(0), joints_px.max(0)
    side = int(min(_MARGIN * (high - low).max(), width, height))
    corner = np.clip((low + high - side) / 2, 0, [width - side, height - side]).astype(int)
    part = picture[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    cell = np.asarray(cv2.resize(part, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_LINEAR))
    return cell, lambda point: (point - corner) * (_CELL_PX / side)
