"""What all charts share: one ink, one paper, and a file that is there only when it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pose3d.errors import ResultFileError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"


def make_chart(width_in: float, height_in: float, *, dpi: int = 110) -> Figure:
    """Returns an empty white figure that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_chart(figure: Figure, path: Path, flag: str) -> None:
    """Writes a figure as PNG, under a temporary name first.

    Args:
        figure: to write.
        path: target file.
        flag: the option that another place can be given with.

    Raises:
        ResultFileError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(part, format="png")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ResultFileError(
            f"{path} cannot be written ({error.strerror})", f"Give another {flag}"
        ) from error
