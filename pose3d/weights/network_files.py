"""Tensors and what is known about them, in one safetensors file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from pose3d.errors import UsageError, WeightsError
from pose3d.files import write_whole

Network = TypeVar("Network", bound=nn.Module)


def write_tensors(
    path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], *, half: bool = False
) -> None:
    """Writes a state dict with metadata; floating-point numbers as float32, or float16 (``half``).

    Raises:
        WeightsError: the file cannot be written.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        k: v.detach().cpu().to(dtype if v.is_floating_point() else v.dtype).contiguous()
        for k, v in state.items()
    }
    with write_whole(path, WeightsError) as part:
        part.write_bytes(to_safetensors(tensors, metadata=dict(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads the tensors of a safetensors file, on the CPU as they were stored, and its metadata.

    Raises:
        WeightsError: missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(f"Weights file {path} is missing", "Check the path")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = dict(file.metadata() or {})
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no readable safetensors file ({error})", "Fetch it again"
        ) from error
    return state, metadata


def fill_network(path: Path, build: Callable[[], Network], state: Mapping[str, Tensor]) -> Network:
    """Builds the network that a file describes, with the file's tensors, in evaluation mode.

    Raises:
        WeightsError: there is no such network, or its tensors are others.
    """
    try:
        network = build()
        network.load_state_dict(state, strict=True)
    except (UsageError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"The weights in {path} do not fit the network that the file describes",
            f"Fetch it again ({str(error).splitlines()[-1].strip()})",
        ) from error
    return network.eval()
