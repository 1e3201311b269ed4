"""Joints by the names that people give them: ``LShoulder``, ``shoulder_left``."""

from __future__ import annotations

import re

_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_PARTS = dict(
    re.findall(
        r"(\w+):(\w+)",
        "sho:shoulder shldr:shoulder elb:elbow wri:wrist kne:knee ank:ankle headtop:head_top "
        "tophead:head_top midhip:pelvis root:pelvis footindex:foot_index bigtoe:big_toe "
        "smalltoe:small_toe eyeinner:eye_inner eyeouter:eye_outer",
    )
)
_PLAIN = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel")
_BODY_WORDS = {*_PLAIN, *_PARTS}


def plain_name(name: str) -> str:
    """Returns a name as our skeletons write it: ``LShoulder`` becomes ``left_shoulder``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[LR])(?=[A-Z][a-z])", " ", name.strip())
    words = re.findall(r"[a-z]+\d*|\d+", spaced.lower())
    sides = [_SIDES[w] for w in words if w in _SIDES]
    rest = [w for w in words if w not in _SIDES]
    joined = "".join(rest)
    if len(rest) == 1 and not sides:  # lshoulder, leftshoulder
        for prefix, side in sorted(_SIDES.items(), key=lambda item: -len(item[0])):
            if joined.startswith(prefix) and joined[len(prefix) :] in _BODY_WORDS:
                sides, rest = [side], [joined[len(prefix) :]]
                break
    part = _PARTS.get("".join(rest), "_".join(rest))
    return "_".join([*sides[:1], part])
