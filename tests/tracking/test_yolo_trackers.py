"""ByteTrack and BoT-SORT of ultralytics, fed with boxes of people whose identities are known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("ultralytics", reason="needs the extra yolo")

from pose3d.networks2d.interfaces import Detections
from pose3d.tracking.yolo_trackers import YoloLinker

pytestmark = [
    pytest.mark.extra_yolo,
    # Inside ultralytics and the libraries that it uses.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]


def link_walk(name: str, rate: int, gap_s: float) -> tuple[list[set[int]], np.ndarray]:
    """Links two people who walk past each other; the upper one is not seen for a while.

    Returns:
        The numbers that each of them got, and the last row of numbers.
    """
    linker = YoloLinker(name, Fraction(rate))
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    numbers: list[set[int]] = [set(), set()]
    last = np.zeros(0, int)
    for i in range(int(rate * (2 + gap_s))):
        t = i / rate
        upper = [100 + 40 * t, 40, 160 + 40 * t, 200]
        lower = [400 - 40 * t, 260, 460 - 40 * t, 440]
        hidden = 1.0 <= t < 1.0 + gap_s
        boxes = [lower] if hidden else ([upper, lower] if i % 2 else [lower, upper])
        score = np.linspace(0.9, 0.8, len(boxes))
        found = Detections(boxes_xyxy_px=np.float32(boxes), score=np.float32(score))
        last = linker.link(image, found)
        for row, number in enumerate(last):
            if number:
                numbers[0 if boxes[row] is upper else 1].add(int(number))
    return numbers, last


@pytest.mark.parametrize("name", ["bytetrack", "botsort"])
@pytest.mark.parametrize("rate", [15, 60])
def test_people_keep_their_numbers(name: str, rate: int) -> None:
    numbers, last = link_walk(name, rate, gap_s=0.6)
    assert [len(n) for n in numbers] == [1, 1]
    assert numbers[0] != numbers[1]
    assert set(last) == numbers[0] | numbers[1]


@pytest.mark.parametrize("rate", [15, 60])
def test_patience_is_a_time_and_not_a_number_of_frames(rate: int) -> None:
    numbers, _ = link_walk("bytetrack", rate, gap_s=1.5)
    assert [len(n) for n in numbers] == [2, 1]


def test_nobody_to_link() -> None:
    linker = YoloLinker("bytetrack", 30)
    assert len(linker.link(np.zeros((48, 64, 3), np.uint8), Detections.none())) == 0
