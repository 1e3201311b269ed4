"""RTMPose from ONNX files: networks that find coloured spots give keypoints where the spots are."""

from __future__ import annotations

import numpy as np
import pytest

from pose3d.errors import DeviceError, UsageError, WeightsError
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.loading import make_keypoints

pytest.importorskip("onnxruntime", reason="needs the extra rtmpose")
pytest.importorskip("onnx", reason="needs the package onnx to build networks")

from tests.support import onnx_models

pytestmark = pytest.mark.extra_rtmpose
COLOURS = np.eye(3, dtype=np.uint8) * 255


def draw_spots(people: list[np.ndarray], size_wh=(400, 300), radius=4) -> np.ndarray:
    """Three squares (red, green, blue) a person, centred on points that count 0.5 in pixel 0."""
    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for spots in people:
        for colour, (x, y) in zip(COLOURS, spots, strict=True):
            column, row = int(x - 0.5), int(y - 0.5)
            picture[row - radius : row + radius + 1, column - radius : column + radius + 1] = colour
    return picture


def people_at(boxes: list[list[float]]) -> Detections:
    return Detections(
        boxes_xyxy_px=np.array(boxes, np.float32).reshape(-1, 4),
        score=np.ones(len(boxes), np.float32),
    )


LEFT = np.array([[60.5, 80.5], [100.5, 150.5], [80.5, 230.5]])
RIGHT = np.array([[260.5, 60.5], [330.5, 140.5], [280.5, 260.5]])
BOXES = [[40, 50, 120, 260], [230, 40, 360, 280]]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return onnx_models.save_spot_finder(tmp_path_factory.mktemp("onnx") / "spots.onnx")


@pytest.fixture(scope="module")
def estimator(network):
    return make_keypoints(f"rtmpose:{network}", device="cpu", threads=1)


def test_keypoints_are_where_the_spots_are(estimator):
    seen = estimator.estimate(draw_spots([LEFT, RIGHT]), people_at(BOXES))
    for person, spots in zip(seen.keypoints_px, (LEFT, RIGHT), strict=True):
        # The first bin of the brightest ones: the spot's left upper part, less half its width.
        np.testing.assert_allclose(person, np.resize(spots, (17, 2)), atol=5.5)
        # All three are off by the same: no colour, side or axis is mixed up.
        np.testing.assert_allclose(
            person[:3] - spots, np.tile(person[0] - spots[0], (3, 1)), atol=1
        )
    np.testing.assert_allclose(seen.score, 1)
    np.testing.assert_allclose(seen.presence, 1)


@pytest.mark.parametrize("bins_per_px", [1, 3])
def test_bins_are_told_from_the_sizes(tmp_path, estimator, bins_per_px):
    path = onnx_models.save_spot_finder(tmp_path / "fine.onnx", bins_per_px=bins_per_px)
    picture, people = draw_spots([LEFT]), people_at(BOXES[:1])
    same = make_keypoints(f"rtmpose:{path}", device="cpu").estimate(picture, people)
    np.testing.assert_allclose(
        same.keypoints_px, estimator.estimate(picture, people).keypoints_px, atol=1e-3
    )


@pytest.mark.parametrize(
    ("joints", "name"), [(17, "coco17"), (26, "halpe26"), (133, "wholebody133")]
)
def test_the_number_of_joints_tells_the_skeleton(tmp_path, joints, name):
    path = onnx_models.save_spot_finder(tmp_path / "j.onnx", joints=joints, size_wh=(48, 64))
    made = make_keypoints(f"rtmpose:{path}")
    assert made.skeleton.name == name
    seen = made.estimate(draw_spots([LEFT]), people_at(BOXES[:1]))
    assert seen.keypoints_px.shape == (1, joints, 2)


@pytest.mark.parametrize("y_first", [False, True])
@pytest.mark.parametrize("names", [("1183", "1182"), ("simcc_x", "simcc_y")])
def test_outputs_are_told_by_their_names_or_sizes(tmp_path, names, y_first):
    path = onnx_models.save_spot_finder(tmp_path / "o.onnx", names=names, y_first=y_first)
    seen = make_keypoints(f"rtmpose:{path}").estimate(draw_spots([LEFT]), people_at(BOXES[:1]))
    np.testing.assert_allclose(seen.keypoints_px[0, :3], LEFT, atol=5.5)


def test_people_and_pictures_together_are_as_alone(tmp_path, estimator):
    pictures = [draw_spots([LEFT]), draw_spots([LEFT, RIGHT]), np.zeros((90, 120, 3), np.uint8)]
    people = [people_at(BOXES[:1]), people_at(BOXES), people_at([])]
    fixed = onnx_models.save_spot_finder(tmp_path / "fixed.onnx", batch=1)
    for made in (estimator, make_keypoints(f"rtmpose:{fixed}", device="cpu", threads=1)):
        together = made.estimate_batch(pictures, people)
        assert [len(k) for k in together] == [1, 2, 0]
        for picture, where, seen in zip(pictures, people, together, strict=True):
            alone = made.estimate(picture, where)
            np.testing.assert_array_equal(seen.keypoints_px, alone.keypoints_px)
            np.testing.assert_array_equal(seen.score, alone.score)


