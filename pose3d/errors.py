"""The errors of pose3d: one small tree, each with what happened and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


class UsageError(Pose3DError):
    """An option or argument that cannot be carried out as given."""

    exit_code = 2


class VideoError(Pose3DError):
    """A video (or folder of images, or camera) cannot be read or written."""


class ResultFileError(Pose3DError):
    """A result or keypoint file cannot be read or written."""


class FolderBusyError(ResultFileError):
    """Another process is writing into a folder."""


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
    return UsageError(
        f"There is no {kind} named {name!r}",
        f"{guess}Choose one of: {', '.join(names) if names else '(none)'}",
    )
