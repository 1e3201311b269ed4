"""Importing published checkpoints: a foreign file in, weights that ``--lifter NAME`` takes out.
What all published files have in common is assumed and said; else the reader has to give it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose3d.body.mappings import MAPPINGS_TO_H36M
from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError, WeightsError, unknown_name
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import own_pipeline
from pose3d.lift.models import LifterOptions, build_network, save_network
from pose3d.lift.normalise import PUBLISHED_NORMALISATIONS, UNITS
from pose3d.lift.published.description import Checkpoint, Hints, State
from pose3d.lift.sequence import LIFTERS
from pose3d.plugins import find_parts, load_part
from pose3d.weights.checkpoint import check_fit, default_name, divide, read_checkpoint
from pose3d.weights.store import Import, check_new_name, place_import

# An octave about Human3.6M's 50 a second: 25, 30 and 50 stay, 60 is halved.
RATE_RANGE = (25.0, 50.0)

JOINT_ORDERS = ("h36m", "3dhp")

_KINDS = {"": "", "hot-": "HoT-", "tpc-": "TPC-"}  # recovered; only kept frames

# start of a tensor's name -> the network it belongs to
_STRANGERS = {
    "features.keypoint_token": "TokenPose (import_tokenpose takes it)",
    "transformer.keypoint_token": "TokenPose (import_tokenpose takes it)",
    "Transformer_reduce.": "StridedTransformer",
    "expand_conv.": "VideoPose3D",
    "Spatial_blocks.": "PoseFormer",
    "feature_extractor.": "a network for images",
    "joint_regressor": "a network of body meshes",
}


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a checkpoint is."""

    arch: str  # the backbone, or with ``hot-`` or ``tpc-`` before it
    options: LifterOptions  # as its authors use it
    assumed: tuple[str, ...]  # what the tensors do not tell, in words


def import_weights(
    path: Path,
    *,
    name: str | None = None,
    hints: Hints | None = None,
    mapping: str | None = None,
    normalisation: str | None = None,
    units: str | None = None,
    joints: str | None = None,
    licence: str | None = None,
    entry: str | None = None,
    overwrite: bool = False,
) -> Import:
    """Converts a published checkpoint and places it among the user's weights, all or nothing.

    Nothing in the file (``torch.save`` or ``.safetensors``) is run.

    Args:
        name: ``arch.tag``; None: the architecture and the file's name.
        hints: what the tensors cannot tell.
        mapping: keypoint mapping to H36M17; None: the one of the code base's demo.
        normalisation: in ``PUBLISHED_NORMALISATIONS``; None: that of the code base's demo.
        units: ``metres`` or ``picture``; None: what its code base trains.
        joints: whose numbers the weights give them, in ``JOINT_ORDERS``; None: by the file's name.
        licence: SPDX identifier; None: not stated.
        entry: which table of weights is meant where the file has several.

    Raises:
        UsageError: a hint is missing or impossible, or the name is taken.
        WeightsError: the file is damaged, would run code, or does not fit a network of pose3d.
    """
    for kind, value, known in (
        ("keypoint mapping", mapping, MAPPINGS_TO_H36M),
        ("normalisation", normalisation, PUBLISHED_NORMALISATIONS),
        ("unit", units, UNITS),
        ("order of joints", joints, JOINT_ORDERS),
    ):
        if value is not None and value not in known:
            raise unknown_name(kind, value, known)
    if name is not None:
        check_new_name(name, taken=LIFTERS, overwrite=overwrite)
        if name.startswith("tokenpose."):
            raise UsageError(f"{name!r} is the name of a TokenPose", "Choose another one with --as")
    if joints is None and re.search(r"3dhp|mpi.?inf", path.name, re.IGNORECASE) is not None:
        raise UsageError(
            f"{path.name} is called as if for MPI-INF-3DHP, whose joints have other numbers, which no "
            "tensor tells",
            "Say --joints 3dhp, or --joints h36m",
        )
    published = read_checkpoint(path, entry=entry)
    found = recognise(published, hints or Hints())
    options = replace(
        found.options,
        mapping=mapping or found.options.mapping,
        normalisation=normalisation or found.options.normalisation,
        units=units or found.options.units,
        licence=licence or found.options.licence,
    )
    state = convert(published, found)
    if joints == "3dhp":
        state = load_part("backbone", options.backbone).published.renumber_joints(state)
    if name is None:
        name = default_name(found.arch, path)
        check_new_name(name, taken=LIFTERS, overwrite=overwrite)
    return place_import(
        name,
        path,
        state,
        options,
        facts=_describe(found, options),
        save=lambda file, extra: save_network(file, state, options, extra=extra),
    )


