"""Checkpoints in the layouts of the published code bases, made from golden files and our networks."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose3d.lift.models import LifterOptions, build_network
from tests.support.golden import golden_tensors, published_state, rename

_TEMPLATES = {
    "mixste": "hot_mixste",
    "mhformer": "tpc_mhformer_36",
    "motionbert": "hot_motionbert",
    "motionagformer": "hot_motionagformer",
}
"""Golden files whose names tell how the published code calls each tensor of ours."""


def published_shapes(options: LifterOptions) -> dict[str, Tensor]:
    """Returns a full-size published state dict without memory behind it (on the meta device)."""
    with torch.device("meta"):
        state = build_network(options).state_dict()
    return to_published(options, state)


def to_published(options: LifterOptions, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames a state dict of ours backwards, by the names in a golden file."""
    normed = options.backbone == "mhformer" and options.sizes["batch_norm"]
    template = "mhformer_27" if normed else _TEMPLATES[options.backbone]
    golden = published_state(golden_tensors(template))
    renamed = rename(options.backbone, golden)
    names = dict(zip(renamed, golden, strict=True))
    out = {}
    for ours, tensor in state.items():
        # The golden MotionAGFormer has fewer layers; their names differ by the number alone.
        layer = re.match(r"backbone\.layers\.(\d+)\.", ours)
        known = ours if layer is None else ours.replace(layer[0], "backbone.layers.0.")
        name = names[known]
        if layer is not None:
            name = name.replace("layers.0.", f"layers.{layer[1]}.")
        axes = golden[names[known]].ndim
        if tensor.ndim > axes:
            tensor = tensor.squeeze(2)
        elif tensor.ndim < axes:
            tensor = tensor[..., None]
        out[name] = tensor
    return out


class Evil:
    """A pickle that runs a function when it is read."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def training_state() -> dict[str, object]:
    """Returns what training scripts save beside the weights."""
    return {
        "epoch": 80,
        "lr": 1e-5,
        "random_state": np.random.RandomState(1),
        "generator": np.random.default_rng(1),
        "optimizer": {
            "state": {0: {"step": 3, "exp_avg": torch.zeros(2)}},
            "param_groups": [{"lr": np.float64(1e-4), "betas": (0.9, 0.999), "params": [0]}],
        },
        "min_loss": np.float64(39.2),
        "losses": np.arange(3.0),
        "args": argparse.Namespace(frames=243, path=Path("somewhere")),
        "rng": torch.get_rng_state(),
        "wandb_id": "3x1",
    }


def containers(state: dict[str, Tensor]) -> dict[str, object]:
    """Returns the layouts in which code bases save a state dict."""
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    return {
        "flat (HoT, MHFormer, StridedTransformer)": state,
        "flat, parallel": parallel,
        "model_pos (MixSTE)": {**training_state(), "model_pos": state},
        "model_pos, parallel (MotionBERT)": {**training_state(), "model_pos": parallel},
        "model, parallel (MotionAGFormer)": {**training_state(), "model": parallel},
        "state_dict": {"state_dict": parallel},
        "model_state_dict": {"model_state_dict": state, "optimizer": {}},
        "model_state": {"model_state": state},
        "another name": {"weights_of_best": parallel, "epoch": 1},
        "with a second network (VideoPose3D)": {"model_pos": state, "model_traj": {"a": Tensor()}},
        "compiled": {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    }
