"""lift/lifter.py, normalise.py, sequence.py: geometry, mirrors, gaps, batches, streaming."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pose3d.body.geometry import assumed_focal_px
from pose3d.body.mappings import map_points, mapping_to_h36m
from pose3d.body.skeletons import (
    BLAZEPOSE33,
    H36M17,
    LSP14,
    MPII16,
)
from pose3d.errors import UsageError, WeightsError
from pose3d.lab.evaluation.compare import compare_motion, limb_joints
from pose3d.lab.evaluation.tracks import read_clips
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import (
    BATCH,
    Lifter,
    mirror_joints,
)
from pose3d.lift.normalise import (
    person_normalise,
    screen_normalise,
    view_rotation,
)
from pose3d.lift.sequence import lift_sequence, list_lifters, make_lifter, make_lifter_for
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import Models, lift_keypoints
from pose3d.pipeline.live import LiveLifter
from pose3d.result.record import Camera, PoseSequence, VideoInfo
from pose3d.tracking.track import Observation
from tests.support.cameras import normalise_screen
from tests.support.grids import grid, regrid
from tests.support.lifters import FakeNetwork, keypoints, small_lifter

SIZE = (1280, 720)
FOCAL = 1000.0
MIRROR = list(H36M17.mirror)


def people_cam_m(n: int = 2, frames: int = 9, seed: int = 0) -> np.ndarray:
    """Moving bodies a few metres in front of the camera: ``(n, frame, 17, 3)``."""
    rng = np.random.default_rng(seed)
    body = rng.uniform([-0.3, -0.9, -0.3], [0.3, 0.9, 0.3], (n, 1, 17, 3))
    motion = np.cumsum(rng.normal(0, 0.02, (n, frames, 17, 3)), 1)
    place = rng.uniform([-1.2, -0.5, 3], [1.2, 0.5, 6], (n, 1, 1, 3))
    return body + motion + place


def project(points: np.ndarray, focal: float = FOCAL, size=SIZE) -> np.ndarray:
    return points[..., :2] / points[..., 2:] * focal + np.array(size) / 2


def normalise(points_px: np.ndarray, score=None, focal: float = FOCAL, size=SIZE):
    """person_normalise in float64, so that differences are the geometry's and not rounding."""
    xy = torch.from_numpy(points_px)
    n = len(xy)
    confidence = torch.ones(xy.shape[:3], dtype=xy.dtype) if score is None else score
    size_wh = torch.tensor(size, dtype=xy.dtype).expand(n, 2)
    return person_normalise(xy, confidence, size_wh, torch.full((n,), focal, dtype=xy.dtype))


# -- normalisation --------------------------------------------------------------------------------


def test_screen_normalisation_equals_numpy_version():
    """tests/body/test_geometry.py checks that one against golden numbers."""
    points = np.random.default_rng(0).uniform(0, 1000, (2, 3, 17, 2))
    ours = screen_normalise(torch.from_numpy(points), torch.tensor([SIZE, SIZE]).double())
    np.testing.assert_allclose(ours, normalise_screen(points, SIZE), atol=1e-12)


def test_view_rotation_turns_the_direction_forwards_without_roll():
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(50, 3))
    direction[:, 2] = np.abs(direction[:, 2]) + 0.1
    view = view_rotation(torch.from_numpy(direction)).numpy()
    turned = np.einsum("bij,bj->bi", view, direction)
    np.testing.assert_allclose(turned[:, :2], 0, atol=1e-12)
    np.testing.assert_allclose(turned[:, 2], np.linalg.norm(direction, axis=1))
    np.testing.assert_allclose(
        view @ view.transpose(0, 2, 1), np.eye(3)[None].repeat(50, 0), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(view), 1)
    np.testing.assert_allclose(view[:, 0, 1], 0, atol=1e-15)  # the new x axis stays level


def turn_between(view: torch.Tensor, other: torch.Tensor, turn: np.ndarray) -> np.ndarray:
    """Angles in degrees between two virtual cameras, the second behind a camera that was turned."""
    same = other.numpy() @ turn @ view.numpy().transpose(0, 2, 1)
    return np.degrees(Rotation.from_matrix(same).magnitude())


