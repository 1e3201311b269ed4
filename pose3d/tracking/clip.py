"""From the pictures of a clip to its people: one pass, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.networks2d.flip_test import FlipTest
from pose3d.networks2d.interfaces import Detector, KeypointEstimator, OneStageEstimator
from pose3d.result.record import PoseSequence, StageRecord, VideoInfo, fill_spans
from pose3d.tracking.box_tracker import BoxTracker
from pose3d.tracking.stitching import Tracklet, clean_tracks, tracklet_of
from pose3d.tracking.track import Observation
from pose3d.tracking.tracker import Tracker
from pose3d.weights.info import ModelInfo

if TYPE_CHECKING:
    from pose3d.video.reader import VideoFrame

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """The people of a whole clip."""

    pose: PoseSequence  # in the estimator's skeleton
    world_m: Array | None  # (row, joint, 3) about the hips, camera axes, NaN: absent
    left_out: int = 0  # people of whom only head and shoulders were seen


AnyTracker = Tracker | BoxTracker


def make_tracker(
    name: str,
    detector: Detector,
    estimator: KeypointEstimator,
    *,
    rate: Fraction | float,
    detect_every: int = 15,
) -> AnyTracker:
    """Makes the tracker of this name (:data:`pose3d.options.TRACKERS`) for one clip.
    ``rate`` is in frames per second, ``detect_every`` in frames; one-stage estimators and box
    trackers look for people in every frame anyway."""
    if name == "own":
        every = 1 if isinstance(estimator, OneStageEstimator) else detect_every
        return Tracker(detector, estimator, rate=rate, detect_every=every)
    from pose3d.tracking.yolo_trackers import YoloLinker

    return BoxTracker(detector, estimator, YoloLinker(name, rate))


OnFrame = Callable[["VideoFrame", list[Observation]], None]


def collect_tracks(
    frames: Iterable[VideoFrame],
    tracker: AnyTracker,
    info: VideoInfo,
    *,
    partial_people: bool = False,
    on_frame: OnFrame | None = None,
) -> Tracks:
    """Tracks a whole clip in one pass; no picture is kept.
    Broken tracks are joined, ghosts and duplicates removed, people numbered from 1 by first
    appearance. The tracker has to be new; ``info``'s number of frames is corrected.
    ``partial_people``: also those of whom only head and shoulders were ever seen."""
    times: list[float] = []
    seen: dict[int, list[tuple[int, Observation]]] = {}
    for number, frame in enumerate(tracker.look_ahead(frames)):
        times.append(float(frame.time_s))
        observations = tracker.step(frame)
        for observation in observations:
            seen.setdefault(observation.track_id, []).append((number, observation))
        if on_frame is not None:
            on_frame(frame, observations)
    time_s = np.array(times, np.float64)
    skeleton = tracker.estimator.skeleton
    people = clean_tracks([tracklet_of(s) for s in seen.values()], time_s, skeleton)
    left_out = 0 if partial_people else sum(t.evidence.partial for t in people)
    if left_out:
        people = [t for t in people if not t.evidence.partial]
        people = [replace(t, id=number) for number, t in enumerate(people, 1)]
    world = [t.world_m for t in people if t.world_m is not None]
    rows = _rows(people, len(skeleton), world if len(world) == len(people) > 0 else None)
    world_m = rows.pop("world_m", None)
    pose = PoseSequence(
        video=replace(info, n_frames=len(time_s)),
        time_s=time_s,
        skeleton=skeleton,
        made_by=_records(tracker, partial_people=partial_people, left_out=left_out),
        **rows,
    )
    return Tracks(pose=pose, world_m=world_m, left_out=left_out)


def _rows(people: list[Tracklet], joints: int, world: list[Array] | None) -> dict[str, Any]:
    """Returns the arrays of a record, and ``world_m`` where it is known."""

    def joined(parts: list[Array], *shape: int) -> Array:
        return np.concatenate([np.zeros((0, *shape), np.float32), *parts], dtype=np.float32)

    arrays = {
        "boxes_xyxy_px": joined([t.boxes_xyxy_px for t in people], 4),
        "keypoints_px": joined([t.keypoints_px for t in people], joints, 2),
        "score": joined([t.score for t in people], joints),
        "valid": np.isfinite(joined([t.presence for t in people])),
    }
    if world is not None:
        arrays["world_m"] = joined(world, joints, 3)
    frame = np.concatenate([np.zeros(0, np.int64), *(t.frames for t in people)])
    ids = [t.id for t in people]
    return fill_spans(
        frame, np.repeat(np.array(ids, np.int64), [len(t) for t in people]), arrays, ids
    )


def _records(
    tracker: AnyTracker, *, partial_people: bool, left_out: int
) -> tuple[StageRecord, ...]:
    def record(stage: str, model: ModelInfo, **options: Any) -> StageRecord:
        return StageRecord(
            stage=stage,
            name=model.name,
            options=options,
            weights=", ".join(model.weights) or None,
            sha256=", ".join(model.sha256) or None,
            device=model.device,
            device_reason=model.device_reason,
        )

    return (
        record("detect", tracker.detector.info),
        record(
            "keypoints",
            tracker.estimator.info,
            flip_test_2d=isinstance(tracker.estimator, FlipTest),
        ),
        StageRecord(
            stage="track",
            name=tracker.linker.name if isinstance(tracker, BoxTracker) else "regions",
            options={
                "detect_every": tracker.detect_every,
                "partial_people": partial_people,
                "partial_people_left_out": left_out,
            }
            | (tracker.linker.options if isinstance(tracker, BoxTracker) else {}),
            device_reason="plain arrays",
        ),
    )
