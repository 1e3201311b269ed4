"""Pictures against the truth of the samples, OpenCV's projection and what a viewer must see."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose3d.body.skeletons import COCO17, H36M17
from pose3d.errors import UsageError, VideoError
from pose3d.render import floor
from pose3d.render.compose import MODES, Footer, clock, fit_picture, plan_layout
from pose3d.render.overlay import Overlay, steady
from pose3d.render.paint import capsules, fill, text_mask
from pose3d.render.scene import Scene
from pose3d.render.stage import View, choose_view, set_stage
from pose3d.render.style import PALETTE, STYLES, get_style, person_colour, side_colours
from pose3d.render.video import Renderer, render_video
from pose3d.result.record import PoseSequence, VideoInfo
from tests.support import samples as samples_truth
from tests.support.grids import grid, regrid, to_grid

LIGHT = get_style("light")


def sample_pose(folder: Path, name: str) -> PoseSequence:
    """Returns a sample's truth, everybody seen all the time."""
    pose = samples_truth.sample_pose(folder, name)
    return regrid(pose, valid=np.ones_like(grid(pose).valid))


def flat_pose(n: int = 3, size_wh: tuple[int, int] = (200, 160)) -> PoseSequence:
    """Makes a record of one person without any keypoint."""
    return PoseSequence.from_dense(
        video=VideoInfo(path="v.mp4", size_wh=size_wh, rate=Fraction(30), n_frames=n),
        time_s=np.arange(n) / 30,
        person_ids=np.array([1]),
        skeleton=COCO17,
        boxes_xyxy_px=np.full((n, 1, 4), np.nan),
        keypoints_px=np.full((n, 1, 17, 2), np.nan),
        score=np.full((n, 1, 17), 0.9),
        valid=np.ones((n, 1), bool),
    )


def rows(pose: PoseSequence, keep: slice) -> PoseSequence:
    """Takes some frames of a record."""
    names = ("boxes_xyxy_px", "keypoints_px", "score", "joints_cam_m", "root_cam_m", "valid")
    arrays = {name: getattr(grid(pose), name) for name in names}
    cut = {name: array[keep].copy() for name, array in arrays.items() if array is not None}
    time_s = pose.time_s[keep]
    return regrid(pose, video=replace(pose.video, n_frames=len(time_s)), time_s=time_s, **cut)


