"""2D keypoints of other programs (:mod:`pose3d.keypoint_files.formats`), read for lifting.

The simple format is NPZ or JSON; only ``keypoints`` is needed where flags say the rest: ``keypoints
(frame, person, joint, 2)`` or ``(frame, joint, 2)`` pixels, a third number is the score; ``score``
0..1; ``skeleton`` (of :data:`pose3d.body.skeletons.SKELETONS`) or ``joint_names``; ``size_wh``;
``rate``, frames per second or numerator and denominator, or ``time_s (frame,)``; ``person_ids``
from 1.

Not seen is NaN (JSON: null), a score of 0, or a point at exactly 0, 0, for that is how many
programs write it. This holds for every format but results of pose3d, which are taken as they are.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.arguments import checked
from pose3d.body.mappings import mapping_sources
from pose3d.body.skeletons import SKELETONS, Skeleton, get_skeleton
from pose3d.cleaning.gaps import bounds_of
from pose3d.errors import ResultFileError, UsageError
from pose3d.keypoint_files.arrays import HOW, is_result
from pose3d.keypoint_files.clip import Clip, place_in_time
from pose3d.keypoint_files.formats import choose_reader
from pose3d.keypoint_files.joint_names import first_number, place_numbered
from pose3d.keypoint_files.poses import Array, Poses
from pose3d.keypoint_files.source import Source, damaged
from pose3d.result.contents import LOWEST_RATE
from pose3d.result.record import Camera, PoseSequence, StageRecord, fill_spans

MOST_AT_ONCE = 200  # people in one frame; telling more apart, and lifting them, takes hours


@checked
def read_keypoints(
    path: str | Path,
    *,
    skeleton: str | None = None,
    video: str | Path | None = None,
    size_wh: tuple[int, int] | None = None,
    rate: float | Fraction | None = None,
    input_format: str | None = None,
    min_score: float = 0.0,
    first_frame: int | None = None,
) -> PoseSequence:
    """Reads 2D keypoints of another program, or of a result of pose3d, as a record without 3D.

    Frames without people have a row. Where the file does not tell people apart they are followed by
    their poses, see :mod:`pose3d.tracking.association`. Raises ResultFileError (also when nobody is
    seen), UsageError, VideoError or MissingExtraError.

    Args:
        path: the file, or the folder with one file a frame.
        skeleton, size_wh, rate, input_format: None: as the video or the file says.
        video: the clip they were found in: gives times and size, and is named in the result.
        min_score: keypoints up to this score count as not seen.
        first_frame: number that the clip's first frame has in the file; None: as its format says.
    """
    if not 0 <= min_score < 1:
        raise UsageError(f"--min-score is {min_score}", "Give 0 to below 1")
    if rate is not None and not LOWEST_RATE <= rate <= 1000:
        raise UsageError(f"The rate is {float(rate):g}", "Give frames per second, 0.001 to 1000")
    source = Source(Path(path))
    name, reader = choose_reader(source, input_format)
    if name == "pose3d" and is_result(source):
        return _own_result(source.path, skeleton, video)
    poses = reader.read(source)
    chosen = _skeleton(poses, skeleton, source.path)
    poses = place_numbered(poses, chosen, source.path)
    clip = place_in_time(poses, source.path, video, size_wh, rate, first_frame)
    poses = _in_pixels(poses, clip, min_score, source.path)
    most = int(np.bincount(poses.frames, minlength=1).max())
    if most > MOST_AT_ONCE:
        raise ResultFileError(
            f"{source.path} has {most} people in one frame; {MOST_AT_ONCE} can be told apart",
            "Keep those whom you need, or split the file",
        )
    ids, people = _people(poses, clip.time_s, chosen, source.path)
    record = StageRecord(
        stage="read",
        name=source.path.name,
        options={
            "format": name,
            "first_frame": clip.first,
            "frames_not_listed": clip.unlisted,
            "people": "followed" if poses.ids is None else "as in the file",
            "poses_left_out": int((ids == 0).sum()),
            "min_score": min_score,
        },
        device_reason="from a file",
    )
    return _assemble(poses, ids, people, clip, chosen, record)


def _own_result(path: Path, skeleton: str | None, video: str | Path | None) -> PoseSequence:
    from pose3d.result.record import load

    pose = load(path)
    if pose.keypoints_px is None or pose.score is None:
        raise UsageError(f"{path} holds no 2D keypoints", "Give a result that has them")
    if pose.n_people and not np.isfinite(pose.keypoints_px).all(-1).any():
        raise _nothing_visible(path)
    if skeleton is not None and skeleton != pose.skeleton.name:
        raise UsageError(
            f"{path} says that its skeleton is {pose.skeleton.name}, not {skeleton}",
            "Leave --skeleton out",
        )
    stages = tuple(s for s in pose.made_by if s.stage in ("detect", "keypoints", "track", "read"))
    camera = pose.camera
    if camera is not None and camera.focal_source == "assumed":
        camera = None
    if video:
        pose = replace(pose, video=replace(pose.video, path=str(video)))
        camera = camera or _camera_of(video)
    return replace(
        pose,
        joints_cam_m=None,
        root_cam_m=None,
        hypotheses_cam_m=None,
        camera=None if camera is None else replace(camera, up_cam=None, ground_m=None),
        made_by=stages,
    )


def _camera_of(video: str | Path) -> Camera | None:
    from pose3d.video.reader import open_video

    with open_video(video) as reader:
        return reader.find_camera()


def check_joints(pose: PoseSequence, mapping: str) -> None:
    """Raises UsageError where a joint was never seen that a lifter with ``mapping`` needs."""
    needed = mapping_sources(mapping, pose.skeleton)
    if pose.keypoints_px is None or not pose.n_people:
        return
    source = next((s.name for s in pose.made_by if s.stage == "read"), pose.skeleton.name)
    ever = np.isfinite(pose.keypoints_px).all(-1).any(0)
    missing = [j for j in pose.skeleton.joints if j in needed and not ever[pose.skeleton.index[j]]]
    if missing:
        raise UsageError(
            f"{source} never shows {', '.join(missing)} ({pose.skeleton.name}), which the lifter needs",
            "Give keypoints of whole people, or lower --min-score",
        )


def _skeleton(poses: Poses, asked: str | None, path: Path) -> Skeleton:
    stated = poses.skeleton
    if asked is not None:
        wanted = get_skeleton(asked)
        if stated is not None and stated != wanted and not poses.skeleton_assumed:
            raise UsageError(
                f"{path} says that its skeleton is {stated.name}, not {asked}",
                "Leave --skeleton out, or correct the file",
            )
        stated = wanted
    numbers = poses.joint_numbers
    if stated is None:
        joints = (
            f"joints {min(numbers)} to {max(numbers)}" if numbers else f"{poses.n_joints} joints"
        )
        raise UsageError(
            f"{path} does not say which skeleton its {joints} are of",
            f"Give --skeleton; {_fitting(poses)}",
        )
    if numbers is None and len(stated) != poses.n_joints:  # of numbered ones some may be missing
        raise UsageError(
            f"{path} has {poses.n_joints} joints, skeleton {stated.name} has {len(stated)}",
            _fitting(poses),
        )
    return stated


def _fitting(poses: Poses) -> str:
    numbers, n = poses.joint_numbers, poses.n_joints
    if numbers is None:
        names = sorted(s.name for s in SKELETONS.values() if len(s) == n)
        return f"with {n} joints: {', '.join(names) or 'none is known'}"
    names = [s.name for s in SKELETONS.values() if first_number(numbers, s) is not None]
    return f"with such numbers: {', '.join(sorted(names)) or 'none is known'}"


_FARTHEST_PX = 1e9  # beyond are mistakes, which the record's numbers would not hold


def _in_pixels(poses: Poses, clip: Clip, min_score: float, path: Path) -> Poses:
    """Returns the poses of which something is seen, in pixels, NaN where a joint is not seen."""
    points = np.array(poses.points, np.float64)
    if poses.normalised:
        points = points * np.array(clip.info.size_wh)
    seen = np.isfinite(points).all(-1) & (points != 0).any(-1) & (poses.score > min_score)
    if len(points) and not seen.any():
        raise _nothing_visible(path, min_score)
    if seen.any() and np.abs(points[seen]).max() > _FARTHEST_PX:
        raise damaged(f"{path} has a keypoint {np.abs(points[seen]).max():g} pixels away")
    _check_pixels(points[seen].astype(np.float32), clip.info.size_wh, path)
    some = seen.any(-1)  # not the empty rows of tables
    people = poses.people
    if people is None and poses.ids is not None:
        people = np.unique(poses.ids[some])
    return replace(
        poses,
        frames=clip.frames[some],
        points=np.where(seen[..., None], points, np.nan).astype(np.float32)[some],
        score=np.where(seen, np.clip(poses.score, 0, 1), np.nan).astype(np.float32)[some],
        ids=None if poses.ids is None else poses.ids[some],
        people=people,
    )


def _nothing_visible(path: Path, min_score: float = 0.0) -> ResultFileError:
    what, todo = f"No keypoint is visible in {path}", "Lower --min-score"
    if min_score:
        return ResultFileError(f"{what} with a score above {min_score:g}", todo)
    todo = "Give coordinates and scores above 0: nothing, NaN and 0, 0 mean not seen"
    return ResultFileError(what, todo)


def _check_pixels(known: Array, size_wh: tuple[int, int], path: Path) -> None:
    """Refuses coordinates ``(n, 2)`` that are not pixels, the commonest mistake."""
    if not len(known) or min(size_wh) <= 4:
        return
    if np.abs(known).max() <= 1.5:
        raise ResultFileError(
            f"The keypoints of {path} lie between -1 and 1: they are not in pixels",
            "Scale them to pixels of the picture, origin at the top left",
        )
    if (np.median(known, axis=0) > 1.5 * np.array(size_wh)).any():
        x, y = np.median(known, axis=0)
        raise UsageError(
            f"Most keypoints of {path} lie outside of the picture (middle {x:.0f}, {y:.0f}, picture "
            f"{size_wh[0]}x{size_wh[1]})",
            "Give the size of the pictures that the keypoints were found in",
        )


def _people(
    poses: Poses, time_s: Array, skeleton: Skeleton, path: Path
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Returns the id of each pose (0: nobody), and all ids in order."""
    if poses.ids is None:
        from pose3d.tracking.association import follow_people

        ids = follow_people(
            poses.frames, poses.points, np.nan_to_num(poses.score), time_s, skeleton
        )
        return ids, np.unique(ids[ids > 0])
    pairs, counts = np.unique(np.stack([poses.frames, poses.ids], -1), axis=0, return_counts=True)
    if (counts > 1).any():
        frame, person = pairs[counts > 1][0]
        raise ResultFileError(f"{path} has person {person} twice in frame {frame}", HOW)
    people = poses.people if poses.people is not None else np.unique(poses.ids)
    # Ids of pose3d count from 1; --person could not name others.
    shift = max(0, 1 - int(people.min())) if len(people) else 0
    return poses.ids + shift, people + shift


def _assemble(
    poses: Poses,
    ids: NDArray[np.int_],
    people: NDArray[np.int_],
    clip: Clip,
    skeleton: Skeleton,
    record: StageRecord,
) -> PoseSequence:
    rows = ids > 0
    points, score = poses.points[rows], poses.score[rows]
    arrays = {
        "boxes_xyxy_px": np.concatenate(bounds_of(points), -1),
        "keypoints_px": points,
        "score": score,
        "valid": np.asarray(np.isfinite(score).any(-1)),
    }
    return PoseSequence(
        video=clip.info,
        time_s=clip.time_s,
        skeleton=skeleton,
        **fill_spans(poses.frames[rows], ids[rows], arrays, people.tolist()),
        camera=clip.camera,
        made_by=(record,),
    )
