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
from tests.support.training import save_random_weights as save
from tests.support.training import tiny_recipe, write_motions, write_tracks


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
    with pytest.raises(WeightsError, match="no place"):
        begin_from(make_task(plain).build(), folder / "pruned.safetensors")
    wider = replace(pruned, sizes={**pruned.sizes, "dim": 48})
    with pytest.raises(WeightsError, match="another network"):
        begin_from(make_task(wider).build(), folder / "pruned.safetensors")


@pytest.mark.parametrize("double", [1, 2])
def test_more_kept_frames_get_positions_between_the_old_ones(folder, double):
    """First on first, last on last; the positions between lie on the lines between the old ones."""
    few = tiny_recipe()
    keep = few.hourglass.keep[0]
    state = save(few, folder / "w.safetensors")
    sizes = {**few.sizes, "dim": 16 * double, "heads": 2 * double}
    many = replace(few.hourglass, keep=(2 * keep - 1,), heads=2 * double)
    network = make_task(replace(few, sizes=sizes, hourglass=many)).build()
    assert begin_from(network, folder / "w.safetensors") == []
    old, new = state["kept_position.0"], network.state_dict()["kept_position.0"]
    assert new.shape == (1, 2 * keep - 1, 1, 16 * double)
    torch.testing.assert_close(new[:, ::2, :, :16], old)
    torch.testing.assert_close(new[:, 1::2, :, :16], (old[:, 1:] + old[:, :-1]) / 2)


@pytest.mark.parametrize("plain", [False, True])
def test_a_wider_network_begins_with_the_answers_of_the_narrow_one(folder, plain):
    """The same poses from the same kept frames, and no two channels that learn the same."""
    narrow = tiny_recipe(**({"hourglass": None} if plain else {}))
    narrow = replace(narrow, sizes={**narrow.sizes, "drop_path": 0.0})
    wide = replace(narrow, sizes={**narrow.sizes, "dim": 32, "heads": 4})
    if not plain:
        wide = replace(wide, hourglass=replace(narrow.hourglass, heads=4))
    state = save(narrow, folder / "w.safetensors")
    small, large = make_task(narrow).build().eval(), make_task(wide).build().eval()
    small.load_state_dict(state)
    assert begin_from(large, folder / "w.safetensors") == []
    torch.manual_seed(3)
    inputs = torch.randn(4, 9, 17, 3)
    expected, kept = small.forward_with_index(inputs)
    answer, also_kept = large.forward_with_index(inputs)
    assert torch.equal(kept, also_kept)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    large.train()(inputs).square().sum().backward()
    hidden = large.backbone.spatial_blocks[0].mlp.fc1.weight
    first, second = hidden.grad.chunk(2)
    assert (first - second).norm() > 0.05 * first.norm()
    first, second = hidden.chunk(2)
    assert (first - second).norm() > 0.05 * first.norm()


def test_weights_are_found_by_name_and_path(folder):
    assert find_start("hot-mixste").name == "hot-mixste.free27.safetensors"
    assert find_start("residual.free1").name == "residual.free1.safetensors"
    with pytest.raises(UsageError, match="Check the path"):
        find_start(str(folder / "none.safetensors"))
    with pytest.raises(UsageError):
        find_start("hot-mixste.fre27")


def test_resuming_goes_on_from_the_checkpoint_not_from_the_start(folder):
    recipe = tiny_recipe(steps=4, validate_every=1)
    save(recipe, folder / "w.safetensors")
    recipe = replace(recipe, start=str(folder / "w.safetensors"))
    data = load_training_data(recipe, folder, "cpu")
    whole = Trainer(recipe, data, folder / "whole")
    whole.train()
    Trainer(recipe, data, folder / "cut").train(2)
    rest = Trainer(recipe, data, folder / "cut")
    rest.resume()
    rest.train()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name])


def test_command_says_what_it_begins_with(folder, monkeypatch):
    recipe = tiny_recipe()
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    save(replace(recipe, hourglass=None), folder / "w.safetensors")
    arguments = ["train", recipe.name, "--data", str(folder), "--out", str(folder / "run")]
    done = CliRunner().invoke(
        app,
        [
            *arguments,
            "--start",
            str(folder / "w.safetensors"),
            "--steps",
            "1",
            "--learning-rate",
            "1e-4",
        ],
    )
    assert done.exit_code == 0, done.output
    assert "begins with" in done.output
    assert "Apache-2.0" in done.output
    assert "starting fresh: recover" in done.output
    wrong = CliRunner().invoke(app, [*arguments[:-1], str(folder / "x"), "--start", "residual"])
    assert wrong.exit_code == 1
    assert "another network" in wrong.output
    assert not (folder / "x").exists()
