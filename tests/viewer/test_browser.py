"""The page in Chromium: what it draws is the record, and it works with mouse, keys and touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pose3d.viewer.clip
from pose3d.result.angles import compute_angles
from pose3d.result.record import PoseSequence, VideoInfo, load
from pose3d.viewer.page import write_page
from tests.support import ROOT
from tests.support.browser import go, open_page, start_browser, wait_for_video, wait_until
from tests.support.clips import make_clip
from tests.support.grids import grid, regrid
from tests.support.samples import sample_pose


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with start_browser() as started:
        yield started


def two_people() -> PoseSequence:
    pose = sample_pose(ROOT / "samples", "two_people")
    return replace(pose, video=replace(pose.video, path=str(ROOT / "samples/two_people.mp4")))


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(two_people(), tmp_path_factory.mktemp("page") / "pose.html")


@pytest.fixture(scope="module")
def page(browser: Any, page_path: Path) -> Iterator[Any]:
    """A page that several tests use; they leave people, theme and parts as they were."""
    with open_page(browser, page_path, color_scheme="dark") as opened:
        yield opened


def as_array(people: dict[str, Any], person: int) -> np.ndarray:
    return np.array(people[str(person)], np.float64)


def places(pose: PoseSequence) -> np.ndarray:
    assert grid(pose).joints_cam_m is not None
    assert grid(pose).root_cam_m is not None
    return grid(pose).joints_cam_m + grid(pose).root_cam_m[:, :, None]


def nobody(path: str, frames: int, size_wh: tuple[int, int], rate: int = 30) -> PoseSequence:
    """A record without people, for clips where only the picture counts."""
    pose = sample_pose(ROOT / "samples", "walk_turn").select_people([])
    video = VideoInfo(path=path, size_wh=size_wh, rate=Fraction(rate), n_frames=frames)
    return replace(pose, video=video, time_s=np.arange(frames) / rate)


# What is drawn -----------------------------------------------------------------------------------


def test_slider_shows_the_joints_of_the_record(page: Any, tmp_path: Path) -> None:
    pose = load(two_people().save(tmp_path / "pose.npz"))
    truth = places(pose)
    for frame in range(0, pose.n_frames, 43):
        go(page, frame)
        known, drawn = page.evaluate(f"[pose3d.jointsAt({frame}), pose3d.drawn()]")
        for column, person in enumerate(pose.person_ids.tolist()):
            off = np.linalg.norm(as_array(known, person) - truth[frame, column], axis=-1)
            assert off.max() < 0.001
            joints = drawn[str(person)]
            assert {"left_wrist", "right_ankle", "left_hip", "neck_nose"} <= set(joints)
            for name, place in joints.items():
                j = pose.skeleton.index[name]
                assert np.linalg.norm(np.array(place) - truth[frame, column, j]) < 0.001


def test_the_view_as_filmed_is_that_of_the_video(page: Any) -> None:
    pose = two_people()
    assert grid(pose).keypoints_px is not None
    go(page, 60)
    page.get_by_role("button", name="As filmed").click()
    width, height = page.evaluate(
        "[pose3d.app.stage.pane.clientWidth, pose3d.app.stage.pane.clientHeight]"
    )
    seen = page.evaluate(
        "(() => { const s = pose3d.app.stage; s.draw(); return s.record.people.map((p) =>"
        " s.record.joints.map((_, j) => { const q = s.project(new THREE.Vector3(...p.joint(60, j)));"
        " return [q.x, q.y]; })); })()"
    )
    zoom = min(width / pose.video.size_wh[0], height / pose.video.size_wh[1])
    middle = np.array([width, height]) / 2 - zoom * np.array(pose.video.size_wh) / 2
    expected = grid(pose).keypoints_px[60] * zoom + middle
    assert np.abs(np.array(seen) - expected).max() < 1.0


@pytest.mark.parametrize(
    "kind",
    ["mp4", "late start", "uneven", "mkv", "turned", "sound", "webm"],
)
def test_video_shows_the_frame_of_the_slider(browser: Any, tmp_path: Path, kind: str) -> None:
    made: dict[str, Any] = {
        "late start": {"first_pts_s": Fraction(1, 2), "audio": "aac"},
        "uneven": {"time_s": [0, 0.05, 0.3, 0.34, 0.7, 0.8, 0.84, 1.1, 1.2, 1.3, 1.5, 1.55]},
        "turned": {"turn_deg": 90},
        "sound": {"audio": "aac"},
        "webm": {"codec": "libvpx"},
    }.get(kind, {})
    suffix = kind if kind in ("mkv", "webm") else "mp4"
    clip = make_clip(
        tmp_path / f"clip.{suffix}", options={"g": "5"} if kind != "webm" else {}, **made
    )
    pose = nobody(str(clip.path), len(clip.time_s), clip.size_wh)
    turn = made.get("turn_deg", 0)
    video = replace(
        pose.video, rotation_deg=turn, has_audio="audio" in made, variable_rate=kind == "uneven"
    )
    pose = replace(pose, video=video, time_s=np.array([float(t) for t in clip.time_s]))
    path = write_page(pose, tmp_path / "pose.html")
    with open_page(browser, path) as page:
        wait_for_video(page)
        for frame in (0, 3, 7, 4, 11):
            go(page, frame)
            wait_for_video(page)
            assert np.abs(find_marker_in(page, clip.size_wh) - clip.marker_px[frame]).max() < 2.5


def find_marker_in(page: Any, size_wh: tuple[int, int]) -> np.ndarray:
    """Returns the middle of the bright square that the page's video shows, in pixels."""
    width, height = size_wh
    values = page.evaluate(
        "([w, h]) => new Promise((done) => setTimeout(() => { const c = document.createElement('canvas');"
        " c.width = w; c.height = h; const k = c.getContext('2d');"
        " k.drawImage(pose3d.app.picture.video, 0, 0, w, h);"
        " done([...k.getImageData(0, 0, w, h).data]); }, 150))",
        [width, height],
    )
    image = np.array(values, np.float64).reshape(height, width, 4)[..., :3]
    weight = np.clip(image.min(-1) - 110, 0, None)
    assert weight.sum() > 0
    x = (weight.sum(0) * (np.arange(width) + 0.5)).sum() / weight.sum()
    y = (weight.sum(1) * (np.arange(height) + 0.5)).sum() / weight.sum()
    return np.array([x, y])


