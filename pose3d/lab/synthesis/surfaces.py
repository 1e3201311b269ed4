"""How things look: two colours and a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATTERNS = ("plain", "stripes", "checks", "blotches", "planks")
"""In the order of the shading program."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A material.

    Args:
        colours: ``(2, 3)`` RGB in 0..1: ground and pattern.
        pattern: index into ``PATTERNS``.
        size_m: of the pattern.
        folds: how deep a cloth's folds look; 0: none.
    """

    colours: NDArray[np.float64]
    pattern: int = 0
    size_m: float = 0.1
    folds: float = 0.0


def plain(colour: NDArray[np.float64] | float) -> Surface:
    """Returns a surface of one colour, RGB or grey."""
    return Surface(np.full((2, 3), colour, float))
