"""Looking for newcomers while everybody is followed: where, how often, and that they are found."""

from __future__ import annotations

import numpy as np
import pytest

from pose3d.networks2d.interfaces import Detections, SearchingDetector
from pose3d.tracking.motion import Turns
from tests.support.scripted import BLUE, GREEN, RED, SIZE_WH, Actor, World, line

WIDTH, HEIGHT = SIZE_WH
TILES = [(x, y, 180.0, 0.0) for y in (90, 270, 450) for x in range(90, WIDTH, 156)]
WINDOWS = np.array([(WIDTH / 2, HEIGHT / 2, WIDTH, 0), *TILES], np.float32)
NOBODY = np.zeros((0, 4), np.float32)


def picture(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 20
    return image


@pytest.fixture
def turns() -> Turns:
    made = Turns()
    made.all(picture(), WINDOWS, NOBODY)
    return made


def numbers(chosen: np.ndarray) -> list[int]:
    return [int(np.flatnonzero((row == WINDOWS).all(1))[0]) for row in chosen]


def test_nothing_changes_so_each_window_has_its_turn(turns):
    seen = [numbers(turns.choose(picture(), WINDOWS, NOBODY)) for _ in TILES]
    assert all(len(one) == 2 and one[0] == 0 for one in seen)
    assert sorted(one[1] for one in seen) == list(range(1, len(WINDOWS)))


def test_where_something_came_is_looked_at_once(turns):
    came = (700, 400, 760, 520)
    first = numbers(turns.choose(picture(came), WINDOWS, NOBODY))
    around = {i for i, (x, y, *_) in enumerate(TILES, 1) if abs(x - 730) < 110 and y == 450}
    assert around <= set(first)
    assert len(first) <= len(around) + 2
    again = numbers(turns.choose(picture(came), WINDOWS, NOBODY))
    assert len(again) == 2


def test_people_who_are_followed_are_no_change(turns):
    one, other = (200, 100, 260, 260), (500, 100, 560, 260)
    turns.all(picture(one), WINDOWS, np.array([one], np.float32))
    assert len(turns.choose(picture(other), WINDOWS, np.array([other], np.float32))) == 2


def test_after_a_cut_everything_is_looked_at(turns):
    assert len(turns.choose(255 - picture() // 4, WINDOWS, NOBODY)) == len(WINDOWS)


class TiledWorld(World):
    """Its detector sees only people who fill a good part of the window that it looks into."""

    def windows(self, image: np.ndarray) -> np.ndarray:
        return WINDOWS

    def detect_near(self, image: np.ndarray, regions: np.ndarray) -> Detections:
        self.looks += len(regions)
        all_people, keep = World.detect(self, image), []
        self.looks -= 1
        for i, box in enumerate(all_people.boxes_xyxy_px):
            centre = (box[:2] + box[2:]) / 2
            inside = (np.abs(regions[:, :2] - centre) < regions[:, 2:3] / 2).all(1)
            large = (box[2:] - box[:2]).max() > 0.25 * regions[:, 2]
            if (inside & large).any():
                keep.append(i)
        return all_people.select(keep)

    def detect(self, image: np.ndarray) -> Detections:
        return self.detect_near(image, WINDOWS)


def test_small_newcomers_are_found_at_a_third_of_the_windows():
    comes = Actor(lambda t: (700, 450) if t > 3.02 else None, 80, BLUE)
    world = TiledWorld([Actor(line(200, 15), 260, RED), comes], seconds=12)
    assert isinstance(world, SearchingDetector)
    pose = world.track()
    assert world.who(pose) == [[0], [1]]
    assert 91 <= pose.spans[1].frames.start <= 91 + 30
    everywhere_each_second = 12 * (len(WINDOWS) + 1)
    assert world.looks < 1 / 3 * everywhere_each_second


def test_whoever_is_not_certain_is_still_looked_for_everywhere():
    sure, doubtful = Actor(line(200, 15), 260, RED), Actor(line(600, 5), 200, GREEN, score=0.7)
    one = TiledWorld([sure], seconds=6)
    two = TiledWorld([sure, doubtful], seconds=6)
    one.track()
    assert two.who(two.track()) == [[0], [1]]
    assert two.looks > 2 * one.looks
