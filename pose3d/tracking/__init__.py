"""Detections and keypoints of single pictures -> people through time."""
