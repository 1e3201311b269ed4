"""2D in the formats of OpenPose, MMPose and COCO: what our readers of theirs find in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose3d.body.skeletons import COCO17, LIMBS, OPENPOSE25
from pose3d.errors import UsageError
from pose3d.keypoint_files.formats import choose_reader
from pose3d.keypoint_files.source import Source
from pose3d.result.record import PoseSequence, StageRecord, save
from tests.support.grids import grid, regrid
from tests.support.samples import sample_pose

SUFFIX = {"openpose": ".openpose", "mmpose": ".mmpose.json", "coco": ".coco.json"}
formats = pytest.mark.parametrize("name", SUFFIX)


def two_people(samples: Path) -> PoseSequence:
    """The first is away for a while, then both; lifted by weights of the mapping ``face``."""
    pose = sample_pose(samples, "two_people")
    pose = regrid(pose, person_ids=np.array([3, 7]))
    for frames, people in ((slice(20, 50), [0]), (slice(90, 100), [0, 1])):
        grid(pose).keypoints_px[frames, people] = np.nan
        grid(pose).score[frames, people] = np.nan
    lift = StageRecord(stage="lift", name="x", options={"mapping": "face"})
    return pose.with_stage(lift)


@formats
def test_readers_find_what_was_written(samples: Path, tmp_path: Path, name: str) -> None:
    pose = two_people(samples)
    path = save(pose, tmp_path / f"p{SUFFIX[name]}", name)
    found, reader = choose_reader(Source(path), None)
    assert found == name
    poses = reader.read(Source(path))
    assert poses.skeleton == (OPENPOSE25 if name == "openpose" else COCO17)
    seen = np.isfinite(grid(pose).keypoints_px).all(-1).any(-1)
    frames, columns = np.nonzero(seen)
    assert poses.frames.tolist() == frames.tolist()
    if name != "coco":  # its results do not say of frames without people, nor who is who
        assert poses.ids.tolist() == pose.person_ids[columns].tolist()
        assert poses.numbers.tolist() == list(range(pose.n_frames))
    for joint in (*LIMBS, "nose"):
        ours = pose.skeleton.index[{"nose": "neck_nose"}.get(joint, joint)]
        theirs = poses.skeleton.index[joint]
        np.testing.assert_allclose(
            poses.points[:, theirs], grid(pose).keypoints_px[frames, columns, ours], atol=6e-4
        )
        np.testing.assert_allclose(
            poses.score[:, theirs], grid(pose).score[frames, columns, ours], atol=6e-4
        )
    if name == "openpose":
        hips = [pose.skeleton.index[f"{side}_hip"] for side in ("left", "right")]
        middle = grid(pose).keypoints_px[frames, columns][:, hips].mean(1)
        np.testing.assert_allclose(poses.points[:, 8], middle, atol=6e-4)
    assert not poses.score[:, poses.skeleton.index["left_ear"]].any()


@formats
def test_nobody_has_the_frames_all_the_same(samples: Path, tmp_path: Path, name: str) -> None:
    pose = two_people(samples).select_people([])
    path = save(pose, tmp_path / f"p{SUFFIX[name]}", name)
    if name == "openpose":
        files = sorted(path.iterdir())
        assert len(files) == pose.n_frames
        assert files[12].name == "two_people_000000000012_keypoints.json"
        assert json.loads(files[12].read_text()) == {"version": 1.3, "people": []}
    else:
        values = json.loads(path.read_text())
        assert [v["instances"] for v in values] == (
            [[]] * pose.n_frames if name == "mmpose" else []
        )


def test_a_point_that_may_not_be_the_nose_is_none(samples: Path, tmp_path: Path) -> None:
    pose = replace(two_people(samples), made_by=())
    entry = json.loads(save(pose, tmp_path / "p.json", "coco").read_text())[0]
    assert entry["keypoints"][:3] == [0.0, 0.0, 0.0]


def test_coco_says_where_and_how_sure(samples: Path, tmp_path: Path) -> None:
    pose = two_people(samples)
    entry = json.loads(save(pose, tmp_path / "p.json", "coco").read_text())[-1]
    left, top, right, bottom = grid(pose).boxes_xyxy_px[-1, 1].tolist()
    assert entry["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.02)
    assert entry["score"] == pytest.approx(
        np.mean(grid(pose).score[-1, 1][[9, *range(1, 7), *range(11, 17)]]), abs=0.01
    )
    assert (entry["image_id"], entry["category_id"], entry["track_id"]) == (215, 1, 7)


def test_a_folder_replaces_an_earlier_one(samples: Path, tmp_path: Path) -> None:
    pose = two_people(samples)
    path = save(pose, tmp_path / "p.openpose")
    (path / "old_000000000999_keypoints.json").write_text("{}")
    assert save(pose, path) == path
    assert len(list(path.iterdir())) == pose.n_frames
    assert [p.name for p in tmp_path.iterdir()] == ["p.openpose"]


def test_3d_alone_is_refused(samples: Path, tmp_path: Path) -> None:
    pose = replace(two_people(samples), keypoints_px=None, score=None)
    with pytest.raises(UsageError, match="no 2D keypoints"):
        save(pose, tmp_path / "p.openpose")
    assert list(tmp_path.iterdir()) == []
