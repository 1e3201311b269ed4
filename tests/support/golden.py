"""Golden lifters: networks of the published code in small, with its weights, inputs and answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pose3d.lift import hourglass
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import LifterOptions, build_network
from pose3d.lift.pruning import cluster_frames
from pose3d.plugins import load_part
from tests.support import GOLDEN, ROOT

SHARED = ROOT.parent / "shared" / "golden"

_MIXSTE = {"frames": 27, "dim": 32, "depth": 8}
_MHFORMER = {"dim": 48, "hidden": 96}
_MOTIONBERT = {"frames": 27, "channels_in": 3, "dim": 32, "mlp_ratio": 4.0, "dim_rep": 64}
_MOTIONAGFORMER = {
    "frames": 27,
    "channels_in": 3,
    "dim": 32,
    "depth": 4,
    "heads": 4,
    "neighbours": 4,
}


def _hot(at: int, **more: Any) -> HourglassOptions:
    return HourglassOptions(keep=(9,), at=(at,), ties="rounding", **more)


GOLDEN_NETWORKS: dict[str, tuple[str, dict[str, Any], HourglassOptions | None]] = {
    "mixste": ("mixste", _MIXSTE, None),
    "hot_mixste": ("mixste", _MIXSTE, _hot(3)),
    "tpc_mixste": ("mixste", _MIXSTE, _hot(3, recover=None, keep_centre=True)),
    "mhformer_27": ("mhformer", {"frames": 27, **_MHFORMER}, None),
    "mhformer_36": ("mhformer", {"frames": 36, **_MHFORMER}, None),
    "tpc_mhformer_36": (
        "mhformer",
        {"frames": 36, **_MHFORMER},
        _hot(1, recover=None, keep_centre=True),
    ),
    "motionbert": ("motionbert", _MOTIONBERT, None),
    "hot_motionbert": ("motionbert", _MOTIONBERT, _hot(1)),
    "motionagformer": ("motionagformer", _MOTIONAGFORMER, None),
    "hot_motionagformer": ("motionagformer", _MOTIONAGFORMER, _hot(2, heads=4)),
}
"""File -> backbone, sizes, hourglass; from shared/golden/README.md."""


def golden_tensors(name: str) -> dict[str, Tensor]:
    """Returns all tensors of a golden file.

    Files that the repository has no room for are read from ../shared; the test skips without it.
    """
    path = GOLDEN / "lifters" / f"{name}.safetensors"
    path = path if path.is_file() else SHARED / "lifters" / path.name
    if not path.is_file():
        pytest.skip("needs ../shared (reference data that users do not have)")
    return load_file(path)


def published_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the published state dict inside a golden file."""
    return {k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")}


def rename(backbone: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames a published state dict to ours."""
    renamed: dict[str, Tensor] = load_part("backbone", backbone).published.rename(state)
    return renamed


def load_golden(name: str, **changes: Any) -> tuple[Hourglass, dict[str, Tensor]]:
    """Returns a golden network with the published code's weights, and all tensors of its file."""
    tensors = golden_tensors(name)
    backbone, sizes, pruned = GOLDEN_NETWORKS[name]
    options = LifterOptions(backbone=backbone, sizes={**sizes, **changes}, hourglass=pruned)
    network = build_network(options).eval()
    network.load_state_dict(rename(backbone, published_state(tensors)), strict=True)
    return network, tensors


def relative_error(ours: Tensor, golden: Tensor) -> float:
    """Returns the largest difference over the largest golden value."""
    assert ours.shape == golden.shape
    return float((ours - golden).abs().max() / golden.abs().max())


def check_pruned_golden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares a pruned golden network with its file: choice of frames, tokens before it, output.

    Holds on every machine: the choice is compared on the published tokens and up to ties, because
    which of two frames that are nearest to each other is kept hangs on the last bit, and the output
    for the published choice. What a machine that rounds alike gives without such help is in
    ``tests/lift/test_golden.py``.
    """
    network, golden = load_golden(name)
    assert network.options is not None
    centre = (network.frames - 1) // 2 if network.options.keep_centre else None
    index, tokens = golden["tpc.index"], golden["tpc.cluster_input"]
    chosen, assign = cluster_frames(tokens, index.shape[1], exclude=centre, ties="rounding")
    check_same_but_for_ties(chosen, index, tokens)
    for i, (ours, theirs) in enumerate(
        zip(assign.tolist(), golden["tpc.assign"].tolist(), strict=True)
    ):
        # Equal groups of frames; the published numbers of groups with equal scores are arbitrary.
        if torch.equal(chosen[i], index[i]):
            assert len(set(zip(ours, theirs, strict=True))) == index.shape[1]

    def published_choice(features: Tensor, keep: int, **options: Any) -> tuple[Tensor, Tensor]:
        assert relative_error(features, tokens) < 1e-5
        assert keep == index.shape[1]
        excluded = options.pop("exclude")
        assert excluded is None if centre is None else excluded.tolist() == [centre] * len(index)
        assert options == {"neighbours": 2, "ties": "rounding"}
        return index, golden["tpc.assign"]

    monkeypatch.setattr(hourglass, "cluster_frames", published_choice)
    with torch.no_grad():
        joints, kept = network.forward_with_index(golden["input"])
    if centre is not None:
        assert not (index == centre).any()
        index = torch.cat([index, torch.full_like(index[:, :1], centre)], 1).sort(1).values
    assert torch.equal(kept, index)
    assert relative_error(joints, golden["output"]) < 1e-5


def check_same_but_for_ties(chosen: Tensor, index: Tensor, tokens: Tensor) -> None:
    """Asserts that frames are the published ones, but for what ties between nearest frames decide.

    Of two frames that are nearest to each other, densities are equal: rounding decides whether one of
    them, the other or both get the distance to a denser frame that keeps them. Where both are kept, a
    frame of low score drops out at the end.

    Args:
        chosen: ``(batch, keep)`` ours.
        index: ``(batch, keep)`` published.
        tokens: ``(batch, frame, channel)`` that both were chosen by.
    """
    for ours, theirs, frames in zip(chosen.tolist(), index.tolist(), tokens.double(), strict=True):
        nearest = torch.cdist(frames, frames).fill_diagonal_(torch.inf).argmin(-1).tolist()
        others = set(ours) - set(theirs)
        assert len(set(ours)) == len(theirs)
        assert len(others) <= len(theirs) // 4
        assert all(nearest[nearest[frame]] == frame for frame in others)
