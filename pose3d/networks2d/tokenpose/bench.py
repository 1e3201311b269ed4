"""How fast the variants of TokenPose are, next to the dense one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from pose3d.device import torch_threads
from pose3d.errors import unknown_name
from pose3d.networks2d.tokenpose.flops import count_token_flops
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import CONFIGURATIONS

BATCHES = (1, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpeed:
    """What one configuration costs.

    Args:
        name: of the configuration.
        params: its parameters.
        gflops: operations for one person, in 1e9; a multiply-add counts as two.
        flops_ratio: operations over those of the first configuration.
        masked_share: share of its operations that is spent on links which a mask leaves out.
        ms: a person, for each size of batch; the median of all repetitions. CPU time with one
            thread, else time by the clock.
        ratio: time over that of the first configuration, for each size of batch; the median of the
            ratios of runs that followed each other.
    """

    name: str
    params: int
    gflops: float
    flops_ratio: float
    masked_share: float
    ms: dict[int, float]
    ratio: dict[int, float]


def bench_tokenpose(
    names: Sequence[str] | None = None, *, threads: int = 1, repeat: int = 7
) -> list[TokenSpeed]:
    """Times configurations with random weights and noise for pictures; speed depends on neither.

    They take turns, so that whatever else the machine does meets all of them alike.

    Args:
        names: configurations; the first is the one that the others are compared with. None: all
            that need no extra.
        threads: CPU threads.
        repeat: turns.

    Raises:
        UsageError: there is no configuration of that name.
        MissingExtraError: one needs a package that is not installed.
    """
    if names is None:
        names = [n for n, o in CONFIGURATIONS.items() if o.backbone == "stem"]
    for name in names:
        if name not in CONFIGURATIONS:
            raise unknown_name("configuration of TokenPose", name, CONFIGURATIONS)
    networks = {name: TokenPose(CONFIGURATIONS[name]).eval() for name in names}
    with torch_threads(threads):
        times = {n: _time(networks, n, repeat) for n in BATCHES}
    flops = {name: count_token_flops(CONFIGURATIONS[name]) for name in names}
    first = names[0]
    return [
        TokenSpeed(
            name=name,
            params=sum(p.numel() for p in networks[name].parameters()),
            gflops=flops[name].total / 1e9,
            flops_ratio=flops[name].total / flops[first].total,
            masked_share=flops[name].masked / flops[name].total,
            ms={n: median(times[n][name]) / n for n in BATCHES},
            ratio={
                n: median(a / b for a, b in zip(times[n][name], times[n][first], strict=True))
                for n in BATCHES
            },
        )
        for name in names
    ]


def _time(networks: dict[str, TokenPose], people: int, repeat: int) -> dict[str, list[float]]:
    """Returns the milliseconds of each run of each network on a batch; the first turn is left out."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for turn in range(repeat + 1):
            for name, network in networks.items():
                width, height = network.options.size_wh
                took = _run_ms(network, torch.randn(people, 3, height, width))
                if turn:
                    times[name].append(took)
    return times


def _run_ms(network: nn.Module, images: Tensor) -> float:
    # The CPU time of one thread is what an idle core takes, however busy the machine is.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    network(images)
    return 1000 * (clock() - start)
