"""Every backbone with every pruning and recovery: the promises that hold for all of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import BACKBONES
from pose3d.options import PRUNINGS, RECOVERIES
from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints

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
        backbone, prune, recover, id="-".join(map(str, (backbone, prune, *recover.values())))
    )
    for backbone, prune, recover in itertools.product(BACKBONES, PRUNINGS, RECOVERS)
]
table = pytest.mark.parametrize(("backbone", "prune", "recover"), TABLE)


def made(backbone: str, batch: int, **options: Any) -> tuple[Hourglass, torch.Tensor]:
    """A small network of four blocks and windows of nine frames for it."""
    network = small_backbone(backbone, HourglassOptions(heads=2, **options))
    channels = 3 if backbone in ("motionbert", "motionagformer") else 2
    return network, keypoints(batch, channels=channels)


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
@pytest.mark.parametrize("prune", PRUNINGS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_keeping_every_frame_is_the_plain_backbone(backbone, prune, recover):
    """To the bit, for every recovery that returns what it is given."""
    for centre in (False, True):
        for schedule in ({"keep": (9,), "at": (2,)}, {"keep": (9, 9), "at": (1, 3)}):
            options = {"prune": prune, "recover": recover, "keep_centre": centre, **schedule}
            network, x = made(backbone, 2, **options)
            with torch.no_grad():
                assert torch.equal(network(x), network.backbone(x))
