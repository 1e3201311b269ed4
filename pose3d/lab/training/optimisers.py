"""How weights begin, and how they are moved: initialisation, optimiser, learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pose3d.errors import unknown_name
from pose3d.lab.training.muon import Muon
from pose3d.lab.training.recipe import INITIALS, OPTIMISERS, Recipe

_LEAST_HIDDEN = 16
"""A matrix with fewer rows or columns is the way in (x, y, confidence) or out (x, y, z)."""


def initialise(network: nn.Module, how: str = "wide") -> None:
    """Draws fresh weights.

    ``wide``: matrices uniform in +-1/sqrt(inputs), zero biases, positions of 0.2 (the usual 0.02 starts
    narrow networks too weakly); the last layer of a lifter starts small, convolutions over pictures stay
    as torch makes them. ``torch``: what the constructors make (MixSTE's, MHFormer's and MotionAGFormer's
    codes). ``normal``: matrices and positions normal with 0.02, zero biases, fusions as constructed
    (MotionBERT's code).
    """
    if how not in INITIALS:
        raise unknown_name("initialisation", how, INITIALS)
    convolutions = {
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.Conv2d)
    }
    for name, parameter in network.named_parameters():
        if how == "torch":
            continue
        if how == "normal":
            _draw_normal(name, parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name.endswith("head_linear.weight"):
            nn.init.trunc_normal_(parameter, std=0.02)
        elif parameter.ndim == 2:
            bound = parameter.shape[1] ** -0.5
            nn.init.uniform_(parameter, -bound, bound)
        elif parameter.ndim > 2 and name not in convolutions:
            nn.init.trunc_normal_(parameter, std=0.2)


def _draw_normal(name: str, parameter: nn.Parameter) -> None:
    if "fusion" in name:
        return
    if name.endswith("bias"):
        nn.init.zeros_(parameter)
    elif parameter.ndim >= 2:
        nn.init.trunc_normal_(parameter, std=0.02)


class Together:
    """Optimisers of different parameters of one network, stepped as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What the parts remember of each parameter."""
        return {p: state for part in self.parts for p, state in part.state.items()}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Moves all parameters."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Returns what :meth:`load_state_dict` takes."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state_dict` of the same parts."""
        for part, its in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(its)


Optimiser = torch.optim.Optimizer | Together


def make_optimiser(network: nn.Module, recipe: Recipe, *, fused: bool) -> Optimiser:
    """Makes the optimiser of a recipe; ``fused``: one kernel a step, faster on CPUs too."""
    parameters = list(network.parameters())
    if recipe.optimiser in ("adam", "adam-amsgrad"):
        amsgrad = recipe.optimiser == "adam-amsgrad"
        return torch.optim.Adam(parameters, lr=recipe.learning_rate, amsgrad=amsgrad, fused=fused)
    if recipe.optimiser not in OPTIMISERS:
        raise unknown_name("optimiser", recipe.optimiser, OPTIMISERS)
    hidden: list[nn.Parameter] = []
    if recipe.optimiser == "muon":
        hidden = [p for p in parameters if p.ndim == 2 and min(p.shape) >= _LEAST_HIDDEN]
        chosen = {id(p) for p in hidden}
        parameters = [p for p in parameters if id(p) not in chosen]
    everything = recipe.optimiser == "adamw-all"
    decaying = [p for p in parameters if everything or p.ndim == 2]
    others = [p for p in parameters if not everything and p.ndim != 2]
    groups = [
        {"params": decaying, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    adamw = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)
    if not hidden:
        return adamw
    muon = Muon(hidden, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return Together(muon, adamw)


def lay_out_like_parameters(optimiser: Optimiser) -> None:
    """Brings what an optimiser has loaded into the memory order of its parameters.

    Fused kernels walk through memory without asking for strides, and a checkpoint may come from a run
    that kept its weights in another order.
    """
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Returns the rate of ``step``: that of its epoch, or linear warm-up and cosine decay to a hundredth."""
    if recipe.schedule is not None:
        return recipe.learning_rate * recipe.schedule.factor(step // max(recipe.epoch_steps, 1))
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    part = (step - recipe.warm_up) / max(recipe.steps - recipe.warm_up, 1)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
