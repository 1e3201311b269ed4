"""What other programs write their 2D keypoints as: one file a format, chosen by content.

Every reader turns a file or folder into the same :class:`~pose3d.keypoint_files.poses.Poses`; what
comes after (size, times, people through time) is in :mod:`pose3d.keypoint_files.reading`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.poses import Poses
from pose3d.keypoint_files.source import Source
from pose3d.plugins import find_parts, load_part


class KeypointReader(Protocol):
    """Reads one format.

    Args:
        description: one line for the list of formats.
        kinds: of content that it may be (:attr:`Source.kind`).
    """

    description: str
    kinds: tuple[str, ...]

    def recognises(self, source: Source) -> bool:
        """Tells by its content whether ``source`` is of this format; raises nothing for others."""
        ...

    def read(self, source: Source) -> Poses:
        """Returns what is in ``source``.

        Raises:
            ResultFileError: it is damaged, or not of this format.
            UsageError: it lacks a joint that every lifter needs.
            MissingExtraError: it needs a package that is not installed.
        """
        ...


def make_reader(name: str) -> KeypointReader:
    """Returns the reader of a format."""
    reader: KeypointReader = load_part("reader", name)()
    return reader


def list_formats() -> dict[str, str]:
    """Returns format name -> description, of all formats that can be read."""
    return {name: make_reader(name).description for name in find_parts("reader")}


def recognise_format(source: Source) -> str:
    """Returns the name of the only format that the content fits.

    Raises:
        ResultFileError: no format fits, or several do.
    """
    names = find_parts("reader")
    fitting = [name for name in names if make_reader(name).recognises(source)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ResultFileError(
            f"{source.path} may be of the formats {' and '.join(fitting)}", "Give --input-format"
        )
    raise ResultFileError(
        f"{source.path} is of no format known here: {source.summary()}",
        f"Known are {', '.join(names)}; see 'pose3d lift --help'",
    )


def check_kind(reader: KeypointReader, name: str, source: Source) -> None:
    """Refuses content that cannot be of the format that the user named."""
    if source.kind not in reader.kinds:
        raise ResultFileError(
            f"{source.path} is not of the format {name}: {source.summary()}",
            "Leave --input-format out, or give another",
        )


def open_source(path: str | Path) -> Source:
    """Returns the content of a file or folder, to be recognised and read.

    Raises:
        ResultFileError: it does not exist, cannot be read, or is no such file.
    """
    return Source(Path(path))
