"""What all evaluations share: how they tell where they are, and how their tables look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")
OnStep = Callable[[str, int, int], None]  # what is being evaluated, how many are done, of how many


def tell_each(items: Sequence[T], name: Callable[[T], str], on_step: OnStep | None) -> Iterator[T]:
    """Yields items, and says before each which one it is."""
    for done, item in enumerate(items):
        if on_step is not None:
            on_step(name(item), done, len(items))
        yield item


def make_table(title: str, *heads: str, left: int = 1, caption: str | None = None) -> Table:
    """Returns a table for a terminal whose first ``left`` columns are text, the others numbers."""
    from rich.table import Table

    table = Table(title=title, caption=caption, box=None, pad_edge=False, header_style="bold")
    table.title_justify = table.caption_justify = "left"
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < left else "right")
    return table


def number(value: float | None, places: int) -> str:
    """Returns a figure, or a dash for None."""
    return "-" if value is None else f"{value:.{places}f}"


def beside(row: Mapping[str, Any], key: str, unit: float = 1.0, places: int = 1) -> str:
    """Returns a figure, in brackets that of the 2D network's own 3D."""
    ours, world = (row[name] / unit for name in (key, f"world_{key}"))
    return f"{ours:.{places}f} ({world:.{places}f})"
