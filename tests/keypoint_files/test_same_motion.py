"""A real clip's 2D result, written as every program would write it, lifts to the same motion."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, COCO17, LSP14
from pose3d.cli.app import app
from pose3d.keypoint_files.reading import check_joints, read_keypoints
from pose3d.lift.lifter import Lifter
from pose3d.lift.sequence import make_lifter
from pose3d.pipeline.estimate import lift_keypoints
from pose3d.result.record import PoseSequence, load
from tests.support import GOLDEN
from tests.support import keypoint_writers as w
from tests.support.grids import grid

FRAMES = 120

# One case a format and skeleton; files that hold the same numbers are read back elsewhere.
LIFTED = (
    *("openpose-25", "openpose-18", "mmpose", "mmpose-demo", "alphapose-26", "alphapose-136"),
    *("coco", "yolo-txt-conf", "yolo-json", "mediapipe-lmk", "deeplabcut", "csv"),
)
_ROUNDED = ("coco", "csv")
"""Their scores have three decimals here; the lifter sees scores."""


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    """The default lifter, whose weights are shipped."""
    return make_lifter("hot-mixste", device="cpu", offline=True)


@pytest.fixture(scope="module")
def every_frame() -> Lifter:
    """A lifter that drops no frames: which ones the default keeps may hang on a rounded score."""
    return make_lifter("mixste.free27", device="cpu", offline=True)


@pytest.fixture(scope="module")
def clip() -> w.Scene:
    """``pose3d run samples/walk_turn.mp4`` before cleaning and lifting, its first frames."""
    pose = load(GOLDEN / "walk_turn_2d.npz")
    assert grid(pose).keypoints_px is not None
    assert grid(pose).score is not None
    assert pose.skeleton is BLAZEPOSE33
    return w.Scene(
        grid(pose).keypoints_px[:FRAMES].astype(float),
        grid(pose).score[:FRAMES].astype(float),
        BLAZEPOSE33,
        pose.video.size_wh,
    )


def lifted(path: Path, scene: w.Scene, lifter: Lifter) -> PoseSequence:
    pose = read_keypoints(path, size_wh=scene.size_wh, rate=30)
    check_joints(pose, lifter.options.mapping)
    return lift_keypoints(pose, lifter=lifter)


def error_mm(a: PoseSequence, b: PoseSequence) -> float:
    """Returns the largest distance of any joint in any frame."""
    assert a.joints_cam_m is not None
    assert b.joints_cam_m is not None
    assert np.isfinite(a.joints_cam_m).all()
    return 1000 * float(np.linalg.norm(a.joints_cam_m - b.joints_cam_m, axis=-1).max())


@pytest.mark.parametrize("name", LIFTED)
def test_every_format_lifts_to_the_direct_result(
    tmp_path: Path, name: str, clip: w.Scene, lifter: Lifter, every_frame: Lifter
) -> None:
    lifter = every_frame if name in _ROUNDED else lifter
    case = w.CASES[name]
    scene = clip if case.skeleton is BLAZEPOSE33 else w.as_skeleton(clip, case.skeleton)
    direct = lifted(w.write_npz(tmp_path / "direct.npz", scene), scene, lifter)
    other = lifted(case.write(tmp_path / case.name, scene), scene, lifter)
    assert other.person_ids.tolist() == [1]
    assert error_mm(direct, other) < (0.3 if name in _ROUNDED else 0.03)
    # And the skeleton in between hardly matters: all have the joints that the lifter is made of.
    own = lifted(w.write_npz(tmp_path / "own.npz", clip), clip, lifter)
    assert error_mm(own, other) < 1


def test_without_a_neck_or_by_numbers_the_lift_is_the_same(
    tmp_path: Path, clip: w.Scene, lifter: Lifter
) -> None:
    short = replace(clip, points=clip.points[:40], score=np.ones_like(clip.score[:40]))
    lsp = w.as_skeleton(short, LSP14)
    whole = lifted(w.write_npz(tmp_path / "lsp.npz", lsp), lsp, lifter)
    path = w.write_deeplabcut(tmp_path / "d.csv", lsp, names={"neck": "collar"})
    assert error_mm(whole, lifted(path, lsp, lifter)) < 0.03
    coco = w.as_skeleton(short, COCO17)
    named = lifted(w.write_npz(tmp_path / "coco.npz", coco), coco, lifter)
    path = w.write_numbered_csv(tmp_path / "k.csv", coco, seed=2)
    pose = read_keypoints(path, size_wh=coco.size_wh, rate=30, skeleton="coco17")
    assert error_mm(named, lift_keypoints(pose, lifter=lifter)) < 0.3


@pytest.mark.parametrize("options", ["--rate 25", "--rate nan"])
def test_the_command_refuses_what_cannot_be_seen(
    tmp_path: Path,
    options: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("k.npz", keypoints=np.full((8, 1, 17, 2), np.nan), skeleton="coco17")
    with pytest.raises(SystemExit) as left:
        app(
            shlex.split(f"lift k.npz --size 640x480 {options} --render none --offline"),
            prog_name="pose3d",
        )
    said = capsys.readouterr().err
    assert left.value.code == (2 if "nan" in options else 1)
    expected = "The rate is nan" if "nan" in options else "No keypoint is visible in k.npz"
    assert said.startswith(f"pose3d: {expected}. Give ")
    assert not list(Path("out").iterdir())


def test_the_command_draws_and_tells(
    tmp_path: Path,
    samples: Path,
    clip: w.Scene,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``pose3d lift`` with a folder and the real video gives what the same points give directly."""
    monkeypatch.chdir(tmp_path)
    pose = load(GOLDEN / "walk_turn_2d.npz")
    whole = w.Scene(
        np.asarray(grid(pose).keypoints_px, float), np.asarray(grid(pose).score, float), BLAZEPOSE33
    )
    scene = w.as_skeleton(replace(whole, size_wh=pose.video.size_wh), w.OPENPOSE25)
    w.write_openpose(tmp_path / "walk_json", scene)
    w.write_npz(tmp_path / "direct.npz", scene)
    video = samples / "walk_turn.mp4"
    for line in (f"lift walk_json --video {video}", f"lift direct.npz --video {video}"):
        with pytest.raises(SystemExit) as left:
            app(shlex.split(f"{line} --render none --offline"), prog_name="pose3d")
        assert not left.value.code
    said = capsys.readouterr().out
    assert "walk_json: openpose, openpose25, 204 frames at 30/s, 1 person (followed here)" in said
    one, two = load(tmp_path / "out/walk_json/pose.npz"), load(tmp_path / "out/direct/pose.npz")
    assert error_mm(one, two) < 0.03
    assert one.video.path == str(video)
    np.testing.assert_array_equal(one.time_s, pose.time_s)