def test_playing_keeps_picture_and_people_together(page: Any) -> None:
    wait_for_video(page)
    page.keyboard.press("Space")
    wait_until(page, "pose3d.app.player.frame > 10")
    page.keyboard.press("Space")
    wait_for_video(page)
    frame, time, playing = page.evaluate(
        "[pose3d.app.player.frame, pose3d.app.picture.video.currentTime, pose3d.app.player.playing]"
    )
    assert not playing
    assert int(time * 30) == frame


# People ------------------------------------------------------------------------------------------


def test_people_can_be_switched_off(page: Any) -> None:
    assert set(page.evaluate("pose3d.drawn()")) == {"1", "2"}
    page.get_by_label("Show person 1").uncheck()
    assert set(page.evaluate("pose3d.drawn()")) == {"2"}
    # Labels follow with the next picture, which takes a while on a busy machine.
    wait_until(page, "document.querySelectorAll('.pill:not([hidden])').length === 1")
    assert page.locator(".pill:visible").all_text_contents() == ["2"]
    page.get_by_label("Show person 1").check()
    assert set(page.evaluate("pose3d.drawn()")) == {"1", "2"}


def test_what_is_unsure_is_pale(browser: Any, tmp_path: Path) -> None:
    pose = two_people()
    assert grid(pose).score is not None
    score, valid = grid(pose).score.copy(), grid(pose).valid.copy()
    wrist = pose.skeleton.index["left_wrist"]
    score[5, 0, wrist] = 0.1
    valid[9, 0] = False
    path = write_page(regrid(pose, score=score, valid=valid), tmp_path / "pose.html")
    colour = (
        "(() => { const b = pose3d.app.stage.bodies;"
        f" const i = b.balls.findIndex((ball) => ball.joint === {wrist});"
        " return [...b.ballMesh.instanceColor.array.slice(3 * i, 3 * i + 3)]; })()"
    )
    with open_page(browser, path, color_scheme="light") as page:
        seen = {}
        for frame in (4, 5, 9):
            go(page, frame)
            seen[frame] = min(page.evaluate(colour))
    assert seen[5] > seen[4] + 0.2
    assert seen[9] > seen[4] + 0.2


