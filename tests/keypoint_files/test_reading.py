"""2D keypoints of other programs: what is understood, and what is refused and why."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose3d.body.skeletons import COCO17
from pose3d.errors import Pose3DError, ResultFileError, UsageError
from pose3d.keypoint_files.reading import check_joints, read_keypoints
from pose3d.pipeline.estimate import choose_people
from pose3d.result.record import load, save
from tests.support.clips import make_clip
from tests.support.grids import grid, regrid

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(20, 600, (5, 2, 17, 2))
SCORE = RNG.uniform(0.2, 1, (5, 2, 17))


def write_npz(path: Path, **values: Any) -> Path:
    np.savez(path, **values)
    return path


def write_json(path: Path, **values: Any) -> Path:
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
    path.write_text(json.dumps(plain).replace("NaN", "null"))
    return path


WRITERS = {"keys.npz": write_npz, "keys.json": write_json}
SAID = {"skeleton": "coco17", "size_wh": (1280, 720), "rate": 25.0}


@pytest.mark.parametrize("name", WRITERS)
def test_reads_points_and_scores(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, keypoints=POINTS, score=SCORE)
    pose = read_keypoints(path, **SAID)
    np.testing.assert_allclose(grid(pose).keypoints_px, POINTS, atol=1e-3)
    np.testing.assert_allclose(grid(pose).score, SCORE, atol=1e-6)
    np.testing.assert_allclose(pose.time_s, np.arange(5) / 25)
    assert pose.skeleton is COCO17
    assert pose.video.rate == 25
    assert pose.video.size_wh == (1280, 720)
    assert pose.person_ids.tolist() == [1, 2]
    assert grid(pose).valid.all()
    np.testing.assert_allclose(grid(pose).boxes_xyxy_px[..., :2], POINTS.min(2), atol=1e-3)
    np.testing.assert_allclose(grid(pose).boxes_xyxy_px[..., 2:], POINTS.max(2), atol=1e-3)


@pytest.mark.parametrize("name", WRITERS)
def test_the_file_can_say_everything_itself(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](
        tmp_path / name,
        keypoints=np.concatenate((POINTS, SCORE[..., None]), -1),
        joint_names=np.array(COCO17.joints),
        size_wh=np.array([640, 480]),
        rate=np.array([30000, 1001]),
        person_ids=np.array([4, 9]),
    )
    pose = read_keypoints(path)
    assert (pose.skeleton.name, pose.video.rate) == ("coco17", Fraction(30000, 1001))
    assert (pose.video.size_wh, pose.person_ids.tolist()) == ((640, 480), [4, 9])
    np.testing.assert_allclose(grid(pose).score, SCORE, atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_one_person_needs_no_person_axis(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, keypoints=POINTS[:, 0], score=SCORE[:, 0])
    pose = read_keypoints(path, **SAID)
    np.testing.assert_allclose(grid(pose).keypoints_px, POINTS[:, :1], atol=1e-3)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("how", ["nan", "score", "origin", "origin with a score"])
def test_not_seen_becomes_nan(tmp_path: Path, name: str, how: str) -> None:
    points, values = POINTS.copy(), {}
    if how == "nan":
        points[1:3, 1] = np.nan
    elif how == "score":
        values["score"] = SCORE.copy()
        values["score"][1:3, 1] = 0
    else:
        points[1:3, 1] = 0
        values |= {"score": SCORE} if how.endswith("score") else {}
    pose = read_keypoints(WRITERS[name](tmp_path / name, keypoints=points, **values), **SAID)
    seen = np.ones((5, 2), bool)
    seen[1:3, 1] = False
    np.testing.assert_array_equal(grid(pose).valid, seen)
    assert grid(pose).keypoints_px is not None
    assert grid(pose).score is not None
    for array in (grid(pose).keypoints_px, grid(pose).score, grid(pose).boxes_xyxy_px):
        np.testing.assert_array_equal(np.isfinite(array).reshape(5, 2, -1).all(-1), seen)


def test_times_of_a_varying_rate(tmp_path: Path) -> None:
    time_s = np.array([0, 0.04, 0.08, 0.16, 0.2])
    path = write_npz(tmp_path / "keys.npz", keypoints=POINTS, time_s=time_s)
    pose = read_keypoints(path, skeleton="coco17", size_wh=(640, 480))
    np.testing.assert_array_equal(pose.time_s, time_s)
    assert pose.video.rate == 25
    assert pose.video.variable_rate


def test_the_video_gives_times_and_size(tmp_path: Path) -> None:
    times = [Fraction(t, 100) for t in (0, 4, 8, 16, 20)]
    clip = make_clip(tmp_path / "clip.mp4", time_s=times, size_wh=(96, 64))
    path = write_npz(tmp_path / "keys.npz", keypoints=POINTS / 10, skeleton="coco17")
    pose = read_keypoints(path, video=clip.path)
    np.testing.assert_allclose(pose.time_s, [float(t) for t in times], atol=1e-9)
    assert pose.video.size_wh == (96, 64)
    assert pose.video.path == str(clip.path)


@pytest.mark.parametrize("name", ["pose.npz", "pose.json"])
def test_reads_results_of_pose3d(tmp_path: Path, name: str) -> None:
    source = write_npz(tmp_path / "keys.npz", keypoints=POINTS, score=SCORE)
    before = read_keypoints(source, **SAID)
    save(before, tmp_path / name)
    again = read_keypoints(tmp_path / name)
    np.testing.assert_allclose(grid(again).keypoints_px, POINTS, atol=0.01)
    assert grid(again).joints_cam_m is None
    assert load(tmp_path / name).made_by == again.made_by
    with pytest.raises(UsageError, match="coco17"):
        read_keypoints(tmp_path / name, skeleton="blazepose33")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_without_anything_to_see_is_refused(tmp_path: Path, name: str) -> None:
    for points, score in ((POINTS * np.nan, SCORE), (POINTS * 0, SCORE), (POINTS, SCORE * 0)):
        path = WRITERS[name](tmp_path / name, keypoints=points, score=score)
        with pytest.raises(ResultFileError) as caught:
            read_keypoints(path, **SAID)
        assert "0, 0 mean not seen" in caught.value.todo
    path = WRITERS[name](tmp_path / name, keypoints=POINTS, score=SCORE / 2)
    with pytest.raises(ResultFileError) as caught:
        read_keypoints(path, min_score=0.6, **SAID)
    assert "--min-score" in caught.value.todo


def test_a_result_without_anything_to_see_is_refused(tmp_path: Path) -> None:
    pose = read_keypoints(write_npz(tmp_path / "keys.npz", keypoints=POINTS), **SAID)
    assert grid(pose).keypoints_px is not None
    blind = regrid(pose, keypoints_px=np.full_like(grid(pose).keypoints_px, np.nan))
    save(blind, tmp_path / "pose.npz")
    with pytest.raises(ResultFileError, match="visible"):
        read_keypoints(tmp_path / "pose.npz")


def test_somebody_who_is_never_seen_cannot_be_chosen(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[:, 1] = np.nan
    pose = read_keypoints(write_npz(tmp_path / "keys.npz", keypoints=points), **SAID)
    check_joints(pose, "face")
    with pytest.raises(UsageError, match="no person 2"):
        choose_people(pose, "2")


def test_joint_names_may_be_numbers(tmp_path: Path) -> None:
    order = np.arange(17)[::-1]
    path = write_npz(tmp_path / "keys.npz", keypoints=POINTS[:, :, order], joint_names=order)
    pose = read_keypoints(path, **SAID)
    np.testing.assert_allclose(grid(pose).keypoints_px, POINTS, atol=1e-3)


GOOD: dict[str, Any] = {"keypoints": POINTS}
BAD: list[tuple[dict[str, Any], dict[str, Any], type[Pose3DError], str]] = [
    ({"points": POINTS}, {}, ResultFileError, "no format known here: .*points"),
    ({"keypoints": POINTS[0, 0]}, {}, ResultFileError, r"shape \(17, 2\), expected"),
    ({"keypoints": POINTS[..., :1]}, {}, ResultFileError, "expected"),
    ({"keypoints": POINTS[:0]}, {}, ResultFileError, "expected"),
    ({"keypoints": POINTS * np.inf}, {}, ResultFileError, "infinite"),
    ({"keypoints": POINTS / 1000}, {}, ResultFileError, "not in pixels"),
    ({**GOOD, "score": SCORE[:4]}, {}, ResultFileError, r"score has shape \(4, 2, 17\)"),
    ({**GOOD, "person_ids": np.arange(3)}, {}, ResultFileError, "one id a person"),
    ({**GOOD, "person_ids": np.array([1, 2**63], np.uint64)}, {}, ResultFileError, "too large"),
    ({**GOOD, "person_ids": np.array([3, 3])}, {}, ResultFileError, "one id twice"),
    ({**GOOD, "rate": np.array([30, 0.5])}, {"rate": None}, ResultFileError, "no whole numbers"),
    ({**GOOD, "keypoints": POINTS * 1e300}, {}, ResultFileError, "pixels away"),
    ({**GOOD, "time_s": np.arange(5) * 1e-310}, {"rate": None}, ResultFileError, "s apart"),
    ({**GOOD, "rate": np.array(0.0)}, {"rate": None}, ResultFileError, "rate is neither"),
    ({**GOOD, "size_wh": np.array([5])}, {"size_wh": None}, ResultFileError, "width and height"),
    ({**GOOD, "time_s": np.arange(4.0)}, {"rate": None}, ResultFileError, "increasing time"),
    ({**GOOD, "time_s": np.zeros(5)}, {"rate": None}, ResultFileError, "increasing time"),
    (GOOD, {"skeleton": None}, UsageError, "--skeleton; with 17 joints: coco17, h36m17"),
    (GOOD, {"skeleton": "coco"}, UsageError, "Did you mean 'coco17'"),
    (GOOD, {"skeleton": "halpe26"}, UsageError, "has 17 joints, skeleton halpe26 has 26"),
    ({**GOOD, "skeleton": "h36m17"}, {}, UsageError, "its skeleton is h36m17, not coco17"),
    (GOOD, {"rate": None}, UsageError, "does not say its frame rate"),
    (GOOD, {"rate": -1.0}, UsageError, "The rate is -1"),
    (GOOD, {"rate": float("nan")}, UsageError, "The rate is nan"),
    (GOOD, {"rate": float("inf")}, UsageError, "The rate is inf"),
    (GOOD, {"size_wh": None}, UsageError, "how large the picture is"),
]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("values", "changes", "kind", "message"), BAD)
def test_what_is_refused(
    tmp_path: Path, name: str, values: dict, changes: dict, kind: type, message: str
) -> None:
    if name == "keys.json" and "infinite" in message:
        pytest.skip("JSON has no infinity")
    path = WRITERS[name](tmp_path / name, **values)
    with pytest.raises(kind, match=message) as caught:
        read_keypoints(path, **{**SAID, **changes})
    assert caught.value.todo


def test_another_video_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", n_frames=7)
    path = write_npz(tmp_path / "keys.npz", keypoints=POINTS)
    with pytest.raises(UsageError, match=r"5 frames, .* 7"):
        read_keypoints(path, skeleton="coco17", video=clip.path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\xef\xbb\xbf \n",
        b"\x1c",
        b"# nothing\n",
        b"hello",
        b"[1, 2]",
        b"PK\x03\x04 cut off",
        b'{"keypoints": [',
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.npz"
    path.write_bytes(content)
    with pytest.raises(ResultFileError):
        read_keypoints(path, **SAID)


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "keys.npz", keypoints=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(ResultFileError, match="pickle"):
        read_keypoints(path, **SAID)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"keypoints": [[[1, 2], [3]]]}', "no regular array"),
        (f'{{"keypoints": [[[1, 1{"0" * 400}]]]}}', "no regular array"),
        ('{"keypoints": null}', "keypoints is missing or null"),
        ('{"keypoints": [[[1, 2]]], "person_ids": [[1], 2]}', "person_ids is no regular array"),
    ],
)
def test_ragged_lists_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ResultFileError, match=message):
        read_keypoints(path, **SAID)
