"""Cleaning of 2D tracks before lifting and of 3D motion after it.

:mod:`~pose3d.cleaning.poses` takes and returns ``PoseSequence``; the other modules know arrays only.
"""

from __future__ import annotations

from pose3d.cleaning.poses import clean_keypoints, hold_bones_constant, live_filter, smooth_joints

__all__ = ["clean_keypoints", "hold_bones_constant", "live_filter", "smooth_joints"]
