"""The picture that everything passes around; apart, because it needs neither PyAV nor OpenCV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "height width 3"]
"""RGB picture."""

Video: TypeAlias = str | Path | int | Iterable[Image]
"""A file, a folder of images, the number of a camera, or RGB pictures of one size."""

IN_MEMORY = "<frames>"
"""The path of a clip that was given as pictures."""
