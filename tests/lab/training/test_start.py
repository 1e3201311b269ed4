"""Training that begins with weights: what is taken over, what stays fresh, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import UsageError, WeightsError
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.recipes import RECIPES
from pose3d.lab.training.start import begin_from, find_start
from pose3d.lab.training.tasks import make_task
from pose3d.lift.models import load_network
from tests.support.training import (
    assert_resumes_to_the_bit,
    tiny_recipe,
    write_motions,
    write_tracks,
)
from tests.support.training import save_random_weights as save


@pytest.fixture
def folder(tmp_path):
    write_motions(tmp_path / "motions.npz")
    write_tracks(tmp_path / "tracks.npz")
    return tmp_path


def test_training_begins_where_the_weights_are(folder):
    recipe = tiny_recipe()
    state = save(recipe, folder / "w.safetensors")
    recipe = replace(recipe, start=str(folder / "w.safetensors"), learning_rate=0.0, steps=2)
    trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), folder / "out")
    assert trainer.fresh == []
    before = trainer.validate()
    for name, value in trainer.network.state_dict().items():
        torch.testing.assert_close(value, state[name])
    trainer.train()
    network, _, _ = load_network(folder / "out" / "best.safetensors")  # without a step they stay
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, state[name])
    assert trainer.best == pytest.approx(before, abs=1e-3)


def test_new_parts_stay_fresh_and_strange_ones_are_refused(folder):
    pruned = tiny_recipe()
    plain = replace(pruned, hourglass=None)
    save(plain, folder / "plain.safetensors")
    save(pruned, folder / "pruned.safetensors")
    network = make_task(pruned).build()
    fresh = begin_from(network, folder / "plain.safetensors")
    assert fresh
    assert all("recover" in name or "kept" in name for name in fresh), fresh
    with pytest.raises(WeightsError):
        begin_from(make_task(plain).build(), folder / "pruned.safetensors")
    wider = replace(pruned, sizes={**pruned.sizes, "dim": 48})
    with pytest.raises(WeightsError):
        begin_from(make_task(wider).build(), folder / "pruned.safetensors")


def test_more_kept_frames_get_positions_between_the_old_ones(folder):
    """First on first, last on last; the positions between lie on the lines between the old ones."""
    few = tiny_recipe()
    keep = few.hourglass.keep[0]
    state = save(few, folder / "w.safetensors")
    many = replace(few.hourglass, keep=(2 * keep - 1,))
    network = make_task(replace(few, hourglass=many)).build()
    assert begin_from(network, folder / "w.safetensors") == []
    old, new = state["kept_position.0"], network.state_dict()["kept_position.0"]
    assert new.shape == (1, 2 * keep - 1, 1, 16)
    torch.testing.assert_close(new[:, ::2], old)
    torch.testing.assert_close(new[:, 1::2], (old[:, 1:] + old[:, :-1]) / 2)


def test_weights_are_found_by_name_and_path(folder):
    assert find_start("hot-mixste").name == "hot-mixste.free27.safetensors"
    assert find_start("residual.free1").name == "residual.free1.safetensors"
    with pytest.raises(UsageError):
        find_start(str(folder / "none.safetensors"))
    with pytest.raises(UsageError):
        find_start("hot-mixste.fre27")


def test_resuming_goes_on_from_the_checkpoint_not_from_the_start(folder):
    recipe = tiny_recipe(steps=4, validate_every=1)
    save(recipe, folder / "w.safetensors")
    recipe = replace(recipe, start=str(folder / "w.safetensors"))
    assert_resumes_to_the_bit(recipe, folder)


def test_command_says_what_it_begins_with(folder, monkeypatch):
    recipe = tiny_recipe()
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    save(replace(recipe, hourglass=None), folder / "w.safetensors")
    arguments = ["train", recipe.name, "--data", str(folder), "--out", str(folder / "run")]
    start = ["--start", str(folder / "w.safetensors"), "--steps", "1"]
    done = CliRunner().invoke(app, [*arguments, *start, "--set", "learning_rate=1e-4"])
    assert done.exit_code == 0, done.output
    assert "begins with" in done.output
    assert "Apache-2.0" in done.output
    assert "starting fresh: recover" in done.output
    wrong = CliRunner().invoke(app, [*arguments[:-1], str(folder / "x"), "--start", "residual"])
    assert wrong.exit_code == 1
    assert "another network" in wrong.output
    assert not (folder / "x").exists()
