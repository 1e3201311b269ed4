"""From a video to 3D people: the chain, in the order in which it runs.

Two passes over the video keep memory independent of its length: the first turns pictures into 2D
tracks (arrays only), the second, in :mod:`pose3d.render.video`, draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.arguments import checked
from pose3d.body.mappings import mapping_to_h36m
from pose3d.cleaning.poses import clean_keypoints, hold_bones_constant, smooth_joints
from pose3d.errors import UsageError, naming_memory
from pose3d.networks2d.flip_test import add_flip_test
from pose3d.networks2d.interfaces import Detector, KeypointEstimator, OneStageEstimator
from pose3d.networks2d.loading import finds_people_itself, make_detector, make_keypoints
from pose3d.options import RunOptions, parse_person
from pose3d.parts.installed import find_weights
from pose3d.parts.presets import change_options
from pose3d.result.camera import ASSUMED_WARNING, Camera, assumed_camera, focal_from_35mm
from pose3d.result.record import PoseSequence, StageRecord
from pose3d.scene.placing import place_people
from pose3d.tracking.clip import AnyTracker, collect_tracks, make_tracker
from pose3d.tracking.track import Observation
from pose3d.video.picture import Video
from pose3d.video.reader import VideoFrame, VideoReader, open_video
from pose3d.video.streaming import in_background
from pose3d.weights.info import ModelInfo

if TYPE_CHECKING:
    from pose3d.lift.lifter import Lifter

Array = NDArray[np.floating]

OnProgress = Callable[[str, int, int], None]
"""Called with the stage, the frames done and the frames in all (0: unknown)."""

DECODE_AHEAD = 8
"""Decoded frames that may wait for the networks."""

_LEFT_OUT = (
    "People of whom only head and shoulders were seen: {}, left out. --partial-people keeps them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The networks of a run, loaded once for any number of videos."""

    detector: Detector
    estimator: KeypointEstimator
    lifter: Lifter

    @property
    def infos(self) -> tuple[ModelInfo, ModelInfo, ModelInfo]:
        return self.detector.info, self.estimator.info, self.lifter.info


@naming_memory()
def load_models(options: RunOptions) -> Models:
    """Loads the networks that the options name, fetching weights that are not here."""
    from pose3d.lift.sequence import check_hypotheses, make_lifter_for

    where: dict[str, Any] = {"device": options.device, "offline": options.offline}
    lifter = make_lifter_for(options)
    if options.hypotheses:
        check_hypotheses(lifter)
    estimator = make_keypoints(options.keypoints, threads=options.threads, **where)
    mapping_to_h36m(lifter.options.mapping, estimator.skeleton)
    if options.flip_test_2d:
        estimator = add_flip_test(estimator)
    if options.tracker != "own":
        from pose3d.tracking.yolo_trackers import check_linker

        check_linker(options.tracker)
    if isinstance(estimator, OneStageEstimator):
        return Models(detector=estimator, estimator=estimator, lifter=lifter)
    detector = make_detector(options.detector, threads=options.threads, **where)
    return Models(detector=detector, estimator=estimator, lifter=lifter)


def fetch_weights(options: RunOptions, say: Callable[[str], None]) -> None:
    """Fetches what detector and estimator need and is not here yet, and says so."""
    names = {"keypoints": options.keypoints}
    if not finds_people_itself(options.keypoints):
        names["detector"] = options.detector
    for kind, name in names.items():
        if not name.endswith(":"):  # that is refused when it is made
            find_weights(kind, name, offline=False, say=say)


@checked
def estimate(
    video: Video,
    options: RunOptions | None = None,
    *,
    models: Models | None = None,
    on_progress: OnProgress | None = None,
    on_warning: Callable[[str], None] | None = None,
    **changes: Any,
) -> PoseSequence:
    """Returns the 3D motion of every person in a video (file, folder of images, camera number).

    ``models`` of :func:`load_models` may be shared between videos; ``on_warning`` gets what a user
    should know and that stops nothing; ``changes`` are single options, e.g. ``smooth=False``.
    Pictures in memory (an array ``(frame, height, width, 3)`` or any iterable, uint8 RGB) need ``rate``.
    """
    options = change_options(options, changes)
    models = models or load_models(options)
    tracked = track(video, options, models, on_progress=on_progress, on_warning=on_warning)
    return lift_keypoints(tracked, options, models=models, on_progress=on_progress)


def open_clip(video: Video, options: RunOptions) -> VideoReader:
    """Opens the part of a clip that the options ask for."""
    return open_video(
        video,
        start=options.start,
        end=options.end,
        rotate=options.rotate,
        rate=options.rate,
        duration=options.duration,
        stream=options.stream,
    )


def choose_camera(options: RunOptions, known: Camera | None, size_wh: tuple[int, int]) -> Camera:
    """Returns the camera to lift and place by: of the options, else the known one, else an assumed one."""
    if options.focal_px is not None:
        words = f"--focal-px {options.focal_px:g}"
        return Camera(focal_px=options.focal_px, focal_source="given", focal_from=words)
    if options.focal_35mm is not None:
        focal_px = focal_from_35mm(options.focal_35mm, size_wh)
        words = f"--focal-35mm {options.focal_35mm:g}"
        return Camera(focal_px=focal_px, focal_source="given", focal_from=words)
    return known or assumed_camera(size_wh)


