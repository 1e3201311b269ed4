"""pose3d and MediaPipe's own loop in Python on the same clip, by turns."""

from __future__ import annotations

import json
import statistics
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from pose3d.errors import UsageError
from pose3d.lab.benchmarks.stages import RunTimes, bench_run
from pose3d.options import RunOptions

ROUNDS = 5

_LOOP = """
import sys, time
import cv2, mediapipe
pose = mediapipe.solutions.pose.Pose(model_complexity=1)
began, video, frames = time.perf_counter(), cv2.VideoCapture(sys.argv[1]), 0
while True:
    more, picture = video.read()
    if not more:
        break
    pose.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    frames += 1
print(1000 * (time.perf_counter() - began) / frames)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstPeer:
    """Medians over rounds, in ms a frame, without start-up."""

    video: str
    rounds: int
    peer_ms: float  # decode, 2D and MediaPipe's own 3D of one person; no files, no drawing
    first_pass_ms: float  # decode, detect, follow, 2D
    chain_ms: float
    first_pass_ratio: float  # median of the rounds' ratios to the peer
    chain_ratio: float

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def bench_against(
    python: Path,
    video: str | Path,
    options: RunOptions,
    *,
    render: str = "side-by-side",
) -> AgainstPeer:
    """Times both by turns; ``python``: one that has MediaPipe up to 0.10.21, whose NumPy
    pose3d does not run with."""
    peer, first, chain = [], [], []
    for _ in range(ROUNDS):
        peer.append(_time_peer(python, video))
        ours = bench_run(video, options, render=render)
        first.append(_ms(ours, ours.first_pass_s))
        chain.append(_ms(ours, ours.chain_s))
    median = statistics.median
    return AgainstPeer(
        video=str(video),
        rounds=ROUNDS,
        peer_ms=median(peer),
        first_pass_ms=median(first),
        chain_ms=median(chain),
        first_pass_ratio=median(a / b for a, b in zip(first, peer, strict=True)),
        chain_ratio=median(a / b for a, b in zip(chain, peer, strict=True)),
    )


def _ms(times: RunTimes, seconds: float) -> float:
    return 1000 * seconds / times.frames


def _time_peer(python: Path, video: str | Path) -> float:
    todo = "Give --against the Python of an environment that has mediapipe 0.10.21"
    command = python.absolute() if python.exists() else python  # else one on the PATH
    try:
        done = subprocess.run(
            [command, "-c", _LOOP, video], capture_output=True, text=True, check=True
        )
        return float(done.stdout.split()[-1])
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise UsageError(
            f"MediaPipe's loop did not run: {why[-1] if why else error}", todo
        ) from error
