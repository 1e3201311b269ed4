"""What synthetic people do: takes of motion files, as recorded or varied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError
from pose3d.lab.datasets.motions import MIRRORED, read_motion_file
from pose3d.lab.datasets.poses import PoseOptions, vary_poses

Array = NDArray[np.float64]

RATES = (25.0, 30.0)
# shares; every second exchange is one with the same motion
UNRECORDED = PoseOptions(exchange=0.5, bend=0.6, tumble=0.4)


@dataclass(frozen=True, slots=True)
class _Recording:
    points_m: Array
    fps: float
    name: str
    subject: str
    action: str


class Recordings:
    """The takes of one split of motion files; a subject counts by the root of its length."""

    def __init__(
        self, files: list[Path], leave_out: tuple[str, ...] = (), split: str = "train"
    ) -> None:
        self._all: list[_Recording] = []
        for path in files:
            data = read_motion_file(path, {"action": "text clip"})
            points = data["positions_mm"]
            for c in np.flatnonzero(data["split"] == split):
                rows = slice(data["starts"][c], data["starts"][c + 1])
                if str(data["names"][c]).split("#")[0] not in leave_out:
                    text = [str(data[k][c]) for k in ("names", "subject", "action")]
                    self._all.append(_Recording(points[rows], float(data["fps"][c]), *text))
        if not self._all:
            raise DataError(
                f"No take of split {split!r} to film",
                "Give files of 'pose3d data prepare' with --motions",
            )
        length = np.array([len(r.points_m) / r.fps for r in self._all])
        subject = np.array([r.subject for r in self._all])
        total = {s: length[subject == s].sum() for s in set(subject)}
        weight = length / np.sqrt([total[s] for s in subject])
        self._weight = weight / weight.sum()

    def draw(self, frames: int, rng: np.random.Generator) -> tuple[_Recording, float, float, Array]:
        """Returns a take, its rate and start in seconds, and points ``(frame, 23, 3)`` in metres."""
        take = self._all[rng.choice(len(self._all), p=self._weight)]
        rate = float(rng.choice(RATES))
        last = (len(take.points_m) - 1) / take.fps
        n = min(frames, int(last * rate) + 1)
        start = float(rng.uniform(0, last - (n - 1) / rate))
        at = (start + np.arange(n) / rate) * take.fps
        low = np.minimum(at.astype(int), len(take.points_m) - 2)
        w = (at - low)[:, None, None]
        points = (take.points_m[low] * (1 - w) + take.points_m[low + 1] * w) / 1000
        if rng.random() < 0.5:
            points = points[:, MIRRORED] * [-1, 1, 1]
        return take, rate, start, points

    def draw_varied(self, points_m: Array, rng: np.random.Generator) -> Array:
        """Varies a motion with another one of at least its length, see :func:`vary_motion`."""
        other = points_m[:0]
        while len(other) < len(points_m):
            *_, other = self.draw(len(points_m), rng)
        return vary_motion(points_m, other, rng)


def vary_motion(points_m: Array, other_m: Array, rng: np.random.Generator) -> Array:
    """Makes unrecorded poses of ``(frame, 23, 3)``, bones as long as before, now and then with the
    upper body of ``other_m``, which is as long or longer."""
    import torch

    pair = torch.from_numpy(np.stack([points_m, other_m[: len(points_m)]])).float()
    drawn = torch.Generator().manual_seed(int(rng.integers(2**31)))
    return vary_poses(pair, UNRECORDED, drawn)[0].double().numpy()
