"""Addresses of stores, beside paths of this machine: asking a store, and telling what it said.

An address is turned into a ``UPath`` (universal-pathlib), which has the methods of a ``Path``.
Credentials come from where each store's own library looks for them. Parts of an address that may be
secret are shown and kept nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from pose3d.errors import MissingExtraError, Pose3DError, StoreError, UsageError
from pose3d.plugins import EXTRAS, import_extra, install_command

T = TypeVar("T")

TRIES = 4
"""How often a store is asked that breaks off; its own library may have tried several times each."""
PAUSE_S = 1.0  # before the second time; then twice as long each time

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.I)  # a single letter is a drive of Windows
_QUERIES = ("http", "https", "rtsp", "rtsps")
_IN_TEXT = re.compile(r"([a-z][a-z0-9+.-]+)://([^\s/@'\"]*@)?([^\s?#'\"]*)([?#][^\s'\"]*)?", re.I)


def is_address(text: str) -> bool:
    """Tells whether a text is the address of something in a store, and no path."""
    return _ADDRESS.match(text) is not None and not text.startswith("file://")


def hide_secrets(text: str) -> str:
    """Returns a text without the passwords and signatures of the addresses in it.

    Web addresses and cameras have theirs behind a question mark; names in buckets may contain one.
    """

    def without(match: re.Match[str]) -> str:
        scheme, user, place, query = match.groups()
        user, colon, _ = (user or "").partition(":")
        kept = "" if scheme.lower().endswith(_QUERIES) else query or ""
        return f"{scheme}://{user}{'@' if colon else ''}{place}{kept}"

    return _IN_TEXT.sub(without, text) if "://" in text else text


def to_place(text: str) -> Path:
    """Returns what stands for a path or an address; both have the methods of a ``Path``."""
    if not is_address(text):
        return Path(text.removeprefix("file://"))
    upath = import_extra("upath", "remote", f"{hide_secrets(text)}")
    with asking(text):
        place = upath.UPath(text)
        _ = place.fs  # raises where the library of this kind of store is missing
    return cast(Path, place)


def is_remote(place: Path) -> bool:
    return not isinstance(place, Path)


def store_of(place: Path) -> tuple[Any, str]:
    """Returns the fsspec file system of a place in a store, and its path there."""
    remote: Any = place
    return remote.fs, remote.path


@contextlib.contextmanager
def asking(address: object) -> Iterator[None]:
    """Raises StoreError for what goes wrong in a store, whose exceptions are its own.

    FileNotFoundError passes.
    """
    try:
        yield
    except (Pose3DError, FileNotFoundError):
        raise
    except Exception as error:
        where = hide_secrets(str(address))
        if isinstance(error, ImportError):
            raise MissingExtraError(
                f"{where} needs a package that is not installed ({error})",
                f"Run {install_command(*EXTRAS['remote'])}, or the package of this store",
            ) from error
        unknown = ("Protocol not known", "Unsupported filesystem")  # fsspec, universal-pathlib
        if isinstance(error, ValueError) and str(error).startswith(unknown):
            raise UsageError(
                f"{where} is no kind of address that fsspec knows",
                "Give a path, or an address such as s3://bucket/walk.mp4",
            ) from None
        said = hide_secrets(str(error)).strip().splitlines()
        refused = StoreError(
            f"{where} was refused or broken off ({type(error).__name__}: {(said or [''])[0][:200]})",
            "Check the address, the network and the store's own settings for credentials",
        )
        status = getattr(error, "status", None)  # of HTTP
        refused.is_final = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM)
        refused.is_final |= isinstance(error, PermissionError | FileExistsError)
        refused.is_final |= isinstance(status, int) and 400 <= status < 500
        raise refused from None  # the cause's own words may hold secrets


def insist(address: object, ask: Callable[[], T]) -> T:
    """Returns what a store answers; asks again where it breaks off, not where it says no."""
    for number in range(TRIES):
        try:
            with asking(address):
                return ask()
        except StoreError as error:
            if error.is_final or number == TRIES - 1:
                raise
            time.sleep(PAUSE_S * 2**number)
    raise AssertionError
