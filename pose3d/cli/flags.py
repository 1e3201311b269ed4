"""The flags of ``pose3d run`` and its relatives: one table, used by every command that has them.

Defaults are not written here. The parser knows none, so that a value from ``--config`` is told from
one that was typed; :class:`~pose3d.options.RunOptions` and
:class:`~pose3d.options.OutputOptions` fill them in, and the help text reads them from there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any

import typer

from pose3d.errors import UsageError
from pose3d.options import (
    PRESET_NAMES,
    PRUNINGS,
    RECOVERIES,
    RENDERS,
    STYLES,
    TRACKERS,
    OutputOptions,
    RunOptions,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag.

    Args:
        kind: type of its value.
        help: one or two sentences.
        panel: heading in the help text.
        short: one-letter form.
        metavar: what stands for the value in the help text.
        default: in words, where the options know none.
    """

    kind: type
    help: str
    panel: str
    short: str = ""
    metavar: str | None = None
    default: str = ""


_CLIP, _NETS, _3D, _OUT, _RUN = "Clip", "Networks", "3D", "Output", "Run"
_LIFTER = "What the lifter drops and recovers"

FLAGS: dict[str, Flag] = {
    "preset": Flag(
        kind=str,
        panel=_NETS,
        metavar="NAME",
        default="none",
        help="fast, balanced or best: choose networks and options from what is installed; flags typed "
        "here win. Prints what it chose and why.",
    ),
    "allow_licence": Flag(
        kind=str,
        panel=_NETS,
        metavar="NAMES",
        default="none",
        help="What a preset may take although its licence binds: AGPL-3.0, GPL-3.0, non-commercial, "
        "unstated, separated by commas.",
    ),
    "person": Flag(
        kind=str,
        panel=_CLIP,
        metavar="WHO",
        help="Whom to keep: all, largest, longest, or track ids such as 1,3.",
    ),
    "start": Flag(
        kind=float,
        panel=_CLIP,
        metavar="SECONDS",
        default="the clip's start",
        help="Begin at this time of the clip.",
    ),
    "end": Flag(
        kind=float,
        panel=_CLIP,
        metavar="SECONDS",
        default="the clip's end",
        help="Stop at this time of the clip.",
    ),
    "duration": Flag(
        kind=float,
        panel=_CLIP,
        metavar="SECONDS",
        default="none",
        help="How long to record from a camera; files ignore it.",
    ),
    "rotate": Flag(
        kind=int,
        panel=_CLIP,
        metavar="DEGREES",
        default="as the file says",
        help="Turn the picture clockwise by 0, 90, 180 or 270 degrees.",
    ),
    "detector": Flag(
        kind=str, panel=_NETS, metavar="NAME[:FILE]", help="Person detector, see 'pose3d models'."
    ),
    "keypoints": Flag(
        kind=str,
        panel=_NETS,
        metavar="NAME[:FILE]",
        help="2D keypoint estimator, see 'pose3d models'.",
    ),
    "tracker": Flag(
        kind=str,
        panel=_NETS,
        metavar="NAME",
        help=f"Who follows people: {', '.join(TRACKERS)}. The last two are ultralytics' (AGPL-3.0) and "
        "need people to be found in every frame.",
    ),
    "lifter": Flag(
        kind=str,
        panel=_NETS,
        metavar="NAME",
        help="Lifter from 2D to 3D, see 'pose3d models', or a .safetensors file.",
    ),
    "prune": Flag(
        kind=str,
        panel=_LIFTER,
        metavar="HOW",
        default="unchanged",
        help=f"Which frames pass the deep blocks: by {', '.join(PRUNINGS)}, or none to drop no frame.",
    ),
    "keep": Flag(
        kind=str,
        panel=_LIFTER,
        metavar="N",
        default="unchanged",
        help="How many frames of a window pass, e.g. 9, or 121,81 in two steps.",
    ),
    "at": Flag(
        kind=str,
        panel=_LIFTER,
        metavar="BLOCK",
        default="unchanged",
        help="Before which block the others are dropped, from 1; one for each number of --keep.",
    ),
    "recover": Flag(
        kind=str,
        panel=_LIFTER,
        metavar="HOW",
        default="unchanged",
        help=f"How all frames get their answer: by {', '.join(RECOVERIES)}, or none: only the "
        "middle of a window has one (not for training).",
    ),
    "keep_centre": Flag(
        kind=bool,
        panel=_LIFTER,
        default="unchanged",
        help="Always let the middle of a window pass.",
    ),
    "pipeline": Flag(
        kind=str,
        panel=_LIFTER,
        metavar="NAME",
        default="what the weights were made for",
        help="seq2seq answers for whole windows, seq2frame for the middle of one window a frame: "
        "slower.",
    ),
    "precision": Flag(
        kind=str,
        panel=_LIFTER,
        metavar="TYPE",
        help="fp32, bf16 or fp16 matrix products; auto is fp32, the same on every machine.",
    ),
    "detect_every": Flag(
        kind=int,
        panel=_NETS,
        metavar="FRAMES",
        help="Frames between two runs of the detector; it also runs when somebody is lost.",
    ),
    "flip_test_2d": Flag(
        kind=bool,
        panel=_NETS,
        help="Look for keypoints in the mirrored picture as well and average: better, 2D takes twice "
        "as long.",
    ),
    "device": Flag(kind=str, panel=_NETS, metavar="NAME", help="auto, cpu, cuda, cuda:N or mps."),
    "threads": Flag(
        kind=int,
        panel=_NETS,
        metavar="N",
        default="all cores",
        help="CPU threads of the 2D networks (bench lifters: of the lifter).",
    ),
    "offline": Flag(kind=bool, panel=_NETS, help="Never use the network."),
    "smooth": Flag(kind=bool, panel=_3D, help="Smooth 2D before lifting and 3D after it."),
    "smooth_strength": Flag(
        kind=float, panel=_3D, metavar="0..1", help="0 hardly smooths, 1 very much."
    ),
    "max_gap": Flag(
        kind=float,
        panel=_3D,
        metavar="SECONDS",
        help="Fill gaps up to this length; longer ones stay empty.",
    ),
    "flip_test": Flag(
        kind=bool,
        panel=_3D,
        help="Lift the mirrored keypoints as well and average: better, slower.",
    ),
    "rate_test": Flag(
        kind=bool,
        panel=_3D,
        help="Lift at half the frame rate as well and average: better, slower; left out with "
        "--hypotheses.",
    ),
    "constant_bones": Flag(
        kind=bool, panel=_3D, help="Give each person constant bone lengths over the clip."
    ),
    "place": Flag(
        kind=bool, panel=_3D, help="Estimate where people stand, and the ground they stand on."
    ),
    "focal_px": Flag(
        kind=float,
        panel=_3D,
        metavar="PIXELS",
        default="assumed",
        help="Focal length, if you know it.",
    ),
    "height": Flag(
        kind=float,
        panel=_3D,
        metavar="METRES",
        default="1.70",
        help="Stature of the people; one camera cannot see absolute size.",
    ),
    "hypotheses": Flag(
        kind=bool,
        panel=_3D,
        help="Also keep the other poses that the lifter holds possible and draw them as ghosts; "
        "needs a lifter trained for it.",
    ),
    "output": Flag(
        kind=str,
        panel=_OUT,
        short="-o",
        metavar="FOLDER",
        help="Where each clip gets a folder of its own.",
    ),
    "format": Flag(
        kind=list,
        panel=_OUT,
        metavar="NAMES",
        help="Result files, separated by commas or given several times: npz, json, csv, trc, bvh.",
    ),
    "render": Flag(
        kind=str, panel=_OUT, metavar="MODE", help=f"The drawing: {', '.join(RENDERS)}."
    ),
    "style": Flag(
        kind=str, panel=_OUT, metavar="NAME", help=f"Its colours: {' or '.join(STYLES)}."
    ),
    "overwrite": Flag(
        kind=bool, panel=_OUT, help="Make everything again, whatever the folder holds."
    ),
    "jobs": Flag(
        kind=int, panel=_RUN, metavar="N", help="Clips worked on at once, sharing the cores."
    ),
    "recursive": Flag(kind=bool, panel=_RUN, help="Look into folders of folders as well."),
    "quiet": Flag(kind=bool, panel=_RUN, short="-q", help="Print errors and warnings only."),
    "verbose": Flag(kind=bool, panel=_RUN, short="-v", help="Say more, e.g. how each stage ran."),
}
"""Every flag by the name of its field, in the order of the help text."""

