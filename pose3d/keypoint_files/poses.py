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

LARGEST_NUMBER = 2**53
"""Frames and people are numbered up to here: floats, which JSON and CSV are read as, skip some beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poses:
    """The 2D poses of a clip as another program wrote them: one row for each person in each frame.

    Args:
        frames: ``(row,)`` number of the frame; rows may come in any order.
        points: ``(row, joint, 2)`` in pixels, or shares of width and height where ``normalised``;
            NaN where a joint was not seen.
        score: ``(row, joint)``, nominally 0..1; 0 where a joint was not seen.
        ids: ``(row,)`` which person; None: the program does not follow people.
        skeleton: of the joints; None: the file does not say.
        skeleton_assumed: the file says nothing, the program usually means this one.
        numbers: every frame number that the file speaks of, also those without people; None: those
            of the rows.
        first: number of the clip's first frame in this numbering; None: the smallest there is.
        complete: the file has an entry for every frame of its clip, so that the number of frames
            has to agree with the video's.
        normalised: ``points`` are shares of the picture's width and height.
        time_s: ``(number,)`` time of each of ``numbers`` in seconds, or None.
        size_wh: picture size in pixels, or None.
        rate: frames per second, or None.
        people: ids of people in the order wanted, also of those without a row, or None.
        joint_numbers: number of each joint where the file numbers them and does not name them; their
            order then says nothing, see :func:`~pose3d.keypoint_files.joint_names.place_numbered`.
    """

    frames: NDArray[np.int_]
    points: Array
    score: Array
    ids: NDArray[np.int_] | None = None
    skeleton: Skeleton | None = None
    skeleton_assumed: bool = False
    numbers: NDArray[np.int_] | None = None
    first: int | None = None
    complete: bool = False
    normalised: bool = False
    time_s: Array | None = None
    size_wh: tuple[int, int] | None = None
    rate: Fraction | None = None
    people: NDArray[np.int_] | None = None
    joint_numbers: tuple[int, ...] | None = None

    @property
    def n_joints(self) -> int:
        return self.points.shape[1]


def grid_of_poses(points: Array, score: Array, ids: NDArray[np.int_] | None, **known: Any) -> Poses:
    """Returns ``(frame, person, joint, 2)`` points and ``(frame, person, joint)`` scores as poses.

    They are of all frames of a clip, numbered from 0 or as ``numbers`` says.
    """
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
        """Enters one pose ``(joint, 3)``: x, y, score; ``person`` is its id as the file has it, or None.

        Raises:
            ResultFileError: it has another number of joints than those before, or no whole id.
        """
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
        """Returns all that was entered, with other fields of :class:`Poses`.

        Raises:
            ResultFileError: nothing was entered and the number of joints is not known.
        """
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
    """Returns ``(joint, 3)`` of a flat list ``x, y, score, x, y, score, ...``.

    With ``joints_by`` 2 there are no scores in it, and all are 1.
    """
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
        array = np.array(values, np.float64)
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
