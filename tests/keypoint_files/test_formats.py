"""Keypoint files of other programs: read back to what was written, or refused with a reason."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose3d.body.joint_names import plain_name
from pose3d.body.mappings import map_to_h36m
from pose3d.body.skeletons import BLAZEPOSE33, COCO17, LSP14, OPENPOSE25, SKELETONS
from pose3d.errors import MissingExtraError, Pose3DError, ResultFileError, UsageError
from pose3d.keypoint_files.formats import choose_reader
from pose3d.keypoint_files.reading import check_joints, read_keypoints
from pose3d.keypoint_files.source import Source
from pose3d.plugins import PARTS
from pose3d.result.record import load, save
from tests.support import GOLDEN
from tests.support import keypoint_writers as w
from tests.support.clips import make_clip
from tests.support.grids import grid

SAID: dict[str, Any] = {"size_wh": w.SIZE_WH, "rate": w.RATE}
cases = pytest.mark.parametrize("case", w.CASES.values(), ids=w.CASES)


def scene_for(case: w.Case, frames: int = 30) -> w.Scene:
    """Two people (or one) with a hidden joint, somebody who goes away, and a frame without anybody."""
    scene = w.two_people(case.skeleton, frames)
    points = scene.points
    points[4:8, 0, case.skeleton.index["left_wrist"]] = np.nan
    points[10:13] = np.nan  # nobody
    if case.single:
        scene = replace(scene, points=points[:, :1], score=scene.score[:, :1])
    else:
        points[16:19, 1] = np.nan  # the second one is away
    return scene


@cases
def test_what_was_written_comes_back(tmp_path: Path, case: w.Case) -> None:
    scene = scene_for(case)
    pose = read_keypoints(case.write(tmp_path / case.name, scene), **SAID)
    assert pose.made_by[0].options["format"] == case.format
    assert pose.skeleton is case.skeleton
    assert pose.person_ids.tolist() == list(range(1, scene.points.shape[1] + 1))
    assert pose.n_frames == len(scene)
    assert grid(pose).keypoints_px is not None
    assert grid(pose).score is not None
    np.testing.assert_array_equal(
        np.isfinite(grid(pose).keypoints_px).all(-1), np.isfinite(scene.points).all(-1)
    )
    seen = np.isfinite(scene.points).all(-1)
    np.testing.assert_allclose(
        grid(pose).keypoints_px[seen], scene.points[seen], atol=case.error_px
    )
    np.testing.assert_allclose(grid(pose).score[seen], scene.score[seen], atol=case.error_score)
    assert np.isnan(grid(pose).score[~seen]).all()
    np.testing.assert_array_equal(grid(pose).valid, seen.any(-1))
    np.testing.assert_allclose(pose.time_s, np.arange(30) / w.RATE)
    followed = pose.made_by[0].options["people"] == "followed"
    assert followed != case.tracked
    # What was read is a result like any other.
    save(pose, tmp_path / "pose.json")
    assert load(tmp_path / "pose.json").made_by == pose.made_by


@cases
def test_empty_ends_keep_the_timeline_of_the_video(tmp_path: Path, case: w.Case) -> None:
    scene = scene_for(case)
    scene.points[:2] = scene.points[27:] = np.nan
    clip = make_clip(tmp_path / "clip.mp4", n_frames=30, size_wh=(96, 64))
    small = replace(scene, points=scene.points * (96 / 1280), size_wh=(96, 64))
    path = case.write(tmp_path / case.name, small)
    # Numbers of pictures begin anywhere; programs that skip empty pictures then need to be told.
    first = {"first_frame": 1} if case.format == "coco" else {}
    first |= (
        {"first_frame": 0} if not case.every_frame and case.format in ("csv", "mediapipe") else {}
    )
    pose = read_keypoints(path, video=clip.path, **first)
    assert pose.n_frames == 30
    np.testing.assert_array_equal(grid(pose).valid, np.isfinite(scene.points).all(-1).any(-1))
    assert pose.video.size_wh == (96, 64)


def test_every_format_has_cases() -> None:
    assert {case.format for case in w.CASES.values()} == set(PARTS["reader"])


@cases
def test_one_format_recognises_it(tmp_path: Path, case: w.Case) -> None:
    source = Source(case.write(tmp_path / case.name, scene_for(case)))
    assert choose_reader(source, None)[0] == case.format


@cases
def test_low_scores_count_as_not_seen(tmp_path: Path, case: w.Case) -> None:
    scene = scene_for(case)
    scene.points[:] = w.two_people(case.skeleton).points[:, : scene.points.shape[1]]
    pose = read_keypoints(case.write(tmp_path / case.name, scene), min_score=0.5, **SAID)
    assert grid(pose).keypoints_px is not None
    unsure = np.abs(scene.score - 0.5) < 1e-3
    expected = scene.score > 0.5
    np.testing.assert_array_equal(
        np.isfinite(grid(pose).keypoints_px).all(-1)[~unsure], expected[~unsure]
    )


# -- what goes wrong --------------------------------------------------------------------------------

ONE_EACH = {case.format: case for case in w.CASES.values()}


@pytest.mark.parametrize("format", [f for f, c in ONE_EACH.items() if ".json" in c.name])
def test_truncated_json_is_refused(tmp_path: Path, format: str) -> None:
    path = ONE_EACH[format].write(tmp_path / "k.json", scene_for(ONE_EACH[format]))
    path.write_text(path.read_text()[:-100])
    with pytest.raises(ResultFileError, match="JSON"):
        read_keypoints(path, **SAID)


def openpose(tmp_path: Path, frames: int = 8) -> Path:
    return w.write_openpose(tmp_path / "json", w.two_people(OPENPOSE25, frames))


def test_a_truncated_file_of_a_folder_is_named(tmp_path: Path) -> None:
    folder = openpose(tmp_path)
    broken = folder / "clip_000000000003_keypoints.json"
    broken.write_text(broken.read_text()[:50])
    with pytest.raises(ResultFileError, match=broken.name):
        read_keypoints(folder, **SAID)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    with pytest.raises(ResultFileError, match="json"):
        read_keypoints(tmp_path / "json", **SAID)
    with pytest.raises(ResultFileError, match="nowhere"):
        read_keypoints(tmp_path / "nowhere", **SAID)


def test_a_clip_without_people_has_frames(tmp_path: Path) -> None:
    scene = w.two_people(OPENPOSE25, 8)
    scene.points[:] = np.nan
    pose = read_keypoints(w.write_openpose(tmp_path / "json", scene), **SAID)
    assert (pose.n_frames, pose.n_people) == (8, 0)


@pytest.mark.parametrize("case", ["csv", "mediapipe-lmk", "mediapipe-npz", "deeplabcut"])
def test_a_table_without_anything_to_see_is_refused(tmp_path: Path, case: str) -> None:
    scene = w.two_people(w.CASES[case].skeleton, 8)
    scene.points[1:] = scene.points[0]
    path = w.CASES[case].write(tmp_path / w.CASES[case].name, scene)
    if case == "mediapipe-npz":
        np.savez(path, pose=np.full((8, 33, 3), np.nan))
    else:
        depth = 4 if case == "deeplabcut" else 1
        lines = path.read_text().splitlines()
        cells = [line.split(",") for line in lines[depth:]]
        given = {"csv": 2, "mediapipe-lmk": 2, "deeplabcut": 1}[case]
        empty = [",".join([*row[:given], *[""] * (len(row) - given)]) for row in cells]
        path.write_text("\n".join([*lines[:depth], *empty]) + "\n")
    with pytest.raises(ResultFileError, match="visible"):
        read_keypoints(path, **SAID)


def _edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_wrong_numbers_of_keypoints(tmp_path: Path) -> None:
    coco = w.write_coco(tmp_path / "coco.json", w.two_people(COCO17, 8))
    _edit(coco, lambda v: v[5].update(keypoints=v[5]["keypoints"][:-1]))
    with pytest.raises(ResultFileError, match="50 numbers"):
        read_keypoints(coco, **SAID)
    for given, message in (
        (None, r"image_id \d: keypoints is missing or null"),
        ([], "keypoints is empty"),
        (7, "keypoints is a single number"),
    ):
        _edit(coco, lambda v, given=given: v[5].update(keypoints=given))
        with pytest.raises(ResultFileError, match=message):
            read_keypoints(coco, **SAID)
    _edit(coco, lambda v: v[5].pop("keypoints"))
    with pytest.raises(ResultFileError, match="null"):
        read_keypoints(coco, **SAID)
    _edit(coco, lambda v: v[5].update(keypoints=v[4]["keypoints"][:-3]))
    with pytest.raises(ResultFileError, match="17 and 16 joints"):
        read_keypoints(coco, **SAID)
    _edit(coco, lambda v: [e.update(keypoints=e["keypoints"][:45]) for e in v])
    with pytest.raises(UsageError, match="its 15 joints"):
        read_keypoints(coco, **SAID)
    folder = openpose(tmp_path)
    for file in folder.iterdir():
        _edit(file, lambda v: [p.update(pose_keypoints_2d=[1.0] * 45) for p in v["people"]])
    with pytest.raises(ResultFileError, match="15 body parts"):
        read_keypoints(folder, **SAID)
    labels = w.write_yolo_labels(tmp_path / "labels", w.two_people(COCO17, 8))
    (labels / "clip_3.txt").write_text("0 0.5 0.5 0.1\n")
    with pytest.raises(ResultFileError, match="4 and 56"):
        read_keypoints(labels, **SAID)


@pytest.mark.parametrize("count", [16, 18])
def test_as_many_names_as_keypoints(tmp_path: Path, count: int) -> None:
    path = w.write_mmpose_demo(tmp_path / "m.json", w.two_people(COCO17, 8))

    def resize(value: Any) -> None:
        for person in (p for f in value["instance_info"] for p in f["instances"]):
            for key in ("keypoints", "keypoint_scores"):
                person[key] = (person[key] * 2)[:count]

    _edit(path, resize)
    with pytest.raises(ResultFileError, match=rf"17 joints .* {count}"):
        read_keypoints(path, **SAID)


_HUGE = (float("inf"), float("-inf"), float("nan"), 1e300, 2**63, -(2**63) - 1, 10**400, 1.5, "x")


@pytest.mark.parametrize("number", _HUGE, ids=[str(v)[:8] for v in _HUGE])
@pytest.mark.parametrize("case", ["idx", "track_id", "frame_id", "person_id", "coco", "picture"])
def test_numbers_that_are_of_no_frame_or_person(tmp_path: Path, case: str, number: Any) -> None:
    scene = w.two_people(COCO17 if case != "person_id" else OPENPOSE25, 4)
    path = tmp_path / "k.json"
    if case == "idx":
        _edit(w.write_alphapose(path, scene, tracks=True), lambda v: v[1].update(idx=number))
    elif case == "picture":
        _edit(w.write_alphapose(path, scene), lambda v: v[1].update(image_id=number))
    elif case == "track_id":
        _edit(
            w.write_yolo_json(path, scene, tracks=True), lambda v: v[1][0].update(track_id=number)
        )
    elif case == "frame_id":
        _edit(w.write_mmpose(path, scene), lambda v: v[1].update(frame_id=number))
    elif case == "coco":
        _edit(w.write_coco(path, scene), lambda v: v[1].update(image_id=number))
    else:
        path = w.write_openpose(tmp_path / "json", scene, ids=True)
        _edit(sorted(path.iterdir())[1], lambda v: v["people"][0].update(person_id=[number]))
    with pytest.raises(ResultFileError) as caught:
        read_keypoints(path, **SAID)
    assert caught.value.todo
    assert len(str(caught.value)) < 300


def test_numbers_of_files_and_labels_that_are_too_large(tmp_path: Path) -> None:
    folder = openpose(tmp_path)
    (folder / "clip_000000000003_keypoints.json").rename(folder / f"{2**70}_keypoints.json")
    with pytest.raises(ResultFileError, match=str(2**70)):
        read_keypoints(folder, **SAID)
    for last in ("1e300", "1e999"):
        labels = w.write_yolo_labels(tmp_path / last, w.two_people(COCO17, 4), tracks=True)
        for file in labels.iterdir():
            file.write_text(
                "".join(f"{s.rsplit(' ', 1)[0]} {last}\n" for s in file.read_text().splitlines())
            )
        with pytest.raises(ResultFileError, match="infinite" if last == "1e999" else "too large"):
            read_keypoints(labels, **SAID)
    path = w.write_coco(tmp_path / "coco.json", w.two_people(COCO17, 4))
    _edit(path, lambda v: v[1].update(image_id="9" * 5000))
    with pytest.raises(ResultFileError, match="image_id 999"):
        read_keypoints(path, **SAID)


@pytest.mark.parametrize(
    ("column", "cell", "message", "todo"),
    [
        (0, "1e300", "'1e300' in the column 'frame'", "Number the frames"),
        (0, "1.5", "'1.5' in the column 'frame'", "Number the frames"),
        (0, "", "'' in the column 'frame'", "Number the frames"),
        (1, "9223372036854775808", "in the column 'person'", "Give each person a number"),
        (1, "alice", "line 4, column 2: 'alice' is no number", "Give each person a number"),
        (2, "left", "line 4, column 3: 'left' is no number", "decimal point"),
    ],
)
def test_cells_that_are_no_numbers(
    tmp_path: Path, column: int, cell: str, message: str, todo: str
) -> None:
    path = w.write_wide_csv(tmp_path / "k.csv", w.two_people(COCO17, 4))
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[3][column] = cell
    path.write_text("\n".join(map(",".join, lines)))
    with pytest.raises(ResultFileError, match=message) as caught:
        read_keypoints(path, **SAID)
    assert todo in caught.value.todo


def test_a_frame_of_deeplabcut_that_is_too_large(tmp_path: Path) -> None:
    path = w.write_deeplabcut(tmp_path / "d.csv", w.two_people(COCO17, 4))
    text = path.read_text()
    for number in (2**63, 2**70):
        path.write_text(text.replace("\n3,", f"\n{number},"))
        with pytest.raises(ResultFileError, match=r"frame is \d+"):
            read_keypoints(path, **SAID)


def test_a_row_without_its_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.csv"
    path.write_text("frame,joint,x,y,time_s\n0,nose,10,20,0.0\n1,nose,10,20\n")
    with pytest.raises(ResultFileError, match="line 3"):
        read_keypoints(path, **SAID)


@pytest.mark.parametrize("score", ["", ",score"])
def test_a_point_at_the_origin_of_a_table_was_not_seen(tmp_path: Path, score: str) -> None:
    """As README says, with and without a column for scores."""
    scene = w.two_people(COCO17, 4)
    lines = [f"frame,joint,x,y{score}"]
    for i in range(4):
        for j, (x, y) in zip(COCO17.joints, scene.points[i, 0], strict=True):
            hidden = i == 2 and j == "left_wrist"
            lines.append(f"{i},{j},{0.0 if hidden else x},{0.0 if hidden else y}")
            lines[-1] += ",0.9" if score else ""
    path = tmp_path / "k.csv"
    path.write_text("\n".join(lines))
    pose = read_keypoints(path, **SAID)
    seen = np.ones((4, 1, 17), bool)
    seen[2, 0, COCO17.index["left_wrist"]] = False
    np.testing.assert_array_equal(np.isfinite(grid(pose).keypoints_px).all(-1), seen)


def test_files_beside_labels_are_left_alone(tmp_path: Path) -> None:
    labels = w.write_yolo_labels(tmp_path / "labels", w.two_people(COCO17, 8))
    straight = read_keypoints(labels, **SAID)
    (labels / "classes.txt").write_text("person\nhorse\n")
    (labels / "clip_0.txt").write_text("")
    with_notes = read_keypoints(labels, **SAID)
    assert with_notes.n_frames == 9  # an empty file is a frame without people
    assert not grid(with_notes).valid[0].any()
    np.testing.assert_array_equal(grid(with_notes).keypoints_px[1:], grid(straight).keypoints_px)
    (labels / "clip_5.txt").write_text("person\n")
    with pytest.raises(ResultFileError, match=r"clip_5\.txt"):
        read_keypoints(labels, **SAID)


def test_the_order_of_entries_does_not_matter(tmp_path: Path) -> None:
    scene = w.two_people(COCO17)
    straight = read_keypoints(w.write_coco(tmp_path / "a.json", scene), **SAID)
    shuffled = w.write_coco(tmp_path / "b.json", scene)
    _edit(shuffled, lambda v: np.random.default_rng(1).shuffle(v))
    mixed = read_keypoints(shuffled, **SAID)
    order = np.argsort(grid(mixed).keypoints_px[0, :, 0, 1])  # who comes first is nobody's business
    expected = grid(straight).keypoints_px[:, np.argsort(grid(straight).keypoints_px[0, :, 0, 1])]
    np.testing.assert_array_equal(grid(mixed).keypoints_px[:, order], expected)
    # File systems list folders in any order, and 10 comes before 9 by name.
    labels = w.write_yolo_labels(tmp_path / "labels", scene)
    pose = read_keypoints(labels, **SAID)
    np.testing.assert_allclose(grid(pose).keypoints_px, grid(straight).keypoints_px, atol=0.02)


def test_gaps_in_the_numbers_are_frames_without_people(tmp_path: Path) -> None:
    folder = openpose(tmp_path, 30)
    whole = read_keypoints(folder, **SAID)
    for number in (7, 8, 9):
        (folder / f"clip_{number:012d}_keypoints.json").unlink()
    gap = read_keypoints(folder, **SAID)
    assert gap.n_frames == 30
    assert not grid(gap).valid[7:10].any()
    np.testing.assert_array_equal(grid(gap).keypoints_px[10:], grid(whole).keypoints_px[10:])
    assert gap.made_by[0].options["frames_not_listed"] == 3


def test_frames_that_come_twice_are_refused(tmp_path: Path) -> None:
    folder = openpose(tmp_path)
    shutil.copy(
        folder / "clip_000000000003_keypoints.json", folder / "old_000000000003_keypoints.json"
    )
    with pytest.raises(ResultFileError, match=r"clip_\d+3_.* old_\d+3_"):
        read_keypoints(folder, **SAID)
    path = w.write_mmpose(tmp_path / "m.json", w.two_people(COCO17))
    _edit(path, lambda v: v[4].update(frame_id=3))
    with pytest.raises(ResultFileError, match="frame 3"):
        read_keypoints(path, **SAID)
    tracks = w.write_yolo_json(tmp_path / "y.json", w.two_people(COCO17), tracks=True)
    _edit(tracks, lambda v: v[4][1].update(track_id=1))
    with pytest.raises(ResultFileError, match=r"person 1 .* frame 4"):
        read_keypoints(tracks, **SAID)


def test_pictures_of_a_data_set_are_no_clip(tmp_path: Path) -> None:
    path = w.write_coco(tmp_path / "coco.json", w.two_people(COCO17))
    _edit(path, lambda v: v[-1].update(image_id=581781))
    with pytest.raises(ResultFileError, match="581781"):
        read_keypoints(path, **SAID)


def test_numbers_may_begin_anywhere(tmp_path: Path) -> None:
    scene = w.two_people(COCO17)
    path = w.write_coco(tmp_path / "coco.json", scene)
    _edit(path, lambda v: [e.update(image_id=e["image_id"] + 99) for e in v])
    assert read_keypoints(path, **SAID).n_frames == 30
    late = read_keypoints(path, first_frame=90, **SAID)
    assert late.n_frames == 40
    assert not grid(late).valid[:10].any()
    with pytest.raises(UsageError, match="frame 100"):
        read_keypoints(path, first_frame=101, **SAID)


def test_a_shorter_video_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", n_frames=7)
    with pytest.raises(UsageError, match=r"8 frames .* 7"):
        read_keypoints(openpose(tmp_path), video=clip.path)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="160x90"):
        read_keypoints(openpose(tmp_path), size_wh=(160, 90), rate=25)


@pytest.mark.parametrize("scale", ["shares", "world"])
def test_coordinates_that_are_no_pixels(tmp_path: Path, scale: str) -> None:
    scene = w.two_people(BLAZEPOSE33)
    if scale == "shares":
        folder = w.write_openpose(
            tmp_path / "json",
            w.as_skeleton(replace(scene, points=scene.points / w.SIZE_WH), OPENPOSE25),
        )
        with pytest.raises(ResultFileError, match="pixels"):
            read_keypoints(folder, **SAID)
        return
    hips = scene.points[:, :, [23, 24]].mean(2, keepdims=True)
    world = replace(scene, points=(scene.points - hips) / 200 * w.SIZE_WH)
    path = w.write_mediapipe_csv(tmp_path / "m.csv", world)
    with pytest.raises(ResultFileError, match="world landmarks"):
        read_keypoints(path, **SAID)


def test_mediapipe_pixels_are_left_alone(tmp_path: Path) -> None:
    scene = w.two_people(BLAZEPOSE33)
    path = w.write_mediapipe_npz(tmp_path / "m.npz", replace(scene, size_wh=(1, 1)))
    np.testing.assert_allclose(
        grid(read_keypoints(path, **SAID)).keypoints_px, scene.points[:, :1], atol=1e-3
    )


def test_files_of_no_known_format_are_described(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.json", '{"shapes": [], "imagePath": 1}', "a JSON object with imagePath, shapes"),
        ("b.json", '[{"label": 1}]', "a JSON list of objects with label"),
        ("c.json", "[]", "an empty JSON list"),
        ("g.json", "[[], [], []]", "holds no person"),
        ("h.json", "[[1, 2]]", "a JSON list"),
        ("d.csv", "time,value\n1,2\n", "text that begins with 'time,value'"),
        ("e.bin", "\udcff\udcfe", "neither text nor NPZ nor HDF5"),
        ("f.json", "", "is empty"),
    ):
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(ResultFileError, match=message):
            read_keypoints(path, **SAID)


def test_a_format_that_was_named_wrongly(tmp_path: Path) -> None:
    folder = openpose(tmp_path)
    for name, kind in (("coco", ResultFileError), ("mmpose", Pose3DError), ("openpos", UsageError)):
        with pytest.raises(kind) as caught:
            read_keypoints(folder, input_format=name, **SAID)
        assert caught.value.todo
    assert read_keypoints(folder, input_format="openpose", **SAID).n_people == 2


@pytest.mark.parametrize("written", ONE_EACH)
@pytest.mark.parametrize("named", PARTS["reader"])
def test_no_reader_stumbles_over_the_files_of_another(
    tmp_path: Path, written: str, named: str
) -> None:
    """Whatever is named with --input-format, an error is one of ours."""
    case = ONE_EACH[written]
    others = {("coco", "alphapose"), ("alphapose", "coco"), ("mediapipe", "csv")}
    if named == written or (written, named) in others:
        return  # the formats overlap, and content decides
    path = case.write(tmp_path / case.name, scene_for(case, 6))
    with pytest.raises(Pose3DError) as caught:
        read_keypoints(path, input_format=named, **SAID)
    assert caught.value.todo


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    folder = openpose(tmp_path)
    with pytest.raises(UsageError) as caught:
        read_keypoints(folder, rate=25)
    assert "--size or --video" in caught.value.todo
    with pytest.raises(UsageError) as caught:
        read_keypoints(folder, size_wh=(1280, 720))
    assert "--rate or --video" in caught.value.todo


# -- joints -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_our_own_names_mean_themselves(skeleton: Any) -> None:
    assert [plain_name(n) for n in skeleton.joints] == list(skeleton.joints)


@pytest.mark.parametrize(
    "written",
    [
        "LShoulder",
        "left shoulder",
        "Shoulder_L",
        "leftShoulder",
        "lshoulder",
        "L_SHO",
        "left-shoulder",
    ],
)
def test_names_as_people_write_them(written: str) -> None:
    assert plain_name(written) == "left_shoulder"


def test_other_names_and_other_order(tmp_path: Path) -> None:
    """Halpe's documented names, columns shuffled, joints that nobody needs in between."""
    short = {"left": "L", "right": "R"}
    names = {j: "".join(short.get(p, p.title()) for p in j.split("_")) for j in COCO17.joints}
    scene = w.two_people(COCO17)
    path = w.write_deeplabcut(tmp_path / "d.csv", scene, names=names | {"left_eye": "tail"})
    pose = read_keypoints(path, **SAID)
    assert pose.skeleton is COCO17
    eye = COCO17.index["left_eye"]
    assert np.isnan(grid(pose).keypoints_px[:, :, eye]).all()
    rest = [i for i in range(17) if i != eye]
    np.testing.assert_allclose(
        grid(pose).keypoints_px[:, :, rest], scene.points[:, :, rest], atol=1e-3
    )
    check_joints(pose, "face")
    with pytest.raises(UsageError, match="never shows left_eye "):
        check_joints(pose, "hot")


