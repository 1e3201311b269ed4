"""Joint angles of bodies that were posed by those angles, with SciPy's rotations."""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import COCO17, H36M17
from pose3d.errors import UsageError
from pose3d.render.angle_chart import draw_angles, ranges_deg
from pose3d.result.angles import MIDDLE, ONE_SIDED, compute_angles, velocities, write_angles
from pose3d.result.record import PoseSequence, VideoInfo
from tests.support.grids import grid
from tests.support.samples import sample_pose

# Posed by: degrees of each side, then of the trunk. X forward, Y up, Z right.
RIGHT = {
    "hip_flexion": 40,
    "hip_abduction": 15,
    "hip_rotation": 20,
    "knee_flexion": 70,
    "elbow_flexion": 90,
}
RIGHT |= {"shoulder_elevation": 60, "shoulder_plane": 30, "shoulder_rotation": -25}
LEFT = {
    "hip_flexion": -20,
    "hip_abduction": 5,
    "hip_rotation": -10,
    "knee_flexion": 30,
    "elbow_flexion": 45,
}
LEFT |= {"shoulder_elevation": 100, "shoulder_plane": -10, "shoulder_rotation": 35}
TRUNK = {"trunk_flexion": 12, "trunk_side_bend": -8, "trunk_rotation": 25}
DOWN, UP, SIDEWAYS = np.array([0, -1.0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])


def turn(axes: str, *degrees: float) -> Rotation:
    # To older SciPy a sequence of one angle is a stack of rotations.
    return Rotation.from_euler(axes, degrees if len(axes) > 1 else degrees[0], degrees=True)


def posed(heading: float, lean: float) -> np.ndarray:
    """Returns ``(joint, 3)`` of a body as above, its pelvis turned about Y, then leant forward."""
    at = {"pelvis": np.zeros(3), "spine": 0.25 * UP}
    chest = turn("ZXY", -TRUNK["trunk_flexion"], TRUNK["trunk_side_bend"], TRUNK["trunk_rotation"])
    at["thorax"] = at["spine"] + chest.apply(0.25 * UP)
    at["neck_nose"] = at["thorax"] + chest.apply(0.15 * UP)
    at["head_top"] = at["thorax"] + chest.apply(turn("Z", -10).apply(0.3 * UP))
    for side, angles, sign in (("right", RIGHT, 1.0), ("left", LEFT, -1.0)):
        mirror = np.array([1.0, 1.0, sign])
        thigh = turn("ZXY", angles["hip_flexion"], -angles["hip_abduction"], angles["hip_rotation"])
        shank = thigh * turn("Z", -angles["knee_flexion"])
        plane, elevation = angles["shoulder_plane"], angles["shoulder_elevation"]
        upper = turn("YXY", plane, -elevation, angles["shoulder_rotation"])
        fore = upper * turn("Z", angles["elbow_flexion"])
        at[f"{side}_hip"] = 0.1 * SIDEWAYS * mirror
        at[f"{side}_knee"] = at[f"{side}_hip"] + 0.4 * thigh.apply(DOWN) * mirror
        at[f"{side}_ankle"] = at[f"{side}_knee"] + 0.4 * shank.apply(DOWN) * mirror
        at[f"{side}_shoulder"] = at["thorax"] + chest.apply(0.17 * SIDEWAYS * mirror)
        elbow = chest.apply(0.3 * upper.apply(DOWN) * mirror)
        at[f"{side}_elbow"] = at[f"{side}_shoulder"] + elbow
        wrist = chest.apply(0.25 * fore.apply(DOWN) * mirror)
        at[f"{side}_wrist"] = at[f"{side}_elbow"] + wrist
    body = np.array([at[name] for name in H36M17.joints])
    return turn("YZ", heading, -lean).apply(body)


def record(bodies: np.ndarray) -> PoseSequence:
    """Makes a record of ``(frame, joint, 3)`` upright joints, 10 frames a second."""
    n = len(bodies)
    return PoseSequence.from_dense(
        video=VideoInfo(path="x.mp4", size_wh=(64, 48), rate=Fraction(10), n_frames=n),
        time_s=np.arange(n) / 10,
        person_ids=np.array([4]),
        skeleton=H36M17,
        boxes_xyxy_px=np.full((n, 1, 4), np.nan),
        joints_cam_m=bodies[:, None] * [1, -1, -1],
        valid=np.ones((n, 1), bool),
    )


