"""Which of the exchangeable 2D networks can run here, and what the others lack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pose3d.errors import (
    MissingExtraError,
    Pose3DError,
    UsageError,
    WeightsError,
)
from pose3d.networks2d.loading import finds_people_itself, make_detector, make_keypoints
from pose3d.plugins import find_parts, load_part
from pose3d.weights.table import WEIGHTS

_MAKERS: dict[str, Callable[..., Any]] = {"detector": make_detector, "keypoints": make_keypoints}

NO_WEIGHTS = "weights are not here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of making a detector or an estimator.

    Args:
        kind: ``"detector"`` or ``"keypoints"``.
        name: in its table, with what stands behind a colon.
        model: it, or None.
        licence: as the model says; before that as its class says; empty: nobody said.
        lacks: why there is no model, in a few words; empty when there is one.
        todo: what would change that.
    """

    kind: str
    name: str
    model: Any = None
    licence: str = ""
    lacks: str = ""
    todo: str = ""


def list_names(kind: str) -> list[str]:
    """Returns the names of all detectors or estimators, those of other packages included, sorted."""
    return sorted(find_parts(kind))


def licence_before(kind: str, name: str) -> str:
    """Returns the licence of a part that is not made yet; empty where nobody states one.

    It is what its class says, or else what the table says of its weights.

    Args:
        kind: ``"detector"`` or ``"keypoints"``.
        name: with or without something behind a colon.
    """
    base = name.partition(":")[0]
    try:
        stated = getattr(load_part(kind, base), "LICENCE", "")
    except MissingExtraError:
        stated = ""
    of_weights = [e.licence for e in WEIGHTS.values() if e.name.startswith(f"{base}.")]
    return str(stated or (of_weights[0] if of_weights else ""))


def finds_people(name: str) -> bool:
    """Tells whether an estimator finds people itself; False where its package is not installed.

    Args:
        name: with or without something behind a colon.

    Raises:
        UsageError: there is no estimator of that name.
    """
    try:
        return finds_people_itself(name)
    except MissingExtraError:
        return False


def try_model(kind: str, name: str, *, device: str = "auto", threads: int | None = None) -> Attempt:
    """Makes a detector or estimator if it can run here; nothing is fetched.

    Args:
        kind: ``"detector"`` or ``"keypoints"``.
        name: in its table, with or without something behind a colon.
        device: see :func:`pose3d.networks2d.loading.make_detector`.
        threads: the same.

    Returns:
        The model, or what it lacks.

    Raises:
        UsageError: there is no part of that name.
    """
    base, colon, _ = name.partition(":")
    if base not in list_names(kind):
        load_part(kind, base)  # raises, with the list
    stated = licence_before(kind, name)
    try:
        model = _MAKERS[kind](name, device=device, threads=threads, offline=True)
    except MissingExtraError as error:
        return Attempt(kind=kind, name=name, licence=stated, lacks="not installed", todo=error.todo)
    except WeightsError as error:
        lacks = NO_WEIGHTS if not colon else error.what
        return Attempt(kind=kind, name=name, licence=stated, lacks=lacks, todo=error.todo)
    except UsageError as error:
        # Without a colon nothing was asked for that could be wrong: it needs weights of one's own.
        lacks = "needs weights of your own" if not colon else error.what
        return Attempt(kind=kind, name=name, licence=stated, lacks=lacks, todo=error.todo)
    except Pose3DError as error:
        return Attempt(kind=kind, name=name, licence=stated, lacks=error.what, todo=error.todo)
    return Attempt(kind=kind, name=name, model=model, licence=model.info.licence or stated)
