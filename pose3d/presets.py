"""``--preset``: detector, estimator, lifter and options chosen from what is installed and present.

A preset never fetches anything but pose3d's own default networks (Apache-2.0), and never takes a part
whose licence binds or is not stated unless that was allowed by name. What it does not know it does not
take: parts of other packages and weights of the user are named explicitly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import Any

from pose3d.errors import UsageError, unknown_name
from pose3d.options import NETWORKS, RunOptions
from pose3d.weights.licences import find_restrictions, parse_allowed

DEFAULT_2D = "blazepose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a preset wants; the first of each list that is here and allowed is taken.

    Args:
        description: one line.
        keypoints: estimators, the best one for this purpose first.
        detectors: the same, for estimators that do not find people themselves.
        lifters: the same, ``arch.tag``.
        options: fields of :class:`RunOptions` that it sets.
    """

    description: str
    keypoints: tuple[str, ...]
    detectors: tuple[str, ...]
    lifters: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "fast": Preset(
        description="least time: half the lifter's work, the detector half as often",
        keypoints=(DEFAULT_2D, "yolo", "rtmpose"),
        detectors=(DEFAULT_2D, "yolo", "rtmdet", "yolox"),
        lifters=("hot-mixste.free27",),
        options={"flip_test": False, "detect_every": 30},
    ),
    "balanced": Preset(
        description="what is done without a preset",
        keypoints=(DEFAULT_2D, "rtmpose", "yolo"),
        detectors=(DEFAULT_2D, "rtmdet", "yolox", "yolo"),
        lifters=("hot-mixste.free27",),
        options={"flip_test": True, "detect_every": 15},
    ),
    "best": Preset(
        description="most care: largest networks, looks for people three times as often",
        # By published accuracy; only BlazePose could be measured where this was written.
        keypoints=("rtmpose", "mmpose", DEFAULT_2D, "yolo"),
        detectors=("rtmdet", "yolox", "yolo", DEFAULT_2D),
        lifters=("hot-mixste.free81", "hot-mixste.free27"),
        options={"flip_test": True, "rate_test": True, "detect_every": 5},
    ),
}
"""Every preset by name, cheapest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A part that a preset may take.

    Args:
        licence: of code and weights; empty: not known.
        lacks: why it cannot be used; empty: it can.
    """

    licence: str = ""
    lacks: str = ""


Look = Callable[[str, str], Candidate | None]
"""Tells about a part of a kind (``keypoints``, ``detector``, ``lifter``) by name; None: there is none."""


