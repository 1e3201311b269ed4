"""Hypotheses in records, files, pictures and commands; their spread against numpy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import pose3d.result.record
from pose3d.cli.app import app
from pose3d.errors import ResultFileError, UsageError
from pose3d.lift.models import save_network
from pose3d.options import RunOptions
from pose3d.pipeline.batch.state import _differences, result_options
from pose3d.render.video import Renderer
from pose3d.result.record import PoseSequence, compute_spread_mm, load, save
from pose3d.result.spread import GROUPS, describe_spread, summarise_spread
from tests.lift.test_hypotheses import small_mhformer_lifter
from tests.support.grids import grid, regrid
from tests.support.samples import sample_pose

SCHEMA = json.loads(Path(pose3d.result.record.__file__).with_name("pose.schema.json").read_text())


def with_hypotheses(pose: PoseSequence, apart_m: float = 0.1, seed: int = 0) -> PoseSequence:
    """Adds three hypotheses around the pose, all with its pelvis."""
    rng = np.random.default_rng(seed)
    offsets = apart_m * rng.normal(size=(1, pose.n_people, 3, 17, 3))
    offsets[:, :, :, 0] = 0
    return regrid(pose, hypotheses_cam_m=grid(pose).joints_cam_m[:, :, None] + offsets)


# -- spread -------------------------------------------------------------------------------------------


def test_spread_is_the_standard_deviation_in_space():
    hypotheses = np.random.default_rng(1).normal(size=(4, 2, 3, 17, 3))
    expected = 1000 * np.sqrt(hypotheses.var(axis=2).sum(-1))
    np.testing.assert_allclose(compute_spread_mm(hypotheses), expected)
    np.testing.assert_allclose(compute_spread_mm(hypotheses[0, 0]), expected[0, 0])


def test_spread_of_one_that_stands_out():
    """Two agree, one is 90 mm away: the mean is 30 from the two and 60 from the one."""
    hypotheses = np.zeros((1, 1, 3, 17, 3))
    hypotheses[0, 0, 1, 13, 2] = 0.09
    spread = compute_spread_mm(hypotheses)[0, 0]
    assert spread[13] == pytest.approx(np.sqrt((30**2 + 30**2 + 60**2) / 3))
    assert np.delete(spread, 13).max() == 0


def test_summary_counts_what_was_seen(samples):
    pose = with_hypotheses(sample_pose(samples, "two_people"))
    grid(pose).valid[:] = True
    summary = summarise_spread(pose)
    assert list(summary) == list(GROUPS)
    index = pose.skeleton.index
    wrists = grid(pose).spread_mm[:, :, [index["left_wrist"], index["right_wrist"]]]
    assert summary["wrists"] == pytest.approx(np.median(wrists))
    # The second person was not seen; where there is no pose there is no spread.
    grid(pose).valid[:, 1] = False
    grid(pose).hypotheses_cam_m[3:9, 0] = np.nan
    ankles = grid(pose).spread_mm[:, 0, [index["left_ankle"], index["right_ankle"]]]
    assert summarise_spread(pose)["ankles"] == pytest.approx(np.nanmedian(ankles))
    assert describe_spread({"head": 12.4, "wrists": 50.6}).endswith("in mm: head 12, wrists 51")
    assert summarise_spread(replace(pose, hypotheses_cam_m=None)) == {}
    assert summarise_spread(pose.select_people([])) == {}
    assert sorted(j for joints in GROUPS.values() for j in joints) == sorted(
        set(pose.skeleton.joints) - {"pelvis"}
    )


# -- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_hypotheses_are_read_back(samples, tmp_path, suffix):
    pose = with_hypotheses(sample_pose(samples, "two_people"))
    grid(pose).hypotheses_cam_m[5:9, 1] = np.nan
    back = load(save(pose, tmp_path / f"pose{suffix}"))
    tolerance = 0 if suffix == ".npz" else 6e-5
    np.testing.assert_allclose(
        grid(back).hypotheses_cam_m, grid(pose).hypotheses_cam_m, atol=tolerance
    )
    np.testing.assert_array_equal(np.isnan(grid(back).spread_mm), np.isnan(grid(pose).spread_mm))
    nobody = load(save(pose.select_people([]), tmp_path / f"nobody{suffix}"))
    assert grid(nobody).hypotheses_cam_m.shape[:2] == (pose.n_frames, 0)


def test_json_follows_the_schema_and_holds_the_spread(samples, tmp_path):
    pose = with_hypotheses(sample_pose(samples, "dance"))
    values = json.loads(save(pose, tmp_path / "p.json").read_text("utf-8"))
    Draft202012Validator(SCHEMA).validate(values)
    expected = 1000 * np.sqrt(pose.hypotheses_cam_m.var(axis=1).sum(-1))
    found = [person["spread_mm"] for frame in values["frames"] for person in frame["people"]]
    np.testing.assert_allclose(found, expected, atol=0.051)
    with np.load(save(pose, tmp_path / "p.npz")) as file:
        np.testing.assert_allclose(file["spread_mm"], expected)


def test_files_without_hypotheses_have_no_such_fields(samples, tmp_path):
    path = save(sample_pose(samples, "dance"), tmp_path / "p.json")
    values = json.loads(path.read_text("utf-8"))
    assert not {"hypotheses_cam_m", "spread_mm"} & set(values["fields"])
    assert grid(load(path)).hypotheses_cam_m is None


def test_hypotheses_of_another_shape_are_refused(samples, tmp_path):
    path = save(with_hypotheses(sample_pose(samples, "dance")), tmp_path / "p.json")
    values = json.loads(path.read_text("utf-8"))
    for frame in values["frames"]:
        frame["people"][0]["hypotheses_cam_m"] = frame["people"][0]["joints_cam_m"]
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(ResultFileError):
        load(path)


def test_folders_from_before_there_was_the_option_are_kept():
    new = result_options(RunOptions())
    old = {k: v for k, v in new.items() if k != "hypotheses"}
    assert _differences(old, new) == ""
    assert _differences(old, new | {"hypotheses": True}) == "hypotheses: False, now True"


# -- pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["light", "dark"])
def test_ghosts_lie_where_the_hypotheses_are(samples, style):
    """Only the right wrist differs: what is drawn besides lies around it and its elbow."""
    pose = sample_pose(samples, "walk_turn")
    hypotheses = np.repeat(grid(pose).joints_cam_m[:, :, None], 3, 2)
    hypotheses[:, :, 0, 16, 0] += 0.5
    pose = regrid(pose, hypotheses_cam_m=hypotheses)
    pictures = [
        Renderer(pose, mode="3d", style=style, hypotheses=on).draw(None, 60).astype(int)
        for on in (False, True)
    ]
    changed = np.abs(pictures[1] - pictures[0]).max(-1) > 8
    changed[:90] = False  # the words at the top
    scene = Renderer(pose, mode="3d", style=style)._scene
    elbow, wrist = (
        scene._view.project(point)[0]
        for point in (
            scene._stage.joints_stage_m[60, 15],
            scene._stage.hypotheses_stage_m[60, 0, 16],
        )
    )
    assert changed[round(wrist[1]), round(wrist[0])]
    # Ghosts that equal the body hide behind it but for a rim of less than a pixel, opened away.
    thick = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8))
    y, x = np.nonzero(thick)
    low, high = np.minimum(elbow, wrist), np.maximum(elbow, wrist)
    near = (x > low[0] - 15) & (x < high[0] + 15) & (y > low[1] - 15) & (y < high[1] + 15)
    assert len(near) > 200
    assert near.mean() > 0.97


def test_hypotheses_that_cannot_be_drawn_are_refused(samples):
    pose = sample_pose(samples, "dance")
    with pytest.raises(UsageError, match="--hypotheses"):
        Renderer(pose, mode="3d", hypotheses=True)
    with pytest.raises(UsageError, match="overlay"):
        Renderer(with_hypotheses(pose), mode="overlay", hypotheses=True)


def test_a_frame_without_the_person_is_drawn(samples):
    pose = with_hypotheses(sample_pose(samples, "two_people"))
    grid(pose).joints_cam_m[10, 0] = grid(pose).hypotheses_cam_m[10, 0] = np.nan
    grid(pose).joints_cam_m[11] = grid(pose).hypotheses_cam_m[11] = np.nan
    renderer = Renderer(pose, mode="3d", hypotheses=True, orbit_deg_per_s=20)
    assert (renderer.draw(None, 10) != renderer.draw(None, 11)).any()


# -- commands -----------------------------------------------------------------------------------------


def invoke(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(w) for w in words])
    error = result.exception
    return result.exit_code, result.output + ("" if error is None else str(error))


def test_lift_keeps_draws_and_sums_up(samples, tmp_path):
    lifter = small_mhformer_lifter()
    weights = tmp_path / "mhformer.small.safetensors"
    save_network(weights, lifter.network.state_dict(), lifter.options)
    source = save(sample_pose(samples, "walk_turn"), tmp_path / "walk.npz")
    words = ("lift", source, "-o", tmp_path / "out", "--format", "npz", "--render", "none")
    code, text = invoke(*words, "--lifter", weights, "--hypotheses")
    assert code == 0, text
    assert "spread of the hypotheses, median in mm: trunk" in text
    pose = load(tmp_path / "out/walk/pose.npz")
    assert grid(pose).hypotheses_cam_m.shape == (pose.n_frames, 1, 3, 17, 3)
    code, text = invoke("render", tmp_path / "out/walk", "--mode", "overlay", "--hypotheses")
    assert code != 0
    assert "no 3D panel" in text
    code, text = invoke(*words, "--overwrite", "--lifter", weights)
    assert code == 0
    assert "spread" not in text
    assert grid(load(tmp_path / "out/walk/pose.npz")).hypotheses_cam_m is None
    code, text = invoke("render", tmp_path / "out/walk", "--mode", "3d", "--hypotheses")
    assert code != 0
    assert "has no hypotheses" in text


def test_the_default_lifter_is_refused(samples, tmp_path):
    source = save(sample_pose(samples, "walk_turn"), tmp_path / "walk.npz")
    code, text = invoke("lift", source, "-o", tmp_path, "--render", "none", "--hypotheses")
    assert code != 0
    assert "hot-mixste.free27 gives one pose and no hypotheses" in text
