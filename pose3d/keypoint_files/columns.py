"""Which column of a CSV file is which coordinate of which joint.

Wide: one row a person and frame, ``nose_x, nose_y, nose_score``, ``x1, y1, z1, v1`` or ``lmk0_x``.
Long: one row a joint, ``frame, person, joint, x, y, score``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_AXES = {
    **dict.fromkeys(("x", "x_px"), "x"),
    **dict.fromkeys(("y", "y_px"), "y"),
    **dict.fromkeys(
        ("score", "conf", "confidence", "likelihood", "visibility", "visible", "vis", "v", "c"),
        "score",
    ),
    **dict.fromkeys(("z", "presence", "pres"), "other"),
}
_FRAME = ("frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frame_no", "frameid")
_PERSON = ("person", "person_id", "track_id", "pose_id", "individual", "subject", "id")
_JOINT = ("joint", "keypoint", "bodypart", "landmark", "name") + tuple(
    f"{a}_{b}"
    for a in ("joint", "keypoint", "landmark")
    for b in ("name", "id", "idx", "index", "type")
)
_TIMES = {"time_s": 1.0, "ms": 1e-3, "time_ms": 1e-3, "timestamp_ms": 1e-3}
_WORDS = "|".join(sorted(_AXES, key=len, reverse=True))
_AXIS_FIRST = re.compile(rf"({_WORDS})_?(\d+)")
_AXIS_LAST = re.compile(rf"(.+?)[ _.:\-]+({_WORDS})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of a table mean, by their positions."""

    joints: tuple[str, ...]  # names of the joints; empty in a long table, whose rows name them
    axes: NDArray[np.int_]  # ``(joint, 3)`` x, y and score; -1: no score; a long table: 1 row
    joint: int | None  # the joint's name in a long table
    frame: int | None  # the frame number
    person: int | None  # the person's id
    time: int | None  # the time
    time_unit_s: float  # its unit in seconds


def understand_header(header: Sequence[str]) -> Columns | None:
    """Returns what the columns mean, or None when they are no joints."""
    names = [name.strip().lower() for name in header]
    frame, person = _first(names, _FRAME), _first(names, _PERSON)
    time, joint = _first(names, tuple(_TIMES)), _first(names, _JOINT)
    found: dict[str, dict[str, int]] = {}
    for position, name in enumerate(names):
        if position in (frame, person, time, joint):
            continue
        split = _split(name, header[position].strip(), long=joint is not None)
        if split is not None:
            found.setdefault(split[0], {}).setdefault(split[1], position)
    complete = {k: v for k, v in found.items() if {"x", "y"} <= set(v)}
    if not complete or (joint is not None and len(complete) > 1):
        return None
    return Columns(
        joints=() if joint is not None else tuple(complete),
        axes=np.array([[v["x"], v["y"], v.get("score", -1)] for v in complete.values()], int),
        joint=joint,
        frame=frame,
        person=person,
        time=time,
        time_unit_s=1.0 if time is None else _TIMES[names[time]],
    )


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _split(name: str, written: str, *, long: bool) -> tuple[str, str] | None:
    """Returns joint and axis of a column's name."""
    if long:
        return ("", _AXES[name]) if name in _AXES else None
    if match := _AXIS_FIRST.fullmatch(name):
        return match[2], _AXES[match[1]]
    match = _AXIS_LAST.fullmatch(name)
    return (written[: len(match[1])], _AXES[match[2]]) if match else None
