"""Arrays as short text for a page: rounded, second differences over time, deflated, base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(values: NDArray, step: float) -> dict[str, Any]:
    """Packs ``(frame, ...)`` rounded to ``step``; ``unpack`` of ``data.js`` reads it, NaN included.

    The text holds, deflated: zigzag-coded second differences of each column, the lowest bytes of
    all first, then a bit for each value that is NaN. What moves evenly costs almost nothing.
    """
    rows = len(values)
    table = np.asarray(values, np.float64).reshape(rows, -1).T
    missing = np.isnan(table)
    whole = np.rint(_held(table, missing) / step).astype(np.int64)
    change = np.diff(np.diff(whole, prepend=0), prepend=0).astype(np.int32)  # wraps, as the reader
    coded = ((change << 1) ^ (change >> 31)).astype("<u4")
    planes = np.ascontiguousarray(coded).view(np.uint8).reshape(-1, 4).T.tobytes()
    bits = np.packbits(missing, bitorder="little").tobytes()
    data = base64.b64encode(zlib.compress(planes + bits, 9)).decode()
    return {"step": step, "width": len(table), "rows": rows, "data": data}


def _held(table: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replaces NaN by the value before it (0 at the start), which costs least."""
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(table.shape[1])), axis=1)
    held = np.take_along_axis(table, np.maximum(last, 0), axis=1)
    return np.where(last < 0, 0.0, held)
