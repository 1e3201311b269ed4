"""2D keypoint estimators: one file each, found by name."""

from __future__ import annotations

from pose3d.keypoints.onepass import OnePass
from pose3d.types import KeypointEstimator
from pose3d.variants import load_variant, make_variant

KEYPOINTS: dict[str, str] = {
    "blazepose": "pose3d.keypoints.blazepose:BlazePoseKeypoints",
    "mmpose": "pose3d.keypoints.mmpose:MMPoseKeypoints",
    "rtmpose": "pose3d.keypoints.rtmpose:RTMPoseKeypoints",
    "tokenpose": "pose3d.keypoints.tokenpose:TokenPoseKeypoints",
    "yolo": "pose3d.keypoints.yolo:YoloKeypoints",
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
    made = make_variant(
        "keypoints", "--keypoints", name, KEYPOINTS, device=device, threads=threads, offline=offline
    )
    estimator: KeypointEstimator = OnePass(made) if _detects_itself(made) else made
    return estimator


def finds_people_itself(name: str) -> bool:
    """Tells whether an estimator needs no detector, without making it.

    Args:
        name: as in :func:`make_keypoints`.

    Raises:
        UsageError: there is no estimator of that name.
        MissingExtraError: it needs a package that is not installed.
    """
    return _detects_itself(load_variant("keypoints", name.partition(":")[0], KEYPOINTS))


def _detects_itself(part: object) -> bool:
    return bool(getattr(part, "DETECTS_ITSELF", False))
