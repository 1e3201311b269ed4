"""Affine crops and decoding: against OpenCV's three-point construction, pictures with known content
and densities with known peaks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose3d.networks2d import crops
from pose3d.networks2d import heatmaps as decode

SIZE_WH = (192, 256)
BOXES = np.array([[100, 50, 180, 300], [20.5, 200, 320, 260], [0, 0, 30, 40]], np.float32)


def three_point_matrix(box: np.ndarray, size_wh: tuple[int, int], rotation_rad: float = 0.0):
    """The crop as MMPose builds it: OpenCV solves for three corresponding points."""
    width, height = size_wh
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    w, h = (box[2] - box[0]) * 1.25, (box[3] - box[1]) * 1.25
    w = max(w, h * width / height)
    left = 0.5 * w * np.array([-np.cos(rotation_rad), -np.sin(rotation_rad)])
    below = np.array([left[1], -left[0]])
    source = np.array([centre, centre + left, centre + left + below], np.float32)
    target = np.array([[width / 2, height / 2], [0, height / 2], [0, height / 2 + width / 2]])
    return cv2.getAffineTransform(source, target.astype(np.float32))


@pytest.mark.parametrize("rotation_rad", [0.0, 0.7, -2.0])
def test_matrices_are_those_of_three_corresponding_points(rotation_rad):
    turns = np.full(len(BOXES), rotation_rad)
    made = crops.crop_matrices(BOXES, SIZE_WH, rotation_rad=turns)
    for matrix, box in zip(made, BOXES, strict=True):
        expected = three_point_matrix(box, SIZE_WH, rotation_rad)
        np.testing.assert_allclose(matrix, expected, atol=2e-4)


def test_unbiased_crops_put_the_box_edges_on_the_outer_pixel_centres():
    box = np.array([[10, 20, 70, 100]], np.float32)  # 3:4, as the crop
    matrix = crops.crop_matrices(box, SIZE_WH, padding=1.0, unbiased=True)[0]
    corners = matrix[:, :2] @ np.array([[10, 70], [20, 100]]) + matrix[:, 2:]
    np.testing.assert_allclose(corners, [[0, 191], [0, 255]], atol=1e-9)


@given(
    x=st.floats(-50, 500),
    y=st.floats(-50, 500),
    w=st.floats(0, 400),
    h=st.floats(0, 400),
    turn=st.floats(-3, 3),
    unbiased=st.booleans(),
)
def test_points_go_into_the_crop_and_back(x, y, w, h, turn, unbiased):
    boxes = np.array([[x, y, x + w, y + h]])
    matrices = crops.crop_matrices(boxes, SIZE_WH, rotation_rad=np.array([turn]), unbiased=unbiased)
    points = np.array([[[x, y], [x + w, y], [x + 3, y + h]]])
    inside = np.einsum("nab,njb->nja", matrices[:, :, :2], points - 0.5) + matrices[:, None, :, 2]
    np.testing.assert_allclose(crops.crops_to_picture(inside, matrices), points, atol=1e-3)


def test_a_white_pixel_is_found_at_its_centre():
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[123, 234] = 255
    matrices = crops.crop_matrices(np.array([[200, 90, 260, 150]]), (256, 256))
    crop = crops.cut_crops(picture, matrices, (256, 256))[0, :, :, 0].astype(float)
    rows, columns = np.mgrid[:256, :256]
    centre = np.array([[[(columns * crop).sum(), (rows * crop).sum()]]]) / crop.sum()
    # Its first pixel's centre is 0.5, so that of number 234 is 234.5.
    np.testing.assert_allclose(
        crops.crops_to_picture(centre, matrices), [[[234.5, 123.5]]], atol=0.02
    )


def test_outside_of_the_picture_is_black_and_nothing_is_stretched():
    picture = np.full((100, 100, 3), 200, np.uint8)
    matrices = crops.crop_matrices(np.array([[-100, -100, 100, 100]]), (64, 64), padding=1.0)
    crop = crops.cut_crops(picture, matrices, (64, 64))[0]
    assert not crop[:31, :].any()
    assert not crop[:, :31].any()
    assert (crop[33:, 33:] == 200).all()
    linear = crops.crop_matrices(BOXES, SIZE_WH)[:, :, :2]
    np.testing.assert_allclose(linear[:, 0, 0], linear[:, 1, 1], rtol=1e-12)


def test_normalised_crops_are_planes_of_standard_scores():
    picture = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    made = crops.normalise_crops(picture)
    assert made.dtype == np.float32
    assert made.flags["C_CONTIGUOUS"]
    expected = (picture - np.array(crops.IMAGENET_MEAN)) / np.array(crops.IMAGENET_STD)
    np.testing.assert_allclose(made, expected.transpose(0, 3, 1, 2), atol=1e-5)


def gaussians(points: np.ndarray, deviation: float, size_wh: tuple[int, int]) -> np.ndarray:
    """Heatmaps ``(1, joint, h, w)`` with peaks of 0.9 at the points."""
    rows, columns = np.mgrid[: size_wh[1], : size_wh[0]]
    squared = [(columns - x) ** 2 + (rows - y) ** 2 for x, y in points]
    return 0.9 * np.exp(-np.array(squared, np.float32) / (2 * deviation**2))[None]


POINTS = np.array([[20.3, 30.4], [11.45, 40.0], [33.0, 12.6], [24.26, 50.74]])


def test_simcc_gives_the_highest_bin_and_the_weaker_axis():
    bins_x = gaussians(np.stack((POINTS[:, 0] * 2, np.zeros(4)), -1), 5, (96, 1))[:, :, 0]
    bins_y = gaussians(np.stack((POINTS[:, 1] * 2, np.zeros(4)), -1), 5, (128, 1))[:, :, 0] / 2
    points, score = decode.decode_simcc(bins_x, bins_y, bins_per_px=2)
    np.testing.assert_allclose(points[0], np.round(POINTS * 2) / 2, atol=1e-6)
    np.testing.assert_allclose(score, 0.45, atol=0.01)
    bins_y[0, 2] -= 1
    again, score = decode.decode_simcc(bins_x, bins_y, bins_per_px=2)
    np.testing.assert_array_equal(again, points)
    assert (score[0] < 0).tolist() == [False, False, True, False]


def test_refinement_finds_the_true_peak():
    heatmaps = gaussians(POINTS, 2.0, (48, 64))
    peaks, score = decode.find_peaks(heatmaps)
    np.testing.assert_array_equal(peaks[0], np.round(POINTS))
    assert (score > 0.8).all()
    refined = decode.refine_dark(peaks, heatmaps, kernel=11)
    assert np.abs(refined[0] - POINTS).max() < 0.02


def test_peaks_on_the_border_and_flat_heatmaps_are_not_refined():
    heatmaps = gaussians(np.array([[0.0, 20.0], [47.0, 63.0], [5, 5]]), 2.0, (48, 64))
    heatmaps[0, 2] = -1
    peaks, score = decode.find_peaks(heatmaps)
    assert score[0, 2] == -1
    refined = decode.refine_dark(peaks, heatmaps, kernel=11)
    np.testing.assert_array_equal(refined[0], [[0, 20], [47, 63], [0, 0]])


def test_cells_of_the_heatmap_lie_where_the_crop_has_them():
    points = np.array([[[0, 0], [47, 63]]], np.float32)
    plain = decode.heatmap_to_crop(points, (48, 64), SIZE_WH)
    np.testing.assert_allclose(plain, points * 4)


def test_presence_follows_the_better_half_of_the_joints():
    half = np.array([[0.9] * 9 + [0.0] * 8, [0.1] * 17, [0.3] * 17], np.float32)
    np.testing.assert_allclose(decode.presence_of(half), [1, 1 / 6, 0.5], atol=1e-6)
    assert decode.presence_of(np.zeros((0, 17), np.float32)).shape == (0,)
