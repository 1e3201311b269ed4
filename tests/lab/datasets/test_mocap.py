"""Readers against positions of another reader, the body against prepared files, round trip."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from typer.testing import CliRunner

from pose3d.body.skeletons import H36M17, LIMBS
from pose3d.cli.app import app
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.mocap.asf import read_amc
from pose3d.lab.datasets.mocap.axes import to_z_up
from pose3d.lab.datasets.mocap.bvh import read_bvh
from pose3d.lab.datasets.mocap.limbs import find_limbs
from pose3d.lab.datasets.mocap.prepare import PrepareOptions, prepare_folder, write_prepared
from pose3d.lab.datasets.mocap.source import SourceMotion
from pose3d.lab.datasets.motions import MOCAP_JOINTS, load_motions
from pose3d.result.record import PoseSequence, VideoInfo, save
from tests.support.motion_files import change, write_npz
from tests.support.training import moving_body

LIMB = [MOCAP_JOINTS.index(n) for n in LIMBS]


# -- readers -----------------------------------------------------------------------------------


def test_readers_agree_with_another_reader(shared):
    """World positions of the fixtures, computed with the reader behind shared/mocap."""
    folder = shared / "mocap/bvh"
    expected = json.loads((folder / "expected.json").read_text())
    files = [name for name in expected if not name.endswith(".txt")]
    assert len(files) == 10
    for name, wanted in ((name, expected[name]) for name in files):
        motion = (read_bvh if name.endswith(".bvh") else read_amc)(folder / name)
        assert len(motion.positions) == wanted["frames"]
        assert motion.fps == pytest.approx(1 / wanted["frame_time"])
        for frame, joints in wanted["positions"].items():
            for joint, position in joints.items():
                ours = motion.positions[int(frame), motion.joints.index(joint)]
                np.testing.assert_allclose(ours, position, atol=2e-4)


def test_one_recording_in_two_formats(shared):
    """ASF/AMC and BVH of 02_03 are the same motion: limb joints within centimetres."""
    folder = shared / "mocap/bvh"
    prepared = prepare_folder(folder)
    clips = {c.name: c.joints_m for c in prepared.clips}
    a, b = clips["cmu_asf_02_03"], clips["cmu_mb_02_03"]
    a, b = a[-80:] - a[-80:, :1], b[-80:] - b[-80:, :1]
    # The BVH has one more frame (T-pose) and both are thinned to 60: half a frame of shift remains.
    error = np.linalg.norm(a - b, axis=-1)[:, LIMB]
    assert np.median(error) < 0.03
    assert {c.subject: c.split for c in prepared.clips} == {"accad": "val", "cmu": "train"}


def test_limbs_are_those_of_the_prepared_file(shared):
    """accad Stand and Walk, up to the arbitrary horizontal axes: limbs to 3 mm, derived ones 15 cm."""
    clips = {c.name: c for c in prepare_folder(shared / "mocap/bvh").clips}
    with np.load(shared / "mocap/accad.npz") as z:
        every, starts = np.ascontiguousarray(z["positions_mm"]) / 1000, z["starts"]
        rows = {str(n): every[starts[i] : starts[i + 1]] for i, n in enumerate(z["names"])}
    for name in ("Male1_A1_Stand", "Male1_B3_Walk"):
        ours, theirs = clips[f"accad_{name}"].joints_m, rows[name][::2]
        n = min(len(ours), len(theirs))
        a, b = ours[:n] - ours[:n, :1], theirs[:n] - theirs[:n, :1]
        c = a[..., 0] + 1j * a[..., 1]
        turn = np.vdot(c, b[..., 0] + 1j * b[..., 1])
        c = c * turn / abs(turn)
        error = np.linalg.norm(np.stack([c.real, c.imag, a[..., 2]], -1) - b, axis=-1).mean(0)
        assert error[LIMB].max() < 0.003
        assert error.max() < 0.15
        assert clips[f"accad_{name}"].fps == pytest.approx(30, abs=0.01)


BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Arm
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 5 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
1 2 3 90 0 0 0 0 0
0 0 0 0 0 90 0 90 0
"""


