"""Weights by name: what exists, where it lies, how it is fetched and checked.

Nothing is ever loaded without its hash being right, where a hash is known.
"""

from __future__ import annotations

from pose3d.weights.fetching import ChosenFile, fetch, find_file
from pose3d.weights.finding import (
    cache_dir,
    find_entry,
    list_weights,
    locate,
    packaged_weights_dir,
    sha256_of,
    target_path,
    user_weights_dir,
    verify,
)
from pose3d.weights.table import WEIGHTS, WeightsEntry, WheelMember

__all__ = [
    "WEIGHTS",
    "ChosenFile",
    "WeightsEntry",
    "WheelMember",
    "cache_dir",
    "fetch",
    "find_entry",
    "find_file",
    "list_weights",
    "locate",
    "packaged_weights_dir",
    "sha256_of",
    "target_path",
    "user_weights_dir",
    "verify",
]
