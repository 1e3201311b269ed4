"""Cleaning of 2D tracks before lifting and of 3D motion after it.

:mod:`~pose3d.cleaning.poses` takes and returns ``PoseSequence``; the other modules know arrays only.
"""
