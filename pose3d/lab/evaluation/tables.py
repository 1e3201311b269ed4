"""What all evaluations share: how they tell where they are, and how their tables look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from string import Formatter
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


class _Words(Formatter):
    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(str(key))

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None or value != value:
            return "-"
        if format_spec.endswith("k"):
            value, format_spec = value / 1000, f"{format_spec[:-1]}f"
        return format(value, format_spec)


def words(form: str, row: Mapping[str, Any]) -> str:
    """Returns ``form.format(**row)``: a dash for None, NaN, nothing; a format ``.1k`` is in 1000s."""
    return _Words().vformat(form, (), row)


def beside(name: str, form: str = ".1f") -> str:
    """Returns the form of a figure, in brackets that of the 2D network's own 3D."""
    return f"{{{name}:{form}}} ({{world_{name}:{form}}})"


def figures_table(
    title: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], caption: str = ""
) -> Table:
    """Returns a table of one row for each of ``rows``; ``columns``: head -> its form in :func:`words`."""
    cells = ([words(form, row) for form in columns.values()] for row in rows)
    return make_table(title, columns, cells, caption)


def make_table(
    title: str,
    heads: Iterable[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    left: int = 1,
) -> Table:
    """Returns a table for a terminal; rows of one cell are titles, one named ``mean`` stands out.

    ``left``: so many columns are aligned to the left, the others to the right.
    """
    from rich.table import Table

    table = Table(title=title, caption=caption or None, box=None, pad_edge=False)
    table.header_style = "bold"
    table.title_justify = table.caption_justify = "left"
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < left else "right")
    for row in rows:
        table.add_row(*row, style="bold" if len(row) == 1 or row[0] == "mean" else None)
    return table
