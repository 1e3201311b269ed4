"""Hourglass networks in lower precision and on a GPU; distances of the clustering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.body.geometry import assumed_focal_px
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import BACKBONES
from pose3d.lift.pruning import exact_distances
from pose3d.lift.sequence import make_lifter
from pose3d.options import PRUNINGS, RECOVERIES
from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints

TABLE = [(p, r) for p in PRUNINGS for r in (*RECOVERIES, None)]


def window(network: torch.nn.Module, batch: int = 2) -> torch.Tensor:
    name = type(network.backbone).__name__
    return keypoints(batch, channels=2 if name in ("MixSTE", "MHFormer", "Residual") else 3)


def two_steps(prune: str, recover: str | None) -> HourglassOptions:
    return HourglassOptions(
        prune=prune,
        recover=recover,
        keep=(6, 4),
        at=(1, 3),
        heads=2,
        keep_centre=recover is None,
    )


# -- distances --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_distances_equal_differences_in_double_precision(scale):
    rng = torch.Generator().manual_seed(0)
    x = scale * (5 + torch.randn(2, 40, 64, generator=rng).cumsum(1))
    x[:, 7] = x[:, 3]
    x[:, 8] = x[:, 3]
    ours = exact_distances(x)
    double = x.double()
    expected = (double[:, :, None] - double[:, None]).norm(dim=-1)
    torch.testing.assert_close(ours, expected.float(), rtol=2e-7, atol=0)
    assert torch.equal(ours, ours.transpose(1, 2))
    assert (ours[:, [3, 3, 7, 7], [7, 8, 8, 7]] == 0).all()


def test_frames_equal_but_for_rounding_are_equal():
    """A last bit of one channel, which may come from another order of sums, makes no difference."""
    x = torch.randn(1, 20, 64, generator=torch.Generator().manual_seed(1))
    x[:, 5] = x[:, 2]
    x[0, 5, 0] = torch.nextafter(x[0, 2, 0], torch.tensor(9.0))
    x[:, 9] = x[:, 2]
    x[0, 9, 0] += 1e-3
    distance = exact_distances(x)
    assert distance[0, 2, 5] == 0
    assert distance[0, 2, 9] == pytest.approx(1e-3, rel=1e-3)


# -- precision ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "limit_m"), [("bf16", 0.02), ("fp16", 0.004)])
def test_lower_precision_stays_near_on_the_samples(precision, limit_m, samples):
    """The shipped weights on true keypoints, frames chosen evenly so that all choose the same."""
    from pose3d.lift.sequence import make_lifter_for
    from pose3d.options import RunOptions

    options = RunOptions(prune="uniform", device="cpu", offline=True, precision=precision)
    with np.load(samples / "walk_turn.truth.npz") as truth:
        points = truth["keypoints_px"][:27, 0][None].astype(np.float64)
    args = (points, np.ones(points.shape[:3]), (1280, 720), assumed_focal_px((1280, 720)))
    half = make_lifter_for(options)
    assert half.precision == precision
    full = make_lifter_for(replace(options, precision="auto"))
    assert full.precision == "fp32"
    gap = np.linalg.norm(half.lift_windows(*args) - full.lift_windows(*args), axis=-1)
    assert 0 < gap.max() < limit_m


# -- devices ---------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("prune", "recover"), TABLE)
def test_a_gpu_gives_the_same(backbone, prune, recover):
    kind = "cuda" if torch.cuda.is_available() else "mps"
    if kind == "mps" and not torch.backends.mps.is_available():
        pytest.skip("no GPU")
    network = small_backbone(backbone, two_steps(prune, recover))
    x = window(network)
    with torch.no_grad():
        expected, index = network.forward_with_index(x)
        ours, ours_index = network.to(kind).forward_with_index(x.to(kind))
    assert torch.equal(ours_index.cpu(), index)
    torch.testing.assert_close(ours.cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
def test_shipped_weights_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    points = 600 + 50 * keypoints(2, 27, 2).double().numpy()
    args = (points, np.ones(points.shape[:3]), (1280, 720), 1000.0)
    ours = [make_lifter("hot-mixste", device=d, offline=True) for d in ("cuda", "cpu")]
    first, second = (lifter.lift_windows(*args) for lifter in ours)
    np.testing.assert_allclose(first, second, atol=1e-3)
