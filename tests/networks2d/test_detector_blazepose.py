"""The BlazePose detector against the exact truth of our own clips, and its tiling by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose3d.errors import DeviceError, UsageError
from pose3d.networks2d.detectors.blazepose import _anchors, _windows
from pose3d.networks2d.interfaces import SearchingDetector
from pose3d.networks2d.loading import make_detector
from pose3d.plugins import PARTS
from tests.support.networks import read_frames, require_blazepose


@pytest.fixture(scope="module")
def detector() -> SearchingDetector:
    require_blazepose()
    made = make_detector("blazepose", threads=1)
    assert isinstance(made, SearchingDetector)
    return made


@pytest.fixture(scope="module")
def two_people(samples):
    return read_frames(samples / "two_people.mp4", [0, 30, 100])


def matched(regions: np.ndarray, boxes: np.ndarray) -> list[int]:
    """Returns the true person whose box holds the middle of each region, -1 for nobody."""
    out = []
    for x, y in regions[:, :2]:
        inside = (boxes[:, 0] < x) & (x < boxes[:, 2]) & (boxes[:, 1] < y) & (y < boxes[:, 3])
        out.append(int(np.flatnonzero(inside)[0]) if inside.any() else -1)
    return out


@pytest.mark.parametrize("index", [0, 30, 100])
def test_tiles_find_both_people_where_the_whole_picture_does_not(
    detector, two_people, samples, index
):
    boxes = np.load(samples / "two_people.truth.npz")["boxes_xyxy_px"][index]
    whole = detector.detect_near(two_people[index], detector.windows(two_people[index])[:1])
    found = detector.detect(two_people[index])
    sure = found.score > 0.75
    assert sorted(matched(found.regions[sure], boxes)) == [0, 1]
    assert set(matched(whole.regions[whole.score > 0.75], boxes)) != {0, 1}
    assert sure[:2].all()  # best first


def test_region_is_centred_on_the_hips_and_holds_the_person(detector, two_people, samples):
    truth = np.load(samples / "two_people.truth.npz")
    found = detector.detect(two_people[0])
    for region, box in zip(found.regions[:2], found.boxes_xyxy_px[:2], strict=True):
        pelvis = truth["keypoints_px"][0, :, 0]
        person = int(np.linalg.norm(pelvis - region[:2], axis=-1).argmin())
        true = truth["boxes_xyxy_px"][0, person]
        height = true[3] - true[1]
        assert np.linalg.norm(pelvis[person] - region[:2]) < 0.08 * height
        assert 1.0 < region[2] / height < 1.6
        assert abs(region[3]) < 0.2
        assert (box[:2] < true[:2] + 0.1 * height).all()
        assert (box[2:] > true[2:] - 0.1 * height).all()


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_turned_picture_gives_turned_regions(detector, samples, quarter):
    picture = read_frames(samples / "walk_turn.mp4", [100])[100]
    upright = detector.detect(picture).regions[0]
    turned = detector.detect(np.ascontiguousarray(np.rot90(picture, -quarter))).regions[0]
    # np.rot90 by -k turns clockwise, as rotations are counted here.
    difference = turned[3] - upright[3] - quarter * np.pi / 2
    assert abs((difference + np.pi) % (2 * np.pi) - np.pi) < 0.2
    assert turned[2] == pytest.approx(upright[2], rel=0.15)


@pytest.mark.parametrize("size", [(540, 960), (64, 64), (33, 500), (1, 1)])
def test_nobody_in_an_empty_picture(detector, size):
    found = detector.detect(np.full((*size, 3), 90, np.uint8))
    assert len(found) == 0
    assert found.boxes_xyxy_px.shape == (0, 4)


def test_near_finds_the_person_that_is_there(detector, two_people, samples):
    truth = np.load(samples / "two_people.truth.npz")["boxes_xyxy_px"][0]
    for person, box in enumerate(truth):
        centre = (box[:2] + box[2:]) / 2
        window = np.array([[*centre, 1.6 * (box[3] - box[1]), 0]], np.float32)
        found = detector.detect_near(two_people[0], window)
        assert matched(found.regions[:1], truth) == [person]


def test_threads_change_nothing(detector, two_people):
    other = make_detector("blazepose", threads=2)
    one, two = detector.detect(two_people[0]), other.detect(two_people[0])
    np.testing.assert_allclose(one.regions, two.regions, atol=0.05)


def test_anchors_count_and_place():
    anchors = _anchors() * 224
    assert anchors.shape == (2254, 2)
    # Counted by hand: the first cells of strides 8, 16 and 32, and the last one.
    assert anchors[0].tolist() == anchors[1].tolist() == [4, 4]
    assert anchors[2].tolist() == [12, 4]
    assert anchors[28 * 28 * 2].tolist() == [8, 8]
    assert anchors[28 * 28 * 2 + 14 * 14 * 2].tolist() == [16, 16]
    assert anchors[-1].tolist() == [208, 208]


@given(
    width=st.integers(400, 4000),
    height=st.integers(400, 4000),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_everybody_is_whole_in_some_small_tile(width, height, x, y):
    windows = _windows(width, height)
    small = windows[windows[:, 2] <= windows[:, 2].min() + 1e-3]
    side = small[0, 2]
    reach = 0.19 * side  # half a person of 0.38 tiles
    cx = reach + x * (width - 2 * reach)
    cy = reach + y * (height - 2 * reach)
    room_x = side / 2 - np.abs(small[:, 0] - cx) - reach
    room_y = side / 2 - np.abs(small[:, 1] - cy) - reach
    assert np.minimum(room_x, room_y).max() > -1


def test_table_and_refusals():
    assert set(PARTS["detector"]) >= {"blazepose"}
    with pytest.raises(UsageError, match="Did you mean 'blazepose'"):
        make_detector("blazepos")
    require_blazepose()
    with pytest.raises(DeviceError):
        make_detector("blazepose", device="cuda")
