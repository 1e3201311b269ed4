"""Which of the exchangeable 2D networks can run here, and what the others lack, without making them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pose3d.errors import MissingExtraError, Pose3DError, UsageError, WeightsError
from pose3d.networks2d.loading import finds_people_itself
from pose3d.plugins import PARTS, find_parts, load_part
from pose3d.weights.fetching import ChosenFile
from pose3d.weights.table import WEIGHTS

NO_WEIGHTS = "weights are not here"
NOT_INSTALLED = "not installed"
OWN_WEIGHTS = "needs weights of your own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a part that is not made."""

    licence: str = ""  # of code and weights; empty: not known
    lacks: str = ""  # why it cannot be used, in a few words; empty: it can
    todo: str = ""  # what would change that
    weights: tuple[str, ...] = ()


def look_at(kind: str, name: str, *, device: str = "auto") -> Candidate:
    """Looks whether a detector or an estimator could run here; nothing is fetched."""
    base, _, argument = name.partition(":")
    of_weights = [e.licence for e in WEIGHTS.values() if e.name.partition(".")[0] == base]
    licence = of_weights[0] if of_weights else ""
    weights: tuple[str, ...] = ()
    try:
        part = load_part(kind, base)  # raises for unknown names, with the list
    except MissingExtraError as error:
        return Candidate(licence=licence, lacks=NOT_INSTALLED, todo=error.todo)
    licence = getattr(part, "LICENCE", "") or licence
    if default := getattr(part, "DEFAULT_WEIGHTS", ""):
        weights = (default,)
    try:
        chosen = find_weights(kind, name, offline=True)
        if chosen is not None:
            licence, weights = chosen.licence or licence, (chosen.name,)
            part.check_device(device)
    except Pose3DError as error:
        lacks = in_words(error, bool(argument))
        return Candidate(licence=licence, lacks=lacks, todo=error.todo, weights=weights)
    return Candidate(licence=licence, weights=weights)


def find_weights(
    kind: str, name: str, *, offline: bool, say: Callable[[str], None] | None = None
) -> ChosenFile | None:
    """Returns the weights of a part, fetched unless ``offline``; None: those of another package."""
    base, _, argument = name.partition(":")
    part = load_part(kind, base)
    if base not in PARTS[kind]:  # parts of other packages fetch for themselves when they are made
        return None
    chosen: ChosenFile = part.find_weights(argument or None, offline=offline, say=say)
    return chosen


def in_words(error: Pose3DError, named: bool) -> str:
    """Returns what is lacking in a few words; ``named``: certain weights were asked for."""
    if isinstance(error, MissingExtraError):
        return NOT_INSTALLED
    if isinstance(error, WeightsError) and (not named or "not on this machine" in error.what):
        return NO_WEIGHTS
    if isinstance(error, UsageError) and not named:
        return OWN_WEIGHTS
    return error.what


def finds_people(name: str) -> bool:
    """Tells whether an estimator finds people itself; False where its package is not installed."""
    try:
        return finds_people_itself(name)
    except MissingExtraError:
        return False


def list_names(kind: str) -> list[str]:
    """Returns the names of all detectors or estimators, those of other packages included, sorted."""
    return sorted(find_parts(kind))
