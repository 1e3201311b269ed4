"""Options from a TOML file and from the command line, put together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pose3d.arguments import check_value
from pose3d.cli.flags import FLAGS, split_names
from pose3d.errors import UsageError, unknown_name
from pose3d.options import NETWORKS, PRESET_NAMES, CommandOptions, OutputOptions, RunOptions
from pose3d.parts.presets import make_options


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
    hint = str | Sequence[str] if kind == list[str] else kind
    return check_value(f"{name.replace('_', '-')} in {path}", value, hint)


def merge_config(given: Mapping[str, Any], config: Path | None) -> dict[str, Any]:
    """Returns options by name: flags that were typed, and those of the file."""
    merged = {**(read_config(config) if config is not None else {}), **given}
    if "format" in merged:
        merged["format"] = split_names(merged["format"])
    return merged


def split_options(
    values: Mapping[str, Any], *, parts: tuple[str, ...] = NETWORKS
) -> tuple[RunOptions, OutputOptions, CommandOptions]:
    """Sorts options into those of chain, outputs and command; ``parts``: networks used."""

    def pick(options: type, *more: str) -> dict[str, Any]:
        names = {*more, *(field.name for field in fields(options))}
        return {name: value for name, value in values.items() if name in names}

    return (
        make_options(pick(RunOptions, *PRESET_NAMES), parts=parts),
        OutputOptions(**pick(OutputOptions)),
        CommandOptions(**pick(CommandOptions)),
    )
