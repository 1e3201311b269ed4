"""The focal length that a camera wrote into a video file or a photograph.

Videos. iPhones and iPads write ``com.apple.quicktime.camera.focal_length.35mm_equivalent``, as a
number, into the metadata of the video's track (Apple, ``AVMetadataIdentifier.h``), which FFmpeg does
not read; tools that copy it put it on the file. Android's recorder writes no focal length (its keys
are ``com.android.version``, ``.manufacturer``, ``.model`` and ``.capture.fps``: ``MPEG4Writer.cpp``);
programs that do, name it alike, so that any name with "focal length" and "35mm" counts.

Photographs. Exif 2.32 (CIPA DC-008): ``FocalLengthIn35mmFilm``, or ``FocalLength`` with
``FocalPlaneXResolution``, ``FocalPlaneYResolution`` and their unit.
"""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pose3d.files import BROKEN
from pose3d.result.camera import Camera, focal_from_35mm

LOWEST_MM, HIGHEST_MM = 4.0, 4000.0
"""In 35-mm terms; what lies beyond is no lens, and 0 means unknown."""
_LARGEST_META = 1 << 20
_CROP = "a video mode that crops has a longer one"
_EXIF_IFD = 0x8769
_EXIF = {
    "FocalLength": 0x920A,
    "PixelXDimension": 0xA002,
    "PixelYDimension": 0xA003,
    "FocalPlaneXResolution": 0xA20E,
    "FocalPlaneYResolution": 0xA20F,
    "FocalPlaneResolutionUnit": 0xA210,
    "FocalLengthIn35mmFilm": 0xA405,
}
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # the last two are no Exif, but written by cameras
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height


def camera_from_tags(
    tags: Iterator[tuple[str, str]], name: str, size_wh: tuple[int, int]
) -> Camera | None:
    """Returns the camera of the first focal length in 35-mm terms among tags of a video ``name``."""
    for tag, text in tags:
        plain = re.sub(r"[^a-z0-9]", "", tag.lower())
        number = re.match(r"\s*\d+(\.\d+)?", text)
        if "focallength" not in plain or "35mm" not in plain or number is None:
            continue
        focal_mm = float(number[0])
        if LOWEST_MM <= focal_mm <= HIGHEST_MM:
            return Camera(
                focal_px=focal_from_35mm(focal_mm, size_wh),
                focal_source="metadata",
                focal_from=f"{focal_mm:g} mm in 35-mm terms, {tag} of {name}; {_CROP}",
            )
    return None


# -- the metadata of QuickTime and MP4 ---------------------------------------------------------------


def track_tags(path: str | Path, track_id: int) -> Iterator[tuple[str, str]]:
    """Yields names and values of the metadata of a track of a QuickTime or MP4 file, then of the file.

    Nothing where the file is damaged. Reference: QuickTime File Format, "Metadata"; ISO/IEC 14496-12.
    """
    of_file: list[tuple[str, str]] = []
    try:
        with open(path, "rb") as file:
            end = os.fstat(file.fileno()).st_size
            for kind, start, stop in _boxes(file, 0, end):
                if kind != b"moov":
                    continue
                for inner, first, last in _boxes(file, start, stop):
                    if inner == b"meta":
                        of_file += _keyed_values(_payload(file, first, last))
                    elif inner == b"trak":
                        parts = {k: (a, b) for k, a, b in _boxes(file, first, last)}
                        if b"meta" in parts and _track_id(file, parts) == track_id:
                            yield from _keyed_values(_payload(file, *parts[b"meta"]))
    except (OSError, struct.error, ValueError):
        return
    yield from of_file


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, first and last byte of the content of each box between two places of a file."""
    while start + 8 <= stop:
        file.seek(start)
        header = file.read(16)
        size, kind = struct.unpack(">I4s", header[:8])
        begin = start + 8
        if size == 1 and len(header) == 16:
            size, begin = struct.unpack(">Q", header[8:])[0], start + 16
        end = stop if size == 0 else start + size
        if end < begin or end > stop:
            return
        yield kind, begin, end
        start = end


def _payload(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(min(stop - start, _LARGEST_META))


def _track_id(file: BinaryIO, parts: Mapping[bytes, tuple[int, int]]) -> int | None:
    if b"tkhd" not in parts:
        return None
    header = _payload(file, *parts[b"tkhd"])
    at = 20 if header[:1] == b"\x01" else 12  # behind two times, of 64 bits in version 1
    return int(struct.unpack(">I", header[at : at + 4])[0])


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields kind and content of the boxes in ``data``."""
    while len(data) >= 8:
        size, kind = struct.unpack(">I4s", data[:8])
        if not 8 <= size <= len(data):
            return
        yield kind, data[8:size]
        data = data[size:]


