"""What an experiment is: rows of training runs that differ in one thing. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pose3d.errors import unknown_name
from pose3d.lab.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of training run."""

    name: str  # unique in its experiment; part of folder names
    recipe: Recipe  # its seed is replaced
    words: str  # what is special about it, for tables
    seeds: int = 1  # runs: seeds 0, 1, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Training runs that answer a question."""

    name: str  # on the command line
    question: str  # one line
    rows: tuple[Row, ...]
    # Title -> names of rows, all compared with the first one.
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    # Trained before all others, which begin with its weights and have all of its parts.
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
        """Yields row and seed of every run (of ``names``, else all), all rows with seed 0 first.

        ``seeds``: at most so many of each row, from 1; None: as many as the row says.
        """
        rows = [self.row(name) for name in names] or list(self.rows)
        most = max(row.seeds for row in rows)
        for seed in range(min(most, seeds or most)):
            yield from ((row, seed) for row in rows if seed < row.seeds)
