"""Detections and keypoints of single pictures -> people through time."""

from __future__ import annotations

from pose3d.tracking.clip import Tracks, collect, collect_tracks, make_tracker
from pose3d.tracking.track import Observation
from pose3d.tracking.tracker import Tracker

__all__ = ["Observation", "Tracker", "Tracks", "collect", "collect_tracks", "make_tracker"]