@pytest.mark.parametrize("angle_deg", [-25, -5, 10, 30])
def test_turning_the_camera_sideways_changes_nothing(angle_deg):
    """The same people from the same place, the camera panned: equal inputs, another picture.

    Equal to a fifth of a degree in where the virtual camera looks, because the trunk's middle is
    averaged on the picture plane, which a pan changes a little; to 1e-3 in shape.
    """
    people = people_cam_m()
    turn = Rotation.from_euler("y", angle_deg, degrees=True).as_matrix()
    turned = people @ turn.T
    assert np.abs(project(people) - project(turned)).max() > 50
    before, view = normalise(project(people))
    after, view_turned = normalise(project(turned))
    assert turn_between(view, view_turned, turn).max() < 0.2
    torch.testing.assert_close(after, before, atol=0.02, rtol=0)
    shapes = [v - v.mean((1, 2), keepdim=True) for v in (before, after)]
    torch.testing.assert_close(*shapes, atol=1e-3, rtol=0)


@pytest.mark.parametrize("angle_deg", [-15, 15])
def test_tilting_the_camera_changes_nothing_on_its_middle_line(angle_deg):
    """A tilt moves a person up or down; where the person stands in the middle no roll comes in."""
    people = people_cam_m()
    view = normalise(project(people))[1].numpy()
    aside = np.arctan2(view[:, 2, 0], view[:, 2, 2])
    to_middle = Rotation.from_rotvec(-aside[:, None] * [0, 1, 0]).as_matrix()
    people = np.einsum("bij,bfnj->bfni", to_middle, people)
    tilt = Rotation.from_euler("x", angle_deg, degrees=True).as_matrix()
    before, view = normalise(project(people))
    after, view_tilted = normalise(project(people @ tilt.T))
    assert turn_between(view, view_tilted, tilt).max() < 0.5
    shapes = [v - v.mean((1, 2), keepdim=True) for v in (before, after)]
    torch.testing.assert_close(*shapes, atol=3e-3, rtol=0)


@pytest.mark.parametrize("factor", [0.25, 0.5, 3.0])
def test_resolution_changes_nothing(factor):
    points = project(people_cam_m())
    before, view = normalise(points)
    size = (SIZE[0] * factor, SIZE[1] * factor)
    after, view_after = normalise(points * factor, focal=FOCAL * factor, size=size)
    torch.testing.assert_close(after, before, atol=1e-9, rtol=0)
    torch.testing.assert_close(view_after, view, atol=1e-9, rtol=0)


def test_a_larger_person_further_away_looks_the_same():
    """Absolute size cannot be seen: everything scaled about the camera gives the same picture."""
    people = people_cam_m()
    torch.testing.assert_close(
        normalise(project(people))[0], normalise(project(people * 1.7))[0], atol=1e-9, rtol=0
    )


