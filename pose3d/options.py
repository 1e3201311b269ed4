"""The options of a run: one field per flag of ``pose3d run``, with the same name.

A new flag is one field here and its use: :func:`option` holds what the help text says of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pose3d.arguments import check_fields, join_numbers
from pose3d.errors import UsageError, unknown_name

RENDERS = ("side-by-side", "overlay", "3d", "none")
STYLES = ("light", "dark")
# Here and not in pose3d.lift.sequence, so that the command line knows them without loading torch.
PRUNINGS = ("cluster", "attention", "motion", "uniform", "uniform-ends")
RECOVERIES = ("attention", "refined", "nearest", "linear", "linear-tokens")
LEARNED_RECOVERIES = ("attention", "refined")
PIPELINES = ("seq2seq", "seq2frame")
TRACKERS = ("own", "bytetrack", "botsort")
NETWORKS = ("keypoints", "detector", "lifter")
PRESET_NAMES = ("preset", "allow_licence")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

_CLIP, _NETS, _3D, _OUT, _RUN = "Clip", "Networks", "3D", "Output", "Run"
_LIFTER = "What the lifter drops and recovers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How the command line shows a field."""

    help: str
    panel: str | None = None  # heading in the help text; None: the general one
    names: str = ""  # e.g. ``"--output -o"``; empty: ``--`` and the field's name
    short: str = ""
    metavar: str | None = None
    shown: str = ""  # the default in words; empty: the field's own
    one_way: bool = False  # a switch without a ``--no-`` form


