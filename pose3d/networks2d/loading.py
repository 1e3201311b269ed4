"""Detectors and 2D keypoint estimators by name."""

from __future__ import annotations

from pose3d.networks2d.interfaces import Detector, KeypointEstimator
from pose3d.networks2d.one_stage import OnePass
from pose3d.plugins import load_part, make_part


def make_detector(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> Detector:
    """Makes the detector ``NAME`` or ``NAME:ARGUMENT``; see :class:`Part` for the arguments."""
    detector: Detector = make_part(
        "detector", name, device=device, threads=threads, offline=offline
    )
    return detector


def make_keypoints(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> KeypointEstimator:
    """Makes the estimator ``NAME`` or ``NAME:ARGUMENT``; OnePass where it finds people itself."""
    made = make_part("keypoints", name, device=device, threads=threads, offline=offline)
    estimator: KeypointEstimator = OnePass(made) if _finds_people(made) else made
    return estimator


def finds_people_itself(name: str) -> bool:
    """Tells whether an estimator needs no detector, without making it."""
    return _finds_people(load_part("keypoints", name.partition(":")[0]))


def _finds_people(part: object) -> bool:
    return hasattr(part, "find_people")
