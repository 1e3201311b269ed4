"""lift/backbones/residual.py: the paper's formula in plain numpy, and training."""

from __future__ import annotations

import numpy as np
import torch

from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lift.backbones.residual import Residual
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import load_network
from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints
from tests.support.training import tiny_recipe, write_motions, write_tracks


def test_it_is_the_formula_of_the_paper():
    """Linear, batch norm, ReLU, twice per block, plus the block's input; in float64 by hand."""
    network = small_backbone("residual")
    state = {k: v.double().numpy() for k, v in network.backbone.state_dict().items()}
    x = keypoints(2, channels=2)

    def layer(values: np.ndarray, name: str) -> np.ndarray:
        y = values @ state[f"{name}.linear.weight"].T + state[f"{name}.linear.bias"]
        deviation = np.sqrt(state[f"{name}.norm.running_var"] + 1e-5)
        y = (y - state[f"{name}.norm.running_mean"]) / deviation
        return np.maximum(y * state[f"{name}.norm.weight"] + state[f"{name}.norm.bias"], 0)

    y = layer(x.double().numpy().reshape(18, 34), "entry")
    for block in range(4):
        y = y + layer(layer(y, f"blocks.{block}.0"), f"blocks.{block}.1")
    y = y @ state["head_linear.weight"].T + state["head_linear.bias"]
    with torch.no_grad():
        ours = network(x).double().numpy()
    np.testing.assert_allclose(ours, y.reshape(2, 9, 17, 3), rtol=1e-4, atol=1e-5)


def test_dropout_only_in_training():
    torch.manual_seed(0)
    network = Hourglass(Residual(dim=64, dropout=0.5), None)
    x = keypoints(4, frames=1, channels=2)
    network.train()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_windows_of_one_frame_can_be_trained_on(tmp_path, monkeypatch):
    """Losses over time are 0, not NaN; the weights load; the error falls."""
    monkeypatch.setattr("pose3d.lab.training.data.VALIDATION_BATCHES", 1)
    write_motions(tmp_path / "motions.npz")
    write_tracks(tmp_path / "tracks.npz")
    recipe = tiny_recipe(
        name="residual.tiny",
        backbone="residual",
        sizes={"dim": 64, "depth": 2, "dropout": 0.0},
        hourglass=None,
        batches=BatchOptions(frames=1),
        batch=64,
        steps=120,
        learning_rate=3e-3,
        ema=0.9,
        validate_every=120,
    )
    trainer = Trainer(recipe, load_training_data(recipe, tmp_path, "cpu"), tmp_path / "run")
    before = trainer.validate()
    rows = []
    after = trainer.train(on_log=rows.append)
    assert rows[0]["velocity"] == rows[0]["temporal"] == 0
    assert after < 0.6 * before
    network, options, _ = load_network(tmp_path / "run/best.safetensors")
    assert network.frames == 1
    assert options.backbone == "residual"
