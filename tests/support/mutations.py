"""Files broken on purpose: seeded changes to bytes, texts and archives."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable

EXTREMES = (
    "0", "-1", "1e9", "1e19", "1e-7", "1e401", "-1e300", "18446744073709551616", "null", "true",
    '"x"', "[]", "{}", "NaN", "[[[[1]]]]", "1000000",
)  # fmt: skip
WORDS = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x01")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Returns a broken copy; what is done hangs on the content and on ``rng`` alone."""
    if data.startswith(b"PK\x03\x04") and rng.random() < 0.7:
        return _inside_archive(data, rng)
    if _is_text(data) and rng.random() < 0.8:
        return _text(data, rng)
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(BYTES)(data, rng)
    return data


def _is_text(data: bytes) -> bool:
    return b"\x00" not in data[:4096] and bool(re.match(rb"[\x09\x0a\x0d\x20-\x7e]{16}", data))


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + int(len(data) ** rng.random()))


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:end] + data[begin:]


def _clear(data: bytes, rng: random.Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + bytes(end - begin) + data[end:]


def _extreme(data: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(max(1, len(data) - 4))
    return data[:begin] + rng.choice(WORDS) + data[begin + 4 :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _cut, _remove, _repeat, _clear, _extreme,
)  # fmt: skip


def _text(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    how = rng.randrange(4)
    if how == 0:
        numbers = list(re.finditer(r"-?\d+(\.\d+)?", text))
        for _ in range(rng.randint(1, 3)):
            if not numbers:
                break
            match = rng.choice(numbers)
            text = text[: match.start()] + rng.choice(EXTREMES) + text[match.end() :]
            numbers = list(re.finditer(r"-?\d+(\.\d+)?", text))
    elif how == 1:
        lines = text.splitlines(keepends=True)
        if len(lines) > 1:
            line = lines.pop(rng.randrange(len(lines)))
            if rng.random() < 0.5:
                lines.insert(rng.randrange(len(lines) + 1), line)
        text = "".join(lines)
    elif how == 2:
        depth = rng.choice((10, 1000, 100_000))
        place = rng.choice([0, *(m.start() for m in re.finditer(r"[\[\{]", text))])
        text = text[:place] + "[" * depth + "]" * depth + text[place:]
    else:
        return rng.choice(BYTES)(data, rng)
    return text.encode("utf-8", "replace")


def _inside_archive(data: bytes, rng: random.Random) -> bytes:
    """Changes one member and writes the archive again, so that its checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(sorted(members))
    if rng.random() < 0.2:
        del members[name]
    else:
        members[name] = rng.choice((_flip, _extreme, _remove))(members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return out.getvalue()