@pytest.mark.parametrize("heading", [0, 90, 200, -75])
def test_angles_are_those_it_was_posed_by(heading: float) -> None:
    found = compute_angles(record(posed(heading, lean=0)[None]))
    expected = {f"right_{k}": v for k, v in RIGHT.items()}
    expected |= {f"left_{k}": v for k, v in LEFT.items()} | TRUNK
    expected |= {"neck_flexion": 10, "neck_side_bend": 0, "pelvis_side_tilt": 0}
    for name, degrees in expected.items():
        assert found[name][0] == pytest.approx(degrees, abs=1e-6), name
    assert set(found) - set(expected) == {"trunk_lean", "trunk_lean_forward", "trunk_lean_side"}


def test_leaning_is_against_upright() -> None:
    straight, leant = (compute_angles(record(posed(30, lean)[None])) for lean in (0, 20))
    moved = leant["trunk_lean_forward"] - straight["trunk_lean_forward"]
    assert moved[0] == pytest.approx(20, abs=0.5)
    for name in set(straight) - {"trunk_lean", "trunk_lean_forward", "trunk_lean_side"}:
        np.testing.assert_allclose(leant[name], straight[name], atol=1e-6, err_msg=name)
    tilted = compute_angles(record(turn("X", 15).apply(posed(0, 0))[None]))
    assert tilted["pelvis_side_tilt"][0] == pytest.approx(-15)
    side = compute_angles(record(turn("X", 15).apply(posed(0, 0))[None]))["trunk_lean_side"]
    assert side[0] == pytest.approx(straight["trunk_lean_side"][0] + 15, abs=0.5)


def test_what_is_not_defined_is_not_said() -> None:
    """A straight knee tells no rotation of the thigh, a hanging arm no plane; lying, no lean."""
    body = posed(0, 0)
    index = H36M17.index
    body[index["right_ankle"]] = 2 * body[index["right_knee"]] - body[index["right_hip"]]
    body[index["left_elbow"]] = body[index["left_shoulder"]] - 0.3 * (
        body[index["thorax"]] - body[index["spine"]]
    )
    on_the_side = turn("X", 85).apply(body)
    found = compute_angles(record(np.stack([body, np.full_like(body, np.nan), on_the_side])))
    gone = {name for name, values in found.items() if np.isnan(values[0])}
    assert gone == {"right_hip_rotation", "left_shoulder_plane", "left_shoulder_rotation"}
    assert all(np.isnan(values[1]) for values in found.values())
    more = {name for name, values in found.items() if np.isnan(values[2])}
    assert more - gone == {"trunk_lean_forward", "trunk_lean_side"}


def test_velocities_stop_at_gaps_and_cross_half_turns() -> None:
    degrees = np.array([170.0, 176, -178, -172, np.nan, 10, 11, np.nan, 5])
    found = velocities(degrees, record(np.zeros((9, 17, 3))))
    np.testing.assert_allclose(found, [60] * 4 + [np.nan, 10, 10, np.nan, np.nan], atol=1e-9)


def test_table_and_picture(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "two_people")
    grid(pose).joints_cam_m[5:9, 1] = np.nan
    write_angles(pose, tmp_path / "angles.csv")
    with (tmp_path / "angles.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == grid(pose).present.sum()
    found = compute_angles(pose)
    assert len(found) == 2 * len(ONE_SIDED) + len(MIDDLE)
    assert len(rows[0]) == 4 + 2 * len(found)
    for row in rows[::41]:
        frame, person = int(row["frame"]), int(row["person"]) - 1
        at = pose.spans[person].row(frame)
        for name, values in found.items():
            if np.isnan(values[at]):
                assert row[f"{name}_deg"] == ""
            else:
                assert float(row[f"{name}_deg"]) == pytest.approx(values[at], abs=0.006)
    low, high = ranges_deg(found, pose.spans[0].rows)["left_knee_flexion"]
    assert high - low > 40  # somebody who walks
    draw_angles(pose, tmp_path / "angles.png")
    assert (tmp_path / "angles.png").read_bytes().startswith(b"\x89PNG")


def test_nobody_and_other_skeletons(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    nobody = pose.select_people([])
    write_angles(nobody, tmp_path / "angles.csv")
    assert len((tmp_path / "angles.csv").read_text().splitlines()) == 1
    with pytest.raises(UsageError, match="nobody"):
        draw_angles(nobody, tmp_path / "angles.png")
    with pytest.raises(UsageError, match="coco17"):
        compute_angles(replace(pose, skeleton=COCO17))
