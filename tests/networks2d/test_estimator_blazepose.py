"""The BlazePose estimator: published results, exact truth of our clips, and twins."""

from __future__ import annotations

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, H36M17
from pose3d.errors import WeightsError
from pose3d.networks2d.estimators.blazepose import _outline_at, _refine
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.networks2d.regions import crop_region, from_region, regions_from_spines
from pose3d.networks2d.runtimes.litert import Network
from tests.support import GOLDEN as GOLDEN_FOLDER
from tests.support.networks import limb_columns, read_frames, require_blazepose

GOLDEN = GOLDEN_FOLDER / "blazepose"


@pytest.fixture(scope="module")
def networks():
    require_blazepose()
    return make_detector("blazepose", threads=1), make_keypoints("blazepose", threads=1)


def estimate_best(networks, picture):
    """Returns the keypoints of the best detection on the whole picture, as MediaPipe does it."""
    detector, estimator = networks
    found = detector.detect_near(picture, detector.windows(picture)[:1])
    best = int(found.score.argmax())
    one = Detections(
        boxes_xyxy_px=found.boxes_xyxy_px[[best]],
        score=found.score[[best]],
        regions=found.regions[[best]],
    )
    return estimator.estimate(picture, one)


@pytest.fixture(scope="module")
def agreement(networks, shared):
    """Distances to MediaPipe over all golden frames: pixels in % of the height, world in mm."""
    pixels, world, visibility = [], [], []
    for path in sorted(GOLDEN.glob("*.npz")):
        golden = np.load(path)
        clip = next((shared / "clips").glob(f"{path.stem}.*"))
        pictures = read_frames(clip, golden["frame"].tolist())
        for i, number in enumerate(golden["frame"].tolist()):
            ours = estimate_best(networks, pictures[number])
            theirs = golden["keypoints_px"][i]
            gap = np.linalg.norm(ours.keypoints_px[0] - theirs, axis=-1)
            pixels.append(100 * gap / np.ptp(theirs[:, 1]))
            world.append(1000 * np.linalg.norm(ours.world_m[0] - golden["world_m"][i], axis=-1))
            visibility.append(np.abs(ours.score[0] - golden["visibility"][i]))
    assert len(pixels) == 68
    return np.array(pixels), np.array(world), np.array(visibility)


def test_keypoints_agree_with_mediapipe(agreement):
    pixels, _, _ = agreement
    # Required are 1 and 4. The colours of the decoders differ a little, so not zero: with the
    # pictures of cv2's decoder two of the clips come four times closer.
    assert np.median(pixels) < 0.25
    assert np.percentile(pixels, 95) < 0.9


def test_world_and_visibility_agree_with_mediapipe(agreement):
    _, world, visibility = agreement
    assert np.median(world) < 10
    assert np.percentile(world, 95) < 30
    assert visibility.max() < 0.15


@pytest.mark.parametrize(("clip", "frames"), [("dance", [10, 90, 160]), ("walk_turn", [0, 100])])
def test_limbs_are_where_they_truly_are(networks, samples, clip, frames):
    truth = np.load(samples / f"{clip}.truth.npz")
    pictures = read_frames(samples / f"{clip}.mp4", frames)
    errors = []
    for index in frames:
        seen = estimate_best(networks, pictures[index])
        true = truth["keypoints_px"][index, 0]
        gap = seen.keypoints_px[0][limb_columns(BLAZEPOSE33)] - true[limb_columns(H36M17)]
        errors.append(100 * np.linalg.norm(gap, axis=-1) / np.ptp(true[:, 1]))
        assert seen.presence[0] > 0.9
    assert np.median(errors) < 2.5
    assert np.percentile(errors, 90) < 6


def test_world_follows_when_the_picture_is_turned(networks, samples):
    picture = read_frames(samples / "dance.mp4", [40])[40]
    upright = estimate_best(networks, picture)
    turned = estimate_best(networks, np.ascontiguousarray(np.rot90(picture, -1)))
    height = picture.shape[0]
    # A clockwise quarter turn takes (x, y) to (height - y, x).
    expected = np.stack((height - upright.keypoints_px[..., 1], upright.keypoints_px[..., 0]), -1)
    size = np.ptp(upright.keypoints_px[0, :, 1])
    gap = np.linalg.norm(turned.keypoints_px - expected, axis=-1) / size
    assert np.median(gap) < 0.02
    world = np.stack((-upright.world_m[..., 1], upright.world_m[..., 0]), -1)
    assert np.median(np.linalg.norm(turned.world_m[..., :2] - world, axis=-1)) < 0.03