def test_normalised_people_have_unit_size():
    inputs, _ = normalise(project(people_cam_m(4)))
    xy = inputs[..., :2]
    spread = (xy - xy.mean(2, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(
        spread.mean(1), torch.full((4,), 0.5, dtype=xy.dtype), atol=2e-3, rtol=0
    )
    trunk = xy[:, :, [1, 4, 11, 14]].mean((1, 2))
    assert trunk.abs().max() < 0.05  # the virtual camera looks at the trunk


def test_unseen_joints_do_not_count():
    points = project(people_cam_m(1))
    score = torch.ones(1, 9, 17, dtype=torch.float64)
    score[:, :, 13] = 0
    moved = points.copy()
    moved[:, :, 13] += 40
    first, view = normalise(points, score)
    second, view_moved = normalise(moved, score)
    assert (first[:, :, 13] == 0).all()
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
    torch.testing.assert_close(view, view_moved)


# -- the lifter -------------------------------------------------------------------------------------


def lift_px(lifter: Lifter, points: np.ndarray, score=None, **more) -> np.ndarray:
    score = np.ones(points.shape[:3]) if score is None else score
    return lifter.lift_windows(points, score, SIZE, FOCAL, **more)


def mirrored_px(points: np.ndarray) -> np.ndarray:
    out = points[:, :, MIRROR].copy()
    out[..., 0] = SIZE[0] - out[..., 0]
    return out


def test_mirroring_twice_changes_nothing():
    joints = torch.randn(2, 9, 17, 3)
    assert torch.equal(mirror_joints(mirror_joints(joints)), joints)
    assert not torch.equal(mirror_joints(joints), joints)


def test_flip_test_is_the_mean_of_both_sides():
    lifter, points = small_lifter(), project(people_cam_m(2))
    straight = lift_px(lifter, points, flip_test=False)
    other = lift_px(lifter, mirrored_px(points), flip_test=False)[:, :, MIRROR] * [-1, 1, 1]
    np.testing.assert_allclose(lift_px(lifter, points), (straight + other) / 2, atol=1e-5)


@pytest.mark.parametrize("flip_test", [False, True])
def test_a_perfect_network_gives_the_truth(flip_test):
    """A network that knows the answer: what comes out is relative to the pelvis, in camera axes."""
    people = people_cam_m(3)
    relative = people - people[:, :, :1]
    view = normalise(project(people))[1].float()
    target = torch.einsum("bij,bfnj->bfni", view, torch.from_numpy(relative).float())

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        both = [target, mirror_joints(target)] if len(inputs) == 6 else [target]
        return torch.cat(both) + 0.25  # an offset from the pelvis must vanish

    lifter = replace(small_lifter(), network=FakeNetwork(answer))
    out = lift_px(lifter, project(people), flip_test=flip_test)
    np.testing.assert_allclose(out, relative, atol=1e-5)


def test_missing_joints_give_finite_answers():
    lifter, points = small_lifter(), project(people_cam_m(2))
    score = np.ones(points.shape[:3])
    points[0, :, 13] = np.nan
    points[1, 4] = np.nan  # a whole frame
    out = lift_px(lifter, points, score)
    assert np.isfinite(out).all()
    # NaN is the same as not sure at all, wherever the point is said to be.
    guessed, sure = np.nan_to_num(points, nan=0.0), np.where(np.isnan(points).any(-1), 0, score)
    np.testing.assert_allclose(lift_px(lifter, guessed, sure), out, atol=1e-6)


def test_batched_equals_single():
    """More windows than one forward pass takes, each equal to itself alone."""
    lifter = small_lifter(HourglassOptions(keep=(4,), at=(2,), heads=2))
    points = project(people_cam_m(BATCH + 3))
    together = lift_px(lifter, points)
    assert together.shape == (BATCH + 3, 9, 17, 3)
    for i in (0, 1, BATCH - 1, BATCH, BATCH + 2):
        np.testing.assert_allclose(together[i], lift_px(lifter, points[i : i + 1])[0], atol=1e-5)
    assert lift_px(lifter, points[:0]).shape == (0, 9, 17, 3)


def test_two_channels_and_screen_normalisation():
    """As published weights want it: x, y on the screen, no confidence, no turned camera."""
    lifter = small_lifter(channels_in=2)
    lifter = replace(lifter, options=replace(lifter.options, normalisation="screen"))
    points = project(people_cam_m(1))
    with torch.no_grad():
        inputs = torch.from_numpy(normalise_screen(points, SIZE)).float()
        expected = lifter.network(inputs)
        expected = expected - expected[:, :, :1]
    out = lift_px(lifter, points, flip_test=False)
    np.testing.assert_allclose(out, expected, atol=1e-5)


# -- precision ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "limit_m"), [("bf16", 0.02), ("fp16", 0.004)])
def test_lower_precision_stays_near_on_the_samples(precision, limit_m, samples):
    """The shipped weights on true keypoints, frames chosen evenly so that all choose the same."""
    options = RunOptions(prune="uniform", device="cpu", offline=True, precision=precision)
    with np.load(samples / "walk_turn.truth.npz") as truth:
        points = truth["keypoints_px"][:27, 0][None].astype(np.float64)
    args = (points, np.ones(points.shape[:3]), (1280, 720), assumed_focal_px((1280, 720)))
    half = make_lifter_for(options)
    assert half.precision == precision
    full = make_lifter_for(replace(options, precision="auto"))
    assert full.precision == "fp32"
    gap = np.linalg.norm(half.lift_windows(*args) - full.lift_windows(*args), axis=-1)
    assert 0 < gap.max() < limit_m


@pytest.mark.gpu
def test_shipped_weights_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    points = 600 + 50 * keypoints(2, 27, 2).double().numpy()
    args = (points, np.ones(points.shape[:3]), (1280, 720), 1000.0)
    ours = [make_lifter("hot-mixste", device=d, offline=True) for d in ("cuda", "cpu")]
    first, second = (lifter.lift_windows(*args) for lifter in ours)
    np.testing.assert_allclose(first, second, atol=1e-3)


# -- sequences ----------------------------------------------------------------------------------------


def sequence(points_px: np.ndarray, *, rate=Fraction(30), score=None) -> PoseSequence:
    """A record of ``(frame, person, 17, 2)`` keypoints that are H36M17 already."""
    frames, people = points_px.shape[:2]
    return PoseSequence.from_dense(
        video=VideoInfo(path="x.mp4", size_wh=SIZE, rate=rate, n_frames=frames),
        time_s=np.arange(frames) / float(rate),
        person_ids=np.arange(1, people + 1),
        skeleton=H36M17,
        boxes_xyxy_px=np.zeros((frames, people, 4)),
        keypoints_px=points_px,
        score=np.ones(points_px.shape[:3]) if score is None else score,
        valid=np.isfinite(points_px).all((2, 3)),
    )


def clip_px(frames: int, people: int = 2) -> np.ndarray:
    return project(people_cam_m(people, frames)).transpose(1, 0, 2, 3)


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 10, 40])
def test_clips_of_any_length(frames):
    pose = sequence(clip_px(frames))
    lifted = lift_sequence(pose, small_lifter())
    assert grid(lifted).joints_cam_m.shape == (frames, 2, 17, 3)
    assert np.isfinite(grid(lifted).joints_cam_m).all()
    assert (grid(lifted).joints_cam_m[:, :, 0] == 0).all()
    assert lifted.made_by[-1].stage == "lift"
    np.testing.assert_array_equal(grid(lifted).keypoints_px, grid(pose).keypoints_px)


