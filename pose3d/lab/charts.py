"""What all charts share: one ink and one paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pose3d.files import write_whole

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


def save_chart(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    with write_whole(path) as part:
        figure.savefig(part, format="png")
