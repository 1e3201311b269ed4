"""What became of all clips of an output folder, whichever machines worked on them.

Each run leaves a list of its clips there, and each clip that failed a note beside its results. Both
are written whole under names that hold for one content, so that any number of runs may share a folder.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pose3d.errors import Pose3DError, UsageError
from pose3d.files import LOCK_NAME, parse_json
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch.state import plan_rest, read_state
from pose3d.pipeline.batch.watch import Outcome
from pose3d.stores.folders import (
    ask_all,
    is_alive,
    make_folder,
    read_holder,
    read_text,
    remove,
    write_text,
)
from pose3d.stores.places import is_remote, to_place
from pose3d.video.sources import Source

FAILED_NAME = ".pose3d.failed.json"
SUMMARY_NAME = "summary.csv"
_LIST = ".pose3d-run-{}.json"

STATUSES = ("done", "failed", "running", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipStatus:
    """What is known of one clip: ``status`` is one of :data:`STATUSES`."""

    clip: str  # name of its folder
    status: str
    people: int | None
    frames: int | None
    seconds: float | None  # that the networks took
    error: str  # why it failed, and what to do; empty otherwise
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """The clips of a run (of all its shares) and its options."""

    sources: tuple[Source, ...]
    options: RunOptions
    outputs: OutputOptions


def write_run_list(sources: Iterable[Source], options: RunOptions, outputs: OutputOptions) -> None:
    """Leaves the list of a run in its output folder; cameras cannot be listed to be done again."""
    clips = [
        {
            "path": s.shown if s.is_remote else os.path.abspath(s.path),
            "kind": s.kind,
            "stem": s.stem,
        }
        for s in sources
        if s.kind != "camera"
    ]
    kept = {**asdict(outputs), "overwrite": False, "output": "."}
    text = json.dumps({"clips": clips, "options": asdict(options), "outputs": kept}, indent=1)
    folder = to_place(outputs.output)
    path = folder / _LIST.format(hashlib.sha256(text.encode()).hexdigest()[:12])
    if clips and not path.exists():
        make_folder(folder)
        write_text(path, text + "\n")


def read_run_lists(output: Path) -> list[RunList]:
    """Reads the lists of all runs into a folder; UsageError where there is none."""
    runs = []
    for path in sorted(output.glob(_LIST.format("*")), key=lambda p: p.stat().st_mtime):
        try:
            values = parse_json(read_text(path))
            outputs: dict[str, Any] = {**values["outputs"], "output": str(output)}
            outputs["format"] = tuple(outputs["format"])
            run = RunList(
                sources=tuple(Source(**clip) for clip in values["clips"]),
                options=RunOptions(**values["options"]),
                outputs=OutputOptions(**outputs),
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{path} is damaged or of another version of pose3d ({error})",
                "Remove it and give 'pose3d run' the same inputs again",
            ) from error
        runs.append(run)
    if not runs:
        raise UsageError(
            f"{output} is not the output of a run of pose3d", "Give the folder of --output"
        )
    return runs


def note_failure(outcome: Outcome) -> None:
    """Leaves beside the results of a clip why it failed; where that cannot be written, nothing."""
    if outcome.status != "failed" or outcome.error is None:
        return
    note = {"what": outcome.error.what, "todo": outcome.error.todo}
    with contextlib.suppress(OSError, Pose3DError):
        make_folder(outcome.folder)
        write_text(outcome.folder / FAILED_NAME, json.dumps(note) + "\n")


def forget_failure(folder: Path) -> None:
    """Removes the note of an earlier failure."""
    remove(folder / FAILED_NAME)


def look_at_clips(output: Path) -> list[ClipStatus]:
    """Returns a row for each clip that any run into this folder was given."""

    def look(clip: tuple[RunList, Source]) -> ClipStatus:
        run, source = clip
        return _look_at(output / source.stem, source.shown, run.outputs)

    return list(ask_all(look, _latest(read_run_lists(output)), at_once=is_remote(output)))


def _latest(runs: Sequence[RunList]) -> list[tuple[RunList, Source]]:
    """Returns each clip once, with the last run that was given it."""
    return list({s.stem: (run, s) for run in runs for s in run.sources}.values())


def _look_at(folder: Path, path: str, outputs: OutputOptions) -> ClipStatus:
    state = read_state(folder)
    error = _failure(folder)
    if _is_running(folder):
        status = "running"
    elif error:
        status = "failed"
    else:
        is_done = state is not None and plan_rest(folder, state, outputs).is_done
        status = "done" if is_done else "left"
    return ClipStatus(
        clip=folder.name,
        status=status,
        people=state.people if state else None,
        frames=state.frames if state else None,
        seconds=state.seconds if state else None,
        error=error if status == "failed" else "",
        input=path,
    )


def _failure(folder: Path) -> str:
    try:
        note = parse_json(read_text(folder / FAILED_NAME))
        return str(Pose3DError(note["what"], note["todo"]))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "The note of its failure cannot be read."


def _is_running(folder: Path) -> bool:
    """Tells whether somebody works there, without taking the lock, which would be in their way.

    A process of this machine that is gone does not; one of another machine is believed.
    """
    holder = read_holder(folder / LOCK_NAME)
    return holder is not None and is_alive(holder)


def write_summary(output: Path) -> list[ClipStatus]:
    """Renews the table of all clips in their output folder, and returns its rows."""
    rows = look_at_clips(output)
    names = list(ClipStatus.__dataclass_fields__)
    text = io.StringIO()
    table = csv.DictWriter(text, names)
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_text(output / SUMMARY_NAME, text.getvalue())
    return rows


def failed_clips(output: Path) -> list[RunList]:
    """Returns the runs into a folder with only those of their clips that failed."""
    failed = {row.clip for row in look_at_clips(output) if row.status == "failed"}
    runs: dict[int, tuple[RunList, list[Source]]] = {}
    for run, source in _latest(read_run_lists(output)):
        if source.stem in failed:
            runs.setdefault(id(run), (run, []))[1].append(source)
    return [
        RunList(sources=tuple(sources), options=run.options, outputs=run.outputs)
        for run, sources in runs.values()
    ]
