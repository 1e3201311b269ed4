"""VRMA: the bones that VRM requires, in T-pose, moving as the record does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose3d.result.record import write_files
from pose3d.result.rig import NAMES
from pose3d.result.upright import upright_joints
from tests.support.gltf import Reader
from tests.support.grids import grid, to_grid
from tests.support.samples import sample_pose

# humanoid.md of VRMC_vrm-1.0, "List of Humanoid Bones", column Required.
REQUIRED = {"hips", "spine", "head"} | {
    f"{side}{bone}"
    for side in ("left", "right")
    for bone in ("UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")
}


def test_humanoid_moves_as_the_record(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "two_people")
    grid(pose).joints_cam_m[40:75, 1] = np.nan
    truth = to_grid(upright_joints(pose), pose)
    for person, path in enumerate(write_files(pose, tmp_path / "p.vrma")):
        reader = Reader(path)
        assert reader.json["extensionsUsed"] == ["VRMC_vrm_animation"]
        extension = reader.json["extensions"]["VRMC_vrm_animation"]
        assert extension["specVersion"] == "1.0"
        bones = {n: b["node"] for n, b in extension["humanoid"]["humanBones"].items()}
        assert set(bones) >= REQUIRED
        for frame in (0, 30, 100, 200):
            world = reader.at(float(pose.time_s[frame]))
            for ours, theirs in NAMES["vrm"].items():
                if ours in pose.skeleton.index:
                    joint = truth[frame, person, pose.skeleton.index[ours]]
                    off = np.linalg.norm(world[bones[theirs]][:3, 3] - joint)
                    assert off < 0.05, theirs  # bones of the truth vary in length
        times = reader.array(reader.json["animations"][0]["samplers"][0]["input"])[:, 0]
        assert len(times) == grid(pose).present[:, person].sum()


def test_rest_is_a_t_pose_on_the_floor(samples: Path, tmp_path: Path) -> None:
    (path,) = write_files(sample_pose(samples, "dance"), tmp_path / "p.vrma")
    reader = Reader(path)
    reader.json["animations"] = []
    at = {node["name"]: reader.at(0)[i][:3, 3] for i, node in enumerate(reader.json["nodes"])}
    assert at["leftFoot"][1] == pytest.approx(0)
    assert at["leftHand"][0] > 0.5
    assert at["leftHand"][1] == pytest.approx(at["leftUpperArm"][1])
    assert at["rightHand"][0] < -0.5
    assert at["head"][1] > 1.1
