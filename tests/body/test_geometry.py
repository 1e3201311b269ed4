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
from tests.support.cameras import normalise_screen

coordinate = st.floats(-3, 3, allow_nan=False, width=32)
vector = arrays(np.float64, 3, elements=coordinate)
direction = vector.filter(lambda v: np.linalg.norm(v) > 0.05)
points = arrays(np.float64, (6, 3), elements=coordinate)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "functions.npz") as archive:
        return dict(archive)


def test_quaternion_rotation_equals_published(golden):
    # The published function adds no translation here: camera to world rotation only.
    ours = geometry.rotate_by_quaternion(golden["world_q"], golden["world_in"])
    np.testing.assert_allclose(ours, golden["world_out"], rtol=1e-5, atol=1e-5)


def test_screen_normalisation_equals_published(golden):
    """Of the helper that the lifter's own normalisation is compared with."""
    size = (int(golden["screen_w"]), int(golden["screen_h"]))
    ours = normalise_screen(golden["screen_px"].astype(np.float64), size)
    # The golden numbers went through float32: 1e-7 is its rounding at this size.
    np.testing.assert_allclose(ours, golden["screen_norm"], rtol=0, atol=1e-7)


def test_procrustes_error_equals_published(golden):
    aligned = geometry.procrustes_align(golden["pred"], golden["target"])
    error = np.linalg.norm(aligned - golden["target"], axis=-1).mean(-1)
    np.testing.assert_allclose(error, golden["p_mpjpe"], atol=1e-9)


@given(direction, direction, direction)
def test_angles_of_a_triangle_make_half_a_turn(a, b, c):
    sides = [np.linalg.norm(p - q) for p, q in ((a, b), (b, c), (c, a))]
    corners = np.array([(c, a, b), (a, b, c), (b, c, a)])
    total = geometry.angles_deg(*corners.transpose(1, 0, 2)).sum()
    if min(sides) > 0:
        assert total == pytest.approx(180, abs=1e-6)
    else:
        assert np.isnan(total)


@given(arrays(np.float64, 3, elements=st.floats(-3.1, 3.1)))
def test_rotation_from_vector_equals_scipy(v):
    from scipy.spatial.transform import Rotation

    np.testing.assert_allclose(
        geometry.rotation_from_vector(v), Rotation.from_rotvec(v).as_matrix(), atol=1e-9
    )


@settings(max_examples=50)
@given(points, vector, vector, st.floats(0.2, 5))
def test_procrustes_ignores_similarity(cloud, turn, shift, size):
    cloud = cloud + np.arange(18).reshape(6, 3) % 5  # never all on one line
    moved = size * cloud @ geometry.rotation_from_vector(turn).T + shift
    np.testing.assert_allclose(geometry.procrustes_align(moved, cloud), cloud, atol=1e-6)


def test_procrustes_never_mirrors():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(17, 3))
    mirrored = cloud * [-1, 1, 1]
    error = np.linalg.norm(geometry.procrustes_align(mirrored, cloud) - cloud, axis=-1).mean()
    assert error > 0.3


def test_procrustes_leaves_nan_out():
    rng = np.random.default_rng(1)
    target = rng.normal(size=(3, 10, 3))
    source = target * 2 + 1
    source[0, 4] = np.nan
    source[2, 2:] = np.nan  # two pairs are not enough
    aligned = geometry.procrustes_align(source, target)
    np.testing.assert_allclose(np.delete(aligned[0], 4, 0), np.delete(target[0], 4, 0), atol=1e-9)
    assert np.isnan(aligned[0, 4]).all()
    np.testing.assert_allclose(aligned[1], target[1], atol=1e-9)
    assert np.isnan(aligned[2]).all()


def test_bone_lengths_of_samples_are_constant(samples):
    joints = np.load(samples / "walk_turn.truth.npz")["joints_cam_m"].astype(np.float64)
    lengths = geometry.bone_lengths(joints, H36M17)
    assert np.isnan(lengths[..., 0]).all()
    legs = lengths[..., [2, 3, 5, 6, 12, 13, 15, 16]]
    assert np.ptp(legs, axis=0).max() < 0.02  # shoulders, hips, knees lie beside the rig's hinges
    assert np.ptp(legs[..., [5, 7]], axis=0).max() < 0.002  # forearms
    assert legs.min() > 0.2
    assert legs.max() < 0.55


box = st.tuples(*[st.integers(0, 6)] * 4).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(box, max_size=3), st.lists(box, max_size=4))
def test_iou_equals_counted_squares(a, b):
    def squares(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    expected = [
        [len(squares(p) & squares(q)) / max(len(squares(p) | squares(q)), 1) for q in b] for p in a
    ]
    first, second = (np.array(boxes, float).reshape(-1, 4) for boxes in (a, b))
    result = geometry.compute_iou(first, second)
    np.testing.assert_allclose(result, np.reshape(expected, (len(a), len(b))), atol=1e-12)
    stacked = geometry.compute_iou(np.stack([first] * 2), np.stack([second] * 2))
    np.testing.assert_array_equal(stacked, [result] * 2)


def test_iou_of_boxes_that_are_not_there_is_0():
    gone, there = np.full((1, 4), np.nan), np.array([[0, 0, 2, 2]], np.float32)
    assert geometry.compute_iou(gone, there) == geometry.compute_iou(gone, gone) == 0
    assert geometry.compute_iou(there, there).dtype == np.float32
