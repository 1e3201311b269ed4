"""Copies of inputs on the disk of this machine, for as long as one clip is worked on."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from pose3d.errors import ResultFileError, StoreError
from pose3d.files import lock_folder, remove
from pose3d.stores.folders import put
from pose3d.stores.places import hide_secrets, insist, is_remote, store_of, to_place

Publish: TypeAlias = Callable[[Iterable[Path]], None]

_PREFIX = "pose3d-stage-"
_LEFT_FREE = 1 << 30
"""Bytes that a copy leaves on the disk."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Gives a temporary folder; also removes those of processes that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ResultFileError):
            if time.time() - old.stat().st_mtime > 60:  # younger ones may not be locked yet
                with lock_folder(old):
                    remove(old)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder,
        lock_folder(Path(folder)),
    ):
        yield Path(folder)


def fetch(address: str, local: Path, *, size: int | None) -> None:
    """Copies a file of a store to this machine; ``size``: what the store says that it has."""
    store, path = store_of(to_place(address))
    free = shutil.disk_usage(local.parent).free - _LEFT_FREE
    if size is not None and size > free:
        raise StoreError(
            f"{hide_secrets(address)} has {size / 1e9:.1f} GB, and {tempfile.gettempdir()} has room "
            f"for {max(free, 0) / 1e9:.1f}",
            "Set TMPDIR to a folder of a larger disk",
        )

    def copy() -> None:
        store.get_file(path, str(local))
        if size is not None and local.stat().st_size != size:
            raise OSError(f"{local.stat().st_size} of {size} bytes came")

    try:
        insist(address, copy)
    except FileNotFoundError as error:
        raise StoreError(
            f"There is no {hide_secrets(address)}", "Check that it is still there"
        ) from error


@contextlib.contextmanager
def working_folder(folder: Path) -> Iterator[tuple[Path, Publish]]:
    """Gives a folder of this machine to make files in, and what puts them into the folder meant.

    They are one and the same where that is on this machine.
    """
    if not is_remote(folder):
        yield folder, lambda paths: None
        return
    with scratch() as local:

        def publish(paths: Iterable[Path]) -> None:
            for path in paths:
                put(path, folder / path.name)
                remove(path)

        yield local, publish


def fetch_into(path: Path, folder: Path) -> Path:
    """Returns a file of this machine itself, one in a store copied into ``folder``."""
    if not is_remote(path):
        return path
    fetch(str(path), folder / path.name, size=None)
    return folder / path.name