def find_camera(reader: VideoReader, options: RunOptions) -> Camera:
    """Returns the camera of a clip; nothing is looked for where the options say it."""
    is_given = options.focal_px is not None or options.focal_35mm is not None
    return choose_camera(options, None if is_given else reader.find_camera(), reader.info.size_wh)


def make_tracker_for(options: RunOptions, models: Models, reader: VideoReader) -> AnyTracker:
    """Makes the tracker that the options ask for."""
    return make_tracker(
        options.tracker,
        models.detector,
        models.estimator,
        rate=reader.info.rate,
        detect_every=options.detect_every,
    )


@naming_memory()
def track(
    video: Video,
    options: RunOptions,
    models: Models,
    *,
    on_progress: OnProgress | None = None,
    on_warning: Callable[[str], None] | None = None,
    on_camera: Callable[[Camera], None] | None = None,
) -> PoseSequence:
    """Returns raw keypoints, in the estimator's skeleton, of the people of ``options.person``."""
    with open_clip(video, options) as reader:
        camera = find_camera(reader, options)
        if on_camera is not None:
            on_camera(camera)
        if on_warning is not None and options.place and camera.focal_source == "assumed":
            on_warning(ASSUMED_WARNING)
        total = reader.info.n_frames
        tracker = make_tracker_for(options, models, reader)
        done = 0

        def count(_frame: VideoFrame, _seen: list[Observation]) -> None:
            nonlocal done
            done += 1
            if on_progress is not None:
                on_progress("2D", done, max(total, done) if total else 0)

        with in_background(reader, DECODE_AHEAD) as frames:
            tracks = collect_tracks(
                frames,
                tracker,
                reader.info,
                partial_people=options.partial_people,
                on_frame=count,
            )
        if tracks.left_out and on_warning is not None:
            on_warning(_LEFT_OUT.format(tracks.left_out))
        pose = replace(tracks.pose, video=reader.exact_info(), camera=camera)
        if on_warning is not None:
            for warning in reader.warnings:
                on_warning(warning)
    return choose_people(pose, options.person)


@checked
@naming_memory()
def lift_keypoints(
    pose: PoseSequence,
    options: RunOptions | None = None,
    *,
    models: Models | None = None,
    lifter: Lifter | None = None,
    on_progress: OnProgress | None = None,
    **changes: Any,
) -> PoseSequence:
    """Turns keypoints with scores into placed 3D people; ``lifter`` is for ``models`` None."""
    from pose3d.lift.sequence import check_hypotheses, lift_sequence, make_lifter_for

    options = change_options(options, changes)
    if models is not None:
        lifter = models.lifter
    if lifter is None:
        lifter = make_lifter_for(options)
    if options.hypotheses:
        check_hypotheses(lifter)
    if options.chosen_by is not None:
        name, _, chosen = options.chosen_by.partition(": ")  # "preset best: keypoints rtmpose, ..."
        pose = pose.with_stage(
            StageRecord(
                stage="choose", name=name, options={"chosen": chosen}, device_reason="no network"
            )
        )
    pose = replace(pose, camera=choose_camera(options, pose.camera, pose.video.size_wh))
    pose = clean_keypoints(
        pose, max_gap=options.max_gap, smooth=options.smooth, strength=options.smooth_strength
    )
    pose = lift_sequence(
        pose,
        lifter,
        flip_test=options.flip_test,
        rate_test=options.rate_test and not options.hypotheses,
        height=options.height,
        hypotheses=options.hypotheses,
    )
    if options.smooth:
        pose = smooth_joints(pose, strength=options.smooth_strength)
    if options.constant_bones:
        pose = hold_bones_constant(pose)
    if options.place:
        pose = place_people(pose)
    if on_progress is not None:
        on_progress("3D", pose.n_frames, pose.n_frames)
    return pose


def choose_people(pose: PoseSequence, person: str | int | Sequence[int]) -> PoseSequence:
    """Keeps the people that ``--person`` names.

    ``largest`` has the greatest mean box area over the clip, counting absence as 0; ``longest`` is
    seen in most frames.
    """
    wanted = parse_person(person)
    if wanted == "all" or (isinstance(wanted, str) and pose.n_people == 0):
        return pose
    if isinstance(wanted, tuple):
        ids = pose.person_ids.tolist()
        missing = [i for i in wanted if i not in ids]
        if missing:
            raise UsageError(
                f"There is no person {missing[0]} in {pose.video.path}",
                f"Its people are: {', '.join(map(str, ids)) or 'none'}",
            )
        return pose.select_people(wanted)
    measure = pose.valid.astype(float)
    if wanted == "largest":
        boxes = pose.boxes_xyxy_px
        measure = np.nan_to_num((boxes[:, 2:] - boxes[:, :2]).prod(-1))
    best = max(pose.spans, key=lambda span: float(measure[span.rows].sum()))
    return pose.select_people([best.person_id])
