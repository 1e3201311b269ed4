"""lift/motionbert.py against the published network, and its parts against plain computations."""

from __future__ import annotations

import pytest
import torch

from pose3d.errors import WeightsError
from pose3d.lift.published.names import rename_motionbert
from tests.support.backbones import (
    check_pruned_golden,
    load_golden,
    published_state,
    small_backbone,
)
from tests.support.lifters import keypoints, relative_error


def test_output_equals_published():
    network, golden = load_golden("motionbert")
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5
        assert torch.equal(network(golden["input"]), network.backbone(golden["input"]))


def test_pruned_network_equals_published(monkeypatch):
    check_pruned_golden("hot_motionbert", monkeypatch)


def test_renaming_keeps_every_tensor():
    state = published_state(load_golden("hot_motionbert")[1])
    renamed = rename_motionbert({f"module.{k}": v for k, v in state.items()})
    assert len(renamed) == len(state) == 270
    for tensor, ours in zip(state.values(), renamed.values(), strict=True):
        assert torch.equal(tensor.flatten(), ours.flatten())


def test_renaming_refuses_other_networks():
    with pytest.raises(WeightsError, match=r"layers\.0\.fusion.*MotionBERT"):
        rename_motionbert({"layers.0.fusion.weight": torch.zeros(1)})


def test_streams_differ_in_order_only():
    """With equal weights and no effect of one kind of block both streams give the same."""
    network = small_backbone("motionbert").backbone
    first, second = network.space_first[1], network.time_first[1]
    second.load_state_dict(first.state_dict())
    tokens = network.embed(keypoints(2))
    with torch.no_grad():
        assert not torch.allclose(first(tokens), second(tokens), atol=1e-3)
        for stream in (first, second):
            for layer in (stream.spatial.attn.proj, stream.spatial.mlp.fc2):
                layer.weight.zero_()
                layer.bias.zero_()
        torch.testing.assert_close(first(tokens), second(tokens))
        # What is left works along time alone: joint 5 does not see joint 6.
        changed = tokens.clone()
        changed[:, 3, 6] += torch.linspace(-1, 1, 16)
        touched = (first(tokens) != first(changed)).any(-1)[0]  # frame joint
    assert touched[:, 6].all()
    touched[:, 6] = False
    assert not touched.any()


def test_fusion_mixes_each_token_between_the_streams():
    network = small_backbone("motionbert").backbone
    tokens = network.embed(keypoints(1))
    with torch.no_grad():
        a, b = network.space_first[0](tokens), network.time_first[0](tokens)
        fused = network.block(0, tokens)
        share = ((fused - b) / (a - b)).median(-1).values  # weight of the first stream per token
        torch.testing.assert_close(fused, share[..., None] * a + (1 - share[..., None]) * b)
        weight = network.fusions[0].linear(torch.cat([a, b], -1))
        torch.testing.assert_close(share, (weight[..., 0] - weight[..., 1]).sigmoid())
    assert share.min() > 0
    assert share.max() < 1
    assert share.std() > 0.01


def test_attention_received_equals_plain_softmax():
    network = small_backbone("motionbert").backbone
    tokens = torch.randn(2, 9, 17, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        received = network.frame_attention(2, tokens)
        block = network.time_first[2].temporal
        expected = torch.zeros(2, 9)
        for b in range(2):
            for j in range(17):
                qkv = block.attn.qkv(block.norm1(tokens[b, :, j]))
                for h in range(2):
                    q, k = qkv[:, 8 * h : 8 * h + 8], qkv[:, 16 + 8 * h : 24 + 8 * h]
                    expected[b] += (q @ k.T / 8**0.5).softmax(-1).mean(0) / (17 * 2)
    torch.testing.assert_close(received, expected)
