"""What a run writes and where: one field per flag of ``pose3d run``, with the same name."""

from __future__ import annotations

from dataclasses import dataclass

from pose3d.errors import UsageError, unknown_name
from pose3d.options import RENDERS, STYLES


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Outputs of :func:`pose3d.batch.run_batch` and ``pose3d run``.

    Args:
        output: folder in which every clip gets a folder of its own.
        format: formats of the result files, see ``pose3d export``.
        render: ``side-by-side``, ``overlay``, ``3d`` or ``none``.
        style: ``light`` or ``dark``.
        overwrite: do everything again, whatever the folder holds.
    """

    output: str = "out"
    format: tuple[str, ...] = ("npz", "json")
    render: str = "side-by-side"
    style: str = "light"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Checks the values that can be checked without importing anything.

        Raises:
            UsageError: an unknown drawing mode or style, or no format.
        """
        if self.render not in RENDERS:
            raise unknown_name("render mode", self.render, RENDERS)
        if self.style not in STYLES:
            raise unknown_name("style", self.style, STYLES)
        if not self.format:
            raise UsageError("No format was given", "Give at least one, e.g. --format npz")
