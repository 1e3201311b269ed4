"""Frames from a folder of images, and from a camera."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose3d.errors import VideoError
from pose3d.result.camera import Camera
from pose3d.result.record import VideoInfo
from pose3d.video.camera_sidecar import read_sidecar
from pose3d.video.camera_tags import camera_of_photo
from pose3d.video.convert import turn_image
from pose3d.video.frames import PictureSource
from pose3d.video.sources import IMAGE_SUFFIXES, natural_key
from pose3d.video.timestamps import empty_range

_CHECK_CAMERA = "Check that it is connected, not in use, and that this program may use it"


class FolderSource(PictureSource):
    """The images of one folder as a clip, in natural order; a VideoError when there is none.

    A frame number that the names leave out is a pause; ``rotate`` comes after the EXIF orientation.
    """

    def __init__(self, path: str, **given: Any) -> None:
        super().__init__(**given)
        files = _list_images(path)
        if not files:
            raise VideoError(
                f"{path} is a folder without images ({', '.join(sorted(IMAGE_SUFFIXES))})",
                "Give a video file, or a folder of images",
            )
        numbers = _frame_numbers(files)
        if numbers[-1] >= len(files):
            missing = numbers[-1] + 1 - len(files)
            self.warnings.append(
                f"its numbers leave out {missing} frames; times follow the numbers"
            )
        self._frames = [
            (self._time_of(number), file)
            for number, file in zip(numbers, files, strict=True)
            if self._begin <= number < self._stop
        ]
        if not self._frames:
            length_s = self._time_of(numbers[-1] + 1)
            raise empty_range(path, self._start_s, self._end_s, length_s)
        self._first_file = self._frames[0][1]
        self.info = self._describe(path, self._read(self._first_file), len(self._frames))

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields time and picture; refuses an image of another size than the first."""
        for time_s, file in self._frames:
            image = self._read(file)
            size_wh = (image.shape[1], image.shape[0])
            if size_wh != self.info.size_wh:
                raise VideoError(
                    f"{file} is {size_wh[0]}x{size_wh[1]}, but {self._first_file} is "
                    f"{self.info.size_wh[0]}x{self.info.size_wh[1]}",
                    "The images of one clip need one size: sort them into folders by size",
                )
            yield time_s, image
            del image  # else this picture lives while the next one is read

    def find_camera(self) -> Camera | None:
        """Returns the camera of the sidecar, else of the first image's Exif."""
        beside = read_sidecar(self.info.path, self.info.size_wh)
        if beside is not None:
            return beside
        return camera_of_photo(self._first_file, self.info.size_wh, self._turn_deg)

    def _read(self, file: Path) -> np.ndarray:
        try:
            # Not cv2.imread: it cannot open names outside the code page on Windows.
            data = np.frombuffer(file.read_bytes(), np.uint8)
        except OSError as error:
            raise VideoError(
                f"{file} cannot be read ({error.strerror})", "Check its permissions"
            ) from error
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise VideoError(f"{file} is not an image that can be read", "Replace or remove it")
        return _shown(image, self._turn_deg)


def _list_images(folder: str) -> list[Path]:
    """Returns the image files directly in a folder, in natural order, hidden ones left out."""
    shown = (file for file in Path(folder).iterdir() if not file.name.startswith("."))
    images = [f for f in shown if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()]
    return sorted(images, key=lambda file: natural_key(file.name))


class CameraSource:
    """A camera's pictures for ``duration`` seconds, timed as received; or a VideoError."""

    def __init__(self, index: int, *, duration: float | None, rotate: int) -> None:
        self.warnings: list[str] = []
        self._turn_deg = rotate
        self._duration_s = math.inf if duration is None else duration
        self._name = f"camera {index}"
        self._capture = _open_capture(index)
        ok, image = self._capture.read()
        if not ok:
            self.close()
            raise VideoError(f"There is no picture from {self._name}", _CHECK_CAMERA)
        self._first = (time.monotonic(), image)
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        rate = Fraction(stated).limit_denominator(1001) if stated > 0 else Fraction(30)
        self.stated_rates: tuple[Fraction, ...] = (rate,)
        self.tick_s = Fraction(1, 1_000_000)
        height, width = _shown(image, self._turn_deg).shape[:2]
        self.info = VideoInfo(
            path=str(index),
            size_wh=(width, height),
            rate=rate,
            n_frames=0 if duration is None else math.ceil(duration * rate),
            rotation_deg=rotate,
        )

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields seconds since the first picture, and picture, until the duration is over."""
        before_s = -math.inf
        for read_s, image in self._raw():
            # Not repair_times, which looks at the next picture first: that would be a delay.
            before_s = max(read_s, before_s + 1e-6)  # the clocks of some systems are coarse
            if before_s >= self._duration_s:
                return
            yield before_s, _shown(image, self._turn_deg)

    def find_camera(self) -> None:
        """Drivers do not tell a focal length."""

    def close(self) -> None:
        """Releases the camera."""
        self._capture.release()

    def _raw(self) -> Iterator[tuple[float, np.ndarray]]:
        began_s, image = self._first
        yield 0.0, image
        while True:
            ok, image = self._capture.read()
            time_s = time.monotonic() - began_s
            if not ok:
                self.warnings.append(f"{self._name} stopped after {time_s:.1f} s")
                return
            yield time_s, image
            if time_s >= self._duration_s:
                return


def _open_capture(index: int) -> cv2.VideoCapture:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(index)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        capture.release()
        raise VideoError(f"Camera {index} cannot be opened", _CHECK_CAMERA)
    return capture


def _shown(image_bgr: np.ndarray, turn_deg: int) -> np.ndarray:
    return turn_image(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB), turn_deg)


def _frame_numbers(files: list[Path]) -> list[int]:
    """Returns frame numbers from 0: the rising last numbers of like names, else one by one."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem) for file in files]
    plain = list(range(len(files)))
    if not all(parts) or len({(m[1], m[3]) for m in parts if m}) != 1:
        return plain
    counted = [int(m[2]) for m in parts if m]
    steps = [b - a for a, b in itertools.pairwise(counted)]
    if not steps or min(steps) < 1:
        return plain
    step = math.gcd(*steps)
    numbers = [(n - counted[0]) // step for n in counted]
    return numbers if numbers[-1] < 10 * len(files) else plain
