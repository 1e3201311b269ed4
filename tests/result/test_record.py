"""record.py: a record cannot contradict itself, and derived views say what they claim."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, COCO17
from pose3d.networks2d.interfaces import Detections
from pose3d.result.record import Camera, PoseSequence, StageRecord, VideoInfo, array_shapes


def record(frames: int = 4, people: int = 3) -> PoseSequence:
    rng = np.random.default_rng(0)
    return PoseSequence(
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


PER_PERSON = [name for name in array_shapes(0, 0, 0, 0) if name != "time_s"]


def check_again(pose: PoseSequence, **changes) -> None:
    """Checks a changed copy as it would be without the runtime type checks of the test run."""
    changed = copy.copy(pose)
    for name, value in changes.items():
        object.__setattr__(changed, name, value)
    changed.__post_init__()


@pytest.mark.parametrize("name", PER_PERSON)
@pytest.mark.parametrize("axis", [0, 1])
def test_every_array_has_to_fit(name, axis):
    pose = record()
    check_again(pose)
    wrong = np.delete(getattr(pose, name), 0, axis)
    with pytest.raises(ValueError, match=f"{name} has shape"):
        check_again(pose, **{name: wrong})


def test_joints_have_to_fit_the_skeleton():
    pose = record()
    with pytest.raises(ValueError, match="keypoints_px has shape"):
        check_again(pose, keypoints_px=pose.keypoints_px[:, :, :16])
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
        replace(record(), valid=np.ones((4, 3)))  # numbers, not truth values


def test_nothing_can_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        record().person_ids = np.array([1])


def test_present_is_where_there_is_a_pose():
    pose = record()
    joints = pose.joints_cam_m.copy()
    joints[1, 0] = np.nan
    joints[2, 1, :16] = np.nan  # one joint is a pose
    keypoints = pose.keypoints_px.copy()
    keypoints[3] = np.nan
    expected = np.ones((4, 3), bool)
    expected[1, 0] = False
    pose = replace(pose, joints_cam_m=joints, keypoints_px=keypoints)
    np.testing.assert_array_equal(pose.present, expected)
    before_lifting = replace(pose, joints_cam_m=None)
    assert not before_lifting.present[3].any()
    assert before_lifting.present[:3].all()
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
    chosen = pose.select_people([2, 0])
    assert chosen.person_ids.tolist() == [9, 2]
    for name in PER_PERSON:
        np.testing.assert_array_equal(getattr(chosen, name), getattr(pose, name)[:, [2, 0]])
    assert chosen.n_people == 2
    nobody = pose.select_people([])
    assert nobody.n_people == 0
    assert nobody.present.shape == (4, 0)
    assert replace(pose, joints_cam_m=None).select_people([1]).joints_cam_m is None
    # Every array with a person axis is among those that are picked.
    arrays = {f.name for f in fields(pose) if isinstance(getattr(pose, f.name), np.ndarray)}
    assert arrays == {*PER_PERSON, "time_s", "person_ids"}


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
        for name in PER_PERSON:
            np.testing.assert_allclose(getattr(loaded, name), getattr(pose, name), atol=0.006)
        assert loaded.video == pose.video
