"""Several processes that train one network: who they are, and what they tell each other.

Weights are the same in all; each draws its share of a step, and the mean gradient moves them.

Differs: ``DistributedDataParallel`` wraps ``forward`` alone, but networks are called in three ways,
so gradients are averaged in one piece after the backward pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pose3d.device import pick_device
from pose3d.errors import DeviceError, Pose3DError, UsageError

T = TypeVar("T")
_PATIENCE = timedelta(hours=2)  # waited while the first process validates


class PeerLostError(Pose3DError):
    """Another process of the same training has ended."""


class SharedError(Pose3DError):
    """An error that every process of the same training raises; saying it once is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those that train together; alone by default."""

    rank: int = 0  # of ``world``
    world: int = 1
    local_rank: int = 0  # on this machine, of ``local_world``
    local_world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that validates, writes and prints."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Returns how much of a batch each process draws; UsageError: they do not divide it."""
        if batch % self.world:
            raise UsageError(
                f"A batch of {batch} cannot be split evenly between {self.world} processes",
                f"Give --set batch={max(1, round(batch / self.world)) * self.world}, or start another "
                "number of processes",
            )
        return batch // self.world

    def part(self, rows: Any) -> Any:
        """Returns the rows of a step (array or tensor) that are this process' to draw."""
        return rows[self.rank :: self.world]

    def seeds(self, seed: int, step: int) -> list[int]:
        """Returns two seeds for what is random in a step, others for every process and step."""
        # Torch's generator on the CPU takes 32 bits of a seed; all numbers have to be in them.
        numbers = [seed, step] if self.world == 1 else [seed, step, self.rank, self.world]
        return np.random.SeedSequence(numbers).generate_state(2).tolist()

    def average_gradients(self, network: nn.Module) -> None:
        """Replaces the gradients of a network by their mean over all processes."""
        # The loss reaches the same parameters in every process, so their lists are the same.
        self._average([p.grad for p in network.parameters() if p.grad is not None])

    def average_statistics(self, network: nn.Module) -> None:
        """Replaces running statistics of batch norm by their mean over all processes."""
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._average([s for m in norms for s in (m.running_mean, m.running_var) if s is not None])

    def average_numbers(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Returns the mean of each number over all processes; the names are the same in all."""
        values = torch.tensor(list(numbers.values()), dtype=torch.float64)
        self._average([values])
        return dict(zip(numbers, values.tolist(), strict=True))

    def copy_from_first(self, state: Mapping[str, Tensor]) -> None:
        """Gives tensors the values that they have in the first process."""
        if self.world == 1:
            return
        for value in state.values():
            same = value.contiguous()
            self._talk(torch.distributed.broadcast, same, src=0)
            value.copy_(same)

    def any(self, flag: bool) -> bool:
        """Tells whether a flag is set in some process; all ask at the same time."""
        if self.world == 1:
            return flag
        # On the CPU, so that asking after every step does not make a GPU wait.
        flags = torch.tensor([int(flag)])
        self._talk(torch.distributed.all_reduce, flags, op=torch.distributed.ReduceOp.MAX)
        return bool(flags)

    def together(self, action: Callable[[], T]) -> T:
        """Does something (without talk) in every process; SharedError in all if it fails in one."""
        if self.world == 1:
            return action()
        result, error = None, None
        try:
            result = action()
        except Pose3DError as raised:
            error = raised
        errors: list[Any] = [None] * self.world
        told = error and (error.what, error.todo, error.exit_code)
        self._talk(torch.distributed.all_gather_object, errors, told)
        failed = next((e for e in errors if e is not None), None)
        if failed is None:
            return result  # type: ignore[return-value]
        what, todo, code = failed
        same = SharedError(what, todo)
        same.exit_code = code
        raise same from error

    def _average(self, tensors: list[Tensor]) -> None:
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        self._talk(torch.distributed.all_reduce, flat)
        flat /= self.world
        for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def _talk(self, operation: Callable[..., Any], *args: Any, **options: Any) -> None:
        try:
            operation(*args, **options)
        except RuntimeError as error:  # gloo's and nccl's errors have no other class in common
            # Without the line of source code that begins it and the advice that ends it.
            reason = str(error).strip().splitlines()[0].split("] ", 1)[-1].split(". ")[0]
            raise PeerLostError(
                f"Process {self.rank} of {self.world} lost the connection to another ({reason[:120]})",
                "The message of that process says why; --resume goes on from the last checkpoint",
            ) from error


ALONE = Ranks()


def ranks_from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Returns which process ``torchrun`` says that this is; UsageError: it says so in part."""
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    names = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [n for n in names if n not in environment]
    if missing:
        raise UsageError(
            f"WORLD_SIZE asks for several processes, but {', '.join(missing)} is not set",
            "Start them with torchrun, or unset WORLD_SIZE",
        )
    return Ranks(
        rank=int(environment["RANK"]),
        world=int(environment["WORLD_SIZE"]),
        local_rank=int(environment["LOCAL_RANK"]),
        local_world=int(environment["LOCAL_WORLD_SIZE"]),
    )


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Connects this process with the others that ``torchrun`` started; alone, it does nothing."""
    ranks = ranks_from_environment()
    if ranks.world == 1:
        yield ranks
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield ranks
    finally:
        torch.distributed.destroy_process_group()


def pick_rank_device(wanted: str, ranks: Ranks) -> tuple[str, str]:
    """Returns the device of this process and why: each of several has its own GPU, or all the CPU.

    ``wanted``: ``auto``, ``cpu`` or ``cuda``; alone, what :func:`~pose3d.device.pick_device` takes.
    """
    if ranks.world == 1 or wanted == "cpu":
        return pick_device(wanted)
    if wanted not in ("auto", "cuda"):
        raise UsageError(
            f"--device {wanted} is one device for {ranks.world} processes",
            "Give --device cuda (each process takes its own), cpu, or leave it out",
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto" and not count:
        return "cpu", "no CUDA device found"
    if ranks.local_world > count:
        raise DeviceError(
            f"{ranks.local_world} processes were started and {count} CUDA devices were found",
            f"Give torchrun --nproc-per-node {count}, or --device cpu"
            if count
            else "Use --device cpu",
        )
    return f"cuda:{ranks.local_rank}", "one CUDA device a process"


def threads_of_rank(ranks: Ranks) -> int | None:
    """Returns how many CPU threads each of several processes takes; None: torch's own choice."""
    if ranks.world == 1:
        return None
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, cores // ranks.local_world)
