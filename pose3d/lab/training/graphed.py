"""A training step as one CUDA graph: Python takes longer to start its small kernels than a GPU to run them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pose3d.lift.backbones.transformer import Block

_WARM_UP = 3  # steps as usual, in which compilers and optimisers set themselves up

Step = Callable[[Tensor, Tensor], dict[str, Tensor]]


def compile_forward(network: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles the transformer blocks of a network (or all of it); returns how to call it."""
    blocks = [part for part in network.modules() if isinstance(part, Block)]
    for block in blocks:
        block.compile(dynamic=False)
    return forward if blocks else torch.compile(forward, dynamic=False)


def make_recordable(optimiser: torch.optim.Optimizer, device: str, recordable: bool = True) -> None:
    """Puts learning rates on the device, where a recorded step reads them anew; False: undoes it."""
    for group in optimiser.param_groups:
        rate = float(group["lr"])
        group["lr"] = torch.tensor(rate, device=device) if recordable else rate
        if "capturable" in group:  # torch's optimisers want to be told
            group["capturable"] = recordable


class GraphedStep:
    """Calls a step as usual a few times, records it, and replays the record from then on.

    All that ``step`` reads besides inputs and targets stays where it is on the GPU; it waits for
    nothing. Batches of another size run as usual.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._left = _WARM_UP
        self._graph: torch.cuda.CUDAGraph | None = None
        self._side = torch.cuda.Stream()
        self._inputs = self._target = torch.empty(0)
        self._terms: dict[str, Tensor] = {}

    def __call__(self, inputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Does one step."""
        if self._left:
            self._left -= 1
            # What a record uses must not have been set up on the main stream.
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                terms = self._step(inputs, target)
            torch.cuda.current_stream().wait_stream(self._side)
            return terms
        if self._graph is not None and inputs.shape != self._inputs.shape:
            return self._step(inputs, target)  # the last, smaller batch of an epoch
        if self._graph is None:
            self._inputs, self._target = inputs.clone(), target.clone()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._terms = self._step(self._inputs, self._target)
        self._inputs.copy_(inputs)
        self._target.copy_(target)
        self._graph.replay()
        return {name: value.clone() for name, value in self._terms.items()}
