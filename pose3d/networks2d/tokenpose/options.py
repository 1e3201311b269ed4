"""What a TokenPose network is made of: a frozen record, stored with its weights; no torch here."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from pose3d.errors import UsageError, WeightsError, unknown_name
from pose3d.files import parse_json

HEADS = ("heatmap", "simcc")
LINKS = ("body", "random", "all")
_BACKBONES = ("stem", "hrnet-w32")
STRIDE = 4  # pixels of the picture per cell of a backbone's feature map


def _check_schedule(what: str, at: tuple[int, ...], keep: tuple[float, ...]) -> None:
    """Raises UsageError unless layers ascend and each has a share above 0 and at most 1."""
    if not at or len(at) != len(keep):
        raise UsageError(
            f"{what} has {len(at)} layers, {len(keep)} shares", "Give one share for each layer"
        )
    if at[0] < 0 or list(at) != sorted(set(at)):
        raise UsageError(f"{what} at layers {at} is impossible", "Give layers from 0, ascending")
    if not all(0 < share <= 1 for share in keep):
        raise UsageError(f"{what} cannot keep shares of {keep}", "Give shares above 0, at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """Attention pruning: each patch looks only at the patches that matter most to it."""

    at: tuple[int, ...] = (3, 6, 9)  # layers, from 0, that draw a new mask; it holds until the next
    keep: tuple[float, ...] = (0.6, 0.6, 0.6)  # share of the patches it may look at that each keeps
    # The mask of a layer is used from the next one on, where no link comes back. Else each new mask
    # ranks all links, is used in its own layer already, and ``keep`` is a share of all patches.
    progressive: bool = True

    def __post_init__(self) -> None:
        _check_schedule("Attention pruning", self.at, self.keep)

    def share(self, step: int) -> float:
        """Returns the share of all patches that each may look at after one of the steps."""
        return math.prod(self.keep[: step + 1]) if self.progressive else self.keep[step]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOptions:
    """Removal of patches: those that the keypoints look at least leave for good."""

    at: tuple[int, ...] = (3, 6, 9)  # layers, from 0, after whose attention patches leave
    keep: tuple[float, ...] = (0.6, 0.6, 0.6)  # share of the patches still there that stays

    def __post_init__(self) -> None:
        _check_schedule("Removal of patches", self.at, self.keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointOptions:
    """Layers on the keypoints alone, after all others."""

    layers: int = 8
    links: str = "body"  # body (see joint_mask), random (as many) or all
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise UsageError(f"There cannot be {self.layers} joint layers", "Give 1 or more")
        if self.links not in LINKS:
            raise unknown_name("kind of joint links", self.links, LINKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPoseOptions:
    """Everything that a weights file says about its network. The defaults are TokenPose-S (v1)."""

    backbone: str = "stem"  # or ``hrnet-w32`` (B; needs timm)
    skeleton: str = "coco17"
    size_wh: tuple[int, int] = (192, 256)  # of the crop in pixels
    patch_wh: tuple[int, int] = (3, 4)  # in cells of the feature map
    dim: int = 192  # channels of a token; ``heads`` divide it
    depth: int = 12
    heads: int = 8
    hidden: int = 576  # channels inside the layers' MLPs
    head: str = "heatmap"  # or ``simcc``
    heatmap_wh: tuple[int, int] = (48, 64)  # in cells
    heatmap_hidden: int | None = None  # None: an eighth of the heatmap's cells
    bins_per_px: float = 2.0  # of the SimCC head
    sigma: float = 2.0  # of the trained targets, in cells or SimCC bins; decoding needs it
    prune: PruneOptions | None = None
    remove: RemoveOptions | None = None
    joint: JointOptions | None = None
    licence: str = "Apache-2.0"  # SPDX identifier of the weights, or what may be done with them

    def __post_init__(self) -> None:
        if self.backbone not in _BACKBONES:
            raise unknown_name("backbone of TokenPose", self.backbone, _BACKBONES)
        if self.head not in HEADS:
            raise unknown_name("head of TokenPose", self.head, HEADS)
        for pixels, cells in zip(self.size_wh, self.patch_wh, strict=True):
            if pixels < 1 or cells < 1 or pixels % (STRIDE * cells):
                raise UsageError(
                    f"Patches of {self.patch_wh} cells of {STRIDE} px do not fill {self.size_wh}",
                    "Give another crop",
                )
        if self.prune is not None and self.remove is not None:
            raise UsageError(
                "Attention pruning and removal of patches exclude each other", "Give one of them"
            )
        for what, schedule in (("Attention pruning", self.prune), ("Removal", self.remove)):
            if schedule is not None and schedule.at[-1] >= self.depth:
                raise UsageError(
                    f"{what} at layer {schedule.at[-1]}", f"Give layers below {self.depth}"
                )
        if (
            self.prune is not None
            and self.prune.progressive
            and self.prune.at[-1] == self.depth - 1
        ):
            raise UsageError(
                f"No layer comes after layer {self.depth - 1} to use its mask",
                f"Give layers below {self.depth - 1}",
            )

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        (width, height), (patch_w, patch_h) = self.size_wh, self.patch_wh
        return height // (STRIDE * patch_h), width // (STRIDE * patch_w)

    def to_json(self) -> str:
        """Returns the options as one JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> TokenPoseOptions:
        """Reads what :meth:`to_json` wrote."""
        try:
            values: dict[str, Any] = dict(parse_json(text))
            for name in ("size_wh", "patch_wh", "heatmap_wh"):
                values[name] = tuple(values[name])
            for name, kind in (("prune", PruneOptions), ("remove", RemoveOptions)):
                part: dict[str, Any] | None = values[name]
                if part is not None:
                    schedule = {k: tuple(part[k]) for k in ("at", "keep")}
                    values[name] = kind(**{**part, **schedule})
            if values["joint"] is not None:
                values["joint"] = JointOptions(**values["joint"])
            return TokenPoseOptions(**values)
        except (ValueError, TypeError, KeyError, UsageError) as error:
            raise WeightsError(
                f"The options inside a weights file are not understood ({error})",
                "Update pose3d, or fetch the file again",
            ) from error


TOKENPOSE_S = TokenPoseOptions()

# Sparse variants: arXiv 2311.09653 (pruned, joint, sparse = both).
SPARSITY: dict[str, dict[str, Any]] = {
    "": {},
    "-joint": {"joint": JointOptions()},
    "-pruned": {"prune": PruneOptions()},
    "-reranked": {"prune": PruneOptions(progressive=False)},
    "-sparse": {"prune": PruneOptions(), "joint": JointOptions()},
    "-random": {"joint": JointOptions(links="random")},
    "-removed": {"remove": RemoveOptions()},
}
"""Ending of a network's or a recipe's name -> what is sparse."""

# ``experiments/coco/tokenpose/*.yaml`` in leeyegy/TokenPose@2e554fc: ``s_v1``, ``s_v2``, ``b``.
CONFIGURATIONS: dict[str, TokenPoseOptions] = {
    "tokenpose-s2": replace(TOKENPOSE_S, patch_wh=(2, 2)),
    "tokenpose-b": replace(TOKENPOSE_S, backbone="hrnet-w32"),
    **{f"tokenpose-s{end}": replace(TOKENPOSE_S, **what) for end, what in SPARSITY.items()},
}
