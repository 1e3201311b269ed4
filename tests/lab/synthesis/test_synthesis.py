"""Synthetic people: posing, clothes, cameras and places, with a body of boxes; the real one needs an extra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from pose3d.body.skeletons import H36M17
from pose3d.cli.app import app
from pose3d.errors import DataError, MissingExtraError
from pose3d.lab.datasets.motions import MOCAP_JOINTS
from pose3d.lab.datasets.noise import load_tracks
from pose3d.lab.synthesis.bodies import LIMB_BONES
from pose3d.lab.synthesis.film import film
from pose3d.lab.synthesis.pictures import Skin, develop, draw_look
from pose3d.lab.synthesis.places import draw_place
from pose3d.lab.synthesis.posing import pose_body, put_on_floor
from pose3d.lab.synthesis.recordings import Recordings, vary_motion
from pose3d.lab.synthesis.tracks import FilmOptions, slim_down
from pose3d.lab.synthesis.views import View, draw_view
from pose3d.lab.synthesis.wardrobe import _shirt, _trousers, dress
from pose3d.lab.training.recipe import SAMPLE_TRIALS
from tests.support import ROOT
from tests.support.stick_body import stick_body
from tests.support.training import write_motions, write_tracks

AT = MOCAP_JOINTS.index


def standing_points(body) -> np.ndarray:
    """What a recording of the body at rest would hold, ``(23, 3)``."""
    points = np.zeros((len(MOCAP_JOINTS), 3))
    bones = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "shoulder": "Arm"}
    bones |= {"elbow": "ForeArm", "wrist": "Hand"}
    for side in ("left", "right"):
        for joint, bone in bones.items():
            points[AT(f"{side}_{joint}")] = body.head(side.title() + bone)
        ankle, toe = body.head(f"{side.title()}Foot"), body.head(f"{side.title()}ToeBase")
        points[AT(f"{side}_toe")] = toe
        points[AT(f"{side}_heel")] = [*(ankle - 0.5 * (toe - ankle))[:2], toe[2]]
        points[AT(f"{side}_ear")] = body.head("Head") + [0.07 if side == "left" else -0.07, 0, 0.05]
    points[AT("pelvis")] = (points[AT("left_hip")] + points[AT("right_hip")]) / 2
    points[AT("spine")] = body.head("Spine")
    shoulders = (points[AT("left_shoulder")] + points[AT("right_shoulder")]) / 2
    points[AT("thorax")] = (body.head("Neck") + shoulders) / 2
    points[AT("head_top")] = body.head("Head") + [0, 0, 0.2]
    points[AT("nose")] = body.head("Head") + [0, -0.1, 0.03]
    return points


def moving_points(body, frames: int = 12, seed: int = 0) -> np.ndarray:
    """A recording in which arms and legs swing about hips and shoulders, and the person walks."""
    rng = np.random.default_rng(seed)
    still = standing_points(body)
    points = np.repeat(still[None], frames, 0)
    for chain in (("hip", "knee", "ankle", "toe", "heel"), ("shoulder", "elbow", "wrist")):
        for side in ("left", "right"):
            for top in range(2):  # the whole limb, then its lower part
                pivot = points[:, AT(f"{side}_{chain[top]}")].copy()
                axis = rng.normal(size=3) if top == 0 else np.array([1.0, 0, 0])
                angle = np.linspace(0, rng.uniform(-1, 1) if top == 0 else 0.6, frames)
                turn = Rotation.from_rotvec(angle[:, None] * axis / np.linalg.norm(axis))
                for name in chain[top + 1 :]:
                    j = AT(f"{side}_{name}")
                    points[:, j] = turn.apply(points[:, j] - pivot) + pivot
    return points + np.linspace(0, 1, frames)[:, None, None] * [0.5, -1.0, 0.0]


def test_a_body_at_rest_is_posed_as_it_stands():
    body = stick_body()
    posed = pose_body(body, np.repeat(standing_points(body)[None], 3, 0))
    turned = np.rad2deg(Rotation.from_matrix(posed.rotations[0]).magnitude())
    for bone, angle in zip(body.bones, turned, strict=True):
        # How a straight leg is turned about itself is read from the foot, which points outwards.
        assert angle < (6 if any(k in bone for k in ("Leg", "Foot", "Toe")) else 1e-3), bone
    points, _ = Skin(body).move(posed, 1)
    moved = points - body.vertices_m
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=0.005)
    np.testing.assert_allclose(points[np.unique(body.faces["body"]), 2].min(), 0, atol=0.005)


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_limbs_point_where_the_recorded_ones_do(scale):
    points = moving_points(stick_body())
    body = stick_body(scale)
    posed = pose_body(body, points)
    assert np.allclose(np.linalg.det(posed.rotations), 1)
    for parent, child in (
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    ):
        for side in ("left", "right"):
            a, b = (body.bones.index(LIMB_BONES[f"{side}_{j}"]) for j in (parent, child))
            ours = posed.heads_m[:, b] - posed.heads_m[:, a]
            theirs = points[:, AT(f"{side}_{child}")] - points[:, AT(f"{side}_{parent}")]
            np.testing.assert_allclose(ours, theirs * scale, atol=2e-3)
    way = posed.joints_m[-1, 0] - posed.joints_m[0, 0]
    np.testing.assert_allclose(way[:2], np.array([0.5, -1.0]) * scale, atol=1e-6)


def test_the_spine_turns_from_pelvis_to_chest_by_steps():
    body = stick_body()
    points = np.repeat(standing_points(body)[None], 9, 0)
    turn = Rotation.from_rotvec(np.linspace(0, 1.0, 9)[:, None] * [0, 0, 1.0])
    for name in MOCAP_JOINTS[8:]:  # what is above the spine
        if not any(k in name for k in ("toe", "heel")):
            points[:, AT(name)] = turn.apply(points[:, AT(name)])
    posed = pose_body(body, points)
    yaw = {
        bone: Rotation.from_matrix(posed.rotations[-1, body.bones.index(bone)]).as_rotvec()[2]
        for bone in ("Hips", "LowerBack", "Spine", "Spine1", "Head", "LeftArm")
    }
    expected = {"Hips": 0, "LowerBack": 0.33, "Spine": 0.7, "Spine1": 1, "Head": 1, "LeftArm": 1}
    for bone, angle in yaw.items():
        assert angle == pytest.approx(expected[bone], abs=0.02), bone


def test_whatever_the_recording_calls_its_floor_the_feet_stand_on_ours():
    body = stick_body()
    points = np.repeat(standing_points(body)[None], 3, 0) + [0, 0, 0.3]
    joints = pose_body(body, points).joints_m
    np.testing.assert_allclose(joints[:, H36M17.index["left_ankle"], 2], 0.09, atol=0.005)


def test_elbows_and_knees_bend_about_their_hinge():
    """The forearm's own side stays in the plane of the arm: nothing is wrung."""
    body = stick_body()
    posed = pose_body(body, moving_points(body))
    for upper, lower, end, rest_axis in (
        ("LeftArm", "LeftForeArm", "LeftHand", None),
        ("RightUpLeg", "RightLeg", "RightFoot", np.array([1.0, 0, 0])),
    ):
        a, b = body.bones.index(upper), body.bones.index(lower)
        if rest_axis is None:
            first = body.head(lower) - body.head(upper)
            rest_axis = np.cross(first, body.head(end) - body.head(lower))
            rest_axis /= np.linalg.norm(rest_axis)
        np.testing.assert_allclose(
            posed.rotations[:, a] @ rest_axis, posed.rotations[:, b] @ rest_axis, atol=0.15
        )


