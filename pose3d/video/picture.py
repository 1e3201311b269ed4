"""The picture that everything passes around; apart, because it needs neither PyAV nor OpenCV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "height width 3"]  # RGB

# A file, a folder of images, the number of a camera, or RGB pictures of one size.
Video: TypeAlias = str | Path | int | Iterable[Image]

IN_MEMORY = "<frames>"  # the path of a clip that was given as pictures
