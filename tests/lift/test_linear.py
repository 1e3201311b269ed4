"""lift/linear.py against torch, and our MixSTE against the plain one of tests/support/plain_mixste.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pose3d.lift.backbones import linear
from pose3d.lift.backbones.linear import Linear
from pose3d.lift.hourglass import HourglassOptions
from tests.support.golden import load_golden, relative_error
from tests.support.lifters import keypoints, small_network
from tests.support.plain_mixste import PlainMixSTE

needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise") or not torch.backends.mkldnn.is_available(),
    reason="this torch has no oneDNN",
)


@pytest.fixture
def onednn(monkeypatch):
    """Takes oneDNN on every processor; returns how often it was asked."""
    monkeypatch.setattr(linear, "has_slow_mkl", lambda: True)
    calls = []
    product = torch.ops.mkldnn._linear_pointwise

    def counted(*args):
        calls.append(args[0].shape)
        return product(*args)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", counted)
    return calls


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 32), (2, 3, 7, 32), (0, 32)])
def test_onednn_equals_float64(onednn, shape, bias):
    layer = Linear(32, 24, bias=bias)
    x = torch.randn(shape)
    exact = nn.functional.linear(x.double(), *(p.double() for p in layer.parameters()))
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), exact.float(), atol=1e-6, rtol=1e-5)
        turned = torch.randn(32, 24, 7).transpose(0, 2)  # 7 24 32, not contiguous
        exact = nn.functional.linear(turned.double(), *(p.double() for p in layer.parameters()))
        torch.testing.assert_close(layer(turned), exact.float(), atol=1e-6, rtol=1e-5)
    assert onednn == [x.shape, turned.shape]


@needs_onednn
def test_training_autocast_and_compilation_stay_with_torch(onednn, monkeypatch):
    layer = Linear(8, 4)
    x = torch.randn(3, 8, requires_grad=True)
    layer(x).square().sum().backward()
    weight = layer.weight.detach()
    expected = 2 * (x @ weight.T + layer.bias) @ weight
    torch.testing.assert_close(x.grad, expected.detach())
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        assert Linear(8, 4, dtype=torch.float64)(x.double()).dtype == torch.float64
        assert layer(x.to("cpu")).dtype == torch.float32
        assert len(onednn) == 1  # only this last one
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        layer(x)
    assert len(onednn) == 1


def test_names_of_parameters_are_those_of_torch():
    assert Linear(3, 2).state_dict().keys() == nn.Linear(3, 2).state_dict().keys()
    assert isinstance(Linear(3, 2), nn.Linear)  # what counts operations looks for it


# -- the plain twin ----------------------------------------------------------------------------


def plain_twin(network, **sizes):
    twin = PlainMixSTE(**sizes).eval()
    state = {k.removeprefix("backbone."): v for k, v in network.state_dict().items()}
    twin.load_state_dict(state, strict=True)
    return twin


def test_the_twin_equals_the_published_network():
    network, golden = load_golden("mixste")
    twin = plain_twin(network, frames=27, dim=32, depth=8)
    with torch.inference_mode():
        assert relative_error(twin(golden["input"]), golden["output"]) < 1e-5


@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=needs_onednn)])
def test_ours_equals_the_twin(fast, request):
    calls = request.getfixturevalue("onednn") if fast else []
    sizes = {"frames": 27, "dim": 64, "depth": 4, "heads": 4, "channels_in": 2}
    network = small_network(**sizes)
    twin = plain_twin(network, **sizes)
    x = keypoints(3, 27, 2)
    with torch.inference_mode():
        assert relative_error(network(x), twin(x)) < 1e-5
    assert len(calls) == (4 * 8 if fast else 0)  # four in each of eight blocks


def test_queries_of_the_recovery_are_projected_once():
    """Not for each of the 17 joints of each window, as in the published code."""
    network = small_network(HourglassOptions(keep=(4,), at=(2,), heads=2))
    shapes = []
    network.recovery.linear_q.register_forward_hook(lambda _m, x, _y: shapes.append(x[0].shape))
    with torch.inference_mode():
        network(keypoints(3))
    assert shapes == [(1, 9, 16)]
