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

EXTRAS = {"onnxruntime": "rtmpose", "ultralytics": "yolo", "timm": "tokenpose"}
"""Package that built-in parts need -> the extra of pose3d that brings it."""


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
        package = (error.name or "").partition(".")[0]
        how = f"pip install 'pose3d[{EXTRAS[package]}]'" if package in EXTRAS else ""
        raise MissingExtraError(
            f"The {kind} {name!r} needs the package {error.name!r}",
            f"Run {how or f'pip install {package}'}",
        ) from error
    except AttributeError as error:
        raise UsageError(
            f"The {kind} {name!r} is entered as {known[name]!r}, which does not exist",
            "Fix the entry point of the package that adds it",
        ) from error


def make_variant(kind: str, flag: str, name: str, table: Mapping[str, str], **options: Any) -> Any:
    """Makes the part behind ``NAME`` or ``NAME:ARGUMENT``.

    A class that takes more than its name says so in ``ARGUMENT``, e.g. ``"FILE.onnx"``: the words
    that stand behind the colon. It gets them as ``argument`` (None where there is no colon).

    Args:
        kind: as in :func:`find_variants`.
        flag: of the command line, for messages.
        name: what the user asked for.
        table: the built-in parts.
        options: given to the class.

    Raises:
        UsageError: there is no part of that name, or it takes no argument, or none is given.
        MissingExtraError: it needs a package that is not installed.
    """
    base, colon, argument = name.partition(":")
    made_by = load_variant(kind, base, table)
    wanted: str | None = getattr(made_by, "ARGUMENT", None)
    if wanted is not None:
        if colon and not argument:
            raise UsageError(f"{flag} {name!r} ends after the colon", f"Write {base}:{wanted}")
        options["argument"] = argument or None
    elif colon:
        raise UsageError(
            f"The {kind} {base!r} takes nothing behind a colon, but got {argument!r}",
            f"Write {flag} {base}",
        )
    return made_by(**options)
