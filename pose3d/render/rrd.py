"""Rerun's recordings: people in 3D and in the picture, on one timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.plugins import import_extra
from pose3d.render.style import person_colour
from pose3d.result.record import PoseSequence

TIMELINE = "video_time"


class RerunExporter:
    """Writes ``.rrd``: ``world/person_ID`` in metres, ``world/camera/person_ID`` in pixels.

    Hypotheses are left out. Reference: rerun.io, *Annotation Context* and *Pinhole*.
    """

    suffix = ".rrd"
    description = "A recording for the viewer Rerun; needs rerun-sdk"
    axes = "Axes of the camera; metres, pixels"
    away = "is cleared"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes everybody to ``path``."""
        rr = import_extra("rerun", "rerun", "The format rrd")
        try:
            self._record(rr, pose, path)
        finally:  # disconnected recordings keep two threads each until they are swept
            rr.bindings.flush_and_cleanup_orphaned_recordings()

    @staticmethod
    def _record(rr: Any, pose: PoseSequence, path: Path) -> None:
        recording = rr.RecordingStream("pose3d", recording_id=pose.video.path)
        recording.save(path)

        def log(name: str, thing: Any) -> None:
            recording.log(name, thing, static=True)

        log("world", rr.ViewCoordinates.RDF)  # right, down, forward
        log("world", _describe(rr, pose))
        if pose.camera is not None:
            width, height = pose.video.size_wh
            log(
                "world/camera",
                rr.Pinhole(focal_length=pose.camera.focal_px, width=width, height=height),
            )
        time = [rr.TimeColumn(TIMELINE, duration=pose.time_s)]
        for column, person in enumerate(pose.person_ids):

            def send(
                name: str, kind: Any, points: NDArray[np.floating], column: int = column
            ) -> None:
                seen = np.isfinite(points).all(-1)  # frame joint
                numbers = np.broadcast_to(np.arange(seen.shape[1]), seen.shape)[seen]
                rows = kind.columns(
                    positions=points[seen],
                    keypoint_ids=numbers,
                    class_ids=np.full(len(numbers), column),
                )
                recording.send_columns(name, time, rows.partition(seen.sum(-1)))

            one = pose.dense([int(person)])
            if one.joints_cam_m is not None:
                joints = one.joints_cam_m[:, 0]
                if one.root_cam_m is not None:
                    joints = joints + one.root_cam_m[:, 0, None]
                send(f"world/person_{person}", rr.Points3D, joints)
            if one.keypoints_px is not None and pose.camera is not None:
                name = f"world/camera/person_{person}"
                send(name, rr.Points2D, one.keypoints_px[:, 0])
        recording.flush()
        recording.disconnect()


def _describe(rr: Any, pose: PoseSequence) -> Any:
    """Returns names, bones and colours: a class for each person, a keypoint for each joint."""
    skeleton: Skeleton = pose.skeleton
    return rr.AnnotationContext(
        [
            rr.ClassDescription(
                info=rr.AnnotationInfo(
                    id=column, label=f"person {person}", color=person_colour(int(person))
                ),
                keypoint_annotations=[
                    rr.AnnotationInfo(id=j, label=name) for j, name in enumerate(skeleton.joints)
                ],
                keypoint_connections=list(skeleton.bones),
            )
            for column, person in enumerate(pose.person_ids)
        ]
    )