def test_every_joint_moves_with_the_skin_around_it():
    body = stick_body()
    posed = pose_body(body, moving_points(body))
    points, normals = Skin(body).move(posed, 7)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    for name in ("LeftHand", "RightFoot"):
        b = body.bones.index(name)
        own = body.weights[:, b] == 1
        rest = Skin(body).move(pose_body(body, standing_points(body)[None]), 0)[1][own]
        still = pose_body(body, standing_points(body)[None]).rotations[0, b]
        np.testing.assert_allclose(normals[own], rest @ still @ posed.rotations[7, b].T, atol=1e-4)
    for bone in ("LeftHand", "RightLeg"):
        own = body.weights[:, body.bones.index(bone)] == 1
        own &= np.isin(np.arange(len(own)), body.faces["body"])
        middle = points[own].mean(0)
        np.testing.assert_allclose(middle, posed.heads_m[7, body.bones.index(bone)], atol=1e-5)


def test_views_project_what_training_cameras_see():
    body = stick_body()
    joints = pose_body(body, moving_points(body)).joints_m
    moves = False
    for seed in range(30):
        view = draw_view(joints, np.random.default_rng(seed))
        turn = view.cam_from_world[:, :3, :3]
        np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-9)  # fmt: skip
        assert np.allclose(np.linalg.det(turn), 1)
        seen = view.see(joints)
        assert (seen[..., 2] > 0.35).all()
        inside = (view.project(seen) > 0) & (view.project(seen) < view.size_wh)
        assert inside.mean() > 0.5
        # The camera stands still, however it turns.
        centres = -np.einsum("fji,fj->fi", turn, view.cam_from_world[:, :3, 3])
        np.testing.assert_allclose(
            centres, np.broadcast_to(view.centre_m, centres.shape), atol=1e-3
        )
        moves |= bool(np.abs(turn - turn[0]).max() > 1e-3)
        # Facing the camera is a heading of 0.
        across = seen[:, H36M17.index["left_hip"]] - seen[:, H36M17.index["right_hip"]]
        np.testing.assert_allclose(np.sin(view.heading_rad), across[:, 2] / np.hypot(across[:, 0], across[:, 2]), atol=1e-4)  # fmt: skip
    assert moves


