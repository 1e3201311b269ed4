"""Published checkpoints: from their tensor names to those of :class:`~pose3d.lift.hourglass.Hourglass`.

A published checkpoint is a flat table of tensors whose names come from the authors' classes. Renaming
is all it takes: no tensor is left out, made up or mixed, so ``load_state_dict(strict=True)`` decides
whether a file fits.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pose3d.errors import WeightsError

_MIXSTE_MODULES = {
    "STEblocks": "backbone.spatial_blocks",
    "TTEblocks": "backbone.temporal_blocks",
    "Spatial_norm": "backbone.spatial_norm",
    "Temporal_norm": "backbone.temporal_norm",
    "Spatial_patch_to_embedding": "backbone.joint_embed",
    "Spatial_pos_embed": "backbone.joint_position",
    "Temporal_pos_embed": "backbone.frame_position",
    "head.0": "backbone.head_norm",
    "head.1": "backbone.head_linear",
    "cross_attention": "recovery",
    "x_token": "recovery.queries",
    "pos_embed_token": "kept_position.0",
}
"""Module or parameter of the published code -> ours. No key is the start of another one."""


def rename_mixste(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a published MixSTE, HoT-MixSTE or TPC-MixSTE checkpoint.

    Args:
        state: the published state dict. Checkpoints saved from ``DataParallel`` prefix every name
            with ``module.``, which is taken off.

    Returns:
        The state dict of ``Hourglass(MixSTE(...), options)``, in the same order. The tensors are
        those of ``state``; only the position of the kept frames gets an axis for the joints.

    Raises:
        WeightsError: a name belongs to none of these networks.

    Reference: names of ``model/mixste/hot_mixste.py`` in NationalGAILab/HoT.
    """
    renamed = {}
    for name, tensor in state.items():
        ours = _rename(name.removeprefix("module."))
        if ours == "kept_position.0":
            tensor = tensor.unsqueeze(2)  # 1 kept channel -> 1 kept 1 channel
        renamed[ours] = tensor
    return renamed


def _rename(name: str) -> str:
    for published, ours in _MIXSTE_MODULES.items():
        if name == published or name.startswith(f"{published}."):
            return ours + name[len(published) :]
    raise WeightsError(
        f"The checkpoint holds a tensor {name!r}, which MixSTE does not have",
        "Check that it is a checkpoint of MixSTE, HoT-MixSTE or TPC-MixSTE",
    )
