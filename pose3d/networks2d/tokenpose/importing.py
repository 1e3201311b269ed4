"""Importing published TokenPose checkpoints: a foreign file in, weights for ``tokenpose:FILE`` out.
Shapes tell nearly everything, the fixed sines of their places the grid of patches. What all
published files of TokenPose-S and -B share is assumed and said, the rest is asked for by option.
Reference: ``experiments/{coco,mpii}/tokenpose/*.yaml`` and ``lib/models`` in
leeyegy/TokenPose@2e554fc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pose3d.body.skeletons import SKELETONS, get_skeleton
from pose3d.errors import UsageError, WeightsError
from pose3d.networks2d.tokenpose.backbones import HrnetW32, StemNet
from pose3d.networks2d.tokenpose.files import rename_tokenpose, save_tokenpose
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import STRIDE, TokenPoseOptions
from pose3d.networks2d.tokenpose.tokens import sine_positions
from pose3d.weights.checkpoint import check_fit, default_name, divide, read_checkpoint, shape_of
from pose3d.weights.store import Import, check_new_name, place_import

State = Mapping[str, Tensor]

ARCH = "tokenpose"
_TITLES = {"stem": "TokenPose-S", "hrnet-w32": "TokenPose-B"}
_CHANNELS = {"stem": StemNet.channels, "hrnet-w32": HrnetW32.channels}
_HEADS = 8
_SIGMA = 2.0
_SKELETONS = {17: "coco17", 16: "mpii16"}  # by number of keypoints
_UPRIGHT, _SQUARE = (3, 4), (1, 1)  # proportions of the published crops: COCO's and MPII's
_OTHER_VARIANT = "The checkpoint is of a variant of TokenPose that pose3d does not have"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHints:
    """What the user says about a TokenPose checkpoint because its tensors cannot."""

    heads: int | None = None
    crop_wh: tuple[int, int] | None = None  # pixels
    sigma: float | None = None  # deviation of the trained heatmaps, in cells
    skeleton: str | None = None


def holds_tokenpose(state: State) -> bool:
    """Tells whether published tensors are those of a TokenPose."""
    return any(f"{part}.keypoint_token" in state for part in ("features", "transformer"))


def import_tokenpose(
    path: Path,
    *,
    name: str | None = None,
    hints: TokenHints | None = None,
    licence: str | None = None,
    entry: str | None = None,
    overwrite: bool = False,
) -> Import:
    """Converts a published TokenPose-S or -B and places it among the user's weights.
    Nothing in the file is run; nothing is written before every tensor fits. ``name`` is
    ``tokenpose.tag``, None: made of the file's name; ``licence`` an SPDX identifier; ``entry``
    the table meant where the file has several. Raises UsageError and WeightsError."""
    name = default_name(ARCH, path) if name is None else name
    check_new_name(name, overwrite=overwrite)
    if not name.startswith(f"{ARCH}."):
        raise UsageError(f"{name!r} is no name for a TokenPose", f"Give {ARCH}.TAG with --as")
    published = read_checkpoint(path, entry=entry)
    options, assumed, state = convert_tokenpose(published, hints or TokenHints(), licence=licence)
    return place_import(
        name,
        path,
        state,
        options,
        facts={
            "network": in_words(options),
            "sizes": describe_sizes(options),
            "assumed": ", ".join(assumed),
            "licence": options.licence,
        },
        save=lambda file, extra: save_tokenpose(file, state, options, extra),
    )


def convert_tokenpose(
    published: State, hints: TokenHints, *, licence: str | None = None
) -> tuple[TokenPoseOptions, tuple[str, ...], dict[str, Tensor]]:
    """Returns the options of a published state dict, what was assumed in words, and ours of it."""
    options, assumed = _recognise(published, hints, licence=licence or "not stated")
    state = rename_tokenpose(published)
    with torch.device("meta"):  # shapes are enough
        wanted = TokenPose(options).state_dict()
    # Counters of the batch norms that are missing are zero, as torch makes them.
    lacking = (n for n in wanted if n.endswith(".num_batches_tracked") and n not in state)
    state = {name: torch.zeros((), dtype=torch.long) for name in lacking} | state
    check_fit(state, wanted, in_words(options))
    return options, assumed, state


def in_words(options: TokenPoseOptions) -> str:
    """Returns the network's name as the paper writes it."""
    return _TITLES[options.backbone]


def _recognise(
    state: State, hints: TokenHints, *, licence: str
) -> tuple[TokenPoseOptions, tuple[str, ...]]:
    """Finds out which TokenPose a published state dict belongs to, and what had to be assumed."""
    backbone, part = _find_backbone(state)
    layers = f"{part}.transformer.layers."
    dim, inputs = shape_of(state, f"{part}.patch_to_embedding.weight", 2)
    grid_hw = _find_grid(state, f"{part}.pos_embedding", dim)
    assumed = ["places of patches added before every layer (sine-full)"]
    crop_wh, patch_wh = _find_crop(grid_hw, inputs / _CHANNELS[backbone], hints, assumed)
    heatmap_wh, hidden = _find_head(state, f"{part}.mlp_head", crop_wh)
    if hints.heads is None:
        assumed.append(f"{_HEADS} attention heads")
    if hints.sigma is None:
        assumed.append(f"heatmaps of deviation {_SIGMA:g} cells")
    elif hints.sigma <= 0:
        raise UsageError(f"--sigma is {hints.sigma:g}", "Give a number above 0")
    return TokenPoseOptions(
        backbone=backbone,
        skeleton=_find_skeleton(state, f"{part}.keypoint_token", hints, assumed),
        size_wh=crop_wh,
        patch_wh=patch_wh,
        dim=dim,
        depth=len({n[len(layers) :].split(".")[0] for n in state if n.startswith(layers)}),
        heads=divide(dim, _HEADS if hints.heads is None else hints.heads, "--heads"),
        hidden=shape_of(state, f"{layers}0.1.fn.fn.net.0.weight", 2)[0],
        heatmap_wh=heatmap_wh,
        heatmap_hidden=hidden,
        sigma=hints.sigma or _SIGMA,
        licence=licence,
    ), tuple(assumed)