def test_hypotheses_are_ghosts_that_can_be_switched_off(browser: Any, tmp_path: Path) -> None:
    pose = two_people()
    assert grid(pose).joints_cam_m is not None
    others = grid(pose).joints_cam_m[:, :, None] + np.array([[[-0.1]], [[0.0]], [[0.1]]])
    path = write_page(regrid(pose, hypotheses_cam_m=others), tmp_path / "pose.html")
    with open_page(browser, path) as page:
        assert page.evaluate("pose3d.app.stage.ghosts.mesh.count") == 2 * 3 * 16
        person = "pose3d.app.record.people[0]"
        apart = page.evaluate(f"{person}.ghosts[0] - {person}.world[0]")
        moved = page.evaluate("pose3d.app.record.worldFromCam.slice(0, 3).reduce((a, b) => a + b)")
        assert apart == pytest.approx(-0.1 * moved, abs=0.001)
        page.get_by_role("button", name="Ghosts").click()
        assert page.evaluate("pose3d.app.stage.ghosts.mesh.count") == 0


def test_nobody_at_all(browser: Any, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    path = write_page(nobody(str(clip.path), 12, clip.size_wh), tmp_path / "pose.html")
    with open_page(browser, path) as page:
        assert page.get_by_text("Nobody was found in this clip.").is_visible()
        go(page, 7)
        assert page.evaluate("[pose3d.app.player.frame, pose3d.drawn()]") == [7, {}]


def test_ten_minutes_of_five_people(browser: Any, tmp_path: Path) -> None:
    one = sample_pose(ROOT / "samples", "walk_turn")
    rows = np.concatenate([np.arange(204), np.arange(203, -1, -1)])
    rows = np.tile(rows, 45)[:18_000]  # there and back again

    def five(array: np.ndarray | None) -> np.ndarray:
        assert array is not None
        return np.repeat(array[rows], 5, axis=1)

    root = five(grid(one).root_cam_m) + np.arange(5)[None, :, None] * np.array([0.8, 0, 0.4])
    pose = regrid(
        one,
        video=replace(one.video, path="away.mp4", n_frames=18_000),
        time_s=np.arange(18_000) / 30,
        person_ids=np.arange(1, 6),
        root_cam_m=root,
        **{
            n: five(getattr(grid(one), n))
            for n in ("boxes_xyxy_px", "keypoints_px", "score", "joints_cam_m", "valid")
        },
    )
    path = write_page(pose, tmp_path / "pose.html")
    with open_page(browser, path) as page:
        go(page, 17_999)
        assert page.locator(".time").inner_text() == "9:59.97"
        known = page.evaluate("pose3d.jointsAt(17999)")
        off = as_array(known, 5) - places(pose)[17_999, 4]
        assert np.linalg.norm(off, axis=-1).max() < 0.001


# Hands on ----------------------------------------------------------------------------------------


def test_keys(page: Any) -> None:
    frame = "pose3d.app.player.frame"
    go(page, 0)
    for key, expected in [
        ("ArrowRight", 1),
        ("Shift+ArrowRight", 11),
        ("ArrowLeft", 10),
        ("End", 215),
        ("ArrowRight", 215),
        ("Home", 0),
    ]:
        page.keyboard.press(key)
        assert page.evaluate(frame) == expected, key
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert page.evaluate("pose3d.app.player.speed") == 0.5
    assert page.locator("#speed").input_value() == "0.5"
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("4")
    eye = "pose3d.app.stage.eye.position.toArray()"
    target = "pose3d.app.stage.controls.target.toArray()"
    (x, y, z), (a, b, c) = page.evaluate(f"[{eye}, {target}]")
    assert np.hypot(x - a, z - c) < 0.02 * (y - b)
    page.keyboard.press("3")
    (x, y, z), (a, b, c) = page.evaluate(f"[{eye}, {target}]")
    assert np.hypot(y - b, z - c) < 0.06 * (x - a)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("d")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 250, 248)"
    page.keyboard.press("?")
    assert page.get_by_text("Focal length").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.keyboard.press("t")
    assert page.evaluate("pose3d.app.stage.trails.corners") == 0
    page.keyboard.press("t")


