"""A training step that is compiled and recorded does what the plain one does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.graphed import GraphedStep, compile_forward, make_recordable
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.optimisers import make_optimisers
from pose3d.lab.training.tasks import lifter_options
from pose3d.lift.backbones.transformer import Block
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import build_network
from pose3d.plugins import PARTS
from tests.support.backbones import small_options
from tests.support.training import tiny_recipe, write_motions

MUON = tiny_recipe(
    optimiser="muon",
    sizes={"dim": 32, "depth": 2, "heads": 2},
    hourglass=HourglassOptions(keep=(3,), at=(1,), heads=2),
    track_file=None,
)


def stepped(recordable: bool) -> list[torch.Tensor]:
    """Weights after three steps of equal gradients."""
    torch.manual_seed(0)
    network = build_network(lifter_options(MUON))
    optimisers = make_optimisers(network, MUON, fused=True)
    assert len(optimisers) == 2
    if recordable:
        for optimiser in optimisers:
            make_recordable(optimiser, "cpu")
    for step in range(3):
        for group in (g for optimiser in optimisers for g in optimiser.param_groups):
            rate = 0.01 / (step + 1)
            if recordable:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        for i, parameter in enumerate(network.parameters()):
            rng = torch.Generator().manual_seed(100 * step + i)
            parameter.grad = torch.randn(parameter.shape, generator=rng)
        for optimiser in optimisers:
            optimiser.step()
    return [p.detach() for p in network.parameters()]


def test_rates_on_the_device_move_weights_as_numbers_do():
    for plain, recordable in zip(stepped(False), stepped(True), strict=True):
        torch.testing.assert_close(recordable, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own
def test_blocks_of_one_shape_are_compiled_once(monkeypatch):
    torch.compiler.reset()
    compiled = []

    def count(graph, _inputs):
        compiled.append(graph)
        return graph.forward

    real = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **how: real(self, backend=count, **how)
    )
    options = replace(lifter_options(MUON), hourglass=None)
    network = build_network(replace(options, sizes={**options.sizes, "depth": 6}))
    plain = build_network(replace(options, sizes={**options.sizes, "depth": 6}))
    plain.load_state_dict(network.state_dict())
    compile_forward(network, network)
    x = torch.randn(2, network.frames, 17, 3)
    torch.testing.assert_close(network(x), plain(x))
    assert len(compiled) == 2  # over joints and over frames
    blocks = [part for part in network.modules() if isinstance(part, Block)]
    assert len(blocks) == 12
    assert all(block._compiled_call_impl is not None for block in blocks)
    assert all(part._compiled_call_impl is None for part in plain.modules())
    torch.compiler.reset()


@pytest.mark.gpu
@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_a_recorded_training_follows_a_plain_one(backbone, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    write_motions(tmp_path / "motions.npz")
    options = small_options(backbone, MUON.hourglass)
    sizes = {k: v for k, v in options.sizes.items() if k not in ("frames", "channels_in")}
    recipe = replace(
        MUON,
        backbone=backbone,
        sizes=sizes,
        steps=24,
        batch=32,
        learning_rate=4e-3,
        validate_every=100,
    )
    if backbone == "residual":
        recipe = replace(recipe, hourglass=None)
    data = load_training_data(recipe, tmp_path, "cuda")
    runs = [
        Trainer(recipe, data, tmp_path / name, device="cuda", bf16=True, compile_network=compiled)
        for name, compiled in (("plain", False), ("recorded", True))
    ]
    course = []
    for step in range(recipe.steps):
        plain, recorded = (run.train_step()["position"] for run in runs)
        torch.testing.assert_close(recorded, plain, rtol=0.05, atol=0, msg=f"step {step}")
        course.append(float(plain))
    assert (runs[0].graphed, runs[1].graphed is None) == (None, False)
    assert sum(course[-4:]) < 0.9 * sum(course[:4]), "without learning nothing is compared"


@pytest.mark.gpu
def test_a_recorded_step_reads_inputs_anew_and_takes_other_sizes():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    total = torch.zeros((), device="cuda")

    def step(inputs, target):
        total.add_(inputs.sum() * target.sum())
        return {"total": total.clone()}

    recorded, expected = GraphedStep(step), 0.0
    for i in range(8):
        n = 2 if i == 6 else 3
        x = torch.full((n,), float(i), device="cuda")
        expected += n * i * n
        assert float(recorded(x, torch.ones(n, device="cuda"))["total"]) == expected