def test_people_together_equal_people_alone():
    pose = sequence(clip_px(30, people=3))
    lifter = small_lifter()
    together = grid(lift_sequence(pose, lifter)).joints_cam_m
    for person in range(3):
        alone = grid(lift_sequence(pose.select_people([person + 1]), lifter)).joints_cam_m
        np.testing.assert_allclose(together[:, person], alone[:, 0], atol=1e-5)


def test_stretches_on_both_sides_of_a_gap_do_not_know_each_other():
    points = clip_px(40, people=1)
    points[15:20] = np.nan
    lifter = small_lifter()
    whole = grid(lift_sequence(sequence(points), lifter)).joints_cam_m
    assert np.isnan(whole[15:20]).all()
    before = grid(lift_sequence(sequence(points[:15]), lifter)).joints_cam_m
    after = grid(lift_sequence(sequence(points[20:]), lifter)).joints_cam_m
    np.testing.assert_allclose(whole[:15], before, atol=1e-5)
    np.testing.assert_allclose(whole[20:], after, atol=1e-5)


@pytest.mark.parametrize("rate_test", [False, True])
def test_both_sides_of_a_pause_are_clips_of_their_own(monkeypatch, rate_test):
    lifter, points = small_lifter(), clip_px(61)
    windows = []
    lift = Lifter.lift_windows
    monkeypatch.setattr(
        Lifter,
        "lift_windows",
        lambda s, p, *a, **k: (windows.append(len(p)), lift(s, p, *a, **k))[1],
    )
    whole = sequence(points)
    lift_sequence(whole, lifter, rate_test=rate_test)
    plain, windows[:] = sum(windows), []
    paused = replace(whole, time_s=whole.time_s + np.where(np.arange(61) < 31, 0.0, 600.0))
    joints = grid(lift_sequence(paused, lifter, rate_test=rate_test)).joints_cam_m
    assert len(joints) == 61
    assert sum(windows) <= plain
    for side in (slice(31), slice(31, 61)):
        alone = lift_sequence(sequence(points[side]), lifter, rate_test=rate_test)
        np.testing.assert_allclose(joints[side], grid(alone).joints_cam_m, atol=1e-5)


def test_a_rate_at_which_nothing_is_seen_of_a_motion_is_refused():
    pose = sequence(clip_px(4), rate=Fraction(1, 1000))
    with pytest.raises(UsageError, match=r"0\.001 frames/s"):
        lift_sequence(pose, small_lifter())


def test_nobody_gives_nobody():
    lifted = lift_sequence(sequence(clip_px(5)[:, :0]), small_lifter())
    assert grid(lifted).joints_cam_m.shape == (5, 0, 17, 3)
    absent = np.full((5, 1, 17, 2), np.nan)
    assert np.isnan(grid(lift_sequence(sequence(absent), small_lifter())).joints_cam_m).all()


