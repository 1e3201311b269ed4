"""Files that carry what a camera wrote: metadata of a QuickTime track, Exif of a picture."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

APPLE = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
EXIF_IFD = 0x8769


def box(kind: bytes, content: bytes) -> bytes:
    """A box of ISO/IEC 14496-12."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def meta_box(items: list[tuple[str, int, bytes]], *, versioned: bool = False) -> bytes:
    """A ``meta`` box of names, well-known types and values, as cameras write it."""
    handler = box(b"hdlr", b"\0" * 8 + b"mdta" + b"\0" * 13)
    names = b"".join(box(b"mdta", name.encode()) for name, _, _ in items)
    keys = box(b"keys", struct.pack(">II", 0, len(items)) + names)
    values = b"".join(
        box(struct.pack(">I", i + 1), box(b"data", struct.pack(">II", kind, 0) + value))
        for i, (_, kind, value) in enumerate(items)
    )
    return box(b"meta", (b"\0" * 4 if versioned else b"") + handler + keys + box(b"ilst", values))


def put_into(path: Path, parents: list[bytes], new: bytes) -> None:
    """Appends a box to the first one behind ``parents``; the index has to be the file's last part."""
    data = bytearray(path.read_bytes())
    start, end, holders = 0, len(data), []
    for wanted in parents:
        while start < end:
            size, kind = struct.unpack(">I4s", data[start : start + 8])
            if kind == wanted:
                break
            start += size
        assert start < end, f"no {wanted!r}"
        holders.append(start)
        start, end = start + 8, start + size
    data[end:end] = new
    for holder in holders:
        (size,) = struct.unpack(">I", data[holder : holder + 4])
        data[holder : holder + 4] = struct.pack(">I", size + len(new))
    path.write_bytes(data)


def write_photo(
    path: Path, size_wh: tuple[int, int], tags: dict[int, Any], orientation: int = 1
) -> None:
    """Writes a grey picture with Exif; ``size_wh`` as stored."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(EXIF_IFD).update(tags)
    grey = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey).save(path, exif=exif)
