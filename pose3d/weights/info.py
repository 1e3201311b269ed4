"""What a user wants to know about a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a user wants to know about a model before and after using it.

    Args:
        name: e.g. ``"blazepose"``.
        licence: SPDX identifier of code and weights.
        weights: names in the weights table (empty: none needed).
        sha256: hashes of these files, in order; empty until loaded.
        changes: what was changed of how its weights were made to be used, in words.
    """

    name: str
    licence: str
    weights: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    device: str = "cpu"
    device_reason: str = ""
    changes: tuple[str, ...] = ()
