"""How late live poses are, and how still those of somebody who stands still."""

from __future__ import annotations

import os
import platform
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pose3d.errors import VideoError
from pose3d.live.loop import LiveRun
from pose3d.live.moment import Moment
from pose3d.live.vmc import Vmc
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import Models, load_models
from pose3d.video.picture import Image, Video
from pose3d.video.reader import open_video

STILL_S, SETTLE_S = 5.0, 1.5
NOISE = 3.0  # standard deviation of the still picture's noise, of 255
_TIME = b"/VMC/Ext/T\0\0,f\0\0"  # before the time of a packet


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTimes:
    """One row: a clip that was played in real time."""

    clip: str
    people: float  # shown, on average
    frames: int  # worked on
    dropped: int
    rate: float  # of the clip, frames a second
    median_ms: float  # from the picture's capture to the packet's arrival
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveBench:
    """What ``pose3d bench live`` prints."""

    machine: str
    times: tuple[LiveTimes, ...]
    still_mm: float  # median over the joints: RMS distance from their mean, the person at rest


class _Receiver:
    """Listens on loopback and notes when the packet of each moment arrived."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.arrived_s: dict[float, float] = {}  # by the time of the moment, as a 32-bit number
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                packet = self._socket.recv(65536)
            except TimeoutError:
                continue
            at = packet.find(_TIME)
            if at >= 0:
                (time_s,) = struct.unpack_from(">f", packet, at + len(_TIME))
                self.arrived_s[time_s] = time.monotonic()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


class _Notes:
    """A sender that keeps what the moments were, but not their pictures."""

    def __init__(self) -> None:
        self.captured_s: dict[float, float] = {}  # as _Receiver.arrived_s
        self.people: list[int] = []
        self.joints: list[tuple[float, np.ndarray]] = []  # when, and those of the only person

    def send(self, moment: Moment) -> None:
        self.captured_s[float(np.float32(moment.time_s))] = moment.captured_s
        self.people.append(len(moment.people))
        if len(moment.people) == 1:
            self.joints.append((moment.time_s, moment.people[0].joints_cam_m))

    def close(self) -> None:
        """Nothing is open."""


def bench_live(video: Path, options: RunOptions, on_step: Callable[[str], None]) -> LiveBench:
    """Plays a clip in real time, as it is and four times in one picture, then a picture at rest."""
    models = load_models(options)
    with open_video(video) as reader:
        rate = float(reader.info.rate)
    pictures = replace(options, rate=rate)
    on_step("warming up")
    _play(_pictures(video, 1.0), pictures, models)
    on_step("as it is")
    rows = [_time("as it is", str(video), options, models, rate)]
    on_step("four times")
    rows.append(_time("four times in one picture", _four_times(video), pictures, models, rate))
    on_step("at rest")
    still, _, _ = _play(_at_rest(video, rate), pictures, models)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return LiveBench(machine=machine, times=tuple(rows), still_mm=_trembling_mm(still))


def _time(name: str, video: Video, options: RunOptions, models: Models, rate: float) -> LiveTimes:
    notes, receiver, run = _play(video, options, models)
    late_ms = [
        1000 * (receiver.arrived_s[time_s] - captured_s)
        for time_s, captured_s in notes.captured_s.items()
        if time_s in receiver.arrived_s
    ]
    if len(late_ms) < len(notes.captured_s):
        lost = len(notes.captured_s) - len(late_ms)
        raise VideoError(f"{lost} packets did not arrive", "Run it again on a machine less busy")
    return LiveTimes(
        clip=name,
        people=float(np.mean(notes.people)),
        frames=len(notes.people),
        dropped=run.dropped,
        rate=rate,
        median_ms=float(np.median(late_ms)),
        p95_ms=float(np.percentile(late_ms, 95)),
    )


def _play(video: Video, options: RunOptions, models: Models) -> tuple[_Notes, _Receiver, LiveRun]:
    receiver, notes = _Receiver(), _Notes()
    sender = Vmc(receiver.address)
    # The packet first: what the notes take is not part of its way.
    run = LiveRun(video, options, models, [sender, notes], on_warning=lambda _: None)
    run.run()
    time.sleep(0.3)
    sender.close()
    receiver.close()
    return notes, receiver, run


def _pictures(video: Path, end_s: float | None = None) -> Iterator[Image]:
    with open_video(video, end=end_s) as reader:
        for frame in reader:
            yield frame.image


def _four_times(video: Path) -> Iterator[Image]:
    """Yields pictures that show each of the clip's four times, at half the size."""
    import cv2

    for image in _pictures(video):
        size_wh = image.shape[1] // 2, image.shape[0] // 2
        yield np.tile(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), (2, 2, 1))


def _at_rest(video: Path, rate: float) -> Iterator[Image]:
    """Yields the picture from the middle of a clip, each time with other noise."""
    with open_video(video) as reader:
        middle = reader.info.n_frames // 2
        image = next(frame.image for frame in reader if frame.index >= middle)
    rng = np.random.default_rng(0)
    for _ in range(round(STILL_S * rate)):
        noise = rng.normal(0.0, NOISE, image.shape[:2])[..., None]
        yield np.clip(image + noise, 0, 255).astype(np.uint8)


def _trembling_mm(notes: _Notes) -> float:
    """Returns how far joints are from where they are on average; NaN: nobody was seen alone."""
    joints = np.array([joints for time_s, joints in notes.joints if time_s > SETTLE_S])
    if not len(joints):
        return float("nan")
    off = joints - joints.mean(0)
    return float(1000 * np.median(np.sqrt(np.square(off).sum(-1).mean(0))))
