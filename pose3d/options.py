"""The options of a run: one field per flag of ``pose3d run``, with the same name.

A new flag is one field here and its use: :func:`option` holds what the help text says of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from pose3d.arguments import check_fields, join_numbers
from pose3d.errors import UsageError, unknown_name

RENDERS = ("side-by-side", "overlay", "3d", "none")
STYLES = ("light", "dark")
ENCODERS = ("x264", "hardware")
# Here and not in pose3d.lift.sequence, so that the command line knows them without loading torch.
PRUNINGS = ("cluster", "attention", "motion", "uniform", "uniform-ends")
RECOVERIES = ("attention", "refined", "nearest", "linear", "linear-tokens")
LEARNED_RECOVERIES = ("attention", "refined")
SCHEDULES = ("h2ot",)
PIPELINES = ("seq2seq", "seq2frame")
TRACKERS = ("own", "bytetrack", "botsort")
NETWORKS = ("keypoints", "detector", "lifter")
ENGINES = ("local", "ray")
PRESET_NAMES = ("preset", "allow_licence")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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
    least: float | None = None  # smallest value
    most: float = math.inf  # largest value; infinity itself is refused
    choices: tuple[str, ...] = ()
    noun: str = ""  # what the choices are, for the error; empty: the field's name


def option(default: Any, help: str, panel: str | None = None, **more: Any) -> Any:
    """Returns a dataclass field with a flag; ``more`` are fields of :class:`Flag`."""
    return field(default=default, metadata={"flag": Flag(help=help, panel=panel, **more)})


def check_options(options: Any) -> None:
    """Raises UsageError for values of wrong types, or that their flags do not allow."""
    check_fields(options)
    for one in fields(options):
        value, flag = getattr(options, one.name), one.metadata.get("flag")
        if flag is None or value is None:
            continue
        if flag.choices and value not in flag.choices:
            raise unknown_name(flag.noun or one.name, value, flag.choices)
        # Written so that NaN fails it.
        if flag.least is not None and not (flag.least <= value <= flag.most and value < math.inf):
            number = "a whole number" if isinstance(value, int) else "a number"
            most = "" if flag.most == math.inf else f" to {flag.most:,g}"
            raise UsageError(
                f"--{one.name.replace('_', '-')} is {value}",
                f"Give {number} from {flag.least:g}{most}",
            )


_clip, _networks, _3d, _output, _run = (
    partial(option, panel=panel) for panel in ("Clip", "Networks", "3D", "Output", "Run")
)
_lifter = partial(option, panel="What the lifter drops and recovers", shown="unchanged")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """Options of the commands themselves, not of the chain or its outputs."""

    preset: str | None = _networks(
        None,
        "fast, balanced or best: choose networks and options from what is installed; flags typed "
        "here win. Prints what it chose and why.",
        metavar="NAME",
    )
    allow_licence: str | None = _networks(
        None,
        "What a preset may take although its licence binds: AGPL-3.0, GPL-3.0, non-commercial, "
        "unstated, separated by commas.",
        metavar="NAMES",
    )
    jobs: int | None = _run(
        None,
        "Clips worked on at once, sharing the cores.",
        metavar="N",
        shown="one for every two cores; with --engine ray as many as the cluster has room for",
    )
    shard: str | None = _run(
        None,
        "Only this share of the clips, e.g. 3/16, or auto in a job array of Slurm (auto/16: in an "
        "indexed job of Kubernetes); all shares together are all clips, each once.",
        metavar="K/N",
        shown="all clips",
    )
    engine: str = _run(
        "local",
        "local: this machine; ray: workers of a Ray cluster, each with a core or a GPU.",
        metavar="NAME",
        choices=ENGINES,
    )
    ray_address: str | None = _run(
        None,
        "Address of the Ray cluster.",
        metavar="ADDRESS",
        shown="as RAY_ADDRESS says, else Ray is started on this machine",
    )
    recursive: bool = _run(True, "Look into folders of folders as well.")
    quiet: bool = _run(False, "Print errors and warnings only.", short="-q", one_way=True)
    verbose: bool = _run(False, "Say more, e.g. how each stage ran.", short="-v", one_way=True)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of :func:`pose3d.estimate` and ``pose3d run``; None means: as the default says."""

    person: str = _clip(
        "all", "Whom to keep: all, largest, longest, or track ids such as 1,3.", metavar="WHO"
    )
    start: float | None = _clip(
        None,
        "Begin at this time of the clip.",
        metavar="SECONDS",
        shown="the clip's start",
        least=0,
    )
    end: float | None = _clip(
        None, "Stop at this time of the clip.", metavar="SECONDS", shown="the clip's end"
    )
    duration: float | None = _clip(
        None, "How long to record from a camera; files ignore it.", metavar="SECONDS"
    )
    rotate: int | None = _clip(
        None,
        "Turn the picture clockwise by 0, 90, 180 or 270 degrees.",
        metavar="DEGREES",
        shown="as the file says",
    )
    stream: int | None = _clip(
        None,
        "Which video stream of a file, counted from 0.",
        metavar="N",
        shown="the longest",
        least=0,
    )
    rate: float | None = _clip(
        None,
        "Frame rate of folders of images.",
        metavar="FPS",
        shown="30",
        least=0.1,
        most=1000,
    )
    partial_people: bool = _clip(
        False,
        "Also keep people of whom only head and shoulders are ever in view: their other joints are "
        "inventions.",
    )
    detector: str = _networks(
        "blazepose", "Person detector, see 'pose3d models'.", metavar="NAME[:FILE]"
    )
    keypoints: str = _networks(
        "blazepose", "2D keypoint estimator, see 'pose3d models'.", metavar="NAME[:FILE]"
    )
    tracker: str = _networks(
        "own",
        f"Who follows people: {', '.join(TRACKERS)}. The last two are ultralytics' (AGPL-3.0) and "
        "need people to be found in every frame.",
        metavar="NAME",
        choices=TRACKERS,
    )
    lifter: str = _networks(
        "hot-mixste",
        "Lifter from 2D to 3D, see 'pose3d models', or a .safetensors file.",
        metavar="NAME",
    )
    prune: str | None = _lifter(
        None,
        f"Which frames pass the deep blocks: by {', '.join(PRUNINGS)}, or none to drop no frame.",
        metavar="HOW",
        choices=(*PRUNINGS, "none"),
        noun="pruning",
    )
    keep: str | None = _lifter(
        None, "How many frames of a window pass, e.g. 9, or 121,81 in two steps.", metavar="N"
    )
    at: str | None = _lifter(
        None,
        "Before which block the others are dropped, from 1; one for each number of --keep.",
        metavar="BLOCK",
    )
    recover: str | None = _lifter(
        None,
        f"How all frames get their answer: by {', '.join(RECOVERIES)}, or none: only the "
        "middle of a window has one (not for training).",
        metavar="HOW",
        choices=(*RECOVERIES, "none"),
        noun="recovery",
    )
    keep_centre: bool | None = _lifter(None, "Always let the middle of a window pass.")
    schedule: str | None = _lifter(
        None,
        "All of this as in a paper: h2ot passes half of the frames, later a quarter, evenly, with "
        "straight lines between results; --prune and --recover typed beside it win.",
        metavar="NAME",
        choices=SCHEDULES,
    )
    pipeline: str | None = _lifter(
        None,
        "seq2seq answers for whole windows, seq2frame for the middle of one window a frame: slower.",
        metavar="NAME",
        shown="what the weights were made for",
        choices=PIPELINES,
    )
    precision: str = _lifter(
        "auto",
        "fp32, bf16 or fp16 matrix products; auto is fp32, the same on every machine.",
        metavar="TYPE",
        shown="auto",
        choices=PRECISIONS,
    )
    detect_every: int = _networks(
        15,
        "Frames between two runs of the detector; it also runs when somebody is lost.",
        metavar="FRAMES",
        least=1,
    )
    flip_test_2d: bool = _networks(
        False,
        "Look for keypoints in the mirrored picture as well and average: better, 2D takes twice "
        "as long.",
    )
    device: str = _networks("auto", "auto, cpu, cuda, cuda:N or mps.", metavar="NAME")
    threads: int | None = _networks(
        None,
        "CPU threads of the 2D networks (bench lifters: of the lifter).",
        metavar="N",
        shown="all cores",
        least=1,
    )
    offline: bool = _networks(False, "Never use the network.", one_way=True)
    smooth: bool = _3d(True, "Smooth 2D before lifting and 3D after it.")
    smooth_strength: float = _3d(
        0.5, "0 hardly smooths, 1 very much.", metavar="0..1", least=0, most=1
    )
    max_gap: float = _3d(
        1.0, "Fill gaps up to this length; longer ones stay empty.", metavar="SECONDS", least=0
    )
    flip_test: bool = _3d(True, "Lift the mirrored keypoints as well and average: better, slower.")
    rate_test: bool = _3d(
        True,
        "Lift at half the frame rate as well and average: better, slower; left out with "
        "--hypotheses and weights of one rate (imported ones).",
    )
    constant_bones: bool = _3d(True, "Give each person constant bone lengths over the clip.")
    place: bool = _3d(True, "Estimate where people stand, and the ground they stand on.")
    focal_px: float | None = _3d(
        None,
        "Focal length, in pixels of the picture as shown.",
        metavar="PIXELS",
        shown="of NAME.camera.json or the clip's metadata, else assumed",
        least=1,
        most=1e6,
    )
    focal_35mm: float | None = _3d(
        None,
        "The same as a lens on 35-mm film with the same diagonal angle of view.",
        metavar="MM",
        shown="as --focal-px",
        least=4,
        most=4000,
    )
    height: float | None = _3d(
        None,
        "Stature of the people; one camera cannot see absolute size.",
        metavar="METRES",
        shown="1.70",
        least=0.4,
        most=2.6,
    )
    hypotheses: bool = _3d(
        False,
        "Also keep the other poses that the lifter holds possible and draw them as ghosts; "
        "needs a lifter trained for it.",
    )
    chosen_by: str | None = None
    """What chose these options, in words; only recorded. No flag."""

    def __post_init__(self) -> None:
        """Raises UsageError for values that mean nothing, or that contradict each other."""
        for name in ("person", "keep", "at"):
            object.__setattr__(self, name, join_numbers(getattr(self, name)))
        check_options(self)
        if self.end is not None and not (self.start or 0.0) < self.end < math.inf:
            raise UsageError(f"--end {self.end} is not after --start", "Give a later end")
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise UsageError(f"--duration is {self.duration}", "Give seconds above 0")
        if self.rotate not in (None, 0, 90, 180, 270):
            raise UsageError(f"--rotate is {self.rotate}", "Give 0, 90, 180 or 270")
        if self.focal_px is not None and self.focal_35mm is not None:
            raise UsageError("--focal-px and --focal-35mm say the same", "Give one of them")
        if self.schedule is not None and (self.keep or self.at or self.prune == "none"):
            raise UsageError(
                f"--schedule {self.schedule} says how many frames pass which block",
                "Leave --keep, --at and --prune none out, or --schedule",
            )
        parse_person(self.person)
        parse_counts("--keep", self.keep)
        parse_counts("--at", self.at, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Outputs of :func:`pose3d.run_batch` and ``pose3d run``."""

    output: str = _output(
        "out",
        "Where each clip gets a folder of its own: a folder, or an address such as s3://bucket/out.",
        short="-o",
        metavar="FOLDER",
    )
    format: tuple[str, ...] = _output(
        ("npz", "json"),
        "Result files, separated by commas or given several times; 'pose3d export' lists them.",
        metavar="NAMES",
    )
    render: str = _output(
        "side-by-side",
        f"The drawing: {', '.join(RENDERS)}.",
        metavar="MODE",
        choices=RENDERS,
        noun="render mode",
    )
    style: str = _output(
        "light", f"Its colours: {' or '.join(STYLES)}.", metavar="NAME", choices=STYLES
    )
    render_height: int = _output(
        540,
        "Height of its panels; smaller videos are not enlarged.",
        metavar="PIXELS",
        least=240,
        most=4320,
    )
    encoder: str = _output(
        "x264", "Its encoder: x264, or hardware where any works.", metavar="NAME", choices=ENCODERS
    )
    overwrite: bool = _output(False, "Make everything again, whatever is there.", one_way=True)

    def __post_init__(self) -> None:
        """Raises UsageError for what can be judged without importing anything."""
        check_options(self)
        if not self.format:
            raise UsageError("No format was given", "Give at least one, e.g. --format npz")


def parse_counts(flag: str, text: str | None, *, least: int = 1) -> tuple[int, ...] | None:
    """Reads whole numbers separated by commas, e.g. ``"121,81"``; ``flag`` is for the error."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(p.strip().isdecimal() and int(p) >= least for p in parts):
        raise UsageError(
            f"{flag} {text!r} is not understood",
            f"Give whole numbers from {least}, e.g. {flag} 3, or {flag} 1,2 for two steps",
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
