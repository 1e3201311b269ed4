"""geometry.py against golden numbers of the published code and against properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pose3d.body import geometry
from pose3d.body.skeletons import H36M17
from tests.support import GOLDEN

FUNCTIONS = GOLDEN / "functions.npz"

coordinate = st.floats(-3, 3, allow_nan=False, width=32)
vector = arrays(np.float64, 3, elements=coordinate)
direction = vector.filter(lambda v: np.linalg.norm(v) > 0.05)
points = arrays(np.float64, (6, 3), elements=coordinate)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as archive:
        return dict(archive)


def test_quaternion_rotation_equals_published(golden):
    # The published function adds no translation here: camera to world rotation only.
    ours = geometry.rotate_by_quaternion(golden["world_q"], golden["world_in"])
    np.testing.assert_allclose(ours, golden["world_out"], rtol=1e-5, atol=1e-5)


def test_screen_normalisation_equals_published(golden):
    size = (int(golden["screen_w"]), int(golden["screen_h"]))
    ours = geometry.normalise_screen(golden["screen_px"].astype(np.float64), size)
    # The golden numbers went through float32: 1e-7 is its rounding at this size.
    np.testing.assert_allclose(ours, golden["screen_norm"], rtol=0, atol=1e-7)


def test_procrustes_error_equals_published(golden):
    aligned = geometry.procrustes_align(golden["pred"], golden["target"])
    error = np.linalg.norm(aligned - golden["target"], axis=-1).mean(-1)
    np.testing.assert_allclose(error, golden["p_mpjpe"], atol=1e-9)


@pytest.mark.parametrize("clip", ["walk_turn", "portrait_phone"])
def test_projection_equals_truth_of_samples(samples, clip):
    truth = np.load(samples / f"{clip}.truth.npz")
    k = truth["K"]
    ours = geometry.project_points(truth["joints_cam_m"], float(k[0, 0]), k[:2, 2])
    np.testing.assert_allclose(ours, truth["keypoints_px"], atol=0.02)


def test_points_behind_the_camera_have_no_projection():
    assert np.isnan(geometry.project_points([[0.1, 0.2, -1.0], [0, 0, 0]], 500.0, (10, 10))).all()


@given(points, st.floats(100, 4000), st.tuples(st.floats(0, 4000), st.floats(0, 4000)))
def test_unproject_undoes_project(cloud, focal, centre):
    cloud = cloud + [0, 0, 5.0]
    back = geometry.unproject_points(
        geometry.project_points(cloud, focal, centre), cloud[..., 2], focal, centre
    )
    np.testing.assert_allclose(back, cloud, atol=1e-9)


@given(direction, direction)
def test_rotation_between_turns_and_is_a_rotation(a, b):
    matrix = geometry.rotation_between(a, b)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(
        matrix @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-6, rtol=0
    )


@given(direction, direction, direction)
def test_angles_of_a_triangle_make_half_a_turn(a, b, c):
    sides = [np.linalg.norm(p - q) for p, q in ((a, b), (b, c), (c, a))]
    corners = np.array([(c, a, b), (a, b, c), (b, c, a)])
    total = geometry.angles_deg(*corners.transpose(1, 0, 2)).sum()
    if min(sides) > 0:
        assert total == pytest.approx(180, abs=1e-6)
    else:
        assert np.isnan(total)


@given(direction)
def test_rotation_between_opposite_directions(a):
    np.testing.assert_allclose(geometry.rotation_between(a, -a) @ a, -a, atol=1e-6)


@given(direction)
def test_rotation_between_is_smallest(a):
    # The trace gives the angle of the turn; it must be the angle between the vectors.
    matrix = geometry.look_at(a)
    angle = np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))
    wanted = np.arccos(np.clip(a[2] / np.linalg.norm(a), -1, 1))
    assert angle == pytest.approx(wanted, abs=1e-5)


@given(arrays(np.float64, 3, elements=st.floats(-3.1, 3.1)))
def test_rotation_from_vector_equals_scipy(v):
    from scipy.spatial.transform import Rotation

    np.testing.assert_allclose(
        geometry.rotation_from_vector(v), Rotation.from_rotvec(v).as_matrix(), atol=1e-9
    )


@given(arrays(np.float64, (4, 2), elements=st.floats(-500, 5000)), st.integers(16, 4000))
def test_screen_pair_is_inverse(px, width):
    size = (width, 1080)
    back = geometry.denormalise_screen(geometry.normalise_screen(px, size), size)
    np.testing.assert_allclose(back, px, atol=1e-8)


@settings(max_examples=50)
@given(points, vector, vector, st.floats(0.2, 5))
def test_procrustes_ignores_similarity(cloud, turn, shift, size):
    cloud = cloud + np.arange(18).reshape(6, 3) % 5  # never all on one line
    moved = size * cloud @ geometry.rotation_from_vector(turn).T + shift
    np.testing.assert_allclose(geometry.procrustes_align(moved, cloud), cloud, atol=1e-6)
    rigid = cloud @ geometry.rotation_from_vector(turn).T + shift
    np.testing.assert_allclose(
        geometry.procrustes_align(rigid, cloud, scale=False), cloud, atol=1e-6
    )


def test_procrustes_never_mirrors():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(17, 3))
    mirrored = cloud * [-1, 1, 1]
    error = np.linalg.norm(geometry.procrustes_align(mirrored, cloud) - cloud, axis=-1).mean()
    assert error > 0.3


def test_procrustes_mask_and_nan_leave_outliers_out():
    rng = np.random.default_rng(1)
    target = rng.normal(size=(3, 10, 3))
    source = target * 2 + 1
    source[0, 4] = np.nan
    source[1, 7] += 50
    mask = np.ones((3, 10), bool)
    mask[1, 7] = False
    mask[2, 2:] = False  # two pairs are not enough
    aligned = geometry.procrustes_align(source, target, mask=mask)
    np.testing.assert_allclose(np.delete(aligned[0], 4, 0), np.delete(target[0], 4, 0), atol=1e-9)
    assert np.isnan(aligned[0, 4]).all()
    np.testing.assert_allclose(np.delete(aligned[1], 7, 0), np.delete(target[1], 7, 0), atol=1e-9)
    assert np.isnan(aligned[2]).all()


def test_bone_lengths_of_samples_are_constant(samples):
    joints = np.load(samples / "walk_turn.truth.npz")["joints_cam_m"].astype(np.float64)
    lengths = geometry.bone_lengths(joints, H36M17)
    assert np.isnan(lengths[..., 0]).all()
    legs = lengths[..., [2, 3, 5, 6, 12, 13, 15, 16]]
    assert np.ptp(legs, axis=0).max() < 0.002
    assert legs.min() > 0.2
    assert legs.max() < 0.55