def _keyed_values(meta: bytes) -> list[tuple[str, str]]:
    """Reads the ``keys`` and ``ilst`` of a ``meta`` box."""
    # QuickTime's has no version in front of its boxes, that of MP4 has.
    boxes = dict(_split(meta if meta[4:8] == b"hdlr" else meta[4:]))
    names, rest = [], boxes.get(b"keys", b"")[8:]
    for _, name in _split(rest):
        names.append(name.decode("utf-8", "replace"))
    values = []
    for number, item in _split(boxes.get(b"ilst", b"")):
        index = int.from_bytes(number, "big")
        data = dict(_split(item)).get(b"data", b"")
        if 1 <= index <= len(names) and len(data) > 8:
            values.append((names[index - 1], _decode(int.from_bytes(data[:4], "big"), data[8:])))
    return values


def _decode(kind: int, value: bytes) -> str:
    """Returns a value as text; ``kind`` is one of QuickTime's well-known types."""
    if kind in (21, 22, 65, 66, 67, 74, 75, 76, 77, 78):
        return str(int.from_bytes(value, "big", signed=kind in (21, 65, 66, 67, 74)))
    if kind in (23, 24) and len(value) == (4 if kind == 23 else 8):
        return f"{struct.unpack('>f' if kind == 23 else '>d', value)[0]:g}"
    return value.decode("utf-8", "replace")


# -- photographs -------------------------------------------------------------------------------------


def camera_of_photo(path: Path, size_wh: tuple[int, int], turn_deg: int) -> Camera | None:
    """Returns the camera that an image's Exif tells; ``size_wh`` as shown, turned by ``turn_deg`` last."""
    stored_wh, tags, orientation = _read_exif(path)
    number = {name: _number(tags.get(tag)) for name, tag in _EXIF.items()}
    full_wh = number["PixelXDimension"] or stored_wh[0], number["PixelYDimension"] or stored_wh[1]
    if not _same_shape(full_wh, stored_wh):
        full_wh = full_wh[::-1]  # turned since
    if not tags or not _same_shape(full_wh, stored_wh):
        return None  # cropped since: how far is not known
    focal_mm = number["FocalLengthIn35mmFilm"]
    if LOWEST_MM <= focal_mm <= HIGHEST_MM:
        return Camera(
            focal_px=focal_from_35mm(focal_mm, size_wh),
            focal_source="metadata",
            focal_from=f"{focal_mm:g} mm in 35-mm terms, Exif of {path.name}",
        )
    unit_mm = _UNIT_MM.get(int(number["FocalPlaneResolutionUnit"] or 2), 0.0)
    if not unit_mm:
        return None
    along = [
        number["FocalLength"] * number[f"FocalPlane{axis}Resolution"] / unit_mm * stored / full
        for axis, stored, full in zip("XY", stored_wh, full_wh, strict=True)
    ]
    if orientation in _SIDEWAYS:
        along.reverse()
    if turn_deg in (90, 270):
        along.reverse()
    fx, fy = along
    focal_px = math.sqrt(fx * fy)
    least, most = (focal_from_35mm(mm, size_wh) for mm in (LOWEST_MM, HIGHEST_MM))
    if not least <= focal_px <= most:
        return None
    width, height = size_wh
    square = abs(fx / fy - 1) < 0.01
    return Camera(
        focal_px=focal_px,
        focal_source="metadata",
        focal_from=f"{number['FocalLength']:g} mm on the sensor, Exif of {path.name}",
        matrix_px=None if square else ((fx, 0, width / 2), (0, fy, height / 2), (0, 0, 1)),
    )


def _same_shape(a_wh: tuple[float, float], b_wh: tuple[float, float]) -> bool:
    return abs(a_wh[0] / a_wh[1] / (b_wh[0] / b_wh[1]) - 1) < 0.02


def _read_exif(path: Path) -> tuple[tuple[int, int], dict[int, Any], int]:
    """Returns the stored size, the tags of Exif's own directory, and the orientation."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged Exif and large pictures
            with Image.open(path) as image:
                exif = image.getexif()
                return image.size, dict(exif.get_ifd(_EXIF_IFD)), int(exif.get(_ORIENTATION, 1))
    except (*BROKEN, Image.DecompressionBombError):
        return (1, 1), {}, 1


def _number(value: Any) -> float:
    """Reads a number of Exif; 0 where it is missing or none (fractions over 0 are)."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
