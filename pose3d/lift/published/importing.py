"""Importing published checkpoints: a foreign file in, weights that ``--lifter NAME`` takes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pose3d.body.mappings import MAPPINGS_TO_H36M
from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError, WeightsError, unknown_name
from pose3d.lift.lifter import own_pipeline
from pose3d.lift.models import LifterOptions, build_network, save_network
from pose3d.lift.normalise import UNITS
from pose3d.lift.published.names import (
    rename_mhformer,
    rename_mixste,
    rename_motionagformer,
    rename_motionbert,
)
from pose3d.lift.published.recognise import (
    Hints,
    Recognised,
    in_words,
    recognise,
)
from pose3d.lift.sequence import LIFTERS
from pose3d.weights import finding
from pose3d.weights.checkpoint import check_fit, default_name, read_checkpoint
from pose3d.weights.store import check_new_name, place_weights

_RENAME = {
    "mixste": rename_mixste,
    "mhformer": rename_mhformer,
    "motionbert": rename_motionbert,
    "motionagformer": rename_motionagformer,
}

_MAPPING = {
    "mixste": "hot",
    "mhformer": "hot",
    "motionbert": "motionbert",
    "motionagformer": "hot",
}
"""The mapping of each code base's own demo."""

_UNITS = {
    "mixste": "metres",
    "mhformer": "metres",
    "motionbert": "picture",
    "motionagformer": "picture",
}
"""What each code base trains its networks to answer in."""

_PIPELINE = {
    "mixste": "seq2seq",
    "mhformer": "seq2frame",
    "motionbert": "seq2seq",
    "motionagformer": "seq2seq",
}
"""How each code base tests and demonstrates its networks: ``main.py`` and ``demo/vis.py`` of MHFormer
take the middle frame of one window a frame, though the network answers for every frame of it."""

RATE_RANGE = (25.0, 50.0)
"""Human3.6M was filmed at 50 frames per second. The range has to span an octave; this one lets videos
of 25, 30 and 50 in as they are, like the demos of all four code bases, and halves those of 60."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What became of a checkpoint.

    Args:
        name: to give to ``--lifter``.
        path: the weights file.
        recognised: what the checkpoint was found to be.
        options: stored in the weights file.
        parameters: number of learned values.
        source_sha256: of the checkpoint.
    """

    name: str
    path: Path
    recognised: Recognised
    options: LifterOptions
    parameters: int
    source_sha256: str


def import_weights(
    path: Path,
    *,
    name: str | None = None,
    hints: Hints | None = None,
    mapping: str | None = None,
    units: str | None = None,
    licence: str | None = None,
    entry: str | None = None,
    overwrite: bool = False,
) -> Import:
    """Converts a published checkpoint and places it among the user's weights.

    Nothing in the file is run (:mod:`pose3d.weights.checkpoint`), every tensor has to fit, and nothing is
    written before all of it does.

    Args:
        path: file of ``torch.save`` or ``.safetensors``.
        name: ``arch.tag``; None: the architecture and the file's name.
        hints: what the tensors cannot tell.
        mapping: keypoint mapping to H36M17; None: the one of the code base's demo.
        units: ``metres`` or ``picture``, what the network answers in; None: what its code base trains.
        licence: SPDX identifier; None: not stated.
        entry: which table of weights is meant where the file has several.
        overwrite: replace weights of this name.

    Raises:
        UsageError: a hint is missing or impossible, or the name is taken.
        WeightsError: the file is damaged, would run code, or does not fit a network of pose3d.
    """
    if mapping is not None and mapping not in MAPPINGS_TO_H36M:
        raise unknown_name("keypoint mapping", mapping, MAPPINGS_TO_H36M)
    if units is not None and units not in UNITS:
        raise unknown_name("unit", units, UNITS)
    if name is not None:
        check_new_name(name, taken=LIFTERS, overwrite=overwrite)
        if name.startswith("tokenpose."):
            raise UsageError(f"{name!r} is the name of a TokenPose", "Choose another one with --as")
    published = read_checkpoint(path, entry=entry)
    found, options, state = convert(
        published, hints or Hints(), mapping=mapping, units=units, licence=licence
    )
    if name is None:
        name = default_name(found.arch, path)
        check_new_name(name, taken=LIFTERS, overwrite=overwrite)
    source_sha256 = finding.sha256_of(path)
    extra = {"source": path.name, "source_sha256": source_sha256}
    card = write_card(name, path.name, source_sha256, found, options)
    target = place_weights(name, lambda file: save_network(file, state, options, extra=extra), card)
    return Import(
        name=name,
        path=target,
        recognised=found,
        options=options,
        parameters=sum(v.numel() for k, v in state.items() if _is_learned(k)),
        source_sha256=source_sha256,
    )


