"""What a published checkpoint is: architecture and sizes, read from the names and shapes of its tensors.

Shapes do not tell everything. Where every published file has the same value (8 heads in MixSTE,
MHFormer and MotionBERT) it is assumed and said; where they differ the reader has to give it, and the
error names the option.

Reference: the configurations in ``common/arguments.py`` and ``model/`` of NationalGAILab/HoT,
``common/opt.py`` of Vegetebird/MHFormer, ``configs/`` of Walter0807/MotionBERT and of
TaatiTeam/MotionAGFormer.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pose3d.errors import UsageError, WeightsError, unknown_name
from pose3d.lift.hourglass import HourglassOptions
from pose3d.weights.checkpoint import divide, shape_of

State = Mapping[str, Tensor]

TITLES = {
    "mixste": "MixSTE",
    "mhformer": "MHFormer",
    "motionbert": "MotionBERT",
    "motionagformer": "MotionAGFormer",
}
_KINDS = {"": "", "hot-": "HoT-", "tpc-": "TPC-"}
ARCHITECTURES = tuple(kind + backbone for backbone in TITLES for kind in _KINDS)
"""``hot-``: pruned and recovered; ``tpc-``: pruned, only the kept frames come out."""

_MARKS = {
    "STEblocks.0.attn.qkv.weight": "mixste",
    "Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight": "mhformer",
    "blocks_st.0.attn_s.qkv.weight": "motionbert",
    "layers.0.att_spatial.mixer.qkv.weight": "motionagformer",
}
"""A tensor that only this backbone has -> backbone."""

_STRANGERS = {
    "Transformer_reduce.": "StridedTransformer",
    "expand_conv.": "VideoPose3D",
    "Spatial_blocks.": "PoseFormer",
    "feature_extractor.": "a network for images",
    "joint_regressor": "a network of body meshes",
}
"""Start of a tensor's name -> what it belongs to, of networks that have no counterpart here."""

_PUBLISHED_SCHEDULES = {
    "hot-mixste": "--at 3",
    "hot-motionbert": "--at 1",
    "tpc-mixste": "--keep 61 --at 7",
    "tpc-mhformer": "--keep 117 --at 1",
}
_HEADS = 8
_GENERATOR_HEADS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What the reader says about a checkpoint because its tensors cannot.

    Args:
        arch: in ``ARCHITECTURES``.
        heads: attention heads.
        neighbours: links of a frame in the temporal graphs (MotionAGFormer).
        generator_heads: attention heads of the hypothesis generators (MHFormer).
        recovery_heads: attention heads of the recovery (``hot-``).
        keep: frames kept at each pruning step.
        at: block before which each step happens, counted from 0.
    """

    arch: str | None = None
    heads: int | None = None
    neighbours: int | None = None
    generator_heads: int | None = None
    recovery_heads: int | None = None
    keep: tuple[int, ...] | None = None
    at: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a checkpoint is.

    Args:
        arch: in ``ARCHITECTURES``.
        backbone: in ``pose3d.lift.models.BACKBONES``.
        sizes: the backbone's arguments.
        hourglass: pruning and recovery, or None.
        assumed: what the tensors do not tell and all published files have in common, in words.
    """

    arch: str
    backbone: str
    sizes: dict[str, Any]
    hourglass: HourglassOptions | None
    assumed: tuple[str, ...]


def recognise(state: State, hints: Hints) -> Recognised:
    """Finds out which network a published state dict belongs to.

    Args:
        state: published tensor names -> tensors.
        hints: what shapes cannot tell.

    Raises:
        UsageError: a hint is missing, impossible, or contradicts the tensors.
        WeightsError: the tensors are those of no network of pose3d.
    """
    if hints.arch is not None and hints.arch not in ARCHITECTURES:
        raise unknown_name("architecture", hints.arch, ARCHITECTURES)
    backbone = _find_backbone(state)
    if hints.arch is not None and hints.arch.removeprefix("hot-").removeprefix("tpc-") != backbone:
        raise UsageError(
            f"The checkpoint holds a {TITLES[backbone]}, not a {in_words(hints.arch)}",
            "Leave --arch out, or give another file",
        )
    sizes, assumed = _SIZES[backbone](state, hints)
    steps = _short_graphs(state, sizes) if backbone == "motionagformer" else None
    kind = _find_kind(backbone, state, steps, hints)
    arch = kind + backbone
    hourglass = _find_hourglass(kind, backbone, state, sizes, steps, hints)
    if kind == "hot-" and hints.recovery_heads is None and hourglass is not None:
        assumed.append(f"{hourglass.heads} heads of the recovery")
    _refuse_unused(arch, backbone, hints)
    return Recognised(
        arch=arch, backbone=backbone, sizes=sizes, hourglass=hourglass, assumed=tuple(assumed)
    )


def in_words(arch: str) -> str:
    """Returns an architecture's name as the papers write it, e.g. ``HoT-MixSTE``."""
    kind = next((k for k in ("hot-", "tpc-") if arch.startswith(k)), "")
    return _KINDS[kind] + TITLES[arch.removeprefix(kind)]


