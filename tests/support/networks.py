"""What tests of the 2D networks share: weights or a reason to skip, frames of clips."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pose3d.body.skeletons import LIMBS, Skeleton
from pose3d.errors import WeightsError
from pose3d.video.reader import open_video
from pose3d.weights import fetching

NAMES = ("blazepose.detection", "blazepose.landmark-full")


@cache
def _reason() -> str | None:
    try:
        for name in NAMES:
            fetching.fetch(name)
    except WeightsError as error:
        return str(error)
    return None


def require_blazepose() -> None:
    """Skips the test when the two networks are not here and cannot be fetched."""
    reason = _reason()
    if reason is not None:
        pytest.skip(f"BlazePose is not here and cannot be fetched: {reason}")


def read_frames(path: Path, wanted: list[int]) -> dict[int, np.ndarray]:
    """Returns the pictures of some frames of a clip."""
    pictures = {}
    with open_video(path) as video:
        for frame in video:
            if frame.index in wanted:
                pictures[frame.index] = frame.image
            if frame.index >= max(wanted):
                break
    return pictures


def limb_columns(skeleton: Skeleton) -> list[int]:
    """Returns the indices of the twelve limb joints."""
    return [skeleton.index[name] for name in LIMBS]
