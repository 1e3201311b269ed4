"""lift/backbones/mhformer.py: its parts against plain computations."""

from __future__ import annotations

import pytest
import torch

from pose3d.lift.backbones.mhformer import MHFormer
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints


def test_hypotheses_are_what_the_blocks_start_from():
    """One from the other: the third depends on all generators, the first on its own alone."""
    network = small_backbone("mhformer").backbone
    x = keypoints(2, channels=2)
    with torch.no_grad():
        hypotheses = network.hypotheses(x)
        assert hypotheses.shape == (2, 9, 3, 16)
        positions = [p[0] for p in network.frame_positions]
        for h in range(3):
            torch.testing.assert_close(
                network.embed(x)[:, :, h], hypotheses[:, :, h] + positions[h]
            )
        network.generators[1].position.add_(1.0)
        changed = (network.hypotheses(x) != hypotheses).any(-1)[0]  # frame hypothesis
    assert changed.any(0).tolist() == [False, True, True]


def test_embedding_of_short_windows_is_never_negative():
    """Up to 27 frames it ends in a ReLU; longer ones, or on demand, it is linear."""
    sizes = {"dim": 16, "hidden": 16, "heads": 2, "generator_depth": 1}
    for frames, batch_norm, positive in ((27, None, True), (36, None, False), (27, False, False)):
        torch.manual_seed(0)
        network = MHFormer(frames=frames, batch_norm=batch_norm, **sizes).eval()
        with torch.no_grad():
            hypotheses = network.hypotheses(keypoints(1, frames, 2))
        assert bool((hypotheses >= 0).all()) is positive


def plain_attention(q, k, heads):
    """Mean weight that each key gets: one batch entry, plain softmax."""
    size = q.shape[-1] // heads
    parts = [
        (q[:, h * size : (h + 1) * size] @ k[:, h * size : (h + 1) * size].T / size**0.5)
        .softmax(-1)
        .mean(0)
        for h in range(heads)
    ]
    return sum(parts) / heads


def test_attention_received_equals_plain_softmax():
    network = small_backbone("mhformer").backbone
    tokens = torch.randn(2, 9, 3, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        refined, interacted = network.frame_attention(1, tokens), network.frame_attention(3, tokens)
        for b in range(2):
            expected = torch.zeros(2, 9)
            for h in range(3):
                block = network.refinements[1]
                qkv = block.attentions[h].qkv(block.norms[h](tokens[b, :, h]))
                expected[0] += plain_attention(qkv[:, :16], qkv[:, 16:32], 2) / 3
                a, c = (tokens[b, :, i] for i in range(3) if i != h)
                block = network.interaction
                attention, norms = block.attentions[h], block.norms[h]
                q, k = attention.linear_q(norms[0](a)), attention.linear_k(norms[1](c))
                expected[1] += plain_attention(q, k, 2) / 3
            torch.testing.assert_close(refined[b], expected[0])
            torch.testing.assert_close(interacted[b], expected[1])


def test_generators_need_a_divisor_of_the_frames():
    with pytest.raises(ValueError, match="9 heads do not divide 10"):
        MHFormer(frames=10)


def test_stochastic_depth_leaves_evaluation_alone():
    sizes = {"frames": 9, "dim": 16, "hidden": 16, "heads": 2}
    plain, dropped = (
        Hourglass(MHFormer(**sizes, drop_path=rate), None).eval() for rate in (0.0, 0.5)
    )
    dropped.load_state_dict(plain.state_dict())
    x = keypoints(2, channels=2)
    with torch.no_grad():
        assert torch.equal(plain(x), dropped(x))
        torch.manual_seed(0)
        assert not torch.equal(plain.train()(x), dropped.train()(x))


def test_pruning_reaches_the_interaction_only():
    """Steps before block 1 and before the last block see 6 and 4 frames."""
    network = small_backbone(
        "mhformer", HourglassOptions(keep=(6, 4), at=(1, 3), recover=None, heads=2)
    )
    lengths = []
    for part in (*network.backbone.refinements, network.backbone.interaction):
        part.register_forward_hook(lambda _m, inputs, _out: lengths.append(inputs[0].shape[1]))
    with torch.no_grad():
        network(keypoints(1, channels=2))
    assert lengths == [9, 6, 6, 4]


def test_dropout_is_for_training_alone():
    """All its places draw in training (published: 0.1); none of them changes evaluation."""
    torch.manual_seed(0)
    sizes = {"frames": 9, "dim": 16, "hidden": 16, "heads": 2, "generator_heads": 3}
    plain = MHFormer(**sizes, batch_norm=True)
    dropping = MHFormer(**sizes, batch_norm=True, dropout=0.5)
    dropping.load_state_dict(plain.state_dict(), strict=True)
    x = torch.randn(2, 9, 17, 2)
    both = [Hourglass(network, None).eval() for network in (plain, dropping)]
    assert torch.equal(both[0](x), both[1](x))
    parts = {
        "generator": (dropping.generators[0], torch.randn(2, 34, 9)),
        "refinement": (dropping.refinements[0], torch.randn(2, 9, 3, 16)),
        "interaction": (dropping.interaction, torch.randn(2, 9, 3, 16)),
        "attention": (dropping.refinements[0].attentions[0], torch.randn(2, 9, 16)),
        "mlp": (dropping.refinements[0].mlp, torch.randn(2, 9, 48)),
        "block": (dropping.generators[0].blocks[0], torch.randn(2, 34, 9)),
    }
    for name, (part, inputs) in parts.items():
        part.train()
        assert not torch.equal(part(inputs), part(inputs)), name
        part.eval()
        assert torch.equal(part(inputs), part(inputs)), name
    dropping.train()
    for position in dropping.frame_positions:
        torch.nn.init.ones_(position)  # so that no zero is the embedding's own
    assert (dropping.embed(x) == 0).float().mean() > 0.3  # after the positions