def _find_backbone(state: State) -> str:
    for mark, backbone in _MARKS.items():
        if mark in state:
            return backbone
    if any(f"{part}.keypoint_token" in state for part in ("features", "transformer")):
        raise WeightsError(
            "This is a checkpoint of TokenPose, which finds keypoints and lifts nothing",
            "Import it with 'pose3d weights import', or keypoints.token_importing in Python",
        )
    known = f"pose3d has {', '.join(TITLES.values())} and their HoT and TPC versions"
    for start, title in _STRANGERS.items():
        if any(name.startswith(start) for name in state):
            raise WeightsError(
                f"This is a checkpoint of {title}, which pose3d has no network for", known
            )
    raise WeightsError(
        f"No known network has these tensors ({', '.join(list(state)[:3])}, ...)", known
    )


def _count(state: State, prefix: str) -> int:
    """Returns how many numbered parts there are under ``prefix``."""
    numbers = {n[len(prefix) :].split(".")[0] for n in state if n.startswith(prefix)}
    return len(numbers)


def _common_heads(dim: int, hints: Hints, assumed: list[str]) -> int:
    if hints.heads is None:
        assumed.append(f"{_HEADS} attention heads")
    return divide(dim, hints.heads or _HEADS, "--heads")


def _mixste_sizes(state: State, hints: Hints) -> tuple[dict[str, Any], list[str]]:
    assumed: list[str] = []
    dim, channels = shape_of(state, "Spatial_patch_to_embedding.weight", 2)
    return {
        "frames": shape_of(state, "Temporal_pos_embed", 3)[1],
        "joints": shape_of(state, "Spatial_pos_embed", 3)[1],
        "channels_in": channels,
        "dim": dim,
        "depth": _count(state, "STEblocks."),
        "heads": _common_heads(dim, hints, assumed),
        "mlp_ratio": shape_of(state, "STEblocks.0.mlp.fc1.weight", 2)[0] / dim,
    }, assumed


def _mhformer_sizes(state: State, hints: Hints) -> tuple[dict[str, Any], list[str]]:
    hypotheses = sum(f"norm_{h}.weight" in state for h in range(1, 10))
    if hypotheses != 3 or _count(state, "Transformer_hypothesis.CHI_blocks.") != 1:
        raise WeightsError(
            f"This MHFormer has {hypotheses} hypotheses and "
            f"{_count(state, 'Transformer_hypothesis.CHI_blocks.')} interaction blocks",
            "pose3d has the published one with three hypotheses and one interaction block",
        )
    assumed: list[str] = []
    _, frames, dim = shape_of(state, "Transformer_hypothesis.pos_embed_1", 3)
    joints = shape_of(state, "regression.1.weight", 3)[0] // 3
    if hints.generator_heads is None:
        assumed.append(f"{_GENERATOR_HEADS} heads of the generators")
    return {
        "frames": frames,
        "joints": joints,
        "channels_in": shape_of(state, "Transformer_encoder_1.pos_embed", 3)[1] // joints,
        "dim": dim,
        "hidden": shape_of(state, "Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight", 2)[0],
        "heads": _common_heads(dim, hints, assumed),
        "refinements": _count(state, "Transformer_hypothesis.SHR_blocks."),
        "generator_depth": _count(state, "Transformer_encoder_1.blocks."),
        "generator_heads": divide(
            frames, hints.generator_heads or _GENERATOR_HEADS, "--generator-heads"
        ),
        "batch_norm": "embedding_1.1.running_mean" in state,
    }, assumed


def _motionbert_sizes(state: State, hints: Hints) -> tuple[dict[str, Any], list[str]]:
    assumed: list[str] = []
    dim, channels = shape_of(state, "joints_embed.weight", 2)
    return {
        "frames": shape_of(state, "temp_embed", 4)[1],
        "joints": shape_of(state, "pos_embed", 3)[1],
        "channels_in": channels,
        "dim": dim,
        "depth": _count(state, "blocks_st."),
        "heads": _common_heads(dim, hints, assumed),
        "mlp_ratio": shape_of(state, "blocks_st.0.mlp_s.fc1.weight", 2)[0] / dim,
        "dim_rep": shape_of(state, "pre_logits.fc.weight", 2)[0],
    }, assumed


_GRAPH = "layers.{}.graph_temporal.mixer.batch_norm.weight"