def choose_options(
    preset: str,
    given: Mapping[str, Any] | None = None,
    *,
    allow_licence: str | None = None,
    parts: tuple[str, ...] = NETWORKS,
    look: Look | None = None,
) -> RunOptions:
    """Returns the options of a preset; what was given wins over it.

    The same parts on a machine always give the same choice.

    Args:
        preset: name in :data:`PRESETS`.
        given: options by name that were asked for.
        allow_licence: names of :data:`pose3d.weights.licences.RESTRICTIONS`, separated by commas.
        parts: which of :data:`~pose3d.options.NETWORKS` are needed at all.
        look: tells what is here; None: looks.

    Returns:
        Options whose ``chosen_by`` says what was chosen and why.

    Raises:
        UsageError: there is no preset or licence of that name, an option has a wrong value, or no part
            of a kind can be used.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    from pose3d.installed import finds_people

    allowed = parse_allowed(allow_licence)
    wanted, given = PRESETS[preset], dict(given or {})
    look = look or partial(look_around, device=given.get("device", "auto"))
    values = {**wanted.options, **given}
    notes = []
    lists = {"keypoints": wanted.keypoints, "detector": wanted.detectors, "lifter": wanted.lifters}
    for part in parts:
        if part == "detector" and finds_people(values["keypoints"]):
            continue
        if part in given:
            notes.append(f"{part} {given[part]} (as given)")
            continue
        names = lists[part]
        # BlazePose's own detector tells the estimator how people are turned; no other does.
        if part == "detector" and values["keypoints"].partition(":")[0] == DEFAULT_2D:
            names = (DEFAULT_2D,)
        values[part], why = _choose(part, names, allowed, look)
        notes.append(f"{part} {values[part]}{f' ({why})' if why else ''}")
    notes += [_in_words(n, values[n], n in given) for n in wanted.options if _matters(n, parts)]
    return RunOptions(**{**values, "chosen_by": f"preset {preset}: {', '.join(notes)}"})


def _choose(
    part: str, names: tuple[str, ...], allowed: frozenset[str], look: Look
) -> tuple[str, str]:
    """Returns the first part that is here and allowed, and why the ones before it were not taken."""
    passed = []
    for name in names:
        found = look(part, name)
        if found is None:
            continue
        refused = [r for r in find_restrictions(found.licence) if r not in allowed]
        if found.lacks:
            passed.append(f"{name}: {found.lacks}")
        elif refused:
            passed.append(
                f"{name}: {found.licence or refused[0]}, --allow-licence {','.join(refused)}"
            )
        else:
            return name, "; ".join(passed)
    raise UsageError(
        f"No {part} that a preset may take can be used ({'; '.join(passed)})", "Name one"
    )


def look_around(part: str, name: str, *, device: str = "auto") -> Candidate | None:
    """Looks for a part on this machine; nothing is fetched.

    The default networks count as here: a run fetches them, and they are free to use.
    """
    if part == "lifter":
        return _look_for_lifter(name)
    from pose3d.installed import NO_WEIGHTS, list_names, try_model

    base = name.partition(":")[0]
    if base not in list_names(part):
        return None
    tried = try_model(part, name, device=device, threads=1)
    if base == DEFAULT_2D and tried.lacks == NO_WEIGHTS:
        return Candidate(licence="Apache-2.0")
    return Candidate(licence=tried.licence, lacks=tried.lacks)


def _look_for_lifter(name: str) -> Candidate | None:
    from pose3d import weights

    for entry in weights.list_weights():
        if entry.name == name:
            here = weights.locate(name) is not None
            return Candidate(licence=entry.licence, lacks="" if here else "weights are not here")
    return None


def _matters(option: str, parts: tuple[str, ...]) -> bool:
    """Tells whether an option does anything where only these parts are used."""
    return "detector" in parts or option != "detect_every"


def _in_words(name: str, value: Any, given: bool) -> str:
    """Returns an option as one says it, e.g. ``"flip test on"``."""
    if name in ("flip_test", "rate_test"):
        text = f"{name.replace('_', ' ')} {'on' if value else 'off'}"
    elif name == "detect_every":
        text = f"detector every {value} frames"
    else:
        text = f"{name.replace('_', ' ')} {value}"
    return f"{text} (as given)" if given else text


def choose_all() -> dict[str, RunOptions]:
    """Returns what each preset chooses here when nothing is given; without those that cannot choose."""
    return {p: answer for p, answer in _try_all().items() if isinstance(answer, RunOptions)}


def describe_presets() -> list[str]:
    """Returns one line for each preset: what it chooses here and why, or why it cannot."""
    return [
        str(answer.chosen_by) if isinstance(answer, RunOptions) else f"preset {preset}: {answer}"
        for preset, answer in _try_all().items()
    ]


def _try_all() -> dict[str, RunOptions | UsageError]:
    answers: dict[str, RunOptions | UsageError] = {}
    look = cache(look_around)
    for preset in PRESETS:
        try:
            answers[preset] = choose_options(preset, look=look)
        except UsageError as error:
            answers[preset] = error
    return answers


def explicit_of(options: RunOptions) -> dict[str, Any]:
    """Returns the options that differ from their defaults: what somebody must have asked for."""
    return {
        f.name: getattr(options, f.name)
        for f in fields(options)
        if getattr(options, f.name) != f.default and f.name != "chosen_by"
    }
