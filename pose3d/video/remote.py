"""Clips in stores: how they are known again, and copies of them for as long as they are worked on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pose3d.errors import StoreError, VideoError
from pose3d.stores.places import hide_secrets, insist, store_of, to_place
from pose3d.stores.staging import fetch, scratch
from pose3d.video.camera_sidecar import ENDING
from pose3d.video.sources import IMAGE_SUFFIXES, Source


def measure_clip(source: Source) -> tuple[int, int]:
    """Returns the bytes of a clip with its sidecar, and when it last changed, in nanoseconds.

    Where a server tells no time, its tag of the content counts instead, if it has one.
    """
    infos = [info for _, info in _files_of(source)]
    return sum(int(info.get("size") or 0) for info in infos), max(map(_stamp, infos))


@contextlib.contextmanager
def local_copy(source: Source) -> Iterator[str]:
    """Gives a copy of a clip on this machine for a ``with`` block; of one that is here, itself."""
    if not source.is_remote:
        yield source.path
        return
    with scratch() as folder:
        files = _files_of(source)
        clip = folder / PurePosixPath(source.shown).name
        if source.kind == "images":
            clip.mkdir()
        for address, info in files:
            inside = source.kind == "images" and not address.endswith(ENDING)
            name = PurePosixPath(hide_secrets(address)).name
            fetch(address, (clip if inside else folder) / name, size=info.get("size"))
        yield str(clip)


def _files_of(source: Source) -> list[tuple[str, dict[str, Any]]]:
    """Returns the addresses of a clip's files and what the store says of them."""
    store, path = store_of(to_place(source.path))
    found = []
    try:
        if source.kind == "images":
            entries = insist(source.path, lambda: store.ls(path, detail=True))
            found = [
                (str(store.unstrip_protocol(entry["name"])), entry)
                for entry in entries
                if PurePosixPath(entry["name"]).suffix.lower() in IMAGE_SUFFIXES
            ]
        else:
            found = [(source.path, insist(source.path, lambda: store.info(path)))]
    except FileNotFoundError:
        pass
    if not found:
        raise VideoError(f"There is no {source.shown}", "Check that it is still there")
    if "?" not in source.path:
        bare = source.path if source.kind == "images" else str(PurePosixPath(path).with_suffix(""))
        beside = f"{store._strip_protocol(bare).rstrip('/')}{ENDING}"
        try:
            info = insist(source.path, lambda: store.info(beside))
            found.append((str(store.unstrip_protocol(beside)), info))
        except FileNotFoundError:
            pass
        except StoreError as error:
            if not error.is_final:  # who may not list a bucket is refused what is not there
                raise
    return found


def _stamp(info: dict[str, Any]) -> int:
    """Returns when a file changed; stores say it under names of their own."""
    names = ("LastModified", "last_modified", "mtime", "updated", "created")
    time: Any = next((info[name] for name in names if info.get(name)), None)
    if hasattr(time, "timestamp"):
        return round(time.timestamp() * 1e6) * 1000
    if isinstance(time, int | float):
        return round(time * 1e6) * 1000
    said = str(time or info.get("ETag") or "")
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:6], "big") if said else 0
