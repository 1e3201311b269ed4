"""Options from a TOML file and from the command line, put together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pose3d.cli.flags import FLAGS, split_names
from pose3d.errors import UsageError, unknown_name
from pose3d.options import NETWORKS, PRESET_NAMES, CommandOptions, OutputOptions, RunOptions
from pose3d.parts.presets import make_options

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}


def read_config(path: Path) -> dict[str, Any]:
    """Reads options from a TOML file: names of flags, written with ``-`` or ``_``; no tables."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The config file {path} cannot be read ({error.strerror or error})", "Check its path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"The config file {path} is not valid TOML ({error})", "Correct it"
        ) from error
    out = {}
    for written, value in values.items():
        name = written.replace("-", "_")
        if name not in FLAGS:
            raise unknown_name(f"option in {path}", written, [n.replace("_", "-") for n in FLAGS])
        out[name] = _checked(name, value, path)
    return out


def _checked(name: str, value: Any, path: Path) -> Any:
    """Returns the value in the type of its flag."""
    kind = FLAGS[name].kind
    if kind is list:
        if isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            return value
        raise UsageError(
            f"{name.replace('_', '-')} in {path} is {value!r}", 'Write e.g. format = ["npz", "csv"]'
        )
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    # True and false are numbers for Python.
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise UsageError(
            f"{name.replace('_', '-')} in {path} is {value!r}", f"Write {_KINDS[kind]}"
        )
    return kind(value)


def merge_config(given: Mapping[str, Any], config: Path | None) -> dict[str, Any]:
    """Returns options by name: flags that were typed, and those of the file."""
    merged = {**(read_config(config) if config is not None else {}), **given}
    if "format" in merged:
        merged["format"] = split_names(merged["format"])
    return merged


def split_options(
    values: Mapping[str, Any], *, parts: tuple[str, ...] = NETWORKS
) -> tuple[RunOptions, OutputOptions, CommandOptions]:
    """Sorts options into those of the chain, of the outputs and of the command.

    Those of the chain win over what a ``preset`` among them chooses for ``parts``, the networks that
    the command uses.
    """

    def pick(options: type, *more: str) -> dict[str, Any]:
        names = {*more, *(field.name for field in fields(options))}
        return {name: value for name, value in values.items() if name in names}

    return (
        make_options(pick(RunOptions, *PRESET_NAMES), parts=parts),
        OutputOptions(**pick(OutputOptions)),
        CommandOptions(**pick(CommandOptions)),
    )
