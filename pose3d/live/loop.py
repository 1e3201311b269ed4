"""The loop of a live run: the newest picture is worked on, and what comes meanwhile is dropped.

So an answer is never older than two pictures' work, however slow the machine is.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pose3d.device import torch_threads
from pose3d.live.moment import Moment, Sender
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import Models, make_tracker_for, open_clip
from pose3d.pipeline.live import LiveLifter
from pose3d.tracking.track import Observation
from pose3d.video.picture import Video
from pose3d.video.reader import VideoFrame, VideoReader, plays_by_itself
from pose3d.video.streaming import in_background

if TYPE_CHECKING:
    from pose3d.live.recording import Recording

GUARD_S = 0.5
LATELY_S = 1.0
"""The rate on the screen is that of the pictures of this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured(VideoFrame):
    """A picture, and when it was there on the clock of ``time.monotonic``."""

    captured_s: float


class LiveRun:
    """One live run over a camera, an address or a clip that plays in real time.

    Args:
        senders: get each moment as soon as it is known.
        recording: keeps what was seen.
        on_warning: gets what a user should know and that stops nothing.
    """

    def __init__(
        self,
        video: Video,
        options: RunOptions,
        models: Models,
        senders: Sequence[Sender],
        *,
        recording: Recording | None = None,
        on_warning: Callable[[str], None],
    ) -> None:
        self._video, self._options, self._models = video, options, models
        self._senders, self._recording, self._warn = senders, recording, on_warning
        self._stopped = threading.Event()
        self._failing: set[int] = set()
        self._recent: deque[float] = deque()
        self._pictures: in_background[Captured] | None = None
        self.latencies_s = array("f")  # of each picture that was worked on
        self.newest: Moment | None = None

    def stop(self) -> None:
        """Ends the run after the picture in work; from any thread."""
        self._stopped.set()

    @property
    def dropped(self) -> int:
        """How many pictures were not worked on."""
        return 0 if self._pictures is None else self._pictures.dropped

    def run(self) -> None:
        """Works until the clip ends, the camera is gone or :meth:`stop` is called."""
        # Windows of live people are small: several threads would mostly wait for each other.
        with torch_threads(1), open_clip(self._video, self._options) as reader:
            self._tracker = make_tracker_for(self._options, self._models, reader)
            self._lifter = LiveLifter(self._options, self._models, reader)
            with in_background(capture(reader, self._stopped), 1, drop=True) as pictures:
                self._pictures = pictures
                guard = threading.Thread(target=self._guard, args=(pictures, reader), daemon=True)
                guard.start()
                try:
                    self._work(pictures, reader)
                finally:
                    self.stop()
                    guard.join()

    def _guard(self, pictures: in_background[Captured], reader: VideoReader) -> None:
        """Tells of warnings when they come, and ends the wait for a picture that may never come."""
        told = 0
        ended = False
        while not ended:
            ended = self._stopped.wait(GUARD_S)
            for warning in reader.warnings[told:]:
                self._warn(warning)
                told += 1
        pictures.stop()

    def _work(self, pictures: Iterator[Captured], reader: VideoReader) -> None:
        if self._recording is not None:
            with self._recording.open(reader):
                self._recording.collect(pictures, self._tracker, self._answer)
            return
        for frame in pictures:
            self._answer(frame, self._tracker.step(frame))

    def _answer(self, frame: VideoFrame, seen: list[Observation]) -> None:
        """Lifts one picture's people and passes them on."""
        assert isinstance(frame, Captured)
        people = self._lifter.step(seen, frame.time_s)
        now_s = time.monotonic()
        self._recent.append(now_s)
        while len(self._recent) > 2 and now_s - self._recent[0] > LATELY_S:
            self._recent.popleft()
        self.latencies_s.append(now_s - frame.captured_s)
        moment = Moment(
            index=frame.index,
            time_s=frame.time_s,
            image=frame.image,
            people=people,
            captured_s=frame.captured_s,
            latency_s=now_s - frame.captured_s,
            rate=self._rate(),
            dropped=self.dropped,
        )
        self.newest = moment
        for number, sender in enumerate(self._senders):
            try:
                sender.send(moment)
            except OSError as error:
                if number not in self._failing:  # once, not thirty times a second
                    self._warn(f"{type(sender).__name__}: {error.strerror or error}")
                self._failing.add(number)
        if self._recording is not None:
            self._recording.write(frame)

    def _rate(self) -> float:
        span_s = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span_s if span_s > 0 else 0.0


def capture(reader: VideoReader, stopped: threading.Event) -> Iterator[Captured]:
    """Yields pictures when they are there: those of a camera as they come, of a clip in real time."""
    live = plays_by_itself(reader.info.path)
    began_s: float | None = None
    for frame in reader:
        if stopped.is_set():
            return
        now_s = time.monotonic()
        if began_s is None:
            began_s = now_s - frame.time_s
        due_s = now_s if live else max(now_s, began_s + frame.time_s)
        if due_s > now_s and stopped.wait(due_s - now_s):
            return
        yield Captured(index=frame.index, time_s=frame.time_s, image=frame.image, captured_s=due_s)
        del frame
