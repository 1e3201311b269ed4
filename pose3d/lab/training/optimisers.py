"""How weights begin, and how they are moved: initialisation, optimisers, learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pose3d.lab.training.recipe import Recipe

# A matrix with fewer rows or columns is the way in (x, y, confidence) or out (x, y, z).
_LEAST_HIDDEN = 16
# Of x, x^3 and x^5: steep at 0, and keeps what is near 1 between 0.7 and 1.2.
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


def initialise(network: nn.Module, how: str = "wide") -> None:
    """Draws fresh weights.

    ``wide``: matrices uniform in +-1/sqrt(inputs), zero biases, positions of 0.2, a small last
    layer of lifters, convolutions as torch's. ``torch``: as constructed (MixSTE's, MHFormer's and
    MotionAGFormer's codes). ``normal``: matrices and positions normal with 0.02, zero biases
    (MotionBERT's code).
    """
    if how == "torch":
        return
    convolutions = {
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.Conv2d)
    }
    for name, parameter in network.named_parameters():
        if how == "normal" and "fusion" in name:
            continue
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif how == "normal":
            if parameter.ndim >= 2:
                nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("head_linear.weight"):
            nn.init.trunc_normal_(parameter, std=0.02)
        elif parameter.ndim == 2:
            bound = parameter.shape[1] ** -0.5
            nn.init.uniform_(parameter, -bound, bound)
        elif parameter.ndim > 2 and name not in convolutions:
            nn.init.trunc_normal_(parameter, std=0.2)


class Muon(torch.optim.Optimizer):
    """Steps of matrices along an orthogonal matrix near to their momentum, with decoupled decay.

    Steps have the size of AdamW's, so that one learning rate serves both.

    Reference: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the
    scale: Liu et al., "Muon is Scalable for LLM Training" (2025), section 2.2.
    Differs: float32 on a CPU, where ``torch.optim.Muon`` (2.9 and later) takes slow bfloat16.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.1
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95})

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
        """Moves parameters of one shape, in few kernels."""
        shape, rate, momentum = parameters[0].shape, group["lr"], group["momentum"]
        values: list[Tensor] = list(parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
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


def make_optimisers(
    network: nn.Module, recipe: Recipe, *, fused: bool
) -> list[torch.optim.Optimizer]:
    """Makes the optimiser of a recipe, or one for each kind of parameter.

    ``fused``: one kernel a step, faster on CPUs too.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    if recipe.optimiser in ("adam", "adam-amsgrad"):
        amsgrad = recipe.optimiser == "adam-amsgrad"
        return [torch.optim.Adam(parameters, lr=recipe.learning_rate, amsgrad=amsgrad, fused=fused)]
    hidden: list[nn.Parameter] = []
    if recipe.optimiser == "muon":
        hidden = [p for p in parameters if p.ndim == 2 and min(p.shape) >= _LEAST_HIDDEN]
        ids = {id(p) for p in hidden}
        parameters = [p for p in parameters if id(p) not in ids]
    everything = recipe.optimiser == "adamw-all"
    decaying = [p for p in parameters if everything or p.ndim == 2]
    others = [p for p in parameters if not everything and p.ndim != 2]
    groups = [
        {"params": chosen, "weight_decay": decay}
        for chosen, decay in ((decaying, recipe.weight_decay), (others, 0.0))
        if chosen
    ]
    adamw = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)
    if not hidden:
        return [adamw]
    return [Muon(hidden, lr=recipe.learning_rate, weight_decay=recipe.weight_decay), adamw]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Returns the rate of ``step``: that of its epoch, or linear warm-up and cosine decay to a hundredth."""
    if recipe.schedule is not None:
        return recipe.learning_rate * recipe.schedule.factor(step // max(recipe.epoch_steps, 1))
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    part = (step - recipe.warm_up) / max(recipe.steps - recipe.warm_up, 1)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
