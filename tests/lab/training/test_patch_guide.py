"""The patch guide: what the patches are asked, and that nothing of it is left in the weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.errors import UsageError
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.optimisers import initialise
from pose3d.lab.training.people_task import GuidedTokenPose, patch_loss
from pose3d.networks2d.tokenpose.files import load_tokenpose
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import PruneOptions, RemoveOptions
from tests.lab.training.test_loop import state_of
from tests.lab.training.test_people import TINY, tiny_recipe
from tests.support.people_files import write_lspet

WIDE = replace(TINY, size_wh=(96, 64), heatmap_wh=(24, 16))
"""Patches of 16 x 16 px in 4 rows and 6 columns."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lspet")
    write_lspet(folder / "lspet.npz")
    return folder


def guided(**changes):
    return tiny_recipe(people={"guide": 1.0, "guide_after": 0, **changes.pop("people", {})})


def patch_of(x: float, y: float) -> int:
    """The patch that a pixel lies in, read off the network: which token a spot of light changes most."""
    torch.manual_seed(0)
    network = TokenPose(WIDE).eval()
    image = torch.zeros(1, 3, 64, 96)
    lit = image.clone()
    lit[..., int(y), int(x)] = 50.0
    with torch.no_grad():
        change = (network.begin(lit).x - network.begin(image).x).norm(dim=-1)[0]
    return int(change[network.keypoints :].argmax())


@pytest.mark.parametrize("point", [(8.0, 8.0), (88.0, 8.0), (24.0, 40.0), (72.0, 56.0)])
def test_the_patch_under_a_keypoint_is_the_target(point):
    points = torch.tensor(point).expand(1, 14, 2)
    weight = torch.ones(1, 14)
    losses = []
    for patch in range(24):
        logits = torch.zeros(1, 24, 14)
        logits[:, patch] = 5.0
        losses.append(float(patch_loss(logits, points, weight, WIDE)))
    assert int(np.argmin(losses)) == patch_of(*point)


def test_the_loss_is_a_divergence():
    """Zero for the target itself; log(patches) less the target's entropy for no idea at all."""
    points = torch.tensor([7.5, 7.5]).expand(1, 14, 2)  # middle of the first patch
    weight = torch.ones(1, 14)
    row = [math.exp(-0.5 * (i / 0.6) ** 2) for i in range(6)]
    column = row[:4]
    target = np.outer(column, row) / (sum(row) * sum(column))
    exact = torch.from_numpy(np.log(target)).float().reshape(1, 24, 1).expand(1, 24, 14)
    assert float(patch_loss(exact, points, weight, WIDE)) == pytest.approx(0, abs=1e-5)
    entropy = -float((target * np.log(target)).sum())
    no_idea = patch_loss(torch.zeros(1, 24, 14), points, weight, WIDE)
    assert float(no_idea) == pytest.approx(math.log(24) - entropy, abs=1e-4)


def test_keypoints_without_a_label_teach_nothing():
    torch.manual_seed(1)
    logits = torch.randn(2, 24, 14, requires_grad=True)
    points = 64 * torch.rand(2, 14, 2)
    weight = torch.ones(2, 14)
    weight[:, 5] = 0
    patch_loss(logits, points, weight, WIDE).backward()
    assert float(logits.grad[..., 5].abs().max()) == 0
    assert float(logits.grad[..., 4].abs().max()) > 0
    assert float(patch_loss(logits.detach(), points, torch.zeros(2, 14), WIDE)) == 0


def test_the_guide_changes_no_answer_and_is_not_saved(folder, tmp_path):
    recipe = guided()
    trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path)
    rows = []
    trainer.train(4, on_log=rows.append)
    assert rows[-1]["guide"] > 0
    network, _ = load_tokenpose(tmp_path / "best.safetensors")
    assert type(network) is TokenPose
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(images), trainer.averaged_network()(images))


def test_every_parameter_learns_and_patches_learn_from_the_guide_alone():
    torch.manual_seed(0)
    network = GuidedTokenPose(TINY, after=0).train()
    answer, patches = network(torch.randn(2, 3, 64, 64))
    assert patches.shape == (2, 16, 14)
    points, weight = 64 * torch.rand(2, 14, 2), torch.ones(2, 14)
    patch_loss(patches, points, weight, TINY).backward(retain_graph=True)
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert "backbone.conv1.weight" in reached
    assert "patch_head.1.weight" in reached
    assert not any(name.startswith(("blocks.1", "head.")) for name in reached)  # later layers
    answer.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_guided_training_goes_on_to_the_bit(folder, tmp_path):
    recipe = guided()
    whole = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path / "a")
    whole.train(4)
    first = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path / "b")
    first.train(2)
    second = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path / "b")
    second.resume()
    second.train(4)
    expected = state_of(whole)
    assert any(name.endswith("patch_head.1.weight") for name in expected)
    assert all(torch.equal(v, expected[k]) for k, v in state_of(second).items())


@pytest.mark.parametrize("after", [-1, 1, 2])
def test_patches_that_are_gone_cannot_be_asked(after):
    removed = replace(TINY, remove=RemoveOptions(at=(1,), keep=(0.5,)))
    with pytest.raises(UsageError):
        guided(people={"network": removed, "guide_after": after})
    guided(people={"network": removed, "guide_after": 0})


def test_variants_with_other_masks_are_guided_as_well(folder, tmp_path):
    for network in (
        replace(TINY, prune=PruneOptions(at=(0,), keep=(0.5,))),
        replace(TINY, remove=RemoveOptions(at=(1,), keep=(0.5,))),
    ):
        recipe = guided(people={"network": network})
        trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path)
        assert float(trainer.train_step()["guide"]) > 0


def test_wide_weights_leave_convolutions_as_they_are():
    torch.manual_seed(0)
    network = TokenPose(TINY)
    kept = network.backbone.conv2.weight.detach().clone()
    initialise(network, "wide")
    assert torch.equal(network.backbone.conv2.weight, kept)
    bound = TINY.dim**-0.5
    drawn = network.blocks[0].attn.qkv.weight.detach().abs().max()
    assert 0.9 * bound < float(drawn) <= bound
