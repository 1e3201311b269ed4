"""Tensors and what is known about them, in one safetensors file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from pose3d.errors import UsageError, WeightsError
from pose3d.files import check_archive, write_whole

Network = TypeVar("Network", bound=nn.Module)

VERSION = "1"  # of what weights files say about their network


def write_network(
    path: Path,
    state: Mapping[str, Tensor],
    dialect: str,
    options: str,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Writes a state dict, floats as float32, with a network's options and ``extra`` metadata."""
    metadata = {"dialect": dialect, "version": VERSION, "options": options, **(extra or {})}
    tensors = {
        k: v.detach().cpu().to(torch.float32 if v.is_floating_point() else v.dtype).contiguous()
        for k, v in state.items()
    }
    with write_whole(path, WeightsError) as part:
        part.write_bytes(to_safetensors(tensors, metadata=metadata))


def load_pickle(path: Path) -> Any:
    """Reads what ``torch.save`` wrote, on the CPU; nothing in it runs. Archives are checked first,
    their sums too, which torch does not look at."""
    if zipfile.is_zipfile(path):
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise WeightsError(f"{path} is damaged inside ({damaged})", "Fetch it again")
    with path.open("rb") as file:  # of a path the ending would count
        return torch.load(file, map_location="cpu", weights_only=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads the tensors of a safetensors file, on the CPU as stored, and its metadata."""
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
    """Builds a file's network with its tensors, in evaluation mode; WeightsError: no fit.
    It is built without memory, so that one of any size is refused before it is allocated, and the
    file's tensors are put in. One with buffers that no file holds is then built with memory."""
    try:
        with torch.device("meta"):
            network = build()
        types = {k: v.dtype for k, v in network.state_dict().items()}
        copies = {k: v.to(types.get(k, v.dtype), copy=True) for k, v in state.items()}
        network.load_state_dict(copies, strict=True, assign=True)
        if any(buffer.is_meta for buffer in network.buffers()):
            network = build()
            network.load_state_dict(state, strict=True)
    except (UsageError, RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise WeightsError(
            f"The weights in {path} do not fit: {str(error).splitlines()[-1].strip()}",
            "Fetch the file again",
        ) from error
    return network.eval()
