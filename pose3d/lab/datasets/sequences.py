"""Recordings with 2D keypoints and 3D truth: what every data set of the field becomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.mappings import map_points, mapping_to_h36m
from pose3d.body.skeletons import COCO17, H36M17, Skeleton
from pose3d.errors import DataError

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSequence:
    """One person in front of one camera."""

    subject: str
    action: str  # full name of the recording, e.g. ``Walking 1``
    camera: str
    skeleton: Skeleton
    keypoints_px: Array  # ``(frame, joint, 2)``
    score: Array  # ``(frame, joint)`` 0..1
    joints_cam_m: Array  # ``(frame, 17, 3)`` H36M17, camera axes, absolute
    size_wh: tuple[int, int]
    focal_px: float
    rate: float | None  # fps; None: the file does not say
    valid: NDArray[np.bool_]  # ``(frame,)`` whose truth counts

    @property
    def group(self) -> str:
        """The action without the number of the take: ``Walking 1`` counts as ``Walking``."""
        return self.action.split(" ")[0]

    @property
    def relative_m(self) -> Array:
        """``(frame, 17, 3)`` joints relative to the pelvis, float32."""
        joints = np.asarray(self.joints_cam_m, np.float64)
        return (joints - joints[:, :1]).astype(np.float32)

    def mapped(self, mapping: str) -> tuple[Array, Array]:
        """Returns keypoints ``(frame, 17, 2)`` and scores of H36M17; ``mapping`` does not matter to
        keypoints that are H36M17 already."""
        table = mapping_to_h36m(mapping, self.skeleton)
        points, score = map_points(self.keypoints_px, self.score, self.skeleton, table, H36M17)
        assert score is not None
        return points, score


def skeleton_of_symmetry(symmetry: object, source: str) -> Skeleton:
    """Returns H36M17 or COCO-17 by their ``keypoints_symmetry`` (left, right indices)."""
    for skeleton in (H36M17, COCO17):
        sides = [
            [i for i, s in enumerate(skeleton.side) if s == side] for side in ("left", "right")
        ]
        if isinstance(symmetry, (list, tuple)) and list(map(sorted, symmetry)) == sides:
            return skeleton
    raise DataError(
        f"{source}: the symmetry {symmetry!r} is neither that of Human3.6M's 17 joints nor COCO's",
        "Use detections with 17 joints, e.g. cpn_ft_h36m_dbb or gt",
    )
