"""How fast one lifter is: frames a second of both pipelines, memory, operations.

``python -m pose3d.lab.benchmarks.lifter_speed '{...}'`` measures in a process of its own, so that
its memory is nobody else's; :mod:`pose3d.lab.benchmarks.lifters` does so.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pose3d.body.skeletons import H36M17
from pose3d.lab.benchmarks.stages import peak_memory_mb
from pose3d.lift.flops import count_flops
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import LifterOptions, build_network, load_network

BATCHES = (2, 4, 8, 16, 32, 64, 128)  # windows of one pass that are tried after 1

_GAIN = 1.02  # a larger batch has to be this much faster; less is noise

_RATES = ("seq2seq", "seq2seq_best", "seq2frame", "seq2frame_best")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one pipeline achieves, without flip test and overlap of windows."""

    batch: int  # windows of one pass
    frames_per_s: float  # all frames of a window (seq2seq), or one (seq2frame)
    ms: float  # of one pass, median
    passes: int  # that were timed


@dataclass(frozen=True, slots=True, kw_only=True)
class LifterSpeed:
    """What one lifter costs in one precision; None: no such answers, or the system does not tell.

    Operations are of one window, a multiply-add as two: of the linear layers, and with the products
    inside attention. Rates and memory (of the process or on the GPU) are at batch 1 and at the fastest.
    """

    name: str
    backbone: str
    precision: str
    frames: int
    kept: int | None  # frames that pass the deep blocks; None: all
    params: int
    linear_flops: int
    total_flops: int
    seq2seq: Rate | None
    seq2seq_best: Rate | None
    seq2frame: Rate | None
    seq2frame_best: Rate | None
    peak_mb: float | None
    peak_best_mb: float | None
    # share of the wall time in which its threads had the processor; None on a GPU
    busy: float | None

    @staticmethod
    def from_dict(values: dict[str, Any]) -> LifterSpeed:
        """Reads what ``dataclasses.asdict`` made."""
        values = dict(values)
        for key in _RATES:
            values[key] = None if values[key] is None else Rate(**values[key])
        return LifterSpeed(**values)


class _Clock:
    """Times passes; ``kind`` ``cpu``: processor time over the number of threads."""

    def __init__(self, device: str, kind: str, seconds: float) -> None:
        self.on_cpu, self.cuda = device == "cpu", device.startswith("cuda")
        self.kind = kind
        self.began, self.began_cpu = time.perf_counter(), time.process_time()
        self.end = self.began + seconds

    def run(self, work: Callable[[], object]) -> float:
        """Returns the seconds of one pass."""
        if self.kind == "cpu":
            start = time.process_time()
            work()
            return (time.process_time() - start) / torch.get_num_threads()
        start = time.perf_counter()
        work()
        if self.cuda:
            torch.cuda.synchronize()
        elif not self.on_cpu:
            torch.mps.synchronize()
        return time.perf_counter() - start

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self.end - time.perf_counter(), 0.0)

    @property
    def busy(self) -> float | None:
        """Share of the wall time that the threads were running."""
        if not self.on_cpu:
            return None
        wall = (time.perf_counter() - self.began) * torch.get_num_threads()
        return (time.process_time() - self.began_cpu) / wall


Pass = Callable[[int], Callable[[], object]]  # makes the work of one pass for a number of windows


def measure_speed(
    network: Hourglass,
    options: LifterOptions,
    *,
    name: str = "",
    device: str = "cpu",
    precision: str = "fp32",
    seconds: float = 10.0,
    clock: str = "wall",
) -> LifterSpeed:
    """Measures one network (in evaluation mode; it is moved to ``device``) on random keypoints.

    ``precision``: ``fp32``, ``bf16`` or ``fp16``. ``clock``: ``wall``, or ``cpu``, which a busy machine
    does not spoil. No pass begins after ``seconds``, except the first of each pipeline.
    """
    flops = count_flops(options)
    network.to(device)
    works: dict[str, Pass] = {}
    hourglass = options.hourglass
    if hourglass is None or hourglass.recover is not None:
        works["seq2seq"] = lambda n: partial(
            network, _keypoints(options, n, network.frames, device=device)
        )
    works["seq2frame"] = lambda n: _centres(network, options, n, device)
    timer = _Clock(device, clock, seconds)
    rates: dict[str, Rate | None] = dict.fromkeys(_RATES)
    lower: AbstractContextManager[object] = nullcontext()
    if precision != "fp32":
        lower = torch.autocast(device.split(":")[0], _DTYPES[precision])
    answers = {"seq2seq": network.frames, "seq2frame": 1}
    with torch.inference_mode(), lower:
        for pipeline, work in works.items():
            rates[pipeline] = _time(work, 1, answers[pipeline], timer, share=0.2)
        peak = _peak_mb(device)
        for i, (pipeline, work) in enumerate(works.items()):
            first = rates[pipeline]
            assert first is not None
            share = 1 / (len(works) - i)  # of what is left
            rates[f"{pipeline}_best"] = _search(work, first, answers[pipeline], timer, share)
    return LifterSpeed(
        name=name,
        backbone=options.backbone,
        precision=precision,
        frames=network.frames,
        kept=None if hourglass is None else hourglass.keep[-1],
        params=sum(p.numel() for p in network.parameters()),
        linear_flops=flops.linear,
        total_flops=flops.total,
        **rates,
        peak_mb=peak,
        peak_best_mb=_peak_mb(device),
        busy=timer.busy,
    )