def test_a_joint_that_every_lifter_needs_is_missed(tmp_path: Path) -> None:
    names = {"right_wrist": "hand", "left_ear": "lobe"}
    path = w.write_deeplabcut(tmp_path / "d.csv", w.two_people(COCO17), names=names)
    with pytest.raises(UsageError, match="left_ear, right_wrist") as caught:
        read_keypoints(path, **SAID)
    assert "hand" in caught.value.todo


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("how", ["wide", "long", "wide shuffled", "long shuffled", "long, gap"])
def test_numbered_joints_go_where_their_numbers_say(tmp_path: Path, how: str, first: int) -> None:
    scene = w.two_people(COCO17, 6)
    if how == "long, gap":
        scene.points[:2, :, 0] = np.nan  # joint 0 is the last one that appears
    seed = 3 if "shuffled" in how else None
    path = w.write_numbered_csv(
        tmp_path / "k.csv", scene, first=first, wide=how.startswith("wide"), seed=seed
    )
    pose = read_keypoints(path, skeleton="coco17", **SAID)
    assert pose.skeleton is COCO17
    np.testing.assert_allclose(grid(pose).keypoints_px, scene.points, atol=1e-3)


@pytest.mark.parametrize("wide", [False, True])
def test_numbers_that_do_not_fit_the_skeleton(tmp_path: Path, wide: bool) -> None:
    scene = w.two_people(COCO17, 6)
    zero = w.write_numbered_csv(tmp_path / "zero.csv", scene, wide=wide, seed=1)
    five = w.write_numbered_csv(tmp_path / "five.csv", scene, first=5, wide=wide, seed=1)
    with pytest.raises(UsageError, match="joints 0 to 16 ") as caught:
        read_keypoints(zero, **SAID)
    assert "coco17" in caught.value.todo
    assert "mpii16" not in caught.value.todo
    with pytest.raises(UsageError, match="mpii16 has 16") as caught:
        read_keypoints(zero, skeleton="mpii16", **SAID)
    assert "1 to 16" in caught.value.todo
    with pytest.raises(UsageError, match="joints 5 to 21"):
        read_keypoints(five, skeleton="coco17", **SAID)


