"""What commands with results share: a bar, tables, JSON, a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pose3d.cli.edge import make_console
from pose3d.cli.flags import flag

if TYPE_CHECKING:
    from rich.table import Table

Json = Annotated[bool, flag("Print JSON instead of a table.", "--json")]
Out = Annotated[Path | None, flag("Write the results as JSON.", "--out", metavar="FILE")]


def check_out(out: Path | None) -> None:
    """Refuses a file that cannot be written, before minutes are spent."""
    from pose3d.errors import UsageError

    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"{out} cannot be written", "Give --out a file in a folder that exists")


def write_results(results: Mapping[str, Any], out: Path | None) -> None:
    """Writes results as JSON where a file was given."""
    import json

    from pose3d.files import write_whole

    if out is not None:
        with write_whole(out) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def show_results(
    results: Mapping[str, Any],
    as_tables: Callable[[Mapping[str, Any]], Table | list[Table]],
    as_json: bool,
) -> None:
    """Prints results as tables or as JSON."""
    import json

    if as_json:
        print(json.dumps(results, indent=1))
        return
    tables = as_tables(results)
    for table in tables if isinstance(tables, list) else [tables]:
        print_rich_table(table)


def print_rich_table(table: Table) -> None:
    """Prints a table, at full width into a file or pipe."""
    console = make_console()
    if not console.is_terminal:
        console.width = 400  # into a file or pipe nothing is broken or cut
    console.print(table)


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ("size",)
) -> None:
    """Prints a table; ``right``: titles of columns that are aligned to the right."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    print_rich_table(table)


def size_in_words(size_bytes: int | None) -> str:
    """``"6.4 MB"``; empty when it is not known."""
    return "" if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"


@contextmanager
def show_clips() -> Iterator[Callable[[str, int, int], None]]:
    """Shows a bar of clips (or other things) on a terminal."""
    from rich.progress import Progress

    console = make_console()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task("", total=None)

        def move(name: str, done: int, total: int) -> None:
            bars.update(task, description=name, completed=done, total=total)

        yield move
