"""Detectors and 2D keypoint estimators by name."""

from __future__ import annotations

from pose3d.networks2d.interfaces import Detector, KeypointEstimator
from pose3d.networks2d.one_stage import OnePass
from pose3d.plugins import load_part, make_part


def make_detector(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> Detector:
    """Makes the detector called ``name``, fetching its weights when they are not here.

    Args:
        name: as ``--detector`` takes it: ``NAME``, or ``NAME:ARGUMENT``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: all cores.
        offline: never use the network.

    Raises:
        UsageError: there is no detector of that name, or it takes no argument.
        MissingExtraError: it needs a package that is not installed.
        DeviceError: it cannot run on ``device``.
        WeightsError: its weights cannot be had.
    """
    detector: Detector = make_part(
        "detector", name, device=device, threads=threads, offline=offline
    )
    return detector


def make_keypoints(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> KeypointEstimator:
    """Makes the 2D keypoint estimator called ``name``; arguments and errors of :func:`make_detector`."""
    made = make_part("keypoints", name, device=device, threads=threads, offline=offline)
    estimator: KeypointEstimator = OnePass(made) if _detects_itself(made) else made
    return estimator


def finds_people_itself(name: str) -> bool:
    """Tells whether an estimator needs no detector, without making it.

    Raises:
        UsageError: there is no estimator of that name.
        MissingExtraError: it needs a package that is not installed.
    """
    return _detects_itself(load_part("keypoints", name.partition(":")[0]))


def _detects_itself(part: object) -> bool:
    return bool(getattr(part, "DETECTS_ITSELF", False))