def test_numbers_that_may_begin_at_0_or_1(tmp_path: Path) -> None:
    """Without the first and the last joint nothing tells; a row without coordinates does."""
    scene = w.two_people(COCO17, 6)
    scene.points[:, :, [0, 16]] = np.nan
    path = w.write_numbered_csv(tmp_path / "k.csv", scene)
    with pytest.raises(UsageError) as caught:
        read_keypoints(path, skeleton="coco17", **SAID)
    assert "joint 0 or joint 17" in caught.value.todo
    for number, first in ((0, 0), (17, 1)):
        told = tmp_path / f"{number}.csv"
        told.write_text(path.read_text() + f"0,1,{number},,\n")
        pose = read_keypoints(told, skeleton="coco17", **SAID)
        expected = scene.points[:, :, 1:16]
        np.testing.assert_allclose(
            grid(pose).keypoints_px[:, :, 1 - first : 16 - first], expected, atol=1e-3
        )
    twice = tmp_path / "twice.csv"
    twice.write_text(path.read_text() + "0,1,0,,\n0,1,01,,\n")
    with pytest.raises(UsageError, match="joint 1 twice"):
        read_keypoints(twice, skeleton="coco17", **SAID)


def test_limbs_and_the_top_of_the_head_are_enough(tmp_path: Path) -> None:
    """The mapping from skeletons without a face does not use the neck."""
    scene = w.two_people(LSP14)
    path = w.write_deeplabcut(tmp_path / "d.csv", scene, names={"neck": "collar"})
    pose = read_keypoints(path, **SAID)
    assert pose.skeleton is LSP14
    check_joints(pose, "face")
    assert grid(pose).keypoints_px is not None
    assert grid(pose).score is not None
    mapped, _ = map_to_h36m("face", grid(pose).keypoints_px, grid(pose).score, LSP14)
    expected, _ = map_to_h36m("face", scene.points, scene.score, LSP14)
    np.testing.assert_allclose(mapped, expected, atol=1e-3)
    hidden = {"neck": "collar", "left_wrist": "hand"}
    path = w.write_deeplabcut(tmp_path / "e.csv", scene, names=hidden)
    with pytest.raises(UsageError, match="left_wrist") as caught:
        read_keypoints(path, **SAID)
    assert "left_ear and right_ear or head_top" in caught.value.todo


