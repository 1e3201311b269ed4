"""What every reader returns: 2D poses with frame numbers, with or without names of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.errors import ResultFileError
from pose3d.keypoint_files.source import damaged

Array = NDArray[np.floating]

# of a frame or person; floats, which JSON and CSV are read as, skip some beyond
LARGEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Poses:
    """2D poses as another program wrote them: a row for each person in each frame, in any order."""

    frames: NDArray[np.int_]  # ``(row,)`` number of the frame
    points: Array  # ``(row, joint, 2)`` pixels, or shares where ``normalised``; NaN: not seen
    score: Array  # ``(row, joint)``, nominally 0..1; 0: not seen
    ids: NDArray[np.int_] | None = None  # ``(row,)``; None: people are not followed
    skeleton: Skeleton | None = None  # None: the file does not say
    skeleton_assumed: bool = False  # what the program usually means
    numbers: NDArray[np.int_] | None = None  # of all frames that it speaks of; None: of the rows
    first: int | None = None  # number of the clip's first frame; None: the smallest there is
    complete: bool = False  # there is an entry for every frame of the clip
    normalised: bool = False  # ``points`` are shares of the picture's width and height
    time_s: Array | None = None  # ``(number,)`` of each of ``numbers``
    size_wh: tuple[int, int] | None = None
    rate: Fraction | None = None  # frames per second
    people: NDArray[np.int_] | None = None  # ids in the order wanted, also of those without a row
    joint_numbers: tuple[int, ...] | None = None  # in place of names, see :func:`place_numbered`

    @property
    def n_joints(self) -> int:
        return self.points.shape[1]


def grid_of_poses(points: Array, score: Array, ids: NDArray[np.int_] | None, **known: Any) -> Poses:
    """Returns ``(frame, person, joint, 2)`` points and ``(frame, person, joint)`` scores of all
    frames of a clip as poses; frames are numbered from 0 or as ``numbers`` says."""
    n_frames, n_people, n_joints = score.shape
    numbers = known.pop("numbers", np.arange(n_frames))
    return Poses(
        frames=np.repeat(numbers, n_people),
        points=points.reshape(-1, n_joints, 2),
        score=score.reshape(-1, n_joints),
        ids=None if ids is None else np.tile(ids, n_frames),
        numbers=numbers,
        first=0,
        complete=True,
        **known,
    )


@dataclass(slots=True)
class PoseRows:
    """Collects poses one by one and checks that they fit together."""

    where: str
    frames: list[int] = field(default_factory=list)
    poses: list[Array] = field(default_factory=list)
    ids: list[int | None] = field(default_factory=list)

    def add(self, frame: int, pose: Array, person: Any = None) -> None:
        """Enters one pose ``(joint, 3)``: x, y, score; ``person`` is its id as the file has it."""
        if self.poses and len(pose) != len(self.poses[0]):
            raise ResultFileError(
                f"{self.where} mixes poses of {len(self.poses[0])} and {len(pose)} joints "
                f"(frame {frame})",
                "Write it again with one model",
            )
        self.frames.append(frame)
        self.poses.append(pose)
        where = f"{self.where}, frame {frame}: the id of a person"
        self.ids.append(None if person is None else as_whole(person, where))

    def finish(
        self, numbers: Sequence[int] | None = None, n_joints: int = 0, **known: Any
    ) -> Poses:
        """Returns all that was entered, with other fields of :class:`Poses`."""
        if not self.poses and not n_joints:
            raise ResultFileError(
                f"{self.where} holds no person", "Give the keypoints of a clip with people"
            )
        stacked = np.stack(self.poses) if self.poses else np.zeros((0, n_joints, 3))
        named = [i for i in self.ids if i is not None]
        return Poses(
            frames=np.array(self.frames, int),
            points=stacked[..., :2],
            score=stacked[..., 2],
            # Some frames of a tracker have no ids yet; then nobody's is known for certain.
            ids=np.array(named, int) if named and len(named) == len(self.ids) else None,
            numbers=None if numbers is None else np.array(numbers, int),
            **known,
        )


def as_pose(values: Any, where: str, joints_by: int = 3) -> Array:
    """Returns ``(joint, 3)`` of a flat list of x, y, score; ``joints_by`` 2: all scores are 1."""
    flat = as_numbers(values, where)
    todo = f"A pose is {', '.join(['x', 'y', 'score'][:joints_by])} of each joint in turn"
    if not flat.size or not flat.ndim:
        raise ResultFileError(f"{where} is {'a single number' if flat.size else 'empty'}", todo)
    if flat.size % joints_by:
        raise ResultFileError(f"{where} has {flat.size} numbers, no multiple of {joints_by}", todo)
    pose = flat.reshape(-1, joints_by)
    return pose if joints_by == 3 else np.column_stack([pose, np.ones(len(pose))])


def as_numbers(values: Any, where: str) -> Array:
    """Makes a float array of nested lists; null becomes NaN, infinite numbers are refused."""
    if values is None:
        raise damaged(f"{where} is missing or null")
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise damaged(f"{where} is no regular array of numbers ({error})") from error
    if np.isinf(array).any():
        raise damaged(f"{where} holds infinite values")
    return array


def as_whole(value: Any, where: str) -> int:
    """Returns the number of a frame or person, which may be written as 3 or 3.0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or (isinstance(value, float) and not value.is_integer()):
        raise damaged(f"{where} is {value!r}, no whole number")
    if abs(value) > LARGEST_NUMBER:
        raise ResultFileError(
            f"{where} is {str(value)[:24]}, which is too large", "Number frames and people in turn"
        )
    return int(value)
