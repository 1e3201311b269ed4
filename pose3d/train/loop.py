"""The training loop: readable from top to bottom, resumable to the bit."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from pose3d.errors import DataError, WeightsError, unknown_name
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import LifterOptions, build_network, save_network
from pose3d.train.batches import draw_batch
from pose3d.train.clips import ClipData, load_clips, pick_frames
from pose3d.train.losses import compute_loss
from pose3d.train.motions import Motions, load_motions
from pose3d.train.multiview import load_multiview_bank
from pose3d.train.noise import RealTracks, ResidualBank, load_tracks
from pose3d.train.recipe import INITIALS, OPTIMISERS, EpochSchedule, Recipe

if TYPE_CHECKING:
    from pose3d.train.people_data import PeopleData

VALIDATION_SEED = 20_000
VALIDATION_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Motions and tracks that a recipe trains and validates on, on the training device."""

    train: Motions
    val: Motions
    bank: ResidualBank | None
    tracks: RealTracks | None

    def draw(self, recipe: Recipe, step: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws inputs and targets of one step; ``rng`` alone decides."""
        del step
        return draw_batch(recipe.batch, recipe.batches, self.train, self.bank, self.tracks, rng)

    def validate(self, recipe: Recipe, network: Hourglass, device: str) -> float:
        """Returns the MPJPE in millimetres on fixed batches of ``val``."""
        rng = torch.Generator(device).manual_seed(VALIDATION_SEED)
        options = replace(recipe.batches, real_share=0.0)
        errors = []
        with torch.inference_mode():
            for _ in range(VALIDATION_BATCHES):
                inputs, target = draw_batch(64, options, self.val, self.bank, None, rng)
                errors.append((network(inputs) - target).norm(dim=-1).mean())
        return float(torch.stack(errors).mean()) * 1000


def load_training_data(
    recipe: Recipe, data: Path, device: str
) -> TrainingData | ClipData | PeopleData:
    """Reads the files of a recipe below ``data``.

    Raises:
        DataError: a file is missing or of another layout.
    """
    if recipe.people is not None:
        from pose3d.train.people_data import load_people_data

        return load_people_data(
            recipe.people, data, batch=recipe.batch, seed=recipe.seed, device=device
        )
    if recipe.clips is not None:
        sizes = lifter_options(recipe).sizes
        return load_clips(
            recipe.clips,
            data,
            frames=sizes["frames"],
            channels=sizes["channels_in"],
            normalisation=recipe.normalisation,
            batch=recipe.batch,
            seed=recipe.seed,
            device=device,
        )
    files = [data / name for name in recipe.motion_files]
    bank, tracks = None, None
    if recipe.track_file is not None:
        bank, tracks = load_tracks(data / recipe.track_file, "fit", leave_out=recipe.leave_out)
        if recipe.noise_file is not None:
            more = load_multiview_bank(data / recipe.noise_file, "fit")
            bank = ResidualBank.join([bank, more])
        bank = bank.to(device)
        tracks = RealTracks(**{k: getattr(tracks, k).to(device) for k in tracks.__slots__})
    return TrainingData(
        train=load_motions(files, "train", leave_out=recipe.leave_out).to(device),
        val=load_motions(files, "val", leave_out=recipe.leave_out).to(device),
        bank=bank,
        tracks=tracks,
    )


def schedule_epochs(recipe: Recipe, data: TrainingData | ClipData | PeopleData | None) -> Recipe:
    """Fills in how many steps the epochs of a recipe have; other recipes come back as they are.

    Args:
        recipe: a number of steps of its own is kept.
        data: what it trains on.
    """
    if recipe.schedule is None or data is None or isinstance(data, TrainingData):
        return recipe
    steps = data.steps_per_epoch
    return replace(
        recipe,
        steps=recipe.steps or recipe.schedule.epochs * steps,
        epoch_steps=steps,
        validate_every=steps,
    )


def lifter_options(recipe: Recipe) -> LifterOptions:
    """Returns what the weights file of this recipe will say about its network."""
    return LifterOptions(
        backbone=recipe.backbone,
        sizes={"frames": recipe.batches.frames, "channels_in": 3, **recipe.sizes},
        hourglass=recipe.hourglass,
        normalisation=recipe.normalisation,
        mapping=recipe.mapping,
        rate_range=recipe.batches.rate_range,
        licence=recipe.licence,
    )


def learning_rate(recipe: Recipe, step: int) -> float:
    """Returns the rate of ``step``: in each cycle linear warm-up, then cosine decay to a hundredth.

    Recipes with a schedule: that of the step's epoch.
    """
    if recipe.schedule is not None:
        return recipe.learning_rate * recipe.schedule.factor(step // max(recipe.epoch_steps, 1))
    begin = max([0, *(r for r in recipe.restarts if r <= step)])
    end = min([recipe.steps, *(r for r in recipe.restarts if r > step)])
    step, length = step - begin, end - begin
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    part = (step - recipe.warm_up) / max(length - recipe.warm_up, 1)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))


class Task(Protocol):
    """What the loop has to know about a kind of network.

    Args:
        metric: name of the validation figure in the log; less is better.
        memory_format: how 4-dimensional weights lie in memory while it trains. Channels last is worth
            a tenth to a fifth of a step to networks that begin with convolutions.
    """

    metric: str
    memory_format: torch.memory_format

    def build(self) -> nn.Module:
        """Returns the network with the weights that its constructor draws."""
        ...

    def loss(self, answer: Any, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns what is minimised, and its terms for the log.

        Args:
            answer: of the network.
            target: what the training data gave with the inputs.
        """
        ...

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes a file of weights."""
        ...


class LifterTask:
    """A lifter that learns motion; see :class:`Task`.

    Args:
        recipe: without ``people``.
    """

    metric = "val_mm"
    memory_format = torch.preserve_format

    def __init__(self, recipe: Recipe) -> None:
        self.options = lifter_options(recipe)
        self.weights = recipe.loss
        hourglass = recipe.hourglass
        self.keeps_some = hourglass is not None and hourglass.recover is None

    def build(self) -> Hourglass:
        """Returns the network."""
        return build_network(self.options)

    def loss(
        self, answer: tuple[Tensor, Tensor | None], target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compares an answer of :func:`forward_of` with the truth, see :func:`compute_loss`."""
        predicted, beside = answer
        hypotheses = None
        if self.keeps_some:  # answers for the kept frames alone
            assert beside is not None
            target = pick_frames(target, beside)
        elif beside is not None:
            hypotheses = beside.float()
        return compute_loss(predicted.float(), target, self.weights, hypotheses)

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes weights that ``--lifter`` takes."""
        save_network(path, dict(state), self.options, extra=dict(extra))


def make_task(recipe: Recipe) -> Task:
    """Returns what a recipe trains."""
    if recipe.people is None:
        return LifterTask(recipe)
    from pose3d.train.people_task import PeopleTask

    return PeopleTask(recipe)


def forward_of(network: nn.Module, task: Task) -> Callable[[Tensor], Any]:
    """Returns how the loop calls a network."""
    if not isinstance(network, Hourglass):
        return network
    some = isinstance(task, LifterTask) and task.keeps_some
    return network.forward_with_index if some else network.forward_with_hypotheses


class Trainer:
    """One training run: network, average, optimiser, random state.

    Args:
        recipe: what to train; see :func:`schedule_epochs` for those with epochs.
        data: what to train on.
        out: folder for ``last.pt``, ``best.safetensors``, ``log.csv``, ``recipe.json``.
        device: torch device.
        bf16: run the network in bfloat16 autocast (the loss stays float32).
        compile_network: compile the network (worth it on a GPU and long runs).
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
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.out, self.device, self.bf16 = recipe, data, out, device, bf16
        self.task = make_task(recipe)
        self.network: Any = self.task.build()
        initialise(self.network, recipe.initial)
        # torch's stubs do not know this argument.
        self.network.to(device, memory_format=self.task.memory_format)  # type: ignore[call-overload]
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimiser = make_optimiser(self.network, recipe, fused=device != "mps")
        self.rng = torch.Generator(device).manual_seed(recipe.seed)
        self.step, self.best, self.seconds = 0, math.inf, 0.0
        forward = forward_of(self.network, self.task)
        self.run_network = torch.compile(forward, dynamic=False) if compile_network else forward
        out.mkdir(parents=True, exist_ok=True)

    def train(
        self,
        until: int | None = None,
        *,
        on_log: Callable[[dict[str, float]], None] | None = None,
        on_step: Callable[[int], None] | None = None,
        max_seconds: float | None = None,
    ) -> float:
        """Trains until step ``until`` (the recipe's last), validating and saving on the way.

        Args:
            until: stop before this step.
            on_log: called with every log row.
            on_step: called after every step with the number of steps done; what it raises stops the
                training between two steps.
            max_seconds: stop (and save) after this many seconds of this call.

        Returns:
            The best validation figure so far: millimetres, or what the task calls ``metric``.
        """
        until = self.recipe.steps if until is None else min(until, self.recipe.steps)
        began, count = time.perf_counter(), 0
        sums: dict[str, Any] = {}
        while self.step < until:
            terms = self.train_step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            out_of_time = max_seconds is not None and time.perf_counter() - began > max_seconds
            last = self.step == until or out_of_time
            if self.step % self.recipe.validate_every == 0 or last:
                self.seconds += time.perf_counter() - began
                began, kept = time.perf_counter(), began
                row = {"step": float(self.step), "lr": learning_rate(self.recipe, self.step)}
                row |= {k: float(v) / count for k, v in sums.items()}
                row[self.task.metric] = self.validate()
                row["seconds"] = self.seconds
                sums, count = {}, 0
                self._keep(row)
                if on_log is not None:
                    on_log(row)
                if max_seconds is not None:
                    max_seconds -= time.perf_counter() - kept
                began = time.perf_counter()
            if on_step is not None:
                on_step(self.step)
            if out_of_time:
                break
        return self.best

    def train_step(self) -> dict[str, Tensor]:
        """Does one optimiser step; returns the loss terms (still on the device)."""
        recipe = self.recipe
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(recipe, self.step)
        inputs, target = self.data.draw(recipe, self.step, self.rng)
        kind = self.device.split(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=self.bf16):
            answer = self.run_network(inputs)
        loss, terms = self.task.loss(answer, target)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
        self.optimiser.step()
        self.step += 1
        # Early averages forget the random start quickly.
        decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:  # counters of batch norm
                    self.average[name].copy_(value)
        return {k: v.detach() for k, v in terms.items()}

    def averaged_network(self) -> Any:
        """Returns a copy of the network with the averaged weights, in evaluation mode."""
        # Building draws weights. They must not take random numbers from the training: an interrupted
        # run, which validates once more, has to go on to the bit.
        with torch.random.fork_rng(devices=[]):
            network = self.task.build()
        network.load_state_dict(self.average)
        return network.to(self.device).eval()

    def validate(self) -> float:
        """Returns the validation figure of the averaged weights; NaN: nothing to validate on."""
        return self.data.validate(self.recipe, self.averaged_network(), self.device)

    def _keep(self, row: dict[str, float]) -> None:
        """Writes the log row, the checkpoint and, when it is the best so far, the weights.

        With nothing to validate on the last weights are the best.
        """
        log = self.out / "log.csv"
        fresh = not log.exists()
        with log.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})
        metric = self.task.metric
        if not row[metric] >= self.best:
            self.best = row[metric]
            extra = {
                "recipe": self.recipe.name,
                "step": str(self.step),
                metric: f"{self.best:.2f}",
            }
            self.task.save(self.out / "best.safetensors", self.average, extra)
        self.save()

    def save(self) -> None:
        """Writes the checkpoint that training resumes from, atomically."""
        state: dict[str, Any] = {
            "recipe": json.dumps(asdict(self.recipe), sort_keys=True, default=str),
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "network": {k: v.contiguous() for k, v in self.network.state_dict().items()},
            "average": {k: v.contiguous() for k, v in self.average.items()},
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.get_state().cpu(),
            "torch_rng": torch.get_rng_state(),
        }
        if self.device.startswith("cuda"):
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device).cpu()
        part = self.out / ".last.pt.part"
        torch.save(state, part)
        part.replace(self.out / "last.pt")

    def resume(self) -> None:
        """Continues from ``last.pt``.

        Raises:
            DataError: there is none, or it belongs to another recipe.
        """
        path = self.out / "last.pt"
        if not path.is_file():
            raise DataError(f"There is no checkpoint {path}", "Start without --resume")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise WeightsError(
                f"Checkpoint {path} cannot be read ({error})", "Start without --resume"
            ) from error
        if not isinstance(state, dict) or "recipe" not in state:
            raise WeightsError(f"{path} is no checkpoint of a training run", "Give another --out")
        if not same_recipe(state["recipe"], self.recipe):
            raise DataError(
                f"Checkpoint {path} was made by another recipe or other options",
                "Give the same options, or another --out",
            )
        self.network.load_state_dict(state["network"])
        for name, value in self.average.items():
            value.copy_(state["average"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        lay_out_like_parameters(self.optimiser)
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        if self.device.startswith("cuda") and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]


_NEUTRAL = (
    "clips",
    "people",
    "normalisation",
    "mapping",
    "schedule",
    "epoch_steps",
    "optimiser",
    "initial",
    "restarts",
)
"""Fields of recipes that are newer than some checkpoints, whose defaults change nothing."""


def same_recipe(saved: str, recipe: Recipe) -> bool:
    """Tells whether a checkpoint's recipe (JSON) is this one.

    Terms of the loss and fields of ``_NEUTRAL`` that did not exist yet when the checkpoint was
    written had their defaults.
    """
    current = json.dumps(asdict(recipe), sort_keys=True, default=str)
    defaults = json.loads(json.dumps(asdict(Recipe(name=recipe.name)), default=str))
    old = {**{name: defaults[name] for name in _NEUTRAL}, **json.loads(saved)}
    old["loss"] = {**defaults["loss"], **old.get("loss", {})}
    if old["schedule"] is not None:
        plain = json.loads(json.dumps(asdict(EpochSchedule(epochs=1, decay=1.0))))
        old["schedule"] = {**plain, **old["schedule"]}
    return json.dumps(old, sort_keys=True) == current


def make_optimiser(network: nn.Module, recipe: Recipe, *, fused: bool) -> torch.optim.Optimizer:
    """Makes the optimiser of a recipe.

    Args:
        network: on the training device.
        recipe: its ``optimiser``, ``learning_rate`` and ``weight_decay``.
        fused: one kernel a step: a third of the time on a CPU too.

    Raises:
        UsageError: there is no such optimiser.
    """
    parameters = list(network.parameters())
    if recipe.optimiser in ("adam", "adam-amsgrad"):
        amsgrad = recipe.optimiser == "adam-amsgrad"
        return torch.optim.Adam(parameters, lr=recipe.learning_rate, amsgrad=amsgrad, fused=fused)
    if recipe.optimiser not in OPTIMISERS:
        raise unknown_name("optimiser", recipe.optimiser, OPTIMISERS)
    everything = recipe.optimiser == "adamw-all"
    decaying = [p for p in parameters if everything or p.ndim == 2]
    others = [p for p in parameters if not everything and p.ndim != 2]
    groups = [
        {"params": decaying, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)


def lay_out_like_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Brings what an optimiser has loaded into the memory order of its parameters.

    Fused kernels walk through memory without asking for strides, and a checkpoint may come from a run
    that kept its weights in another order.
    """
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value)


def initialise(network: nn.Module, how: str = "wide") -> None:
    """Draws fresh weights.

    ``wide``: matrices uniform in +-1/sqrt(inputs), zero biases, positions of 0.2. The usual 0.02 suits
    512 channels and more; in a narrow network it leaves the branches so weak that learning starts late.
    The last layer starts small, so that the first answers are near zero.

    ``torch``: what torch and the networks' constructors make (MixSTE's, MHFormer's and
    MotionAGFormer's codes). ``normal``: matrices and positions normal with 0.02, zero biases, fusions as
    constructed (MotionBERT's code).

    Raises:
        UsageError: there is no such way.
    """
    if how not in INITIALS:
        raise unknown_name("initialisation", how, INITIALS)
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
        elif parameter.ndim > 2:
            nn.init.trunc_normal_(parameter, std=0.2)


def _draw_normal(name: str, parameter: nn.Parameter) -> None:
    if "fusion" in name:
        return
    if name.endswith("bias"):
        nn.init.zeros_(parameter)
    elif parameter.ndim >= 2:
        nn.init.trunc_normal_(parameter, std=0.02)
