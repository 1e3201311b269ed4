"""How much a TokenPose network computes, counted without computing anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.networks2d.tokenpose.tokens import TokenAttention


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFlops:
    """Floating-point operations for one person; a multiply-add counts as two.

    Args:
        total: of convolutions, linear layers and the products inside attention, as carried out.
        masked: part of it that is spent on links that a mask then leaves out. A mask alone saves
            nothing; this is what a sparse kernel could save at best.
    """

    total: int
    masked: int


def count_token_flops(options: TokenPoseOptions) -> TokenFlops:
    """Counts the operations by running the network on shapes alone.

    Raises:
        MissingExtraError: the backbone needs a package that is not installed.
    """
    network = TokenPose(options).eval().to("meta")
    total, tokens = [0], []

    def count_layer(
        layer: nn.Linear | nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        total[0] += 2 * output.numel() * (layer.weight.numel() // len(layer.weight))

    def note_tokens(_layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        tokens.append(inputs[0].shape[1])

    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.register_forward_hook(count_layer)
        if isinstance(module, TokenAttention):
            # Layers that prune or remove call its parts, which are no modules; all need this one.
            module.qkv.register_forward_hook(note_tokens)
    with torch.no_grad():
        network(torch.empty(1, 3, *options.size_wh[::-1], device="meta"))
    products = sum(2 * 2 * options.dim * n * n for n in tokens)
    for at in options.prune.at if options.prune else ():
        products += 2 * options.dim * tokens[at] ** 2
    for at in options.remove.at if options.remove else ():
        products += 2 * options.dim * tokens[at] * network.keypoints
    return TokenFlops(total=total[0] + products, masked=_masked_flops(options))


def _masked_flops(options: TokenPoseOptions) -> int:
    """Returns the operations of the two attention products on links that are left out."""
    if options.prune is None:
        return 0
    rows, columns = options.grid_hw
    keep, left_out = 1.0, 0.0
    for layer in range(options.depth):
        if layer in options.prune.at:
            keep = options.prune.keep[options.prune.at.index(layer)]
        left_out += (1 - keep) * (rows * columns) ** 2
    return round(2 * 2 * options.dim * left_out)
