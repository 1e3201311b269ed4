"""What each pruning and recovery costs with trained weights. No test.

One ``pose3d evaluate tracks`` a row, printed as a table in Markdown:

    python -m tests.support.bench_strategies ../shared/rendered/tracks.npz
    python -m tests.support.bench_strategies ../shared/rendered/tracks.npz --lifter mine.safetensors
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from pose3d.options import LEARNED_RECOVERIES, PRUNINGS, RECOVERIES

MADE = [r for r in RECOVERIES if r not in LEARNED_RECOVERIES]

ROWS = [
    "",
    "--prune none",
    *(f"--prune {p}{r}" for p in PRUNINGS for r in ("", *(f" --recover {r}" for r in MADE))),
    *(f"{p}--keep {n}" for n in (3, 5, 9, 18) for p in ("", "--prune uniform ")),
    "--at 2",
    "--at 4",
    "--keep 13,9 --at 1,2",
    "--recover none",
]
"""What is typed after the command."""


def main() -> None:
    """Prints the rows as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="track file, e.g. rendered/tracks.npz")
    parser.add_argument("--lifter", default="hot-mixste")
    args = parser.parse_args()
    print(
        "| options | Procrustes mm | median | 90th pct. | acceleration m/s² |\n|---|---|---|---|---|"
    )
    for row in ROWS:
        command = [sys.executable, "-m", "pose3d", "evaluate", "tracks", args.file, "--json"]
        command += ["--lifter", args.lifter, "--offline", *row.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        every = json.loads(done.stdout)["all"]
        values = [f"{every[key]:.1f}" for key in ("procrustes_mm", "median_mm", "p90_mm")]
        values.append(f"{every['acceleration_mm_s2'] / 1e3:.1f}")
        print(f"| {f'`{row}`' if row else 'as trained'} | {' | '.join(values)} |", flush=True)


if __name__ == "__main__":
    main()
