"""record.py: a record cannot contradict itself, and derived views say what they claim."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, COCO17
from pose3d.networks2d.interfaces import Detections
from pose3d.result.record import (
    ROW_ARRAYS,
    Camera,
    PoseSequence,
    Span,
    StageRecord,
    VideoInfo,
    fill_spans,
)
from tests.support.grids import grid, regrid


def record(frames: int = 4, people: int = 3) -> PoseSequence:
    rng = np.random.default_rng(0)
    return PoseSequence.from_dense(
        video=VideoInfo(path="a.mp4", size_wh=(640, 480), rate=Fraction(25), n_frames=frames),
        time_s=np.arange(frames) / 25,
        person_ids=np.array([2, 5, 9][:people]),
        skeleton=COCO17,
        boxes_xyxy_px=rng.uniform(0, 400, (frames, people, 4)),
        keypoints_px=rng.uniform(0, 400, (frames, people, 17, 2)),
        score=rng.uniform(0, 1, (frames, people, 17)),
        joints_cam_m=rng.normal(size=(frames, people, 17, 3)),
        root_cam_m=rng.normal(size=(frames, people, 3)),
        hypotheses_cam_m=rng.normal(size=(frames, people, 3, 17, 3)),
        valid=rng.uniform(size=(frames, people)) > 0.3,
    )


def check_again(pose: PoseSequence, **changes) -> None:
    """Checks a changed copy as it would be without the runtime type checks of the test run."""
    changed = copy.copy(pose)
    for name, value in changes.items():
        object.__setattr__(changed, name, value)
    changed.__post_init__()


@pytest.mark.parametrize("name", ROW_ARRAYS)
def test_every_array_has_to_fit(name):
    pose = record()
    check_again(pose)
    wrong = np.delete(getattr(pose, name), 0, 0)
    with pytest.raises(ValueError, match=f"{name} has shape"):
        check_again(pose, **{name: wrong})


def test_joints_have_to_fit_the_skeleton():
    pose = record()
    with pytest.raises(ValueError, match="keypoints_px has shape"):
        check_again(pose, keypoints_px=pose.keypoints_px[:, :16])
    with pytest.raises(ValueError, match="keypoints_px has shape"):
        check_again(pose, skeleton=BLAZEPOSE33)


def test_time_has_to_increase():
    pose = record()
    with pytest.raises(ValueError, match="does not increase"):
        replace(pose, time_s=np.array([0.0, 0.1, 0.1, 0.2]))
    with pytest.raises(ValueError, match=r"n_frames is 5, time_s has 4"):
        replace(pose, video=replace(pose.video, n_frames=5))


def test_arrays_of_another_kind_are_refused():
    """With the runtime checks of the test run (conftest.py); users get the plain classes."""
    with pytest.raises(Exception, match="valid"):
        replace(record(), valid=np.ones(12))  # numbers, not truth values


def test_nothing_can_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        record().frame = np.array([1])


def test_present_is_where_there_is_a_pose():
    pose = record()
    joints = grid(pose).joints_cam_m.copy()
    joints[1, 0] = np.nan
    joints[2, 1, :16] = np.nan  # one joint is a pose
    keypoints = grid(pose).keypoints_px.copy()
    keypoints[3] = np.nan
    expected = np.ones((4, 3), bool)
    expected[1, 0] = False
    pose = regrid(pose, joints_cam_m=joints, keypoints_px=keypoints)
    np.testing.assert_array_equal(grid(pose).present, expected)
    before_lifting = replace(pose, joints_cam_m=None)
    assert not grid(before_lifting).present[3].any()
    assert grid(before_lifting).present[:3].all()
    np.testing.assert_array_equal(
        replace(before_lifting, keypoints_px=None, score=None).present, pose.valid
    )


def test_stages_are_appended():
    pose = record()
    stages = [StageRecord(stage=s, name="x", version="1") for s in ("detect", "lift")]
    after = pose.with_stage(stages[0]).with_stage(stages[1], root_cam_m=None)
    assert after.made_by == tuple(stages)
    assert after.root_cam_m is None
    assert pose.made_by == ()
    assert pose.root_cam_m is not None


def test_people_can_be_chosen():
    pose = record()
    chosen = pose.select_people([9, 2])
    assert chosen.person_ids.tolist() == [9, 2]
    for name in ROW_ARRAYS:
        wanted = getattr(grid(pose), name)[:, [2, 0]]
        np.testing.assert_array_equal(getattr(grid(chosen), name), wanted)
    assert chosen.n_people == 2
    nobody = pose.select_people([])
    assert nobody.n_people == 0
    assert len(nobody.present) == 0
    assert replace(pose, joints_cam_m=None).select_people([5]).joints_cam_m is None
    # Every array with rows is among those that are picked.
    arrays = {f.name for f in fields(pose) if isinstance(getattr(pose, f.name), np.ndarray)}
    assert arrays == {*ROW_ARRAYS, "time_s", "frame", "person_id"}


def test_people_have_rows_only_where_they_are():
    whole = record(frames=9)
    arrays = {name: getattr(grid(whole), name).copy() for name in ROW_ARRAYS}
    for array in arrays.values():
        array[:2, 0] = array[6:, 0] = array[4, 0] = False if array.dtype == bool else np.nan
        array[:, 1] = False if array.dtype == bool else np.nan
    pose = regrid(whole, **arrays)
    assert pose.person_ids.tolist() == [2, 9]  # 5 is never there
    assert pose.frame.tolist() == [2, 3, 4, 5, *range(9)]
    assert pose.spans[0] == Span(2, slice(2, 6), slice(0, 4))
    assert pose.span_of(9).row(3) == 7
    assert [rows.tolist() for rows in pose.rows_by_frame()[1:4]] == [[5], [0, 6], [1, 7]]
    dense = pose.dense()
    assert dense.person_ids.tolist() == [2, 9]
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(dense, name), array[:, [0, 2]])
        np.testing.assert_array_equal(getattr(pose.dense([5, 9]), name), array[:, [1, 2]])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frame": np.array([0, 1, 2, 4] * 3)}, "not in the clip"),
        ({"frame": np.array([0, 2, 1, 3] * 3)}, "row for every frame"),
        ({"person_id": np.array([2, 5, 2] * 4)}, "stand together"),
    ],
)
def test_rows_of_a_person_are_a_span(changes, words):
    with pytest.raises(ValueError, match=words):
        check_again(record(), **changes)


def test_spans_are_filled():
    rows = {"valid": np.array([True, True, True]), "score": np.arange(3.0)[:, None]}
    filled = fill_spans(np.array([5, 1, 3]), np.array([7, 4, 7]), rows, [7, 4])
    assert filled["frame"].tolist() == [3, 4, 5, 1]
    assert filled["person_id"].tolist() == [7, 7, 7, 4]
    assert filled["valid"].tolist() == [True, False, True, True]
    np.testing.assert_array_equal(filled["score"][:, 0], [2, np.nan, 0, 1])
    with pytest.raises(ValueError, match="rows"):  # before there is no memory left
        fill_spans(np.array([0, 10**9]), np.array([7, 7]), rows, [7])
    for frame, order in (([5, 5, 3], [7, 4]), ([5, 1, 3], [7])):
        people = np.array([7, 7, 7]) if frame[1] == 5 else np.array([7, 4, 7])
        with pytest.raises(ValueError, match="twice"):
            fill_spans(np.array(frame), people, rows, order)


@pytest.mark.parametrize("focal_px", [0.0, -5.0, float("nan"), float("inf")])
def test_cameras_need_a_focal_length(focal_px):
    with pytest.raises(ValueError, match="focal_px"):
        Camera(focal_px=focal_px, focal_source="given")


def test_nobody_is_no_detection():
    none = Detections.none()
    assert len(none) == 0
    assert none.boxes_xyxy_px.shape == none.regions.shape == (0, 4)


def test_saved_and_loaded(tmp_path):
    pose = record()
    for suffix in (".npz", ".json"):
        loaded = PoseSequence.load(pose.save(tmp_path / f"pose{suffix}"))
        for name in ROW_ARRAYS:
            np.testing.assert_allclose(getattr(loaded, name), getattr(pose, name), atol=0.006)
        assert loaded.video == pose.video


def test_files_grow_with_the_people_who_are_there_not_with_all_who_passed(tmp_path):
    one = record(frames=400, people=1)
    many = replace(one, person_id=1 + one.frame // 20)
    assert many.n_people == 20
    for suffix in (".npz", ".json"):
        sizes = [
            pose.save(tmp_path / f"{pose.n_people}{suffix}").stat().st_size for pose in (one, many)
        ]
        assert sizes[1] < 1.01 * sizes[0] + 1000
