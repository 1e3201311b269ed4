"""Legs that were recorded too far bent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pose3d.body.skeletons import BLAZEPOSE33, H36M17, LIMBS
from pose3d.cli.app import app
from pose3d.lab.datasets.knees import (
    STRAIGHT_DEG,
    measure_knee_offset,
    straighten_knees,
    straighten_people,
)
from pose3d.lab.datasets.motions import MOCAP_JOINTS, load_motions
from pose3d.lab.datasets.noise import load_tracks
from pose3d.lab.datasets.real import ReprojectionOptions, draw_real
from tests.support.motion_files import change
from tests.support.training import write_motions, write_tracks

THIGH, SHANK = 0.41, 0.43
LEGS = [
    [MOCAP_JOINTS.index(f"{s}_{p}") for p in ("hip", "knee", "ankle")] for s in ("left", "right")
]
FEET = [[MOCAP_JOINTS.index(f"{s}_{p}") for p in ("toe", "heel")] for s in ("left", "right")]
LEGS_H36M = [joint for leg in LEGS for joint in leg]  # the same numbers in both
STILL = ReprojectionOptions(yaw_deg=0, tilt_deg=0, proportions=0, distance=0, strength=0)


def walker(extra_deg: float, frames: int = 300) -> np.ndarray:
    """Somebody who stands, then walks on the spot: knees bent by 5 to 60 degrees and ``extra_deg``."""
    phase = np.linspace(0, 8 * np.pi, frames)
    walks = np.arange(frames) > frames / 4
    out = np.zeros((frames, len(MOCAP_JOINTS), 3))
    out[:, :, 2] = 1.4
    out[:, MOCAP_JOINTS.index("pelvis"), 2] = 0.9
    for (hip, knee, ankle), foot, sign, late in zip(LEGS, FEET, (-1, 1), (0, np.pi), strict=True):
        bend = np.radians(5 + 55 * walks * np.clip(np.sin(phase + late), 0, None) + extra_deg)
        forward = np.radians(8) * walks * np.cos(phase + late) + bend / 2
        out[:, hip] = (sign * 0.09, 0, 0.9)
        out[:, knee] = out[:, hip] + THIGH * direction(forward)
        out[:, ankle] = out[:, knee] + SHANK * direction(forward - bend)
        for joint, ahead in zip(foot, (0.15, -0.05), strict=True):
            out[:, joint] = out[:, ankle] + (0, ahead, -0.06)
    return out


def direction(angle: np.ndarray) -> np.ndarray:
    """Downwards, turned forwards by ``angle``."""
    return np.stack([np.zeros_like(angle), np.sin(angle), -np.cos(angle)], -1)


def bend_deg(joints: np.ndarray) -> np.ndarray:
    """How far both knees are bent, ``(leg, frame)``, without pose3d's own angles."""
    angles = []
    for hip, knee, ankle in LEGS:
        a, b = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
        angles.append(
            np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))
        )
    return np.array(angles)


@pytest.mark.parametrize("extra", [0.0, 8.0, 25.0])
def test_the_offset_of_a_walker_is_found_and_taken_out(extra):
    recorded, true = walker(extra), walker(0.0)
    offset = measure_knee_offset(recorded[:, :17])
    assert offset == pytest.approx(extra, abs=0.5)
    straight = straighten_knees(recorded, offset, FEET)
    least = np.minimum(*bend_deg(straight))
    assert np.percentile(least, 10) == pytest.approx(180 - STRAIGHT_DEG, abs=0.5)
    # Nearer to how they walked, in all frames; exact where the leg is nearly straight.
    error = abs(bend_deg(straight) - bend_deg(true))
    assert (error <= extra + 1e-3).all()
    assert error[bend_deg(true) < 6].max() < 0.5
    assert measure_knee_offset(straight) < 0.5  # and it stays so


