"""Fast text from arrays: millions of rounded numbers between fixed pieces of text, no loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import ResultFileError

BOOLEAN = -1  # in place of a number of decimals: write true or false

_ROWS_AT_ONCE = 1024
_LARGEST = 2**62


def fill_template(
    values: NDArray[np.floating],
    decimals: Sequence[int],
    pieces: Sequence[str],
    *,
    missing: str,
) -> bytes:
    """Writes one text per row, joined: ``pieces[0] number pieces[1] number ... pieces[-1]``.

    ``values`` are ``(row, column)``, NaN is written ``missing``; all texts are ASCII. Numbers have
    at most their column's ``decimals`` (or :data:`BOOLEAN`), no trailing zeros and no exponent; a
    ResultFileError when one is too large for that.
    """
    places = np.array(decimals, np.int64)
    literals, literals_kept = _letters([piece.encode() for piece in pieces])
    parts = []
    for start in range(0, len(values), _ROWS_AT_ONCE):
        block = np.asarray(values[start : start + _ROWS_AT_ONCE], np.float64)
        chars, kept = _numbers(block, places, missing.encode())
        rows, columns, width = chars.shape
        span = literals.shape[1]
        text = np.empty((rows, columns + 1, span + width), np.uint8)
        used = np.zeros(text.shape, bool)
        text[:, :, :span], used[:, :, :span] = literals, literals_kept
        text[:, :-1, span:], used[:, :-1, span:] = chars, kept
        parts.append(text[used].tobytes())
    return b"".join(parts)


def _letters(words: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns words as rows of characters, and which of these belong to the word."""
    width = max(map(len, words), default=0)
    padded = b"".join(word.ljust(width) for word in words)
    chars = np.frombuffer(padded, np.uint8).reshape(len(words), width)
    return chars, np.arange(width) < np.array([len(word) for word in words])[:, None]


def _numbers(
    values: NDArray[np.float64], decimals: NDArray[np.int64], missing: bytes
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns ``(row, column, character)`` and which characters are written."""
    gone = np.isnan(values)
    boolean = decimals == BOOLEAN
    places = np.where(boolean, 0, decimals)
    size = np.abs(np.where(gone, 0, values))
    most = int(places.max(initial=0))
    if size.max(initial=0) > _LARGEST / 10.0**most:
        raise ResultFileError(f"{size.max()} is too large for a text file", "Export it as npz")
    # Columns with fewer decimals are shifted, so that all share one place for the point.
    digits = np.rint(size * 10.0**places).astype(np.int64) * 10 ** (most - places)
    whole = max(len(str(int(digits.max(initial=0)))) - most, 1)
    width = max(1 + whole + 1 + most, len(missing), 5)
    chars = np.full((*values.shape, width), ord("0"), np.uint8)
    point = 1 + whole
    rest = digits
    for place in (*range(point + most, point, -1), *range(point - 1, 0, -1)):
        above = rest // 10
        chars[..., place] += (rest - 10 * above).astype(np.uint8)
        rest = above
    chars[..., point] = ord(".")
    kept = np.zeros(chars.shape, bool)
    nonzero = chars[..., 1 : point + 1 + most] > ord("0")
    nonzero[..., whole] = False
    kept[..., 1:point] = np.logical_or.accumulate(nonzero[..., :whole], -1)
    kept[..., point - 1] = True
    after = np.logical_or.accumulate(nonzero[..., :whole:-1], -1)[..., ::-1]
    kept[..., point + 1 : point + 1 + most] = after
    kept[..., point] = after.any(-1)
    chars[..., 0] = ord("-")
    kept[..., 0] = (values < 0) & (digits > 0)
    _overwrite(chars, kept, gone, missing)
    _overwrite(chars, kept, boolean & ~gone & (values != 0), b"true")
    _overwrite(chars, kept, boolean & ~gone & (values == 0), b"false")
    return chars, kept


def _overwrite(
    chars: NDArray[np.uint8], kept: NDArray[np.bool_], where: NDArray[np.bool_], word: bytes
) -> None:
    """Writes a word in place of the numbers chosen by ``where``."""
    if where.any():
        length = len(word)
        chars[where, :length] = np.frombuffer(word, np.uint8)
        kept[where] = np.arange(chars.shape[-1]) < length
