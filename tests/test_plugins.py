"""A package of others adds one part of each kind, a file each, and every part is used by name."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pose3d import plugins
from pose3d.cli.app import app
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.parts.table import list_models
from pose3d.result.record import load
from tests.support import fakes

ENTRY_POINTS = """
[pose3d]
detector.toy = toyparts.detector:ToyDetector
keypoints.toy = toyparts.estimator:ToyKeypoints
lifter.toy = toyparts.lifter:ToyLifter
exporter.toy = toyparts.exporter:ToyExporter
reader.toy = toyparts.reader:ToyReader
"""

FILES = {
    "detector": '''
import numpy as np
from pose3d.networks2d.interfaces import Detections
from pose3d.weights.info import ModelInfo

class ToyDetector:
    """Finds one person who fills the picture."""

    info = ModelInfo(name="toy", licence="MIT")

    def __init__(self, *, device="auto", threads=None, offline=False):
        self.threads = threads

    def detect(self, image):
        height, width = image.shape[:2]
        box = np.array([[0, 0, width, height]], np.float32)
        return Detections(boxes_xyxy_px=box, score=np.ones(1, np.float32))
''',
    "estimator": '''
import numpy as np
from pose3d.body.skeletons import COCO17
from pose3d.networks2d.interfaces import Keypoints
from pose3d.weights.info import ModelInfo

class ToyKeypoints:
    """Puts every keypoint into the middle of the box; its argument is a score."""

    ARGUMENT = "SCORE"
    info = ModelInfo(name="toy", licence="MIT")
    skeleton = COCO17

    def __init__(self, *, argument=None, device="auto", threads=None, offline=False):
        self.score = float(argument or 1)

    def estimate(self, image, people):
        boxes = people.boxes_xyxy_px
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        return Keypoints(
            keypoints_px=np.repeat(middle[:, None], 17, 1),
            score=np.full((len(people), 17), self.score, np.float32),
            presence=np.ones(len(people), np.float32),
            boxes_xyxy_px=boxes,
        )
''',
    "lifter": '''
from dataclasses import dataclass, field
import numpy as np
from pose3d.lift.models import LifterOptions
from pose3d.weights.info import ModelInfo

@dataclass
class ToyLifter:
    """Gives every joint a depth of one metre."""

    device: str = "auto"
    offline: bool = False
    frames: int = 9
    options: LifterOptions = field(default_factory=lambda: LifterOptions(backbone="toy"))
    info: ModelInfo = ModelInfo(name="toy", licence="MIT")
    pipeline: str = "seq2seq"
    precision: str = "fp32"

    def lift_windows(self, keypoints_px, score, size_wh, focal_px, **_):
        flat = (keypoints_px - keypoints_px[..., :1, :]) / 100
        depth = np.ones_like(flat[..., :1])
        depth[..., 0, :] = 0
        return np.concatenate([flat, depth], -1).astype(np.float32)
''',
    "exporter": '''
class ToyExporter:
    """Writes how many frames there are."""

    suffix = ".toy"
    description = "the number of frames"
    per_person = False

    def write(self, pose, path):
        path.write_text(f"{pose.n_frames} frames")
''',
    "reader": '''
import numpy as np
from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.keypoint_files.poses import Poses

class ToyReader:
    """Reads one person: a row of numbers for each frame, below the word TOY."""

    description = "toy files"
    kinds = ("text",)

    def recognises(self, source):
        return source.path.read_text().startswith("TOY")

    def read(self, source):
        rows = source.path.read_text().splitlines()[1:]
        points = np.array([[float(n) for n in row.split()] for row in rows]).reshape(-1, 33, 2)
        return Poses(
            frames=np.arange(len(points)),
            points=points,
            score=np.ones(points.shape[:2]),
            skeleton=BLAZEPOSE33,
            size_wh=(120, 96),
        )
''',
}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package is on the path, as pip would leave it."""
    site = tmp_path / "site"
    (site / "toyparts").mkdir(parents=True)
    (site / "toyparts" / "__init__.py").touch()
    for name, text in FILES.items():
        (site / "toyparts" / f"{name}.py").write_text(text)
    info = site / "toyparts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyparts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.setattr("pose3d.plugins._entry_points", plugins._entry_points.__wrapped__)
    yield
    for name in [m for m in sys.modules if m.partition(".")[0] == "toyparts"]:
        del sys.modules[name]


def run(line: str) -> None:
    with pytest.raises(SystemExit) as left:
        app(shlex.split(line), prog_name="pose3d")
    assert not left.value.code


def test_detector_and_estimator_are_made_by_name() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    people = make_detector("toy", threads=2).detect(picture)
    assert people.boxes_xyxy_px.tolist() == [[0, 0, 60, 40]]
    seen = make_keypoints("toy:0.5").estimate(picture, people)
    assert (seen.keypoints_px == [30, 20]).all()
    assert (seen.score == 0.5).all()


def test_reader_lifter_and_exporter_are_used_by_commands(capsys: pytest.CaptureFixture) -> None:
    row = " ".join(f"{n:.3f}" for n in fakes.figure_px().ravel())
    Path("mine.txt").write_text("\n".join(["TOY", *[row] * 12]))
    run("lift mine.txt --rate 30 --lifter toy --render none --no-place --no-flip-test")
    pose = load("out/mine/pose.npz")
    assert (pose.n_frames, pose.n_people) == (12, 1)
    assert pose.joints_cam_m is not None
    assert np.ptp(pose.joints_cam_m[:, 1:, 2]) < 1e-3  # all lie in the lifter's plane
    assert next(r.name for r in pose.made_by if r.stage == "lift") == "toy"
    run("export out/mine --format toy")
    assert Path("out/mine/pose.toy").read_text() == "12 frames"
    capsys.readouterr()
    run("export")
    assert "the number of frames" in capsys.readouterr().out


def test_lists_name_them() -> None:
    rows = [r for r in list_models() if r.name == "toy"]
    assert {r.kind for r in rows} == {"detector", "keypoints", "lifter"}
    assert {r.state for r in rows} == {"from another package"}


def test_built_in_names_stay(tmp_path: Path) -> None:
    points = tmp_path / "site" / "toyparts-1.0.dist-info" / "entry_points.txt"
    points.write_text("[pose3d]\nexporter.json = toyparts.exporter:ToyExporter\n")
    from pose3d.result.record import make_exporter

    assert type(make_exporter("json")).__module__ == "pose3d.result.json"
