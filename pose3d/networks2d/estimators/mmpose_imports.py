"""Importing MMPose 1.3.2 where its own installation fails: stand-ins for what it does not use.
Some of its dependencies cannot be installed today (chumpy, xtcocotools, mmcv) and estimating
keypoints needs none of them. MMPose is installed without dependencies, ``mmcv-lite`` takes the
place of ``mmcv``, and members of the stand-in modules can be imported and subclassed, but raise
when used."""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from pose3d.errors import MissingExtraError
from pose3d.plugins import EXTRAS, install_command, installed_version, name_of

MMPOSE = "mmpose==1.3.2"  # installed without its dependencies
# What is replaced, and what tells whether the real one works: mmcv-lite has ``mmcv.ops`` without
# its core.
_REPLACED = {"mmcv.ops": "mmcv._ext", "mmdet": "mmdet", "xtcocotools": "xtcocotools"}


def missing_commands() -> list[str]:
    """Returns the commands that are missing to use MMPose here, in order."""
    commands = []
    absent = [r for r in EXTRAS["mmpose"] if installed_version(name_of(r)) is None]
    # The full mmcv serves as well as the light one.
    if installed_version("mmcv"):
        absent = [r for r in absent if not r.startswith("mmcv-lite")]
    if absent:
        commands.append(install_command(*absent))
    if installed_version("mmpose") is None:
        commands.append(install_command("--no-deps", MMPOSE))
    return commands


def require_mmpose() -> None:
    """Raises MissingExtraError with the missing commands unless MMPose and what it needs are here."""
    commands = missing_commands()
    if commands:
        raise MissingExtraError(
            "MMPose is not installed whole", "Run " + ", then ".join(f"`{c}`" for c in commands)
        )


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within it MMPose can be imported and its models made; its log shows errors only."""
    replaced = [name for name, core in _REPLACED.items() if not _can_import(core)]
    finder = _Finder(replaced, without_pkg_resources=not _can_import("pkg_resources"))
    before = dict.fromkeys(m for m in sys.modules if finder.covers(m))
    sys.meta_path.insert(0, finder)
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
        sys.meta_path.remove(finder)
        for name in [m for m in sys.modules if finder.covers(m) and m not in before]:
            del sys.modules[name]


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins for the given modules and everything in them."""

    def __init__(self, names: Sequence[str], *, without_pkg_resources: bool) -> None:
        self._names = tuple(names)
        self._resources = without_pkg_resources

    def covers(self, name: str) -> bool:
        if name == "pkg_resources":
            return self._resources
        return any(name == n or name.startswith(f"{n}.") for n in self._names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if self.covers(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name == "pkg_resources":
            # MMEngine asks it where a package lies and, when it does not know, looks by itself.
            module.DistributionNotFound = LookupError  # type: ignore[attr-defined]
            module.get_distribution = _unknown_distribution  # type: ignore[attr-defined]
            return

        def find_member(member: str) -> Any:
            if member.startswith("__"):
                raise AttributeError(member)
            return _Inert(member, (), {"__module__": name})

        module.__getattr__ = find_member  # type: ignore[method-assign]


class _Inert(type):
    """The type of stand-ins: classes that can be imported, annotated with and subclassed only."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise _not_there(cls)

    def __getattr__(cls, member: str) -> NoReturn:
        if member.startswith("__"):
            raise AttributeError(member)
        raise _not_there(cls)


def _not_there(stand_in: type) -> MissingExtraError:
    stand_in = stand_in.__mro__[-2]  # of a class derived from it: the one that is not there
    package = stand_in.__module__.split(".")[0]
    full = {"mmcv": "mmcv (compiled, in place of mmcv-lite)"}.get(package, package)
    return MissingExtraError(
        f"This MMPose model needs {stand_in.__module__}.{stand_in.__name__}, which is not installed",
        f"Install {full}, or choose a model without it",
    )


def _unknown_distribution(name: str) -> NoReturn:
    raise LookupError(name)


def _can_import(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False
