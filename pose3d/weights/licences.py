"""What a licence asks of those who use a part, told from the words in which it is stated."""

from __future__ import annotations

import re

from pose3d.errors import UsageError, unknown_name

RESTRICTIONS: dict[str, str] = {
    "AGPL-3.0": "what is built on it, services on a network included, has to be published",
    "GPL-3.0": "what is distributed with it has to be published",
    "non-commercial": "not for commercial use, or for research only",
    "unstated": "nobody stated the licence of these weights",
}
"""Restrictions that a person has to accept by name, and what they mean."""

_PATTERNS = {
    "AGPL-3.0": r"\bAGPL",
    "GPL-3.0": r"\bGPL",
    "non-commercial": r"not for commercial|non[- ]?commercial|\bBY-NC\b|research[- ]only|"
    r"research use only|only for research",
    "unstated": r"^\s*$|not stated|as their source says|see its|unknown",
}


def find_restrictions(licence: str) -> tuple[str, ...]:
    """Returns which of :data:`RESTRICTIONS` a licence has: an SPDX name, or words. No legal advice."""
    return tuple(n for n, p in _PATTERNS.items() if re.search(p, licence, re.IGNORECASE))


def parse_allowed(text: str | None) -> frozenset[str]:
    """Reads ``--allow-licence``: names of :data:`RESTRICTIONS` separated by commas, in any case.

    Raises:
        UsageError: a name is none of them, or empty.
    """
    if text is None:
        return frozenset()
    known = {name.lower(): name for name in RESTRICTIONS}
    allowed = set()
    for part in text.split(","):
        name = part.strip().lower()
        if not name:
            raise UsageError(
                f"A name in --allow-licence {text!r} is empty", "Write e.g. AGPL-3.0,non-commercial"
            )
        # ultralytics writes AGPL-3.0, SPDX knows two forms of it.
        name = re.sub(r"-(only|or-later)$", "", name)
        if name not in known:
            raise unknown_name("licence to allow", part.strip(), RESTRICTIONS)
        allowed.add(known[name])
    return frozenset(allowed)