def test_most_cameras_see_most_of_the_person():
    body = stick_body()
    joints = pose_body(body, moving_points(body)).joints_m
    shares = []
    for seed in range(40):
        view = draw_view(joints, np.random.default_rng(seed))
        points = view.project(view.see(joints))
        shares.append(((points > 0) & (points < view.size_wh)).all(-1).mean())
    assert np.mean(np.array(shares) >= 0.95) > 0.7
    assert min(shares) < 0.95, "some people are cut by the picture"


def test_nothing_hides_the_person_but_what_is_meant_to():
    """The sight from the camera to the person's middle meets no box, unless the place says so."""
    rng = np.random.default_rng(0)
    body = stick_body()
    joints = pose_body(body, moving_points(body)).joints_m
    fronts = 0
    for _ in range(60):
        view = draw_view(joints, rng)
        place = draw_place(joints[:, 0], view.centre_m, rng)
        fronts += place.front
        assert np.isclose(np.linalg.norm(place.light), 1)
        assert place.light[2] > 0
        target = joints[:, H36M17.index["thorax"]].mean(0)
        sight = view.centre_m + np.linspace(0, 1, 200)[:, None] * (target - view.centre_m)
        for block in place.blocks:
            c, s = np.cos(block.yaw_rad), np.sin(block.yaw_rad)
            local = (sight - block.centre_m) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            inside = (abs(local) <= block.half_m).all(1)
            if block.inside:
                assert inside.all(), "the room holds camera and person"
            elif not place.front:
                assert not inside.any()
    assert 1 <= fronts <= 20


def test_clothes_lie_on_the_body_and_are_not_all_alike():
    body = stick_body()
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(20):
        layers = dress(body, rng)
        for layer in layers:
            assert (layer.triangles < len(layer.vertices)).all()
            assert (layer.vertices < len(body.vertices_m)).all()
            assert ((layer.surface.colours >= 0) & (layer.surface.colours <= 1)).all()
            assert (layer.outwards_m < 0.06).all()
        seen.add(
            tuple(np.round(np.concatenate([layer.surface.colours.ravel() for layer in layers]), 3))
        )
    assert len(seen) == 20


