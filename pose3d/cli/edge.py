"""The edge between pose3d and the person at the terminal: errors, exit codes, consoles."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from pose3d.errors import Pose3DError, UsageError, naming_memory
from pose3d.files import SHORTER

if TYPE_CHECKING:
    from rich.console import Console

    from pose3d.weights.info import ModelInfo

INTERRUPTED = 130


def debugging() -> bool:
    """Tells whether tracebacks are wanted (POSE3D_DEBUG=1)."""
    return os.environ.get("POSE3D_DEBUG", "") not in ("", "0")


def print_error(error: Pose3DError) -> None:
    """Prints what happened and what to do, in one line to stderr."""
    print(f"pose3d: {error}", file=sys.stderr)


def print_warning(text: str) -> None:
    """Prints a warning to stderr."""
    print(f"pose3d: warning: {text}", file=sys.stderr)


def print_changes(info: ModelInfo) -> None:
    """Prints to stderr in what a network differs from its weights, one line each."""
    for change in info.changes:
        print(f"{info.name}: {change}", file=sys.stderr)


def edge(function: Callable[..., None]) -> Callable[..., None]:
    """Turns what a command raises into a message and exit code: 1 errors, 2 usage, 130 Ctrl-C."""

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> None:
        try:
            with naming_memory():
                function(*args, **values)
        except Pose3DError as error:
            if debugging():
                traceback.print_exc()
            print_error(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            print("pose3d: stopped.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from error
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            if debugging():
                traceback.print_exc()
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                print_error(UsageError(f"The name {error.filename} is too long", SHORTER))
                raise typer.Exit(UsageError.exit_code) from error
            todo = "Please report it with the output of 'pose3d doctor'"
            if not debugging():
                todo += " and of the same command with POSE3D_DEBUG=1"
            print_error(Pose3DError(f"Internal error ({type(error).__name__}: {error})", todo))
            raise typer.Exit(1) from error

    return command


def add_command(
    app: typer.Typer,
    name: str,
    function: Callable[..., None],
    cls: type[TyperCommand] | None = None,
) -> None:
    """Adds a command to the command line: errors become messages, its docstring the help text."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    # Lines are broken where the terminal ends, not where the source code's do.
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text, cls=cls)(edge(function))


def make_console() -> Console:
    """Returns a console on stdout that does not colour numbers and paths by itself."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)
