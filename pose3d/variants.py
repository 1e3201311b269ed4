"""Exchangeable parts by name: the hand-written tables, and those that other packages add.

A package adds a part through the entry-point group ``pose3d``, under ``<kind>.<name>``, e.g.
``detector.mine = "mypackage.mine:MyDetector"``. Built-in names cannot be replaced.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pose3d.errors import MissingExtraError, UsageError, unknown_name

GROUP = "pose3d"


def find_variants(kind: str, table: Mapping[str, str]) -> dict[str, str]:
    """Returns every variant of a kind: name -> ``"module:Class"``.

    Args:
        kind: ``detector``, ``keypoints``, ``lifter`` or ``exporter``.
        table: the built-in ones.
    """
    prefix = f"{kind}."
    added = {
        point.name[len(prefix) :]: point.value
        for point in entry_points(group=GROUP)
        if point.name.startswith(prefix)
    }
    return {**added, **table}


def load_variant(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """Imports and returns the class behind a name.

    Args:
        kind: as in :func:`find_variants`; also names the part in messages.
        name: what the user asked for.
        table: the built-in ones.

    Raises:
        UsageError: there is no variant of that name, or its entry names nothing.
        MissingExtraError: the module needs a package that is not installed.
    """
    known = find_variants(kind, table)
    if name not in known:
        raise unknown_name(kind, name, known)
    module_name, _, class_name = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The {kind} {name!r} needs the package {error.name!r}",
            f"Install the package that provides it, e.g. pip install 'pose3d[{name}]'",
        ) from error
    except AttributeError as error:
        raise UsageError(
            f"The {kind} {name!r} is entered as {known[name]!r}, which does not exist",
            "Fix the entry point of the package that adds it",
        ) from error
