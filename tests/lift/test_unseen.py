"""lift/tracks.py: what published lifters are fed where joints were not seen, and at which rate."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import H36M17
from pose3d.lab.datasets.sequences import LabelledSequence
from pose3d.lab.evaluation.protocol import Protocol, lift_recording
from pose3d.lab.training.optimisers import initialise
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import Lifter, mirror_joints
from pose3d.lift.models import LifterOptions, build_network
from pose3d.lift.normalise import screen_normalise
from pose3d.lift.published.description import Hints
from pose3d.lift.published.importing import import_weights
from pose3d.lift.sequence import lift_ends, lift_sequence, make_lifter
from pose3d.lift.tracks import CROP_WH, fill_unseen, prepare_tracks
from pose3d.result.record import PoseSequence, VideoInfo
from tests.support import ROOT
from tests.support.checkpoints import to_published
from tests.support.grids import grid, regrid
from tests.support.lifters import FakeNetwork, small_lifter

AXIAL = [H36M17.index[name] for name in ("spine", "thorax", "neck_nose", "head_top")]
SIZES = {"frames": 9, "joints": 17, "channels_in": 2, "dim": 24, "depth": 2, "heads": 8}
SIZE = (1920, 1080)


def read_walk() -> PoseSequence:
    with np.load(ROOT / "samples" / "walk_turn.truth.npz") as z:
        n = len(z["keypoints_px"])
        size_wh = tuple(z["size_wh"].tolist())
        return PoseSequence.from_dense(
            video=VideoInfo(path="x", size_wh=size_wh, rate=Fraction(50), n_frames=n),
            time_s=np.arange(n) / 50,
            person_ids=np.array([1]),
            skeleton=H36M17,
            boxes_xyxy_px=z["boxes_xyxy_px"],
            keypoints_px=z["keypoints_px"],
            score=np.ones((n, 1, 17)),
            joints_cam_m=z["joints_cam_m"],
            valid=np.ones((n, 1), bool),
        )


def as_recording(pose: PoseSequence, **changes) -> LabelledSequence:
    values = {
        "keypoints_px": grid(pose).keypoints_px[:, 0],
        "score": grid(pose).score[:, 0],
        "joints_cam_m": grid(pose).joints_cam_m[:, 0],
        "size_wh": pose.video.size_wh,
        "rate": float(pose.video.rate),
        "valid": grid(pose).valid[:, 0],
    }
    names = {"subject": "x", "action": "x", "camera": "x", "skeleton": H36M17, "focal_px": 1000.0}
    return LabelledSequence(**{**names, **values, **changes})


def error_mm(joints: np.ndarray, truth: PoseSequence) -> float:
    target = truth.joints_cam_m - truth.joints_cam_m[:, :1]
    return 1000 * float(np.linalg.norm(joints - target, axis=-1).mean())


def lift(pose: PoseSequence, lifter: Lifter, **more) -> np.ndarray:
    return grid(lift_sequence(pose, lifter, **more)).joints_cam_m[:, 0]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Lifter:
    """A small HoT that knows one walk, trained as the published one (mirrored windows, MPJPE) on
    the picture's width, saved under the published names and imported."""
    walk = read_walk()
    options = LifterOptions(
        backbone="mixste", sizes=SIZES, hourglass=HourglassOptions(keep=(3,), at=(1,))
    )
    torch.manual_seed(0)
    network = build_network(options)
    initialise(network)
    size = torch.tensor([walk.video.size_wh], dtype=torch.float32)
    points = torch.from_numpy(grid(walk).keypoints_px[None, :, 0]).float()
    joints = torch.from_numpy(grid(walk).joints_cam_m[:, 0]).float()
    pairs = screen_normalise(points, size)[0], joints - joints[:, :1]
    optimiser = torch.optim.AdamW(network.parameters(), lr=8e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=200)
    for _ in range(200):
        rows = torch.randint(len(joints) - 8, (2, 1)) + torch.arange(9)
        inputs, target = (torch.cat([x[rows], mirror_joints(x[rows])]) for x in pairs)
        loss = (network(inputs) - target).norm(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    folder = tmp_path_factory.mktemp("toy")
    torch.save(to_published(options, network.state_dict()), folder / "toy.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSE3D_CACHE", str(folder))
        done = import_weights(folder / "toy.pth", hints=Hints(at=(1,)))
        return make_lifter(str(done.path), device="cpu")


@pytest.mark.parametrize("start", [0, 70, 144])
def test_joints_unseen_for_a_while_cost_little(toy, start):
    """The four joints that the mapping ``hot`` makes of a face, unseen for 1.2 s from behind: at the
    beginning, in the middle and at the end. At the picture's corner they cost a third and more."""
    walk = read_walk()
    points = grid(walk).keypoints_px.copy()
    points[start : start + 60, :, AXIAL] = np.nan
    seen = error_mm(lift(walk, toy), walk)
    assert seen < 200  # it has learned
    assert error_mm(lift(regrid(walk, keypoints_px=points), toy), walk) < 1.1 * seen
    recording = as_recording(walk, keypoints_px=points[:, 0])
    answers = lift_recording(recording, toy, Protocol(windows="aligned"))
    published = answers.joints_m[answers.first]
    assert error_mm(published, walk) < 1.1 * seen
    at_corner = np.nan_to_num(points, nan=0.0)
    assert error_mm(lift(regrid(walk, keypoints_px=at_corner), toy), walk) > 1.25 * seen


@pytest.mark.parametrize("rate", [50, 100])
def test_imported_weights_are_asked_at_one_rate(toy, rate):
    """50 frames a second as the code of the authors does: windows side by side, mirrored too."""
    walk = read_walk()
    walk = replace(walk, video=replace(walk.video, rate=Fraction(rate)))
    asked = lift_sequence(walk, toy, rate_test=True)
    assert asked.made_by[-1].options["rate_test"] is False
    np.testing.assert_array_equal(
        grid(asked).joints_cam_m, grid(lift_sequence(walk, toy)).joints_cam_m
    )
    many = replace(toy, options=replace(toy.options, many_rates=True))
    assert lift_sequence(walk, many, rate_test=True).made_by[-1].options["rate_test"] is True
    answers = lift_recording(as_recording(walk), toy, Protocol(windows="aligned"))
    published = np.empty((len(walk.time_s), 17, 3))
    published[answers.rows[answers.first]] = answers.joints_m[answers.first]
    assert error_mm(grid(asked).joints_cam_m[:, 0], walk) < 1.005 * error_mm(published, walk)


# -- places for unseen joints ----------------------------------------------------------------------


def moving_track(rows: int = 30) -> np.ndarray:
    """A body that moves as a whole, so that the places of hidden joints are known."""
    body = np.random.default_rng(0).uniform(-80, 80, (17, 2))
    body[0] = body[[1, 4]].mean(0)
    path = np.stack([500 + 20 * np.arange(rows), 400 + 30 * np.sin(np.arange(rows))], -1)
    return body + path[:, None]


@pytest.mark.parametrize("joint", range(17))
@pytest.mark.parametrize("hidden", [slice(0, 8), slice(9, 20), slice(25, None)])
def test_an_unseen_joint_moves_with_the_body(joint, hidden):
    track = moving_track()
    points = track.copy()
    points[hidden, joint] = np.nan
    np.testing.assert_allclose(fill_unseen(points), track, atol=1e-9)
    assert fill_unseen(track) is track


def test_what_is_never_seen_is_folded_and_nobody_stays_nobody():
    points = moving_track()
    legs = [H36M17.index[f"{s}_{j}"] for s in ("left", "right") for j in ("knee", "ankle")]
    points[:, legs] = np.nan
    filled = fill_unseen(points)
    for joint, hip in zip(legs, (4, 4, 1, 1), strict=True):
        np.testing.assert_array_equal(filled[:, joint], points[:, hip])
    some = np.full_like(points, np.nan)
    some[:, 12] = points[:, 12]  # one elbow alone
    assert np.isfinite(fill_unseen(some)).all()
    some[3:7] = np.nan  # and not in all frames
    np.testing.assert_allclose(fill_unseen(some)[:, 0], np.nan_to_num(points[:, 12]), atol=60)
    assert np.isnan(fill_unseen(np.full_like(points, np.nan))).all()


def watch(normalisation: str, units: str = "metres") -> tuple[Lifter, list[torch.Tensor]]:
    """Returns a lifter of x, y, confidence and the list that its inputs will be in."""
    inputs: list[torch.Tensor] = []

    def answer(x: torch.Tensor) -> torch.Tensor:
        inputs.append(x)
        return torch.zeros(*x.shape[:3], 3)

    base = small_lifter()
    options = replace(base.options, normalisation=normalisation, units=units)
    return replace(base, network=FakeNetwork(answer), options=options), inputs


def track_of(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.full((len(points), 17, 1), 0.75)], -1)