STRATEGY_FLAGS = ("prune", "keep", "at", "recover", "keep_centre")
"""Flags that change what a lifter drops and recovers."""

LIFTER_FLAGS = (*STRATEGY_FLAGS, "pipeline", "precision")
"""Flags that go with ``lifter`` wherever it is taken."""

RUN_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(PRESET_NAMES),
    "jobs": 1,
    "recursive": True,
    "quiet": False,
    "verbose": False,
}
"""Defaults of the flags that are fields of nothing."""

_ONE_WAY = ("overwrite", "offline", "quiet", "verbose")
"""Switches without a ``--no-`` form."""


def default_of(name: str) -> Any:
    """Returns the default of a flag from the options that it belongs to."""
    for options in (RunOptions, OutputOptions):
        for field in fields(options):
            if field.name == name:
                assert field.default is not MISSING
                return field.default
    return RUN_DEFAULTS[name]


def with_flags(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command flags of the table.

    The command takes them as one dictionary ``given``, which holds those that were typed.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "given"]
        added = [_parameter(name) for name in names]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            given = {k: v for k, v in given.items() if v is not None and v != []}
            function(**values, given=given)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *added]]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(name: str) -> inspect.Parameter:
    flag, default = FLAGS[name], default_of(name)
    kebab = name.replace("_", "-")
    declared = [f"--{kebab}"]
    shown = flag.default or str(default)
    kind: Any = flag.kind
    if kind is bool:
        shown = flag.default or ("on" if default else "off")
        if name not in _ONE_WAY:
            declared = [f"--{kebab}/--no-{kebab}"]
    if kind is list:
        kind, shown = list[str], ",".join(default)
    declared += [flag.short] if flag.short else []
    option = typer.Option(
        *declared,
        help=flag.help if name in _ONE_WAY else f"{flag.help} (default: {shown})",
        metavar=flag.metavar,
        show_default=False,
        rich_help_panel=flag.panel,
    )
    # An annotation for typer, not for the type checker: kind is a value here.
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def split_names(values: list[str] | str | tuple[str, ...]) -> tuple[str, ...]:
    """Reads names separated by commas or given several times; each once, in order.

    Raises:
        UsageError: a name is empty.
    """
    parts = values.split(",") if isinstance(values, str) else ",".join(values).split(",")
    names = [part.strip().lower() for part in parts]
    if not all(names):
        raise UsageError("A name in --format is empty", "Write e.g. --format npz,json")
    return tuple(dict.fromkeys(names))
