"""Arguments of the library, checked by the annotations that they have."""

from __future__ import annotations

import builtins
import functools
import inspect
import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from pose3d.errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")

_NO = object()
"""Stands for: the value is not of that type."""
_WORDS = {
    NoneType: "None",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "the path of a file",
}
_PLAIN = (*_WORDS, bytes, complex, list, tuple, Mapping)
"""What is never an object of a class of ours; nor is what can be ``read``."""


class _Unloaded:
    """Stands for a class that is imported for annotations only."""


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Makes a function take the arguments that its annotations name, in their types, and no others."""
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not hints:
            hints.update(_read_hints(function, signature))
        bound = signature.bind(*args, **kwargs)
        for name in bound.arguments.keys() & hints.keys():
            bound.arguments[name] = check_value(name, bound.arguments[name], hints[name])
        return function(*bound.args, **bound.kwargs)

    return call


def check_fields(options: Any) -> None:
    """Brings the fields of a frozen dataclass into their types, or raises UsageError."""
    hints = get_type_hints(type(options))
    for field in fields(options):
        value = check_value(field.name, getattr(options, field.name), hints[field.name])
        object.__setattr__(options, field.name, value)


def check_value(name: str, value: Any, hint: Any) -> Any:
    """Returns a value in the type of an annotation, where its meaning is clear.

    Whole numbers are numbers, NumPy's too; paths and torch devices are text where text is wanted; lists
    are tuples. Numbers written as text are text.

    Raises:
        UsageError: it means nothing there; names the argument.
    """
    fitted = fit(value, hint)
    if fitted is _NO:
        plain = isinstance(value, (*_PLAIN, Real)) and not isinstance(value, NoneType)
        shown = f"{reprlib.repr(value)} ({type(value).__name__})" if plain else _name(value)
        raise UsageError(f"{name} is {shown}", f"Give {_in_words(hint)}")
    return fitted


def join_numbers(value: Any) -> Any:
    """Turns a whole number or several into text, ``[1, 3]`` into ``"1,3"``; leaves all else alone."""
    numbers = fit(value, int | Sequence[int])
    if numbers is _NO:
        return value
    return str(numbers) if isinstance(numbers, int) else ",".join(map(str, numbers))


def fit(value: Any, hint: Any) -> Any:
    """Returns a value in the type of an annotation, or :data:`_NO`."""
    kind = get_origin(hint) or hint
    if kind in (Union, UnionType):
        # What has a type of its own keeps it.
        parts = sorted(get_args(hint), key=lambda part: part not in (Path, Fraction))
        return next((f for f in (fit(value, part) for part in parts) if f is not _NO), _NO)
    if kind in _FITS:
        return _FITS[kind](value)
    if kind is tuple or kind is Sequence:
        return _fit_items(value, kind, get_args(hint))
    if kind is Iterable:  # its items are seen when they are taken
        fits = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
        return value if fits and not hasattr(value, "read") else _NO
    if kind is Callable:
        return value if callable(value) else _NO
    if kind is _Unloaded or getattr(kind, "_is_protocol", False):
        fits = type(value) is not object and not isinstance(value, (*_PLAIN, Real))
        return value if fits and not hasattr(value, "read") else _NO
    return value if isinstance(value, kind) else _NO


def _fit_items(value: Any, kind: Any, hints: tuple[Any, ...]) -> Any:
    """Fits ``tuple[A, ...]``, ``tuple[A, B]`` and ``Sequence[A]``; one text is a tuple of texts."""
    if isinstance(value, str) and hints == (str, ...):
        return (value,)
    if hasattr(value, "tolist"):  # arrays
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return _NO
    if kind is Sequence or hints[-1] is ...:
        hints = hints[:1] * len(value)
    if len(hints) != len(value):
        return _NO
    fitted = tuple(map(fit, value, hints))
    return _NO if any(item is _NO for item in fitted) else fitted


def _fit_text(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.device):
        return str(value)
    return value if isinstance(value, str) else _NO


def _fit_path(value: Any) -> Any:
    fits = isinstance(value, os.PathLike) and isinstance(os.fspath(value), str)
    return Path(value) if fits else _NO


def _fit_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else _NO
    except OverflowError:
        return _NO


def _fit_whole(value: Any) -> Any:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    number = _fit_number(value)
    return int(number) if number is not _NO and number.is_integer() else _NO


def _fit_switch(value: Any) -> Any:
    is_numpy = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    return bool(value) if isinstance(value, bool) or is_numpy else _NO


_FITS: dict[Any, Callable[[Any], Any]] = {
    Any: lambda value: value,
    str: _fit_text,
    Path: _fit_path,
    float: _fit_number,
    int: _fit_whole,
    bool: _fit_switch,
}


def _read_hints(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Returns the annotations of a function's parameters, evaluated."""

    class Names(dict[str, Any]):
        def __missing__(self, name: str) -> type:
            return _Unloaded

    names = Names({**vars(builtins), **vars(sys.modules[function.__module__])})
    return {
        name: eval(parameter.annotation, {}, names)
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, str) and parameter.kind is not parameter.VAR_KEYWORD
    }


def _name(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _in_words(hint: Any) -> str:
    """Returns what an annotation allows, e.g. ``"a number or None"``."""
    kind, args = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        # A path may be text.
        words = dict.fromkeys(_in_words(a) for a in args if not (a is str and Path in args))
        *first, last = words
        return f"{', '.join(first)} or {last}" if first else last
    if kind is tuple and args[-1] is not ...:
        return f"({', '.join(_in_words(a) for a in args)})"
    if kind in (tuple, Sequence, Iterable):
        return f"a list, each {_in_words(args[0])}"
    if kind is Callable:
        return "a function"
    if hasattr(kind, "dim_str"):  # jaxtyping
        return f"an array ({kind.dim_str})"
    return _WORDS.get(kind) or f"a {kind.__name__.lstrip('_')}"
