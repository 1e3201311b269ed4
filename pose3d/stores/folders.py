"""The folders of results, of this machine or in a store, by the same few functions.

A put of a store is whole or not at all, as a renamed file is. Its folders exist by what is in them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pose3d import files
from pose3d.errors import FolderBusyError, StoreError
from pose3d.files import LOCK_NAME
from pose3d.stores.places import hide_secrets, insist, is_remote, store_of

T = TypeVar("T")
R = TypeVar("R")

LEASE_S = 120.0
"""After this time without a sign of life the lock of another machine counts no more."""
RENEW_S = 30.0
AT_ONCE = 16  # questions to a store

_BUCKETS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2", "memory"}
"""Stores without folders, where a put is atomic; in others a file is put beside and renamed."""


def read_text(path: Path) -> str:
    """Reads a small file; FileNotFoundError where it is not there."""
    if not is_remote(path):
        return path.read_text(encoding="utf-8")
    store, name = store_of(path)
    return bytes(insist(path, lambda: store.cat_file(name))).decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Writes a small file as a whole."""
    if not is_remote(path):
        with files.write_whole(path) as part:
            part.write_text(text, encoding="utf-8", newline="")
        return
    with tempfile.TemporaryDirectory(prefix="pose3d-") as folder:
        local = Path(folder) / path.name
        local.write_text(text, encoding="utf-8", newline="")
        put(local, path)


def put(local: Path, path: Path) -> None:
    """Copies a file or a folder of files to a store, each file as a whole."""
    if local.is_dir():
        remove(path)
        for file in sorted(local.iterdir()):
            put(file, path / file.name)
        return
    store, name = store_of(path)
    if _is_bucket(store):
        insist(path, lambda: store.put_file(str(local), name))
        return
    beside = f"{name.rpartition('/')[0]}/.{uuid.uuid4().hex}.part"

    def put_and_rename() -> None:
        store.makedirs(name.rpartition("/")[0], exist_ok=True)
        store.put_file(str(local), beside)
        store.mv(beside, name)

    insist(path, put_and_rename)


def remove(path: Path) -> None:
    """Removes a file, or a folder that was written as one; what is not there is no error."""
    if not is_remote(path):
        files.remove(path)
        return
    store, name = store_of(path)
    with contextlib.suppress(FileNotFoundError):
        insist(path, lambda: store.rm(name, recursive=True))


def sizes_in(folder: Path) -> dict[str, int]:
    """Returns the bytes of each file of a folder, and how many files each folder in it has."""
    if not is_remote(folder):
        names = os.listdir(folder) if folder.is_dir() else []
        return {name: files.size_of(folder / name) or 0 for name in names}
    store, path = store_of(folder)
    found = {}
    for entry in _list(store, path):
        name = entry["name"].rstrip("/")
        is_folder = entry["type"] == "directory"
        size = len(_list(store, name)) if is_folder else entry["size"]
        found[name.rpartition("/")[2]] = int(size or 0)
    return found


def _list(store: Any, path: str) -> list[dict[str, Any]]:
    def ask() -> list[dict[str, Any]]:
        store.invalidate_cache(path)
        return list(store.ls(path, detail=True))

    try:
        return insist(store.unstrip_protocol(path), ask)
    except FileNotFoundError:
        return []


def make_folder(folder: Path) -> None:
    """Makes a folder of this machine; those of stores come with what is put there."""
    if not is_remote(folder):
        folder.mkdir(parents=True, exist_ok=True)


def check_writable(folder: Path) -> None:
    """Raises StoreError where nothing can be put into a folder of a store."""
    probe = folder / f".{uuid.uuid4().hex}.part"
    try:
        write_text(probe, "pose3d")
    except FileNotFoundError as error:
        what = f"{hide_secrets(str(folder))} is in a bucket that does not exist"
        raise StoreError(what, "Make it, or check the spelling") from error
    remove(probe)


def ask_all(
    ask: Callable[[T], R], things: Iterable[T], *, at_once: bool
) -> Generator[R, None, None]:
    """Yields the answers for all things in order; ``at_once``: a store takes its time for each."""
    if not at_once:
        yield from map(ask, things)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(ask, things)


def _is_bucket(store: Any) -> bool:
    protocol = store.protocol
    return bool(_BUCKETS & {protocol} if isinstance(protocol, str) else _BUCKETS & set(protocol))


# -- who works there -------------------------------------------------------------------------------


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder for a ``with`` block, or raises FolderBusyError.

    Stores have no locks: a file that can be made only once says who works there, and is renewed. It
    saves work, and results do not depend on it: files are put as a whole, and the state comes last.
    """
    if not is_remote(folder):
        with files.lock_folder(folder):
            yield
        return
    path, token = folder / LOCK_NAME, uuid.uuid4().hex
    since = time.time()
    _take(path, token, since)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEW_S):
            with contextlib.suppress(StoreError):
                write_text(path, _card(token, since))

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
        with contextlib.suppress(StoreError):  # a lock file too many is passed over in time
            remove(path)


def _card(token: str, since: float) -> str:
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "token": token}
    return json.dumps({**who, "seen": time.time()})


def _take(path: Path, token: str, since: float) -> None:
    for _ in range(3):
        if _create(path, _card(token, since)):
            return
        holder = read_holder(path)
        if holder is None:
            continue
        if holder.get("token") == token:  # the store's library has put it twice
            return
        if holder and is_alive(holder):
            seen = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(holder["seen"])))
            what = (
                f"{hide_secrets(str(path.parent))} is being written by process {holder['pid']} on"
            )
            raise FolderBusyError(
                f"{what} {holder['host']} (last seen {seen})",
                "Wait until it is done, or give another --output",
            )
        remove(path)
    raise FolderBusyError(
        f"{hide_secrets(str(path.parent))} is being written by others", "Wait until they are done"
    )


def _create(path: Path, text: str) -> bool:
    """Makes a file that is not there yet; False where it is."""
    store, name = store_of(path)
    azure = type(store).__module__.startswith("adlfs")
    how: dict[str, Any] = {"overwrite": False} if azure else {"mode": "create"}

    def create() -> bool:
        if not _is_bucket(store):
            store.makedirs(name.rpartition("/")[0], exist_ok=True)
        try:
            store.pipe_file(name, text.encode(), **how)
        except FileExistsError:
            return False
        return True

    return insist(path, create)


def read_holder(path: Path) -> dict[str, Any] | None:
    """Returns who holds a lock, ``{}`` where that cannot be read; None: nobody does."""
    try:
        holder = json.loads(read_text(path))
        int(holder["pid"]), str(holder["host"]), float(holder.get("seen", 0))
        return dict(holder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def is_alive(holder: dict[str, Any]) -> bool:
    """Tells whether who holds a lock may still be at work: of a store by its last sign of life.

    A process of this machine that is gone is not; one of another machine is believed.
    """
    if time.time() - float(holder.get("seen", math.inf)) > LEASE_S:
        return False
    if not holder:  # of this machine: it has not written its name yet
        return True
    if holder["host"] != socket.gethostname():
        return True
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
