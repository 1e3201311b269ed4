"""RTMDet and YOLOX from ONNX files: networks that find bright rectangles give their boxes."""

from __future__ import annotations

import numpy as np
import pytest

from pose3d.errors import WeightsError
from pose3d.networks2d.loading import make_detector

pytest.importorskip("onnxruntime", reason="needs the extra rtmpose")
pytest.importorskip("onnx", reason="needs the package onnx to build networks")

from pose3d.networks2d.detectors import rtmdet
from pose3d.networks2d.runtimes.onnxrt import OnnxNetwork
from tests.support import onnx_models

pytestmark = pytest.mark.extra_rtmpose


def draw_box(size_wh: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = 255
    return picture


@pytest.mark.parametrize("kind", ["dets", "raw"])
@pytest.mark.parametrize("name", ["rtmdet", "yolox"])
@pytest.mark.parametrize("size_wh", [(640, 512), (1280, 720), (200, 500), (161, 127)])
def test_the_box_is_where_the_rectangle_is(tmp_path, kind, name, size_wh):
    path = onnx_models.save_box_finder(tmp_path / "boxes.onnx", kind)
    width, height = size_wh
    box = (width // 4, height // 5, width // 2, height * 3 // 4)
    found = make_detector(f"{name}:{path}", device="cpu", threads=1).detect(draw_box(size_wh, box))
    assert len(found) == 1
    pixel = max(width / 320, height / 256, 1)
    np.testing.assert_allclose(found.boxes_xyxy_px[0], box, atol=1.5 * pixel)
    assert found.score[0] == pytest.approx(0.9 if kind == "dets" else 0.5)


def test_a_network_for_any_size_gets_640(tmp_path):
    path = onnx_models.save_box_finder(tmp_path / "any.onnx", "dets", size_wh=("w", "h"))
    box = (300, 100, 500, 600)
    found = make_detector(f"rtmdet:{path}").detect(draw_box((1280, 640), box))
    np.testing.assert_allclose(found.boxes_xyxy_px[0], box, atol=3)


def test_letterbox_keeps_proportions_and_says_its_scale():
    picture = np.full((100, 300, 3), 200, np.uint8)
    framed, scale = rtmdet.letterbox(picture, (150, 120))
    assert framed.shape == (120, 150, 3)
    np.testing.assert_allclose(scale, [0.5, 0.5])
    assert (framed[:50] == 200).all()
    assert (framed[50:] == 114).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("yolox", [30, 20, 10]),
        ("rtmdet", [(30 - 103.53) / 57.375, (20 - 116.28) / 57.12, (10 - 123.675) / 58.395]),
    ],
)
def test_families_want_different_values(tmp_path, monkeypatch, name, expected):
    """What reaches the network for one colour: blue first, scaled as the family was trained."""
    path = onnx_models.save_box_finder(tmp_path / "boxes.onnx", "dets")
    seen = []
    ask = OnnxNetwork.__call__
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda n, x: seen.append(x) or ask(n, x))
    make_detector(f"{name}:{path}").detect(np.full((64, 64, 3), (10, 20, 30), np.uint8))
    np.testing.assert_allclose(seen[-1][0, :, 0, 0], expected, rtol=1e-5)


def grid_values(size_wh: tuple[int, int], boxes: list[tuple[float, ...]]) -> np.ndarray:
    """What YOLOX would say: each box in the cell of its centre, stride 16, with its score."""
    cells = []
    for stride in (8, 16, 32):
        for row in range(size_wh[1] // stride):
            for column in range(size_wh[0] // stride):
                cells.append((column, row, stride))
    out = np.zeros((len(cells), 5 + 3), np.float32)
    for x1, y1, x2, y2, score in boxes:
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        cell = cells.index((int(x // 16), int(y // 16), 16))
        out[cell, :4] = [
            x / 16 - x // 16,
            y / 16 - y // 16,
            np.log((x2 - x1) / 16),
            np.log((y2 - y1) / 16),
        ]
        out[cell, 4:] = [1, score, 0.1, 0.1]
    return out


def test_yolox_grid_is_decoded_and_suppressed(tmp_path):
    size_wh = (160, 128)
    boxes = [(20, 10, 60, 90, 0.8), (40, 12, 80, 90, 0.7), (90.0, 30, 150, 110, 0.9)]
    values = grid_values(size_wh, [*boxes, (93, 33, 165, 113, 0.6), (10, 90, 40, 120, 0.2)])
    path = onnx_models.save_grid(tmp_path / "grid.onnx", values, size_wh=size_wh)
    found = make_detector(f"yolox:{path}").detect(np.zeros((256, 320, 3), np.uint8))
    # The fourth lies on the third, the fifth is too unlikely; the picture is twice the input.
    np.testing.assert_allclose(found.score, [0.9, 0.8, 0.7], rtol=1e-5)
    expected = np.array([boxes[2][:4], boxes[0][:4], boxes[1][:4]]) * 2
    np.testing.assert_allclose(found.boxes_xyxy_px, expected, atol=1e-3)


def test_a_size_that_was_rounded_is_undone_as_it_was_rounded(tmp_path):
    values = grid_values((160, 128), [(20, 2, 60, 12, 0.8)])
    path = onnx_models.save_grid(tmp_path / "grid.onnx", values, size_wh=(160, 128))
    found = make_detector(f"yolox:{path}").detect(np.zeros((33, 320, 3), np.uint8))
    # 33 rows became 16, not 16.5.
    np.testing.assert_allclose(
        found.boxes_xyxy_px[0], [40, 2 * 33 / 16, 120, 12 * 33 / 16], rtol=1e-5
    )


def test_other_classes_are_not_people(tmp_path):
    size_wh = (160, 128)
    values = grid_values(size_wh, [(20, 10, 60, 90, 0.8)])
    values[:, 6] = values[:, 5] + 0.1
    path = onnx_models.save_grid(tmp_path / "grid.onnx", values, size_wh=size_wh)
    assert len(make_detector(f"yolox:{path}").detect(np.zeros((128, 160, 3), np.uint8))) == 0


def test_what_is_no_detector_is_refused(tmp_path):
    path = onnx_models.save_spot_finder(tmp_path / "spots.onnx")
    with pytest.raises(WeightsError):
        make_detector(f"rtmdet:{path}").detect(np.zeros((90, 120, 3), np.uint8))
    grid = onnx_models.save_grid(tmp_path / "grid.onnx", np.zeros((7, 6)), size_wh=(160, 128))
    with pytest.raises(WeightsError):
        make_detector(f"yolox:{grid}").detect(np.zeros((90, 120, 3), np.uint8))
