"""The training loop: readable from top to bottom, resumable to the bit."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pose3d.errors import DataError, UsageError
from pose3d.lab.training.checkpoints import describe_recipe, read_checkpoint, write_checkpoint
from pose3d.lab.training.clips import ClipData
from pose3d.lab.training.data import TrainingData
from pose3d.lab.training.graphed import GraphedStep, compile_forward, make_recordable
from pose3d.lab.training.optimisers import initialise, learning_rate, make_optimisers
from pose3d.lab.training.ranks import ALONE, Ranks
from pose3d.lab.training.recipe import Recipe
from pose3d.lab.training.start import Teachers, begin_from, find_start, freeze_rest
from pose3d.lab.training.tasks import make_task

if TYPE_CHECKING:
    from pose3d.lab.training.people_data import PeopleData


class Trainer:
    """One training run: network, average, optimiser, random state.

    ``out`` gets ``last.pt``, ``best.safetensors`` and ``log.csv``; ``bf16``: autocast, but for the
    loss; ``compile_network``: network and loss, and on one GPU the step of a lifter is recorded.
    All ``ranks`` call the same methods together; only the first validates and writes.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData | ClipData | PeopleData,
        out: Path,
        *,
        device: str = "cpu",
        bf16: bool = False,
        compile_network: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        if device.startswith("cuda:"):  # streams and records are those of the current GPU
            torch.cuda.set_device(device)
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.out, self.device, self.bf16 = recipe, data, out, device, bf16
        self.ranks = ranks
        self._fingerprint = data.fingerprint if isinstance(data, TrainingData) else ""
        self.task = make_task(recipe)
        self.network: Any = self.task.build()
        initialise(self.network, recipe.initial)
        self.fresh: list[str] = []
        if recipe.start is not None:
            self.fresh = begin_from(self.network, find_start(recipe.start))
        freeze_rest(self.network, recipe.train_only)
        self._described = describe_recipe(recipe)  # while the files that it names are there
        self.begun: dict[str, Tensor] | None = None
        if recipe.keep_start:
            if recipe.start is None or self.fresh:
                raise UsageError(
                    "keep_start needs weights to begin with, for all of the network",
                    "Give --start with weights of this recipe, or leave keep_start out",
                )
            self.begun = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.teachers = Teachers(recipe, device, bf16=bf16) if recipe.teachers else None
        # torch's stubs do not know this argument.
        self.network.to(device, memory_format=self.task.memory_format)  # type: ignore[call-overload]
        ranks.copy_from_first(self.network.state_dict())
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimisers = make_optimisers(self.network, recipe, fused=device != "mps")
        self.rng = torch.Generator(device).manual_seed(recipe.seed)
        self.step, self.best, self.seconds = 0, math.inf, 0.0
        self.decay = torch.zeros((), device=device)
        self.forward: Callable[..., Any] = self.task.forward_of(self.network)
        self.loss = self.task.loss
        if compile_network:
            self.forward = compile_forward(self.network, self.forward)
            self.loss = torch.compile(self.task.loss, dynamic=False)
        self.graphed: GraphedStep | None = None
        on_one_gpu = device.startswith("cuda") and ranks.world == 1
        if compile_network and on_one_gpu and self.task.recordable:
            for optimiser in self.optimisers:
                make_recordable(optimiser, device)
            self.graphed = GraphedStep(self._move)
        if ranks.first:
            out.mkdir(parents=True, exist_ok=True)

    def train(
        self,
        until: int | None = None,
        *,
        on_log: Callable[[dict[str, float]], None] | None = None,
        on_step: Callable[[int], None] | None = None,
        max_seconds: float | None = None,
    ) -> float:
        """Trains to step ``until`` (the last), validating and saving; returns the best figure.

        ``on_log`` gets every log row; ``on_step`` the steps done, and what it raises stops between
        two steps; ``max_seconds``: of this call. The figure is infinity in all processes but the
        first.
        """
        until = self.recipe.steps if until is None else min(until, self.recipe.steps)
        first, count = self.seconds, 0
        sums: dict[str, Any] = {}
        last = self.step >= until
        while not last:
            began = time.perf_counter()
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            last = self.step == until
            if max_seconds is not None:
                late = self.seconds + time.perf_counter() - began - first > max_seconds
                last |= self.ranks.any(late and self.ranks.first)  # one clock for all
            due = last or self.step % self.recipe.validate_every == 0
            if due:
                row = {"step": float(self.step), "lr": learning_rate(self.recipe, self.step)}
                row |= self.ranks.average_numbers({k: float(v) / count for k, v in sums.items()})
                sums, count = {}, 0
            self.seconds += time.perf_counter() - began
            if due and self.ranks.first:
                row[self.task.metric] = self.validate()
                row["seconds"] = self.seconds
                self._keep(row)
                if on_log is not None:
                    on_log(row)
            if on_step is not None:
                on_step(self.step)
        return self.best

    def train_step(self) -> dict[str, Tensor]:
        """Does one optimiser step; returns the loss terms (still on the device)."""
        recipe = self.recipe
        self.network.train(not recipe.train_only)  # a frozen body answers as it does in use
        rate = learning_rate(recipe, self.step)
        for group in (g for optimiser in self.optimisers for g in optimiser.param_groups):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        if self.ranks.world > 1:
            # No process has a random state of its own that a checkpoint would have to hold.
            drawn, inside = self.ranks.seeds(recipe.seed, self.step)
            self.rng.manual_seed(drawn)
            torch.manual_seed(inside)
        inputs, target = self.data.draw(recipe, self.step, self.rng)
        if self.teachers is not None:
            target = self.teachers.mix(inputs, target)
        self.step += 1
        # Early averages forget the random start quickly.
        self.decay.fill_(min(recipe.ema, (1 + self.step) / (10 + self.step)))
        return (self.graphed or self._move)(inputs, target)

    def _move(self, inputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Moves the weights once and their average after them."""
        kind = self.device.split(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            answer = self.forward(inputs)
        loss, terms = self.loss(answer, target)
        self.network.zero_grad()
        loss.backward()
        self.ranks.average_gradients(self.network)
        self.ranks.average_statistics(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        for optimiser in self.optimisers:
            optimiser.step()
        with torch.no_grad():
            state = self.network.state_dict()
            moving = [n for n, value in state.items() if value.is_floating_point()]
            averages, values = [self.average[n] for n in moving], [state[n] for n in moving]
            # Three kernels on a GPU, however many tensors there are.
            steps = torch._foreach_sub(values, averages)
            torch._foreach_mul_(steps, 1 - self.decay)
            torch._foreach_add_(averages, steps)
            for name in state.keys() - set(moving):  # counters of batch norm
                self.average[name].copy_(state[name])
        return {k: v.detach() for k, v in terms.items()}

    def answer(self) -> dict[str, Tensor]:
        """Returns the weights that a run yields: averaged, and interpolated with the starting ones."""
        if self.begun is None:
            return self.average
        kept = self.recipe.keep_start
        return {
            name: (1 - kept) * value + kept * self.begun[name].to(value)
            if value.is_floating_point()
            else value
            for name, value in self.average.items()
        }

    def averaged_network(self) -> Any:
        """Returns a copy of the network with the weights that the run yields, in evaluation mode."""
        # Building draws weights. They must not take random numbers from the training: an interrupted
        # run, which validates once more, has to go on to the bit.
        with torch.random.fork_rng(devices=[]):
            network = self.task.build()
        network.load_state_dict(self.answer())
        return network.to(self.device).eval()

    def validate(self) -> float:
        """Returns the validation figure of the averaged weights; NaN: nothing to validate on."""
        return self.data.validate(self.recipe, self.averaged_network(), self.device)

    def _keep(self, row: dict[str, float]) -> None:
        """Writes log row, checkpoint and, unless they diverged, the best weights (or the last)."""
        log = self.out / "log.csv"
        fresh = not log.exists()
        with log.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})
        metric = self.task.metric
        blind = math.isnan(row[metric]) and not math.isfinite(self.best)
        if row[metric] < self.best or blind:
            self.best = row[metric]
            extra = {"recipe": self.recipe.name, "step": str(self.step), metric: f"{self.best:.2f}"}
            self.task.save(self.out / "best.safetensors", self.answer(), extra)
        self.save()

    def save(self) -> None:
        """Writes the checkpoint that training resumes from; the first process does."""
        if not self.ranks.first:
            return
        state: dict[str, Any] = {
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "bf16": self.bf16,
            "data": self._fingerprint,
            "network": {k: v.contiguous() for k, v in self.network.state_dict().items()},
            "average": {k: v.contiguous() for k, v in self.average.items()},
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "rng": self.rng.get_state().cpu(),
            "torch_rng": torch.get_rng_state(),
        }
        if self.device.startswith("cuda"):
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device).cpu()
        write_checkpoint(self.out / "last.pt", self._described, state)

    def resume(self) -> None:
        """Continues from ``last.pt``, of this number of processes or another.

        DataError: there is none, or it belongs to another recipe, precision or other data.
        """
        state = read_checkpoint(self.out / "last.pt", self._described)
        if state["bf16"] != self.bf16:
            kind, flag = ("bfloat16", "--bf16") if state["bf16"] else ("float32", "--no-bf16")
            raise DataError(
                f"Checkpoint {self.out / 'last.pt'} was made in {kind}",
                f"Give {flag}, or another --out",
            )
        if state["data"] != self._fingerprint:
            raise DataError(
                f"Checkpoint {self.out / 'last.pt'} was made with other data files",
                "Give the same files, or another --out",
            )
        self.network.load_state_dict(state["network"])
        for name, value in self.average.items():
            value.copy_(state["average"][name])
        for optimiser, its in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(its)  # of a recorded run or a plain one
            make_recordable(optimiser, self.device, self.graphed is not None)
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        if self.device.startswith("cuda") and "cuda_rng" in state:  # it may come from a CPU
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
