"""YOLO through ultralytics: drawn people with known answers, random networks against its own API."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

if importlib.util.find_spec("ultralytics") is None:
    pytest.skip("needs the extra yolo", allow_module_level=True)

import cv2

from pose3d.body.skeletons import COCO17
from pose3d.errors import DeviceError, UsageError, WeightsError
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.networks2d.runtimes.yolonet import find_weights, import_ultralytics
from pose3d.options import RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.video.writer import write_video
from pose3d.weights.info import ModelInfo
from tests.support.checkpoints import Evil
from tests.support.fakes import FakeLifter
from tests.support.grids import grid
from tests.support.yolo_models import FIGURE, make_known, save_random

pytestmark = [
    pytest.mark.extra_yolo,
    # Inside ultralytics and the libraries that it uses.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]
RED, BLUE, GREY = (230, 20, 20), (20, 20, 230), (120, 120, 120)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is a failure: importing and running must not need one."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def pose_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(tmp_path_factory.mktemp("yolo") / "random-pose.pt")


@pytest.fixture
def estimator(pose_file: Path):
    """A pose network that sees what is drawn."""
    made = make_keypoints(f"yolo:{pose_file}", device="cpu", threads=1, offline=True)
    make_known(made.network)
    return made


@pytest.fixture
def detector(pose_file: Path):
    made = make_detector(f"yolo:{pose_file}", device="cpu", threads=1, offline=True)
    make_known(made)
    return made


def draw(size_wh, person=None, ball=None) -> np.ndarray:
    image = np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)
    for box, colour in ((ball, BLUE), (person, RED)):
        if box is not None:
            image[box[1] : box[3], box[0] : box[2]] = colour
    return image


SIZES = [(640, 480), (1280, 720), (480, 854), (333, 517), (1921, 1079), (90, 60)]


@pytest.mark.parametrize("size_wh", SIZES, ids=str)
def test_boxes_and_keypoints_are_in_pixels_of_the_picture(estimator, detector, size_wh):
    """Whatever is done to the picture on its way into the network is undone; balls are left out."""
    width, height = size_wh
    box = np.array([width * 0.3, height * 0.2, width * 0.55, height * 0.9]).astype(int)
    ball = [int(width * 0.7), int(height * 0.1), int(width * 0.9), int(height * 0.3)]
    image = draw(size_wh, box, ball)
    # One pixel of the letterboxed picture.
    tolerance = 1.2 * max(size_wh) / 640 + 0.5
    found = detector.detect(image)
    assert found.score.tolist() == pytest.approx(
        [0.8]
    )  # the ball is surer, the copy was suppressed
    np.testing.assert_allclose(found.boxes_xyxy_px[0], box, atol=tolerance)
    (seen,) = estimator.network.find_people([image])
    assert len(seen) == 1
    np.testing.assert_allclose(seen.boxes_xyxy_px[0], box, atol=tolerance)
    expected = box[:2] + FIGURE * (box[2:] - box[:2])
    np.testing.assert_allclose(seen.keypoints_px[0], expected, atol=tolerance)
    np.testing.assert_allclose(seen.score, 0.9, atol=1e-6)
    assert seen.presence.tolist() == pytest.approx([0.8])


def test_nobody(estimator, detector):
    empty = draw((320, 240), ball=[30, 30, 90, 90])
    assert len(detector.detect(empty)) == 0
    (seen,) = estimator.network.find_people([empty])
    assert seen.keypoints_px.shape == (0, 17, 2)
    assert len(estimator.estimate(empty, Detections.none())) == 0


def test_a_batch_is_the_same_as_one_by_one(estimator):
    boxes = [[30 + 40 * i, 20, 90 + 40 * i, 200] for i in range(5)]
    images = [draw((480, 270), box) for box in boxes]
    together = estimator.network.find_people(images)
    for image, seen, box in zip(images, together, boxes, strict=True):
        (alone,) = estimator.network.find_people([image])
        np.testing.assert_array_equal(alone.keypoints_px, seen.keypoints_px)
        np.testing.assert_allclose(seen.boxes_xyxy_px[0], box, atol=1.3)


def test_the_pictures_stay_as_they_are(estimator):
    image = draw((480, 270), [30, 20, 90, 200])
    before = image.copy()
    estimator.network.find_people([image])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("task", ["pose", "detect"])
def test_answers_are_those_of_ultralytics_itself(tmp_path: Path, task: str) -> None:
    """Saved, loaded without running anything it holds, compared with its own way from a file."""
    path = save_random(tmp_path / "random.pt", task=task)
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    image = cv2.resize(image, (400, 300), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "picture.png"), image[:, :, ::-1])
    (expected,) = (
        import_ultralytics()
        .YOLO(path)
        .predict(tmp_path / "picture.png", conf=0.1, classes=[1], device="cpu", verbose=False)
    )
    expected = expected.cpu().numpy()
    assert len(expected) > 3
    order = np.argsort(-expected.boxes.conf, kind="stable")
    found = make_detector(f"yolo:{path}", device="cpu").detect_batch([image])[0]
    np.testing.assert_allclose(found.boxes_xyxy_px, expected.boxes.xyxy[order], atol=1e-3)
    np.testing.assert_allclose(found.score, expected.boxes.conf[order], atol=1e-5)
    if task == "pose":
        (seen,) = make_keypoints(f"yolo:{path}", device="cpu").network.find_people([image])
        np.testing.assert_allclose(seen.keypoints_px, expected.keypoints.xy[order], atol=1e-3)
        np.testing.assert_allclose(seen.score, expected.keypoints.conf[order], atol=1e-5)


def test_exported_networks_see_the_same(tmp_path: Path) -> None:
    """ONNX, at the size that it was exported for, although it takes any."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = save_random(tmp_path / "random-pose.pt")
    made = import_ultralytics().YOLO(path)
    made.export(format="onnx", imgsz=192, dynamic=True, simplify=False, verbose=False)
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8), (400, 300))
    (expected,) = made.predict(
        np.ascontiguousarray(image[:, :, ::-1]),
        imgsz=192,
        conf=0.1,
        classes=[1],
        device="cpu",
        verbose=False,
    )
    exported = make_keypoints(f"yolo:{path.with_suffix('.onnx')}", device="cpu", threads=1)
    (seen,) = exported.network.find_people([image])
    boxes = expected.boxes.xyxy[expected.boxes.conf.argsort(descending=True, stable=True)].numpy()
    assert len(boxes) > 3
    np.testing.assert_allclose(seen.boxes_xyxy_px, boxes, atol=0.05)


