"""What tests of the lifters share: small networks of our own and inputs for them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pose3d.lab.training.optimisers import initialise
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.lifter import Lifter
from pose3d.lift.models import LifterOptions, build_network
from pose3d.weights.info import ModelInfo


def small_options(hourglass: HourglassOptions | None = None, **sizes: int) -> LifterOptions:
    """Returns the options of a network that runs in milliseconds: 9 frames, 5 block pairs."""
    small = {"frames": 9, "channels_in": 3, "dim": 16, "depth": 5, "heads": 2, **sizes}
    return LifterOptions(backbone="mixste", sizes=small, hourglass=hourglass)


def small_network(hourglass: HourglassOptions | None = None, **sizes: int) -> Hourglass:
    """Returns such a network with random weights, the same on every call, no parameter zero."""
    torch.manual_seed(5)
    network = build_network(small_options(hourglass, **sizes))
    initialise(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def small_lifter(hourglass: HourglassOptions | None = None, **sizes: int) -> Lifter:
    """Returns a lifter of such a network."""
    info = ModelInfo(name="mixste.small", licence="Apache-2.0")
    return Lifter(
        network=small_network(hourglass, **sizes),
        options=small_options(hourglass, **sizes),
        info=info,
    )


def keypoints(batch: int, frames: int = 9, channels: int = 3, seed: int = 0) -> Tensor:
    """Returns random network inputs that move smoothly in time."""
    rng = torch.Generator().manual_seed(seed)
    steps = 0.2 * torch.randn(batch, frames, 17, channels, generator=rng)
    return torch.randn(batch, 1, 17, channels, generator=rng) + steps.cumsum(1)


Answer = Callable[[Tensor], Tensor]


class FakeNetwork(torch.nn.Module):
    """A network that answers with a function of its inputs, for tests of what is around it."""

    n_hypotheses, mirrors_choice = 0, False

    def __init__(self, answer: Answer, frames: int = 9) -> None:
        super().__init__()
        self.answer, self.frames, self.shares_frames = answer, frames, False

    def forward(self, inputs: Tensor) -> Tensor:
        """Answers ``(batch, frame, 17, channel)`` with ``(batch, frame, 17, 3)``."""
        return self.answer(inputs)

    def forward_centre(self, inputs: Tensor) -> Tensor:
        return self.answer(inputs)[:, (self.frames - 1) // 2]
