"""Joints by the names that people give them: ``LShoulder``, ``left shoulder``, ``shoulder_left``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pose3d.errors import UsageError
from pose3d.keypoint_formats.poses import Poses
from pose3d.mappings import FACE_TO_H36M
from pose3d.skeletons import BLAZEPOSE33, COCO17, SKELETONS, Skeleton

_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_PARTS = {
    "sho": "shoulder",
    "shldr": "shoulder",
    "elb": "elbow",
    "wri": "wrist",
    "kne": "knee",
    "ank": "ankle",
    "headtop": "head_top",
    "tophead": "head_top",
    "midhip": "pelvis",
    "root": "pelvis",
    "footindex": "foot_index",
    "bigtoe": "big_toe",
    "smalltoe": "small_toe",
    "eyeinner": "eye_inner",
    "eyeouter": "eye_outer",
}
_EVERY_LIFTER = tuple(sorted({s for rule in FACE_TO_H36M.values() for s in rule}))
"""What the mapping of pose3d's own weights is made of: limbs, nose and ears."""


def plain_name(name: str) -> str:
    """Returns a name as our skeletons write it: ``LShoulder`` becomes ``left_shoulder``.

    Words may be joined by capitals, spaces or signs; the side may come first or last.
    """
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


_BODY_WORDS = {"eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel"} | set(
    _PARTS
)


def are_blazepose(names: Sequence[str]) -> bool:
    """Tells whether names are MediaPipe's: 33 numbers in turn, or all of its names."""
    if len(names) != len(BLAZEPOSE33):
        return False
    numbers = [re.fullmatch(r"(?:lmk|landmark|lm|kp|pose|p)?[_ ]?(\d+)", n.lower()) for n in names]
    if all(numbers):
        given = sorted(int(m[1]) for m in numbers if m)
        return given in (list(range(len(BLAZEPOSE33))), list(range(1, len(BLAZEPOSE33) + 1)))
    return {plain_name(n) for n in names} == set(BLAZEPOSE33.joints)


def choose_joints(
    poses: Poses,
    names: Sequence[str] | None,
    where: object,
    program: str,
    *,
    by_count: Mapping[int, Skeleton] | None = None,
) -> Poses:
    """Finds the skeleton of poses by the names of their joints or, without names, by their number.

    With names the largest skeleton is taken of which every joint is there; failing that COCO-17, of
    which only the eyes may be missing. Joints that it does not have are left out.

    Args:
        poses: with joints in the order of ``names``.
        names: as the program writes them, or None.
        where: the file, for messages.
        program: who wrote it, for messages.
        by_count: the program's skeleton for a number of joints.

    Returns:
        The poses with their skeleton; it stays None where neither tells.

    Raises:
        UsageError: a joint that every lifter needs is not among the names.
    """
    if names is None:
        skeleton = (by_count or {}).get(poses.n_joints)
        return replace(poses, skeleton=skeleton, skeleton_assumed=skeleton is not None)
    ours = [plain_name(name) for name in names]
    index = {name: i for i, name in reversed(list(enumerate(ours)))}  # the first of equal names
    whole = [s for s in SKELETONS.values() if set(s.joints) <= set(index)]
    if whole:
        return _picked(poses, max(whole, key=len), index)
    missing = [name for name in _EVERY_LIFTER if name not in index]
    if missing:
        raise UsageError(
            f"{where} ({program}) has no {', '.join(missing)}",
            f"Lifting needs {', '.join(_EVERY_LIFTER)}; it has: {_some(names)}",
        )
    return _picked(poses, COCO17, index)


def _picked(poses: Poses, skeleton: Skeleton, index: Mapping[str, int]) -> Poses:
    """Returns poses with the joints of a skeleton, NaN for those that have no column."""
    columns = [index.get(name, -1) for name in skeleton.joints]
    there = np.array([c >= 0 for c in columns])
    return replace(
        poses,
        skeleton=skeleton,
        points=np.where(there[:, None], poses.points[:, columns], np.nan),
        score=np.where(there, poses.score[:, columns], 0.0),
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:40]))
    return shown + (" ..." if len(names) > 40 else "")
