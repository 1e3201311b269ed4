"""``--preset``: detector, estimator, lifter and options chosen from what is installed and present.

A preset fetches nothing but pose3d's own default networks (Apache-2.0), and takes a part whose licence
binds or is not stated only if that was allowed by name. Networks of several sizes are named with their
weights, so that whichever is here is found. Parts of other packages and weights of the user are taken
only when they are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from typing import Any

from pose3d.arguments import check_value
from pose3d.errors import UsageError, unknown_name
from pose3d.options import NETWORKS, PRESET_NAMES, RunOptions
from pose3d.parts.installed import (
    NO_WEIGHTS,
    NOT_INSTALLED,
    Candidate,
    finds_people,
    list_names,
    look_at,
)
from pose3d.weights import finding
from pose3d.weights.licences import find_restrictions, parse_allowed

DEFAULT_2D, _HEAVY = "blazepose", "blazepose-heavy"
_FLIP_THEMSELVES = ("mmpose",)
"""Estimators whose shipped configurations have a flip test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a preset wants; the first of each list that is here and allowed is taken."""

    keypoints: tuple[str, ...]  # as ``--keypoints`` takes them
    detectors: tuple[str, ...]  # for estimators that do not find people
    lifters: tuple[str, ...]  # ``arch.tag``
    options: Mapping[str, Any]  # that it sets


def _sized(base: str, names: str) -> tuple[str, ...]:
    """Returns a part once with each of these weights, ``BASE:WEIGHTS``."""
    return tuple(f"{base}:{name}" for name in names.split())


_RTMPOSE_M = _sized("rtmpose", "rtmpose.body7-m rtmpose.halpe26-m")
_RTMPOSE_S = _sized("rtmpose", "rtmpose.body7-s")
_RTMW = _sized("rtmpose", "rtmpose.wholebody-l")
_YOLO_POSE = _sized("yolo", " ".join(f"yolo11{size}-pose.pt" for size in "xlmsn"))
_YOLO = _sized("yolo", " ".join(f"yolo11{size}.pt" for size in "xlmsn"))
_LARGE_BOXES = _sized("rtmdet", "rtmdet.person-m") + _sized("yolox", "yolox.humanart-m")
_SMALL_BOXES = _sized("rtmdet", "rtmdet.person-nano") + _sized("yolox", "yolox.humanart-tiny")

PRESETS: dict[str, Preset] = {
    "fast": Preset(
        # A quarter of the lifter's work, the detector half as often.
        keypoints=(DEFAULT_2D, *_YOLO_POSE[::-1], *_RTMPOSE_S, *_RTMPOSE_M, *_RTMW),
        detectors=(DEFAULT_2D, *_YOLO[::-1], *_SMALL_BOXES, *_LARGE_BOXES),
        lifters=("hot-mixste.free27",),
        options={"flip_test": False, "rate_test": False, "detect_every": 30},
    ),
    "balanced": Preset(
        # What is done without a preset.
        keypoints=(
            DEFAULT_2D,
            *_RTMPOSE_M,
            *_RTMPOSE_S,
            *_RTMW,
            *_YOLO_POSE[2:],
            *_YOLO_POSE[1::-1],
        ),
        detectors=(DEFAULT_2D, *_LARGE_BOXES, *_SMALL_BOXES, *_YOLO[2:], *_YOLO[1::-1]),
        lifters=("hot-mixste.free27",),
        options={"flip_test": True, "rate_test": True, "detect_every": 15},
    ),
    "best": Preset(
        # Larger networks first, 2D looked at twice, a lifter that drops no frame, and the detector
        # three times as often. By size, and between families by what their authors publish for
        # COCO; only BlazePose was measured, its place and RTMW's among the others are a guess.
        keypoints=(
            *("mmpose:rtmpose-l", *_RTMPOSE_M, "mmpose:human", *_RTMW, *_RTMPOSE_S),
            *(*_YOLO_POSE[:3], _HEAVY, DEFAULT_2D, *_YOLO_POSE[3:]),
        ),
        detectors=(*_LARGE_BOXES, *_YOLO, *_SMALL_BOXES, DEFAULT_2D),
        lifters=("mixste.free27", "hot-mixste.free27"),
        options={"flip_test_2d": True, "flip_test": True, "rate_test": True, "detect_every": 5},
    ),
}
"""Every preset by name, cheapest first."""


Look = Callable[[str, str], Candidate | None]
"""Tells about a part of a kind (``keypoints``, ``detector``, ``lifter``) by name; None: not known here."""


def choose_options(
    preset: str,
    given: Mapping[str, Any] | None = None,
    *,
    allow_licence: str | None = None,
    parts: tuple[str, ...] = NETWORKS,
    look: Look | None = None,
) -> RunOptions:
    """Returns the options of a preset; ``given`` ones win, ``chosen_by`` says what was chosen.

    ``allow_licence``: names of :data:`pose3d.weights.licences.RESTRICTIONS`, separated by commas;
    ``parts``: the networks that are needed at all. UsageError also where nothing fits.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
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
        if part == "detector" and values["keypoints"].partition(":")[0] in (DEFAULT_2D, _HEAVY):
            names = (DEFAULT_2D,)
        values[part], why = _choose(part, names, allowed, look)
        notes.append(f"{part} {values[part]}{f' ({why})' if why else ''}")
    if "keypoints" in parts and "flip_test_2d" not in given:
        # It needs places to look at, which a one-stage network does not take.
        base = values["keypoints"].partition(":")[0]
        if base in _FLIP_THEMSELVES or finds_people(base):
            values.pop("flip_test_2d", None)
    chosen = [n for n in wanted.options if n in values and _ONLY_WITH.get(n) in (None, *parts)]
    notes += [_in_words(n, values[n], n in given) for n in chosen]
    return RunOptions(**{**values, "chosen_by": f"preset {preset}: {', '.join(notes)}"})


