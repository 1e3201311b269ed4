"""MOT as OpenSim reads it: its own readers, its own model, and bodies posed by known angles."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.errors import MissingExtraError, UsageError
from pose3d.result import gait_model
from pose3d.result.angles import compute_angles
from pose3d.result.markers import marker_names
from pose3d.result.record import PoseSequence, VideoInfo, save, write_files
from pose3d.result.upright import upright_joints, upright_track
from tests.support import ROOT
from tests.support.grids import grid
from tests.support.samples import sample_pose

pytestmark = [pytest.mark.extra_opensim]
DOWN, UP, RIGHT = np.array([0, -1.0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
MIRROR = {"r": np.array([1.0, 1, 1]), "l": np.array([1.0, 1, -1])}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where reading leaves a log


@pytest.fixture
def osim() -> Any:
    if find_spec("opensim") is None:
        pytest.skip("needs the extra opensim")
    with gait_model.quiet_opensim() as module:
        return module


def zxy(*degrees: np.ndarray) -> Rotation:
    return Rotation.from_euler("ZXY", np.stack(degrees, -1), degrees=True)


def pose_body(q: dict[str, np.ndarray]) -> np.ndarray:
    """Returns ``(frame, joint, 3)`` of a body with these coordinates, by SciPy's rotations."""
    zero = np.zeros(len(q["pelvis_tx"]))
    at = {"pelvis": np.stack([q[f"pelvis_t{axis}"] for axis in "xyz"], -1)}
    pelvis = zxy(q["pelvis_tilt"], q["pelvis_list"], q["pelvis_rotation"])
    at["spine"] = at["pelvis"] + pelvis.apply(0.25 * UP)
    torso = pelvis * zxy(q["lumbar_extension"], q["lumbar_bending"], q["lumbar_rotation"])
    at["thorax"] = at["spine"] + torso.apply(0.24 * UP)
    head = torso * zxy(-q["neck_flexion"], q["neck_bending"], zero)
    at["neck_nose"] = at["thorax"] + head.apply([0.06, 0.14, 0])
    at["head_top"] = at["thorax"] + head.apply(0.28 * UP)
    for side in ("right", "left"):
        s, m = side[0], MIRROR[side[0]]
        sign = m[2]
        hip = q[f"hip_flexion_{s}"], sign * q[f"hip_adduction_{s}"], sign * q[f"hip_rotation_{s}"]
        thigh = pelvis * zxy(*hip)
        shank = thigh * zxy(-q[f"knee_angle_{s}"], zero, zero)
        arm = q[f"arm_flex_{s}"], sign * q[f"arm_add_{s}"], sign * q[f"arm_rot_{s}"]
        upper = torso * zxy(*arm)
        fore = upper * zxy(q[f"elbow_flex_{s}"], zero, zero)
        at[f"{side}_hip"] = at["pelvis"] + pelvis.apply(0.11 * RIGHT * m)
        at[f"{side}_knee"] = at[f"{side}_hip"] + thigh.apply(0.42 * DOWN)
        at[f"{side}_ankle"] = at[f"{side}_knee"] + shank.apply(0.40 * DOWN)
        at[f"{side}_shoulder"] = at["thorax"] + torso.apply((0.17 * RIGHT - 0.03 * UP) * m)
        at[f"{side}_elbow"] = at[f"{side}_shoulder"] + upper.apply(0.29 * DOWN)
        at[f"{side}_wrist"] = at[f"{side}_elbow"] + fore.apply(0.25 * DOWN)
    return np.stack([at[name] for name in H36M17.joints], 1)


