"""Pictures of a result: the video with skeletons, and all people in 3D beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pose3d.arguments import checked
from pose3d.errors import UsageError, VideoError, unknown_name
from pose3d.options import OutputOptions
from pose3d.render.compose import MODES, Footer, cut, fit_picture, plan_layout
from pose3d.render.overlay import Overlay
from pose3d.render.paint import Picture
from pose3d.render.scene import Scene
from pose3d.render.style import get_style
from pose3d.result.record import PoseSequence
from pose3d.video.picture import IN_MEMORY, Image

if TYPE_CHECKING:
    from pose3d.video.reader import VideoReader

HEIGHT_PX: int = OutputOptions().render_height
_QUEUE = 4  # pictures between two threads; more would only cost memory

# How drawings are encoded: a faster motion search than the preset veryfast has.
ENCODER: dict[str, Any] = {"crf": 22, "x264_params": "subme=1:me=dia:rc-lookahead=5"}


class Renderer:
    """Draws single frames of a result. Everything that does not move is painted once, here.

    Panels are as high as the video, at most ``height`` pixels (even). ``orbit_deg_per_s`` is how fast the 3D view
    turns; ``hypotheses`` are drawn as ghosts. A UsageError for a result without what is to be drawn.
    """

    def __init__(
        self,
        pose: PoseSequence,
        *,
        mode: str = "side-by-side",
        style: str = "light",
        height: int = HEIGHT_PX,
        orbit_deg_per_s: float = 0.0,
        hypotheses: bool = False,
    ) -> None:
        if mode not in MODES:
            raise unknown_name("render mode", mode, MODES)
        if hypotheses and pose.hypotheses_cam_m is None:
            raise UsageError(
                f"The result of {pose.video.path} has no hypotheses",
                "Make it again with --hypotheses and a lifter that has them, or draw it without",
            )
        if hypotheses and mode == "overlay":
            raise UsageError(
                "Mode 'overlay' has no 3D panel for hypotheses", "Give mode 3d or side-by-side"
            )
        if mode != "overlay" and pose.joints_cam_m is None:
            raise UsageError(
                f"The result of {pose.video.path} has no 3D joints, which mode {mode!r} draws",
                "Lift it first (pose3d lift), or draw it with mode 'overlay'",
            )
        look = get_style(style)
        self._layout = layout = plan_layout(pose.video.size_wh, mode, height)
        self.size_wh: tuple[int, int] = layout.size_wh  # of what draw returns; even
        self._background = np.full((*layout.size_wh[::-1], 3), look.page, np.uint8)
        self._overlay = self._scene = None
        if layout.picture is not None:
            self._overlay = Overlay(pose, look, layout.picture[2:])
        if layout.scene is not None:
            self._scene = Scene(
                pose, look, layout.scene[2:], orbit_deg_per_s, hypotheses=hypotheses
            )
            cut(self._background, layout.scene)[:] = self._scene.background
        self._footer = Footer(pose, look, layout.footer[2:])
        cut(self._background, layout.footer)[:] = self._footer.background
        self._video_wh = pose.video.size_wh

    def draw(self, image: Image | None, frame_index: int, out: Picture | None = None) -> Picture:
        """Draws a frame over its ``image`` (None: an empty panel behind the skeletons).

        ``out``, ``(size_wh[1], size_wh[0], 3)``, is drawn into and returned; fresh memory costs
        more than drawing. A VideoError when the image is not of the video's size.
        """
        layout = self._layout
        if out is None:
            out = np.empty_like(self._background)
        np.copyto(out, self._background)
        if layout.picture is not None and self._overlay is not None:
            picture = cut(out, layout.picture)
            if image is not None:
                width, height = self._video_wh
                if image.shape[:2] != (height, width):
                    raise VideoError(
                        f"The frame is {image.shape[1]} x {image.shape[0]} px, the result was made "
                        f"from {width} x {height} px",
                        "Give the video that the result was made from",
                    )
                picture[:] = fit_picture(image, layout.picture[2:])
            self._overlay.draw(picture, frame_index)
        if layout.scene is not None and self._scene is not None:
            self._scene.draw(cut(out, layout.scene), frame_index)
        self._footer.draw(cut(out, layout.footer), frame_index)
        return out


@checked
def render_video(
    pose: PoseSequence,
    video: str | Path | None,
    path: str | Path,
    *,
    mode: str = "side-by-side",
    style: str = "light",
    height: int = HEIGHT_PX,
    encoder: str = "x264",
    orbit_deg_per_s: float = 0.0,
    hypotheses: bool = False,
    on_frame: Callable[[int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Path:
    """Draws a result over its video and writes an H.264 file with the video's sound.

    Decoding, drawing and encoding have a thread each. ``video`` is a path, never pictures in memory;
    None: ``pose.video.path``; mode ``"3d"`` takes only its sound. ``on_frame`` gets the number of
    frames written so far, ``on_warning`` what could not be kept of the sound or that no hardware
    encodes; ``encoder`` is as for :class:`~pose3d.video.writer.write_video`, the rest as for
    :class:`Renderer`.
    """
    from pose3d.video.streaming import in_background
    from pose3d.video.writer import write_video

    if pose.n_frames == 0:
        raise UsageError(f"The result of {pose.video.path} has no frames", "Nothing can be drawn")
    renderer = Renderer(
        pose,
        mode=mode,
        style=style,
        height=height,
        orbit_deg_per_s=orbit_deg_per_s,
        hypotheses=hypotheses,
    )
    source = Path(video if video is not None else pose.video.path)
    rows = ((None, row) for row in range(pose.n_frames))
    frames = rows if mode == "3d" else video_frames(pose, source)

    # Besides those in the queue: one being drawn, one waiting for room, one being encoded.
    buffers = [np.empty((*renderer.size_wh[::-1], 3), np.uint8) for _ in range(_QUEUE + 3)]

    def drawn() -> Iterator[tuple[Picture, int]]:
        with in_background(frames, _QUEUE) as decoded:
            for turn, (image, index) in enumerate(decoded):
                yield renderer.draw(image, index, buffers[turn % len(buffers)]), index

    sound = source if pose.video.has_audio and source.is_file() else None
    with (
        in_background(drawn(), _QUEUE) as pictures,
        write_video(
            Path(path),
            renderer.size_wh,
            rate=pose.video.rate,
            **ENCODER,
            encoder=encoder,
            audio_from=sound,
            audio_range=_range_s(pose) if sound else None,
            audio_clock=_stream_of(pose, source),
        ) as writer,
    ):
        for written, (picture, index) in enumerate(pictures, 1):
            writer.write(picture, float(pose.time_s[index]))
            if on_frame is not None:
                on_frame(written)
    if on_warning is not None:
        for warning in writer.warnings:
            on_warning(warning)
    return Path(path)


def _range_s(pose: PoseSequence) -> tuple[float, float]:
    """Returns when the record's first frame begins and its last one ends, in seconds."""
    return float(pose.time_s[0]), float(pose.time_s[-1]) + 1 / float(pose.video.rate)


