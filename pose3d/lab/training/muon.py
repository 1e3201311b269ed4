"""Muon: hidden matrices are moved by an orthogonalised momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""Of x, x^3 and x^5: steep at 0, and keeps what is near 1 between 0.7 and 1.2."""
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Steps of matrices along an orthogonal matrix near to their momentum.

    Steps are scaled to the size that AdamW's have, so that one learning rate serves both; weight decay
    is decoupled, as AdamW's. Matrices of one shape are worked on together.

    Reference: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the
    scale: Liu et al., "Muon is Scalable for LLM Training" (2025), section 2.2.
    Differs: from ``torch.optim.Muon`` (2.9 and later) by the precision on a CPU. There it is float32:
    bfloat16 saves nothing, and where a processor has no instructions for it, takes 80 times as long.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves all matrices that have a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for parameters in alike.values():
                self._move(parameters, group)

    def _move(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Moves parameters of one shape, in few kernels however many they are."""
        shape, rate, momentum = parameters[0].shape, group["lr"], group["momentum"]
        values: list[Tensor] = list(parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, buffers, momentum)  # Nesterov's
        steps = orthogonalise(torch.stack(directions)).to(parameters[0].dtype)
        steps = steps * (rate * 0.2 * max(shape) ** 0.5)
        torch._foreach_mul_(values, 1 - rate * group["weight_decay"])
        torch._foreach_sub_(values, list(steps.unbind()))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Returns ``(matrix, row, column)`` with the same singular vectors and singular values near 1."""
    a, b, c = _POLYNOMIAL
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(torch.float32 if matrices.device.type == "cpu" else torch.bfloat16)
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
