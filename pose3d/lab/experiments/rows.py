"""What an experiment is: rows of training runs that differ in one thing. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pose3d.errors import unknown_name
from pose3d.lab.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of training run.

    Args:
        name: unique in its experiment; part of folder names.
        recipe: what is trained; its seed is replaced.
        words: what is special about it, for tables.
        seeds: runs: seeds 0, 1, ...
    """

    name: str
    recipe: Recipe
    words: str
    seeds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Training runs that answer a question.

    Args:
        name: on the command line.
        question: one line.
        rows: every kind of run, once.
        groups: title -> names of rows that belong side by side; the first one is what the others of
            a group are compared with. A row may be in several.
        start: trained once and before all others, which begin with its weights; None: they begin with
            random ones. Its network may lack parts of theirs, and has none that they lack.
    """

    name: str
    question: str
    rows: tuple[Row, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    start: Row | None = None

    @property
    def is_2d(self) -> bool:
        """Whether 2D networks are trained, not lifters."""
        return self.rows[0].recipe.people is not None

    def row(self, name: str) -> Row:
        """Returns the row called ``name``; UsageError: there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise unknown_name(f"row of {self.name}", name, [row.name for row in self.rows])

    def runs(
        self, names: Sequence[str] = (), seeds: int | None = None
    ) -> Iterator[tuple[Row, int]]:
        """Yields row and seed of every run: first all rows with seed 0, so that half a table says much.

        Args:
            names: of rows; none: all.
            seeds: at most so many of each row, from 1; None: as many as the row says.
        """
        rows = [self.row(name) for name in names] or list(self.rows)
        most = max(row.seeds for row in rows)
        for seed in range(min(most, seeds or most)):
            yield from ((row, seed) for row in rows if seed < row.seeds)
