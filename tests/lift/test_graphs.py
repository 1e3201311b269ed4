"""Lifters as one graph: ``torch.export`` and ``torch.compile(fullgraph=True)``, against plain torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.options import PRUNINGS, RECOVERIES
from pose3d.plugins import PARTS
from tests.support.backbones import fill, small_options
from tests.support.lifters import keypoints

TABLE = [(backbone, "cluster", "attention") for backbone in PARTS["backbone"]] + [
    ("mixste", prune, recover)
    for prune in PRUNINGS
    for recover in (*RECOVERIES, None)
    if (prune, recover) != ("cluster", "attention")
]
SOME = (("mixste", "cluster", "attention"), ("mixste", "attention", None))
EXPORTED = (*SOME, *TABLE[: len(PARTS["backbone"])])


def marked(quick: tuple[tuple[str, str, str | None], ...]) -> list[Any]:
    """The table, with everything but some entries marked slow: tracing takes a second or two."""
    return [row if row in quick else pytest.param(*row, marks=pytest.mark.slow) for row in TABLE]


THREE_BLOCKS = {
    "mixste": {"depth": 3},
    "mhformer": {"refinements": 2},
    "motionbert": {"depth": 3},
    "motionagformer": {"depth": 3},
    "residual": {"depth": 3},
}


def small(backbone: str, prune: str, recover: str | None) -> tuple[Hourglass, torch.Tensor]:
    """A network of three blocks that drops frames before two of them, and two windows for it."""
    pruned = HourglassOptions(
        prune=prune, recover=recover, keep=(6, 4), at=(1, 2), heads=2, keep_centre=recover is None
    )
    options = small_options(backbone, pruned)
    options = replace(options, sizes={**options.sizes, **THREE_BLOCKS[backbone]})
    return fill(options), keypoints(2, channels=options.sizes["channels_in"])


@pytest.mark.parametrize(("backbone", "prune", "recover"), marked(EXPORTED))
def test_exported(backbone, prune, recover):
    """The program answers other windows, and other numbers of them, than it was traced with."""
    network, x = small(backbone, prune, recover)
    more = torch.cat([x.flip(0, 1) + 0.1, x[:1] - 0.1])
    with torch.no_grad():
        anything = ({0: torch.export.Dim("batch", min=1, max=64)},)
        program = torch.export.export(network, (x,), dynamic_shapes=anything).module()
        torch.testing.assert_close(program(more), network(more), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("backbone", "prune", "recover"), marked(SOME))
def test_one_graph(backbone, prune, recover):
    """``fullgraph=True`` refuses anything that would leave the graph for Python."""
    network, x = small(backbone, prune, recover)
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        for window in (x, x.flip(0, 1) + 0.1):
            torch.testing.assert_close(compiled(window), network(window), atol=1e-5, rtol=1e-5)
    torch.compiler.reset()


@pytest.mark.slow
def test_learned_recovery_of_kept_frames_is_one_graph():
    pruned = HourglassOptions(keep=(4,), at=(2,), recover="linear", readout="attention", heads=2)
    network = fill(small_options("mixste", pruned))
    x = keypoints(2, channels=2)
    with torch.no_grad():
        anything = ({0: torch.export.Dim("batch", min=1, max=64)},)
        program = torch.export.export(network, (x,), dynamic_shapes=anything).module()
        torch.testing.assert_close(program(x[:1] + 1), network(x[:1] + 1), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own
def test_compiled_by_inductor():
    """Generated code instead of torch's own kernels, still the same frames and joints."""
    network, x = small("mixste", "cluster", "attention")
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x), atol=1e-5, rtol=1e-5)
    torch.compiler.reset()
