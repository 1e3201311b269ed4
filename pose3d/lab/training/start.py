"""Training that begins with weights instead of random numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pose3d.errors import UsageError, WeightsError
from pose3d.lab.training.growth import widen_tensors
from pose3d.lift.backbones.mixste import MixSTE
from pose3d.lift.restructure import resample_frames
from pose3d.weights import fetching
from pose3d.weights.network_files import read_tensors


def find_start(name: str) -> Path:
    """Returns the file of weights to begin with.

    Args:
        name: a file (``.safetensors``), or the name of weights: ``arch.tag``, or ``arch`` for its
            default.

    Raises:
        UsageError: there are no such weights.
        WeightsError: they cannot be fetched.
    """
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise UsageError(f"There is no weights file {name}", "Check the path")
        return Path(name)
    from pose3d.lift.sequence import LIFTERS

    return fetching.fetch(LIFTERS.get(name, name))


def begin_from(network: nn.Module, path: Path) -> list[str]:
    """Takes over the tensors of a weights file.

    A MixSTE with twice the channels (and twice the heads) of the file's begins with its answers, see
    :func:`~pose3d.lab.training.growth.widen_tensors`. Where it keeps another number of frames, the positions
    of the kept frames are resampled.

    Args:
        network: with fresh weights, on the CPU; what the file does not have keeps them.
        path: safetensors of pose3d.

    Returns:
        Names of the parameters that stay fresh: those of parts that the file's network does not have.

    Raises:
        WeightsError: the file is damaged, or holds tensors that the network has no place for.
    """
    state, _ = read_tensors(path)
    own = network.state_dict()
    for name, value in state.items():
        if name.startswith("kept_position.") and name in own:
            state[name] = resample_frames(value, own[name].shape[1], 1)
    if isinstance(getattr(network, "backbone", None), MixSTE):
        state = widen_tensors(state, own) or state
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