def motion(frames: int = 60) -> dict[str, np.ndarray]:
    """Returns a motion in which every coordinate changes; it turns once around, knees stay bent."""
    t = np.linspace(0, 1, frames)
    swing = {"pelvis_tilt": (-5, 12), "pelvis_list": (2, 8), "lumbar_extension": (-10, 15)}
    swing |= {"lumbar_bending": (4, 12), "lumbar_rotation": (-6, 25), "neck_flexion": (8, 20)}
    swing |= {"neck_bending": (-3, 10)}
    for s, more in (("r", 0), ("l", 7)):
        swing |= {f"hip_flexion_{s}": (15 + more, 35), f"hip_adduction_{s}": (-6, 10)}
        swing |= {f"hip_rotation_{s}": (5, 20 - more), f"knee_angle_{s}": (65, 35 + more)}
        swing |= {f"arm_flex_{s}": (10, 55 - more), f"arm_add_{s}": (-25, 20)}
        swing |= {f"arm_rot_{s}": (10, 30), f"elbow_flex_{s}": (75 + more, 40)}
    q = {
        name: middle + size * np.sin(2 * np.pi * (t + i / 9))
        for i, (name, (middle, size)) in enumerate(swing.items())
    }
    q["arm_flex_l"] = 120 + 100 * t  # over the head and on
    q["pelvis_rotation"] = 100 + 360 * t
    return q | {"pelvis_tx": 2 * t, "pelvis_ty": 0.9 + 0.1 * t, "pelvis_tz": 1 - 3 * t}


def record(joints: np.ndarray) -> PoseSequence:
    """Makes a record of ``(frame, joint, 3)`` upright joints, 25 frames a second."""
    n = len(joints)
    in_camera = joints * [1, -1, -1]
    return PoseSequence.from_dense(
        video=VideoInfo(path="made.mp4", size_wh=(64, 48), rate=Fraction(25), n_frames=n),
        time_s=np.arange(n) / 25,
        person_ids=np.array([4]),
        skeleton=H36M17,
        boxes_xyxy_px=np.ones((n, 1, 4)),
        valid=np.ones((n, 1), bool),
        joints_cam_m=(in_camera - in_camera[:, :1])[:, None],
        root_cam_m=in_camera[:, :1],
    )