def _open_again(pose: PoseSequence, source: Path, start: float | None, end: float) -> VideoReader:
    """Opens the video the way it was opened when the result was made."""
    from pose3d.video.reader import camera_index, open_video

    if str(source) == IN_MEMORY:
        raise VideoError(
            "The result was made from frames in memory, which were not kept",
            "Draw it with mode '3d', or write them with write_video and give that file",
        )
    if camera_index(source) is not None:
        raise VideoError(
            f"The result was recorded from camera {source}, whose pictures were not kept",
            "Draw it with mode '3d'",
        )
    rate = pose.video.rate if source.is_dir() else None
    stream = _stream_of(pose, source)
    reader = open_video(source, start=start, end=end, rate=rate, stream=stream)
    turn = pose.video.rotation_deg
    if reader.info.rotation_deg == turn:
        return reader
    reader.close()
    return open_video(source, start=start, end=end, rate=rate, stream=stream, rotate=turn)


def _stream_of(pose: PoseSequence, source: Path) -> int | None:
    """Returns the stream that the result was made from; another file may have others."""
    return pose.video.stream if source == Path(pose.video.path) and source.is_file() else None


def video_frames(pose: PoseSequence, source: Path) -> Iterator[tuple[Picture | None, int]]:
    """Yields the picture (None: missing) of each row of the record, matched by presentation time.

    A VideoError when less than half of the rows have one: this is another video.
    """
    start, end = _range_s(pose)
    tolerance = 0.5 / float(pose.video.rate)
    if pose.n_frames > 1:
        tolerance = min(tolerance, 0.5 * float(np.diff(pose.time_s).min()))
    row = found = 0
    whole = start <= 2 * tolerance  # from the beginning: nothing to seek
    begin = None if whole else max(start - tolerance, 0.0)
    with _open_again(pose, source, begin, end) as reader:
        for frame in reader:
            while row < pose.n_frames and pose.time_s[row] < frame.time_s - tolerance:
                yield None, row
                row += 1
            if row == pose.n_frames:
                break
            if abs(pose.time_s[row] - frame.time_s) <= tolerance:
                yield frame.image, row
                row += 1
                found += 1
    while row < pose.n_frames:
        yield None, row
        row += 1
    if found * 2 < pose.n_frames:
        raise VideoError(
            f"{source} has pictures for only {found} of the {pose.n_frames} frames of the result",
            "Give the video that the result was made from",
        )
