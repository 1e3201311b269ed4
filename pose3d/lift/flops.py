"""How much a lifter computes, counted without computing anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pose3d.body.skeletons import H36M17
from pose3d.lift.models import LifterOptions, build_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating-point operations of one window; a multiply-add counts as two.

    Args:
        linear: of the linear layers. Papers usually give this figure.
        attention: of the two products inside attention, queries by keys and weights by values (in a
            graph: similarity of nodes, and neighbours by values).
    """

    linear: int
    attention: int

    @property
    def total(self) -> int:
        """Both together; norms, activations and the choice of frames are left out."""
        return self.linear + self.attention


def count_flops(options: LifterOptions) -> Flops:
    """Counts the operations of one window by running the network on shapes alone.

    Layers with products besides those of linear layers count them in ``product_flops(*inputs)``.
    """
    if options.hourglass is not None:  # which frames are kept does not change the count
        even = replace(options.hourglass, prune="uniform", keep_centre=False, ties="frame-order")
        options = replace(options, hourglass=even)
    with torch.device("meta"):
        network = build_network(options).eval()
        channels = options.sizes.get("channels_in", 2)
        window = torch.empty(1, network.frames, len(H36M17), channels)
    linear, attention = [0], [0]

    def count_linear(layer: nn.Linear, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        linear[0] += 2 * inputs[0].numel() * layer.out_features

    def count_products(layer: Any, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        attention[0] += layer.product_flops(*inputs)

    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(count_linear)
        elif hasattr(module, "product_flops"):
            module.register_forward_hook(count_products)
    with torch.no_grad():
        network(window)
    return Flops(linear=linear[0], attention=attention[0])
