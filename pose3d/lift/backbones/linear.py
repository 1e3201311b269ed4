"""The linear layer of the lifters, where nearly all of their time goes."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """``nn.Linear`` that is not slow on processors of AMD.

    On x86 torch hands float32 products of matrices to Intel's MKL, which leaves the 512-bit
    instructions of other makers' processors unused; oneDNN uses them and takes half the time. Both
    round differently in the last bits. Training, autocast and compilation stay as they are in torch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(..., in_features)`` to ``(..., out_features)``."""
        if self._takes_onednn(x):
            # Not a documented name, but the one that torch's own compiler emits; see has_slow_mkl.
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)

    def _takes_onednn(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu")
            and has_slow_mkl()
        )


@cache
def has_slow_mkl() -> bool:
    """Tells whether MKL leaves this processor's 512-bit instructions unused and oneDNN is there."""
    # Older versions of torch cannot tell the processor; they stay with MKL.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return (
        str(capabilities.get("cpu_name", "")).startswith("AMD")
        and bool(capabilities.get("avx512_f"))
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