def centroid(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Returns the middle, in pixels, of what was drawn on a background."""
    weight = np.abs(image.astype(float) - background).sum(-1)
    y, x = np.indices(weight.shape) + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


# Primitives ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.floats(36, 64), st.floats(36, 64), st.floats(1.5, 9), st.floats(-25, 25))
def test_strokes_lie_where_they_should_to_a_fifth_of_a_pixel(
    x: float, y: float, radius: float, length: float
) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    a, b, r = np.array([[x, y]]), np.array([[x + length, y + length / 3]]), np.array([radius])
    fill(image, capsules(a, b, r, r), (200, 200, 200))
    np.testing.assert_allclose(centroid(image, np.zeros_like(image)), (a + b)[0] / 2, atol=0.2)
    # cv2's anti-aliasing adds about half a pixel all round.
    low, high = (
        np.pi * r**2 + 2 * r * np.hypot(length, length / 3) for r in (0.95 * radius, radius + 0.8)
    )
    assert low < image[..., 0].sum() / 200 < high


def test_tapered_strokes_are_the_hull_of_their_two_circles() -> None:
    a, b = np.array([[100.0, 100.0]]), np.array([[180.0, 130.0]])
    polygon = capsules(a, b, np.array([40.0]), np.array([10.0]))[0]
    circle = np.linspace(0, 2 * np.pi, 720)
    ring = np.stack([np.cos(circle), np.sin(circle)], -1)
    both = np.concatenate([a + 40 * ring, b + 10 * ring]).astype(np.float32)
    hull = cv2.contourArea(cv2.convexHull(both))
    assert cv2.contourArea(polygon.astype(np.float32) / 16) == pytest.approx(hull, rel=0.03)
    swallowed = capsules(a, a + 5, np.array([40.0]), np.array([10.0]), arc=14)[0]
    assert cv2.contourArea(swallowed.astype(np.float32) / 16) == pytest.approx(
        np.pi * 1600, rel=0.06
    )


def test_text_has_the_size_asked_for() -> None:
    small, large = text_mask("pose3d 0123", 12)[0], text_mask("pose3d 0123", 24)[0]
    assert large.shape[1] == pytest.approx(2 * small.shape[1], rel=0.1)
    mask, above = text_mask("p", 40)
    assert above < mask.shape[0]  # the letter goes below its base line


def test_clock() -> None:
    said = ["0:00.00", "0:09.99", "1:00.00", "1:01.50", "1:01:01.25"]
    assert [clock(t) for t in (0, 9.994, 59.999, 61.5, 3661.25)] == said
    said = ["0:00.0", "0:03.2", "1:00.0", "1:01.0", "1:02:05.5"]
    assert [clock(t, 1) for t in (0, 3.24, 59.96, 61, 3725.5)] == said


def test_steady_is_the_mean_of_what_is_known() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0, np.nan])[:, None]
    np.testing.assert_allclose(steady(values, 3)[:, 0], [1, np.nan, 4, 4, np.nan])


# Layout -------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.integers(16, 8000), st.integers(16, 8000), st.sampled_from(MODES), st.integers(240, 4320))
def test_layout_is_even_and_never_enlarges(width: int, height: int, mode: str, most: int) -> None:
    layout = plan_layout((width, height), mode, most)
    assert all(v % 2 == 0 for v in layout.size_wh)
    for rect in (layout.picture, layout.scene, layout.footer):
        if rect is not None:
            left, top, wide, high = rect
            assert min(left, top) >= 0
            assert left + wide <= layout.size_wh[0]
            assert top + high <= layout.size_wh[1]
    if layout.picture is not None:
        assert layout.picture[2] <= width + 1
        assert layout.picture[3] <= min(height + 1, most)


def test_layout_of_common_videos() -> None:
    assert plan_layout((1280, 720), "side-by-side", 720).size_wh == (2000, 760)
    assert plan_layout((1280, 720), "side-by-side", 540).size_wh == (1500, 570)
    portrait = plan_layout((1080, 1920), "side-by-side", 720)
    assert portrait.picture == (0, 0, 404, 720)
    assert portrait.scene == (404, 0, 720, 720)
    assert plan_layout((3840, 2160), "overlay", 720).picture == (0, 0, 1280, 720)


def test_pictures_are_averaged_when_made_smaller() -> None:
    """One-pixel stripes become grey, not stripes of another width."""
    stripes = np.zeros((1920, 1080, 3), np.uint8)
    stripes[::2] = 255
    small = fit_picture(stripes, (404, 720))
    assert small.shape == (720, 404, 3)
    assert np.abs(small.astype(int) - 127).max() < 3
    assert fit_picture(stripes, (1080, 1920)) is stripes


# Overlay ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [(100.0, 80.0), (50.25, 60.75), (99.9, 31.4)])
def test_a_keypoint_is_drawn_on_its_pixel(at: tuple[float, float]) -> None:
    pose = flat_pose()
    grid(pose).keypoints_px[1, 0, COCO17.index["left_wrist"]] = at
    picture = np.full((160, 200, 3), 128, np.uint8)
    before = picture.copy()
    overlay = Overlay(pose, LIGHT, (200, 160))
    overlay.draw(picture, 0)
    assert (picture == before).all()
    overlay.draw(picture, 1)
    np.testing.assert_allclose(centroid(picture, before), at, atol=0.2)
    # Shown at half the size it lies at half the place.
    half = np.full((80, 100, 3), 128, np.uint8)
    Overlay(pose, LIGHT, (100, 80)).draw(half, 1)
    np.testing.assert_allclose(centroid(half, before[::2, ::2]), np.array(at) / 2, atol=0.2)


def test_uncertain_and_interpolated_is_fainter(samples: Path) -> None:
    pose = rows(sample_pose(samples, "dance"), slice(40, 41))

    def ink(changed: PoseSequence) -> float:
        picture = np.full((540, 960, 3), 128, np.uint8)
        Overlay(changed, LIGHT, (960, 540)).draw(picture, 0)
        picture = picture[190:]  # without the label
        return float(np.abs(picture.astype(float) - 128).sum())

    sure = ink(pose)
    legs = np.array(["knee" in name or "ankle" in name for name in H36M17.joints])
    unsure_legs = ink(regrid(pose, score=np.where(legs, 0.1, 0.9) * np.ones((1, 1, 17))))
    unsure = ink(regrid(pose, score=np.full((1, 1, 17), 0.29)))
    assert unsure < 0.6 * sure
    assert unsure < unsure_legs < 0.9 * sure
    assert ink(regrid(pose, valid=np.zeros((1, 1), bool))) == unsure
    assert ink(replace(pose, score=None)) == sure


def test_left_and_right_differ_and_people_have_their_colour(samples: Path) -> None:
    pose = sample_pose(samples, "two_people")
    picture = np.full((540, 960, 3), 128, np.uint8)
    Overlay(pose, LIGHT, (960, 540)).draw(picture, 100)
    for person in (0, 1):
        shades = side_colours(person_colour(person + 1))
        for side in ("left", "right"):
            knee, ankle = (grid(pose).keypoints_px[100, person, H36M17.index[f"{side}_{j}"]]
                           for j in ("knee", "ankle"))  # fmt: skip
            x, y = (0.5 * (knee + ankle)).astype(int)
            assert np.abs(picture[y, x].astype(int) - shades[side]).max() < 12
        assert np.mean(shades["left"]) > np.mean(shades["right"]) + 40


def test_palette_can_be_told_apart_without_red_and_green() -> None:
    """The first six colours stay apart for deuteranopes (Machado et al. 2009, full severity)."""
    deuteranope = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = (np.array(PALETTE[:6]) / 255.0) ** 2.2 @ deuteranope.T
    lab = cv2.cvtColor(
        (np.clip(seen, 0, 1) ** (1 / 2.2)).astype(np.float32)[None], cv2.COLOR_RGB2LAB
    )[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(6, 1)]
    assert apart.min() > 20


# 3D -----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    yaw=st.floats(-3, 3),
    pitch=st.floats(-0.5, 1.2),
    points=st.lists(st.tuples(*[st.floats(-2, 2)] * 3), min_size=1, max_size=5),
)
def test_projection_is_opencvs(yaw: float, pitch: float, points: list) -> None:
    view = View(
        yaw_rad=yaw,
        pitch_rad=pitch,
        target_m=(0.3, 1.0, 4.0),
        distance_m=7.0,
        focal_px=900.0,
        centre_px=(360.0, 350.0),
    )
    target = np.array(view.target_m)
    away = np.array([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    eye = target - 7.0 * away
    # The stage is left-handed (x right, y up, z away); OpenCV's camera has y down, which makes two.
    right = np.array([np.cos(yaw), 0, np.sin(yaw)])
    down = -np.cross(away, right)
    rotation = np.stack([right, down if down[1] < 0 else -down, away])
    world = np.array(points) + target
    in_camera = (world - eye) @ rotation.T
    k = np.array([[900.0, 0, 360], [0, 900, 350], [0, 0, 1]])
    expected, _ = cv2.projectPoints(in_camera, np.zeros(3), np.zeros(3), k, None)
    pixels, depth = view.project(world)
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(depth, in_camera[:, 2], atol=1e-9)


@pytest.mark.parametrize("name", samples_truth.HEIGHT_M)
def test_people_stand_on_the_floor_and_fit(samples: Path, name: str) -> None:
    pose = sample_pose(samples, name)
    stage = set_stage(pose)
    height = stage.joints_stage_m[..., 1]
    ankles = height[..., [H36M17.index["left_ankle"], H36M17.index["right_ankle"]]].min(-1)
    assert 0.04 < np.median(ankles) < 0.16
    assert 1.4 < np.median(height[..., H36M17.index["head_top"]]) < 2.0
    # Distances along the floor are those of the truth: the camera stands at the origin.
    truth = np.linalg.norm(pose.root_cam_m, axis=-1)
    flat = np.hypot(stage.joints_stage_m[..., 0, 0], stage.joints_stage_m[..., 0, 2])
    drop = samples_truth.HEIGHT_M[name] - height[..., 0]
    np.testing.assert_allclose(np.hypot(flat, drop), truth, rtol=1e-4)
    view = choose_view(stage, (50, 60, 650, 640))
    pixels, _ = view.project(stage.joints_stage_m)
    assert (pixels.min((0, 1)) >= (50, 60)).all()
    assert (pixels.max((0, 1)) <= (650, 640)).all()
    spread = np.ptp(pixels.reshape(-1, 2), 0)
    assert max(spread[0] / 600, spread[1] / 580) > 0.6  # and is not lost in the panel


def test_one_frame_far_away_does_not_shrink_the_view(samples: Path) -> None:
    pose = sample_pose(samples, "dance")
    box = (0.0, 0.0, 700.0, 700.0)
    calm = choose_view(set_stage(pose), box)
    wild = regrid(pose, root_cam_m=grid(pose).root_cam_m.copy())
    grid(wild).root_cam_m[60] += (0, 0, 60)
    assert choose_view(set_stage(wild), box).distance_m == pytest.approx(calm.distance_m, rel=0.05)


def test_left_in_the_video_is_left_in_3d(samples: Path) -> None:
    pose = sample_pose(samples, "two_people")
    stage = set_stage(pose)
    pelvis = to_grid(stage.joints_stage_m, pose)[:, :, 0]
    pixels, _ = choose_view(stage, (0, 0, 700, 700)).project(pelvis)
    apart = grid(pose).keypoints_px[:, 0, 0, 0] - grid(pose).keypoints_px[:, 1, 0, 0]
    clear = np.abs(apart) > 200
    assert clear.sum() > 20
    assert (np.sign(apart) == np.sign(pixels[:, 0, 0] - pixels[:, 1, 0]))[clear].all()


def test_people_without_places_stand_in_order(samples: Path) -> None:
    pose = rows(sample_pose(samples, "two_people"), slice(0, 20))
    unplaced = replace(pose, root_cam_m=None, camera=None)
    stage = set_stage(unplaced)
    assert not stage.placed
    pelvis = to_grid(stage.joints_stage_m, pose)[:, :, 0]
    assert grid(pose).keypoints_px[0, 0, 0, 0] > grid(pose).keypoints_px[0, 1, 0, 0]
    assert (pelvis[:, 0, 0] > pelvis[:, 1, 0] + 1).all()
    assert np.ptp(pelvis[..., 1]) < 1e-6
    assert 0 < stage.joints_stage_m[..., 1].min() < 0.15


def test_near_people_hide_far_ones(samples: Path) -> None:
    pose = rows(sample_pose(samples, "dance"), slice(0, 1))
    joints = np.repeat(grid(pose).joints_cam_m, 2, 1)
    root = np.stack([grid(pose).root_cam_m[:, 0], grid(pose).root_cam_m[:, 0]], 1)
    for near in (0, 1):
        moved = root.copy()
        moved[:, 1 - near] += (0, 0, 0.12)  # behind, and hidden for the most part
        both = regrid(
            pose,
            person_ids=np.array([1, 2]),
            joints_cam_m=joints,
            root_cam_m=moved,
            boxes_xyxy_px=np.repeat(grid(pose).boxes_xyxy_px, 2, 1),
            keypoints_px=np.repeat(grid(pose).keypoints_px, 2, 1),
            score=np.ones((1, 2, 17)),
            valid=np.ones((1, 2), bool),
        )
        scene = Scene(both, LIGHT, (600, 600))
        panel = scene.background.copy()
        scene.draw(panel, 0)
        x, y = scene._joints_px[near, [7, 8]].mean(0).astype(int)  # the trunk of the near one
        nearest = np.abs(panel[y, x].astype(int) - [person_colour(1), person_colour(2)]).sum(-1)
        assert nearest.argmin() == near


def test_shadows_are_below_the_feet(samples: Path) -> None:
    pose = rows(sample_pose(samples, "walk_turn"), slice(0, 30))
    scene = Scene(pose, LIGHT, (600, 600))
    panel = scene.background.copy()
    scene._draw_shadows(panel, [10])
    darker = scene.background.astype(int) - panel
    assert darker.min() >= -1
    below, _ = scene._view.project(set_stage(pose).joints_stage_m[10].mean(0) * np.array([1, 0, 1]))
    weight = darker.sum(-1).clip(0).astype(float)
    y, x = np.indices(weight.shape) + 0.5
    middle = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    person_px = scene._view.focal_px / scene._depth_m[10, 0] * 1.7
    assert np.linalg.norm(middle - below) < 0.12 * person_px


# The whole picture --------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("mode", MODES)
def test_frames_are_repeatable_and_leave_no_trace(samples: Path, mode: str, style: str) -> None:
    pose = rows(sample_pose(samples, "two_people"), slice(90, 96))
    image = np.random.default_rng(0).integers(0, 256, (540, 960, 3)).astype(np.uint8)
    original = image.copy()
    renderer = Renderer(pose, mode=mode, style=style)
    first = renderer.draw(image, 2)
    renderer.draw(image, 5)
    assert first.shape == (*renderer.size_wh[::-1], 3)
    assert first.dtype == np.uint8
    assert (renderer.draw(image, 2) == first).all()
    assert (Renderer(pose, mode=mode, style=style).draw(image, 2) == first).all()
    assert (image == original).all()


def test_nobody_there_means_nothing_drawn(samples: Path) -> None:
    pose = rows(sample_pose(samples, "two_people"), slice(0, 6))
    for array in (
        grid(pose).keypoints_px,
        grid(pose).joints_cam_m,
        grid(pose).root_cam_m,
        grid(pose).boxes_xyxy_px,
    ):
        array[:3] = np.nan
        array[4, 1] = np.nan
    renderer = Renderer(pose)
    panels = slice(0, renderer._layout.footer[1])
    empty = renderer.draw(None, 0)[panels]
    assert (empty == renderer._background[panels]).all()
    assert (renderer.draw(None, 1)[panels] == empty).all()
    both, one = renderer.draw(None, 3)[panels], renderer.draw(None, 4)[panels]
    orange = side_colours(person_colour(2))["middle"]
    assert (both[:, :960] == orange).all(-1).any()
    assert not (one[:, :960] == orange).all(-1).any()


@pytest.mark.parametrize("size_wh", [(96, 64), (64, 96), (1001, 333), (3840, 2160), (2, 2)])
@pytest.mark.parametrize("people", [0, 1, 9])
def test_any_size_and_number_of_people(
    samples: Path, size_wh: tuple[int, int], people: int
) -> None:
    pose = rows(sample_pose(samples, "dance"), slice(0, 2))
    many = {
        name: np.repeat(getattr(grid(pose), name), people, 1)
        for name in (
            "boxes_xyxy_px",
            "keypoints_px",
            "score",
            "joints_cam_m",
            "root_cam_m",
            "valid",
        )
    }
    video = replace(pose.video, size_wh=size_wh)
    many["root_cam_m"] = many["root_cam_m"] + np.arange(people)[None, :, None] * [0.7, 0, 0.2]
    pose = regrid(pose, video=video, person_ids=np.arange(1, people + 1), **many)
    image = np.full((size_wh[1], size_wh[0], 3), 99, np.uint8)
    for mode in MODES:
        renderer = Renderer(pose, mode=mode)
        assert renderer.draw(image, 1).shape == (*renderer.size_wh[::-1], 3)


def test_one_frame_and_no_frame(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    assert Renderer(rows(pose, slice(7, 8))).draw(None, 0).any()
    Renderer(rows(pose, slice(0, 0)))
    with pytest.raises(UsageError, match="no frames"):
        render_video(rows(pose, slice(0, 0)), None, tmp_path / "a.mp4")


@pytest.mark.parametrize(("away_m", "square_m"), [(0, 1), (60, 10), (1e3, 100), (1e5, 10_000)])
def test_the_floor_of_people_far_apart_costs_no_more(
    samples: Path, away_m: float, square_m: int
) -> None:
    pose = rows(sample_pose(samples, "two_people"), slice(0, 2))
    roots = grid(pose).root_cam_m.copy()
    roots[:, 1, [0, 2]] += away_m
    pose = regrid(pose, root_cam_m=roots)
    for orbit in (0.0, 30.0):
        assert Renderer(pose, mode="3d", orbit_deg_per_s=orbit).draw(None, 1).any()
    # All stand on the grid, whose squares grow instead of their number.
    stage = set_stage(pose)
    view = choose_view(stage, (0, 0, 720, 720))
    assert floor._square_m(view) == square_m
    pieces, opacity = floor._grid(view, 0.0)
    assert len(pieces) < 8 * (2 * 30 + 2) ** 2
    feet, _ = view.project(stage.joints_stage_m[:, 0] * np.array([1, 0, 1]))
    ends = pieces[opacity > 0.1]
    assert (ends.min((0, 1)) < feet).all()
    assert (feet < ends.max((0, 1))).all()


def test_orbit_turns_the_view_but_starts_alike(samples: Path) -> None:
    pose = rows(sample_pose(samples, "dance"), slice(0, 60))
    scene = Scene(pose, LIGHT, (400, 400), orbit_deg_per_s=90)
    box = np.array([32, 48, 368, 360])
    assert (scene._joints_px.min((0, 1)) > box[:2] - 1).all()
    assert (scene._joints_px.max((0, 1)) < box[2:] + 1).all()
    still = regrid(pose, joints_cam_m=np.repeat(grid(pose).joints_cam_m[:1], 60, 0),
                    root_cam_m=np.repeat(grid(pose).root_cam_m[:1], 60, 0))  # fmt: skip
    turned = Scene(still, LIGHT, (400, 400), orbit_deg_per_s=90)
    shoulders = turned._joints_px[:, H36M17.index["left_shoulder"], 0]
    assert np.ptp(shoulders) > 10
    panels = [turned.background.copy() for _ in range(2)]
    turned.draw(panels[0], 0)
    turned.draw(panels[1], 45)
    assert (panels[0] != panels[1]).any()


def test_wrong_use_is_refused(samples: Path) -> None:
    pose = rows(sample_pose(samples, "dance"), slice(0, 2))
    with pytest.raises(UsageError, match="'overlay'"):
        Renderer(pose, mode="overlai")
    with pytest.raises(UsageError, match="style"):
        Renderer(pose, style="neon")
    with pytest.raises(UsageError, match="3D joints"):
        Renderer(flat_pose())
    with pytest.raises(VideoError, match="960 x 540"):
        Renderer(pose).draw(np.zeros((100, 100, 3), np.uint8), 0)


def test_footer_shows_who_is_there_when(samples: Path) -> None:
    pose = rows(sample_pose(samples, "two_people"), slice(0, 100))
    grid(pose).valid[50:, 1] = False
    grid(pose).joints_cam_m[75:, 1] = np.nan
    footer = Footer(pose, LIGHT, (1500, 30))
    left, right = footer._track
    lane = footer.background[:, left:right]
    orange = np.array(person_colour(2))
    seen = (lane == orange).all(-1).any(0)
    assert seen[: len(seen) // 2 - 2].all()
    assert not seen[len(seen) // 2 + 2 :].any()
    blue = (lane == person_colour(1)).all(-1).any(0)
    assert blue.all()


def test_drawing_needs_no_pyplot_and_no_torch() -> None:
    code = (
        "import sys, numpy as np; from fractions import Fraction;"
        "from pose3d.result.record import *; from pose3d.body.skeletons import H36M17; from pose3d.render.video import Renderer;"
        "p = PoseSequence.from_dense(video=VideoInfo(path='', size_wh=(64, 48), rate=Fraction(9), n_frames=1),"
        "time_s=np.zeros(1), person_ids=np.zeros(0, int), skeleton=H36M17,"
        "boxes_xyxy_px=np.zeros((1, 0, 4)), joints_cam_m=np.zeros((1, 0, 17, 3)), valid=np.zeros((1, 0), bool));"
        "Renderer(p).draw(None, 0); print({'matplotlib.pyplot', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Videos -------------------------------------------------------------------------------------------

TICKS = [0, 3, 6, 10, 13, 21, 24, 27, 30, 33, 36, 39]  # of 1/90 s: uneven


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Writes a clip of uneven times whose pictures are told apart by their brightness."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90)
        for i, tick in enumerate(TICKS):
            picture = np.full((240, 320, 3), 20 + 18 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 90)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def clip_pose(path: Path, samples: Path, keep: slice) -> PoseSequence:
    """Makes a record for some frames of the clip."""
    pose = rows(sample_pose(samples, "dance"), slice(0, len(TICKS)))
    video = replace(pose.video, path=str(path), size_wh=(320, 240), variable_rate=True)
    return rows(replace(pose, video=video, time_s=np.array(TICKS) / 90), keep)


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads times and the brightness of the video panel's lower left corner."""
    with av.open(str(path)) as container:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return np.array([t for t, _ in frames]), np.array([f[200:236, 4:24].mean() for _, f in frames])


@pytest.mark.parametrize("keep", [slice(None), slice(3, 9)])
def test_video_keeps_pictures_and_times(
    clip: Path, samples: Path, tmp_path: Path, keep: slice
) -> None:
    pose = clip_pose(clip, samples, keep)
    seen: list[int] = []
    path = render_video(pose, clip, tmp_path / "out.mp4", on_frame=seen.append)
    times, brightness = decoded(path)
    np.testing.assert_allclose(times - times[0], pose.time_s - pose.time_s[0], atol=1e-4)
    expected = (20 + 18 * np.arange(len(TICKS)))[keep]
    np.testing.assert_allclose(brightness, expected, atol=5)
    assert seen == list(range(1, pose.n_frames + 1))


def test_a_missing_picture_does_not_shift_the_rest(
    clip: Path, samples: Path, tmp_path: Path
) -> None:
    pose = clip_pose(clip, samples, slice(None))
    extra = np.insert(pose.time_s, 5, 17 / 90)  # a moment that the clip has no picture of
    names = ("boxes_xyxy_px", "keypoints_px", "score", "joints_cam_m", "root_cam_m", "valid")
    more = {
        name: np.insert(getattr(grid(pose), name), 5, getattr(grid(pose), name)[5], 0)
        for name in names
    }
    video = replace(pose.video, n_frames=len(TICKS) + 1)
    longer = regrid(pose, video=video, time_s=extra, **more)
    times, brightness = decoded(render_video(longer, clip, tmp_path / "out.mp4", mode="overlay"))
    np.testing.assert_allclose(times, extra, atol=1e-4)
    expected = np.insert(20.0 + 18 * np.arange(len(TICKS)), 5, LIGHT.page[0])
    np.testing.assert_allclose(brightness, expected, atol=6)


def test_another_video_is_refused_and_nothing_is_left(
    clip: Path, samples: Path, tmp_path: Path
) -> None:
    pose = clip_pose(clip, samples, slice(None))
    later = replace(pose, time_s=pose.time_s + 0.37)
    out = tmp_path / "out.mp4"
    with pytest.raises(VideoError, match=r"only [0-5] of the 12"):
        render_video(later, clip, out)
    larger = replace(pose, video=replace(pose.video, size_wh=(640, 480)))
    with pytest.raises(VideoError, match="320 x 240"):
        render_video(larger, clip, out)
    with pytest.raises(VideoError, match="camera"):
        render_video(pose, "0", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]


def test_3d_alone_needs_no_video(samples: Path, tmp_path: Path) -> None:
    pose = rows(sample_pose(samples, "dance"), slice(0, 5))
    out = render_video(pose, tmp_path / "gone.mp4", tmp_path / "out.mp4", mode="3d", style="dark")
    assert len(decoded(out)[0]) == 5


def test_portrait_clip_stands_upright_with_its_sound(samples: Path, tmp_path: Path) -> None:
    """The phone's rotation flag is applied: the drawn skeleton lies on the person, who is not turned."""
    pose = rows(sample_pose(samples, "portrait_phone"), slice(0, 8))
    pose = replace(pose, video=replace(pose.video, rotation_deg=90, has_audio=True))
    source = samples / "portrait_phone.mp4"
    out = render_video(pose, source, tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        assert [s.type for s in container.streams] == ["video", "audio"]
        drawn = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with av.open(str(source)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    layout = plan_layout((1080, 1920), "side-by-side", 540)
    left, top, width, height = layout.picture
    upright = cv2.resize(np.rot90(stored, -1), (width, height), interpolation=cv2.INTER_AREA)
    shown = drawn[top : top + height, left : left + width]
    assert np.median(np.abs(shown.astype(int) - upright)) < 6


def test_lost_sound_is_said(samples: Path, tmp_path: Path) -> None:
    """The source states sound that turns out to be unreadable: the drawing is made, and it says so."""
    pose = rows(sample_pose(samples, "dance"), slice(0, 5))
    pose = replace(pose, video=replace(pose.video, has_audio=True))
    source = tmp_path / "broken.mp4"
    source.write_bytes(b"no video at all")
    said: list[str] = []
    out = render_video(pose, source, tmp_path / "out.mp4", mode="3d", on_warning=said.append)
    assert len(decoded(out)[0]) == 5
    assert len(said) == 1
    assert "sound" in said[0]