def test_windows_and_pasts_never_hold_a_corner():
    """Whoever cuts windows himself and whoever is live: a place, and the confidence 0."""
    lifter, inputs = watch("screen")
    points = moving_track(9)
    points[4:, 13] = np.nan
    lifter.lift_windows(points[None], np.full((1, 9, 17), 0.75), SIZE, 1000.0, flip_test=False)
    lift_ends([track_of(points)], lifter, SIZE, 1000.0, flip_test=False)
    expected = (moving_track(9) - np.array(SIZE) / 2) / (SIZE[0] / 2)
    for x in inputs:
        np.testing.assert_allclose(x[0, :, :, :2], expected, atol=1e-6)
        assert x[0, 4:, 13, 2].tolist() == [0.0] * 5
        assert x[0, :4, 13, 2].tolist() == [0.75] * 4
    nobody = np.full((1, 9, 17, 2), np.nan)
    lifter.lift_windows(nobody, np.ones((1, 9, 17)), SIZE, 1000.0, flip_test=False)
    assert not inputs[-1].any()


# -- normalisations of MotionBERT ------------------------------------------------------------------


def test_crop_is_the_square_around_the_person_in_the_whole_track():
    """By the plain formula; joints without a confidence neither count nor leave the square."""
    track = track_of(moving_track())
    track[5, 13] = 0.0  # how AlphaPose writes what it did not find
    (cropped,), size_wh = prepare_tracks([track], "crop", SIZE)
    assert size_wh == CROP_WH
    counted = track[track[..., 2] > 0][:, :2]
    low, high = counted.min(0), counted.max(0)
    scale = (high - low).max()
    corner = (low + high - scale) / 2
    expected = (((track[..., :2] - corner) / scale - 0.5) * 2).clip(-1, 1)
    np.testing.assert_allclose(cropped[..., :2] - 1, expected, atol=1e-9)
    lifter, inputs = watch("crop")
    pose = regrid(
        read_walk(), keypoints_px=np.pad(track[:, None, :, :2], ((0, 174), *[(0, 0)] * 3), "edge")
    )
    lift_sequence(pose, lifter, flip_test=False)
    assert all(float(x[..., :2].abs().max()) <= 1 for x in inputs)
    with pytest.raises(ValueError, match="prepare_tracks"):
        lifter.lift_windows(track[None, :9, :, :2], track[None, :9, :, 2], SIZE, 1000.0)


@pytest.mark.parametrize(
    ("normalisation", "tall"), [("screen", 0.375), ("short-side", 2 / 3), ("crop", 2.0)]
)
def test_how_tall_a_third_of_the_picture_is(normalisation, tall):
    points = np.zeros((9, 17, 2)) + np.array(SIZE) / 2
    points[:, :, 1] += np.linspace(-180, 180, 17)
    lifter, inputs = watch(normalisation)
    lift_ends([track_of(points)], lifter, SIZE, 1000.0, flip_test=False)
    y = inputs[0][0, :, :, 1]
    assert float(y.max() - y.min()) == pytest.approx(tall, rel=1e-5)
    assert float(y.mean()) == pytest.approx(0, abs=1e-6)


def test_recordings_of_the_field_are_normalised_by_their_width():
    lifter, inputs = watch("crop", "picture")
    walk = read_walk()
    lift_recording(as_recording(walk), lifter, Protocol(flip_test=False))
    x = grid(walk).keypoints_px[:, 0, :, 0] / walk.video.size_wh[0] * 2 - 1
    assert float(inputs[0][..., 0].min()) == pytest.approx(x.min(), abs=1e-5)
