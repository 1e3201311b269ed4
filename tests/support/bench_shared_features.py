"""What seq2frame gains by computing the features of a frame once for all windows, in one run.

``python -m tests.support.bench_shared_features`` takes both ways in turn, so that a busy machine slows both,
and counts processor time. Windows move on by one frame: without sharing every window computes all its
frames, with it one new one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch

from pose3d.lab.benchmarks.lifter_speed import _centres
from pose3d.lift.configurations import get_configuration
from pose3d.lift.models import LifterOptions, build_network

_SMALL = {"frames": 27, "dim": 128, "depth": 5, "heads": 4}


def measure_sharing(options: LifterOptions, *, windows: int, rounds: int) -> tuple[float, float]:
    """Returns seconds of processor time a window without sharing, and how much faster sharing is.

    Medians; of the second, of the ratios of runs that followed each other.
    """
    network = build_network(options).eval()
    ways: list[Callable[[], object]] = [
        _centres(network, replace(options, normalisation=kind), windows, "cpu")
        for kind in ("person", "screen")  # person: every window has a camera of its own
    ]
    took: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for way, seconds in zip(ways, took, strict=True):
                start = time.process_time()
                way()
                seconds.append((time.process_time() - start) / windows)
    pairs = list(zip(*took, strict=True))[1:]  # the first round warms up
    return median(alone for alone, _ in pairs), median(alone / shared for alone, shared in pairs)


def main() -> None:
    """Prints one line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for name, sizes, windows in (
        ("mixste", _SMALL, 32),
        ("mixste", {}, 2),
        ("hot-mixste", {}, 2),
        ("motionagformer-xs", {}, 8),
    ):
        options = get_configuration(name, **sizes)
        with torch.inference_mode():
            alone, gain = measure_sharing(options, windows=windows, rounds=rounds)
        size = f"{options.sizes['frames']} frames, {options.sizes['dim']} channels"
        print(
            f"{name:18} {size:26} {1e3 * alone:7.1f} ms a window alone, shared {gain:.2f} x as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()