def option(default: Any, help: str, panel: str | None = None, **more: Any) -> Any:
    """Returns a dataclass field with a flag; ``more`` are fields of :class:`Flag`."""
    return field(default=default, metadata={"flag": Flag(help=help, panel=panel, **more)})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """Options of the commands themselves, not of the chain or its outputs."""

    preset: str | None = option(
        None,
        "fast, balanced or best: choose networks and options from what is installed; flags typed "
        "here win. Prints what it chose and why.",
        _NETS,
        metavar="NAME",
        shown="none",
    )
    allow_licence: str | None = option(
        None,
        "What a preset may take although its licence binds: AGPL-3.0, GPL-3.0, non-commercial, "
        "unstated, separated by commas.",
        _NETS,
        metavar="NAMES",
        shown="none",
    )
    jobs: int = option(1, "Clips worked on at once, sharing the cores.", _RUN, metavar="N")
    recursive: bool = option(True, "Look into folders of folders as well.", _RUN)
    quiet: bool = option(False, "Print errors and warnings only.", _RUN, short="-q", one_way=True)
    verbose: bool = option(
        False, "Say more, e.g. how each stage ran.", _RUN, short="-v", one_way=True
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of :func:`pose3d.estimate` and ``pose3d run``; None means: as the default says."""

    person: str = option(
        "all",
        "Whom to keep: all, largest, longest, or track ids such as 1,3.",
        _CLIP,
        metavar="WHO",
    )
    start: float | None = option(
        None,
        "Begin at this time of the clip.",
        _CLIP,
        metavar="SECONDS",
        shown="the clip's start",
    )
    end: float | None = option(
        None, "Stop at this time of the clip.", _CLIP, metavar="SECONDS", shown="the clip's end"
    )
    duration: float | None = option(
        None,
        "How long to record from a camera; files ignore it.",
        _CLIP,
        metavar="SECONDS",
        shown="none",
    )
    rotate: int | None = option(
        None,
        "Turn the picture clockwise by 0, 90, 180 or 270 degrees.",
        _CLIP,
        metavar="DEGREES",
        shown="as the file says",
    )
    stream: int | None = option(
        None,
        "Which video stream of a file, counted from 0.",
        _CLIP,
        metavar="N",
        shown="the longest",
    )
    rate: float | None = option(
        None, "Frames a second of folders of images.", _CLIP, metavar="FPS", shown="30"
    )
    detector: str = option(
        "blazepose", "Person detector, see 'pose3d models'.", _NETS, metavar="NAME[:FILE]"
    )
    keypoints: str = option(
        "blazepose", "2D keypoint estimator, see 'pose3d models'.", _NETS, metavar="NAME[:FILE]"
    )
    tracker: str = option(
        "own",
        f"Who follows people: {', '.join(TRACKERS)}. The last two are ultralytics' (AGPL-3.0) and "
        "need people to be found in every frame.",
        _NETS,
        metavar="NAME",
    )
    lifter: str = option(
        "hot-mixste",
        "Lifter from 2D to 3D, see 'pose3d models', or a .safetensors file.",
        _NETS,
        metavar="NAME",
    )
    prune: str | None = option(
        None,
        f"Which frames pass the deep blocks: by {', '.join(PRUNINGS)}, or none to drop no frame.",
        _LIFTER,
        metavar="HOW",
        shown="unchanged",
    )
    keep: str | None = option(
        None,
        "How many frames of a window pass, e.g. 9, or 121,81 in two steps.",
        _LIFTER,
        metavar="N",
        shown="unchanged",
    )
    at: str | None = option(
        None,
        "Before which block the others are dropped, from 1; one for each number of --keep.",
        _LIFTER,
        metavar="BLOCK",
        shown="unchanged",
    )
    recover: str | None = option(
        None,
        f"How all frames get their answer: by {', '.join(RECOVERIES)}, or none: only the "
        "middle of a window has one (not for training).",
        _LIFTER,
        metavar="HOW",
        shown="unchanged",
    )
    keep_centre: bool | None = option(
        None, "Always let the middle of a window pass.", _LIFTER, shown="unchanged"
    )
    pipeline: str | None = option(
        None,
        "seq2seq answers for whole windows, seq2frame for the middle of one window a frame: slower.",
        _LIFTER,
        metavar="NAME",
        shown="what the weights were made for",
    )
    precision: str = option(
        "auto",
        "fp32, bf16 or fp16 matrix products; auto is fp32, the same on every machine.",
        _LIFTER,
        metavar="TYPE",
    )
    detect_every: int = option(
        15,
        "Frames between two runs of the detector; it also runs when somebody is lost.",
        _NETS,
        metavar="FRAMES",
    )
    flip_test_2d: bool = option(
        False,
        "Look for keypoints in the mirrored picture as well and average: better, 2D takes twice "
        "as long.",
        _NETS,
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.", _NETS, metavar="NAME")
    threads: int | None = option(
        None,
        "CPU threads of the 2D networks (bench lifters: of the lifter).",
        _NETS,
        metavar="N",
        shown="all cores",
    )
    offline: bool = option(False, "Never use the network.", _NETS, one_way=True)
    smooth: bool = option(True, "Smooth 2D before lifting and 3D after it.", _3D)
    smooth_strength: float = option(0.5, "0 hardly smooths, 1 very much.", _3D, metavar="0..1")
    max_gap: float = option(
        1.0, "Fill gaps up to this length; longer ones stay empty.", _3D, metavar="SECONDS"
    )
    flip_test: bool = option(
        True, "Lift the mirrored keypoints as well and average: better, slower.", _3D
    )
    rate_test: bool = option(
        True,
        "Lift at half the frame rate as well and average: better, slower; left out with "
        "--hypotheses.",
        _3D,
    )
    constant_bones: bool = option(
        True, "Give each person constant bone lengths over the clip.", _3D
    )
    place: bool = option(True, "Estimate where people stand, and the ground they stand on.", _3D)
    focal_px: float | None = option(
        None, "Focal length, if you know it.", _3D, metavar="PIXELS", shown="assumed"
    )
    height: float | None = option(
        None,
        "Stature of the people; one camera cannot see absolute size.",
        _3D,
        metavar="METRES",
        shown="1.70",
    )
    hypotheses: bool = option(
        False,
        "Also keep the other poses that the lifter holds possible and draw them as ghosts; "
        "needs a lifter trained for it.",
        _3D,
    )
    chosen_by: str | None = None
    """What chose these options, in words; only recorded. No flag."""

    def __post_init__(self) -> None:
        """Raises UsageError for values of wrong types, out of range, or that contradict each other."""
        for name in ("person", "keep", "at"):
            object.__setattr__(self, name, join_numbers(getattr(self, name)))
        check_fields(self)
        if self.detect_every < 1:
            raise UsageError(f"--detect-every is {self.detect_every}", "Give a whole number from 1")
        if not 0 <= self.smooth_strength <= 1:
            raise UsageError(f"--smooth-strength is {self.smooth_strength}", "Give 0 to 1")
        # Comparisons are written so that NaN fails them.
        if not 0 <= self.max_gap < math.inf:
            raise UsageError(f"--max-gap is {self.max_gap}", "Give seconds from 0")
        if self.start is not None and not 0 <= self.start < math.inf:
            raise UsageError(f"--start is {self.start}", "Give seconds from 0")
        if self.end is not None and not (self.start or 0.0) < self.end < math.inf:
            raise UsageError(f"--end {self.end} is not after --start", "Give a later end")
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise UsageError(f"--duration is {self.duration}", "Give seconds above 0")
        if self.rotate not in (None, 0, 90, 180, 270):
            raise UsageError(f"--rotate is {self.rotate}", "Give 0, 90, 180 or 270")
        if self.stream is not None and self.stream < 0:
            raise UsageError(f"--stream is {self.stream}", "Give a number from 0")
        if self.rate is not None and not 0.1 <= self.rate <= 1000:
            raise UsageError(f"--rate is {self.rate}", "Give frames a second from 0.1 to 1000")
        if self.focal_px is not None and not 1 <= self.focal_px <= 1e6:
            raise UsageError(f"--focal-px is {self.focal_px}", "Give pixels from 1 to 1,000,000")
        if self.height is not None and not 0.4 <= self.height <= 2.6:
            raise UsageError(f"--height is {self.height}", "Give metres from 0.4 to 2.6")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads is {self.threads}", "Give a whole number from 1")
        if self.tracker not in TRACKERS:
            raise unknown_name("tracker", self.tracker, TRACKERS)
        parse_person(self.person)
        self._check_lifting()

    def _check_lifting(self) -> None:
        """Checks what can be told of the lifter's options without its weights."""
        for kind, name, known in (
            ("pruning", self.prune, (*PRUNINGS, "none")),
            ("recovery", self.recover, (*RECOVERIES, "none")),
            ("pipeline", self.pipeline, PIPELINES),
            ("precision", self.precision, PRECISIONS),
        ):
            if name is not None and name not in known:
                raise unknown_name(kind, name, known)
        for flag, text in (("--keep", self.keep), ("--at", self.at)):
            if text is not None:
                parse_counts(flag, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Outputs of :func:`pose3d.run_batch` and ``pose3d run``."""

    output: str = option(
        "out", "Where each clip gets a folder of its own.", _OUT, short="-o", metavar="FOLDER"
    )
    format: tuple[str, ...] = option(
        ("npz", "json"),
        "Result files, separated by commas or given several times: npz, json, csv, trc, bvh, html.",
        _OUT,
        metavar="NAMES",
    )
    render: str = option(
        "side-by-side", f"The drawing: {', '.join(RENDERS)}.", _OUT, metavar="MODE"
    )
    style: str = option("light", f"Its colours: {' or '.join(STYLES)}.", _OUT, metavar="NAME")
    overwrite: bool = option(
        False, "Make everything again, whatever the folder holds.", _OUT, one_way=True
    )

    def __post_init__(self) -> None:
        """Raises UsageError for what can be judged without importing anything."""
        check_fields(self)
        if self.render not in RENDERS:
            raise unknown_name("render mode", self.render, RENDERS)
        if self.style not in STYLES:
            raise unknown_name("style", self.style, STYLES)
        if not self.format:
            raise UsageError("No format was given", "Give at least one, e.g. --format npz")


def parse_counts(flag: str, text: str) -> tuple[int, ...]:
    """Reads whole numbers from 1, separated by commas, e.g. ``"121,81"``; ``flag`` is for the error."""
    parts = text.split(",")
    if not all(p.strip().isdecimal() and int(p) >= 1 for p in parts):
        raise UsageError(
            f"{flag} {text!r} is not understood",
            f"Give whole numbers from 1, one a step, e.g. {flag} {'81' if flag == '--keep' else '3'}"
            f" or {flag} {'121,81' if flag == '--keep' else '1,2'}",
        )
    return tuple(int(p) for p in parts)


def parse_person(person: str | int | Sequence[int]) -> str | tuple[int, ...]:
    """Reads ``--person``: ``all``, ``largest`` or ``longest``, or track ids."""
    text = join_numbers(person)
    if text in ("all", "largest", "longest"):
        return str(text)
    try:
        ids = tuple(int(part) for part in text.split(","))
    except ValueError:
        ids = ()
    if not ids or min(ids) < 1:
        raise UsageError(
            f"--person {text!r} is not understood",
            "Give all, largest, longest or track ids such as 1,3",
        )
    return ids
