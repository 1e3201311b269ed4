"""Which focal length a run takes, what it says of it, and what it is used for."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.watch import Watcher
from pose3d.pipeline.estimate import lift_keypoints
from pose3d.result.camera import ASSUMED_WARNING
from pose3d.result.record import Camera, PoseSequence, VideoInfo, load
from pose3d.scene.placing import place_people
from pose3d.video.sources import find_inputs
from tests.support import fakes
from tests.support.camera_files import APPLE, meta_box, put_into
from tests.support.clips import make_clip
from tests.support.grids import grid, regrid

DIAGONAL_PX = float(np.hypot(*fakes.SIZE_WH))
K = [[100.0, 0, 60.0], [0, 100.0, 48.0], [0, 0, 1]]


class Listener(Watcher):
    def __init__(self) -> None:
        self.told: list[str] = []
        self.warned: list[str] = []

    def tell(self, number: int, text: str) -> None:
        self.told.append(text)

    def warn(self, number: int, text: str) -> None:
        self.warned.append(text)


@pytest.fixture
def clip(tmp_path):
    """A clip with a tag of 26 mm and a sidecar of 100 pixels."""
    path = make_clip(tmp_path / "walk.mov", size_wh=fakes.SIZE_WH, n_frames=6).path
    put_into(path, [b"moov", b"trak"], meta_box([(APPLE, 22, struct.pack(">I", 26))]))
    sidecar = path.with_name("walk.camera.json")
    sidecar.write_text(json.dumps({"K": K}))
    return path


def run(clip, out, **options):
    listener = Listener()
    (outcome,) = run_batch(
        find_inputs(str(clip)),
        RunOptions(**options),
        OutputOptions(output=str(out), render="none", format=("npz",)),
        load=fakes.load_fakes,
        watcher=listener,
    )
    if outcome.error is not None:
        raise outcome.error
    camera = load(out / "walk" / "pose.npz").camera
    return outcome, camera, listener


def test_what_is_given_wins_over_the_sidecar_over_the_tag(clip, tmp_path):
    _, camera, _ = run(clip, tmp_path / "a", focal_px=150.0)
    assert (camera.focal_px, camera.focal_source) == (150, "given")
    _, camera, listener = run(clip, tmp_path / "b", focal_35mm=50.0)
    assert camera.focal_px == pytest.approx(50 / 43.27 * DIAGONAL_PX, rel=1e-3)
    assert (camera.focal_source, camera.matrix_px) == ("given", None)
    assert "--focal-35mm 50" in listener.told[0]
    _, camera, listener = run(clip, tmp_path / "c")
    assert (camera.focal_px, camera.focal_source) == (100, "sidecar")
    np.testing.assert_allclose(np.array(camera.matrix_px)[:2, 2], [60.5, 48.5])
    assert "walk.camera.json" in listener.told[0]
    clip.with_name("walk.camera.json").unlink()
    _, camera, listener = run(clip, tmp_path / "d")
    assert camera.focal_px == pytest.approx(26 / 43.27 * DIAGONAL_PX, rel=1e-3)
    assert camera.focal_source == "metadata"
    assert APPLE in listener.told[0]
    assert ASSUMED_WARNING not in listener.warned


def test_an_assumed_focal_length_is_said_once_with_what_it_costs(tmp_path):
    path = make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=6).path
    outcome, camera, listener = run(path, tmp_path / "a")
    assert (camera.focal_px, camera.focal_source) == (96, "assumed")
    assert "assumed" in listener.told[0]
    assert listener.warned.count(ASSUMED_WARNING) == 1
    assert ASSUMED_WARNING in outcome.warnings
    # Without places nothing is scaled by it.
    assert ASSUMED_WARNING not in run(path, tmp_path / "b", place=False)[2].warned


def test_two_focal_lengths_are_refused():
    with pytest.raises(UsageError, match="say the same"):
        RunOptions(focal_px=1000.0, focal_35mm=26.0)
    for bad in (0.0, -26.0, 1e5, float("nan")):
        with pytest.raises(UsageError, match="focal-35mm"):
            RunOptions(focal_35mm=bad)


def test_a_sidecar_that_changes_makes_everything_again(clip, tmp_path):
    assert run(clip, tmp_path / "a")[0].status == "done"
    assert run(clip, tmp_path / "a")[0].status == "kept"
    sidecar = clip.with_name("walk.camera.json")
    sidecar.write_text(json.dumps({"K": K, "distortion": [0, 0, 0, 0]}))
    outcome, camera, _ = run(clip, tmp_path / "a")
    assert (outcome.status, len(camera.distortion)) == ("done", 4)
    sidecar.unlink()
    outcome, camera, _ = run(clip, tmp_path / "a")
    assert (outcome.status, camera.focal_source) == ("done", "metadata")


def test_a_damaged_sidecar_fails_before_the_first_frame(clip, tmp_path, monkeypatch):
    clip.with_name("walk.camera.json").write_text("{")
    monkeypatch.setattr(fakes.FakeDetector, "detect", lambda *_: pytest.fail("was run"))
    with pytest.raises(Exception, match=r"walk\.camera\.json"):
        run(clip, tmp_path / "a")
    monkeypatch.undo()
    assert run(clip, tmp_path / "a", focal_px=100.0)[1].focal_source == "given"


# -- what the camera is used for ---------------------------------------------------------------------

SIZE_WH = (1280, 720)
MATRIX = ((900.0, 0.0, 600.0), (0.0, 870.0, 400.0), (0.0, 0.0, 1.0))
BENT = (-0.25, 0.06, 0.002, -0.001)


def filmed() -> tuple[PoseSequence, np.ndarray]:
    """People who stand about, seen through a lens that bends; and where their pelvises are."""
    rng = np.random.default_rng(0)
    body = rng.normal(size=(1, 1, 17, 3)) * [0.25, 0.5, 0.2]
    body[:, :, 0] = 0
    root = np.zeros((30, 2, 1, 3))
    root[:, 0, 0, 0] = np.linspace(-1.4, -1.1, 30)
    root[:, 1, 0, 0] = np.linspace(1.2, 1.4, 30)
    root[..., 1], root[..., 2] = 0.3, 3.5
    joints = np.broadcast_to(body, (30, 2, 17, 3))
    zero = np.zeros(3)
    pixels, _ = cv2.projectPoints(
        (joints + root).reshape(-1, 1, 3), zero, zero, np.array(MATRIX), np.array(BENT)
    )
    pose = PoseSequence.from_dense(
        video=VideoInfo(path="x.mp4", size_wh=SIZE_WH, rate=Fraction(30), n_frames=30),
        time_s=np.arange(30) / 30,
        person_ids=np.array([1, 2]),
        skeleton=H36M17,
        boxes_xyxy_px=np.tile([0.0, 0, 9, 9], (30, 2, 1)),
        keypoints_px=pixels.reshape(30, 2, 17, 2),
        score=np.ones((30, 2, 17)),
        joints_cam_m=np.array(joints),
        valid=np.ones((30, 2), bool),
        camera=Camera(
            focal_px=float(np.sqrt(900 * 870)),
            focal_source="sidecar",
            matrix_px=MATRIX,
            distortion=BENT,
        ),
    )
    return pose, root[:, :, 0]


def test_people_stand_where_the_bent_picture_says():
    pose, root = filmed()
    placed = place_people(pose)
    np.testing.assert_allclose(grid(placed).root_cam_m, root, atol=0.01)
    flat = place_people(replace(pose, camera=Camera(focal_px=885.0, focal_source="given")))
    assert np.abs(grid(flat).root_cam_m - root).max() > 0.1
    # The points of the picture stay, for they are drawn on it.
    np.testing.assert_array_equal(grid(placed).keypoints_px, grid(pose).keypoints_px)
    assert (placed.camera.matrix_px, placed.camera.distortion) == (MATRIX, BENT)


def test_lifters_see_straight_points():
    """As if a pinhole had filmed; the record keeps the points of the picture."""
    pose, _ = filmed()
    raw = replace(pose, joints_cam_m=None)
    straight = pose.camera.straighten(grid(pose).keypoints_px, SIZE_WH)
    pinhole = Camera(focal_px=pose.camera.focal_px, focal_source="given")
    options = RunOptions(smooth=False, place=False, lifter="residual", device="cpu")
    bent = lift_keypoints(raw, options)
    flat = lift_keypoints(regrid(raw, keypoints_px=straight, camera=pinhole), options)
    np.testing.assert_allclose(grid(bent).joints_cam_m, grid(flat).joints_cam_m, atol=1e-4)
    np.testing.assert_allclose(grid(bent).keypoints_px, grid(pose).keypoints_px, atol=1e-3)
    assert np.abs(straight - grid(pose).keypoints_px).max() > 20
    lifted = next(stage for stage in bent.made_by if stage.stage == "lift")
    assert lifted.options["focal_source"] == "sidecar"


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_the_camera_is_written_and_read_back(tmp_path, suffix):
    placed = place_people(filmed()[0])
    assert load(placed.save(tmp_path / f"pose{suffix}")).camera == placed.camera
