"""The named networks: parameters and FLOPs against published numbers, and each of them in small."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.flops import count_flops
from pose3d.lift.models import LifterOptions, build_network, load_network, save_network
from tests.support.backbones import fill, inputs_for, shrink

PUBLISHED = {  # shared/golden/README.md: parameters in millions, entries of the state dict
    "mixste": (33.78, 204),
    "hot-mixste": (35.00, 214),
    "tpc-mixste": (33.78, 204),
    "mhformer-351": (31.52, 273),
    "motionbert-lite": (16.00, 260),
    "hot-motionbert": (16.35, 270),
    "motionagformer-b": (11.72, 1065),
    "hot-motionagformer": (11.83, 1072),
    # From the papers: MotionBERT, table 7 (its full size), MotionAGFormer, table 1.
    "motionbert": (42.5, None),
    "motionagformer-xs": (2.2, None),
    "motionagformer-s": (4.8, None),
    "motionagformer-l": (19.0, None),
    # By hand from section 3: 34 and 51 in and out, 1024 wide, 4 inner layers, 5 batch norms.
    "residual": ((34 * 1024 + 4 * 1024**2 + 51 * 1024 + 15 * 1024 + 51) / 1e6, None),
}

FLOPS = {  # shared/golden/README.md: linear GFLOPs, with attention
    "mixste": (277.25, 294.85),
    "hot-mixste": (167.51, 176.18),
    "tpc-mixste": (251.28, 266.85),
    "mhformer-351": (14.15, 16.44),
    "tpc-mhformer": (8.22, 9.17),
    "motionbert-lite": (131.09, 142.09),
    "hot-motionbert": (63.21, 66.86),
    "motionagformer-b": (95.92, 128.92),
    "hot-motionagformer": (60.52, 76.66),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_equal_published(name):
    millions, tensors = PUBLISHED[name]
    with torch.device("meta"):
        network = build_network(CONFIGURATIONS[name])
    ours = sum(p.numel() for p in network.parameters()) / 1e6
    assert ours == pytest.approx(millions, abs=0.005 if tensors else 0.05)
    assert tensors is None or len(network.state_dict()) == tensors


@pytest.mark.parametrize("name", FLOPS)
def test_flops_equal_published(name):
    """Equal but for what ours need not compute, which is added here by hand."""
    options = CONFIGURATIONS[name]
    frames, dim, hourglass = options.sizes["frames"], options.sizes["dim"], options.hourglass
    flops = count_flops(options)
    queries = diagonals = 0
    if hourglass is not None and hourglass.recover == "attention":
        # The published code projects the queries of the recovery for each of the 17 joints again.
        queries = 2 * 16 * frames * dim * dim
    if options.backbone == "motionagformer":
        # It multiplies links twice by a diagonal matrix, per frame in space, per joint in time.
        for layer in range(options.sizes["depth"]):
            f = hourglass.keep[0] if hourglass and layer >= hourglass.at[0] else frames
            diagonals += 2 * 2 * (17 * f**3 + f * 17**3)
    assert (flops.linear + queries) / 1e9 == pytest.approx(FLOPS[name][0], abs=0.006)
    assert (flops.total + queries + diagonals) / 1e9 == pytest.approx(FLOPS[name][1], abs=0.006)


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


@pytest.mark.parametrize("name", ["mhformer-27", "hot-motionagformer"])
def test_weights_with_batch_norm_survive_a_file(name, tmp_path):
    """Batch norms count batches in an integer."""
    options = shrink(CONFIGURATIONS[name])
    network = fill(options)
    counters = [k for k in network.state_dict() if k.endswith("num_batches_tracked")]
    assert counters
    for counter in counters:
        network.state_dict()[counter].fill_(100_001)
    save_network(tmp_path / "a.safetensors", network.state_dict(), options)
    x = inputs_for(network, 1)
    loaded = load_network(tmp_path / "a.safetensors")[0]
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    for file in (load_file(tmp_path / "a.safetensors"), loaded.state_dict()):
        assert all(file[k] == 100_001 and file[k].dtype == torch.int64 for k in counters)
