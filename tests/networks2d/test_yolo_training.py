"""The whole road of a user's own YOLO: ultralytics trains it, pose3d loads its file and follows people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ultralytics")

from pose3d.body.geometry import compute_iou
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.options import RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.video.writer import write_video
from tests.support.fakes import FakeLifter
from tests.support.yolo_models import FIGURE
from tests.support.yolo_training import draw_figure, train_network

pytestmark = [
    pytest.mark.extra_yolo,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning"),
]

SIZE_WH, RATE, FRAMES = (480, 360), 20, 20


def person_at(i: int) -> np.ndarray:
    return np.array([60.0 + 6 * i, 70 + i, 170 + 6 * i, 310 + i])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_network(tmp_path_factory.mktemp("yolo"))


def picture(i: int, *, person: bool = True, ball: bool = True) -> np.ndarray:
    balls = np.array([400.0 - 8 * i, 10, 460 - 8 * i, 70]) if ball else None
    return draw_figure(SIZE_WH, person_at(i) if person else None, balls, np.random.default_rng(i))


def test_trained_boxes_are_on_people_and_not_on_balls(trained: Path) -> None:
    """Pictures three times as large as those of the training: boxes come back in their pixels."""
    detector = make_detector(f"yolo:{trained}")
    for i in range(0, FRAMES, 4):
        found = detector.detect(picture(i))
        assert len(found.boxes_xyxy_px) == 1
        assert compute_iou(found.boxes_xyxy_px, person_at(i)[None])[0, 0] > 0.75
        assert len(detector.detect(picture(i, person=False)).boxes_xyxy_px) == 0


@pytest.mark.parametrize("tracker", ["own", "bytetrack", "botsort"])
def test_trained_network_follows_a_person_through_a_video(trained, tmp_path, tracker) -> None:
    path = tmp_path / "walk.mp4"
    with write_video(path, SIZE_WH) as writer:
        for i in range(FRAMES):
            writer.write(picture(i), i / RATE)
    estimator = make_keypoints(f"yolo:{trained}")
    models = pipeline.Models(detector=estimator, estimator=estimator, lifter=FakeLifter())
    options = RunOptions(tracker=tracker, keypoints="yolo", smooth=False)
    pose = pipeline.track(path, options, models)
    assert pose.n_people == 1
    dense = pose.dense()
    assert dense.keypoints_px is not None
    seen = np.flatnonzero(dense.valid[:, 0])
    assert len(seen) >= FRAMES - 1
    boxes = np.stack([person_at(int(i)) for i in seen])
    truth = boxes[:, None, :2] + FIGURE * (boxes[:, 2:] - boxes[:, :2])[:, None]
    off = np.linalg.norm(dense.keypoints_px[seen, 0] - truth, axis=-1)
    assert np.median(off) < 0.05 * 240  # of the figure's height
    left, right = dense.keypoints_px[seen, 0, 9], dense.keypoints_px[seen, 0, 10]
    assert (left[:, 0] > right[:, 0]).all()  # wrists: sides are those of the labels
