"""The errors of pose3d: one small tree, each with what happened and what to do."""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator


class Pose3DError(Exception):
    """Base of every error that pose3d raises on purpose: ``what`` happened, and what is ``todo``.

    A sentence each, without the final full stop.
    """

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = what.rstrip(". ")
        self.todo = todo.rstrip(". ")
        super().__init__(self.what, self.todo)

    def __str__(self) -> str:
        return f"{self.what}. {self.todo}." if self.todo else f"{self.what}."


class NoMemoryError(Pose3DError):
    """The machine, or a limit that somebody set, has not enough memory."""


class UsageError(Pose3DError):
    """An option or argument that cannot be carried out as given."""

    exit_code = 2


class VideoError(Pose3DError):
    """A video (or folder of images, or camera) cannot be read or written."""


class ResultFileError(Pose3DError):
    """A result or keypoint file cannot be read or written."""


class FolderBusyError(ResultFileError):
    """Another process is writing into a folder."""


class StoreError(Pose3DError):
    """A store of inputs or outputs has refused, or broken off."""

    is_final = False
    """Asking again is of no use."""


class WeightsError(Pose3DError):
    """Weights are missing, damaged, of another architecture or cannot be fetched."""


class DataError(Pose3DError):
    """Training or evaluation data cannot be used."""


class DeviceError(Pose3DError):
    """The device asked for is not there."""


class MissingExtraError(Pose3DError):
    """An optional package is needed and not installed."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Builds the error for an unknown name of a ``kind``, with the known ones and a guess."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    todo = f"{guess}Choose one of: {', '.join(names) or '(none)'}"
    return UsageError(f"There is no {kind} named {name!r}", todo)


_NO_MEMORY = (
    "allocate memory",
    "unable to allocate",
    "failed to allocate",
    "out of memory",
    "not enough memory",
    "failed to create xnnpack runtime",  # LiteRT, of a file whose hash is right
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
    "failed with error '12'",  # LiteRT: ENOMEM
)
"""What libraries say when memory is short."""


@contextlib.contextmanager
def naming_memory() -> Iterator[None]:
    """Raises NoMemoryError for whatever comes of too little memory, whoever noticed it first.

    Files that ask for more than there is, damaged results for example, have errors of their own.
    """
    try:
        yield
    except (UsageError, ResultFileError, DataError, NoMemoryError):
        raise
    except Exception as error:
        chain: list[BaseException] = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        short = [cause for cause in chain if _is_no_memory(cause)]
        if not short:
            raise
        cause = short[-1]  # the first to notice
        detail = next(iter(str(cause).strip().splitlines()), "") or type(cause).__name__
        raise NoMemoryError(
            f"There is not enough memory ({detail})",
            "Close other programs, use fewer --jobs or another --device, or raise the limit if one is "
            "set (ulimit -v): a clip takes about 3 GB",
        ) from error


def _is_no_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        # "Not permitted": a library on a file system from which nothing may be run.
        or (any(words in text for words in _NO_MEMORY) and "not permitted" not in text)
    )


@contextlib.contextmanager
def caught(failures: list[Exception]) -> Iterator[None]:
    """Keeps an error of the ``with`` block for :func:`raise_all`: what comes after is still done."""
    try:
        yield
    except Exception as error:
        failures.append(error)


def raise_all(failures: list[Exception]) -> None:
    """Raises what was caught: a single error as it is, several as one that says all."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        known = [
            f if isinstance(f, Pose3DError) else Pose3DError(f"{type(f).__name__}: {f}")
            for f in failures
        ]
        todo = dict.fromkeys(error.todo for error in known if error.todo)
        raise Pose3DError("; ".join(e.what for e in known), ". ".join(todo)) from failures[0]
