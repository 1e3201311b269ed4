"""``pose3d export``: write a result in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer.core import TyperCommand

from pose3d.cli.edge import print_warning
from pose3d.cli.files import find_result, refuse_existing
from pose3d.cli.flags import argument, flag, split_names
from pose3d.errors import MissingExtraError, UsageError, caught, raise_all

if TYPE_CHECKING:
    from pose3d.result.record import PoseSequence


def export(
    result: Annotated[
        Path | None,
        argument("A result: pose.npz, pose.json, or their folder. (default: list the formats)"),
    ] = None,
    format: Annotated[
        list[str] | None,
        flag(
            "Formats, separated by commas or given several times; all: every one. (default: by the "
            "suffix of --output)",
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
    bones: Annotated[
        str | None,
        flag(
            "How BVH names bones: pose3d, mixamo, lafan1. (default: pose3d)",
            "--bones",
            metavar="NAME",
        ),
    ] = None,
    overwrite: Annotated[bool, flag("Replace files that exist.", "--overwrite")] = False,
) -> None:
    """Write a result in other formats. Without a result: list them.

    Times are those of the video. Camera axes: x right, y down, z forward.

    Example: pose3d export out/walk --format glb,csv
    """
    from pose3d.pipeline.outputs import make_folder
    from pose3d.result.record import list_formats, load, make_exporter

    if result is None:
        print("\n".join(_table()))
        return
    path = find_result(result)
    if not format:
        if output is None or not output.suffix:
            raise UsageError("No format was given", f"Give --format: {', '.join(list_formats())}")
        format = [output.suffix[1:]]
    names = split_names(format)
    everything = names == ("all",)
    if everything:
        names = tuple(list_formats())
    if bones is not None:
        if "bvh" not in names:
            raise UsageError("--bones is for the format bvh", "Add --format bvh")
        names = tuple(f"bvh:{bones}" if name == "bvh" else name for name in names)
    exporters = {name: make_exporter(name) for name in names}
    is_file = output is not None and bool(output.suffix) and not output.is_dir()
    if is_file and len(exporters) > 1:
        raise UsageError(f"{output} is one file for {len(exporters)} formats", "Give a folder")
    pose = load(path)
    failures: list[Exception] = []
    for name, exporter in exporters.items():
        folder = output or path.parent
        target = folder if is_file else folder / f"{path.stem}{exporter.suffix}"
        if everything and hasattr(exporter, "read") and target.exists():
            continue  # the result itself, and its like
        if target.resolve() == path.resolve():
            raise UsageError(f"{target} is the result itself", "Give another --output")
        if not exporter.per_person:
            refuse_existing([target], overwrite)
        make_folder(target.parent)
        with caught(failures):
            _write(pose, target, name, leave_out=everything)
    raise_all(failures)


def _write(pose: PoseSequence, target: Path, name: str, *, leave_out: bool) -> None:
    """Writes one format and prints its files; ``leave_out``: what cannot be written here is said."""
    from pose3d.result.record import write_files

    try:
        written = write_files(pose, target, name)
    except MissingExtraError as error:
        if not leave_out:
            raise
        print_warning(f"left out {name}: {error}")
        return
    for file in written:
        print(file)
    if not written:
        print_warning(f"there is nobody to write as {name}")


def _table() -> list[str]:
    """Lists the formats: what for, axes and units, what is there while a person is away."""
    from pose3d.result.record import list_formats

    return [f"{name:9} {description}" for name, description in list_formats().items()]


class ExportCommand(TyperCommand):
    """Shows the formats at the end of its help, which is not made before somebody asks for it."""

    def format_help(self, context: Any, formatter: Any) -> None:
        self.epilog = "\n\n".join(["Formats:", *_table()])
        super().format_help(context, formatter)