def test_mouse_turns_and_follows(page: Any) -> None:
    eye = "pose3d.app.stage.eye.position.toArray()"
    before = page.evaluate(eye)
    box = page.locator("#scene").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)
    turned = page.evaluate(eye)
    assert np.linalg.norm(np.subtract(turned, before)) > 0.5
    page.get_by_role("button", name="2", exact=True).click()
    page.get_by_role("button", name="Follow").click()
    page.wait_for_timeout(800)
    offsets = []
    for frame in (0, 120):
        go(page, frame)
        offsets.append(
            page.evaluate(
                "(() => { const s = pose3d.app.stage, p = s.follow.joint(s.frame, 0), t = s.controls.target;"
                " return [p[0] - t.x, p[2] - t.z]; })()"
            )
        )
    assert np.abs(offsets).max() < 0.03
    page.get_by_role("button", name="Follow").click()


def test_phone(browser: Any, page_path: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with open_page(browser, page_path, **phone) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for name in ("Play", "Front", "Trails", "Help and facts"):
            assert page.get_by_role("button", name=name, exact=True).is_visible()
        wait_for_video(page)
        page.get_by_role("button", name="Play", exact=True).tap()
        wait_until(page, "pose3d.app.player.frame > 2")


# Where the video is ------------------------------------------------------------------------------


def test_a_large_video_is_linked(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pose3d.viewer.clip, "EMBED_BYTES", 100)
    (tmp_path / "a b").mkdir()
    clip = make_clip(tmp_path / "a b" / "clip #1.mp4")
    path = write_page(nobody(str(clip.path), 12, clip.size_wh), tmp_path / "pose.html")
    assert "a%20b/clip%20%231.mp4" in path.read_text(encoding="utf-8")
    with open_page(browser, path) as page:
        wait_for_video(page)
        go(page, 5)
        wait_for_video(page)
        assert page.evaluate("pose3d.app.picture.video.currentTime") == pytest.approx(
            5.5 / 30, abs=0.001
        )


def test_without_the_video_it_says_so_and_plays(browser: Any, tmp_path: Path) -> None:
    pose = two_people()
    pose = replace(pose, video=replace(pose.video, path="gone.mp4"))
    path = write_page(pose, tmp_path / "pose.html")
    with open_page(browser, path) as page:
        assert page.get_by_text("gone.mp4 was not there when this page was made.").is_visible()
        page.keyboard.press("Space")
        wait_until(page, "pose3d.app.player.frame > 5")


def test_curves_are_the_angles_of_the_library(page: Any) -> None:
    pose = two_people()
    found = compute_angles(pose)
    page.locator("#angle select").select_option("Knee flexion")
    rows = pose.span_of(int(page.evaluate("pose3d.app.focus.id"))).rows
    lines = page.evaluate("pose3d.app.curves[0].lines.map((l) => [l.side, [...l.values]])")
    assert [side for side, _ in lines] == ["left", "right"]
    for side, values in lines:
        truth = found[f"{side}_knee_flexion"][rows]
        np.testing.assert_allclose(np.array(values, np.float64), truth, atol=0.11)
    page.locator("#angle select").select_option("Trunk lean")
    ((_, values),) = page.evaluate("pose3d.app.curves[0].lines.map((l) => [l.side, [...l.values]])")
    np.testing.assert_allclose(values, found["trunk_lean"][rows], atol=0.11)