def _choose(
    part: str, names: tuple[str, ...], allowed: frozenset[str], look: Look
) -> tuple[str, str]:
    """Returns the first part that is here and allowed, and why the ones before it were not taken."""
    passed: list[tuple[str, str]] = []
    for name in names:
        found = look(part, name)
        if found is None:
            continue
        refused = [r for r in find_restrictions(found.licence) if r not in allowed]
        if found.lacks == NO_WEIGHTS and not refused and found.weights:
            passed.append((name, f"{NO_WEIGHTS}, pose3d weights download {found.weights[0]}"))
        elif found.lacks:
            passed.append((name, found.lacks))
        elif refused:
            allow = f"--allow-licence {','.join(refused)}"
            passed.append((name, f"{found.licence or refused[0]}, {allow}"))
        else:
            return name, _tell_passed(passed)
    raise UsageError(
        f"No {part} that a preset may take can be used ({_tell_passed(passed)})", "Name one"
    )


def _tell_passed(passed: list[tuple[str, str]]) -> str:
    """Returns why parts were not taken, once for all weights of a network with the same reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, reason in passed:
        base, _, argument = name.partition(":")
        groups.setdefault((base, reason), []).append(argument)
    told = []
    for (base, reason), arguments in groups.items():
        # What is not installed is so with any weights.
        listed = "" if reason == NOT_INSTALLED else ", ".join(filter(None, arguments))
        told.append(f"{base}{f':{listed}' if listed else ''}: {reason}")
    return "; ".join(told)


def look_around(part: str, name: str, *, device: str = "auto") -> Candidate | None:
    """Looks for a part here; the default networks, which a run fetches, count as here."""
    if part == "lifter":
        licences = {entry.name: entry.licence for entry in finding.list_weights()}
        if name not in licences:
            return None
        lacks = NO_WEIGHTS if finding.locate(name) is None else ""
        return Candidate(licence=licences[name], lacks=lacks)
    base = name.partition(":")[0]
    if base not in list_names(part):
        return None
    found = look_at(part, name, device=device)
    is_fetched = base == DEFAULT_2D and found.lacks == NO_WEIGHTS
    return replace(found, lacks="") if is_fetched else found


_ONLY_WITH = {"detect_every": "detector", "flip_test_2d": "keypoints"}
"""Options that do nothing without a part."""


def _in_words(name: str, value: Any, given: bool) -> str:
    """Returns an option as one says it, e.g. ``"flip test on"``."""
    if name in ("flip_test_2d", "flip_test", "rate_test"):
        words = name.replace("_", " ").replace("2d", "of 2D")
        text = f"{words} {'on' if value else 'off'}"
    elif name == "detect_every":
        text = f"detector every {value} frames"
    else:
        text = f"{name.replace('_', ' ')} {value}"
    return f"{text} (as given)" if given else text


def choose_all() -> dict[str, RunOptions | UsageError]:
    """Returns what each preset chooses here when nothing is given, or why it cannot choose."""
    answers: dict[str, RunOptions | UsageError] = {}
    look = cache(look_around)
    for preset in PRESETS:
        try:
            answers[preset] = choose_options(preset, look=look)
        except UsageError as error:
            answers[preset] = error
    return answers


def describe_presets() -> list[str]:
    """Returns one line for each preset: what it chooses here and why, or why it cannot."""
    return [
        f"preset {preset}: {answer}" if isinstance(answer, UsageError) else str(answer.chosen_by)
        for preset, answer in choose_all().items()
    ]


def make_options(values: Mapping[str, Any], *, parts: tuple[str, ...] = NETWORKS) -> RunOptions:
    """Makes options of fields by name, which win over a ``preset``; ``parts``: networks used."""
    known = [f.name for f in fields(RunOptions)]
    preset, allowed = (values.get(name) for name in PRESET_NAMES)
    given = {k: v for k, v in values.items() if k not in PRESET_NAMES}
    for name in given:
        if name not in known:
            raise unknown_name("option", name, [*known, *PRESET_NAMES])
    check_value("preset", preset, str | None)
    check_value("allow_licence", allowed, str | None)
    options = RunOptions(**given)
    if preset is not None:
        given = {name: getattr(options, name) for name in given}
        return choose_options(preset, given, allow_licence=allowed, parts=parts)
    if allowed is not None:
        raise UsageError("--allow-licence is for presets, and none was given", "Add --preset best")
    return options


def change_options(options: RunOptions | None, changes: Mapping[str, Any]) -> RunOptions:
    """Returns changed options; changes and what is no default win over a ``preset`` among them."""
    if options is None:
        return make_options(changes)
    if changes.get("preset") is not None:
        explicit = {
            f.name: getattr(options, f.name)
            for f in fields(options)
            if f.name != "chosen_by" and getattr(options, f.name) != f.default
        }
        return make_options({**explicit, **changes})
    make_options(changes)  # names the unknown one
    changes = {name: value for name, value in changes.items() if name not in PRESET_NAMES}
    return replace(options, **changes) if changes else options
