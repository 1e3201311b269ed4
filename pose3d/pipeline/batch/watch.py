"""What a batch tells while it works, and what became of each clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pose3d.errors import Pose3DError
from pose3d.video.sources import Source
from pose3d.weights.info import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one clip.

    ``status`` is ``"done"``, ``"updated"`` (only missing files were made, from the earlier result),
    ``"kept"`` (everything was there already), ``"busy"`` (another run is working on it) or ``"failed"``.
    """

    source: Source
    status: str
    folder: Path
    people: int | None = None  # found; None when failed
    frames: int | None = None  # of the clip; None when failed
    seconds: float = 0.0
    # Median spread of the hypotheses by group of joints, see pose3d.result.spread.
    spread_mm: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: Pose3DError | None = None  # of a clip that failed or is busy
    trace: str = ""  # where an unexpected error came from


class Watcher:
    """Is told how a batch gets on; this one ignores it. ``number`` is the position in the clips."""

    def say(self, text: str) -> None:
        """What happens before the first clip, e.g. that weights are fetched."""

    def planned(self, clips: int) -> None:
        """How many clips are looked at."""

    def loaded(self, models: Sequence[ModelInfo], seconds: float) -> None:
        """The networks are ready (once a batch; not at all when none is needed)."""

    def started(self, number: int) -> None:
        """A clip is being worked on."""

    def progress(self, number: int, stage: str, done: int, total: int) -> None:
        """Frames done in a stage: ``recording``, ``2D``, ``3D``, ``drawing``; total 0: unknown."""

    def tell(self, number: int, text: str) -> None:
        """What a clip is read with, e.g. the focal length and where it is known from."""

    def warn(self, number: int, text: str) -> None:
        """Something that stops nothing."""

    def finished(self, number: int, outcome: Outcome) -> None:
        """A clip is done, kept, busy or has failed."""
