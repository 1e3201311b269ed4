"""Every backbone with every pruning and recovery: the promises that hold for all of them.

Not the full product: each two of backbone, pruning and recovery meet (a Latin square).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.options import PRUNINGS, RECOVERIES
from pose3d.plugins import PARTS
from tests.support.backbones import inputs_for, small_backbone

SCHEDULES: tuple[dict[str, Any], ...] = (
    {"keep": (4,), "at": (2,)},
    {"keep": (7, 4, 3), "at": (1, 2, 3)},
)
RECOVERS: tuple[dict[str, Any], ...] = (
    *({"recover": r} for r in (*RECOVERIES, None)),
    *({"recover": r, "readout": "attention"} for r in ("nearest", "linear", "linear-tokens", None)),
    {"recover": "linear", "readout": "refined"},
    {"recover": None, "readout": "refined"},
)
TABLE = [
    pytest.param(
        backbone,
        PRUNINGS[(i + j) % len(PRUNINGS)],
        recover,
        id="-".join(map(str, (backbone, PRUNINGS[(i + j) % len(PRUNINGS)], *recover.values()))),
    )
    for i, backbone in enumerate(PARTS["backbone"])
    for j, recover in enumerate(RECOVERS)
]
table = pytest.mark.parametrize(("backbone", "prune", "recover"), TABLE)


def made(backbone: str, batch: int, **options: Any) -> tuple[Hourglass, torch.Tensor]:
    """A small network of four blocks and windows of nine frames for it."""
    network = small_backbone(backbone, HourglassOptions(heads=2, **options))
    return network, inputs_for(network, batch)


def test_each_two_choices_meet():
    rows = [param.values for param in TABLE]
    others = {str(r): None for r in RECOVERS}
    assert len({(b, p) for b, p, _ in rows}) == len(PARTS["backbone"]) * len(PRUNINGS)
    assert len({(b, str(r)) for b, _, r in rows}) == len(PARTS["backbone"]) * len(others)
    assert len({(p, str(r)) for _, p, r in rows}) == len(PRUNINGS) * len(others)


@table
def test_answers(backbone, prune, recover):
    """Shapes, possible frames, the centre, the same again, and each window as if it were alone."""
    for schedule, centre in zip(SCHEDULES, (True, False), strict=True):
        network, x = made(backbone, 3, prune=prune, keep_centre=centre, **recover, **schedule)
        kept = schedule["keep"][-1]
        with torch.no_grad():
            joints, index = network.forward_with_index(x)
            again, same = network.forward_with_index(x)
            alone = [network.forward_with_index(window[None]) for window in x]
        assert joints.shape == (3, kept if recover["recover"] is None else 9, 17, 3)
        assert joints.isfinite().all()
        assert index.shape == (3, kept)
        assert (index.diff(dim=1) > 0).all()
        assert 0 <= index.min() <= index.max() < 9
        assert not centre or (index == 4).any(1).all()
        assert torch.equal(again, joints)
        assert torch.equal(same, index)
        assert torch.equal(torch.cat([i for _, i in alone]), index)
        torch.testing.assert_close(torch.cat([j for j, _ in alone]), joints, atol=1e-5, rtol=1e-5)


@table
def test_gradients_reach_every_parameter(backbone, prune, recover):
    network, x = made(backbone, 2, prune=prune, **recover, **SCHEDULES[1])
    torch.manual_seed(0)  # dropout
    network.train()
    network(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("recover", ["nearest", "linear", "linear-tokens", None])
@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_keeping_every_frame_is_the_plain_backbone(backbone, recover):
    """To the bit, for every recovery that returns what it is given."""
    for i, prune in enumerate(PRUNINGS):
        at = ((2,), (1, 3))[i % 2]
        options = {"prune": prune, "recover": recover, "keep_centre": i % 4 < 2}
        network, x = made(backbone, 2, keep=(9,) * len(at), at=at, **options)
        with torch.no_grad():
            assert torch.equal(network(x), Hourglass(network.backbone, None)(x))


@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_every_frame_counts(backbone):
    """The output of each frame depends on every other one; the residual network's on itself alone."""
    network = small_backbone(backbone)
    x = inputs_for(network, 1).requires_grad_()
    for frame in (0, 8):
        (gradient,) = torch.autograd.grad(network(x)[0, frame].square().sum(), x)
        seen = gradient.abs().sum((0, 2, 3)) > 0
        assert seen.tolist() == [backbone != "residual" or f == frame for f in range(9)]


@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_bfloat16_stays_near_float32(backbone):
    network, x = made(backbone, 2, keep=(4,), at=(2,), prune="uniform")
    with torch.no_grad():
        joints = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x).float()
    assert (half - joints).abs().max() < 0.06 * joints.abs().max()


@pytest.mark.gpu
@table
def test_a_gpu_gives_the_same(backbone, prune, recover):
    kind = "cuda" if torch.cuda.is_available() else "mps"
    if kind == "mps" and not torch.backends.mps.is_available():
        pytest.skip("no GPU")
    centre = recover["recover"] is None
    network, x = made(
        backbone, 2, prune=prune, keep=(6, 4), at=(1, 3), keep_centre=centre, **recover
    )
    with torch.no_grad():
        expected, index = network.forward_with_index(x)
        ours, ours_index = network.to(kind).forward_with_index(x.to(kind))
    assert torch.equal(ours_index.cpu(), index)
    torch.testing.assert_close(ours.cpu(), expected, atol=1e-4, rtol=1e-4)