def test_bones_keep_their_lengths_legs_their_direction_and_feet_hang_on_ankles():
    recorded = walker(25.0)
    straight = straighten_knees(recorded, 25.0, FEET)
    for (hip, knee, ankle), foot in zip(LEGS, FEET, strict=True):
        for a, b, length in ((hip, knee, THIGH), (knee, ankle, SHANK)):
            np.testing.assert_allclose(
                np.linalg.norm(straight[:, b] - straight[:, a], axis=-1), length, rtol=1e-6
            )
        before, after = (j[:, ankle] - j[:, hip] for j in (recorded, straight))
        assert np.linalg.norm(np.cross(before, after), axis=-1).max() < 1e-6
        assert (np.linalg.norm(after, axis=-1) > np.linalg.norm(before, axis=-1)).all()
        for joint in foot:
            np.testing.assert_allclose(
                straight[:, joint] - straight[:, ankle], recorded[:, joint] - recorded[:, ankle]
            )
        # Knees still bend forwards.
        assert (np.cross(straight[:, knee] - straight[:, hip], after)[:, 0] < 1e-9).all()
    moved = ("knee", "ankle", "toe", "heel")
    still = [i for i, n in enumerate(MOCAP_JOINTS) if not any(part in n for part in moved)]
    assert (straight[:, still] == recorded[:, still]).all()


def test_deep_bends_and_straight_people_do_not_change():
    crouching = walker(125.0)
    np.testing.assert_allclose(straighten_knees(crouching, 25.0), crouching, atol=1e-9)
    np.testing.assert_allclose(straighten_knees(walker(0.0), 0.0), walker(0.0), atol=1e-9)


def test_a_change_fades_without_a_jump():
    """Frame after frame a little more bent: afterwards too, and never by much more."""
    bends = np.linspace(1, 150, 300)
    legs = np.concatenate([walker(0.0, 1)] * 300)
    for hip, knee, ankle in LEGS:
        legs[:, knee] = legs[:, hip] + THIGH * direction(np.radians(bends / 2))
        legs[:, ankle] = legs[:, knee] + SHANK * direction(np.radians(-bends / 2))
    after = bend_deg(straighten_knees(legs, 30.0))
    steps = np.diff(after) / np.diff(bends)
    assert (steps > 0.1).all()
    assert (steps < 1.6).all()


def test_who_is_hardly_ever_upright_is_left_alone():
    sitting = walker(0.0)
    pelvis = sitting[:, MOCAP_JOINTS.index("pelvis")]
    sitting[:, MOCAP_JOINTS.index("thorax")] = pelvis + (0, 1.0, 0.1)
    assert measure_knee_offset(sitting) == 0
    assert measure_knee_offset(walker(20.0, 59)) == 0
    assert measure_knee_offset(walker(45.0)) == 30  # and nobody is changed by more


def test_each_person_has_an_angle_of_their_own():
    clips = [walker(0.0), walker(20.0), walker(45.0, 1200)]
    after, degrees = straighten_people(clips, ["a", "b", "b"])
    assert degrees[0] == pytest.approx(0, abs=0.5)
    # The straightest tenth of a person's frames decides, in whatever recording it is.
    assert degrees[1] == degrees[2] == pytest.approx(20, abs=1.5)
    assert abs(after[0] - clips[0]).max() < 0.01
    assert abs(after[1] - clips[1]).max() > 0.03


def write_walkers(path, *splits):
    """Two recordings, the first with bent knees."""
    positions = (1000 * np.concatenate([walker(25.0), walker(0.0)])).round().astype(np.int16)
    return change(
        write_motions(path, lengths=(300, 300), splits=list(splits)), positions_mm=positions
    )


def test_motions_are_straightened_when_asked(tmp_path):
    path = write_walkers(tmp_path / "motions.npz", "train", "train")
    plain, straight = (load_motions([path], "train", straighten=s) for s in (False, True))
    assert plain.knees_deg == (0, 0)
    assert straight.knees_deg == pytest.approx((25, 0), abs=0.6)
    bends = [bend_deg(m.joints_world_m.numpy().astype(float)) for m in (plain, straight)]
    assert np.percentile(bends[0][:, :300], 5) > 29
    assert np.percentile(bends[1][:, :300], 5) < 6
    np.testing.assert_allclose(bends[1][:, 300:], bends[0][:, 300:], atol=1)