def test_the_next_box_holds_the_person(estimator):
    picture = draw_spots([LEFT])
    seen = estimator.estimate(picture, people_at(BOXES[:1]))
    again = estimator.estimate(
        picture, Detections(boxes_xyxy_px=seen.boxes_xyxy_px, score=seen.presence)
    )
    box = again.boxes_xyxy_px[0]
    assert (box[:2] < LEFT.min(0)).all()
    assert (box[2:] > LEFT.max(0)).all()


def test_the_record_says_what_ran(estimator, network):
    assert estimator.info.name == "rtmpose"
    assert estimator.info.weights == (network.name,)
    assert len(estimator.info.sha256[0]) == 64
    assert (estimator.info.device, estimator.info.device_reason) == ("cpu", "asked for")


def test_what_is_no_rtmpose_is_refused_by_name(tmp_path):
    with pytest.raises(WeightsError):
        make_keypoints(f"rtmpose:{tmp_path / 'none.onnx'}")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"version https://git-lfs")
    with pytest.raises(WeightsError):
        make_keypoints(f"rtmpose:{broken}")
    five = onnx_models.save_spot_finder(tmp_path / "five.onnx", joints=5, size_wh=(48, 64))
    with pytest.raises(WeightsError, match=r"five\.onnx has 5"):
        make_keypoints(f"rtmpose:{five}")
    boxes = onnx_models.save_box_finder(tmp_path / "boxes.onnx", "dets")
    with pytest.raises(WeightsError):
        make_keypoints(f"rtmpose:{boxes}")
    with pytest.raises(UsageError, match=r"Did you mean 'rtmpose\.body7-m'"):
        make_keypoints("rtmpose:rtmpose.body-m")


def test_missing_weights_say_how_to_place_them(tmp_path, monkeypatch):
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        make_keypoints("rtmpose", offline=True)
    assert "rtmpose.body7-m.onnx" in caught.value.todo
    assert "download.openmmlab.com" in caught.value.todo


def test_a_device_that_is_not_there_is_refused(network):
    with pytest.raises(DeviceError):
        make_keypoints(f"rtmpose:{network}", device="mps")


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_auto_takes_the_cpu_where_cuda_is_only_listed(network, monkeypatch):
    """As with onnxruntime-gpu on a machine without CUDA's libraries."""
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: listed)
    made = make_keypoints(f"rtmpose:{network}", device="auto", threads=1)
    assert made.info.device == "cpu"
    assert "lists CUDA but could not use it" in made.info.device_reason
    with pytest.raises(DeviceError):
        make_keypoints(f"rtmpose:{network}", device="cuda")


def draw_walker(index: int) -> np.ndarray:
    """A person of three spots, 150 px tall, who walks 3 px a frame on a ground that never changes."""
    ground = np.random.default_rng(5).integers(0, 40, (30, 40, 3), np.uint8)
    picture = np.kron(ground, np.ones((10, 10, 1), np.uint8))
    spots = np.array([[90.5, 60.5], [120.5, 130.5], [100.5, 210.5]]) + [3 * index, 0]
    figure = draw_spots([spots], radius=6)
    return np.maximum(picture, figure)


def test_the_whole_chain_follows_the_person(tmp_path, network):
    from pose3d.pipeline.estimate import estimate
    from pose3d.video.writer import write_video

    clip = tmp_path / "walker.mp4"
    with write_video(clip, (400, 300)) as writer:
        for index in range(24):
            writer.write(draw_walker(index), index / 24)
    boxes = onnx_models.save_box_finder(tmp_path / "boxes.onnx", "dets", size_wh=(400, 300))
    pose = estimate(
        str(clip),
        detector=f"rtmdet:{boxes}",
        keypoints=f"rtmpose:{network}",
        device="cpu",
        threads=1,
        place=False,
    )
    assert pose.n_people >= 1
    assert pose.joints_cam_m is not None
    valid, boxes = pose.dense().valid, pose.dense().boxes_xyxy_px
    assert valid.any(1).mean() > 0.9
    names = [(record.stage, record.name) for record in pose.made_by[:2]]
    assert names == [("detect", "rtmdet"), ("keypoints", "rtmpose")]
    best = int(valid.sum(0).argmax())
    middle = (boxes[:, best, :2] + boxes[:, best, 2:]) / 2
    seen = np.flatnonzero(valid[:, best])
    np.testing.assert_allclose(middle[seen, 0], 105.5 + 3 * seen, atol=20)
    np.testing.assert_allclose(middle[seen, 1], 135.5, atol=20)
