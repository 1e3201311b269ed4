"""Films many clips, each decided by the seed and its number alone: a run can be interrupted, taken
up again and shared out among processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.errors import DataError
from pose3d.lab.datasets.npz_files import read_arrays, write_arrays
from pose3d.lab.synthesis.bodies import prepare_bodies
from pose3d.lab.synthesis.pictures import Painter
from pose3d.lab.synthesis.recordings import Recordings
from pose3d.lab.synthesis.tracks import FilmOptions, Watcher, film_clip, slim_down
from pose3d.weights.finding import sha256_of


def clip_path(folder: Path, options: FilmOptions, number: int) -> Path:
    """Returns where a clip waits until all are done."""
    return folder / f"{options.seed}-{options.frames}-{number:06d}.npz"


def film(
    files: list[Path],
    out: Path,
    options: FilmOptions,
    *,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> int:
    """Films clips of motion files as one NPZ; returns in how many frames a person was seen.

    Clips wait in ``OUT.clips`` until all are done; what an interrupted run has done is kept, and
    refused (DataError) if it is of other motions. ``progress``: what is counted, how many are done,
    of how many.
    """
    Recordings(files, options.leave_out, options.split)
    prepare_bodies()
    folder = out.with_name(out.name + ".clips")
    try:
        folder.mkdir(exist_ok=True)
        _claim(folder, files, options)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror})", "Give another --out"
        ) from error
    paths = [clip_path(folder, options, n) for n in range(options.clips)]
    todo = [n for n, path in enumerate(paths) if not path.is_file()]
    done = len(paths) - len(todo)
    # What is missing is told here, and the weights are fetched once.
    Painter(threads=1)
    Watcher(options.keypoints)
    # Each process has its own OpenGL; none of it survives a fork.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin, (files, options, folder)
    )
    try:
        for clip in as_completed([pool.submit(_film_to_file, number) for number in todo]):
            clip.result()
            done += 1
            if progress is not None:
                progress("clips", done, len(paths))
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process died",
            "Run the command again, with fewer --workers if memory is short: what is done is kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    seen = _join(paths, out, options.slim)
    shutil.rmtree(folder)
    return seen


def _claim(folder: Path, files: list[Path], options: FilmOptions) -> None:
    """Notes what a folder of clips is made of, and refuses one of something else."""
    chosen = {name: getattr(options, name) for name in ("leave_out", "split", "vary", "keypoints")}
    made_of = json.dumps({"motions": [sha256_of(path) for path in files], **chosen})
    note = folder / "made_of.json"
    if note.is_file() and note.read_text() != made_of:
        raise DataError(
            f"{folder} holds clips of other motions or of another --split, --vary or --keypoints",
            "Give another --out, or delete that folder",
        )
    note.write_text(made_of)


_kit: list[tuple[FilmOptions, Recordings, Painter, Watcher, Path]] = []  # of a worker


def _begin(files: list[Path], options: FilmOptions, folder: Path) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    torch.set_num_threads(1)
    recordings = Recordings(files, options.leave_out, options.split)
    _kit[:] = [(options, recordings, Painter(threads=1), Watcher(options.keypoints), folder)]


def _film_to_file(number: int) -> None:
    options, recordings, painter, watcher, folder = _kit[0]
    clip = film_clip(number, options, recordings, painter, watcher)
    write_arrays(clip_path(folder, options, number), clip)


def _join(paths: list[Path], out: Path, slim: bool) -> int:
    """Writes all clips into one file and returns in how many frames a person was seen."""
    todo = "Delete it, and run the command again"
    clips = [read_arrays(path, "filmed clip", todo) for path in paths]
    joined: dict[str, Any] = {
        name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]
    }
    joined["starts"] = np.cumsum([0, *(len(clip["detected"]) for clip in clips)]).astype(np.int32)
    write_arrays(out, slim_down(joined) if slim else joined)
    return int(joined["detected"].sum())
