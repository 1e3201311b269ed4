"""The options of a run: one field per flag of ``pose3d run``, with the same name."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of :func:`pose3d.estimate` and ``pose3d run``.

    Args:
        detector: name in the detector table.
        keypoints: name in the 2D estimator table.
        tracker: who follows people: one of ``TRACKERS``; all but ``own`` are ultralytics'.
        lifter: name of lifter weights, ``arch`` or ``arch.tag``.
        prune: how the lifter drops frames: one of ``PRUNINGS``, or ``none``; None: as its weights.
        keep: frames that it keeps, one number a step, e.g. ``"9"`` or ``"121,81"``; None: as its
            weights.
        at: blocks before which it drops them, as many as ``keep``; None: as its weights.
        recover: how it answers for all frames: one of ``RECOVERIES``, or ``none`` (only the frame in
            the middle of a window comes out); None: as its weights.
        keep_centre: whether the frame in the middle is always kept; None: as its weights.
        pipeline: ``seq2seq`` or ``seq2frame``; None: what the weights were made for.
        precision: of the lifter's matrix products; ``auto`` is ``fp32``.
        person: ``all``, ``largest``, ``longest`` or track ids separated by commas.
        start: seconds into the clip where to begin; None: its start.
        end: seconds into the clip where to stop (exclusive); None: its end.
        duration: seconds to record from a camera; files ignore it.
        detect_every: frames between two runs of the detector (it also runs when a track is lost).
        smooth: smooth 2D before lifting and 3D after it.
        smooth_strength: 0 (hardly) to 1 (very); 0.5 follows fast motion closely.
        max_gap: seconds without a detection that are interpolated; longer gaps stay empty.
        flip_test_2d: also look for the keypoints in the mirrored picture and average; not for networks
            that find people themselves.
        flip_test: lift the mirrored keypoints as well and average.
        rate_test: lift at half the frame rate as well and average, where the lifter knows that rate;
            left out with ``hypotheses``, which come in no order.
        constant_bones: give each person constant bone lengths over the clip.
        place: estimate where people stand and the ground plane (needs a focal length).
        focal_px: focal length in pixels; None: assumed from the picture size, and said so.
        height: stature of the people in metres; None: 1.70 is assumed.
        hypotheses: also keep and draw the other poses that the lifter holds possible; needs a lifter
            that has them.
        rotate: clockwise degrees to turn the picture by; None: as the file says.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads of the 2D networks; None: all cores.
        offline: never use the network.
        chosen_by: what chose these options, in words; only recorded. Written by
            :func:`pose3d.parts.presets.choose_options`, no flag.
    """

    detector: str = "blazepose"
    keypoints: str = "blazepose"
    tracker: str = "own"
    lifter: str = "hot-mixste"
    prune: str | None = None
    keep: str | None = None
    at: str | None = None
    recover: str | None = None
    keep_centre: bool | None = None
    pipeline: str | None = None
    precision: str = "auto"
    person: str = "all"
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    detect_every: int = 15
    smooth: bool = True
    smooth_strength: float = 0.5
    max_gap: float = 1.0
    flip_test_2d: bool = False
    flip_test: bool = True
    rate_test: bool = True
    constant_bones: bool = True
    place: bool = True
    focal_px: float | None = None
    height: float | None = None
    hypotheses: bool = False
    rotate: int | None = None
    device: str = "auto"
    threads: int | None = None
    offline: bool = False
    chosen_by: str | None = None

    def __post_init__(self) -> None:
        """Checks every value that can be checked without opening anything.

        Raises:
            UsageError: a value is out of range or two values contradict each other.
        """
        if self.detect_every < 1:
            raise UsageError(f"--detect-every is {self.detect_every}", "Give a whole number from 1")
        if not 0 <= self.smooth_strength <= 1:
            raise UsageError(f"--smooth-strength is {self.smooth_strength}", "Give 0 to 1")
        # Comparisons are written so that NaN fails them.
        if not self.max_gap >= 0:
            raise UsageError(f"--max-gap is {self.max_gap}", "Give seconds from 0")
        if self.start is not None and not self.start >= 0:
            raise UsageError(f"--start is {self.start}", "Give seconds from 0")
        if self.end is not None and not self.end > (self.start or 0.0):
            raise UsageError(f"--end {self.end} is not after --start", "Give a later end")
        if self.duration is not None and not self.duration > 0:
            raise UsageError(f"--duration is {self.duration}", "Give seconds above 0")
        if self.rotate not in (None, 0, 90, 180, 270):
            raise UsageError(f"--rotate is {self.rotate}", "Give 0, 90, 180 or 270")
        if self.focal_px is not None and not 0 < self.focal_px < math.inf:
            raise UsageError(f"--focal-px is {self.focal_px}", "Give pixels above 0")
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
    """Outputs of :func:`pose3d.pipeline.batch.clips.run_batch` and ``pose3d run``.

    Args:
        output: folder in which every clip gets a folder of its own.
        format: formats of the result files, see ``pose3d export``.
        render: ``side-by-side``, ``overlay``, ``3d`` or ``none``.
        style: ``light`` or ``dark``.
        overwrite: do everything again, whatever the folder holds.
    """

    output: str = "out"
    format: tuple[str, ...] = ("npz", "json")
    render: str = "side-by-side"
    style: str = "light"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Checks the values that can be checked without importing anything.

        Raises:
            UsageError: an unknown drawing mode or style, or no format.
        """
        if self.render not in RENDERS:
            raise unknown_name("render mode", self.render, RENDERS)
        if self.style not in STYLES:
            raise unknown_name("style", self.style, STYLES)
        if not self.format:
            raise UsageError("No format was given", "Give at least one, e.g. --format npz")


def parse_counts(flag: str, text: str) -> tuple[int, ...]:
    """Reads whole numbers from 1, separated by commas, e.g. ``"121,81"``.

    Args:
        flag: for the error.
        text: what was given.

    Raises:
        UsageError: something else.
    """
    parts = str(text).split(",")
    if not all(p.strip().isdecimal() and int(p) >= 1 for p in parts):
        raise UsageError(
            f"{flag} {text!r} is not understood",
            f"Give whole numbers from 1, one a step, e.g. {flag} {'81' if flag == '--keep' else '3'}"
            f" or {flag} {'121,81' if flag == '--keep' else '1,2'}",
        )
    return tuple(int(p) for p in parts)


def parse_person(person: str) -> str | tuple[int, ...]:
    """Reads ``--person``: one of the words, or track ids.

    Returns:
        ``"all"``, ``"largest"``, ``"longest"`` or the ids.

    Raises:
        UsageError: neither a known word nor ids.
    """
    if person in ("all", "largest", "longest"):
        return person
    try:
        ids = tuple(int(part) for part in person.split(","))
    except ValueError:
        ids = ()
    if not ids or min(ids) < 1:
        raise UsageError(
            f"--person {person!r} is not understood",
            "Give all, largest, longest or track ids such as 1,3",
        )
    return ids