def _time(work: Pass, batch: int, answers: int, timer: _Clock, *, share: float) -> Rate:
    """Times passes of one batch for a share of the time that is left, at least one.

    The first pass warms up. Where the time allows only one more, or none, it counts as well.
    """
    end = time.perf_counter() + share * timer.left
    run = work(batch)
    first = timer.run(run)
    took: list[float] = []
    while len(took) < 200 and time.perf_counter() + (took or [first])[-1] < end:
        took.append(timer.run(run))
    seconds = median(took) if took else first
    per_s, passes = batch * answers / seconds, max(len(took), 1)
    return Rate(batch=batch, frames_per_s=per_s, ms=1000 * seconds, passes=passes)


def _search(work: Pass, first: Rate, answers: int, timer: _Clock, share: float) -> Rate:
    """Returns the fastest batch: doubled until it was not faster two times, or time is up."""
    end = time.perf_counter() + share * timer.left
    best, last, worse = first, first, 0
    for batch in BATCHES:
        # A pass of twice the size takes twice as long, and one is needed to warm up.
        expected_s = 2 * last.ms / 1000 * batch / last.batch
        if time.perf_counter() + expected_s > end or worse == 2:
            break
        try:
            mine = (end - time.perf_counter()) / max(timer.left, 1e-9)
            last = _time(work, batch, answers, timer, share=0.4 * mine)
        except torch.cuda.OutOfMemoryError:
            break
        worse = 0 if last.frames_per_s > _GAIN * best.frames_per_s else worse + 1
        best = best if worse else last
    return best


def _keypoints(options: LifterOptions, *shape: int, device: str) -> torch.Tensor:
    """Returns random inputs ``(*shape, 17, channel)``, the same on every call."""
    channels = options.sizes.get("channels_in", 2)
    rng = torch.Generator().manual_seed(0)
    return torch.randn(*shape, len(H36M17), channels, generator=rng).to(device)


def _centres(
    network: Hourglass, options: LifterOptions, batch: int, device: str
) -> Callable[[], object]:
    """Returns the work of lifting the middle of windows that move on by one frame.

    Features of frames are computed once for each new frame where
    :meth:`~pose3d.lift.lifter.Lifter.lift_centres` shares them between windows.
    """
    windows = torch.arange(batch)[:, None] + torch.arange(network.frames)
    clip = _keypoints(options, batch + network.frames - 1, device=device)
    keypoints = clip[windows.to(device)]  # batch frame joint channel
    if options.normalisation == "person" or not network.shares_frames:
        return lambda: network.forward_centre(keypoints)
    features = network.frame_features(clip[None])[0]
    rows = windows.to(device)

    def work() -> object:
        network.frame_features(clip[None, -batch:])  # one new frame for each window
        return network.forward_centre(keypoints, features[rows])

    return work


def _peak_mb(device: str) -> float | None:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e6
    return peak_memory_mb() if device == "cpu" else None


# -- as a program ------------------------------------------------------------------------------


def main(request: str) -> None:
    """Measures what a JSON text asks for and prints the result as JSON, last line of stdout.

    The text holds ``options`` (as :meth:`LifterOptions.to_json`) or the ``path`` of a weights file,
    ``threads``, and the arguments of :func:`measure_speed`.
    """
    values = json.loads(request)
    torch.set_num_threads(values.pop("threads"))
    if "path" in values:
        network, options, _ = load_network(Path(values.pop("path")))
    else:
        options = LifterOptions.from_json(values.pop("options"))
        network = build_network(options).eval()
    print(json.dumps(asdict(measure_speed(network, options, **values))))


if __name__ == "__main__":
    main(sys.argv[1])