def test_trousers_cover_legs_as_far_as_they_reach_and_shirts_what_is_above():
    body = stick_body()

    def covered(flags) -> set[str]:
        names = np.array(body.bones)[body.weights.argmax(1)]
        return {n for n in set(names) if flags[names == n].all()}

    shorts, long = covered(_trousers(body, 0.35)), covered(_trousers(body, 1.95))
    assert {"Hips", "LeftUpLeg", "RightUpLeg"} <= shorts
    assert not {"LeftLeg", "RightFoot"} & shorts
    assert {"LeftLeg", "RightLeg"} <= long
    assert not {"Spine1", "LeftArm", "Head"} & long
    vest, pullover = covered(_shirt(body, 0.05, 0.0)), covered(_shirt(body, 1.9, 0.0))
    assert {"Spine", "Spine1", "LeftShoulder"} <= vest
    assert not {"LeftForeArm", "Head", "LeftUpLeg"} & vest
    assert {"LeftForeArm", "RightForeArm"} <= pullover


def test_pictures_are_developed_alike_from_alike_numbers():
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    look = draw_look(np.random.default_rng(3))
    first, again = (develop(image, look, np.random.default_rng(4)) for _ in range(2))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != develop(image, look, np.random.default_rng(5))).any()


TAKES = {"lengths": (200,) * 3, "names": ["01_01", "02_01", "05_02"]}


def test_only_takes_of_the_split_are_filmed(tmp_path):
    path = write_motions(tmp_path / "m.npz", **TAKES)
    recordings = Recordings([path], leave_out=("05_02",))
    rng = np.random.default_rng(0)
    drawn = [recordings.draw(30, rng) for _ in range(20)]
    assert {take.name for take, *_ in drawn} == {"01_01"}
    assert {rate for _, rate, _, _ in drawn} == {25.0, 30.0}
    for _, rate, start, points in drawn:
        assert points.shape == (30, 23, 3)
        assert 0 <= start <= 199 / 60 - 29 / rate + 1e-9
    both = {take.name for take, *_ in (Recordings([path]).draw(9, rng) for _ in range(40))}
    assert both == {"01_01", "05_02"}
    held_out = Recordings([path], split="val")
    assert {held_out.draw(9, rng)[0].name for _ in range(20)} == {"02_01"}
    with pytest.raises(DataError, match="'train'"):
        Recordings([path], leave_out=("01_01", "05_02"))
    with pytest.raises(DataError, match="'test'"):
        Recordings([path], split="test")


def test_takes_are_sampled_in_time_and_half_of_them_mirrored(tmp_path):
    path = write_motions(tmp_path / "m.npz", lengths=(200,), names=["01_01"], splits=["train"])
    whole = np.load(path)["positions_mm"] / 1000
    rng = np.random.default_rng(0)
    flips = 0
    for _ in range(20):
        _, rate, start, points = Recordings([path]).draw(30, rng)
        at = (start + np.arange(30) / rate) * 60
        wrist = [np.interp(at, np.arange(200), whole[:, AT("left_wrist"), a]) for a in range(3)]
        same = np.abs(points[:, AT("left_wrist")] - np.stack(wrist, 1)).max() < 2e-3
        mirrored = points[:, AT("right_wrist")] * [-1, 1, 1]
        assert same or np.abs(mirrored - np.stack(wrist, 1)).max() < 2e-3
        flips += not same
    assert 3 <= flips <= 17


def test_varied_motion_is_another_motion_with_the_same_bones():
    walk, other = (np.random.default_rng(s).normal(size=(20, 23, 3)) for s in (0, 1))
    changed = 0
    for seed in range(12):
        varied = vary_motion(walk, other, np.random.default_rng(seed))
        again = vary_motion(walk, other, np.random.default_rng(seed))
        np.testing.assert_array_equal(varied, again)
        for a, b in (("left_hip", "left_knee"), ("right_knee", "right_ankle")):
            bone = [np.linalg.norm(x[:, AT(a)] - x[:, AT(b)], axis=-1) for x in (varied, walk)]
            np.testing.assert_allclose(*bone, atol=1e-4)
        changed += np.abs(varied - walk).max() > 0.01
    assert 8 <= changed <= 12