@pytest.fixture(scope="module")
def trio(networks, samples):
    """A picture with three regions: two people and an empty corner."""
    picture = read_frames(samples / "two_people.mp4", [0])[0]
    found = networks[0].detect(picture)
    regions = np.concatenate((found.regions[:2], [[60, 60, 100, 0]])).astype(np.float32)
    boxes = np.concatenate((found.boxes_xyxy_px[:2], [[10, 10, 110, 110]])).astype(np.float32)
    return picture, Detections(boxes_xyxy_px=boxes, score=np.ones(3, np.float32), regions=regions)


@pytest.mark.parametrize("threads", [1, 2])
def test_several_people_equal_one_by_one(networks, trio, threads):
    picture, people = trio
    together = make_keypoints("blazepose", threads=threads).estimate(picture, people)
    for i in range(3):
        alone = networks[1].estimate(
            picture,
            Detections(
                boxes_xyxy_px=people.boxes_xyxy_px[[i]],
                score=people.score[[i]],
                regions=people.regions[[i]],
            ),
        )
        np.testing.assert_allclose(together.keypoints_px[i], alone.keypoints_px[0], atol=0.05)
        np.testing.assert_allclose(together.world_m[i], alone.world_m[0], atol=1e-3)
    assert together.presence[:2].min() > 0.9
    assert together.presence[2] < 0.5


def test_boxes_serve_when_there_are_no_regions(networks, trio):
    picture, people = trio
    by_box = networks[1].estimate(
        picture, Detections(boxes_xyxy_px=people.boxes_xyxy_px, score=people.score)
    )
    by_region = networks[1].estimate(picture, people)
    size = np.ptp(by_region.keypoints_px[:2, :, 1], axis=-1)
    gap = np.linalg.norm(by_box.keypoints_px - by_region.keypoints_px, axis=-1)[:2]
    assert (np.median(gap, axis=-1) < 0.03 * size).all()


def test_next_region_is_a_fixed_point(networks, trio):
    picture, people = trio
    first = networks[1].estimate(picture, people)
    second = networks[1].estimate(
        picture,
        Detections(boxes_xyxy_px=first.boxes_xyxy_px, score=people.score, regions=first.regions),
    )
    for before, after in zip(first.regions[:2], second.regions[:2], strict=True):
        assert np.linalg.norm(before[:2] - after[:2]) < 0.05 * before[2]
        assert after[2] == pytest.approx(before[2], rel=0.15)


def test_nobody_in_nobody_out(networks):
    seen = networks[1].estimate(np.zeros((20, 30, 3), np.uint8), Detections.none())
    assert seen.keypoints_px.shape == (0, 33, 2)
    assert seen.world_m.shape == (0, 33, 3)
    assert seen.regions.shape == (0, 4)


def test_refinement_moves_to_the_mass_of_the_heatmap():
    landmarks = np.zeros((39, 5), np.float32)
    landmarks[:, :2] = 0.5
    heatmaps = np.full((64, 64, 39), -50, np.float32)
    heatmaps[33, 30, 0] = 50  # sure, inside the 7x7 window around (32, 32)
    heatmaps[33, 40, 1] = 50  # sure, outside
    heatmaps[33, 30, 2] = -1  # inside, confidence below one half
    _refine(landmarks, heatmaps)
    np.testing.assert_allclose(landmarks[0, :2], [30 / 64, 33 / 64], atol=1e-6)
    np.testing.assert_allclose(landmarks[1:, :2], 0.5)


def test_crop_and_map_back_agree():
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[118:123, 168:173] = 255
    region = regions_from_spines(np.array([[150.0, 100.0]]), np.array([[180.0, 60.0]]), scale=1.25)
    crop = crop_region(picture, region[0], 256, border=0)
    y, x = np.argwhere(crop[..., 0] > 128).mean(0)
    back = from_region(np.array([[[x / 256, y / 256]]], np.float32), region)[0, 0]
    np.testing.assert_allclose(back, [170, 120], atol=0.6)


def test_damaged_network_is_refused(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"not a network")
    with pytest.raises(WeightsError):
        Network(path, 1)


def test_the_outline_covers_people_and_nothing_beside_them(networks, samples):
    (picture,) = read_frames(samples / "walk_turn.mp4", [100]).values()
    seen = estimate_best(networks, picture)
    limbs = limb_columns(BLAZEPOSE33)
    assert seen.on_mask.shape == (1, 33)
    assert seen.on_mask[0, limbs].min() > 0.8
    landmarks = np.array([[0.5, 0.25], [0.25, 0.5], [1.2, 0.5]], np.float32)
    mask = np.full((4, 4, 1), -20, np.float32)
    mask[1, 2] = 20  # row, column
    assert _outline_at(landmarks, mask).round(3).tolist() == [1, 0, 0]