def test_bvh_by_hand(tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(BVH)
    motion = read_bvh(path)
    assert motion.joints == ("Hips", "Arm", "Arm_end")
    assert motion.fps == 20
    # Turned by 90 degrees about z: up becomes -x, x becomes up.
    np.testing.assert_allclose(motion.positions[0], [[1, 2, 3], [-9, 2, 3], [-9, 7, 3]], atol=1e-12)
    # Turned about y, then about the turned x: the arm's x axis is the world's -z.
    np.testing.assert_allclose(
        motion.positions[1], [[0, 0, 0], [0, 10, 0], [0, 10, -5]], atol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0 90 0\n", "0\n"), "line 20: 7 numbers for 9 channels"),
        (("0 0 0 0 0 90 0 90 0\n", ""), "cut off: 1 of 2 frames"),
        (("5 0 0", "5 x 0"), "line 12: 'x' is no number"),
        (("Xrotation Yrotation\n    End", "Wrotation Yrotation\n    End"), "'Wrotation'"),
        (("MOTION", "MOTIO"), "no BVH file"),
        *((("Frames: 2", f"Frames: {n}"), f"has {n} frames") for n in ("nan", "inf", "1.5", "0")),
        *((("Time: 0.05", f"Time: {s}"), f"frame time of {s}") for s in ("nan", "inf", "-1")),
        (("HIERARCHY\n", "HIERARCHY\nEnd Site\n"), "line 2: .End. is not understood"),
        (("ROOT Hips\n{", "ROOT Hips\n{ {"), "line 3: .{. is not understood"),
        (("HIERARCHY\n", "HIERARCHY {\n"), "line 1: .{. is not understood"),
        (("JOINT Arm\n  {", "JOINT Arm\n"), "line 8: .OFFSET. where the { of Arm"),
        (("CHANNELS 3 Z", "CHANNELS nan Z"), "line 9: .nan. is no number"),
        (("CHANNELS 3 Z", "CHANNELS -3 Z"), "line 9: a joint with -3 channels"),
        (("CHANNELS 3 Z", "CHANNELS 1e99 Z"), "line 9: a joint with 1e.99 channels"),
        (("OFFSET 0 10 0", "OFFSET 0 inf 0"), "line 8: .inf. is no number"),
        (
            ("3 Zrotation Xrotation Yrotation", "3 Zrotation Zrotation Yrotation"),
            "line 9: a channel is named twice",
        ),
        (("Frame Time: 0.05", "Time: 0.05"), "'Frame Time:' is missing"),
        (("1 2 3 90", "1 2 nan 90"), "not finite"),
    ],
)
def test_damaged_bvh_names_its_line(tmp_path, change, message):
    path = tmp_path / "a.bvh"
    assert change[0] in BVH
    path.write_text(change[1].join(BVH.rsplit(change[0], 1)))
    with pytest.raises(DataError, match=message):
        read_bvh(path)


