"""Every backbone, every pruning, every recovery: conformance, and sizes against published ones."""

from __future__ import annotations

import pytest
import torch

from pose3d.errors import UsageError
from pose3d.lift.configurations import CONFIGURATIONS, build, get_configuration
from pose3d.lift.flops import count_flops
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import BACKBONES, load_network, save_network
from pose3d.options import PRUNINGS, RECOVERIES
from tests.support.backbones import fill, shrink, small_backbone
from tests.support.lifters import keypoints

COMBINATIONS = [(p, r) for p in PRUNINGS for r in (*RECOVERIES, None)]


def window(network: torch.nn.Module, batch: int) -> torch.Tensor:
    channels = 2 if type(network.backbone).__name__ in ("MixSTE", "MHFormer", "Residual") else 3
    return keypoints(batch, channels=channels)


def check_gradients(network: torch.nn.Module, x: torch.Tensor) -> None:
    """Every parameter can be learned, except one kind that by its nature does nothing."""
    network(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # A bias of all keys adds the same to all scores of a query, which softmax takes away.
        if not name.endswith("linear_k.bias"):
            assert parameter.grad.abs().sum() > 1e-6, name


# -- the named ones ----------------------------------------------------------------------------

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
        network = build(name)
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


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration(name):
    """In small: shapes, a batch equal to its windows one by one, gradients to every parameter."""
    network = fill(shrink(get_configuration(name)))
    x = window(network, 3)
    with torch.no_grad():
        joints = network(x)
        assert joints.shape == (3, 4 if name.startswith("tpc") else 9, 17, 3)
        assert joints.isfinite().all()
        for b in range(3):
            torch.testing.assert_close(network(x[b : b + 1])[0], joints[b], atol=1e-5, rtol=1e-5)
    check_gradients(network, x)


@pytest.mark.parametrize("name", ["mhformer-27", "hot-motionagformer"])
def test_weights_with_batch_norm_survive_a_file(name, tmp_path):
    """Batch norms count batches in an integer, which float16 could not hold."""
    options = shrink(get_configuration(name))
    network = fill(options)
    counters = [k for k in network.state_dict() if k.endswith("num_batches_tracked")]
    assert counters
    for counter in counters:
        network.state_dict()[counter].fill_(100_001)
    save_network(tmp_path / "a.safetensors", network.state_dict(), options)
    save_network(tmp_path / "half.safetensors", network.state_dict(), options, half=True)
    x = window(network, 1)
    loaded = load_network(tmp_path / "a.safetensors")[0]
    half = load_network(tmp_path / "half.safetensors")[0]
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
        assert half(x).dtype == torch.float32
    assert all(half.state_dict()[k] == 100_001 for k in counters)


def test_unknown_configuration():
    with pytest.raises(UsageError, match=r"no configuration named 'hot-mixtse'.*'hot-mixste'"):
        build("hot-mixtse")
    assert build("motionagformer-xs", frames=9, depth=2).frames == 9
    assert CONFIGURATIONS["motionagformer-xs"].sizes["frames"] == 27


# -- all combinations --------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("prune", "recover"), COMBINATIONS)
def test_every_combination(backbone, prune, recover):
    """Two steps: shapes, frames that can be, repeatable, batch = single, gradients everywhere."""
    options = HourglassOptions(prune=prune, recover=recover, keep=(6, 4), at=(1, 3), heads=2)
    network = small_backbone(backbone, options)
    x = window(network, 3)
    with torch.no_grad():
        joints, index = network.forward_with_index(x)
        assert joints.shape == (3, 4 if recover is None else 9, 17, 3)
        assert joints.isfinite().all()
        assert index.shape == (3, 4)
        assert (index.diff(dim=1) > 0).all()
        assert index.min() >= 0
        assert index.max() < 9
        again, again_index = network.forward_with_index(x)
        assert torch.equal(again, joints)
        assert torch.equal(again_index, index)
        for b in range(3):
            single, single_index = network.forward_with_index(x[b : b + 1])
            assert torch.equal(single_index[0], index[b])
            torch.testing.assert_close(single[0], joints[b], atol=1e-5, rtol=1e-5)
    check_gradients(network, x)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("prune", PRUNINGS)
@pytest.mark.parametrize("recover", ["nearest", "linear", None])
def test_keeping_every_frame_is_the_plain_backbone(backbone, prune, recover):
    options = HourglassOptions(prune=prune, recover=recover, keep=(9,), at=(2,))
    network = small_backbone(backbone, options)
    x = window(network, 2)
    with torch.no_grad():
        assert torch.equal(network(x), network.backbone(x))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("prune", PRUNINGS)
def test_the_centre_frame_is_always_kept(backbone, prune):
    options = HourglassOptions(
        prune=prune, recover=None, keep_centre=True, keep=(7, 5, 2), at=(1, 2, 3)
    )
    network = small_backbone(backbone, options)
    with torch.no_grad():
        joints, index = network.forward_with_index(window(network, 4))
    assert joints.shape == (4, 2, 17, 3)
    assert (index == 4).any(1).all()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bfloat16_stays_near_float32(backbone):
    options = HourglassOptions(keep=(4,), at=(2,), heads=2, prune="uniform")
    network = small_backbone(backbone, options)
    x = window(network, 2)
    with torch.no_grad():
        joints = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x).float()
    assert (half - joints).abs().max() < 0.06 * joints.abs().max()


@pytest.mark.parametrize("backbone", [b for b in BACKBONES if b != "residual"])
def test_every_frame_counts(backbone):
    """The output of each frame depends on every other frame: tokens really meet in time."""
    network = small_backbone(backbone)
    x = window(network, 1).requires_grad_()
    for frame in (0, 8):
        (gradient,) = torch.autograd.grad(network(x)[0, frame].square().sum(), x)
        assert (gradient.abs().sum((0, 2, 3)) > 0).all()
