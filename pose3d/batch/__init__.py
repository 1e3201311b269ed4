"""Many clips, one after the other or several at once: what ``pose3d run`` does."""

from __future__ import annotations

from pose3d.batch.clips import check_outputs, run_batch
from pose3d.batch.watch import Outcome, Silent, Watcher

__all__ = ["Outcome", "Silent", "Watcher", "check_outputs", "run_batch"]