def test_damaged_amc_names_its_line(shared, tmp_path):
    folder = shared / "mocap/bvh"
    (tmp_path / "02.asf").write_bytes((folder / "cmu_asf_02.asf").read_bytes())
    text = (folder / "cmu_asf_02_03.amc").read_text()
    path = tmp_path / "02_03.amc"
    path.write_text(text[: len(text) // 2].rsplit("\n", 1)[0])
    with pytest.raises(DataError, match=r"02_03\.amc(, line \d+: \d+ numbers for|: frame)"):
        read_amc(path)
    path.write_text(text.replace("lfemur", "lfemurr", 1))
    with pytest.raises(DataError, match=r"line 30: .*'lfemurr'"):
        read_amc(path)
    (tmp_path / "02.asf").unlink()
    with pytest.raises(DataError):
        read_amc(path)


# -- names -------------------------------------------------------------------------------------

FAMILIES = {
    "mixamo": "mixamorig:@UpLeg mixamorig:@Leg mixamorig:@Foot mixamorig:@Shoulder mixamorig:@Arm mixamorig:@ForeArm mixamorig:@Hand",
    "rokoko": "@Thigh @Shin @Foot @Shoulder @Arm @ForeArm @Hand",
    "xsens": "@UpperLeg @LowerLeg @Foot @Shoulder @UpperArm @ForeArm @Hand",
    "old": "@Hip @Knee @Ankle @Collar @Shoulder @Elbow @Wrist",
    "bandai": "UpperLeg_# LowerLeg_# Foot_# Shoulder_# UpperArm_# LowerArm_# Hand_#",
    "unreal": "thigh_# calf_# foot_# clavicle_# upperarm_# lowerarm_# hand_#",
    "biped": "Bip01_#_Thigh Bip01_#_Calf Bip01_#_Foot Bip01_#_Clavicle Bip01_#_UpperArm Bip01_#_Forearm Bip01_#_Hand",
    "smpl": "#_Hip #_Knee #_Ankle #_Collar #_Shoulder #_Elbow #_Wrist",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_every_family(family):
    names = [
        n.replace("@", side).replace("#", side[0])
        for side in ("Left", "Right")
        for n in FAMILIES[family].split()
    ]
    found = find_limbs(motion_of(names), "a file")
    parts = {"hip": 0, "knee": 1, "ankle": 2, "shoulder": 4, "elbow": 5, "wrist": 6}
    for s, side in enumerate(("left", "right")):
        for part, k in parts.items():
            assert found[f"{side}_{part}"] == 7 * s + k, (part, names)


def motion_of(names):
    n = len(names)
    return SourceMotion(
        joints=tuple(names),
        parents=(-1,) * n,
        positions=np.zeros((1, n, 3)),
        rest=None,
        rotations=None,
        fps=None,
    )


def test_missing_limbs_are_named():
    with pytest.raises(DataError, match=r"a\.bvh .*left_knee.*Hips, LeftUpLeg"):
        find_limbs(motion_of(["Hips", "LeftUpLeg"]), "a.bvh")


# -- preparing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("metres", "up"), [(1.0, "z"), (0.01, "y"), (0.001, "z"), (0.0254, "y")])
def test_units_and_axes_are_found(tmp_path, metres, up):
    write_npz(tmp_path / "in/anna_1.npz", unit=metres, up=up)
    (clip,) = prepare_folder(tmp_path / "in").clips
    body = moving_body(120, fps=30.0)
    body[..., :2] -= body[0, 0, :2]
    error = np.linalg.norm(clip.joints_m - body, axis=-1)[:, LIMB]
    height = clip.joints_m[..., 2] - body[..., 2]
    assert np.ptp(height, axis=0)[LIMB].max() < 1e-9  # the floor alone
    assert error.max() < 0.1
    assert clip.subject == "anna"


def test_given_units_and_axes_are_taken(tmp_path):
    write_npz(tmp_path / "in/anna_1.npz", unit=0.01)
    (clip,) = prepare_folder(tmp_path / "in", PrepareOptions(unit="mm", up="z")).clips
    assert np.ptp(clip.joints_m[0, :, 2]) == pytest.approx(0.17, abs=0.03)
    with pytest.raises(UsageError):
        PrepareOptions(unit="foot")


@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z"])
def test_turning_is_no_mirror(up):
    matrix = to_z_up(np.eye(3), up).T
    assert np.linalg.det(matrix) == pytest.approx(1)
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up.startswith("-") else 1
    np.testing.assert_allclose(matrix @ axis, [0, 0, 1])


def add_jump(path):
    """Three metres to the side at frame 60."""
    change(path, positions=np.load(path)["positions"] + 3 * (np.arange(120) >= 60)[:, None, None])


def test_the_file_can_be_trained_on(tmp_path):
    """Rates, jumps, splits by subject, and load_motions reads what was written."""
    write_npz(tmp_path / "in/anna/a.npz", frames=480, fps=120.0)
    write_npz(tmp_path / "in/ben/b.npz", seed=1)
    add_jump(write_npz(tmp_path / "in/eva/c.npz", seed=2))
    options = PrepareOptions(val=("ben",), test=("eva",))
    prepared = prepare_folder(tmp_path / "in", options)
    write_prepared(prepared, tmp_path / "mine.npz")
    train, val, test = (load_motions([tmp_path / "mine.npz"], s) for s in ("train", "val", "test"))
    assert train.fps.tolist() == [60]
    assert len(train.joints_world_m) == 240
    assert val.names == ("b",)
    assert test.names == ("c#1", "c#2")
    with pytest.raises(UsageError, match="'otto'"):
        prepare_folder(tmp_path / "in", replace(options, val=("otto",)))


def test_what_cannot_be_used_is_named(tmp_path):
    with pytest.raises(DataError):
        prepare_folder(tmp_path)
    write_npz(tmp_path / "in/bad.npz", drop=("left_knee",))
    with pytest.raises(DataError, match="left_knee"):
        prepare_folder(tmp_path / "in")
    write_npz(tmp_path / "in/good.npz")
    prepared = prepare_folder(tmp_path / "in")
    assert len(prepared.clips) == 1
    assert "left_knee" in prepared.left_out[0][1]


def test_our_own_bvh_comes_back(tmp_path):
    """pose3d export writes it, pose3d data prepare reads it: the same limbs."""
    body = moving_body(90, fps=30.0)[:, :17]
    bones = body - body[:, [max(p, 0) for p in H36M17.parents]]
    lengths = np.linalg.norm(bones, axis=-1).mean(0)
    steady = np.zeros_like(body)
    for j, parent in enumerate(H36M17.parents):
        if parent >= 0:
            steady[:, j] = (
                steady[:, parent]
                + bones[:, j] / np.linalg.norm(bones[:, j], axis=-1)[:, None] * lengths[j]
            )
    cam = np.stack([steady[..., 0], -steady[..., 2], steady[..., 1]], -1)
    pose = PoseSequence.from_dense(
        video=VideoInfo(path="a.mp4", size_wh=(640, 480), rate=Fraction(30), n_frames=90),
        time_s=np.arange(90) / 30,
        person_ids=np.array([1]),
        skeleton=H36M17,
        boxes_xyxy_px=np.zeros((90, 1, 4)),
        joints_cam_m=cam[:, None],
        valid=np.ones((90, 1), bool),
    )
    (tmp_path / "in").mkdir()
    save(pose, tmp_path / "in/a.bvh")
    (clip,) = prepare_folder(tmp_path / "in").clips
    ours, truth = (
        clip.joints_m - clip.joints_m[:, :1],
        steady - (steady[:, 1:2] + steady[:, 4:5]) / 2,
    )
    assert len(ours) == 90
    np.testing.assert_allclose(ours[:, LIMB], truth[:, LIMB], atol=2e-3)


def prepare(tmp_path, *more):
    out = tmp_path / "mine.npz"
    done = CliRunner().invoke(
        app, ["data", "prepare", str(tmp_path / "in"), "--out", str(out), *more]
    )
    assert done.exit_code == 0, done.output
    return out, done.output


def test_the_command(tmp_path):
    write_npz(tmp_path / "in/anna_1.npz")
    write_npz(tmp_path / "in/ben_1.npz", seed=1)
    out, said = prepare(tmp_path, "--val", "ben")
    assert "unit m" in said
    assert "val: 1 clips" in said
    assert load_motions([out], "val").names == ("ben_1",)


# -- what the sheet of a skeleton says ---------------------------------------------------------


@pytest.fixture
def acclaim(shared, tmp_path):
    """CMU's walk with its skeleton, as text to be changed."""
    folder = shared / "mocap/bvh"
    asf, amc = tmp_path / "02.asf", tmp_path / "02_03.amc"
    asf.write_bytes((folder / "cmu_asf_02.asf").read_bytes())
    lines = (folder / "cmu_asf_02_03.amc").read_text().splitlines()
    second = lines.index("6")
    amc.write_text("\n".join(lines[:second]))
    return asf, amc


def in_radians(text, columns):
    """The numbers of some lines divided by 57.3: first word -> which of its numbers."""
    out = []
    for line in text.splitlines():
        words = line.split()
        some = columns(words)
        words = [str(np.deg2rad(float(w))) if i in some else w for i, w in enumerate(words)]
        out.append(" ".join(words) if some else line)
    return "\n".join(out)


def test_acclaim_files_in_radians_are_the_same_motion(acclaim):
    asf, amc = acclaim
    degrees = read_amc(amc)
    plain_asf, plain_amc = asf.read_text(), amc.read_text()
    turned = in_radians(plain_asf, lambda w: (1, 2, 3) if w[:1] == ["axis"] and len(w) > 2 else ())
    asf.write_text(turned.replace("angle deg", "angle rad"))
    assert "angle rad" in asf.read_text()
    numbers = {"root": (4, 5, 6)}
    turned = in_radians(
        plain_amc,
        lambda w: numbers.get(w[0], range(1, len(w))) if len(w) > 1 and w[0][0] != "#" else (),
    )
    amc.write_text(turned.replace(":DEGREES", ""))
    np.testing.assert_allclose(read_amc(amc).positions, degrees.positions, atol=1e-6)
    amc.write_text(plain_amc)  # says :DEGREES itself
    np.testing.assert_allclose(read_amc(amc).positions, degrees.positions, atol=1e-6)
    asf.write_text(plain_asf)
    amc.write_text(turned.replace(":DEGREES", ":RADIANS"))
    np.testing.assert_allclose(read_amc(amc).positions, degrees.positions, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("angle deg", "angle grad", "'grad'"),
        ("length 0.45", "length nan", "unit of lengths is nan"),
        ("dof rx ry rz", "dof rx ry rw", "dof rx ry rw"),
        ("dof rx ry rz", "dof rx rx rz", "dof rx rx rz"),
        ("order TX TY TZ", "order TX TY L", "dof tx ty l"),
        ("axis 0 0 20  XYZ", "axis 0 0  XYZ", "could not convert"),
        ("axis 0 0 20  XYZ", "axis 0 0 inf  XYZ", "not finite"),
        ("axis 0 0 20  XYZ", "axis 0 0 20  ZYX", "order ZYX"),
        ("axis XYZ", "axis ZYX", "order ZYX"),
    ],
)
def test_acclaim_skeletons_that_cannot_be_read_are_refused(acclaim, old, new, message):
    asf, amc = acclaim
    text = asf.read_text()
    assert old in text
    asf.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        read_amc(amc)
    assert "02.asf" in str(caught.value)


def test_acclaim_motions_are_finite(acclaim):
    _, amc = acclaim
    amc.write_text(amc.read_text().replace("lfemur ", "lfemur nan ", 1).replace("  ", " "))
    with pytest.raises(DataError, match=r"02_03\.amc, line"):
        read_amc(amc)
    text = amc.read_text().replace("lfemur nan ", "lfemur ", 1)
    first = next(line for line in text.splitlines() if line.startswith("lfemur"))
    amc.write_text(text.replace(first, "lfemur nan 0 0", 1))
    with pytest.raises(DataError, match="not finite"):
        read_amc(amc)


# -- mixed folders -----------------------------------------------------------------------------


def test_a_stated_unit_is_that_of_its_file(tmp_path):
    """Metres, millimetres and no word about it, the same joints: three clips of one size."""
    for i, (name, unit) in enumerate((("a", 1.0), ("b", 0.001), ("c", 0.01))):
        path = write_npz(tmp_path / f"in/{name}.npz", unit=unit, seed=i)
        key = {"a": "positions_m", "b": "positions_mm", "c": "positions"}[name]
        change(path, **{"positions": None, key: np.load(path)["positions"]})
    prepared = prepare_folder(tmp_path / "in")
    assert not prepared.left_out
    assert [c.name for c in prepared.clips] == ["a", "b", "c"]
    for clip in prepared.clips:
        assert np.ptp(clip.joints_m[..., 2], axis=1).mean() == pytest.approx(1.8, abs=0.25)
    (sentence,) = prepared.found
    for part in ("unit 100.00 cm (the file", "unit 0.10 cm (the file", "unit cm (legs"):
        assert part in sentence


def test_a_skeleton_whose_unit_cannot_be_told_leaves_the_others_alone(tmp_path):
    write_npz(tmp_path / "in/odd.npz", unit=1e-5, drop=("nose",))
    with pytest.raises(DataError, match=r"odd\.npz.*--unit"):
        prepare_folder(tmp_path / "in")
    write_npz(tmp_path / "in/good.npz")
    prepared = prepare_folder(tmp_path / "in")
    assert [c.name for c in prepared.clips] == ["good"]
    assert "cannot be told" in prepared.left_out[0][1]


def test_files_of_one_name_in_several_folders(tmp_path):
    """A folder a subject, the layout of the documentation; names stay short where they can."""
    for i, name in enumerate(("anna/walk", "ben/walk", "ben/run")):
        write_npz(tmp_path / f"in/{name}.npz", seed=i)
    prepared = prepare_folder(tmp_path / "in")
    found = {(c.name, c.subject, c.action) for c in prepared.clips}
    assert found == {
        ("anna/walk", "anna", "walk"),
        ("ben/walk", "ben", "walk"),
        ("run", "ben", "run"),
    }
    write_prepared(prepared, tmp_path / "mine.npz")
    names = [load_motions([tmp_path / "mine.npz"], s).names for s in ("train", "val")]
    assert sorted(names[0] + names[1]) == ["anna/walk", "ben/walk", "run"]
    (tmp_path / "in/anna/walk.bvh").write_text("text")  # is left out, so its name is free
    assert len(prepare_folder(tmp_path / "in").clips) == 3


def test_what_is_one_frame_long_or_far_away_is_named(tmp_path):
    write_npz(tmp_path / "in/good.npz")
    write_npz(tmp_path / "in/one.npz", frames=1)
    far = write_npz(tmp_path / "in/up.npz", seed=3)
    change(far, positions=np.load(far)["positions"] + [0, 0, 50])
    prepared = prepare_folder(tmp_path / "in")
    assert [c.name for c in prepared.clips] == ["good"]
    why = {name.rsplit("/", 1)[-1]: text for name, text in prepared.left_out}
    assert "too short" in why["one.npz"]
    assert "over 32 m" in why["up.npz"]


# -- what is held out --------------------------------------------------------------------------


def test_takes_of_a_single_subject_are_held_out_whole(tmp_path):
    """Pieces of a take that jumps stay together; the file can be trained on as it is."""
    for i in range(3):
        add_jump(write_npz(tmp_path / f"in/anna/take{i}.npz", seed=i))
    out, said = prepare(tmp_path)
    assert "train with" in said
    assert "takes held out for val: anna/take" in said
    assert "nothing about other people" in said
    held = {s: {n.split("#")[0] for n in load_motions([out], s).names} for s in ("train", "val")}
    assert len(held["val"]) == 1
    assert held["train"] == {"take0", "take1", "take2"} - held["val"]
    assert len(load_motions([out], "val").names) == 2


def test_a_number_sign_in_a_name_does_not_join_people(tmp_path):
    for i, name in enumerate(("anna/take#1", "ben/take#2")):
        write_npz(tmp_path / f"in/{name}.npz", seed=i)
    prepared = prepare_folder(tmp_path / "in", PrepareOptions(val=("anna",)))
    assert {(c.subject, c.split) for c in prepared.clips} == {("anna", "val"), ("ben", "train")}


def test_a_file_that_cannot_be_trained_on_alone_says_so(tmp_path):
    write_npz(tmp_path / "in/anna/walk.npz")
    out, said = prepare(tmp_path)
    assert "train with" not in said
    assert "no clip of split 'val'" in said
    assert "--val" in said
    with pytest.raises(DataError, match="--val"):
        load_motions([out], "val")
    write_npz(tmp_path / "in/ben/run.npz", seed=1)
    for options, absent in (
        (("--test", "ben"), {"val"}),
        (("--val", "ben,anna"), {"train"}),
        (("--test", "ben,anna"), {"train", "val"}),
        (("--val", "ben"), set()),
    ):
        _, said = prepare(tmp_path, *options)
        assert {s for s in ("train", "val") if f"no clip of split {s!r}" in said} == absent
        assert ("train with" in said) == (not absent)
