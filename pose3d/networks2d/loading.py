"""Detectors and 2D keypoint estimators by name."""

from __future__ import annotations

from typing import Any

from pose3d.networks2d.interfaces import Detector, KeypointEstimator
from pose3d.networks2d.one_stage import OnePass
from pose3d.plugins import load_part, make_part

_DEFAULTS = {"device": "auto", "threads": None, "offline": False}  # parts of others may have none


def make_detector(name: str, **options: Any) -> Detector:
    """Makes the detector ``NAME`` or ``NAME:ARGUMENT``; options are those of :class:`Part`."""
    detector: Detector = make_part("detector", name, **_DEFAULTS | options)
    return detector


def make_keypoints(name: str, **options: Any) -> KeypointEstimator:
    """Makes the estimator ``NAME`` or ``NAME:ARGUMENT``; OnePass where it finds people itself."""
    made = make_part("keypoints", name, **_DEFAULTS | options)
    estimator: KeypointEstimator = OnePass(made) if _finds_people(made) else made
    return estimator


def finds_people_itself(name: str) -> bool:
    """Tells whether an estimator needs no detector, without making it."""
    return _finds_people(load_part("keypoints", name.partition(":")[0]))


def _finds_people(part: object) -> bool:
    return hasattr(part, "find_people")
