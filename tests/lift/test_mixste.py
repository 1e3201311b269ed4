"""lift/mixste.py, published.py and flops.py against the published network: numbers and sizes."""

from __future__ import annotations

import pytest
import torch

from pose3d.errors import WeightsError
from pose3d.lift.backbones.mixste import MixSTE
from pose3d.lift.flops import count_flops
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import LifterOptions, build_network
from pose3d.lift.published.names import rename_mixste
from tests.support.lifters import keypoints, load_golden, relative_error, small_network

PUBLISHED = {  # shared/golden/README.md: linear GFLOPs, with attention, parameters, tensors
    "mixste": (None, 277.25, 294.85, 33.78, 204),
    "hot_mixste": (HourglassOptions(keep=(81,), at=(3,)), 167.51, 176.18, 35.00, 214),
    "tpc_mixste": (
        HourglassOptions(keep=(61,), at=(7,), recover=None, keep_centre=True),
        251.28,
        266.85,
        33.78,
        204,
    ),
}


def full_size(hourglass: HourglassOptions | None) -> LifterOptions:
    return LifterOptions(backbone="mixste", hourglass=hourglass)  # 243 frames, dim 512, 8 pairs


def test_output_equals_published():
    network, golden = load_golden("mixste")
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5
        # The hourglass without options runs the very same backbone.
        assert torch.equal(network(golden["input"]), network.backbone(golden["input"]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_equal_published(name):
    hourglass, _, _, millions, tensors = PUBLISHED[name]
    with torch.device("meta"):
        network = build_network(full_size(hourglass))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert len(network.state_dict()) == tensors


@pytest.mark.parametrize("name", PUBLISHED)
def test_flops_equal_published(name):
    hourglass, linear, total, _, _ = PUBLISHED[name]
    flops = count_flops(full_size(hourglass))
    saved = 0.0
    if name == "hot_mixste":
        # The published code projects the learned queries once for each of the 17 joints, with the
        # same result each time; ours does it once.
        saved = 16 * 243 * 512 * 512 * 2 / 1e9
    assert flops.linear / 1e9 + saved == pytest.approx(linear, abs=0.006)
    assert flops.total / 1e9 + saved == pytest.approx(total, abs=0.006)


def test_flops_by_hand():
    options = LifterOptions(
        backbone="mixste", sizes={"frames": 4, "dim": 8, "depth": 1, "heads": 2, "mlp_ratio": 2.0}
    )
    tokens, dim = 4 * 17, 8
    block = tokens * dim * (3 * dim + dim + 2 * dim + 2 * dim)
    by_hand = 2 * (tokens * 2 * dim + 2 * block + tokens * dim * 3)
    flops = count_flops(options)
    assert flops.linear == by_hand
    assert flops.attention == 4 * tokens * dim * (17 + 4)


def test_renaming_keeps_every_tensor():
    published = load_golden("hot_mixste")[1]
    state = {k[7:]: v for k, v in published.items() if k.startswith("weight.")}
    renamed = rename_mixste(state)
    assert len(renamed) == len(state) == 214
    for tensor, ours in zip(state.values(), renamed.values(), strict=True):
        assert torch.equal(tensor.flatten(), ours.flatten())
    assert rename_mixste({f"module.{k}": v for k, v in state.items()}).keys() == renamed.keys()


def test_renaming_refuses_other_networks():
    with pytest.raises(WeightsError, match=r"encoder\.layer1.*MixSTE"):
        rename_mixste({"encoder.layer1": torch.zeros(1)})
    # The start of a known name is not enough.
    with pytest.raises(WeightsError, match="STEblocksX"):
        rename_mixste({"STEblocksX.0": torch.zeros(1)})


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


def test_attention_received_equals_plain_softmax():
    network = small_network().backbone
    tokens = torch.randn(2, 9, 17, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        received = network.frame_attention(2, tokens)
        block = network.temporal_blocks[2]
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
    with pytest.raises(RuntimeError):
        Hourglass(MixSTE(frames=9, dim=16, depth=2, heads=2), None)(keypoints(1, 8, 2))