def test_a_joint_that_was_never_seen_is_missed(tmp_path: Path) -> None:
    scene = w.two_people(OPENPOSE25)
    scene.points[:, :, OPENPOSE25.index["left_ankle"]] = np.nan
    scene.points[:, 0, OPENPOSE25.index["left_knee"]] = np.nan
    pose = read_keypoints(w.write_openpose(tmp_path / "json", scene), **SAID)
    with pytest.raises(UsageError, match="left_ankle"):
        check_joints(pose, "face")


def test_a_skeleton_that_is_only_assumed_can_be_told_otherwise(tmp_path: Path) -> None:
    path = w.write_coco(tmp_path / "c.json", w.two_people(COCO17))
    assert read_keypoints(path, skeleton="h36m17", **SAID).skeleton.name == "h36m17"
    demo = w.write_mmpose_demo(tmp_path / "m.json", w.two_people(COCO17))
    with pytest.raises(UsageError, match="coco17"):
        read_keypoints(demo, skeleton="h36m17", **SAID)


@pytest.mark.parametrize("target", ["openpose18", "openpose25", "halpe136", "coco17"])
def test_skeletons_of_other_programs_mean_the_same_body(target: str) -> None:
    """The same landmarks, renumbered as another program does, give the same Human3.6M joints."""
    scene = w.two_people(BLAZEPOSE33)
    other = w.as_skeleton(scene, SKELETONS[target])
    expected = map_to_h36m("face", scene.points, scene.score, BLAZEPOSE33)
    got = map_to_h36m("face", other.points, other.score, SKELETONS[target])
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


