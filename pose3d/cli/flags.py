"""Flags from the fields of dataclasses (:func:`pose3d.options.option`).

The parser knows no defaults, so that a value from ``--config`` is told from one that was typed; the
dataclasses fill them in, and the help text reads them from there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from pose3d.errors import UsageError
from pose3d.options import CommandOptions, Flag, OutputOptions, RunOptions, check_options

Command = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagField:
    """A field with a flag."""

    kind: Any  # ``list[...]``: may be given several times
    default: Any
    flag: Flag


def read_fields(*classes: type) -> dict[str, FlagField]:
    """Returns the fields of dataclasses that have a flag, by name."""
    found = {}
    for options in classes:
        hints = get_type_hints(options)
        for field in fields(options):
            if "flag" in field.metadata:
                found[field.name] = FlagField(
                    kind=_kind_of(hints[field.name]),
                    default=field.default,
                    flag=field.metadata["flag"],
                )
    return found


def _kind_of(hint: Any) -> Any:
    """``float | None`` -> ``float``, ``tuple[str, ...]`` -> ``list[str]``."""
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    return list[get_args(hint)[0]] if get_origin(hint) is tuple else hint  # type: ignore[misc]


FLAGS = read_fields(CommandOptions, RunOptions, OutputOptions)
"""The flags of ``pose3d run``, which other commands take some of."""

STRATEGY_FLAGS = ("prune", "keep", "at", "recover", "keep_centre", "schedule")
"""Flags that change what a lifter drops and recovers."""

SMOOTHING_FLAGS = "smooth", "smooth_strength", "max_gap", "flip_test", "rate_test", "constant_bones"
"""Flags of what happens to lifted joints."""

FLAGS_2D = "detector", "keypoints", "tracker", "detect_every", "flip_test_2d", "threads"
"""Flags of the networks in front of a lifter."""

LIFTER_FLAGS = (*STRATEGY_FLAGS, "pipeline", "precision")
"""Flags that go with ``lifter`` wherever it is taken."""


def flag(help_text: str, *names: str, **settings: Any) -> Any:
    """Returns an option of a command whose help says its default itself, where it has one."""
    return typer.Option(*names, help=help_text, show_default=False, **settings)


def argument(help_text: str, **settings: Any) -> Any:
    """Returns an argument of a command whose help says its default itself, where it has one."""
    return typer.Argument(help=help_text, show_default=False, **settings)


def default_of(name: str) -> Any:
    """Returns the default of a flag of ``pose3d run``."""
    return FLAGS[name].default


def with_flags(*names: str) -> Callable[[Command], Command]:
    """Gives a command flags of ``pose3d run``; those that were typed come as a dict ``given``."""
    return _extend({name: FLAGS[name] for name in names}, "given", lambda given: given)


def with_options(options: type) -> Callable[[Command], Command]:
    """Gives a command a flag for each field of a dataclass, which it takes as ``options``."""

    def make(given: dict[str, Any]) -> Any:
        made = options(**given)
        check_options(made)
        return made

    return _extend(read_fields(options), "options", make)


def _extend(
    added: Mapping[str, FlagField], argument: str, make: Callable[[dict[str, Any]], Any]
) -> Callable[[Command], Command]:
    """Replaces one argument of a command by flags; ``make`` makes it of those that were typed."""

    def decorate(function: Command) -> Command:
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != argument]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            given = {name: values.pop(name) for name in added}
            given = {k: v for k, v in given.items() if v is not None and v != []}
            function(**values, **{argument: make(given)})

        flags = (_parameter(name, field) for name, field in added.items())
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *flags)]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(name: str, field: FlagField) -> inspect.Parameter:
    flag, kind = field.flag, field.kind
    kebab = name.replace("_", "-")
    switch = kind is bool and not flag.one_way
    declared = flag.names.split() or [f"--{kebab}/--no-{kebab}" if switch else f"--{kebab}"]
    default = _default_in_words(field)
    option = typer.Option(
        *declared,
        *([flag.short] if flag.short else []),
        help=f"{flag.help} (default: {default})" if default else flag.help,
        metavar=flag.metavar,
        show_default=False,
        rich_help_panel=flag.panel,
    )
    # An annotation for typer, not for the type checker: the type is a value here.
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _default_in_words(field: FlagField) -> str:
    """Returns what the help says of a default; nothing where there is none to speak of."""
    if field.flag.shown or field.flag.one_way or field.default in (None, ()):
        return field.flag.shown
    if field.kind is bool:
        return "on" if field.default else "off"
    return ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)


def split_list(values: Iterable[str] | str | None) -> tuple[str, ...]:
    """Reads texts separated by commas or given several times; each once, in order, no empty ones."""
    text = values if isinstance(values, str) else ",".join(values or ())
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def split_names(values: Iterable[str] | str) -> tuple[str, ...]:
    """Reads names separated by commas or given several times; each once, in order."""
    parts = (values if isinstance(values, str) else ",".join(values)).split(",")
    names = [part.strip().lower() for part in parts]
    if not all(names):
        raise UsageError("A name in --format is empty", "Write e.g. --format npz,json")
    return tuple(dict.fromkeys(names))
