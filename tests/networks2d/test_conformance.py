"""Every entry of PARTS["detector"] and PARTS["keypoints"] keeps the promises of its protocol.

An entry without a line in the tables below fails: what it needs to be made has to be said here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pose3d.networks2d.interfaces import Detections, Detector, KeypointEstimator
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.networks2d.one_stage import OnePass
from pose3d.plugins import PARTS
from pose3d.weights import finding
from tests.support.networks import require_blazepose


def blazepose_name(_folder: Path) -> str:
    require_blazepose()
    return "blazepose"


def heavy_name(_folder: Path) -> str:
    if finding.locate("blazepose-heavy") is None:
        pytest.skip("needs pose3d weights download blazepose-heavy")
    return "blazepose-heavy"


def tokenpose_name(folder: Path) -> str:
    from pose3d.networks2d.tokenpose.files import save_tokenpose
    from pose3d.networks2d.tokenpose.network import TokenPose
    from tests.support.tokenpose import SMALL

    torch.manual_seed(0)
    path = folder / "random.safetensors"
    save_tokenpose(path, TokenPose(SMALL).state_dict(), SMALL)
    return f"tokenpose:{path}"


def onnx_models():
    pytest.importorskip("onnxruntime", reason="needs the extra rtmpose")
    pytest.importorskip("onnx", reason="needs the package onnx to build networks")
    from tests.support import onnx_models

    return onnx_models


def rtmpose_name(folder: Path) -> str:
    return f"rtmpose:{onnx_models().save_spot_finder(folder / 'spots.onnx')}"


def mmpose_name(folder: Path) -> str:
    from pose3d.networks2d.estimators.mmpose_imports import missing_commands

    if missing_commands():
        pytest.skip("needs MMPose, see 'pose3d doctor'")
    from tests.networks2d.test_estimator_mmpose import HEADS, save_random

    return f"mmpose:{HEADS['simcc']}:{save_random(folder, HEADS['simcc'])}"


def box_finder(kind: str) -> Callable[[Path], str]:
    return lambda folder: f"{kind}:{onnx_models().save_box_finder(folder / 'box.onnx', 'dets')}"


def yolo_name(folder: Path) -> str:
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("needs the extra yolo")
    from tests.support.yolo_models import save_random

    return f"yolo:{save_random(folder / 'random.pt')}"


MARKS = {
    "rtmdet": pytest.mark.extra_rtmpose,
    "yolox": pytest.mark.extra_rtmpose,
    "rtmpose": pytest.mark.extra_rtmpose,
    "mmpose": pytest.mark.extra_mmpose,
    "yolo": pytest.mark.extra_yolo,
}
MADE: dict[str, Callable[[Path], str]] = {
    "blazepose": blazepose_name,
    "blazepose-heavy": heavy_name,
    "tokenpose": tokenpose_name,
    "rtmpose": rtmpose_name,
    "mmpose": mmpose_name,
    "rtmdet": box_finder("rtmdet"),
    "yolox": box_finder("yolox"),
    "yolo": yolo_name,
}
MMPOSE_NOISE = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def entries(table: dict[str, str]) -> list:
    return [pytest.param(name, marks=[MARKS[name]] if name in MARKS else []) for name in table]


def picture(size_wh: tuple[int, int] = (320, 240)) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, (size_wh[1] // 16, size_wh[0] // 16, 3))
    return np.kron(noise.astype(np.uint8), np.ones((16, 16, 1), np.uint8))


def people(n: int) -> Detections:
    boxes = np.array([[20, 10, 120, 220], [100, 40, 310, 200], [-10, -20, 60, 90]], np.float32)
    return Detections(boxes_xyxy_px=boxes[:n], score=np.ones(n, np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """Makes the entry of a name, once."""
    done: dict[tuple[str, str], object] = {}

    def make(kind: str, name: str):
        if (kind, name) not in done:
            assert name in MADE, f"{name} is new: say in MADE how it is made"
            full = MADE[name](tmp_path_factory.mktemp(name))
            maker = {"detector": make_detector, "keypoints": make_keypoints}[kind]
            done[kind, name] = maker(full, device="cpu", threads=1, offline=True)
        return done[kind, name]

    return make


@MMPOSE_NOISE
@pytest.mark.parametrize("name", entries(PARTS["keypoints"]))
def test_estimators(made, name):
    estimator = made("keypoints", name)
    assert isinstance(estimator, KeypointEstimator)
    assert (estimator.info.name, estimator.info.device) == (name, "cpu")
    assert estimator.info.licence
    assert estimator.info.device_reason
    assert all(len(h) == 64 for h in estimator.info.sha256)
    joints = len(estimator.skeleton)
    image, before = picture(), picture().copy()
    for n in (0, 1, 3):
        seen = estimator.estimate(image, people(n))
        assert len(seen) == n
        assert seen.keypoints_px.shape == (n, joints, 2)
        assert seen.score.shape == (n, joints)
        assert seen.presence.shape == (n,)
        assert seen.boxes_xyxy_px.shape == (n, 4)
        for array in (seen.keypoints_px, seen.score, seen.presence, seen.boxes_xyxy_px):
            assert array.dtype == np.float32
            assert np.isfinite(array).all()
        assert ((seen.score >= 0) & (seen.score <= 1)).all()
        assert ((seen.presence >= 0) & (seen.presence <= 1)).all()
        assert (seen.boxes_xyxy_px[:, 2:] >= seen.boxes_xyxy_px[:, :2]).all()
    np.testing.assert_array_equal(image, before)
    again = estimator.estimate(image, people(3))
    np.testing.assert_array_equal(again.keypoints_px, seen.keypoints_px)
    # Who else is looked at makes no difference (batches are summed in another order).
    alone = estimator.estimate(image, people(1))
    np.testing.assert_allclose(alone.keypoints_px[0], seen.keypoints_px[0], atol=0.05)


@MMPOSE_NOISE
@pytest.mark.parametrize("name", entries(PARTS["keypoints"]))
def test_estimators_move_with_the_picture(made, name):
    """The same person elsewhere has the same keypoints there."""
    estimator = made("keypoints", name)
    if isinstance(estimator, OnePass):
        pytest.skip("looks at whole pictures, not at places in them")
    shift = np.array([64, 32])
    small, large = picture((160, 128)), np.zeros((300, 400, 3), np.uint8)
    large[32 : 32 + 128, 64 : 64 + 160] = small
    embedded = np.zeros_like(large)
    embedded[:128, :160] = small
    box = np.array([[50, 30, 110, 100]], np.float32)
    where = [
        Detections(boxes_xyxy_px=b.astype(np.float32), score=np.ones(1, np.float32))
        for b in (box, box + np.tile(shift, 2))
    ]
    here = estimator.estimate(embedded, where[0]).keypoints_px
    there = estimator.estimate(large, where[1]).keypoints_px
    np.testing.assert_allclose(there - shift, here, atol=0.6)


@pytest.mark.parametrize("name", entries(PARTS["detector"]))
def test_detectors(made, name):
    detector = made("detector", name)
    assert isinstance(detector, Detector)
    assert (detector.info.name, detector.info.device) == (name, "cpu")
    assert detector.info.licence
    assert detector.info.device_reason
    for size_wh in ((320, 240), (240, 320), (33, 17), (1, 1)):
        image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
        image[size_wh[1] // 3 :, size_wh[0] // 3 : size_wh[0] * 2 // 3 + 1] = 200
        before = image.copy()
        found = detector.detect(image)
        np.testing.assert_array_equal(image, before)
        n = len(found)
        assert found.boxes_xyxy_px.shape == (n, 4)
        assert found.score.shape == (n,)
        assert found.regions is None or found.regions.shape == (n, 4)
        assert found.boxes_xyxy_px.dtype == found.score.dtype == np.float32
        assert ((found.score > 0) & (found.score <= 1)).all()
        assert (np.diff(found.score) <= 0).all()
        low, high = found.boxes_xyxy_px[:, :2], found.boxes_xyxy_px[:, 2:]
        assert ((low >= 0) & (high <= size_wh) & (low <= high)).all()
        again = detector.detect(image)
        np.testing.assert_array_equal(again.boxes_xyxy_px, found.boxes_xyxy_px)