# -- HDF5 -------------------------------------------------------------------------------------------


@pytest.mark.extra_deeplabcut
def test_hdf5_of_deeplabcut() -> None:
    """``golden/deeplabcut.h5`` was written by pandas 3.1 and PyTables 3.11 as DeepLabCut calls them."""
    pytest.importorskip("h5py")
    pose = read_keypoints(GOLDEN / "deeplabcut.h5", **SAID)
    scene = w.two_people(COCO17, 12, seed=3)
    assert pose.made_by[0].options["format"] == "deeplabcut"
    np.testing.assert_allclose(grid(pose).keypoints_px, scene.points, atol=1e-3)
    np.testing.assert_allclose(grid(pose).score, scene.score, atol=1e-6)


def test_hdf5_without_h5py_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError) as caught:
        read_keypoints(GOLDEN / "deeplabcut.h5", **SAID)
    assert "'h5py>=3.10'" in caught.value.todo


@pytest.mark.extra_deeplabcut
def test_hdf5_that_declares_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    """Rows that nobody wrote take no space in the file, and gigabytes when they are read."""
    h5py = pytest.importorskip("h5py")
    huge = tmp_path / "huge.h5"
    shutil.copy(GOLDEN / "deeplabcut.h5", huge)
    with h5py.File(huge, "r+") as file:
        group = file["df_with_missing"]
        dtype, attributes = group["table"].dtype, dict(group["table"].attrs)
        del group["table"]
        rows = 10**9 // dtype.itemsize
        group.create_dataset("table", (rows,), dtype, chunks=(1000,)).attrs.update(attributes)
    assert huge.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(ResultFileError, match="declares"):
            read_keypoints(huge, **SAID)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.extra_deeplabcut
def test_hdf5_with_a_program_in_its_names_is_refused(tmp_path: Path) -> None:
    """The names of columns are pickles; one that calls something must not be run."""
    h5py = pytest.importorskip("h5py")
    evil = tmp_path / "evil.h5"
    shutil.copy(GOLDEN / "deeplabcut.h5", evil)
    ran = tmp_path / "ran"
    program = f"cbuiltins\nopen\n(V{ran}\nVw\ntR.".encode()
    with h5py.File(evil, "r+") as file:
        file["df_with_missing/table"].attrs["values_block_0_kind"] = np.bytes_(program)
    with pytest.raises(ResultFileError, match=r"names builtins\.open"):
        read_keypoints(evil, **SAID)
    assert not ran.exists()
