"""Recordings one after the other in tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Clips = TypeVar("Clips", bound="ClipArrays")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipArrays:
    """Clips; the other fields are a row a frame or a row a clip."""

    starts: Tensor  # ``(clip + 1,)`` first frame of each clip, and the end of the last
    fps: Tensor  # ``(clip,)``

    def to(self: Clips, device: str) -> Clips:
        return replace(self, **{n: t.to(device) for n, t in _tensors(self).items()})

    @staticmethod
    def join(parts: Sequence[Clips]) -> Clips:
        """Returns the clips of all ``parts``, in order; for classes whose fields are all tensors."""
        ends = np.cumsum([0, *(int(part.starts[-1]) for part in parts)])
        starts = [part.starts[:-1] + int(n) for part, n in zip(parts, ends[:-1], strict=True)]
        starts.append(parts[-1].starts.new_tensor(ends[-1:]))
        columns = {name: [_tensors(part)[name] for part in parts] for name in _tensors(parts[0])}
        joined = {
            name: torch.cat(column) for name, column in (columns | {"starts": starts}).items()
        }
        return replace(parts[0], **joined)


def reflect_times(begin: Tensor, step: Tensor, frames: int, span: Tensor) -> Tensor:
    """Returns times ``(batch, frame)``, in frames, of windows that run back from the end of their
    clip; ``span``, its last time, and the others are ``(batch,)``."""
    time = begin[:, None] + step[:, None] * torch.arange(frames, device=begin.device)
    period = 2 * span[:, None]
    time = time % period
    return torch.minimum(time, period - time)


def _tensors(clips: ClipArrays) -> dict[str, Tensor]:
    every = {f.name: getattr(clips, f.name) for f in fields(clips)}
    return {name: value for name, value in every.items() if isinstance(value, Tensor)}