def read(osim: Any, path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the times and the columns as OpenSim's table has them; its Storage agrees."""
    table, storage = osim.TimeSeriesTable(str(path)), osim.Storage(str(path))
    assert table.getTableMetaDataString("inDegrees") == "yes"
    assert storage.isInDegrees()
    assert storage.getSize() == table.getNumRows()
    labels = [storage.getColumnLabels().get(i) for i in range(1, 28)]
    columns = table.getMatrix().to_numpy()
    assert columns.shape == (storage.getSize(), 27)
    assert storage.getStateVector(0).getData().get(26) == columns[0, 26]
    return np.array(table.getIndependentColumn()), dict(zip(labels, columns.T, strict=True))


def markers(osim: Any, model_file: Path, q: dict[str, np.ndarray]) -> np.ndarray:
    """Returns ``(frame, joint, 3)`` where OpenSim puts the model's markers."""
    model = osim.Model(str(model_file))
    state = model.initSystem()
    out = []
    for i in range(len(q["pelvis_tx"])):
        for name, values in q.items():
            value = (
                values[i]
                if name.startswith("pelvis_t") and name != "pelvis_tilt"
                else np.deg2rad(values[i])
            )
            model.getCoordinateSet().get(name).setValue(state, float(value), False)
        model.realizePosition(state)
        places = [
            model.getMarkerSet().get(n).getLocationInGround(state) for n in marker_names(H36M17)
        ]
        out.append([place.to_numpy() for place in places])
    return np.array(out)


def test_a_made_motion_is_recovered(osim: Any, tmp_path: Path) -> None:
    truth = motion()
    path = save(record(pose_body(truth)), tmp_path / "p.mot")
    time_s, found = read(osim, path)
    np.testing.assert_allclose(time_s, np.arange(60) / 25, atol=1e-6)
    assert found.keys() == truth.keys()
    for name, values in truth.items():
        moves = name in ("pelvis_tx", "pelvis_ty", "pelvis_tz")
        off = (found[name] - values) % 360 if not moves else found[name] - values
        off = np.minimum(off, 360 - off) if not moves else np.abs(off)
        assert off.max() < (0.0005 if moves else 0.2), name
        assert np.abs(np.diff(found[name])).max() < 30, name  # no jumps of whole turns
    assert re.search(r"markers are 0\.0 mm RMS and at most 0\.\d mm", path.read_text())
    model = osim.Model(str(path.with_suffix(".osim")))
    model.realizeAcceleration(model.initSystem())
    assert model.getName() == "made_person4"


def test_markers_stand_on_the_joints(osim: Any, samples: Path, tmp_path: Path) -> None:
    """The model that lies beside the file, moved by the file, in OpenSim; the file says how near."""
    pose = sample_pose(samples, "walk_turn")
    path, model_file = write_files(pose, tmp_path / "p.mot")
    _, q = read(osim, path)
    apart_mm = np.linalg.norm(markers(osim, model_file, q) - upright_track(pose), axis=-1) * 1000
    rms, most = np.sqrt(np.square(apart_mm).mean()), apart_mm.max()
    assert rms < 2.5
    assert most < 15
    said = re.search(r"markers are ([\d.]+) mm RMS and at most ([\d.]+) mm", path.read_text())
    assert said is not None
    np.testing.assert_allclose([float(word) for word in said.groups()], [rms, most], atol=0.1)


def test_signs_are_those_of_the_angles(osim: Any, samples: Path, tmp_path: Path) -> None:
    """The model's trunk is rigid where ours is not, so that a few degrees lie between them."""
    pose = sample_pose(samples, "walk_turn")
    ours = compute_angles(pose)
    _, q = read(osim, save(pose, tmp_path / "p.mot"))
    pairs = {"lumbar_extension": -ours["trunk_flexion"], "lumbar_bending": ours["trunk_side_bend"]}
    pairs |= {"lumbar_rotation": ours["trunk_rotation"], "neck_flexion": ours["neck_flexion"]}
    for side in ("right", "left"):
        s = side[0]
        pairs |= {f"hip_flexion_{s}": ours[f"{side}_hip_flexion"]}
        pairs |= {f"hip_adduction_{s}": -ours[f"{side}_hip_abduction"]}
        pairs |= {f"hip_rotation_{s}": ours[f"{side}_hip_rotation"]}
        pairs |= {f"knee_angle_{s}": ours[f"{side}_knee_flexion"]}
        pairs |= {f"elbow_flex_{s}": ours[f"{side}_elbow_flexion"]}
    for name, values in pairs.items():
        known = np.isfinite(values)
        assert known.sum() > 50, name
        assert np.abs(q[name] - values)[known].max() < 4, name
    assert np.ptp(q["knee_angle_r"]) > 40


def test_straight_limbs_do_not_twist(osim: Any, tmp_path: Path) -> None:
    """Trembling joints say nothing of the turn of a straight leg; it goes between the known ones."""
    q = motion(80)
    straight = np.r_[np.full(20, 60.0), np.linspace(60, 0.5, 10), np.full(20, 0.5)]
    q["knee_angle_r"] = np.r_[straight, np.linspace(0.5, 60, 10), np.full(20, 60.0)]
    q["hip_rotation_r"] = np.full(80, 15.0)
    joints = pose_body(q) + np.random.default_rng(0).normal(0, 0.002, (80, 17, 3))
    _, found = read(osim, save(record(joints), tmp_path / "p.mot"))
    assert np.abs(found["hip_rotation_r"] - 15).max() < 8


def test_people_who_come_and_go(osim: Any, samples: Path, tmp_path: Path) -> None:
    """Who is away has no row, and each person a model of the own size."""
    pose = sample_pose(samples, "two_people")
    grid(pose).joints_cam_m[40:75, 1] = np.nan
    grid(pose).joints_cam_m[90:95, :] = np.nan
    grid(pose).joints_cam_m[0:12, 0, 3] = np.nan  # an ankle
    files = write_files(pose, tmp_path / "p.mot")
    assert [file.name for file in files] == [
        *("p.person1.mot", "p.person2.mot", "p.person1.osim", "p.person2.osim")
    ]
    joints = upright_joints(pose)
    for person, path, away in zip(
        pose.spans,
        files,
        ([*range(12), *range(90, 95)], [*range(40, 75), *range(90, 95)]),
        strict=False,
    ):
        here = np.setdiff1d(np.arange(pose.n_frames), away)
        time_s, q = read(osim, path)
        np.testing.assert_allclose(time_s, pose.time_s[here], atol=1e-6)
        found = markers(osim, path.with_suffix(".osim"), q)
        apart = np.linalg.norm(found - joints[person.rows][here], axis=-1)
        assert np.sqrt(np.square(apart).mean()) < 0.005


def test_opensim_solves_our_trc_with_our_model(osim: Any, samples: Path, tmp_path: Path) -> None:
    """Its own inverse kinematics tool gets the same angles from the two files."""
    pose = sample_pose(samples, "walk_turn")
    path, model_file = write_files(pose, tmp_path / "p.mot")
    (trc,) = write_files(pose, tmp_path / "p.trc")
    tool = osim.InverseKinematicsTool()
    model = osim.Model(str(model_file))
    tool.setModel(model)
    tool.setMarkerDataFileName(str(trc))
    tool.setStartTime(0.0)
    tool.setEndTime(1.0)
    tool.setOutputMotionFileName(str(tmp_path / "theirs.mot"))
    for name in marker_names(H36M17):
        task = osim.IKMarkerTask()
        task.setName(name)
        task.setApply(True)
        task.setWeight(1.0)
        tool.upd_IKTaskSet().cloneAndAppend(task)
    assert tool.run()
    _, q = read(osim, path)
    _, theirs = read(osim, tmp_path / "theirs.mot")
    assert q.keys() == theirs.keys()
    for name in q.keys() - {"hip_rotation_r", "hip_rotation_l"}:  # what they say of straight legs
        off = np.abs(q[name][:31] - theirs[name]) % 360
        assert np.minimum(off, 360 - off).max() < 1, name


def test_nothing_to_solve(osim: Any, samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    assert write_files(pose.select_people([]), tmp_path / "p.mot") == ()
    with pytest.raises(UsageError, match="3D"):
        save(replace(pose, joints_cam_m=None, root_cam_m=None), tmp_path / "p.mot")
    grid(pose).joints_cam_m[:, :, 3] = np.nan
    with pytest.raises(UsageError, match="every joint"):
        save(pose, tmp_path / "p.mot")
    with pytest.raises(UsageError, match="no extent"):
        save(record(np.ones((3, 17, 3))), tmp_path / "p.mot")
    assert list(tmp_path.glob("*.*")) == []


def test_it_says_which_package_is_missing(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opensim", None)
    with pytest.raises(MissingExtraError, match="format mot needs the package opensim") as caught:
        save(sample_pose(samples, "dance"), tmp_path / "p.mot")
    assert caught.value.todo == "Run python -m pip install 'opensim>=4.6'"
    assert list(tmp_path.iterdir()) == []


def export(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Exports ``pose.npz`` of a folder in a process of its own, where warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pose3d", "export", "pose.npz", *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_opensim_prints_nothing_and_leaves_no_log(osim: Any, samples: Path, tmp_path: Path) -> None:
    save(sample_pose(samples, "dance"), tmp_path / "pose.npz")
    done = export(tmp_path, "-f", "mot")
    assert done.stdout == "pose.person1.mot\npose.person1.osim\n"
    assert done.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == {"pose.npz", *done.stdout.split()}


@pytest.mark.extra_c3d
def test_it_stands_beside_ezc3d(osim: Any, samples: Path, tmp_path: Path) -> None:
    """Both are made by SWIG and share its types; whoever comes first must not break the other."""
    pytest.importorskip("ezc3d", reason="needs the extra c3d")
    save(sample_pose(samples, "dance"), tmp_path / "pose.npz")
    for order in ("mot,c3d", "c3d,mot"):
        export(tmp_path, "-f", order, "-o", order.replace(",", "_"))
