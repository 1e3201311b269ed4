"""How fast the lifters are next to each other: what ``pose3d bench lifters`` measures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from pose3d.device import has_bf16, pick_device
from pose3d.errors import Pose3DError, UsageError, unknown_name
from pose3d.lab.benchmarks.lifter_speed import LifterSpeed
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.sequence import LIFTERS, list_lifters, make_lifter
from pose3d.version import __version__
from pose3d.weights import fetching

DIALECT = "pose3d-bench-lifters"
VERSION = 1
CLOCKS = ("wall", "cpu")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifterBench:
    """What to measure."""

    # with random weights, normalised by the picture
    configurations: tuple[str, ...] = tuple(CONFIGURATIONS)
    lifters: tuple[str, ...] = ()  # names of weights, or files
    # None: fp32, and bf16 where the device is faster with it
    precisions: tuple[str, ...] | None = None
    device: str = "auto"
    threads: int | None = None  # None: all cores
    seconds: float = 10.0  # for each lifter and precision
    clock: str = "wall"  # wall, or cpu: processor time over threads

    def __post_init__(self) -> None:
        for name in self.configurations:
            if name not in CONFIGURATIONS:
                error = unknown_name("configuration", name, CONFIGURATIONS)
                if name in list_lifters() or name.endswith(".safetensors"):
                    raise UsageError(f"{name!r} are weights", f"Write --lifter {name}") from error
                raise error
        for precision in self.precisions or ():
            if precision not in PRECISIONS:
                raise unknown_name("precision", precision, PRECISIONS)
        if self.clock not in CLOCKS:
            raise unknown_name("clock", self.clock, CLOCKS)
        if not self.seconds > 0:  # NaN fails as well
            raise UsageError(f"--seconds is {self.seconds}", "Give seconds above 0")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads is {self.threads}", "Give a whole number from 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchMachine:
    """Where it was measured; ``load``: load average of the minute before, None if not known."""

    device: str
    device_name: str
    threads: int
    cores: int
    load: float | None
    clock: str
    torch: str
    pose3d: str

    @property
    def words(self) -> str:
        """One line for people."""
        where = self.device_name
        if self.device == "cpu":
            where += f", {self.threads} of {self.cores} cores"
        if self.clock == "cpu":
            where += ", processor time"
        load = "" if self.load is None else f", load {self.load:.1f}"
        return f"{where}, torch {self.torch}{load}"


def describe_machine(bench: LifterBench) -> BenchMachine:
    """Returns where ``bench`` will run."""
    device, _ = pick_device(bench.device)
    if bench.clock == "cpu" and device != "cpu":
        raise UsageError(f"--clock cpu says nothing about {device}", "Use --clock wall")
    cores = os.cpu_count() or 1
    return BenchMachine(
        device=device,
        device_name=_device_name(device),
        threads=bench.threads or cores,
        cores=cores,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        clock=bench.clock,
        torch=torch.__version__,
        pose3d=__version__,
    )


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    name = str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
    return name if device == "cpu" else f"{device} of {name}"


def bench_lifters(
    bench: LifterBench,
    machine: BenchMachine,
    *,
    on_step: Callable[[str, int, int], None] | None = None,
) -> Iterator[LifterSpeed]:
    """Yields a result for each lifter and precision, each measured in a process of its own."""
    precisions = bench.precisions or ("fp32", *(["bf16"] if has_bf16(machine.device) else []))
    subjects = [
        (name, {"options": replace(CONFIGURATIONS[name], normalisation="screen").to_json()})
        for name in bench.configurations
    ]
    subjects += [(name, _weights(name)) for name in bench.lifters]
    tasks = [(name, what, p) for name, what in subjects for p in precisions]
    for done, (name, what, precision) in enumerate(tasks):
        if on_step is not None:
            on_step(f"{name} {precision}", done, len(tasks))
        request = {
            **what,
            "name": name,
            "precision": precision,
            "device": machine.device,
            "threads": machine.threads,
            "seconds": bench.seconds,
            "clock": bench.clock,
        }
        yield _measure_in_process(request)


def _weights(name: str) -> dict[str, str]:
    """Returns the file of weights, after it was found to be whole."""
    make_lifter(name, device="cpu")
    if name.endswith(".safetensors"):
        return {"path": name}
    return {"path": str(fetching.fetch(LIFTERS.get(name, name)))}


def _measure_in_process(request: dict[str, Any]) -> LifterSpeed:
    command = [sys.executable, "-m", "pose3d.lab.benchmarks.lifter_speed", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return LifterSpeed.from_dict(json.loads(done.stdout.splitlines()[-1]))
    lines = done.stderr.strip().splitlines()
    if done.returncode < 0:
        lines.append(f"stopped by signal {-done.returncode}; killed for its memory?")
    why = lines[-1] if lines else f"exit code {done.returncode}"
    what = f"Measuring {request['name']} in {request['precision']} failed ({why})"
    raise Pose3DError(what, "Leave it out by naming the others")


def to_document(machine: BenchMachine, speeds: Sequence[LifterSpeed]) -> dict[str, Any]:
    """Returns results as JSON values."""
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "machine": asdict(machine),
        "lifters": [asdict(speed) for speed in speeds],
    }
