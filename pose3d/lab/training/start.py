"""Training that begins with weights, or learns from those of others (knowledge distillation).

The mean answer of trained lifters replaces a part of the truth.

Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015; Bucilă,
Caruana and Niculescu-Mizil, "Model Compression", KDD 2006.
Differs: poses instead of classes, so target and truth are mixed and not their losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pose3d.errors import UsageError, WeightsError
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.tasks import lifter_options
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.lifter import own_pipeline
from pose3d.lift.models import LifterOptions, load_network
from pose3d.lift.restructure import resample_frames
from pose3d.lift.sequence import LIFTERS
from pose3d.weights import fetching
from pose3d.weights.network_files import read_tensors


def find_start(name: str) -> Path:
    """Returns the file of weights: a ``.safetensors`` file, ``arch.tag``, or ``arch`` for its default."""
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise UsageError(f"There is no weights file {name}", "Check the path")
        return Path(name)
    return fetching.fetch(LIFTERS.get(name, name))


def begin_from(network: nn.Module, path: Path) -> list[str]:
    """Takes over a weights file into a fresh network on the CPU; returns the parameters left fresh.

    Positions of kept frames are resampled. WeightsError: the network has no place for a tensor.
    """
    state, _ = read_tensors(path)
    own = network.state_dict()
    for name, value in state.items():
        if name.startswith("kept_position.") and name in own:
            state[name] = resample_frames(value, own[name].shape[1], 1)
    strange = [n for n, v in state.items() if n not in own or own[n].shape != v.shape]
    if strange:
        raise WeightsError(
            f"{path} is of another network: no place for {len(strange)} of its {len(state)} tensors, "
            f"e.g. {strange[0]}",
            "Begin with weights of the same recipe, or without --start",
        )
    network.load_state_dict(state, strict=False)
    return [name for name in own if name not in state]


def adopt_network(recipe: Recipe) -> Recipe:
    """Returns a recipe that trains parts of ``start`` with the network and the input of that file.

    UsageError: no weights are given, or they are of another kind than the recipe trains.
    """
    if recipe.start is None:
        raise UsageError(
            f"Recipe {recipe.name} trains parts of weights that exist", "Name them with --start"
        )
    _, options, _ = load_network(find_start(recipe.start))
    sizes = dict(options.sizes)
    frames = sizes.pop("frames")
    pruned = options.hourglass is not None and options.hourglass.recover is None
    if options.backbone != recipe.backbone or options.units != "metres" or pruned:
        kind = f"a {options.backbone} in {options.units}, " + (
            "for the middle of a window" if pruned else "for whole windows"
        )
        raise UsageError(
            f"{recipe.start} is {kind}",
            f"Recipe {recipe.name} takes a {recipe.backbone} in metres for whole windows",
        )
    return replace(
        recipe,
        sizes={**sizes, **recipe.sizes},
        hourglass=options.hourglass,
        batches=replace(recipe.batches, frames=frames, rate_range=options.rate_range),
        normalisation=options.normalisation,
        mapping=options.mapping,
        many_rates=options.many_rates,
    )


def freeze_rest(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Lets only these parts of a network learn (empty: all); UsageError: it has none of them."""
    if not parts:
        return
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not set(parts).isdisjoint(name.split(".")))
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(
            f"The network has no part called {' or '.join(parts)}", "Give it sizes with such a part"
        )


class Teachers:
    """The lifters that a recipe distils from, on a device; ``bf16``: they answer in autocast.

    UsageError: they are made for other windows or units, or not for all frames of a window.
    """

    def __init__(self, recipe: Recipe, device: str, *, bf16: bool = False) -> None:
        self.share, self._kind, self._bf16 = recipe.teacher_share, device.split(":")[0], bf16
        options = lifter_options(recipe)
        self._networks = [
            load_teacher(name, options).requires_grad_(False).to(device) for name in recipe.teachers
        ]

    def mix(self, inputs: Tensor, truth: Tensor) -> Tensor:
        """Returns the target: their mean answer and the truth, ``(batch, frame, 17, 3)`` metres."""
        with (
            torch.no_grad(),
            torch.autocast(self._kind, torch.bfloat16, enabled=self._bf16, cache_enabled=False),
        ):
            answers = [network(inputs).float() for network in self._networks]
        return truth + self.share * (torch.stack(answers).mean(0) - truth)


def load_teacher(name: str, options: LifterOptions) -> Hourglass:
    """Returns a teacher for a network of these options; raises as :class:`Teachers` does."""
    path = find_start(name)
    network, theirs, _ = load_network(path)
    for what, of in _ALIKE.items():
        if of(theirs) != of(options):
            raise UsageError(
                f"{path} cannot teach this network: {what} {of(theirs)}, here {of(options)}",
                "Take teachers that were trained for the same windows",
            )
    if own_pipeline(theirs) != "seq2seq":
        raise UsageError(
            f"{path} cannot teach this network: it is not made to answer for all frames of a window",
            "Take teachers of whole windows (seq2seq)",
        )
    return network


# In what teachers have to be like the network that learns.
_ALIKE: dict[str, Callable[[LifterOptions], object]] = {
    "frames a window": lambda o: o.sizes.get("frames"),
    "channels": lambda o: o.sizes.get("channels_in"),
    "normalisation": lambda o: o.normalisation,
    "mapping": lambda o: o.mapping,
    "units": lambda o: o.units,
    "frames a second": lambda o: tuple(o.rate_range),
}
