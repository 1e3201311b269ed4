"""Which of the exchangeable 2D networks can run here, and what the others lack, without making them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose3d.errors import (
    DeviceError,
    MissingExtraError,
    Pose3DError,
    UsageError,
    WeightsError,
)
from pose3d.networks2d.loading import finds_people_itself, make_detector, make_keypoints
from pose3d.plugins import PARTS, find_parts, load_part
from pose3d.weights import finding
from pose3d.weights.fetching import ChosenFile, find_file
from pose3d.weights.table import WEIGHTS

_MAKERS: dict[str, Callable[..., Any]] = {"detector": make_detector, "keypoints": make_keypoints}

NO_WEIGHTS = "weights are not here"
NOT_INSTALLED = "not installed"
OWN_WEIGHTS = "needs weights of your own"

DEFAULT_WEIGHTS_OF = {
    ("detector", "blazepose"): "blazepose.detection",
    ("keypoints", "blazepose"): "blazepose.landmark-full",
    ("keypoints", "rtmpose"): "rtmpose.body7-m",
    ("detector", "rtmdet"): "rtmdet.person-m",
    ("detector", "yolox"): "yolox.humanart-m",
}
"""Kind and name -> weights of the table that it uses unless told otherwise. Written by hand: a class
whose package is missing cannot be asked."""

_YOLO_DEFAULTS = {"detector": "yolo11n.pt", "keypoints": "yolo11n-pose.pt"}


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
    if base not in find_parts(kind):
        load_part(kind, base)  # raises, with the list
    licence = _licence_of(kind, base)
    try:
        chosen = find_weights(kind, name, offline=True)
        _check_device(kind, base, device)
    except Pose3DError as error:
        return Candidate(licence=licence, lacks=_in_words(error, bool(argument)), todo=error.todo)
    if chosen is None:
        return Candidate(licence=licence)
    return Candidate(licence=chosen.licence or licence, weights=(chosen.name,))


def find_weights(
    kind: str, name: str, *, offline: bool, say: Callable[[str], None] | None = None
) -> ChosenFile | None:
    """Returns the weights that a part would use, fetched unless ``offline``; None: none of ours."""
    base, _, text = name.partition(":")
    argument = text or None
    part = load_part(kind, base)
    default = DEFAULT_WEIGHTS_OF.get((kind, base))
    if default is not None:
        suffix = Path(WEIGHTS[default].file_name).suffix
        return find_file(argument or default, suffix, offline=offline, on_progress=say)
    if base not in PARTS[kind] or not hasattr(part, "ARGUMENT"):
        return None
    if base == "yolo":
        from pose3d.networks2d.runtimes import yolonet

        yolonet.import_ultralytics()
        named = argument or _YOLO_DEFAULTS[kind]
        return _own_file(yolonet.find_weights(named, offline=offline, say=say))
    if base == "mmpose":
        return _own_file(_find_mmpose(argument or "human", offline))
    if argument is None:
        raise UsageError(
            f"No weights for {base} come with pose3d",
            f"Give a file (--{kind} {base}:{part.ARGUMENT})",
        )
    path = Path(argument).expanduser()
    if not path.is_file():
        raise UsageError(f"There is no file {argument}", "Check the path")
    return _own_file(path)


def _find_mmpose(argument: str, offline: bool) -> Path:
    """Returns the checkpoint of a configuration of MMPose."""
    from pose3d.networks2d.estimators.mmpose import split_argument
    from pose3d.networks2d.estimators.mmpose_files import find_checkpoint, find_config
    from pose3d.networks2d.estimators.mmpose_imports import require_mmpose, stand_ins

    require_mmpose()
    name, checkpoint = split_argument(argument)
    with stand_ins():
        _, published = find_config(name)
        return find_checkpoint(checkpoint, published, name, offline=offline)


def _own_file(path: Path) -> ChosenFile:
    """Describes a file that is not in the table; what is imported has its licence on its card."""
    licences = [e.licence for e in finding.list_weights() if e.file_name == path.name]
    return ChosenFile(path=path, name=path.name, licence=licences[0] if licences else "")


def _licence_of(kind: str, base: str) -> str:
    """Returns what a part's class says, or else what the table says of its weights."""
    try:
        stated = getattr(load_part(kind, base), "LICENCE", "")
    except MissingExtraError:
        stated = ""
    of_weights = [e.licence for e in WEIGHTS.values() if e.name.startswith(f"{base}.")]
    return str(stated or (of_weights[0] if of_weights else ""))


def _check_device(kind: str, base: str, device: str) -> None:
    """Raises DeviceError where a part runs on fewer devices than torch."""
    default = DEFAULT_WEIGHTS_OF.get((kind, base), "")
    if base == "blazepose" and device not in ("auto", "cpu"):
        raise DeviceError("runs on the CPU only", "Use auto or cpu")
    if default and base != "blazepose":
        from pose3d.networks2d.runtimes.onnxrt import pick_provider

        pick_provider(device)


def _in_words(error: Pose3DError, named: bool) -> str:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A detector or an estimator that was made, or what it lacks."""

    kind: str
    name: str
    model: Any = None
    lacks: str = ""
    todo: str = ""


def list_names(kind: str) -> list[str]:
    """Returns the names of all detectors or estimators, those of other packages included, sorted."""
    return sorted(find_parts(kind))


def try_model(kind: str, name: str, *, device: str = "auto", threads: int | None = None) -> Attempt:
    """Makes a detector or estimator if it can run here; nothing is fetched."""
    try:
        model = _MAKERS[kind](name, device=device, threads=threads, offline=True)
    except Pose3DError as error:
        lacks = _in_words(error, ":" in name)
        return Attempt(kind=kind, name=name, lacks=lacks, todo=error.todo)
    return Attempt(kind=kind, name=name, model=model)
