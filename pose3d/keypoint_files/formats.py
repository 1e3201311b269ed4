"""What other programs write their 2D keypoints as: one file a format, chosen by content.

Every reader turns a file or folder into the same :class:`~pose3d.keypoint_files.poses.Poses`; what
comes after (size, times, people through time) is in :mod:`pose3d.keypoint_files.reading`.
"""

from __future__ import annotations

from typing import Protocol

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.poses import Poses
from pose3d.keypoint_files.source import Source
from pose3d.plugins import find_parts, load_part


class KeypointReader(Protocol):
    """Reads one format.

    Args:
        kinds: of content that it may be (:attr:`Source.kind`).
    """

    kinds: tuple[str, ...]

    def recognises(self, source: Source) -> bool:
        """Tells whether content of one of the ``kinds`` is of this format; raises nothing for others."""
        ...

    def read(self, source: Source) -> Poses:
        """Returns what is in content of one of the ``kinds``.

        Raises:
            ResultFileError: it is damaged, or not of this format.
            UsageError: it lacks a joint that every lifter needs.
            MissingExtraError: it needs a package that is not installed.
        """
        ...


def choose_reader(source: Source, name: str | None) -> tuple[str, KeypointReader]:
    """Returns the format that was named, else the only one that the content fits, and its reader.

    Raises:
        UsageError: there is no format of that name.
        ResultFileError: the content is not of that format, or no format fits, or several do.
    """
    if name is not None:
        reader: KeypointReader = load_part("reader", name)()
        if source.kind not in reader.kinds:
            raise ResultFileError(
                f"{source} is not of the format {name}: {source.summary()}",
                "Leave --input-format out, or give another",
            )
        return name, reader
    readers = {n: load_part("reader", n)() for n in find_parts("reader")}
    fitting = [n for n, r in readers.items() if source.kind in r.kinds and r.recognises(source)]
    if len(fitting) > 1:
        raise ResultFileError(
            f"{source} may be of the formats {' and '.join(fitting)}", "Give --input-format"
        )
    if not fitting:
        raise ResultFileError(
            f"{source} is of no format known here: {source.summary()}",
            f"Known are {', '.join(readers)}; see 'pose3d lift --help'",
        )
    return fitting[0], readers[fitting[0]]