def _motionagformer_sizes(state: State, hints: Hints) -> tuple[dict[str, Any], list[str]]:
    if hints.heads is None or hints.neighbours is None:
        raise UsageError(
            "The head count and the temporal neighbours of a MotionAGFormer cannot be seen in its "
            "tensors",
            "Give --heads and --neighbours; the published configurations for Human3.6M have "
            "--heads 8 --neighbours 2, HoT-MotionAGFormer has --heads 4 --neighbours 4",
        )
    if hints.neighbours < 1:
        raise UsageError(f"{hints.neighbours} neighbours are none", "Give --neighbours 1 or more")
    dim, channels = shape_of(state, "joints_embed.weight", 2)
    return {
        "frames": shape_of(state, _GRAPH.format(0), 1)[0],
        "channels_in": channels,
        "dim": dim,
        "depth": _count(state, "layers."),
        "heads": divide(dim, hints.heads, "--heads"),
        "neighbours": hints.neighbours,
        "mlp_ratio": shape_of(state, "layers.0.att_spatial.mlp.fc1.weight", 2)[0] / dim,
        "dim_rep": shape_of(state, "rep_logit.fc.weight", 2)[0],
    }, []


_SIZES = {
    "mixste": _mixste_sizes,
    "mhformer": _mhformer_sizes,
    "motionbert": _motionbert_sizes,
    "motionagformer": _motionagformer_sizes,
}


def _short_graphs(state: State, sizes: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Returns (layer, frames) wherever the batch norms of the temporal graphs become shorter."""
    lengths = [shape_of(state, _GRAPH.format(i), 1)[0] for i in range(sizes["depth"])]
    pairs = enumerate(itertools.pairwise(lengths), start=1)
    return tuple((i, after) for i, (before, after) in pairs if after != before)


def _find_kind(
    backbone: str, state: State, steps: tuple[tuple[int, int], ...] | None, hints: Hints
) -> str:
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
    if steps is not None:  # the graphs tell whether frames are dropped
        found = "hot-" if recovered else "tpc-" if steps else ""
        if said is not None and said != found:
            raise UsageError(
                f"The lengths of the temporal graphs belong to a {in_words(found + backbone)}",
                "Leave --arch out",
            )
        return found
    if recovered:
        return "hot-"
    if said is None and backbone in ("mixste", "mhformer"):
        raise UsageError(
            f"{TITLES[backbone]} and TPC-{TITLES[backbone]} have the same tensors, so the file does "
            "not tell which one it is",
            f"Say --arch {backbone}, or --arch tpc-{backbone} --keep FRAMES --at BLOCK (published: "
            f"{_PUBLISHED_SCHEDULES[f'tpc-{backbone}']})",
        )
    return said or ""


def _find_hourglass(
    kind: str,
    backbone: str,
    state: State,
    sizes: Mapping[str, Any],
    steps: tuple[tuple[int, int], ...] | None,
    hints: Hints,
) -> HourglassOptions | None:
    """Returns how frames are pruned and recovered, from tensors where they tell, else from hints."""
    if not kind:
        return None
    keep, at = hints.keep, hints.at
    if steps is not None:
        keep = _agree("--keep", keep, tuple(frames for _, frames in steps))
        at = _agree("--at", at, tuple(layer for layer, _ in steps))
    elif kind == "hot-":
        keep = _agree("--keep", keep, (shape_of(state, "pos_embed_token", 3)[1],))
    if keep is None or at is None:
        arch = kind + backbone
        missing = " and ".join(
            name for name, value in (("--keep FRAMES", keep), ("--at BLOCK", at)) if value is None
        )
        published = _PUBLISHED_SCHEDULES.get(arch)
        raise UsageError(
            f"Where {in_words(arch)} drops frames cannot be seen in its tensors",
            f"Give {missing}, blocks counted from 0"
            + (f" (published: {published})" if published else ""),
        )
    # HoT gives the recovery the heads of the backbone in MotionAGFormer only.
    own = sizes["heads"] if backbone == "motionagformer" else _HEADS
    options = HourglassOptions(
        keep=keep,
        at=at,
        recover="attention" if kind == "hot-" else None,
        keep_centre=kind == "tpc-",
        ties="rounding",  # published weights were evaluated with the published arithmetic
        heads=divide(sizes["dim"], hints.recovery_heads or own, "--recovery-heads"),
    )
    n_blocks = sizes["refinements"] + 1 if backbone == "mhformer" else sizes["depth"]
    options.check(sizes["frames"], n_blocks)
    return options


def _agree(option: str, given: tuple[int, ...] | None, found: tuple[int, ...]) -> tuple[int, ...]:
    if given is not None and given != found:
        raise UsageError(
            f"{option} {_listed(given)} contradicts the tensors, which say {_listed(found)}",
            f"Leave {option} out",
        )
    return found


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _refuse_unused(arch: str, backbone: str, hints: Hints) -> None:
    """Refuses hints that the network has no use for: they were meant for another one."""
    useless = {
        "--neighbours": hints.neighbours is not None and backbone != "motionagformer",
        "--generator-heads": hints.generator_heads is not None and backbone != "mhformer",
        "--recovery-heads": hints.recovery_heads is not None and not arch.startswith("hot-"),
        "--keep": hints.keep is not None and arch == backbone,
        "--at": hints.at is not None and arch == backbone,
    }
    for option, wrong in useless.items():
        if wrong:
            raise UsageError(f"{in_words(arch)} has no use for {option}", "Leave it out")
