"""Moving figures: joints where the record has them, by a reader of ours, three.js and Blender."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose3d.result.record import PoseSequence, save, write_files
from pose3d.result.upright import upright_joints
from tests.support.browser import start_browser
from tests.support.gltf import Reader
from tests.support.grids import grid, to_grid
from tests.support.samples import sample_pose
from tests.support.three import open_gltf

AWAY = slice(40, 75)


def two_people(samples: Path) -> PoseSequence:
    """The second is away for a while, and comes late; bones of the truth are not constant."""
    pose = sample_pose(samples, "two_people")
    for frames in (slice(0, 12), AWAY):
        grid(pose).joints_cam_m[frames, 1] = grid(pose).root_cam_m[frames, 1] = np.nan
    return pose


def off_mm(pose: PoseSequence, frame: int, person: int, places: dict[str, Any]) -> float:
    """How far the worst of the record's joints is from where a program has it (metres)."""
    truth = to_grid(upright_joints(pose), pose)[frame, person]
    found = np.array([places[name] for name in pose.skeleton.joints])
    return float(np.linalg.norm(found - truth, axis=-1).max() * 1000)


def check(pose: PoseSequence, frame: int, found: dict[str, dict[str, Any]], sized: str) -> None:
    """Both people are where the record has them, or too small to be seen while away."""
    for person in (0, 1):
        places = found[f"person_{pose.person_ids[person]}"]
        here = bool(grid(pose).present[frame, person])
        assert places[sized] == pytest.approx(1.0 if here else 0.0, abs=1e-6), (frame, person)
        if here:
            assert off_mm(pose, frame, person, places) < 1.0


def test_joints_are_those_of_the_record(samples: Path, tmp_path: Path) -> None:
    pose = two_people(samples)
    reader = Reader(save(pose, tmp_path / "p.glb"))
    for frame in range(0, pose.n_frames, 10):
        check(pose, frame, reader.joints(float(pose.time_s[frame])), "")


def test_turns_go_the_short_way_between_keys(samples: Path, tmp_path: Path) -> None:
    """Programs that take the four numbers for curves, as Blender does, would turn the long way."""
    reader = Reader(save(sample_pose(samples, "dance"), tmp_path / "p.glb"))
    (animation,) = reader.json["animations"]
    turns = [c["sampler"] for c in animation["channels"] if c["target"]["path"] == "rotation"]
    assert len(turns) > 15
    for sampler in turns:
        values = reader.array(animation["samplers"][sampler]["output"])
        np.testing.assert_allclose(np.linalg.norm(values, axis=-1), 1, atol=1e-5)
        assert ((values[1:] * values[:-1]).sum(-1) > 0).all()


def test_a_figure_is_skinned_to_each_skeleton(samples: Path, tmp_path: Path) -> None:
    """At rest the skin lies as it was made; posed, a wrist's surface is at the wrist."""
    pose = two_people(samples)
    reader = Reader(save(pose, tmp_path / "p.glb"))
    nodes, world = reader.json["nodes"], reader.at(float(pose.time_s[100]))
    for node in (n for n in nodes if "mesh" in n):
        skin = reader.json["skins"][node["skin"]]
        inverse = reader.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        rest = {i: np.array(n["translation"]) for i, n in enumerate(nodes) if "translation" in n}
        assert len(skin["joints"]) == len(inverse) == 23
        surface = []
        for part in reader.json["meshes"][node["mesh"]]["primitives"]:
            points = reader.array(part["attributes"]["POSITION"])
            bone = reader.array(part["attributes"]["JOINTS_0"])[:, 0]
            assert reader.array(part["attributes"]["WEIGHTS_0"]).sum(1).tolist() == [255] * len(
                bone
            )
            faces = reader.array(part["indices"]).reshape(-1, 3)
            assert faces.max() < len(points)
            a, b, c = (points[faces[:, k]] for k in range(3))
            normal = reader.array(part["attributes"]["NORMAL"])[faces].mean(1)
            assert ((np.cross(b - a, c - a) * normal).sum(-1) > -1e-9).all()  # outside is outside
            moved = [
                (world[skin["joints"][k]] @ inverse[k] @ [*p, 1])[:3]
                for p, k in zip(points, bone, strict=True)
            ]
            surface += moved
        person = [n for n in nodes if "mesh" in n].index(node)
        wrist = to_grid(upright_joints(pose), pose)[100, person, pose.skeleton.index["left_wrist"]]
        assert np.linalg.norm(np.array(surface) - wrist, axis=-1).min() < 0.032
        assert rest[skin["joints"][0]][1] > 0.6


def test_times_are_those_of_the_record(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    late = pose.time_s + 5 + 0.2 * (np.arange(pose.n_frames) > 30)
    pose = replace(pose, time_s=late, video=replace(pose.video, variable_rate=True))
    reader = Reader(save(pose, tmp_path / "p.glb"))
    times = reader.array(reader.json["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, late, atol=1e-5)


def test_nobody_is_an_empty_scene(samples: Path, tmp_path: Path) -> None:
    reader = Reader(save(two_people(samples).select_people([]), tmp_path / "p.glb"))
    assert set(reader.json) == {"asset", "scene", "scenes"}


def test_three_js_has_the_joints_there(samples: Path, tmp_path: Path) -> None:
    pose = two_people(samples)
    path = save(pose, tmp_path / "p.glb")
    with start_browser() as browser, open_gltf(browser, path) as page:
        assert page.evaluate("times[0][1]") == pytest.approx(pose.time_s[-1], abs=1e-4)
        for frame in range(0, pose.n_frames, 10):
            check(pose, frame, page.evaluate(f"at({pose.time_s[frame] + 1e-5})"), "size")


needs_blender = pytest.mark.skipif(
    importlib.util.find_spec("bpy") is None, reason="needs the package bpy"
)


def ask_blender(path: Path, times: list[float]) -> dict[str, Any]:
    """Returns what ``blender_worker.py`` prints; Blender keeps its state, so in another process."""
    worker = Path(__file__).parents[1] / "support/blender_worker.py"
    done = subprocess.run(
        [sys.executable, str(worker), str(path), *map(repr, times)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.partition("RESULT")[2])


@needs_blender
def test_blender_has_the_joints_there(samples: Path, tmp_path: Path) -> None:
    pose = two_people(samples)
    frames = range(0, pose.n_frames, 10)
    times = [float(pose.time_s[frame]) for frame in frames]
    found = ask_blender(save(pose, tmp_path / "p.glb"), times)
    for frame, seconds in zip(frames, times, strict=True):
        check(pose, frame, found[repr(seconds)], "")


@needs_blender
def test_blender_reads_bvh(samples: Path, tmp_path: Path) -> None:
    """The frame rate, and hips to the half centimetre by which the truth's bones vary."""
    pose = sample_pose(samples, "dance")
    (path,) = write_files(pose, tmp_path / "p.bvh")
    times = [float(t) for t in pose.time_s[::10]]
    found = ask_blender(path, times)
    assert found["fps"] == pytest.approx(float(pose.video.rate), abs=1e-4)
    truth = upright_joints(pose)[:, 0] * 100
    for frame, seconds in zip(range(0, pose.n_frames, 10), times, strict=True):
        hip = found[repr(seconds)]["p.person1"]["left_hip"]
        np.testing.assert_allclose(hip, truth[frame, pose.skeleton.index["left_hip"]], atol=0.5)
