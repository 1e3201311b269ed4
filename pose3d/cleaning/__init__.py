"""Cleaning of 2D tracks before lifting and of 3D motion after it."""
