"""A share of the clips for each of several machines, which need not know of each other."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping

from pose3d.errors import UsageError
from pose3d.video.sources import Source

_EXAMPLE = "Give e.g. 3/16, or auto in a job array"


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Reads ``--shard``: which share, from 1, of how many. UsageError where that is not known."""
    which, _, count = text.partition("/")
    if which == "auto":
        which, found = _find_task(environment)
        count = count or found
        if not count:
            raise UsageError(
                "--shard auto does not know how many shares there are",
                "Kubernetes does not say: give --shard auto/16 for 16 completions",
            )
    if not (which.isdecimal() and count.isdecimal() and 1 <= int(which) <= int(count)):
        raise UsageError(f"--shard {text!r} is no share of the clips", _EXAMPLE)
    return int(which), int(count)


def _find_task(environment: Mapping[str, str]) -> tuple[str, str]:
    """Returns which task of an array this is, from 1, and of how many where that is said."""

    def number(name: str, default: int | None = None) -> int:
        value = environment.get(name, "")
        if not value.isdecimal():
            if default is not None:
                return default
            raise UsageError(f"{name} is {value!r}", "Give --shard in numbers, e.g. 3/16")
        return int(value)

    if "SLURM_ARRAY_TASK_ID" in environment:
        count = number("SLURM_ARRAY_TASK_COUNT")
        first, step = number("SLURM_ARRAY_TASK_MIN", 0), number("SLURM_ARRAY_TASK_STEP", 1) or 1
        place, rest = divmod(number("SLURM_ARRAY_TASK_ID") - first, step)
        if rest or not 0 <= place < count:
            raise UsageError(
                "The numbers of this job array are not evenly spaced",
                f"Submit it as --array=1-{count}, or give --shard in numbers",
            )
        return str(place + 1), str(count)
    if "JOB_COMPLETION_INDEX" in environment:
        return str(number("JOB_COMPLETION_INDEX") + 1), ""
    raise UsageError(
        "--shard auto finds neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX", _EXAMPLE
    )


def take_shard(sources: Iterable[Source], which: int, count: int) -> list[int]:
    """Returns the numbers of the clips of one share. Names decide: another clip moves no other."""
    return [n for n, source in enumerate(sources) if _share_of(source.name, count) == which - 1]


def _share_of(name: str, count: int) -> int:
    # File systems differ in how they compose accents.
    data = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") % count
