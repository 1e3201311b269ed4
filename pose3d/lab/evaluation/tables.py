"""What all evaluations share: how they tell where they are, and how their tables look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")
OnStep = Callable[[str, int, int], None]
"""Called with what is being evaluated, how many are done, and of how many."""


def tell_each(items: Sequence[T], name: Callable[[T], str], on_step: OnStep | None) -> Iterator[T]:
    """Yields items, and says before each which one it is."""
    for done, item in enumerate(items):
        if on_step is not None:
            on_step(name(item), done, len(items))
        yield item


def make_table(title: str, *heads: str, left: int = 1, caption: str | None = None) -> Table:
    """Returns a table for a terminal whose first ``left`` columns are text, the others numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < left else "right")
    return table


def number(value: float | None, places: int) -> str:
    """Returns a figure, or a dash for None."""
    return "-" if value is None else f"{value:.{places}f}"