@pytest.mark.parametrize("rate", [3, 5, 12, 25, 30, 60, 120, 240])
def test_every_rate_gives_every_frame(rate):
    """A network that answers with its own inputs: each frame gets its own answer, none a neighbour's.

    Windows are normalised as wholes, so answers are compared by direction from the pelvis.
    """

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([inputs[..., :2], torch.zeros_like(inputs[..., :1])], -1)

    fake = replace(small_lifter(), network=FakeNetwork(answer))
    points = clip_px(50, people=1)
    lifted = lift_sequence(sequence(points, rate=Fraction(rate)), fake, flip_test=False)
    ours = grid(lifted).joints_cam_m[:, 0, 1:, :2]
    asked = points[:, 0, 1:] - points[:, 0, :1]
    cosine = (ours * asked).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(asked, axis=-1)
    far = np.linalg.norm(asked, axis=-1) > 40  # directions of near points say little
    assert far.mean() > 0.8
    assert cosine[far].min() > 0.93
    assert np.median(cosine[far]) > 0.995


def test_the_rate_test_is_the_mean_of_both_rates():
    lifter, points = small_lifter(), clip_px(41, people=1)
    whole = lift_sequence(sequence(points, rate=Fraction(30)), lifter)
    halves = [
        grid(lift_sequence(sequence(points[k::2], rate=Fraction(15)), lifter)).joints_cam_m
        for k in (0, 1)
    ]
    both = lift_sequence(sequence(points, rate=Fraction(30)), lifter, rate_test=True)
    slow = np.empty_like(grid(whole).joints_cam_m)
    slow[0::2], slow[1::2] = halves
    np.testing.assert_allclose(
        grid(both).joints_cam_m, (grid(whole).joints_cam_m + slow) / 2, atol=1e-6
    )
    assert np.abs(slow - grid(whole).joints_cam_m).max() > 1e-3
    assert both.made_by[-1].options["rate_test"] is True


def test_no_rate_below_what_the_weights_know_is_averaged():
    lifter, points = small_lifter(), clip_px(41, people=1)
    lowest = lifter.options.rate_range[0]
    pose = sequence(points, rate=Fraction(2 * lowest) - Fraction(1, 10))
    asked = lift_sequence(pose, lifter, rate_test=True)
    np.testing.assert_array_equal(
        grid(asked).joints_cam_m, grid(lift_sequence(pose, lifter)).joints_cam_m
    )
    assert asked.made_by[-1].options["rate_test"] is False


def test_stature_scales_and_is_recorded():
    pose, lifter = sequence(clip_px(12)), small_lifter()
    plain = lift_sequence(pose, lifter)
    tall = lift_sequence(pose, lifter, height=2.04)
    np.testing.assert_allclose(grid(tall).joints_cam_m, grid(plain).joints_cam_m * 1.2, rtol=1e-5)
    assert tall.made_by[-1].options["stature_m"] == 2.04
    assert plain.made_by[-1].options["focal_source"] == "assumed"
    pose = replace(pose, camera=Camera(focal_px=900.0, focal_source="given"))
    assert lift_sequence(pose, lifter).made_by[-1].options["focal_px"] == 900.0


def blazepose_px(points: np.ndarray) -> np.ndarray:
    """BlazePose keypoints whose limbs are those of H36M17 points; the rest lies at the nose."""
    out = np.repeat(points[..., 9:10, :], 33, -2)
    for name in set(BLAZEPOSE33.joints) & set(H36M17.joints):
        out[..., BLAZEPOSE33.index[name], :] = points[..., H36M17.index[name], :]
    return out


def test_keypoints_are_mapped_by_name():
    points = clip_px(12, people=1)
    raw = blazepose_px(points)
    pose = regrid(
        sequence(points),
        skeleton=BLAZEPOSE33,
        keypoints_px=raw,
        score=np.ones(raw.shape[:3]),
    )
    lifted = lift_sequence(pose, small_lifter())
    assert lifted.skeleton is H36M17
    for name in ("left_wrist", "right_ankle"):
        np.testing.assert_allclose(
            grid(lifted).keypoints_px[:, :, H36M17.index[name]], points[:, :, H36M17.index[name]]
        )


def test_what_cannot_be_lifted_is_refused():
    pose = sequence(clip_px(3))
    with pytest.raises(UsageError):
        lift_sequence(replace(pose, keypoints_px=None), small_lifter())
    points, score = grid(pose).keypoints_px[:, :, :16], grid(pose).score[:, :, :16]
    joints = tuple(name.replace("head_top", "hat") for name in MPII16.joints)
    foreign = replace(MPII16, name="mpii-like", joints=joints)
    other = regrid(pose, skeleton=foreign, keypoints_px=points, score=score)
    with pytest.raises(UsageError, match="mpii-like"):
        lift_sequence(other, small_lifter())


