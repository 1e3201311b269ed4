"""What a live run shows: the picture with its people, everybody in 3D beside it, and the figures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pose3d.body.skeletons import H36M17
from pose3d.live.moment import Moment
from pose3d.pipeline.live import StreamPerson
from pose3d.render import paint
from pose3d.render.compose import clock, cut, fit_picture, plan_layout
from pose3d.render.overlay import Overlay
from pose3d.render.paint import Picture
from pose3d.render.scene import Scene
from pose3d.render.style import get_style
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.result.rig import rest_directions

PANEL_PX = 540  # height of the panels, at most: drawing shares the cores with the networks

# Bones of somebody of 1.70 m, by the joint that ends them.
_BONES_M = {"hip": 0.13, "knee": 0.44, "ankle": 0.44, "spine": 0.24, "thorax": 0.25, "nose": 0.18}
_BONES_M |= {"top": 0.12, "shoulder": 0.17, "elbow": 0.28, "wrist": 0.25}


class LivePicture:
    """Draws single moments; what does not move is painted once for each number of people."""

    def __init__(self, style: str) -> None:
        self._look = get_style(style)
        self._rooms: dict[int, Scene] = {}
        self._out = np.zeros((0, 0, 3), np.uint8)  # drawn into again: fresh memory costs more

    def draw(self, moment: Moment) -> Picture:
        """Returns a picture of the moment, both panels over a strip with time, rate and latency.

        The next call draws into the same memory.
        """
        height, width = moment.image.shape[:2]
        layout = plan_layout((width, height), "side-by-side", PANEL_PX)
        if self._out.shape[1::-1] != layout.size_wh:
            self._out = np.full((*layout.size_wh[::-1], 3), self._look.page, np.uint8)
        out = self._out
        pose = record_of(moment)
        assert layout.picture is not None
        assert layout.scene is not None
        panel = cut(out, layout.picture)
        panel[:] = fit_picture(moment.image, layout.picture[2:])
        Overlay(pose, self._look, layout.picture[2:]).draw(panel, 0)
        self._draw_scene(cut(out, layout.scene), pose)
        self._draw_strip(cut(out, layout.footer), moment)
        return out

    def _draw_scene(self, panel: Picture, pose: PoseSequence) -> None:
        size_wh, count = panel.shape[1::-1], max(1, pose.n_people)
        if count not in self._rooms:
            self._rooms[count] = Scene(record_of(_standing(count)), self._look, size_wh)
        room = self._rooms[count]
        np.copyto(panel, room.background)
        Scene(pose, self._look, size_wh, room=room).draw(panel, 0)

    def _draw_strip(self, strip: Picture, moment: Moment) -> None:
        """Writes the figures, as many as there is room for."""
        height, width = strip.shape[:2]
        font, middle = max(10, round(0.36 * height)), height / 2
        strip[:] = self._look.page
        strip[0] = self._look.line
        at = (width - 0.45 * height, middle)
        paint.put_text(strip, "pose3d", at, font, self._look.text, align="right", bold=True)
        room = at[0] - paint.text_width("pose3d", font, True) - font
        n = len(moment.people)
        words = (
            clock(moment.time_s, 1),
            f"{moment.rate:.{0 if moment.rate >= 10 else 1}f} frames/s",
            f"latency {1000 * moment.latency_s:.0f} ms",
            f"{moment.dropped} dropped",
            "1 person" if n == 1 else f"{n} people",
        )
        x = 0.45 * height
        for i, text in enumerate(words):
            wide = paint.text_width(text, font, i == 0)
            if x + wide > room:
                return
            colour = self._look.text if i == 0 else self._look.faint
            paint.put_text(strip, text, (x, middle), font, colour, bold=i == 0)
            x += wide + 1.6 * font


def _standing(people: int) -> Moment:
    """Returns so many people in T-pose, side by side."""
    joints, rest = np.zeros((len(H36M17), 3)), rest_directions()
    for joint, parent in enumerate(H36M17.parents):
        if parent >= 0:
            length_m = _BONES_M[H36M17.joints[joint].split("_")[-1]]
            joints[joint] = joints[parent] + length_m * rest[joint] * (1.0, -1.0, -1.0)
    return Moment(
        index=0,
        time_s=0.0,
        image=np.zeros((1, 1, 3), np.uint8),
        people=tuple(
            StreamPerson(
                person_id=number,
                box_xyxy_px=np.array([number, 0.0, number + 1, 1.0]),
                keypoints_px=np.zeros((len(H36M17), 2)),
                score=np.ones(len(H36M17)),
                joints_cam_m=joints,
            )
            for number in range(1, people + 1)
        ),
        captured_s=0.0,
    )


def record_of(moment: Moment) -> PoseSequence:
    """Returns a moment as a record of one frame."""
    people, (height, width) = moment.people, moment.image.shape[:2]

    def stack(name: str, *shape: int) -> np.ndarray:
        rows = np.array([getattr(person, name) for person in people], np.float64)
        return rows.reshape(len(people), *shape)

    return PoseSequence(
        video=VideoInfo(path="", size_wh=(width, height), rate=Fraction(30), n_frames=1),
        time_s=np.array([moment.time_s]),
        frame=np.zeros(len(people), np.int64),
        person_id=np.array([person.person_id for person in people], np.int64),
        skeleton=H36M17,
        boxes_xyxy_px=stack("box_xyxy_px", 4),
        keypoints_px=stack("keypoints_px", 17, 2),
        score=stack("score", 17),
        joints_cam_m=stack("joints_cam_m", 17, 3),
        valid=np.ones(len(people), np.bool_),
    )
