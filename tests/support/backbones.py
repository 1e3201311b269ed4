"""What tests of MHFormer, MotionBERT and MotionAGFormer share: golden networks and small ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pose3d.lab.training.optimisers import initialise
from pose3d.lift import hourglass
from pose3d.lift.configurations import get_configuration
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import LifterOptions, build_network
from pose3d.lift.pruning import cluster_frames
from pose3d.lift.published.names import rename_mhformer, rename_motionagformer, rename_motionbert
from tests.support import ROOT
from tests.support.lifters import GOLDEN, relative_error

SHARED = ROOT.parent / "shared" / "golden"

RENAME = {
    "mhformer": rename_mhformer,
    "motionbert": rename_motionbert,
    "motionagformer": rename_motionagformer,
}

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

GOLDEN_NETWORKS: dict[str, tuple[str, dict[str, Any], HourglassOptions | None]] = {
    "mhformer_27": ("mhformer", {"frames": 27, **_MHFORMER}, None),
    "mhformer_36": ("mhformer", {"frames": 36, **_MHFORMER}, None),
    "tpc_mhformer_36": (
        "mhformer",
        {"frames": 36, **_MHFORMER},
        HourglassOptions(keep=(9,), at=(1,), recover=None, keep_centre=True, ties="rounding"),
    ),
    "motionbert": ("motionbert", _MOTIONBERT, None),
    "hot_motionbert": (
        "motionbert",
        _MOTIONBERT,
        HourglassOptions(keep=(9,), at=(1,), ties="rounding"),
    ),
    "motionagformer": ("motionagformer", _MOTIONAGFORMER, None),
    "hot_motionagformer": (
        "motionagformer",
        _MOTIONAGFORMER,
        HourglassOptions(keep=(9,), at=(2,), heads=4, ties="rounding"),
    ),
}
"""File -> backbone, sizes, hourglass; from shared/golden/README.md."""

SMALL: dict[str, dict[str, Any]] = {
    "mixste": {"depth": 4},
    "mhformer": {"hidden": 24, "refinements": 3, "generator_depth": 1},
    "motionbert": {"depth": 4, "dim_rep": 12},
    "motionagformer": {"depth": 4, "dim_rep": 12},
    "residual": {"depth": 4},
}
"""Backbone -> sizes of a network of four blocks that runs in milliseconds."""


def load_golden(name: str, **changes: Any) -> tuple[Hourglass, dict[str, Tensor]]:
    """Returns a golden network with the published code's weights, and all tensors of its file.

    Files that the repository has no room for are read from ../shared; the test skips without it.
    """
    path = GOLDEN / "lifters" / f"{name}.safetensors"
    if not path.is_file():
        path = SHARED / "lifters" / path.name
    if not path.is_file():
        pytest.skip("needs ../shared (reference data that users do not have)")
    tensors = load_file(path)
    backbone, sizes, pruned = GOLDEN_NETWORKS[name]
    options = LifterOptions(backbone=backbone, sizes={**sizes, **changes}, hourglass=pruned)
    network = build_network(options).eval()
    network.load_state_dict(RENAME[backbone](published_state(tensors)), strict=True)
    return network, tensors


def published_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the published state dict inside a golden file."""
    return {k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")}


def check_pruned_golden(
    name: str, monkeypatch: pytest.MonkeyPatch, *, centre: int | None = None
) -> None:
    """Compares a pruned golden network with its file: choice of frames, tokens before it, output.

    Holds on every machine: the choice is compared on the published tokens and up to ties, because
    which of two frames that are nearest to each other is kept hangs on the last bit, and the output
    for the published choice. What a machine that rounds alike gives without such help is in
    ``tests/lift/test_golden.py``.
    """
    network, golden = load_golden(name)
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


def shrink(options: LifterOptions, pruned: HourglassOptions | None = None) -> LifterOptions:
    """Returns a configuration in small: 9 frames, 16 channels, 4 blocks.

    Args:
        options: of any size.
        pruned: replaces the hourglass of ``options``, which is made small otherwise.
    """
    heads = {"heads": 2} if options.backbone != "residual" else {}
    sizes = {**options.sizes, "frames": 9, "dim": 16, **heads, **SMALL[options.backbone]}
    if pruned is None and options.hourglass is not None:
        pruned = replace(options.hourglass, keep=(4,), at=(2,), heads=2)
    return replace(options, sizes=sizes, hourglass=pruned)


_CONFIGURATIONS = {"mhformer": "mhformer-81", "motionagformer": "motionagformer-b"}


def small_options(backbone: str, pruned: HourglassOptions | None = None) -> LifterOptions:
    """Returns the options of one published network of a backbone, made small, see :func:`shrink`."""
    return shrink(get_configuration(_CONFIGURATIONS.get(backbone, backbone)), pruned)


def small_backbone(backbone: str, pruned: HourglassOptions | None = None) -> Hourglass:
    """Returns a small network, see :func:`fill`."""
    return fill(small_options(backbone, pruned))


def fill(options: LifterOptions) -> Hourglass:
    """Builds a network with random weights, the same on every call, nothing zero or ineffective."""
    torch.manual_seed(5)
    network = build_network(options)
    initialise(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return network.eval()
