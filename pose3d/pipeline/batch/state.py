"""What an output folder already holds, and what is left to do for a clip.

Each folder has a small file, :data:`STATE_NAME`, that says from which clip and with which options its
files were made. It is written before the first file is replaced and again after every step, so that
nothing half-written ever looks done and an interrupted run goes on where it stopped.

* The same clip and options: what exists is kept, what is missing is made; a missing format or
  drawing costs no second run of the networks.
* The same clip, changed since (other size or time): everything is made again.
* Another clip of the same name, other options, or files that were not made by a run: nothing is
  touched, the user decides (``--overwrite`` or another folder).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pose3d.errors import Pose3DError, ResultFileError
from pose3d.files import PART_PATTERN, parse_json, remove, size_of
from pose3d.options import OutputOptions, RunOptions
from pose3d.result.record import make_exporter
from pose3d.stores.folders import read_text, sizes_in, write_text
from pose3d.stores.places import hide_secrets, is_remote, to_place
from pose3d.version import __version__
from pose3d.video.camera_sidecar import sidecar_path
from pose3d.video.remote import measure_clip
from pose3d.video.sources import Source

STATE_NAME = ".pose3d.json"
RECORDING_NAME = "recording.mp4"
"""What a camera recorded: never deleted, because nothing can record it a second time."""

_NO_CHANGE = ("device", "threads", "offline", "chosen_by")
"""Options that do not change the result (but for rounding)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMark:
    """By what a clip with its sidecar is known again: all sizes together and the newest time."""

    path: str
    size_bytes: int
    mtime_ns: int

    @staticmethod
    def of(source: Source) -> SourceMark:
        if source.is_remote:
            size, time = measure_clip(source)
            return SourceMark(path=source.shown, size_bytes=size, mtime_ns=time)
        path = Path(source.path).absolute()
        try:
            files = [e for e in path.iterdir() if e.is_file()] if path.is_dir() else [path]
            files += [beside] if os.path.isfile(beside := sidecar_path(path)) else []
            stats = [file.stat() for file in files]
        except OSError as error:
            raise ResultFileError(
                f"{source.path} cannot be read ({error.strerror or error})",
                "Check that it is still there",
            ) from error
        return SourceMark(
            path=str(path),
            size_bytes=sum(s.st_size for s in stats),
            mtime_ns=max((s.st_mtime_ns for s in stats), default=0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderState:
    """What :data:`STATE_NAME` says."""

    source: SourceMark | None  # None: a recording of a camera
    options: dict[str, Any]  # those of a run that change the result
    files: dict[str, int] = field(default_factory=dict)  # finished ones: name -> size in bytes
    formats: dict[str, list[str]] = field(default_factory=dict)  # format -> names of its files
    video: str | None = None  # name of the finished drawing
    drawn: tuple[str, str, int] | None = None  # its mode, style and height
    people: int | None = None  # found in the clip
    frames: int | None = None  # of the clip
    seconds: float | None = None  # that the networks took
    version: str = __version__

    def with_files(self, folder: Path, fmt: str, paths: tuple[Path, ...]) -> FolderState:
        """Returns a copy that knows these finished files of one format."""
        names = [path.name for path in paths]
        sizes = {name: size_of(folder / name) or 0 for name in names}
        return replace(self, files={**self.files, **sizes}, formats={**self.formats, fmt: names})

    def with_video(self, folder: Path, name: str, outputs: OutputOptions) -> FolderState:
        """Returns a copy that knows the finished drawing."""
        sizes = {**self.files, name: (folder / name).stat().st_size}
        return replace(self, files=sizes, video=name, drawn=_drawing(outputs))

    def has(self, sizes: Mapping[str, int], names: Iterable[str]) -> bool:
        """Tells whether these files are in a folder, of the size at which they were finished."""
        return all(name in self.files and sizes.get(name) == self.files[name] for name in names)


def _drawing(outputs: OutputOptions) -> tuple[str, str, int]:
    return outputs.render, outputs.style, outputs.render_height


def write_state(folder: Path, state: FolderState) -> None:
    write_text(folder / STATE_NAME, json.dumps(asdict(state), indent=1) + "\n")


def read_state(folder: Path) -> FolderState | None:
    """Reads the state of a folder; None when there is none that this version understands."""
    try:
        values = parse_json(read_text(folder / STATE_NAME))
        source, drawn = values["source"], values["drawn"]
        values["source"] = None if source is None else SourceMark(**source)
        values["drawn"] = None if drawn is None else (str(drawn[0]), str(drawn[1]), int(drawn[2]))
        return FolderState(**values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        # Damaged, or of a later version: the files in the folder count as not made by a run.
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is left to do for one clip."""

    folder: Path  # of its outputs
    estimate: bool  # the networks have to run
    reuse: Path | None = None  # the result file to go on from, when they do not
    formats: tuple[str, ...] = ()  # to write
    draw: bool = False  # the drawing has to be made

    @property
    def is_done(self) -> bool:
        return not (self.estimate or self.formats or self.draw)


def options_for(source: Source, options: RunOptions) -> RunOptions:
    """Returns the options without those that are of other kinds of inputs."""
    others = {"images": "rate", "file": "stream", "camera": "duration"}
    unset: dict[str, Any] = {n: None for kind, n in others.items() if kind != source.kind}
    return replace(options, **unset)


def folder_of(source: Source, outputs: OutputOptions) -> Path:
    """Returns the folder of the outputs of a clip."""
    return to_place(outputs.output) / source.stem


def make_plan(source: Source, options: RunOptions, outputs: OutputOptions) -> Plan:
    """Looks at the output folder of a clip and decides what is left to do.

    Raises ResultFileError where the folder holds what only ``--overwrite`` may replace.
    """
    folder = folder_of(source, outputs)
    everything = _plan_all(folder, outputs)
    if outputs.overwrite:
        return everything
    state = read_state(folder)
    if state is None:
        _refuse_foreign(folder, source, outputs)
        return everything
    if source.kind == "camera" or state.source is None:
        if not state.files and RECORDING_NAME not in sizes_in(folder):
            return everything
        raise _occupied(f"{_shown(folder)} holds an earlier recording")
    mark = SourceMark.of(source)
    if not _same_clip(state.source, mark):
        raise _occupied(f"{_shown(folder)} holds the result of another clip, {state.source.path}")
    changed = _differences(state.options, result_options(options))
    if changed:
        raise _occupied(f"{_shown(folder)} holds a result made with other options ({changed})")
    if (state.source.size_bytes, state.source.mtime_ns) != (mark.size_bytes, mark.mtime_ns):
        return everything
    return plan_rest(folder, state, outputs)


def _plan_all(folder: Path, outputs: OutputOptions) -> Plan:
    draw = outputs.render != "none"
    return Plan(folder=folder, estimate=True, formats=outputs.format, draw=draw)


def plan_rest(folder: Path, state: FolderState, outputs: OutputOptions) -> Plan:
    """Returns what is missing in a folder whose result fits."""
    everything = _plan_all(folder, outputs)
    sizes = sizes_in(folder)
    made = {f: names for f, names in state.formats.items() if state.has(sizes, names)}
    missing = tuple(f for f in outputs.format if f not in made)
    drawn = (
        state.video is not None
        and state.drawn == _drawing(outputs)
        and state.has(sizes, [state.video])
    )
    draw = everything.draw and not drawn
    # JSON is rounded: good enough to draw and to make other formats, not to pass for the original.
    base = "npz" if "npz" in made else "json" if "json" in made and "npz" not in missing else None
    if (missing or draw) and base is None:
        return everything
    reuse = folder / made[base][0] if base else None
    return Plan(folder=folder, estimate=False, reuse=reuse, formats=missing, draw=draw)


def result_options(options: RunOptions) -> dict[str, Any]:
    """Returns the options that change the result; a lifter's file has its hash beside its name."""
    values = {f.name: getattr(options, f.name) for f in fields(options)}
    for name in _NO_CHANGE:
        del values[name]
    if options.lifter.endswith(".safetensors") and Path(options.lifter).is_file():
        from pose3d.weights.finding import sha256_of

        values["lifter"] = f"{options.lifter} {sha256_of(Path(options.lifter))[:12]}"
    return values


def remove_leftovers(folder: Path) -> None:
    """Removes unfinished files of a run that was killed; the caller holds the folder's lock."""
    if is_remote(folder):
        return  # they were on its own disk
    for part in folder.glob(PART_PATTERN):
        remove(part)


def _same_clip(old: SourceMark, new: SourceMark) -> bool:
    """Tells whether two marks are of one clip, which may have been moved or changed."""
    if os.path.normcase(old.path) == os.path.normcase(new.path):
        return True
    moved = Path(old.path).name == Path(new.path).name
    return moved and (old.size_bytes, old.mtime_ns) == (new.size_bytes, new.mtime_ns)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Returns in words which options differ; those that an older folder lacks had their defaults."""
    old = {**result_options(RunOptions()), **old}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{n.replace('_', '-')}: {old.get(n)}, now {new.get(n)}" for n in names)


def _refuse_foreign(folder: Path, source: Source, outputs: OutputOptions) -> None:
    """Raises when files of a folder that no run made would be replaced."""
    wanted = [f"pose{make_exporter(fmt).suffix}" for fmt in outputs.format]
    wanted += [f"{source.stem}.mp4"] if outputs.render != "none" else []
    sizes = sizes_in(folder)
    for name in wanted:
        if name in sizes:
            raise _occupied(f"{_shown(folder)} holds a {name} that no run of pose3d left there")


def _shown(folder: Path) -> str:
    return hide_secrets(str(folder))


def _occupied(what: str) -> Pose3DError:
    return ResultFileError(what, "Use --overwrite to replace it, or give another --output")