def test_threads_are_given_back(pose_file: Path) -> None:
    before = torch.get_num_threads()
    made = make_keypoints(f"yolo:{pose_file}", device="cpu", threads=before + 1)
    made.network.find_people([draw((64, 64))])
    assert torch.get_num_threads() == before


def test_how_it_was_made_is_known(estimator, pose_file: Path) -> None:
    assert estimator.info.licence == "AGPL-3.0"
    assert estimator.info.weights == (pose_file.name,)
    assert (estimator.info.device, estimator.info.device_reason) == ("cpu", "asked for")
    assert "ultralytics" in estimator.info.changes[0]


# -- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("imported_first", [False, True])
def test_what_a_checkpoint_holds_is_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported_first: bool
) -> None:
    if imported_first:  # by somebody else, with its own settings
        monkeypatch.setattr(import_ultralytics().nn.tasks, "SAFE_LOAD", False)
    torch.save({"model": Evil(os.mkdir, str(tmp_path / "done"))}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"evil\.pt"):
        make_detector(f"yolo:{tmp_path / 'evil.pt'}", device="cpu")
    assert not (tmp_path / "done").exists()


def test_wrong_weights_are_named(tmp_path: Path, pose_file: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(pose_file.read_bytes()[:5000])
    (tmp_path / "text.pt").write_text("no weights")
    for name in ("broken.pt", "text.pt"):
        with pytest.raises(WeightsError):
            make_keypoints(f"yolo:{tmp_path / name}", device="cpu")
    boxes = save_random(tmp_path / "boxes.pt", task="detect")
    with pytest.raises(WeightsError, match=r"'detect'.*'pose'"):
        make_keypoints(f"yolo:{boxes}", device="cpu")
    five = save_random(tmp_path / "five.pt", keypoints=5)
    with pytest.raises(WeightsError):
        make_keypoints(f"yolo:{five}", device="cpu")
    cars = save_random(tmp_path / "cars.pt", names={0: "car", 1: "bus"})
    with pytest.raises(WeightsError):
        make_detector(f"yolo:{cars}", device="cpu")
    with pytest.raises(UsageError):
        make_detector("yolo:yolo11n.yaml")
    with pytest.raises(UsageError):
        make_detector("yolo:nowhere.pt")
    with pytest.raises(DeviceError):
        make_detector(f"yolo:{pose_file}", device="mps")


def test_an_only_class_is_taken_for_people_and_said(tmp_path: Path) -> None:
    path = save_random(tmp_path / "player.pt", names={0: "player"})
    info = make_detector(f"yolo:{path}", device="cpu").info
    assert "'player'" in info.changes[1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def test_nothing_is_fetched_offline(cache: Path) -> None:
    with pytest.raises(WeightsError):
        make_keypoints("yolo", offline=True)
    with pytest.raises(WeightsError, match=r"yolo11n\.pt of github\.com/ultralytics/assets"):
        make_detector("yolo", offline=True)
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("named", ["yolo11n-pose.pt", "yolo11n-pose"])
def test_licence_and_source_are_told_before_weights_are_fetched(
    cache: Path, pose_file: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    from ultralytics.utils import downloads

    events: list[str] = []

    def fetch(url: str, file: Path, **_: object) -> None:
        events.append(url)
        Path(file).write_bytes(pose_file.read_bytes())

    monkeypatch.setattr(downloads, "safe_download", fetch)
    path = find_weights(named, say=events.append)
    assert path == cache / "yolo11n-pose.pt"
    assert [p.name for p in cache.iterdir()] == [path.name]  # nothing temporary stays
    assert "AGPL-3.0" in events[0]
    assert "github.com/ultralytics/assets" in events[0]
    assert events[1].startswith("https://github.com/ultralytics/assets/releases/download/")
    assert find_weights(named, offline=True) == path
    assert len(events) == 2
    assert make_keypoints(f"yolo:{named}", device="cpu", offline=True).info.weights == (path.name,)


def test_a_failed_download_leaves_nothing(cache: Path, monkeypatch, capsys) -> None:
    from ultralytics.utils import downloads

    def fail(url: str, file: Path, **_: object) -> None:
        Path(str(file) + ".part").write_bytes(b"half")
        raise ConnectionError("no route")

    monkeypatch.setattr(downloads, "safe_download", fail)
    with pytest.raises(WeightsError, match=r"yolo11n\.pt.*no route"):
        find_weights("yolo11n.pt")
    assert "AGPL-3.0" in capsys.readouterr().err  # said although nobody asked to be told
    assert list(cache.iterdir()) == []


# -- the whole chain -------------------------------------------------------------------------------

SECONDS, RATE, SIZE_WH = 1.0, 20, (480, 360)


def person_at(i: int) -> np.ndarray:
    return np.array([60 + 6 * i, 80 + i, 160 + 6 * i, 320 + i])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who walks to the right, and a ball that comes the other way."""
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    with write_video(path, SIZE_WH) as writer:
        for i in range(int(SECONDS * RATE)):
            ball = [400 - 8 * i, 10, 450 - 8 * i, 60]
            writer.write(draw(SIZE_WH, person_at(i), ball), i / RATE)
    return path


@pytest.mark.parametrize("tracker", ["own", "bytetrack", "botsort"])
def test_boxes_and_keypoints_are_in_place_through_the_whole_chain(clip, estimator, tracker):
    models = pipeline.Models(detector=estimator, estimator=estimator, lifter=FakeLifter())
    options = RunOptions(tracker=tracker, keypoints="yolo", smooth=False)
    pose = pipeline.track(clip, options, models)
    assert pose.n_people == 1
    assert grid(pose).valid.sum() >= len(grid(pose).valid) - 1
    for i in np.flatnonzero(grid(pose).valid[:, 0]):
        box = person_at(int(i))
        expected = box[:2] + FIGURE * (box[2:] - box[:2])
        np.testing.assert_allclose(grid(pose).keypoints_px[i, 0], expected, atol=2.5)
    stages = {record.stage: record for record in pose.made_by}
    assert stages["track"].name == ("regions" if tracker == "own" else tracker)
    assert stages["keypoints"].name == "yolo"
    assert grid(pipeline.lift_keypoints(pose, options, models=models)).joints_cam_m is not None


class SeesRed:
    """A two-stage estimator: the figure is where the picture is red, if that is near the box."""

    info = ModelInfo(name="red", licence="none", device="cpu")
    skeleton = COCO17

    def estimate(self, image: np.ndarray, people: Detections) -> Keypoints:
        rows, columns = np.nonzero((image[:, :, 0] > 150) & (image[:, :, 1:].max(2) < 90))
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        n = len(people)
        near = np.abs(people.boxes_xyxy_px - box).max(1) < 40
        points = np.repeat((box[:2] + FIGURE * (box[2:] - box[:2]))[None], n, 0)
        return Keypoints(
            keypoints_px=points.astype(np.float32),
            score=np.full((n, 17), 0.9, np.float32),
            presence=np.where(near, 0.95, 0.0).astype(np.float32),
            boxes_xyxy_px=np.repeat(box[None], n, 0).astype(np.float32),
        )


@pytest.mark.parametrize("tracker", ["own", "bytetrack"])
def test_its_boxes_lead_another_estimator(clip, detector, tracker):
    """A detector that runs in batches where every frame is needed, and alone where not."""
    sizes: list[int] = []
    look = detector.look
    detector.look = lambda images: sizes.append(len(images)) or look(images)
    models = pipeline.Models(detector=detector, estimator=SeesRed(), lifter=FakeLifter())
    pose = pipeline.track(clip, RunOptions(tracker=tracker), models)
    assert pose.n_people == 1
    assert grid(pose).valid.all()
    for i in range(pose.n_frames):
        box = person_at(i)
        expected = box[:2] + FIGURE * (box[2:] - box[:2])
        np.testing.assert_allclose(grid(pose).keypoints_px[i, 0], expected, atol=2.5)
    assert sizes == ([4] * 5 if tracker == "bytetrack" else [1, 1])
