"""TokenPose, dense and sparse: the published numbers, and that every kind of sparsity does something."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pose3d.body.skeletons import COCO17
from pose3d.errors import UsageError, WeightsError
from pose3d.networks2d.tokenpose.files import load_tokenpose, rename_tokenpose, save_tokenpose
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import (
    CONFIGURATIONS,
    JointOptions,
    PruneOptions,
    RemoveOptions,
    TokenPoseOptions,
)
from pose3d.weights.network_files import read_tensors
from tests.support import tokenpose

SMALL = replace(tokenpose.SMALL, depth=6, hidden=64)
PRUNED = replace(SMALL, prune=PruneOptions(at=(1, 3), keep=(0.6, 0.6)))
RERANKED = replace(SMALL, prune=replace(PRUNED.prune, progressive=False))
REMOVED = replace(SMALL, remove=RemoveOptions(at=(1, 3), keep=(0.6, 0.6)))
JOINT = replace(SMALL, joint=JointOptions(layers=2))
VARIANTS = {
    "dense": SMALL,
    "pruned": PRUNED,
    "reranked": RERANKED,
    "removed": REMOVED,
    "joint": JOINT,
    "sparse": replace(PRUNED, joint=JointOptions(layers=2)),
    "simcc": replace(SMALL, head="simcc"),
}


def make(options: TokenPoseOptions, seed: int = 0) -> TokenPose:
    """A small network whose attention is far from even, so that choices matter."""
    torch.manual_seed(seed)
    network = TokenPose(options).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "blocks" in name and parameter.ndim == 2:
                parameter.mul_(20 if name.endswith("qkv.weight") else 5)
    return network


def pictures(n: int = 2, size_wh: tuple[int, int] = SMALL.size_wh) -> torch.Tensor:
    return torch.randn(n, 3, size_wh[1], size_wh[0], generator=torch.Generator().manual_seed(1))


# -- what the published code computes -------------------------------------------------------------


def test_published_weights_give_the_published_heatmaps(shared):
    file = load_file(shared / "golden/tokenpose/tokenpose_s.safetensors")
    state = {k.removeprefix("weight."): v for k, v in file.items() if k.startswith("weight.")}
    options = replace(SMALL, depth=3, hidden=96)
    network = TokenPose(options).eval()
    network.load_state_dict(rename_tokenpose(state), strict=True)
    with torch.no_grad():
        heatmaps = network(file["input"])
    torch.testing.assert_close(heatmaps, file["output"], rtol=1e-4, atol=5e-6)


def test_fixed_positions_are_the_published_ones(shared):
    file = load_file(shared / "golden/tokenpose/tokenpose_s.safetensors")
    ours = TokenPose(replace(SMALL, depth=3)).positions
    torch.testing.assert_close(ours, file["weight.features.pos_embedding"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "millions"), [("tokenpose-s", 6.6), ("tokenpose-s2", 6.2)], ids=["S-v1", "S-v2"]
)
def test_parameters_are_those_of_the_paper(name, millions):
    """Li et al. 2021, table 1."""
    with torch.device("meta"):
        network = TokenPose(CONFIGURATIONS[name])
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_published_improvements_are_the_options_of_the_paper():
    sparse = CONFIGURATIONS["tokenpose-s-sparse"]
    assert sparse.prune == PruneOptions(at=(3, 6, 9), keep=(0.6, 0.6, 0.6), progressive=True)
    assert sparse.joint == JointOptions(layers=8, links="body")


def test_foreign_checkpoint_is_refused():
    with pytest.raises(WeightsError, match=r"'final_layer\.weight'"):
        rename_tokenpose({"final_layer.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="to_something"):
        rename_tokenpose({"module.features.transformer.layers.0.0.to_something": torch.zeros(1)})


# -- masks ------------------------------------------------------------------------------------------


def masks_of(options: TokenPoseOptions) -> list[torch.Tensor]:
    """The links that each layer used: where its attention got a bias of 0."""
    network = make(options)
    seen = []
    for block in network.blocks:
        plain = block.attn.mix

        def mix(q, k, v, mask, plain=plain):
            seen.append(None if mask is None else mask == 0)
            return plain(q, k, v, mask)

        block.attn.mix = mix
    with torch.no_grad():
        network(pictures())
    return seen


def test_ranking_anew_uses_each_mask_at_once_and_brings_links_back():
    masks = masks_of(RERANKED)
    assert masks[0] is None
    assert torch.equal(masks[1], masks[2])
    assert torch.equal(masks[3], masks[5])
    assert (masks[3] & ~masks[1]).any()
    assert (masks[3].sum(-1) == masks[1].sum(-1)).all()


def test_masks_are_used_from_the_next_layer_on_and_ranked_among_what_is_left():
    masks = masks_of(PRUNED)
    patches = math.prod(PRUNED.grid_hw)
    assert masks[0] is masks[1] is None  # layer 1 makes the mask of layer 2
    assert torch.equal(masks[2], masks[3])
    assert torch.equal(masks[4], masks[5])
    assert (masks[4] <= masks[2]).all()
    assert (masks[2][..., 17:, 17:].sum(-1) == math.ceil(patches * 0.6)).all()
    assert (masks[4][..., 17:, 17:].sum(-1) == math.ceil(patches * 0.36)).all()
    assert masks[4][..., :17, :].all()
    assert masks[4][..., :17].all()
    heads = masks[2].unbind(1)
    assert len(heads) == SMALL.heads
    assert not torch.equal(heads[0], heads[1])  # each head drops its own


def test_a_mask_that_no_layer_would_use_is_refused():
    with pytest.raises(UsageError, match="No layer comes after layer 5"):
        replace(SMALL, prune=PruneOptions(at=(5,), keep=(0.6,)))
    replace(SMALL, prune=PruneOptions(at=(5,), keep=(0.6,), progressive=False))


def test_pruning_changes_the_answer_and_keeping_all_does_not():
    images = pictures()
    dense = make(SMALL)(images)
    all_kept = make(replace(SMALL, prune=PruneOptions(at=(1, 3), keep=(1.0, 1.0))))(images)
    torch.testing.assert_close(all_kept, dense, rtol=1e-4, atol=1e-5)
    assert (make(PRUNED)(images) - dense).abs().max() > 1e-3


# -- joints -----------------------------------------------------------------------------------------


def test_joint_layers_pass_news_only_along_the_body():
    """After one layer a wrist knows of its neighbours only."""
    network = make(replace(SMALL, joint=JointOptions(layers=1)))
    block = network.joint_blocks[0]
    tokens = torch.randn(1, 17, 32, requires_grad=True)
    wrist = COCO17.index["left_wrist"]
    block(tokens, network.joint_links)[0, wrist].sum().backward()
    heard = np.flatnonzero(tokens.grad[0].abs().amax(-1).numpy() > 0)
    assert {COCO17.joints[i] for i in heard} == {"left_wrist", "left_elbow", "right_wrist"}


def test_random_and_full_joint_links_answer_differently():
    images = pictures(1)
    answers = [
        make(replace(SMALL, joint=JointOptions(layers=2, links=links)))(images)
        for links in ("body", "random", "all")
    ]
    assert (answers[0] - answers[1]).abs().max() > 1e-4
    assert (answers[0] - answers[2]).abs().max() > 1e-4


# -- removal ----------------------------------------------------------------------------------------


def test_removal_shortens_the_layers_after_it():
    network, lengths = make(REMOVED), []
    for block in network.blocks:
        block.mlp.register_forward_hook(lambda _m, inputs, _o: lengths.append(inputs[0].shape[1]))
    with torch.no_grad():
        network(pictures())
    assert lengths == [17 + n for n in (64, 38, 38, 23, 23, 23)]


def test_removing_nothing_is_dense_to_the_bit():
    images = pictures()
    nothing = replace(SMALL, remove=RemoveOptions(at=(1, 3), keep=(1.0, 1.0)))
    assert torch.equal(make(nothing)(images), make(SMALL)(images))


def test_removal_is_a_plain_network_on_the_patches_that_stay():
    """One picture, plain indexing, written out: positions have to go with their patches."""
    network, images = make(REMOVED), pictures(1)
    with torch.no_grad():
        x = torch.cat(
            (
                network.keypoint_tokens,
                network.embed(network._cut_patches(network.backbone(images))),
            ),
            1,
        )[0]
        place = torch.cat((torch.zeros(17, 32), network.positions[0]))
        for i, block in enumerate(network.blocks):
            x = x + place
            seen = block.norm1(x)
            q, k, _ = (seen @ block.attn.qkv.weight.T).view(-1, 3, 4, 8).permute(1, 2, 0, 3)
            look = (q @ k.transpose(1, 2) * 32**-0.5).softmax(-1)[:, :17, 17:].sum((0, 1))
            x = x + block.attn(seen[None])[0]
            if i in (1, 3):
                stay = sorted(look.argsort(descending=True)[: round(0.6 * len(look))].tolist())
                rows = [*range(17), *(17 + row for row in stay)]
                x, place = x[rows], place[rows]
            x = x + block.mlp(block.norm2(x))
        expected = network.head(x[None, :17])
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_pruning_and_removal_together_are_refused():
    with pytest.raises(UsageError):
        replace(SMALL, prune=PruneOptions(), remove=RemoveOptions())


# -- every variant ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_shapes_and_people_do_not_mix(options):
    network, images = make(options), pictures(3)
    with torch.no_grad():
        together, alone = network(images), network(images[1:2])
    together, alone = (a if isinstance(a, tuple) else (a,) for a in (together, alone))
    shapes = [(3, 17, 192), (3, 17, 256)] if options.head == "simcc" else [(3, 17, 32, 24)]
    assert [a.shape for a in together] == shapes
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one[0], many[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_gets_a_gradient(options):
    network = make(options).train()
    answer = network(pictures())
    sum(
        (a * torch.randn_like(a)).sum()
        for a in (answer if isinstance(answer, tuple) else (answer,))
    ).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_tracing_changes_nothing_and_tells_the_truth(options):
    network, images = make(options), pictures()
    with torch.no_grad():
        plain, (traced, traces) = network(images), network.trace(images)
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (plain, traced)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert len(traces) == options.depth
    for trace in traces:
        assert trace.look.shape == (2, 17, 64)
        assert trace.links.shape == (2, 64)
        # Keypoints may look at keypoints as well.
        assert (trace.look.nansum(-1) <= 1.0001).all()
    shares = [round(float(t.links.mean()), 3) for t in traces]
    kept = {
        "reranked": [1, 39 / 64, 39 / 64, 39 / 64, 39 / 64, 39 / 64],
        "pruned": [1, 1, 39 / 64, 39 / 64, 24 / 64, 24 / 64],
    }
    for name, expected in kept.items():
        if VARIANTS[name] is options:
            assert shares == pytest.approx(expected, abs=1e-3)
    if options.prune is None and options.remove is None:
        assert shares == [1.0] * 6


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_saved_equals_loaded(options, tmp_path):
    path = tmp_path / "tokenpose.safetensors"
    network = make(options)
    save_tokenpose(path, network.state_dict(), options, extra={"recipe": "none"})
    loaded, metadata = load_tokenpose(path)
    assert loaded.options == options
    assert metadata["recipe"] == "none"
    with torch.no_grad():
        for a, b in zip(network(pictures()), loaded(pictures()), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dialect": "pose3d-lifter"}, "no TokenPose"),
        ({"version": "2"}, "version 1"),
        ({"options": "{}"}, "not understood"),
        ({"options": SMALL.to_json().replace("heatmap_wh", "heat_wh")}, "not understood"),
        ({"options": SMALL.to_json().replace('"stem"', '"resnet"')}, "resnet"),
        ({"options": replace(SMALL, depth=5).to_json()}, "do not fit"),
        ({"options": replace(SMALL, head="simcc").to_json()}, "do not fit"),
    ],
)
def test_wrong_file_is_refused(changes, words, tmp_path):
    path = tmp_path / "tokenpose.safetensors"
    save_tokenpose(path, make(SMALL).state_dict(), SMALL)
    state, metadata = read_tensors(path)
    save_file(state, path, metadata={**metadata, **changes})
    with pytest.raises(WeightsError, match=words):
        load_tokenpose(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "stam"}, "Did you mean 'stem'"),
        ({"head": "points"}, "no head of TokenPose named 'points'"),
        ({"size_wh": (100, 128)}, "Patches of"),
        ({"prune": PruneOptions()}, "layers below 6"),
        ({"remove": RemoveOptions(at=(6,), keep=(0.5,))}, "layers below 6"),
    ],
)
def test_impossible_options_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("make_options", "words"),
    [
        (lambda: PruneOptions(at=(3,), keep=(0.6, 0.6)), "1 layers, 2 shares"),
        (lambda: PruneOptions(at=(6, 3), keep=(0.6, 0.6)), "impossible"),
        (lambda: RemoveOptions(at=(3,), keep=(0.0,)), "cannot keep"),
        (lambda: RemoveOptions(at=(3,), keep=(math.nan,)), "cannot keep"),
        (lambda: JointOptions(layers=0), "cannot be 0 joint layers"),
        (lambda: JointOptions(links="legs"), "kind of joint links named 'legs'"),
    ],
)
def test_impossible_sparsity_is_refused(make_options, words):
    with pytest.raises(UsageError, match=words):
        make_options()
