"""lift/backbones/mixste.py: its parts against plain computations."""

from __future__ import annotations

import pytest
import torch

from pose3d.lift.backbones.mixste import MixSTE
from pose3d.lift.hourglass import Hourglass
from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints, small_network


def test_frames_see_each_other_only_through_temporal_blocks():
    """A spatial block must not mix frames, nor a temporal one joints: block pair 0, taken apart."""
    network = small_network().backbone
    x = network.embed(keypoints(2))
    changed = x.clone()
    changed[:, 3, 5] += torch.linspace(-1, 1, 16)  # a constant would vanish in the first norm
    with torch.no_grad():
        before, after = network.block(0, x), network.block(0, changed)
        touched = (before != after).any(-1)[0]  # frame joint
        assert touched.all()  # through the joints of frame 3, then through time, to all
        for block in network.spatial_blocks:
            for p in block.parameters():
                p.zero_()
        touched = (network.block(0, x) != network.block(0, changed)).any(-1)[0]
    assert touched[:, 5].all()
    touched[:, 5] = False
    assert not touched.any()


@pytest.mark.parametrize("backbone", ["mixste", "motionbert"])
def test_attention_received_equals_plain_softmax(backbone):
    network = small_backbone(backbone).backbone
    tokens = torch.randn(2, 9, 17, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        received = network.frame_attention(2, tokens)
        mixste = backbone == "mixste"
        block = network.temporal_blocks[2] if mixste else network.time_first[2].temporal
        tokens = network._mix_joints(2, tokens) if mixste else tokens  # joints come first there
        expected = torch.zeros(2, 9)
        for b in range(2):
            for j in range(17):
                qkv = block.attn.qkv(block.norm1(tokens[b, :, j]))
                for h in range(2):
                    q, k = qkv[:, 8 * h : 8 * h + 8], qkv[:, 16 + 8 * h : 24 + 8 * h]
                    expected[b] += (q @ k.T / 8**0.5).softmax(-1).mean(0) / (17 * 2)
    torch.testing.assert_close(received, expected)
    torch.testing.assert_close(received.sum(1), torch.ones(2))


def test_stochastic_depth_keeps_the_mean():
    """Drop path 0.5 of the last block: on average over draws the branch keeps its size."""
    torch.manual_seed(0)
    network = MixSTE(frames=9, dim=16, depth=2, heads=2, drop_path=0.5)
    block = network.temporal_blocks[1]
    x = torch.randn(1, 9, 16).expand(4000, -1, -1)
    with torch.no_grad():
        block.eval()
        whole = block.attn(block.norm1(x[:1]))
        block.train()
        dropped = block._drop(block.attn(block.norm1(x)))
    skipped = (dropped == 0).all(-1).all(-1).float().mean()
    assert skipped == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(dropped.mean(0), whole[0], atol=0.02, rtol=0.05)


def test_wrong_window_length_is_noticed():
    with pytest.raises(RuntimeError, match="size of tensor"):
        Hourglass(MixSTE(frames=9, dim=16, depth=2, heads=2), None)(keypoints(1, 8, 2))
