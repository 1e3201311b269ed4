"""What a live run keeps: the pictures that were worked on, and their people as a run writes them."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from pose3d.files import lock_folder
from pose3d.lift.sequence import make_lifter_for
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.pipeline.batch.one_clip import RECORDING_CRF, finish_clip
from pose3d.pipeline.batch.state import (
    RECORDING_NAME,
    FolderState,
    make_plan,
    read_state,
    remove_leftovers,
    result_options,
    write_state,
)
from pose3d.pipeline.estimate import OnProgress
from pose3d.pipeline.outputs import check_outputs, refuse_store
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.tracking.clip import AnyTracker, OnFrame, collect_tracks
from pose3d.video.reader import VideoFrame, VideoReader, camera_index
from pose3d.video.sources import Source, shorten
from pose3d.video.timestamps import measure_rate
from pose3d.video.writer import write_video

_TICK_S = Fraction(1, 90_000)  # of the file


class Recording:
    """The folder of a live run, which must be new or one that ``--overwrite`` may replace.

    While the run goes on, ``recording.mp4`` grows; afterwards :meth:`finish` lifts the whole clip,
    which sees the future of each frame and places people, and makes the rest as ``pose3d run`` does.
    """

    def __init__(self, video: str, options: RunOptions, outputs: OutputOptions) -> None:
        """Checks what can be checked before the first picture."""
        refuse_store(outputs)
        check_outputs(outputs)
        name = re.sub(r"[^\w.-]", "_", Path(video.rstrip("/")).stem)
        stem = f"camera-{video}" if camera_index(video) is not None else shorten(name) or "live"
        # Everybody is kept: ids of the whole clip are not those that were shown.
        self._options, self._outputs = replace(options, person="all"), outputs
        source = Source(path=video, kind="camera", stem=stem)
        self._plan = make_plan(source, self._options, outputs)
        self.folder = self._plan.folder
        self.pictures = self.folder / RECORDING_NAME

    @contextlib.contextmanager
    def open(self, reader: VideoReader) -> Iterator[None]:
        """Begins the file of the pictures; it is complete when the block ends."""
        self._info, self._camera = reader.info, pipeline.find_camera(reader, self._options)
        self.folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(self.folder):
            remove_leftovers(self.folder)
            earlier = read_state(self.folder)
            self._earlier = set(earlier.files if earlier else ())
            write_state(self.folder, self._state())
            failure = None
            with write_video(
                self.pictures,
                self._info.size_wh,
                rate=self._info.rate,
                crf=RECORDING_CRF,
                preset="superfast",
            ) as self._writer:
                try:
                    yield
                except Exception as error:  # must not cost what nobody can record again
                    failure = error
            if failure is not None:
                raise failure

    def collect(self, frames: Iterable[VideoFrame], tracker: AnyTracker, on_frame: OnFrame) -> None:
        """Tracks the pictures one by one, as they come, and keeps the tracks."""
        self._tracked = collect_tracks(
            frames,
            tracker,
            self._info,
            partial_people=self._options.partial_people,
            on_frame=on_frame,
        ).pose

    def write(self, frame: VideoFrame) -> None:
        """Keeps one picture."""
        self._writer.write(frame.image, frame.time_s)

    def finish(
        self, on_progress: OnProgress | None, on_warning: Callable[[str], None]
    ) -> PoseSequence:
        """Lifts the whole clip and makes the files of a run."""
        began = time.perf_counter()
        tracked, tell = self._tracked, on_progress or (lambda *_: None)
        time_s = tracked.time_s - tracked.time_s[0]
        rate, varies = measure_rate(time_s, tick_s=_TICK_S, candidates=(self._info.rate,))
        info = VideoInfo(
            path=str(self.pictures),
            size_wh=self._info.size_wh,
            rate=rate,
            n_frames=len(time_s),
            variable_rate=varies,
        )
        pose = replace(tracked, video=info, time_s=time_s, camera=self._camera)
        tell("3D", 0, pose.n_frames)
        pose = pipeline.lift_keypoints(
            pose, self._options, lifter=make_lifter_for(self._options), on_progress=on_progress
        )
        state = replace(
            self._state(),
            people=pose.n_people,
            frames=pose.n_frames,
            seconds=round(time.perf_counter() - began, 2),
        )
        with lock_folder(self.folder):
            write_state(self.folder, state)
            finish_clip(
                pose,
                state,
                self._plan,
                self._outputs,
                stem=self.folder.name,
                local=self.folder,
                publish=lambda paths: None,
                video=str(self.pictures),
                hypotheses=self._options.hypotheses,
                earlier=self._earlier,
                on_frame=lambda done: tell("drawing", done, pose.n_frames),
                on_warning=on_warning,
            )
        return pose

    def _state(self) -> FolderState:
        return FolderState(source=None, options=result_options(self._options))
