"""Our MixSTE against the plain one, and HoT against MixSTE, at the published size. No test.

The networks take turns, so that whatever else the machine does meets all of them alike; what counts
is the median of the ratios of runs that followed each other.

    python -m tests.support.bench_plain_mixste                     # wall time, all cores
    python -m tests.support.bench_plain_mixste --threads 1 --clock cpu   # on a busy machine
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from pose3d.device import has_bf16
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.flops import count_flops
from pose3d.lift.models import build_network
from tests.support.plain_mixste import PlainMixSTE


def networks() -> dict[str, Callable[[Tensor], Tensor]]:
    """Returns what is compared; the plain one and ours have the same weights."""
    torch.manual_seed(0)
    plain = PlainMixSTE().eval()
    ours, hot = (build_network(CONFIGURATIONS[n]).eval() for n in ("mixste", "hot-mixste"))
    ours.backbone.load_state_dict(plain.state_dict(), strict=True)

    def lower(window: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return ours(window)

    all_of_them = {"plain fp32": plain, "ours fp32": ours, "HoT fp32": hot}
    return {**all_of_them, "ours bf16": lower} if has_bf16("cpu") else all_of_them


def main() -> None:
    """Runs them and prints the ratios beside what issue 3 asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.perf_counter if given.clock == "wall" else time.process_time
    compared = networks()
    window = torch.randn(1, 243, 17, 2)
    took: dict[str, list[float]] = {name: [] for name in compared}
    with torch.inference_mode():
        plain, ours = compared["plain fp32"](window), compared["ours fp32"](window)
        print(f"largest difference {float((plain - ours).abs().max() / plain.abs().max()):.1e}")
        for _ in range(given.rounds):
            for name, network in compared.items():
                start = clock()
                network(window)
                took[name].append(clock() - start)
    for name, seconds in took.items():
        print(f"{name:11} {median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")

    def ratio(slow: str, fast: str) -> float:
        return median(a / b for a, b in zip(took[slow], took[fast], strict=True))

    flops = [count_flops(CONFIGURATIONS[n]).linear for n in ("mixste", "hot-mixste")]
    bars = [("plain fp32", "ours fp32", 1.5), ("ours fp32", "HoT fp32", 0.95 * flops[0] / flops[1])]
    bars += [("plain fp32", "ours bf16", 2.5)] if "ours bf16" in took else []
    for slow, fast, bar in bars:
        print(f"{slow} / {fast}: {ratio(slow, fast):.2f} x (at least {bar:.2f})")


if __name__ == "__main__":
    main()
