"""Moments of a live run whose people are known."""

from __future__ import annotations

import numpy as np

from pose3d.live.moment import Moment
from pose3d.pipeline.live import StreamPerson
from pose3d.result.record import PoseSequence


def moment_of(pose: PoseSequence, frame: int) -> Moment:
    """Returns a frame of a record as it would be seen live."""
    dense = pose.dense()
    assert dense.joints_cam_m is not None
    assert dense.keypoints_px is not None
    assert dense.score is not None
    here = np.isfinite(dense.joints_cam_m[frame]).all((1, 2))
    people = tuple(
        StreamPerson(
            person_id=int(pose.person_ids[p]),
            box_xyxy_px=dense.boxes_xyxy_px[frame, p],
            keypoints_px=dense.keypoints_px[frame, p],
            score=dense.score[frame, p],
            joints_cam_m=dense.joints_cam_m[frame, p],
        )
        for p in np.flatnonzero(here)
    )
    width, height = pose.video.size_wh
    image = np.full((height, width, 3), 90, np.uint8)
    time_s = float(pose.time_s[frame])
    return Moment(index=frame, time_s=time_s, image=image, people=people, captured_s=time_s)
