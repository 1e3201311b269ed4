"""The filter of streams over a whole recording."""

from __future__ import annotations

import numpy as np

from pose3d.cleaning.smoothing import OneEuro


def one_euro(values: np.ndarray, time_s: np.ndarray, **options: float) -> np.ndarray:
    """Filters ``(frame, ...)`` sample by sample."""
    euro = OneEuro(**options)
    return np.stack([euro.step(value, float(t)) for value, t in zip(values, time_s, strict=True)])
