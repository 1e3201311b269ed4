"""lift/mhformer.py against the published network, and its parts against plain computations."""

from __future__ import annotations

import pytest
import torch

from pose3d.errors import WeightsError
from pose3d.lift.backbones.mhformer import MHFormer
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.published.names import rename_mhformer
from tests.support.backbones import (
    check_pruned_golden,
    load_golden,
    published_state,
    small_backbone,
)
from tests.support.lifters import keypoints, relative_error


@pytest.mark.parametrize("name", ["mhformer_27", "mhformer_36"])
def test_output_equals_published(name):
    """27 frames with batch norm in the embedding, 36 without."""
    network, golden = load_golden(name)
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5
        assert torch.equal(network(golden["input"]), network.backbone(golden["input"]))


def test_pruned_network_equals_published(monkeypatch):
    """Clustering compares the concatenated hypotheses; of 36 frames number 17 is the centre."""
    check_pruned_golden("tpc_mhformer_36", monkeypatch, centre=17)


def test_centre_of_an_even_window():
    network, golden = load_golden("tpc_mhformer_36")
    with torch.no_grad():
        index = network.forward_with_index(golden["input"])[1]
    assert (index == 17).any(1).all()
    assert not (golden["tpc.index"] == 17).any()


def test_renaming_keeps_every_tensor():
    for name, count in (("mhformer_27", 288), ("tpc_mhformer_36", 273)):
        state = published_state(load_golden(name)[1])
        renamed = rename_mhformer({f"module.{k}": v for k, v in state.items()})
        assert len(renamed) == len(state) == count
        for tensor, ours in zip(state.values(), renamed.values(), strict=True):
            assert torch.equal(tensor.flatten(), ours.flatten())


def test_renaming_refuses_other_networks():
    with pytest.raises(WeightsError, match=r"STEblocks\.0.*MHFormer"):
        rename_mhformer({"STEblocks.0": torch.zeros(1)})
    with pytest.raises(WeightsError, match="norm_4"):
        rename_mhformer({"norm_4.weight": torch.zeros(1)})


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
    plain, dropped = (
        MHFormer(frames=9, dim=16, hidden=16, heads=2, drop_path=rate).eval() for rate in (0.0, 0.5)
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
    dropping = MHFormer(**sizes, batch_norm=True, dropout=0.5, embedding_dropout=0.5)
    dropping.load_state_dict(plain.state_dict(), strict=True)
    x = torch.randn(2, 9, 17, 2)
    assert torch.equal(plain.eval()(x), dropping.eval()(x))
    parts = {
        "generator": (dropping.generators[0], torch.randn(2, 34, 9)),
        "embedding": (dropping.embeddings[0], torch.randn(2, 34, 9)),
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
        torch.nn.init.ones_(position)  # so that the embedding's own zeros are none here
    assert (dropping.embed(x) == 0).float().mean() > 0.3  # after the positions
