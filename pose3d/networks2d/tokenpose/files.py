"""TokenPose networks in files: saving, loading, and the names of published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pose3d.errors import WeightsError
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.weights.checkpoint import TOKENPOSE_DIALECT, rename_start
from pose3d.weights.network_files import VERSION, fill_network, read_tensors, write_network


def save_tokenpose(
    path: Path,
    state: Mapping[str, Tensor],
    options: TokenPoseOptions,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Writes weights with their options, and ``extra`` metadata, whole or not at all."""
    write_network(path, state, TOKENPOSE_DIALECT, options.to_json(), extra)


def load_tokenpose(path: Path) -> tuple[TokenPose, dict[str, str]]:
    """Returns a saved network (evaluation mode, float32, CPU), and all metadata."""
    state, metadata = read_tensors(path)
    if metadata.get("dialect") != TOKENPOSE_DIALECT or metadata.get("version") != VERSION:
        raise WeightsError(
            f"{path} holds no TokenPose of version {VERSION}", "Give a file that pose3d wrote"
        )
    options = TokenPoseOptions.from_json(metadata.get("options", ""))
    return fill_network(path, lambda: TokenPose(options), state), metadata


_MODULES = {
    # TokenPose-S keeps everything in ``features``; TokenPose-B has a HRNet and a transformer.
    "features.keypoint_token": "keypoint_tokens",
    "features.pos_embedding": "positions",
    "features.patch_to_embedding": "embed",
    "features.transformer.layers": "blocks",
    "features.mlp_head": "head.layers",
    "features": "backbone",
    "pre_feature": "backbone",
    "transformer.keypoint_token": "keypoint_tokens",
    "transformer.pos_embedding": "positions",
    "transformer.patch_to_embedding": "embed",
    "transformer.transformer.layers": "blocks",
    "transformer.mlp_head": "head.layers",
}  # module or parameter of the published code -> ours; the first that fits counts

_IN_LAYER = {
    "0.fn.norm": "norm1",
    "0.fn.fn.to_qkv": "attn.qkv",
    "0.fn.fn.to_out.0": "attn.proj",
    "1.fn.norm": "norm2",
    "1.fn.fn.net.0": "mlp.0",
    "1.fn.fn.net.3": "mlp.2",  # the published MLP has dropouts in between
}


def rename_tokenpose(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames a published TokenPose-S or -B checkpoint's tensors to those of :class:`TokenPose`.
    Reference: ``lib/models/tokenpose_base.py`` and ``pose_tokenpose_{s,b}.py`` in
    leeyegy/TokenPose@2e554fc; ``module.`` is a prefix of ``DataParallel``."""
    return {_rename(name.removeprefix("module.")): tensor for name, tensor in state.items()}


def _rename(name: str) -> str:
    title = "TokenPose-S or -B"
    ours, rest = rename_start(name, _MODULES, title)
    if ours == "blocks":
        number, _, inner = rest[1:].partition(".")
        part, rest = rename_start(inner, _IN_LAYER, title)
        ours = f"blocks.{number}.{part}"
    return ours + rest
