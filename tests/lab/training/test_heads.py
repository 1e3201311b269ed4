"""Recipe mhformer.heads: hypotheses for an MHFormer without any, by heads on a frozen body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import UsageError
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.recipes import RECIPES
from pose3d.lab.training.settings import choose_recipe
from pose3d.lift.models import load_network
from pose3d.lift.sequence import lift_sequence, make_lifter
from tests.support.golden import golden_tensors, published_state
from tests.support.grids import grid
from tests.support.samples import sample_pose
from tests.support.training import (
    assert_resumes_to_the_bit,
    save_random_weights,
    tiny_recipe,
    write_motions,
    write_tracks,
)

FILES = {
    "motion_files": ("motions.npz",),
    "track_file": "tracks.npz",
    "noise_file": None,
    "leave_out": (),
    "batch": 6,
    "ahead": 1,
    "validate_every": 10,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data, and the golden MHFormer imported as a user does it."""
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pose3d.lab.training.data.VALIDATION_BATCHES", 1)
    monkeypatch.setitem(RECIPES, "mhformer.heads", replace(RECIPES["mhformer.heads"], **FILES))
    write_motions(tmp_path / "motions.npz")
    write_tracks(tmp_path / "tracks.npz")
    save_file(published_state(golden_tensors("mhformer_27")), tmp_path / "mh.safetensors")
    command = ["weights", "import", str(tmp_path / "mh.safetensors"), "--arch", "mhformer"]
    command += ["--as", "mhformer.toy"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return tmp_path


@pytest.mark.parametrize("stage", ["generation", "interaction"])
def test_one_command_gives_an_imported_network_hypotheses(folder, samples, stage):
    """The body stays to the bit, statistics of batch norm included, and so does the final pose."""
    out = folder / "run"
    command = ["train", "mhformer.heads", "--start", "mhformer.toy", "--data", str(folder)]
    more = ["--out", str(out), "--device", "cpu", "--steps", "4"]
    asked = [*command, *more, "--set", f"sizes.hypothesis_stage={stage}"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "starting fresh: backbone.hypothesis_heads.0.norm.weight" in done.output
    before = make_lifter("mhformer.toy", device="cpu", offline=True)
    after = make_lifter(str(out / "best.safetensors"), device="cpu", offline=True)
    old, new = before.network.state_dict(), after.network.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert {name.split(".")[1] for name in new.keys() - old.keys()} == {"hypothesis_heads"}
    for name in ("normalisation", "mapping", "rate_range", "many_rates", "units"):
        assert getattr(after.options, name) == getattr(before.options, name)
    assert after.options.licence == "Apache-2.0 AND not stated"
    pose = sample_pose(samples, "walk_turn")
    lifted = lift_sequence(pose, after, hypotheses=True)
    plain = lift_sequence(pose, replace(before, pipeline="seq2seq"))
    np.testing.assert_array_equal(grid(lifted).joints_cam_m, grid(plain).joints_cam_m)
    assert grid(lifted).spread_mm.max() > 0


def test_heads_learn_and_the_nearest_hypothesis_validates(folder):
    recipe, _ = choose_recipe("mhformer.heads", start="mhformer.toy", steps=60)
    recipe = replace(recipe, learning_rate=0.02, warm_up=2, ema=0.8)
    trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), folder / "out")
    first = trainer.validate()
    assert trainer.train() < 0.8 * first
    heads = {p for p in trainer.network.parameters() if p.requires_grad}
    assert heads == set(trainer.network.backbone.hypothesis_heads.parameters())
    with torch.no_grad():
        inputs, target = trainer.data.draw(recipe, 0, torch.Generator().manual_seed(0))
        joints, others = trainer.averaged_network().forward_with_hypotheses(inputs)
    off = (others - target[:, :, None]).norm(dim=-1).mean((1, 3)).amin(1).mean()
    assert off < (joints - target).norm(dim=-1).mean()  # of a body with random weights


def test_training_goes_on_to_the_bit(folder):
    recipe, _ = choose_recipe("mhformer.heads", start="mhformer.toy", steps=4)
    assert_resumes_to_the_bit(recipe, folder)


def test_what_heads_cannot_be_fitted_to(folder):
    with pytest.raises(UsageError, match="Name them with --start"):
        choose_recipe("mhformer.heads")
    with pytest.raises(UsageError, match="hot-mixste is a mixste in metres, for whole windows"):
        choose_recipe("mhformer.heads", start="hot-mixste")
    without = ["sizes.hypothesis_heads=false"]
    recipe, _ = choose_recipe("mhformer.heads", without, start="mhformer.toy")
    data = load_training_data(recipe, folder, "cpu")
    with pytest.raises(UsageError, match="no part called hypothesis_heads"):
        Trainer(recipe, data, folder / "none")
    sizes = {"dim": 16, "hidden": 16, "heads": 2, "generator_depth": 1, "generator_heads": 3}
    middle = tiny_recipe(name="mhformer.middle", backbone="mhformer", sizes=sizes)
    alone = replace(middle.hourglass, recover=None, keep_centre=True)
    save_random_weights(replace(middle, hourglass=alone), folder / "middle.safetensors")
    with pytest.raises(UsageError, match="for the middle of a window"):
        choose_recipe("mhformer.heads", start=str(folder / "middle.safetensors"))


def test_heads_of_another_stage_replace_the_old_ones(folder):
    """Weights with heads may begin as well; the file says what the new ones read."""
    recipe, _ = choose_recipe(
        "mhformer.heads", ["sizes.hypothesis_stage=refinement"], start="mhformer", steps=1
    )
    assert recipe.many_rates
    trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), folder / "out")
    assert trainer.fresh == []
    trainer.train()
    network, options, _ = load_network(folder / "out" / "best.safetensors")
    assert options.sizes["hypothesis_stage"] == "refinement"
    assert network.backbone.hypotheses_before == 2
