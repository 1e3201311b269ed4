"""The picture that everything passes around; apart, because it needs neither PyAV nor OpenCV."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "height width 3"]  # RGB
