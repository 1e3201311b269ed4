"""What ``pose3d run`` says while it works: models, progress bars, a line per clip, the summary."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pose3d.cli.edge import debugging, make_console, print_error, print_warning
from pose3d.cli.results import print_rich_table
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.result.camera import ASSUMED_WARNING
from pose3d.result.spread import describe_spread
from pose3d.stores.places import hide_secrets

if TYPE_CHECKING:
    from pose3d.video.sources import Source
    from pose3d.weights.info import ModelInfo

_COLOURS = {"done": "green", "updated": "green", "kept": "cyan", "busy": "yellow", "failed": "red"}
_NAME_WIDTH = 28
_STAGE_WIDTH = 11


class RunReport(Watcher):
    """Watches a batch and prints; bars on a terminal only, errors and warnings always to stderr."""

    def __init__(self, sources: Sequence[Source], *, quiet: bool, verbose: bool) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._sources = sources
        self._quiet, self._verbose = quiet, verbose
        self._width = min(_NAME_WIDTH, max((len(s.stem) for s in sources), default=0))
        self._console = make_console()
        self._bars: Progress | None = None
        self._tasks: dict[int, tuple[str, TaskID]] = {}
        self._whole: TaskID | None = None
        self._stages: dict[int, dict[str, float]] = {}
        self._told_assumed = False
        if self._console.is_terminal and not quiet:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
                expand=True,
            )

    def __enter__(self) -> RunReport:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Prints a line, unless quiet."""
        if not self._quiet:
            self._console.print(text, markup=False)

    # -- the watcher ---------------------------------------------------------------------------

    def planned(self, clips: int) -> None:
        if self._bars is not None and len(self._sources) > 1:
            title = "all clips".ljust(self._width + _STAGE_WIDTH)
            self._whole = self._bars.add_task(title, total=clips)

    def loaded(self, models: Sequence[ModelInfo], seconds: float) -> None:
        for part, info in zip(("detector", "keypoints", "lifter"), models, strict=True):
            if part == "detector" and info == models[1]:
                self.say(f"{part:10} not used: {info.name} finds people and keypoints in one pass")
                continue
            why = f" ({info.device_reason})" if info.device_reason else ""
            self.say(f"{part:10} {info.name} on {info.device}{why}, {info.licence}")
            for change in info.changes:
                self.say(f"{'':10} {change}")
        if self._verbose:
            self.say(f"networks loaded in {seconds:.1f} s")

    def started(self, number: int) -> None:
        self._stages[number] = {}

    def progress(self, number: int, stage: str, done: int, total: int) -> None:
        self._stages[number].setdefault(stage, time.monotonic())
        if self._bars is not None:
            self._bars.update(self._bar(number, stage), completed=done, total=total or None)

    def tell(self, number: int, text: str) -> None:
        stem = self._sources[number].stem
        self.say(f"{stem}: {text}" if len(self._sources) > 1 else f"{'camera':10} {text}")

    def warn(self, number: int, text: str) -> None:
        if text == ASSUMED_WARNING:  # once for all clips: each of them is told what it is read with
            if self._told_assumed:
                return
            self._told_assumed = True
        stem = self._sources[number].stem  # is not repeated where there is only one
        print_warning(f"{stem}: {text}" if len(self._sources) > 1 and stem not in text else text)

    def finished(self, number: int, outcome: Outcome) -> None:
        looked_before = number in self.outcomes  # clips of other runs are looked at twice
        self.outcomes[number] = outcome
        if self._bars is not None:
            if number in self._tasks:
                self._bars.remove_task(self._tasks.pop(number)[1])
            if self._whole is not None:
                self._bars.update(self._whole, completed=len(self.outcomes))
        if outcome.status == "busy":
            if not looked_before:
                self.warn(number, f"{outcome.error}")
        elif outcome.error is not None:
            if debugging() and outcome.trace:
                print(outcome.trace, file=sys.stderr)
            print_error(outcome.error)
        elif len(self._sources) > 1:
            self.say(f"{outcome.source.stem}: {_words(outcome)}")
        if self._verbose and self._stages.get(number):
            self.say(f"{outcome.source.stem}: {_lengths(self._stages[number])}")

    def _bar(self, number: int, stage: str) -> TaskID:
        """Returns the bar of a clip; each stage has a new one, for its own speed."""
        assert self._bars is not None
        known = self._tasks.get(number)
        if known is not None and known[0] == stage:
            return known[1]
        if known is not None:
            self._bars.remove_task(known[1])
        name = self._sources[number].stem
        if len(name) > _NAME_WIDTH:
            name = f"{name[: _NAME_WIDTH - 3]}..."
        title = escape(name.ljust(self._width)) + f"  {stage}".ljust(_STAGE_WIDTH)
        task = self._bars.add_task(title, total=None)
        self._tasks[number] = (stage, task)
        return task

    # -- the end -------------------------------------------------------------------------------

    def print_summary(self) -> None:
        """Prints the table of clips and where the files are."""
        if self._quiet or not self.outcomes:
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("input", "people", "frames", "seconds", "status", "files"):
            table.add_column(
                title,
                justify="right" if title in ("people", "frames", "seconds") else "left",
                overflow="fold",
            )
        for _, outcome in sorted(self.outcomes.items()):
            table.add_row(
                escape(outcome.source.shown),
                _number(outcome.people),
                _number(outcome.frames),
                f"{outcome.seconds:.1f}",
                f"[{_COLOURS[outcome.status]}]{outcome.status}[/]",
                escape(hide_secrets(str(outcome.folder))) if outcome.error is None else "",
            )
        self._console.print()
        print_rich_table(table)
        busy = sum(outcome.status == "busy" for outcome in self.outcomes.values())
        if busy:
            clips = "1 clip is" if busy == 1 else f"{busy} clips are"
            self.say(
                f"{clips} being worked on by another run; the same command tells if it finished."
            )
        for _, outcome in sorted(self.outcomes.items()):
            if outcome.spread_mm:
                stem = f"{outcome.source.stem}: " if len(self._sources) > 1 else ""
                self.say(stem + describe_spread(dict(outcome.spread_mm)))


def _words(outcome: Outcome) -> str:
    counts = (outcome.people, "person", "people"), (outcome.frames, "frame", "frames")
    said = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n is not None]
    return ", ".join((outcome.status, *said, f"{outcome.seconds:.1f} s"))


def _lengths(began: dict[str, float]) -> str:
    """Returns how long each stage took; the last one ends now."""
    times = [*began.values(), time.monotonic()]
    lengths = [b - a for a, b in itertools.pairwise(times)]
    return ", ".join(f"{s} {t:.1f} s" for s, t in zip(began, lengths, strict=True))


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
