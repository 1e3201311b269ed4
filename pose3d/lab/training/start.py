"""Training that begins with weights instead of random numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pose3d.errors import UsageError, WeightsError
from pose3d.lift.restructure import resample_frames
from pose3d.weights import fetching
from pose3d.weights.network_files import read_tensors


def find_start(name: str) -> Path:
    """Returns the file of weights: a ``.safetensors`` file, ``arch.tag``, or ``arch`` for its default."""
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise UsageError(f"There is no weights file {name}", "Check the path")
        return Path(name)
    from pose3d.lift.sequence import LIFTERS

    return fetching.fetch(LIFTERS.get(name, name))


def begin_from(network: nn.Module, path: Path) -> list[str]:
    """Takes over a weights file into a fresh network on the CPU; returns the parameters left fresh.

    Positions of kept frames are resampled. WeightsError: the network has no place for a tensor.
    """
    state, _ = read_tensors(path)
    own = network.state_dict()
    for name, value in state.items():
        if name.startswith("kept_position.") and name in own:
            state[name] = resample_frames(value, own[name].shape[1], 1)
    strange = [n for n, v in state.items() if n not in own or own[n].shape != v.shape]
    if strange:
        raise WeightsError(
            f"{path} is of another network: {len(strange)} of its {len(state)} tensors have no place "
            f"({', '.join(strange[:3])}{', ...' if len(strange) > 3 else ''})",
            "Begin with weights of the same recipe, or without --start",
        )
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)
    return [name for name in own if name not in state]
