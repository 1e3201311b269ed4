"""Named schedules: what a paper prunes and recovers, for a network of any size.

Reference: Li et al., "H2OT: Hierarchical Hourglass Tokenizer for Efficient Video Pose Transformers",
TPAMI 2025 (arXiv 2509.06956): frames are dropped little by little, sampled evenly in time (TPS),
and the poses of the others are interpolated (TRI).
Differs: its numbers of frames and blocks are in no published code (NationalGAILab/HoT, issue 18)
and could not be read. This pyramid halves twice and spares MixSTE-243 56.1 % of its operations (with
products of attention 57.2 %); the paper reports 57.4 %.
"""

from __future__ import annotations

from pose3d.errors import UsageError, unknown_name
from pose3d.lift.hourglass import HourglassOptions
from pose3d.options import SCHEDULES


def plan_schedule(name: str, frames: int, n_blocks: int) -> HourglassOptions:
    """Returns a schedule for a network: half of its frames after an eighth of its blocks (one at
    least), a quarter after half of them. UsageError: the name is unknown, or it has too few."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    half, quarter = -(-frames // 2), -(-frames // 4)
    first = max(1, n_blocks // 8)
    second = max(first + 1, n_blocks // 2)
    if frames < 4 or second >= n_blocks:
        raise UsageError(
            f"Schedule {name} does not fit a network of {n_blocks} blocks and {frames} frames",
            "Take a lifter of at least 3 blocks and 4 frames, or give --keep and --at",
        )
    return HourglassOptions(
        prune="uniform-ends", keep=(half, quarter), at=(first, second), recover="linear"
    )
