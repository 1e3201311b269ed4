"""What a user wants to know about a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a user wants to know about a model before and after using it."""

    name: str
    licence: str  # SPDX identifier of code and weights
    weights: tuple[str, ...] = ()  # names in the weights table
    sha256: tuple[str, ...] = ()  # of these files, in order; empty until loaded
    device: str = "cpu"
    device_reason: str = ""
    changes: tuple[str, ...] = ()  # of how its weights were made to be used, in words
