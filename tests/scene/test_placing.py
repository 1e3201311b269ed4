"""placing.py and ground.py against the exact cameras and positions of the sample clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose3d.body.geometry import ASSUMED_FOCAL
from pose3d.body.skeletons import COCO17
from pose3d.errors import UsageError
from pose3d.result.record import Span
from pose3d.scene import placing
from pose3d.scene.ground import _speeds, estimate_ground
from tests.support.cameras import project_points
from tests.support.grids import grid, regrid, to_rows
from tests.support.samples import HEIGHT_M, sample_pose, true_up

CLIPS = ("walk_turn", "two_people", "dance", "portrait_phone")


@pytest.fixture(scope="module")
def load(samples):
    def read(clip, noise_m=0.0, noise_px=0.0, seed=0):
        truth = sample_pose(samples, clip)
        relative, root = grid(truth).joints_cam_m, grid(truth).root_cam_m
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=relative.shape) * noise_m
        for t in range(1, len(noise)):  # errors of a lifter last over frames
            noise[t] = 0.9 * noise[t - 1] + (1 - 0.81) ** 0.5 * noise[t]
        pixels = (
            grid(truth).keypoints_px + rng.normal(size=grid(truth).keypoints_px.shape) * noise_px
        )
        pose = regrid(
            truth,
            keypoints_px=pixels,
            score=np.ones(pixels.shape[:3]),
            joints_cam_m=relative + noise - noise[:, :, :1],
            root_cam_m=None,
            camera=replace(truth.camera, up_cam=None, ground_m=None),
        )
        return pose, relative + root[:, :, None], truth.camera.focal_px

    return read


def up_error_deg(up, clip):
    return np.degrees(np.arccos(np.clip(np.array(up) @ true_up(clip), -1, 1)))


def root_error_m(placed, joints):
    return np.linalg.norm(grid(placed).root_cam_m - joints[:, :, 0], axis=-1)


@pytest.mark.parametrize("clip", CLIPS)
def test_exact_input_gives_exact_places(load, clip):
    pose, joints, _ = load(clip)
    placed = placing.place_people(pose)
    assert root_error_m(placed, joints).max() < 0.01
    assert placed.camera.focal_source == "given"
    np.testing.assert_array_equal(grid(placed).joints_cam_m, grid(pose).joints_cam_m)


@pytest.mark.parametrize(
    ("noise_m", "noise_px", "limit_m"), [(0.01, 1, 0.03), (0.03, 3, 0.08), (0.06, 5, 0.2)]
)
@pytest.mark.parametrize("clip", CLIPS)
def test_error_grows_gently_with_noise(load, clip, noise_m, noise_px, limit_m):
    pose, joints, _ = load(clip, noise_m, noise_px)
    placed = placing.place_people(pose)
    assert root_error_m(placed, joints).mean() < limit_m


def test_smoothing_over_time_helps_the_depth(load):
    pose, joints, focal = load("walk_turn", 0.03, 3)
    rays = (grid(pose).keypoints_px - [480, 270]) / focal
    fit = placing.solve_roots(grid(pose).joints_cam_m[:, 0], rays[:, 0], np.ones((204, 17)))
    smooth = placing.smooth_roots(fit, pose.time_s, grid(pose).valid[:, 0])
    true = joints[:, 0, 0, 2]
    assert np.std(smooth[:, 2] - true) < 0.8 * np.std(fit.root_cam_m[:, 2] - true)
    jitter = [np.abs(np.diff(d, 2)).mean() for d in (fit.root_cam_m[:, 2], smooth[:, 2])]
    assert jitter[1] < 0.2 * jitter[0]


@pytest.mark.parametrize("clip", CLIPS)
def test_ground_of_true_joints(load, clip):
    pose, _, _ = load(clip)
    camera = placing.place_people(pose).camera
    assert up_error_deg(camera.up_cam, clip) < 2.0
    # The phone clip shows a person on one spot: the feet leave the tilt open, and the height with it.
    assert camera.ground_m == pytest.approx(
        HEIGHT_M[clip], abs=0.12 if clip == "portrait_phone" else 0.05
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("clip", ["walk_turn", "two_people"])
def test_ground_of_noisy_joints(load, clip, seed):
    pose, _, _ = load(clip, 0.03, 3, seed)
    camera = placing.place_people(pose).camera
    assert up_error_deg(camera.up_cam, clip) < 4.0
    assert camera.ground_m == pytest.approx(HEIGHT_M[clip], abs=0.15)


@pytest.mark.parametrize("factor", [0.85, 0.93, 1.08, 1.15])
def test_people_of_other_stature_do_not_tilt_the_ground(load, factor):
    """Whoever is lifted too large stands too far away, feet included."""
    pose, joints, _ = load("two_people")
    joints = joints.copy()
    joints[:, 1] *= factor  # the same picture
    plane = estimate_ground(to_rows(joints), pose.time_s, pose.score, pose.valid, pose.spans)
    assert up_error_deg(plane.up_cam, "two_people") < 0.5
    assert plane.ground_m == pytest.approx(HEIGHT_M["two_people"] * (1 + factor) / 2, rel=0.03)


def test_ground_of_a_dancer_with_noise(load):
    # Raised and swinging feet must not tilt the ground: slow feet only, and above it is no error.
    errors = []
    for seed in range(3):
        pose, _, _ = load("dance", 0.01, 1, seed)
        camera = placing.place_people(pose).camera
        errors.append(up_error_deg(camera.up_cam, "dance"))
    assert np.mean(errors) < 2.0


def test_assumed_focal_keeps_the_order_of_people(load):
    pose, joints, _ = load("two_people")
    placed = placing.place_people(replace(pose, camera=None))
    assert placed.camera.focal_source == "assumed"
    assert placed.camera.focal_px == ASSUMED_FOCAL * 960
    assert placed.made_by[-1].options["focal_source"] == "assumed"
    # Nearer stays nearer, left stays left, and the depths keep their proportion.
    ratio = grid(placed).root_cam_m[..., 2] / joints[:, :, 0, 2]
    assert ratio.std() / ratio.mean() < 0.06
    apart = np.abs(np.diff(joints[:, :, 0, 2], axis=1)[:, 0]) > 0.2
    same = np.sign(np.diff(grid(placed).root_cam_m[..., 2], axis=1)[:, 0]) == np.sign(
        np.diff(joints[:, :, 0, 2], axis=1)[:, 0]
    )
    assert same[apart].all()


def test_placed_people_project_onto_their_keypoints(load):
    pose, _, _ = load("dance")
    placed = placing.place_people(replace(pose, camera=None))  # also with a wrong focal length
    absolute = grid(placed).root_cam_m[:, :, None] + grid(placed).joints_cam_m
    pixels = project_points(absolute, placed.camera.focal_px, (480, 270))
    assert np.median(np.linalg.norm(pixels - grid(pose).keypoints_px, axis=-1)) < 6


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(1.5, 30), st.floats(300, 3000))
def test_any_body_anywhere_is_found(seed, depth, focal):
    rng = np.random.default_rng(seed)
    body = rng.normal(size=(1, 17, 3)) * [0.25, 0.45, 0.2]
    root = np.array([rng.uniform(-0.4, 0.4) * depth, rng.uniform(-0.3, 0.3) * depth, depth])
    rays = project_points(body + root, focal, (0, 0)) / focal
    found = placing.solve_roots(body, rays, np.ones((1, 17))).root_cam_m[0]
    np.testing.assert_allclose(found, root, rtol=1e-6, atol=1e-6)


def test_a_wrong_keypoint_does_not_pull(load):
    pose, joints, _ = load("walk_turn")
    keypoints = grid(pose).keypoints_px.copy()
    keypoints[:, 0, 13] += [150, -100]  # one wrist is somewhere else, with full score
    placed = placing.place_people(regrid(pose, keypoints_px=keypoints))
    assert root_error_m(placed, joints).mean() < 0.06


def test_feet_out_of_the_picture(load):
    pose, joints, _ = load("walk_turn")
    keypoints, score = grid(pose).keypoints_px.copy(), grid(pose).score.copy()
    legs = [2, 3, 5, 6]
    keypoints[:, :, legs] += np.random.default_rng(0).normal(size=(204, 1, 4, 2)) * 60
    score[:, :, legs] = 0.05
    placed = placing.place_people(regrid(pose, keypoints_px=keypoints, score=score))
    assert root_error_m(placed, joints).mean() < 0.05
    assert placed.camera.ground_m is None  # nobody's feet were seen


def test_absent_people_stay_absent(load):
    pose, joints, _ = load("two_people")
    relative = grid(pose).joints_cam_m.copy()
    relative[50:65, 0] = np.nan
    relative[:, 1] = np.nan
    placed = placing.place_people(regrid(pose, joints_cam_m=relative))
    assert np.isnan(grid(placed).root_cam_m[50:65, 0]).all()
    assert np.isnan(grid(placed).root_cam_m[:, 1]).all()
    rest = np.r_[0:50, 65:216]
    assert root_error_m(placed, joints)[rest, 0].max() < 0.01


def test_a_jump_stays_a_jump(load):
    # Lift the whole person off the ground for half a second: the plane must not follow.
    pose, joints, focal = load("walk_turn")
    up = placing.place_people(pose).camera.up_cam
    lifted = joints.copy()
    hop = np.zeros(204)
    hop[100:116] = 0.4 * np.sin(np.linspace(0, np.pi, 16))
    lifted += hop[:, None, None, None] * np.array(up)
    keypoints = project_points(lifted, focal, (480, 270))
    placed = placing.place_people(regrid(pose, keypoints_px=keypoints))
    assert placed.camera.ground_m == pytest.approx(1.4, abs=0.06)
    feet = grid(placed).root_cam_m[:, 0, None] + grid(placed).joints_cam_m[:, 0, [3, 6]]
    above = (feet @ np.array(placed.camera.up_cam)).min(-1) + placed.camera.ground_m
    assert above[106:110].min() > 0.3


def test_feet_in_the_air_say_nothing_about_the_ground(load):
    # Hopping all the time, in the air for three quarters of it: the ground is where feet are slow.
    pose, joints, focal = load("walk_turn")
    up = np.array(placing.place_people(pose).camera.up_cam)
    phase = (np.arange(204) % 16) / 12
    hop = np.where(phase < 1, 0.5 * 4 * phase * (1 - phase), 0.0)
    hopping = joints[:1] + hop[:, None, None, None] * up
    keypoints = project_points(hopping, focal, (480, 270))
    still = np.repeat(grid(pose).joints_cam_m[:1], 204, 0)
    hopper = regrid(pose, keypoints_px=keypoints, joints_cam_m=still)
    camera = placing.place_people(hopper).camera
    on_ground = (hopping[0, 0, [3, 6]] @ np.array(camera.up_cam)).min() + camera.ground_m
    assert 0.04 < on_ground < 0.16  # the height of an ankle


@pytest.mark.parametrize(("frames", "people"), [(0, 0), (0, 1), (5, 0), (1, 1), (2, 1)])
def test_tiny_records(load, frames, people):
    pose, joints, _ = load("walk_turn")
    tiny = regrid(
        pose.select_people([1, 2][:people]),
        video=replace(pose.video, n_frames=frames),
        time_s=pose.time_s[:frames],
        root_cam_m=None,
        boxes_xyxy_px=grid(pose).boxes_xyxy_px[:frames, :people],
        keypoints_px=grid(pose).keypoints_px[:frames, :people],
        score=grid(pose).score[:frames, :people],
        joints_cam_m=grid(pose).joints_cam_m[:frames, :people],
        valid=grid(pose).valid[:frames, :people],
    )
    placed = placing.place_people(tiny)
    assert grid(placed).root_cam_m.shape == (frames, people if frames else 0, 3)
    if frames and people:
        assert root_error_m(placed, joints[:frames]).max() < 0.01
        assert placed.camera.ground_m == pytest.approx(1.4, abs=0.3)
    else:
        assert placed.camera.ground_m is None


def test_without_score(load):
    pose, joints, _ = load("portrait_phone")
    placed = placing.place_people(replace(pose, score=None))
    assert root_error_m(placed, joints).max() < 0.01


def test_bad_input_is_refused(load):
    pose, _, _ = load("walk_turn")
    with pytest.raises(UsageError, match="Lift"):
        placing.place_people(replace(pose, joints_cam_m=None))
    with pytest.raises(UsageError, match="h36m17"):
        placing.place_people(replace(pose, skeleton=COCO17))


def test_ground_without_feet_is_none():
    nothing = np.full((5, 17, 3), np.nan)
    spans = [Span(1, slice(0, 5), slice(0, 5))]
    for people in (spans, []):
        ones = np.ones((5, 17)), np.ones(5, bool)
        assert estimate_ground(nothing, np.arange(5.0), *ones, people) is None


def test_who_comes_into_view_is_not_known_to_stand():
    """The first and the last frame of a person have no speed, those of the clip have."""
    ankles, time_s = np.zeros((4, 2, 3)), np.arange(6) / 30
    ankles[:, 0, 0] = 0.1 * np.arange(4)
    inside = _speeds(ankles, time_s, slice(1, 5))
    assert np.isinf(inside[[0, -1]]).all()
    np.testing.assert_allclose(inside[1:-1], [[3, 0], [3, 0]])
    np.testing.assert_allclose(_speeds(ankles, time_s[:4], slice(0, 4)), [[3, 0]] * 4)
