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
from pose3d.tracking.track import Observation
from pose3d.video.picture import Video
from pose3d.video.reader import VideoFrame, VideoReader
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

    rows: deque[Array]  # newest keypoints, ``(17, x y score)`` each, at the rate of the clip
    filter: OneEuro | None  # of the joints; None: they stay as lifted
    time_s: float = -math.inf  # of the newest row

    def add(self, row: Array, time_s: float, rate: float) -> None:
        """Appends a row, and rows on the line to it for frames that were dropped meanwhile."""
        missed = 0
        if self.rows:
            missed = min(round((time_s - self.time_s) * rate) - 1, self.rows.maxlen or 0)
            before = self.rows[-1]
        for k in range(1, missed + 1):
            self.rows.append(before + (row - before) * np.float32(k / (missed + 1)))
        self.rows.append(row)
        self.time_s = time_s


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
    wanted_ids(options.person)
    models = models or load_models(options)
    with open_clip(video, options) as reader:
        tracker = make_tracker_for(options, models, reader)
        lifter = LiveLifter(options, models, reader)
        for frame in reader:
            yield StreamFrame(frame=frame, people=lifter.step(tracker.step(frame), frame.time_s))


def wanted_ids(person: str) -> tuple[int, ...] | None:
    """Returns the track ids to show, None for everybody; a UsageError where only the end tells."""
    wanted = parse_person(person)
    if wanted in ("largest", "longest"):
        raise UsageError(
            f"--person {person} is not known before the clip ends",
            "Give all or track ids, or use estimate",
        )
    return None if isinstance(wanted, str) else wanted


class LiveLifter:
    """Lifts the newest frame of everybody from the past; one for each clip or camera.

    Frames may be left out where there is no time for them.
    """

    def __init__(self, options: RunOptions, models: Models, reader: VideoReader) -> None:
        self._wanted = wanted_ids(options.person)
        self._options, self._models = options, models
        self._size_wh, self._rate = reader.info.size_wh, float(reader.info.rate)
        self._camera = find_camera(reader, options)
        self._pasts: dict[int, _Past] = {}
        self._before_s = math.inf

    def step(self, seen: list[Observation], time_s: float) -> tuple[StreamPerson, ...]:
        """Takes the people of the next frame, and returns those who are shown, in 3D."""
        if time_s - self._before_s > longest_step_s(1 / self._rate):
            self._pasts.clear()
        self._before_s = time_s
        shown = [o for o in seen if o.shown(self._options.partial_people)]
        if self._wanted is not None:
            shown = [o for o in shown if o.track_id in self._wanted]
        for gone in set(self._pasts) - {o.track_id for o in shown}:
            del self._pasts[gone]
        return self._lift(shown, time_s) if shown else ()

    def _lift(self, seen: list[Observation], time_s: float) -> tuple[StreamPerson, ...]:
        """Adds the newest keypoints to each person's past and lifts all pasts in one batch."""
        from pose3d.lift.sequence import lift_ends
        from pose3d.lift.windows import newest_window, plan_rate, rows_of_past

        options, lifter = self._options, self._models.lifter
        points, score = map_to_h36m(
            lifter.options.mapping,
            np.stack([o.keypoints_px for o in seen]),
            np.stack([o.score for o in seen]),
            self._models.estimator.skeleton,
        )
        straight = self._camera.straighten(points, self._size_wh)
        newest = np.concatenate([straight, score[..., None]], -1)
        plan = plan_rate(self._rate, lifter.options.rate_range)
        length = rows_of_past(plan, lifter.frames)
        for observation, row in zip(seen, newest, strict=True):
            if observation.track_id not in self._pasts:
                steady = live_filter(options.smooth_strength) if options.smooth else None
                past = _Past(rows=deque(maxlen=length), filter=steady)
                self._pasts[observation.track_id] = past
            self._pasts[observation.track_id].add(row, time_s, self._rate)
        pasts = [self._pasts[o.track_id] for o in seen]
        joints = lift_ends(
            [newest_window(np.stack(list(p.rows)), plan, lifter.frames) for p in pasts],
            lifter,
            self._size_wh,
            self._camera.focal_px,
            flip_test=options.flip_test,
        )
        for i, past in enumerate(pasts):
            if past.filter is not None:
                joints[i] = past.filter.step(joints[i], time_s)
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
