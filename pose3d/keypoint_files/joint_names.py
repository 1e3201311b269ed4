"""From the names or numbers of joints in a file to one of our skeletons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pose3d.body.joint_names import plain_name
from pose3d.body.mappings import CROWN_TO_H36M, FACE_TO_H36M
from pose3d.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    HALPE26,
    HALPE136,
    LIMBS,
    LSP14,
    SKELETONS,
    WHOLEBODY133,
    Skeleton,
)
from pose3d.errors import ResultFileError, UsageError
from pose3d.keypoint_files.poses import Poses

_NUMBER = re.compile(r"\d{1,15}")
COMMON = (COCO17, HALPE26, WHOLEBODY133, HALPE136)  # by number of joints

_LIFTED = {  # what pose3d's own weights need: limbs, and face or top of the head
    skeleton: tuple(sorted({s for rule in mapping.values() for s in rule}))
    for skeleton, mapping in ((COCO17, FACE_TO_H36M), (LSP14, CROWN_TO_H36M))
}


def blazepose_order(names: Sequence[str]) -> list[int] | None:
    """Returns where MediaPipe's landmarks are among names, or numbers in turn; None: not these."""
    numbers = [re.fullmatch(r"(?:lmk|landmark|lm|kp|pose|p)?[_ ]?(\d+)", n.lower()) for n in names]
    found: list[Any] = [plain_name(n) for n in names]
    wanted: Sequence[Any] = BLAZEPOSE33.joints
    if all(numbers):
        found = [int(m[1]) for m in numbers if m]
        first = 0 if 0 in found else 1
        wanted = range(first, first + len(BLAZEPOSE33))
    return [found.index(j) for j in wanted] if sorted(found) == sorted(wanted) else None


def choose_by_count(poses: Poses, skeletons: Sequence[Skeleton] = COMMON) -> Poses:
    """Assumes the skeleton that has as many joints as the poses, if there is one."""
    skeleton = next((s for s in skeletons if len(s) == poses.n_joints), None)
    return replace(poses, skeleton=skeleton, skeleton_assumed=skeleton is not None)


def choose_joints(poses: Poses, names: Sequence[str], where: object) -> Poses:
    """Finds the skeleton of poses whose joints have these ``names``; drops joints it does not have.

    It is the largest of which every joint is there, else COCO-17 (eyes may be missing) or LSP-14
    (the neck). Numbers in place of names are kept for :func:`place_numbered`. UsageError: a needed
    joint is missing.
    """
    if len(names) != poses.n_joints:
        raise ResultFileError(
            f"{where} names {len(names)} joints and has poses of {poses.n_joints}",
            "Write it again with one model",
        )
    if names and all(_NUMBER.fullmatch(name) for name in names):
        return replace(poses, joint_numbers=tuple(int(name) for name in names))
    ours = [plain_name(name) for name in names]
    index = {name: i for i, name in reversed(list(enumerate(ours)))}  # the first of equal names
    whole = [s for s in SKELETONS.values() if set(s.joints) <= set(index)]
    if whole:
        return _picked(poses, max(whole, key=len), index)
    missing = {s: [j for j in needed if j not in index] for s, needed in _LIFTED.items()}
    nearest = min(missing, key=lambda skeleton: len(missing[skeleton]))
    if missing[nearest]:
        raise UsageError(
            f"{where} has no {', '.join(missing[nearest])}",
            f"Lifting needs {', '.join(LIMBS)}, and nose, left_ear and right_ear or head_top; it has: "
            + _some(names),
        )
    return _picked(poses, nearest, index)


def first_number(numbers: Sequence[int], skeleton: Skeleton) -> int | None:
    """Returns 0 or 1, the number of a skeleton's first joint; None: neither fits, or both do."""
    if min(numbers) == 0:
        return 0 if max(numbers) < len(skeleton) else None
    return 1 if max(numbers) == len(skeleton) else None


def place_numbered(poses: Poses, skeleton: Skeleton, where: object) -> Poses:
    """Puts numbered joints where they belong in a skeleton, NaN for those without a number."""
    numbers = poses.joint_numbers
    if numbers is None:
        return poses
    n, first = len(skeleton), first_number(numbers, skeleton)
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise UsageError(f"{where} has joint {twice} twice", "Number each joint once")
    if first is None and (max(numbers) > n or min(numbers) == 0):
        raise UsageError(
            f"{where} has joints {min(numbers)} to {max(numbers)}, skeleton {skeleton.name} has {n}",
            f"Number them 0 to {n - 1} or 1 to {n}, or give another --skeleton",
        )
    if first is None:
        raise UsageError(
            f"{where} has joints {min(numbers)} to {max(numbers)} of the {n} of {skeleton.name}, so "
            "it cannot be told whether the first one is 0 or 1",
            f"Add joint 0 or joint {n} once, with empty coordinates, or name the joints",
        )
    index = {skeleton.joints[number - first]: i for i, number in enumerate(numbers)}
    return _picked(replace(poses, joint_numbers=None), skeleton, index)


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
