"""``pose3d export``: write a result in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pose3d.cli.files import find_result, refuse_existing
from pose3d.cli.flags import argument, flag, split_names
from pose3d.errors import UsageError, caught, raise_all


def export(
    result: Annotated[
        Path | None,
        argument("A result: pose.npz, pose.json, or their folder. (default: list the formats)"),
    ] = None,
    format: Annotated[
        list[str] | None,
        flag(
            "Formats, separated by commas or given several times. (default: by the suffix of "
            "--output)",
            "--format",
            "-f",
            metavar="NAMES",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        flag(
            "A file (for one format), or a folder. (default: beside the result)",
            "--output",
            "-o",
            metavar="PATH",
        ),
    ] = None,
    overwrite: Annotated[bool, flag("Replace files that exist.", "--overwrite")] = False,
) -> None:
    """Write a result in other formats: npz, json, csv, trc, bvh, html. Without a result: list them.

    Example: pose3d export out/walk/pose.npz --format bvh,csv
    """
    from pose3d.pipeline.outputs import make_folder
    from pose3d.result.record import list_formats, load, make_exporter, write_files

    if result is None:
        for name, description in list_formats().items():
            print(f"{name:6} {description}")
        return
    path = find_result(result)
    if not format:
        if output is None or not output.suffix:
            raise UsageError("No format was given", f"Give --format: {', '.join(list_formats())}")
        format = [output.suffix[1:]]
    exporters = {name: make_exporter(name) for name in split_names(format)}
    is_file = output is not None and bool(output.suffix) and not output.is_dir()
    if is_file and len(exporters) > 1:
        raise UsageError(f"{output} is one file for {len(exporters)} formats", "Give a folder")
    pose = load(path)
    failures: list[Exception] = []
    for name, exporter in exporters.items():
        folder = output or path.parent
        target = folder if is_file else folder / f"{path.stem}{exporter.suffix}"
        if target.resolve() == path.resolve():
            raise UsageError(f"{target} is the result itself", "Give another --output")
        if not exporter.per_person:
            refuse_existing([target], overwrite)
        make_folder(target.parent)
        with caught(failures):
            for written in write_files(pose, target, name):
                print(written)
    raise_all(failures)
