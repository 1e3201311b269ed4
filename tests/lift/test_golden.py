"""Pruned lifters against the published code, from keypoints to joints: same frames, same joints.

With k = 2 frames that are nearest to each other have equal densities, so which of them is kept hangs
on the last bit of the tokens. The golden numbers are therefore met only by the same order of
operations (``ties="rounding"``) on a processor that rounds like the one they were made on. Tests that
hold on every machine, with the published choice of frames put in, are in ``test_published.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional

from pose3d.lift import hourglass
from pose3d.lift.pruning import cluster_frames
from tests.support.golden import GOLDEN_NETWORKS, load_golden, relative_error

PRUNED = [name for name, (_, _, pruned) in GOLDEN_NETWORKS.items() if pruned is not None]

ROUNDING = "a4e20c1b28153ea855476a69612042867c3d4aea09260fa07bf055cc441d3d7e"
"""SHA-256 of :func:`rounded_numbers` on the machine of the golden numbers."""


def rounded_numbers() -> torch.Tensor:
    """The operations that lifters are made of, on fixed numbers, without any code of ours."""
    rng = torch.Generator().manual_seed(0)
    x, w = torch.randn(54, 17, 32, generator=rng), torch.randn(32, 32, generator=rng)
    q = functional.linear(functional.layer_norm(x, (32,)), w)
    y = (q @ x.transpose(1, 2) * 32**-0.5).softmax(-1) @ functional.gelu(q)
    wide = functional.conv1d(y.view(2, 27 * 17, 32), torch.ones(48, 27 * 17, 1).cumsum(0).rsqrt())
    return torch.cat([y.flatten(), wide.flatten(), torch.cdist(y, y).flatten()])


@pytest.fixture
def same_rounding() -> Iterator[None]:
    """Leaves the threads of torch as they were, and skips on machines that round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        if hashlib.sha256(rounded_numbers().numpy().tobytes()).hexdigest() != ROUNDING:
            pytest.skip("this machine rounds differently from that of the golden numbers")
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", PRUNED)
@pytest.mark.usefixtures("same_rounding")
def test_frames_and_joints_equal_published(name, monkeypatch):
    """What is clustered, and the same to the last bit: the frames, and the joints to 1e-6 relative."""
    seen = []

    def look(features: torch.Tensor, *args: Any, **options: Any) -> Any:
        seen.append(features)
        return cluster_frames(features, *args, **options)

    monkeypatch.setattr(hourglass, "cluster_frames", look)
    # The golden numbers were made by two threads. It matters to convolutions alone, which one thread
    # does differently; two on a busy machine wait for each other.
    torch.set_num_threads(2 if name == "tpc_mhformer_36" else 1)
    network, golden = load_golden(name)
    expected = golden["tpc.index"]
    if network.options.keep_centre:  # the published indices leave the centre out
        centre = torch.full_like(expected[:, :1], (network.frames - 1) // 2)
        expected = torch.cat([expected, centre], 1).sort(1).values
    with torch.no_grad():
        joints, index = network.forward_with_index(golden["input"])
    assert relative_error(seen[0], golden["tpc.cluster_input"]) < 1e-6
    if not torch.equal(seen[0], golden["tpc.cluster_input"]):
        # The fixed numbers cannot show it all: kernels differ by the shapes of matrices as well.
        pytest.skip("this machine rounds these sizes differently from that of the golden numbers")
    assert torch.equal(index, expected)
    assert relative_error(joints, golden["output"]) < 1e-6
