"""Who is trained on, validated and tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from pose3d.errors import UsageError


def split_takes(
    subject_of: Mapping[str, str], val: Sequence[str], test: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Puts takes (keys of ``subject_of``) into splits by subject; if there is one, take by take.

    Where ``val`` and ``test`` are empty a tenth, at least one, is ``val``, chosen by a hash of the
    names. Returns take -> ``train``, ``val`` or ``test``, and sentences about it.
    """
    subjects = sorted(set(subject_of.values()))
    for name in (*val, *test):
        if name not in subjects:
            raise UsageError(f"There is no subject {name!r}", f"Subjects are {', '.join(subjects)}")
    if not val and not test:
        if len(subjects) > 1:
            val = _hold_out(subjects)
        elif len(subject_of) > 1:
            held = _hold_out(subject_of)
            said = (
                f"one subject: takes held out for val: {', '.join(sorted(held))}; figures on them "
                "say nothing about other people"
            )
            return {take: "val" if take in held else "train" for take in subject_of}, [said]
    split = {s: "val" if s in val else "test" if s in test else "train" for s in subjects}
    return {take: split[subject] for take, subject in subject_of.items()}, []


def _hold_out(names: Collection[str]) -> list[str]:
    """Returns a tenth of the names, at least one, chosen by a hash."""
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return order[: max(1, len(names) // 10)]