def convert(
    published: dict[str, Tensor],
    hints: Hints,
    *,
    mapping: str | None = None,
    units: str | None = None,
    licence: str | None = None,
) -> tuple[Recognised, LifterOptions, dict[str, Tensor]]:
    """Turns a published state dict into one of pose3d with the options that go with it.

    Raises:
        UsageError: a hint is missing or impossible.
        WeightsError: a tensor is missing, left over, of another shape or not finite.
    """
    found = recognise(published, hints)
    options = LifterOptions(
        backbone=found.backbone,
        sizes=found.sizes,
        hourglass=found.hourglass,
        normalisation="screen",
        mapping=mapping or _MAPPING[found.backbone],
        units=units or _UNITS[found.backbone],
        rate_range=RATE_RANGE,
        pipeline=_PIPELINE[found.backbone],
        licence=licence or "not stated",
    )
    joints = found.sizes.get("joints", len(H36M17))
    if joints != len(H36M17) or found.sizes["channels_in"] not in (2, 3):
        raise WeightsError(
            f"The network takes {joints} joints of {found.sizes['channels_in']} numbers",
            "pose3d lifts the 17 joints of Human3.6M from x, y or from x, y, confidence",
        )
    state = _RENAME[found.backbone](published)
    with torch.device("meta"):  # shapes are enough
        wanted = build_network(options).state_dict()
    check_fit(state, wanted, in_words(found.arch))
    return found, options, state


def write_card(
    name: str, file_name: str, source_sha256: str, found: Recognised, options: LifterOptions
) -> str:
    """Returns a model card with what the file tells, and gaps for what it does not."""
    sizes = ", ".join(f"{key} {value}" for key, value in options.sizes.items())
    lines = [
        f"# {name}",
        "",
        f"Licence: {options.licence}",
        "",
        f"Imported with `pose3d weights import` from `{file_name}`, sha256 `{source_sha256}`.",
        "",
        f"- Architecture: {in_words(found.arch)} ({sizes})",
    ]
    if found.hourglass is not None:
        lines.append(f"- Pruning: {describe_pruning(options)}")
    lines += [
        f"- Assumed, because the tensors do not tell: {', '.join(found.assumed) or 'nothing'}",
        f"- Input: {describe_input(options)}",
        f"- Output: {describe_output(options)}",
        f"- Frame rates: {RATE_RANGE[0]:g} to {RATE_RANGE[1]:g} per second",
        "",
        "To fill in: who published it and where, the paper, the training data, its licence, how well "
        "it does on data that you trust.",
        "",
    ]
    return "\n".join(lines)


def describe_pruning(options: LifterOptions) -> str:
    """Returns in words where frames are dropped and what comes out."""
    pruned = options.hourglass
    if pruned is None:
        return "none"
    counts = [options.sizes["frames"], *pruned.keep]
    ends = (
        "all frames recovered by cross-attention"
        if pruned.recover
        else "the centre is kept, only the kept frames come out"
    )
    return f"{' -> '.join(map(str, counts))} frames before block {', '.join(map(str, pruned.at))}; {ends}"


def describe_input(options: LifterOptions) -> str:
    """Returns in words what the network is given."""
    channels = "x, y, confidence" if options.sizes["channels_in"] == 3 else "x, y"
    return f"{channels}; normalisation {options.normalisation}; keypoint mapping {options.mapping}"


def describe_output(options: LifterOptions) -> str:
    """Returns in words what the network answers in, and for which frames it is asked."""
    where = f"; {own_pipeline(options)}"
    if options.units == "metres":
        return f"metres about the pelvis{where}"
    return f"fractions of the picture's width, scaled to a stature of 1.70 m{where}"


def _is_learned(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