def show(data, bodies) -> None:
    """Puts bodies before the camera of a track file; the detector sees them, moved by a pixel."""
    body = bodies[:, :17]
    joints = np.stack([body[..., 0], 0.9 - body[..., 2], body[..., 1] + 4.0], -1)
    pixels = joints[..., :2] / joints[..., 2:] * data["K"][0, 0, 0] + data["size_wh"][0] / 2
    data["joints_cam_m"], data["joints_px"] = joints, pixels
    seen, true = ([s.index[n] for n in LIMBS] for s in (BLAZEPOSE33, H36M17))
    data["lm_px"][:, seen] = pixels[:, true] + 1


def test_real_windows_are_straightened_only_where_they_are_reprojected(tmp_path):
    """As they were filmed, the picture shows bent knees, and so does the truth."""
    path = write_tracks(tmp_path / "tracks.npz", frames=(80, 80, 80))
    data = dict(np.load(path))
    show(data, walker(25.0, len(data["joints_cam_m"])))
    np.savez(path, **data)
    _, tracks = load_tracks(path, "fit", straighten=True)
    least = []
    for share in (0.0, 1.0):
        options = replace(STILL, share=share)
        points, _, truth, size_wh, focal = draw_real(
            30, 9, 40.0, tracks, options, torch.Generator().manual_seed(0)
        )
        least.append(np.minimum(*bend_deg(truth.flatten(0, 1).double().numpy())))
        # Detections are where this truth would be seen, and not where the other one would.
        flat = truth[..., LEGS_H36M, :2] / truth[..., LEGS_H36M, 2:] * focal[:, None, None, None]
        off = points[..., LEGS_H36M, :] - flat - size_wh[:, None, None] / 2
        assert off.abs().quantile(0.9) < 1.5
    assert np.percentile(least[0], 10) > 29
    assert np.percentile(least[1], 10) < 7


def test_tracks_are_straightened_by_person_whatever_recordings_are_called(tmp_path):
    frames = (200, 200, 30)  # the last is hardly seen
    path = write_tracks(tmp_path / "tracks.npz", frames=frames)
    data = dict(np.load(path))
    bends = zip((25.0, 0.0, 0.0), frames, strict=True)
    show(data, np.concatenate([walker(*bend) for bend in bends]))
    data["split"] = np.array(["fit"] * 3)
    data["name"] = np.array(["walk_1", "walk_2", "walk_3"])
    changed = []
    for people in (["anna", "ben", "ben"], ["ben", "ben", "ben"]):
        np.savez(path, **{**data, "subject": np.array(people)})
        tracks = load_tracks(path, "fit", straighten=True)[1]
        off = (tracks.bodies_cam_m - tracks.joints_cam_m).abs().amax((1, 2))
        changed.append([float(o.max()) > 0.03 for o in off.split(200)])
    assert changed == [[True, False], [False, False]]


def test_the_command_says_what_it_does_to_knees(tmp_path, monkeypatch):
    """What the recipe says can be overruled, both ways are told apart in the checkpoint."""
    monkeypatch.setattr("pose3d.lab.training.data.VALIDATION_BATCHES", 1)
    path = write_walkers(tmp_path / "motions.npz", "train", "val")
    command = ["train", "mixste.live9", "--motions", str(path), "--device", "cpu", "--steps", "1"]

    command += ["--set", "batch=2"]

    def run(folder: str, *more: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / folder), *more])
        return done.exit_code, " ".join(done.output.split())

    code, straight = run("a", "--set", "straight_knees=true")
    assert code == 0, straight
    assert "knees: straightened in 1 of 2 recordings" in straight
    assert "by up to 25 degrees" in straight
    code, recorded = run("b", "--set", "straight_knees=false")
    assert code == 0
    assert "knees" not in recorded
    code, again = run("a", "--set", "straight_knees=false", "--resume")
    assert code == 1
    assert "another recipe" in again


@pytest.mark.parametrize("recipe", ["mixste.h36m", "tokenpose-s.coco"])
def test_recipes_without_motion_files_refuse_the_option(recipe, tmp_path):
    command = ["train", recipe, "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*command, "--set", "straight_knees=false"])
    assert done.exit_code == 2
    assert "straight_knees changes nothing" in " ".join(done.output.split())