def test_people_without_a_face_are_lifted_nearly_as_well(shared):
    """BlazePose's tracks of rendered people as LSP-14 (no face, a true crown) against all of them."""
    path, lifter = shared / "rendered" / "tracks.npz", make_lifter("hot-mixste")
    with np.load(path) as z:
        chosen, starts, true_px = np.flatnonzero(z["split"] == "val"), z["starts"], z["joints_px"]
    columns = [BLAZEPOSE33.index.get(name, 0) for name in LSP14.joints]
    errors = {"face": [], "crown": []}
    for c, clip in list(zip(chosen, read_clips(path, "val"), strict=True))[::12]:
        points, score = (
            grid(clip.pose).keypoints_px[:, :, columns],
            grid(clip.pose).score[:, :, columns],
        )
        points[:, 0, LSP14.index["head_top"]] = true_px[starts[c] : starts[c + 1], 10]
        points[~grid(clip.pose).valid] = np.nan
        crown = regrid(clip.pose, skeleton=LSP14, keypoints_px=points, score=score)
        for name, pose in (("face", clip.pose), ("crown", crown)):
            lifted = lift_keypoints(pose, RunOptions(place=False), lifter=lifter)
            ours = limb_joints(grid(lifted).joints_cam_m[:, 0], H36M17)
            row = compare_motion(ours, clip.truth_m, pose.time_s, grid(pose).valid[:, 0])
            errors[name].append(row["procrustes_mm"])
    face, crown = (np.nanmean(np.concatenate(errors[n])) for n in ("face", "crown"))
    assert crown < face + 4


# -- streaming ------------------------------------------------------------------------------------------


class FakeEstimator:
    skeleton = BLAZEPOSE33


def observation(track_id: int, points: np.ndarray) -> Observation:
    return Observation(
        track_id=track_id,
        box_xyxy_px=np.zeros(4, np.float32),
        keypoints_px=points.astype(np.float32),
        score=np.ones(33, np.float32),
        presence=1.0,
    )


def test_streaming_gives_the_last_frame_of_the_window():
    """Frame by frame from the past alone equals lifting the last nine frames at once."""
    lifter = small_lifter()
    models = Models(detector=None, estimator=FakeEstimator(), lifter=lifter)
    raw = blazepose_px(clip_px(12))  # frame person 33 2
    h36m, _ = map_points(raw, None, BLAZEPOSE33, mapping_to_h36m("face", BLAZEPOSE33), H36M17)
    info = VideoInfo(path="x.mp4", size_wh=SIZE, rate=Fraction(30), n_frames=12)
    live = LiveLifter(RunOptions(smooth=False, focal_px=FOCAL), models, SimpleNamespace(info=info))
    for frame in range(12):
        seen = [observation(i + 1, raw[frame, i]) for i in range(2)]
        if frame == 5:
            seen = seen[:1]  # person 2 is lost and starts anew
        people = live.step(seen, frame / 30)
        assert [p.person_id for p in people] == [o.track_id for o in seen]
        for i, person in enumerate(people):
            start = max(0 if i == 0 or frame < 5 else 6, frame - 8)
            past = h36m[start : frame + 1, i]
            window = np.concatenate([np.repeat(past[:1], 9 - len(past), 0), past])[None]
            expected = lift_px(lifter, window)[0, -1]
            np.testing.assert_allclose(person.joints_cam_m, expected, atol=1e-4)
            np.testing.assert_allclose(person.keypoints_px, h36m[frame, i], atol=1e-3)


# -- names ---------------------------------------------------------------------------------------------------


def test_unknown_lifters_are_answered_with_the_list():
    with pytest.raises(UsageError, match="'hot-mixste'"):
        make_lifter("hot-mixte")
    with pytest.raises(UsageError):
        make_lifter("/nowhere/else.safetensors")
    assert list_lifters()[0] == "hot-mixste"


def test_a_name_whose_weights_are_gone_is_not_called_unknown(monkeypatch):
    monkeypatch.setattr("pose3d.weights.finding.packaged_weights_dir", lambda: None)
    with pytest.raises(WeightsError, match=r"hot-mixste\.free27"):
        make_lifter("hot-mixste")
    with pytest.raises(UsageError, match="hot-mixst"):
        make_lifter("hot-mixst")
