"""Plain tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ("size",)
) -> None:
    """Prints a table; ``right``: titles of columns that are aligned to the right."""
    from rich.markup import escape
    from rich.table import Table

    from pose3d.cli.results import print_rich_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    print_rich_table(table)


def size_in_words(size_bytes: int | None) -> str:
    """``"6.4 MB"``; empty when it is not known."""
    return "" if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"
