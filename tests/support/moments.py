"""Moments of a live run whose people are known."""

from __future__ import annotations

import numpy as np

from pose3d.live.moment import Moment
from pose3d.pipeline.live import StreamPerson
from pose3d.result.record import PoseSequence


def moment_of(pose: PoseSequence, frame: int) -> Moment:
    """Returns a frame of a record as it would be seen live."""
    assert pose.joints_cam_m is not None
    assert pose.keypoints_px is not None
    assert pose.score is not None
    people = tuple(
        StreamPerson(
            person_id=int(pose.person_ids[p]),
            box_xyxy_px=pose.boxes_xyxy_px[frame, p],
            keypoints_px=pose.keypoints_px[frame, p],
            score=pose.score[frame, p],
            joints_cam_m=pose.joints_cam_m[frame, p],
        )
        for p in np.flatnonzero(pose.present[frame])
    )
    width, height = pose.video.size_wh
    image = np.full((height, width, 3), 90, np.uint8)
    time_s = float(pose.time_s[frame])
    return Moment(index=frame, time_s=time_s, image=image, people=people, captured_s=time_s)
