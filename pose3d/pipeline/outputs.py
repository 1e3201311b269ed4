"""What is made of a result: files in its folder, and the drawing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pose3d.errors import ResultFileError, UsageError, caught
from pose3d.files import how_to_write
from pose3d.options import OutputOptions
from pose3d.result.record import PoseSequence, make_exporter, write_files
from pose3d.stores.folders import check_writable
from pose3d.stores.places import is_address, is_remote, to_place


def check_outputs(outputs: OutputOptions) -> None:
    """Raises for formats that do not exist and a folder that cannot be made or written to."""
    for name in outputs.format:
        make_exporter(name)
    folder = to_place(outputs.output)
    if is_remote(folder):
        check_writable(folder)
    else:
        make_folder(folder)


def refuse_store(outputs: OutputOptions) -> None:
    """Raises UsageError where a recording, which is kept on this machine, would go to a store."""
    if is_address(outputs.output):
        raise UsageError(
            "The recording of a camera is kept on this machine", "Give a folder as --output"
        )


def make_folder(folder: Path) -> None:
    """Makes a folder unless it is there, and checks that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultFileError(
            f"The output folder {folder} cannot be written to ({error.strerror or error})",
            how_to_write(error),
        ) from error


def write_formats(
    pose: PoseSequence, folder: Path, formats: Iterable[str], failures: list[Exception]
) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Writes a result in each format; yields the format and its files (one a person, in some).

    An error of one format stops no other; the caller raises the ``failures`` at the end.
    """
    for name in formats:
        with caught(failures):
            files = write_files(pose, folder / f"pose{make_exporter(name).suffix}", name)
            yield name, files


def draw_result(
    pose: PoseSequence,
    video: str | Path | None,
    path: Path,
    outputs: OutputOptions,
    *,
    hypotheses: bool,
    on_frame: Callable[[int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Path:
    """Draws a result; hypotheses are ghosts in the 3D view, so an overlay has none."""
    from pose3d.render.video import render_video

    return render_video(
        pose,
        video,
        path,
        mode=outputs.render,
        style=outputs.style,
        height=outputs.render_height,
        encoder=outputs.encoder,
        hypotheses=hypotheses and outputs.render != "overlay",
        on_frame=on_frame,
        on_warning=on_warning,
    )