def convert(published: State, found: Recognised) -> dict[str, Tensor]:
    """Turns a published state dict into that of the network it was recognised as.
    UsageError: the hints are impossible. WeightsError: a tensor is missing, left over or wrong."""
    sizes = found.options.sizes
    joints = sizes.get("joints", len(H36M17))
    if joints != len(H36M17) or sizes["channels_in"] not in (2, 3):
        raise WeightsError(
            f"The network takes {joints} joints of {sizes['channels_in']} numbers",
            "pose3d lifts 17 joints of x, y or of x, y, confidence",
        )
    state: dict[str, Tensor] = load_part("backbone", found.options.backbone).published.rename(
        published
    )
    with torch.device("meta"):  # shapes are enough
        wanted = build_network(found.options).state_dict()
    check_fit(state, wanted, in_words(found.arch))
    return state


def recognise(state: State, hints: Hints) -> Recognised:
    """Finds out which network a published state dict belongs to.
    UsageError: a hint is missing, impossible or contradicts the tensors. WeightsError: it is
    unknown."""
    backbones = _published_backbones()
    known = [kind + name for name in backbones for kind in _KINDS]
    if hints.arch is not None and hints.arch not in known:
        raise unknown_name("architecture", hints.arch, known)
    backbone = _find_backbone(state, backbones)
    says = backbones[backbone].published
    arch = backbone if hints.arch is None else hints.arch
    if arch.removeprefix("hot-").removeprefix("tpc-") != backbone:
        raise UsageError(
            f"The checkpoint holds a {says.title}, not a {in_words(arch)}", "Leave --arch out"
        )
    file = Checkpoint(state, hints)
    sizes = says.read_sizes(file)
    steps = None if says.find_steps is None else says.find_steps(file)
    kind = _find_kind(backbone, state, steps, hints)
    schedule = _find_schedule(kind + backbone, state, steps, hints)
    _refuse_unused(kind, backbone, hints)
    hourglass = None
    if schedule is not None:
        if says.prunable is not None and schedule[1][-1] >= (most := sizes[says.prunable]):
            raise UsageError(
                f"{in_words(arch)} drops frames before one of its {most} {says.prunable}",
                f"Give --at from 0 to {most - 1}",
            )
        heads = hints.recovery_heads or says.recovery_heads or sizes["heads"]
        hourglass = HourglassOptions(
            keep=schedule[0],
            at=schedule[1],
            recover="attention" if kind == "hot-" else None,
            keep_centre=kind == "tpc-",
            ties="rounding",  # published weights were evaluated with the published arithmetic
            heads=divide(sizes["dim"], heads, "--recovery-heads"),
        )
        if kind == "hot-" and hints.recovery_heads is None:
            file.assumed.append(f"{heads} heads of the recovery")
    options = LifterOptions(
        backbone=backbone,
        sizes=sizes,
        hourglass=hourglass,
        normalisation=says.normalisation,
        mapping=says.mapping,
        units=says.units,
        rate_range=RATE_RANGE,
        many_rates=False,
        pipeline=says.pipeline,
        licence="not stated",
    )
    return Recognised(kind + backbone, options, tuple(file.assumed))


def in_words(arch: str) -> str:
    """Returns an architecture's name as the papers write it, e.g. ``HoT-MixSTE``."""
    kind = next((k for k in ("hot-", "tpc-") if arch.startswith(k)), "")
    return _KINDS[kind] + load_part("backbone", arch.removeprefix(kind)).published.title


def _published_backbones() -> dict[str, Any]:
    classes = {name: load_part("backbone", name) for name in find_parts("backbone")}
    return {name: made for name, made in classes.items() if made.published is not None}


def _find_backbone(state: State, backbones: Mapping[str, Any]) -> str:
    for name, made in backbones.items():
        if made.published.mark in state:
            return name
    titles = ", ".join(made.published.title for made in backbones.values())
    known = f"pose3d has {titles} and their HoT and TPC versions"
    for start, title in _STRANGERS.items():
        if any(name.startswith(start) for name in state):
            raise WeightsError(f"This is a checkpoint of {title}, no lifter of pose3d", known)
    raise WeightsError(
        f"No known network has these tensors ({', '.join(list(state)[:3])}, ...)", known
    )


Steps = tuple[tuple[int, int], ...]  # (block, frames kept before it)


