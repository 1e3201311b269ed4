"""What is known at one moment of a live run, and who wants to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pose3d.pipeline.live import StreamPerson
from pose3d.video.picture import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One picture that was worked on, and the people in it."""

    index: int  # of the picture among those that were captured, from 0
    time_s: float  # after the first picture
    image: Image
    people: tuple[StreamPerson, ...]
    captured_s: float  # when the picture was there, on the clock of ``time.monotonic``
    latency_s: float = 0.0  # from there until the people were known
    rate: float = 0.0  # pictures worked on, a second, lately
    dropped: int = 0  # pictures that were not worked on, up to now


class Sender(Protocol):
    """Somebody who passes moments on."""

    def send(self, moment: Moment) -> None:
        """Passes one on and does not wait; OSError where that fails."""

    def close(self) -> None:
        """Says that nothing follows."""