def test_who_stands_on_the_hands_is_put_on_the_floor():
    """Feet alone are put there at first, and the body would hang below it."""
    body = stick_body()
    points = np.repeat(standing_points(body)[None], 3, 0) * [1, -1, -1]  # half a turn about x
    posed = pose_body(body, points)
    assert posed.heads_m[..., 2].min() < -0.5
    lifted = put_on_floor(body, posed)
    assert lifted.heads_m[..., 2].min() == pytest.approx(0.07)
    up = lifted.heads_m[0, 0] - posed.heads_m[0, 0]
    np.testing.assert_allclose(lifted.joints_m, posed.joints_m + up)
    standing = pose_body(body, np.repeat(standing_points(body)[None], 3, 0))
    np.testing.assert_array_equal(put_on_floor(body, standing).heads_m, standing.heads_m)


def test_elevation_is_how_far_the_camera_is_above_the_horizontal():
    turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    matrix = np.tile(np.eye(4), (2, 1, 1))
    matrix[:, :3, :3] = turn
    matrix[:, :3, 3] = -turn @ np.array([0, -3.0, 4.0])  # the camera 3 m away, 4 m up
    view = View(size_wh=(9, 9), focal_px=9, cam_from_world=matrix, heading_rad=np.zeros(2))
    points = np.array([[0, 0, 0], [0, -3, 9.0]])
    expected = [np.degrees(np.arctan2(4, 3)), -90]
    np.testing.assert_allclose(view.elevation_deg(points), expected)


def test_a_slim_file_trains_alike(tmp_path):
    path = write_tracks(tmp_path / "tracks.npz", noise_px=2.0)
    with np.load(path) as file:
        whole = dict(file)
    slim = slim_down(whole)
    assert "world_m" not in slim
    np.savez(tmp_path / "slim.npz", **slim)
    (bank, tracks), (_, known) = (
        load_tracks(tmp_path / name, "fit") for name in ("slim.npz", "tracks.npz")
    )
    assert np.isfinite(bank.error.numpy()).all()
    assert float((tracks.keypoints_px - known.keypoints_px).abs().max()) <= 1 / 16
    assert float((tracks.joints_cam_m - known.joints_cam_m).abs().max()) <= 1 / 2048 + 1e-6
    assert float((tracks.score - known.score).abs().max()) <= 1 / 128 + 1e-6
    assert (tmp_path / "slim.npz").stat().st_size < 0.8 * path.stat().st_size


def test_without_the_packages_it_is_said_how_to_get_them(tmp_path, monkeypatch):
    path = write_motions(tmp_path / "m.npz", **TAKES)
    monkeypatch.setattr("pose3d.lab.synthesis.bodies.find_spec", lambda name: None)
    from pose3d.lab.synthesis.bodies import _model

    _model.cache_clear()
    with pytest.raises(MissingExtraError, match="anny") as error:
        film([path], tmp_path / "out.npz", FilmOptions(clips=1))
    assert "'anny>=0.6.2'" in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--split", "vall"], "'vall'"),
        (["--split", "val", "--slim"], "--slim"),
    ],
)
def test_a_film_that_makes_no_sense_is_refused(tmp_path, options, said):
    path = write_motions(tmp_path / "m.npz", **TAKES)
    asked = ["data", "film", "--motions", str(path), "--out", str(tmp_path / "o.npz"), *options]
    asked += ["--clips", "1"]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())
    assert list(tmp_path.iterdir()) == [path]


def test_the_filmed_tracks_that_come_along_can_be_trained_on():
    path = ROOT / "samples/filmed.npz"
    with np.load(path, allow_pickle=False) as file:
        data = dict(file)
    assert set(data["split"]) == {"fit"}
    assert not {str(n).split("#")[0] for n in data["name"]} & set(SAMPLE_TRIALS)
    assert not {"06", "35", "90", "49", "94", "12"} & set(data["subject"]), "val and test subjects"
    size = np.repeat(data["K"], np.diff(data["starts"]), 0)
    pixels = data["joints_cam_m"] @ size.swapaxes(1, 2)
    near = data["joints_cam_m"][..., 2] > 0.5
    off = np.abs(pixels[..., :2] / pixels[..., 2:] - data["joints_px"])[near]
    assert off.max() < 2.0, "rounded to 1/1024 m"
    bank, tracks = load_tracks(path, "fit")
    assert len(tracks.fps) > 350
    median = bank.error[:, :12].norm(dim=-1).median()
    assert 0.02 < median < 0.04
