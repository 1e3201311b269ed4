"""Frame by frame, from the past alone: 3D people of cameras and of clips while they play."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.arguments import checked
from pose3d.body.mappings import map_to_h36m
from pose3d.cleaning.poses import live_filter
from pose3d.cleaning.smoothing import OneEuro
from pose3d.errors import UsageError
from pose3d.options import RunOptions, parse_person
from pose3d.parts.presets import change_options
from pose3d.pipeline.estimate import Models, find_camera, load_models, make_tracker_for, open_clip
from pose3d.result.camera import Camera
from pose3d.tracking.track import Observation
from pose3d.video.picture import Video
from pose3d.video.reader import VideoFrame
from pose3d.video.timestamps import longest_step_s

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPerson:
    """A person in one frame of a stream."""

    person_id: int
    box_xyxy_px: Array  # ``(4,)``
    keypoints_px: Array  # ``(17, 2)`` H36M17
    score: Array  # ``(17,)``
    joints_cam_m: Array  # ``(17, 3)`` relative to the pelvis


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFrame:
    """One frame of a stream with the people in it."""

    frame: VideoFrame
    people: tuple[StreamPerson, ...]


@dataclass(slots=True, kw_only=True)
class _Past:
    """A person who was seen in every frame up to now."""

    rows: deque[Array]  # newest keypoints, ``(17, x y score)`` each
    filter: OneEuro | None  # of the joints; None: they stay as lifted


@checked
def stream(
    video: Video,
    options: RunOptions | None = None,
    *,
    models: Models | None = None,
    **changes: Any,
) -> Iterator[StreamFrame]:
    """Yields every frame as soon as it is known, from the past alone (for cameras and live use).

    People are shown as soon as enough speaks for them. Each person's newest pose is steadied by a One-Euro filter (``smooth``, ``smooth_strength``),
    which lags a little; ``estimate`` sees the whole clip and is better. Gaps, constant bones, placing,
    hypotheses and ``person`` other than ids do not apply. ``mixste.live9`` is made for this.
    Of an iterable of pictures each is taken when the one before is done.
    """
    options = change_options(options, changes)
    wanted = parse_person(options.person)
    if wanted in ("largest", "longest"):
        raise UsageError(
            f"--person {options.person} is not known before the clip ends",
            "Give all or track ids, or use estimate",
        )
    models = models or load_models(options)
    pasts: dict[int, _Past] = {}
    with open_clip(video, options) as reader:
        tracker = make_tracker_for(options, models, reader)
        size_wh, rate = reader.info.size_wh, float(reader.info.rate)
        camera = find_camera(reader, options)
        before_s = math.inf
        for frame in reader:
            if frame.time_s - before_s > longest_step_s(1 / rate):
                pasts.clear()
            before_s = frame.time_s
            seen = [o for o in tracker.step(frame) if o.shown(options.partial_people)]
            seen = [o for o in seen if wanted == "all" or o.track_id in tuple(wanted)]
            people = _lift_newest(seen, frame.time_s, pasts, models, size_wh, rate, options, camera)
            yield StreamFrame(frame=frame, people=people)


def _lift_newest(
    seen: list[Observation],
    time_s: float,
    pasts: dict[int, _Past],
    models: Models,
    size_wh: tuple[int, int],
    rate: float,
    options: RunOptions,
    camera: Camera,
) -> tuple[StreamPerson, ...]:
    """Adds the newest keypoints to each person's past and lifts all pasts in one batch."""
    for gone in set(pasts) - {o.track_id for o in seen}:
        del pasts[gone]
    if not seen:
        return ()
    from pose3d.lift.sequence import lift_ends
    from pose3d.lift.windows import newest_window, plan_rate, rows_of_past

    lifter, skeleton = models.lifter, models.estimator.skeleton
    points, score = map_to_h36m(
        lifter.options.mapping,
        np.stack([o.keypoints_px for o in seen]),
        np.stack([o.score for o in seen]),
        skeleton,
    )
    newest = np.concatenate([camera.straighten(points, size_wh), score[..., None]], -1)
    plan = plan_rate(rate, lifter.options.rate_range)
    length = rows_of_past(plan, lifter.frames)
    for observation, row in zip(seen, newest, strict=True):
        if observation.track_id not in pasts:
            steady = live_filter(options.smooth_strength) if options.smooth else None
            pasts[observation.track_id] = _Past(rows=deque(maxlen=length), filter=steady)
        pasts[observation.track_id].rows.append(row)
    joints = lift_ends(
        [newest_window(np.stack(list(pasts[o.track_id].rows)), plan, lifter.frames) for o in seen],
        lifter,
        size_wh,
        camera.focal_px,
        flip_test=options.flip_test,
    )
    for i, observation in enumerate(seen):
        steady = pasts[observation.track_id].filter
        if steady is not None:
            joints[i] = steady.step(joints[i], time_s)
    scale = 1.0 if options.height is None else options.height / 1.70
    return tuple(
        StreamPerson(
            person_id=o.track_id,
            box_xyxy_px=o.box_xyxy_px,
            keypoints_px=points[i],
            score=score[i],
            joints_cam_m=joints[i] * scale,
        )
        for i, o in enumerate(seen)
    )
