"""The formats of other programs: one file each, chosen by content, all read into the same
:class:`~pose3d.keypoint_files.poses.Poses`."""

from __future__ import annotations

from typing import Protocol

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.poses import Poses
from pose3d.keypoint_files.source import Source
from pose3d.plugins import find_parts, load_part


class KeypointReader(Protocol):
    """Reads one format."""

    kinds: tuple[str, ...]  # of content that it may be, :attr:`Source.kind`

    def recognises(self, source: Source) -> bool:
        """Tells whether content of one of the ``kinds`` is of this format; never raises."""
        ...

    def read(self, source: Source) -> Poses:
        """Returns what is in content of one of the ``kinds``; raises ResultFileError, UsageError (a
        joint that every lifter needs is missing) or MissingExtraError."""
        ...


def choose_reader(source: Source, name: str | None) -> tuple[str, KeypointReader]:
    """Returns the named format, else the only one that the content fits, and its reader."""
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