def _find_kind(backbone: str, state: State, steps: Steps | None, hints: Hints) -> str:
    """Returns ``""``, ``"hot-"`` or ``"tpc-"``."""
    recovered = "x_token" in state
    said = None if hints.arch is None else hints.arch.removesuffix(backbone)
    if said is not None and recovered != (said == "hot-"):
        has = "has" if recovered else "does not have"
        raise UsageError(
            f"The checkpoint {has} the recovery tensors of HoT (x_token, cross_attention), so it is "
            f"no {in_words(hints.arch or backbone)}",
            "Leave --arch out" if recovered else f"Try --arch {backbone} or --arch tpc-{backbone}",
        )
    if steps is not None:  # the tensors tell whether frames are dropped
        found = "hot-" if recovered else "tpc-" if steps else ""
        if said is not None and said != found:
            raise UsageError(
                f"The lengths of the temporal graphs belong to a {in_words(found + backbone)}",
                "Leave --arch out",
            )
        return found
    if recovered:
        return "hot-"
    published = _published_schedule(f"tpc-{backbone}")
    if said is None and published:
        title = in_words(backbone)
        raise UsageError(
            f"{title} and TPC-{title} have the same tensors",
            f"Say --arch {backbone}, or --arch tpc-{backbone} with e.g. {published}",
        )
    return said or ""


def _find_schedule(
    arch: str, state: State, steps: Steps | None, hints: Hints
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Returns keep and at, from tensors where they tell, else from hints."""
    if not arch.startswith(("hot-", "tpc-")):
        return None
    keep, at = hints.keep, hints.at
    if steps is not None:
        keep = _agree("--keep", keep, tuple(frames for _, frames in steps))
        at = _agree("--at", at, tuple(block for block, _ in steps))
    elif arch.startswith("hot-"):
        keep = _agree("--keep", keep, (Checkpoint(state, hints).shape("pos_embed_token", 3)[1],))
    if keep is not None and at is not None:
        return keep, at
    missing = {"--keep FRAMES": keep, "--at BLOCK": at}
    asked = " and ".join(option for option, value in missing.items() if value is None)
    published = _published_schedule(arch)
    raise UsageError(
        f"Where {in_words(arch)} drops frames cannot be seen in its tensors",
        f"Give {asked}, blocks counted from 0 (published: {published or 'not known'})",
    )


def _published_schedule(arch: str) -> str:
    """Returns the options that say how the published network drops frames, if any."""
    backbone = arch.removeprefix("hot-").removeprefix("tpc-")
    made = load_part("backbone", backbone).configurations.get(arch)
    if made is None:
        return ""
    at = f"--at {_listed(made.hourglass.at)}"
    return at if arch.startswith("hot-") else f"--keep {_listed(made.hourglass.keep)} {at}"


def _agree(option: str, given: tuple[int, ...] | None, found: tuple[int, ...]) -> tuple[int, ...]:
    if given is not None and given != found:
        raise UsageError(
            f"{option} {_listed(given)} contradicts the tensors, which say {_listed(found)}",
            f"Leave {option} out",
        )
    return found


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _refuse_unused(kind: str, backbone: str, hints: Hints) -> None:
    """Refuses hints that the network has no use for."""
    useless = {"neighbours", "generator_heads"} - {*load_part("backbone", backbone).published.hints}
    if kind != "hot-":
        useless.add("recovery_heads")
    if not kind:
        useless |= {"keep", "at"}
    for name in sorted(useless):
        if getattr(hints, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{in_words(kind + backbone)} has no use for {option}", "Leave it out")


def _describe(found: Recognised, options: LifterOptions) -> dict[str, str]:
    """Returns in words what a network is, what it is given and what it answers."""
    channels = "x, y, confidence" if options.sizes["channels_in"] == 3 else "x, y"
    answers = "metres about the pelvis"
    if options.units == "picture":
        answers = "units of the normalised picture, scaled to a stature of 1.70 m"
    low, high = options.rate_range
    return {
        "network": in_words(found.arch),
        "sizes": ", ".join(f"{key} {value}" for key, value in options.sizes.items()),
        "pruning": _describe_pruning(options),
        "input": f"{channels}; normalisation {options.normalisation}; keypoint mapping "
        f"{options.mapping}; {low:g} to {high:g} frames/s",
        "output": f"{answers}; {own_pipeline(options)}",
        "assumed": ", ".join(found.assumed) or "nothing",
        "licence": options.licence,
    }


def _describe_pruning(options: LifterOptions) -> str:
    pruned = options.hourglass
    if pruned is None:
        return "none"
    counts = " -> ".join(map(str, [options.sizes["frames"], *pruned.keep]))
    ends = (
        "all frames recovered by cross-attention"
        if pruned.recover
        else "the centre is kept, only the kept frames come out"
    )
    return f"{counts} frames before block {', '.join(map(str, pruned.at))}; {ends}"
