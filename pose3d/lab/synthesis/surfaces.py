"""How things look: two colours and a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Surface:
    """A material."""

    colours: NDArray[np.float64]  # ``(2, 3)`` RGB in 0..1: ground and pattern
    pattern: int = 0  # of the shader: plain, stripes, checks, blotches, planks
    size_m: float = 0.1  # of the pattern
    folds: float = 0.0  # how deep a cloth's folds look


def plain(colour: NDArray[np.float64] | float) -> Surface:
    """Returns a surface of one colour, RGB or grey."""
    return Surface(np.full((2, 3), colour, float))
