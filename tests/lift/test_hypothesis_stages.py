"""MHFormer beyond the published one: heads on its intermediate hypotheses, other numbers of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from pose3d.lift.backbones.hypotheses import HypothesisBlock, partners
from pose3d.lift.backbones.mhformer import STAGES, MHFormer
from pose3d.lift.hourglass import HourglassOptions
from tests.lift.test_hypotheses import small_options
from tests.support.backbones import fill
from tests.support.golden import load_golden, relative_error
from tests.support.lifters import keypoints


def staged(stage: str, pruned: HourglassOptions | None = None, **sizes: int):
    options = small_options(pruned)
    return fill(replace(options, sizes={**options.sizes, "hypothesis_stage": stage, **sizes}))


def tokens_after(backbone, stage: str, x: torch.Tensor) -> torch.Tensor:
    tokens = backbone.embed(x)
    for i in range({"generation": 0, "refinement": 3, "interaction": 4}[stage]):
        tokens = backbone.block(i, tokens)
    return tokens


@pytest.mark.parametrize("stage", STAGES)
def test_heads_read_the_hypotheses_after_a_stage(stage):
    """Three refinements and an interaction; the final pose is the same for all stages."""
    network, x = staged(stage), keypoints(2)
    with torch.no_grad():
        joints, hypotheses = network.forward_with_hypotheses(x)
        expected = network.backbone.hypothesis_poses(tokens_after(network.backbone, stage, x))
        torch.testing.assert_close(hypotheses, expected)
        final = staged("interaction")
        final.load_state_dict(network.state_dict(), strict=True)
        assert torch.equal(joints, final(x))


@pytest.mark.parametrize("recover", ["attention", "linear", None])
@pytest.mark.parametrize("stage", ["generation", "refinement"])
def test_frames_dropped_before_a_stage_lie_on_lines(stage, recover):
    """All frames reach the first block, four the interaction; kept ones alone without a recovery."""
    pruned = HourglassOptions(keep=(4,), at=(2,), heads=2, recover=recover)
    network, x, seen = staged(stage, pruned), keypoints(2), []
    network.backbone.hypothesis_heads[1].register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.no_grad():
        joints, hypotheses = network.forward_with_hypotheses(x)
        _, index = network.forward_with_index(x)
    assert seen[0].shape[1] == (9 if stage == "generation" else 4)
    assert hypotheses.shape == (*joints.shape[:2], 3, 17, 3)
    for b in range(2):
        at = np.arange(9) if stage == "generation" else index[b].numpy()
        kept = seen[0][b].numpy().reshape(len(at), 51)
        expected = np.stack([np.interp(np.arange(9), at, column) for column in kept.T], 1)
        expected = expected[index[b].numpy()] if recover is None else expected
        ours = hypotheses[b, :, 1].numpy().reshape(-1, 51)
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_who_interacts_with_whom():
    """As published of three; of others always two neighbours, and everybody is asked."""
    assert [partners(h, 3) for h in range(3)] == [(1, 2), (0, 2), (0, 1)]
    assert [partners(h, 2) for h in range(2)] == [(1, 1), (0, 0)]
    for hypotheses in (4, 5, 6):
        pairs = [partners(h, hypotheses) for h in range(hypotheses)]
        assert all(a < b and h not in (a, b) for h, (a, b) in enumerate(pairs))
        assert sorted(i for pair in pairs for i in pair) == sorted([*range(hypotheses)] * 2)


@pytest.mark.parametrize("hypotheses", [2, 3, 4])
def test_interaction_against_a_plain_computation(hypotheses):
    torch.manual_seed(0)
    block = HypothesisBlock(8, 2, 12, 0.0, 0.0, across=True, hypotheses=hypotheses).eval()
    tokens = torch.randn(1, 5, hypotheses, 8)
    x = [tokens[0, :, h] for h in range(hypotheses)]
    with torch.no_grad():
        for h in range(hypotheses):
            who = (*partners(h, hypotheses), h)
            part, norms = block.attentions[h], block.norms[h]
            q, k, v = (norm(x[i]) for norm, i in zip(norms, who, strict=True))
            q, k, v = part.linear_q(q), part.linear_k(k), part.linear_v(v)
            heads = [
                (q[:, s] @ k[:, s].T / 2).softmax(-1) @ v[:, s] for s in (slice(4), slice(4, 8))
            ]
            x[h] = x[h] + part.proj(torch.cat(heads, 1))
        wide = torch.cat(x, 1)
        hidden = functional.gelu(block.mlp.fc1(block.norm(wide)))
        wide = wide + block.mlp.fc2(hidden)
        torch.testing.assert_close(block(tokens)[0].flatten(1), wide)


@pytest.mark.parametrize("name", ["mhformer_27", "mhformer_36"])
def test_the_published_numbers_are_three_and_one(name):
    """Named, and with a second interaction that adds nothing: still the published output."""
    network, golden = load_golden(name, hypotheses=3, interactions=1)
    sizes = {"frames": network.frames, "dim": 48, "hidden": 96, "interactions": 2}
    longer = MHFormer(**sizes).eval()
    missing = longer.load_state_dict(network.backbone.state_dict(), strict=False).missing_keys
    assert {m.split(".")[0] for m in missing} == {"earlier_interactions"}
    with torch.no_grad():
        for part, parameter in longer.earlier_interactions.named_parameters():
            if ".proj." in part or "fc2" in part:
                parameter.zero_()
        network.backbone = longer
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5
        longer.earlier_interactions[0].mlp.fc2.bias[::2] = 1.0
        assert relative_error(network(golden["input"]), golden["output"]) > 1e-2


@pytest.mark.parametrize(("hypotheses", "interactions"), [(2, 1), (4, 2)])
def test_other_numbers_prune_and_learn(hypotheses, interactions):
    pruned = HourglassOptions(keep=(4,), at=(3,), heads=2)
    network = staged("interaction", pruned, hypotheses=hypotheses, interactions=interactions)
    assert network.backbone.n_blocks == 3 + interactions
    joints, others = network.train().forward_with_hypotheses(keypoints(3))
    assert others.shape == (3, 9, hypotheses, 17, 3)
    (joints.square().sum() + others.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"hypotheses": 1}, "1 hypotheses"),
        ({"hypotheses": 7}, "of 2 to 6"),
        ({"interactions": 0}, "0 interactions"),
        ({"hypothesis_stage": "generated"}, "'generated', not generation, refinement"),
    ],
)
def test_impossible_numbers_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        MHFormer(**sizes)