def _find_backbone(state: State) -> tuple[str, str]:
    """Returns the backbone, and the module that the transformer lies in."""
    if "features.keypoint_token" in state:
        return "stem", "features"
    known = "pose3d has TokenPose-S and TokenPose-B"
    if not any(name.startswith("pre_feature.") for name in state):
        raise WeightsError("This is a TokenPose-T, which has no convolutions", known)
    width = shape_of(state, "pre_feature.transition1.0.0.weight", 4)[0]
    if width != HrnetW32.channels:
        raise WeightsError(f"This is a TokenPose with HRNet-W{width}, such as TokenPose-L", known)
    return "hrnet-w32", "transformer"


def _find_grid(state: State, name: str, dim: int) -> tuple[int, int]:
    """Returns rows and columns of patches: those whose sines stand in the checkpoint."""
    _, count, channels = shape_of(state, name, 3)
    given = state[name].float()
    if channels == dim and dim % 4 == 0:
        for rows in (r for r in range(1, count + 1) if count % r == 0):
            grid_hw = (rows, count // rows)
            # 0.01: files in half precision; grids differ by far more.
            if torch.allclose(given, sine_positions(grid_hw, dim), rtol=0, atol=0.01):
                return grid_hw
    raise WeightsError(
        f"The places of the patches ({name}) are not the fixed sines of the published networks",
        _OTHER_VARIANT,
    )


def _find_crop(
    grid_hw: tuple[int, int], cells: float, hints: TokenHints, assumed: list[str]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns sizes of crop and patch; the tensors only tell how many cells a patch has."""
    if cells != int(cells) or cells < 1:
        raise WeightsError(f"A patch has {cells:g} cells of the feature map", _OTHER_VARIANT)
    rows, columns = grid_hw
    patches = [(w, int(cells) // w) for w in range(1, int(cells) + 1) if cells % w == 0]
    crops = {(STRIDE * columns * w, STRIDE * rows * h): (w, h) for w, h in patches}
    listed = ", ".join(f"{w}x{h}" for w, h in crops)
    if hints.crop_wh is not None:
        if hints.crop_wh not in crops:
            raise UsageError(
                "--crop {}x{} contradicts the tensors".format(*hints.crop_wh),
                f"Possible are: {listed}",
            )
        return hints.crop_wh, crops[hints.crop_wh]
    if len(crops) == 1:
        return next(iter(crops.items()))
    usual = [(w, h) for w, h in crops if any(w * b == h * a for a, b in (_UPRIGHT, _SQUARE))]
    if len(usual) != 1:
        raise UsageError(
            "The size of the crops cannot be seen in the tensors",
            f"Give --crop WIDTHxHEIGHT, one of: {listed}",
        )
    assumed.append("crops of {}x{} px".format(*usual[0]))
    return usual[0], crops[usual[0]]


def _find_head(
    state: State, name: str, crop_wh: tuple[int, int]
) -> tuple[tuple[int, int], int | None]:
    """Returns the size of the heatmaps and the channels inside their head (0: it has one layer)."""
    two = f"{name}.3.weight" in state
    cells = shape_of(state, f"{name}.{3 if two else 1}.weight", 2)[0]
    heatmap_wh = (crop_wh[0] // STRIDE, crop_wh[1] // STRIDE)
    if heatmap_wh[0] * heatmap_wh[1] != cells:
        raise WeightsError(
            f"Heatmaps of {cells} cells do not fit crops of {crop_wh} px", _OTHER_VARIANT
        )
    return heatmap_wh, shape_of(state, f"{name}.1.weight", 2)[0] if two else 0


def _find_skeleton(state: State, name: str, hints: TokenHints, assumed: list[str]) -> str:
    joints = shape_of(state, name, 3)[1]
    if hints.skeleton is None and joints in _SKELETONS:
        assumed.append(f"{joints} keypoints as in {_SKELETONS[joints]}")
        return _SKELETONS[joints]
    fitting = [s.name for s in SKELETONS.values() if len(s) == joints]
    if hints.skeleton is None or len(get_skeleton(hints.skeleton)) != joints:
        said = f", {hints.skeleton} has others" if hints.skeleton else ""
        todo = f"Give --skeleton with one of: {', '.join(fitting)}"
        todo = todo if fitting else "pose3d knows no skeleton with so many"
        raise UsageError(f"The network has {joints} keypoints{said}", todo)
    return hints.skeleton


def describe_sizes(options: TokenPoseOptions) -> str:
    """Returns the sizes of the network in words."""
    (width, height), (patch_w, patch_h) = options.size_wh, options.patch_wh
    rows, columns = options.grid_hw
    return (
        f"crop {width}x{height} px, patch {patch_w}x{patch_h} cells ({columns}x{rows} patches), "
        f"dim {options.dim}, depth {options.depth}, heads {options.heads}, hidden {options.hidden}, "
        f"heatmap {options.heatmap_wh[0]}x{options.heatmap_wh[1]}, {options.skeleton}"
    )
