"""lift/backbones/motionbert.py: its parts against plain computations."""

from __future__ import annotations

import torch

from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints


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
