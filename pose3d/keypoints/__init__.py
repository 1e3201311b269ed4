"""2D keypoint estimators: one file each, found by name."""

from __future__ import annotations

from pose3d.types import KeypointEstimator
from pose3d.variants import make_variant

KEYPOINTS: dict[str, str] = {
    "blazepose": "pose3d.keypoints.blazepose:BlazePoseKeypoints",
    "mmpose": "pose3d.keypoints.mmpose:MMPoseKeypoints",
    "rtmpose": "pose3d.keypoints.rtmpose:RTMPoseKeypoints",
    "tokenpose": "pose3d.keypoints.tokenpose:TokenPoseKeypoints",
}
"""Built-in estimators, name -> ``"module:Class"``; see :func:`pose3d.variants.make_variant`."""


def make_keypoints(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> KeypointEstimator:
    """Makes the 2D keypoint estimator called ``name``, fetching its weights when they are not here.

    Args:
        name: in :data:`KEYPOINTS` or an entry point ``keypoints.NAME`` of the group ``pose3d``;
            ``NAME:ARGUMENT`` where the estimator takes an argument.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: all cores.
        offline: never use the network.

    Raises:
        UsageError: there is no estimator of that name, or it takes no argument.
        MissingExtraError: it needs a package that is not installed.
        DeviceError: it cannot run on ``device``.
        WeightsError: its weights cannot be had.
    """
    estimator: KeypointEstimator = make_variant(
        "keypoints", "--keypoints", name, KEYPOINTS, device=device, threads=threads, offline=offline
    )
    return estimator
