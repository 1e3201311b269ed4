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

    Reference: names of ``model/mixste/hot_mixste.py`` in NationalGAILab/HoT@f8d7214.
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


_RECOVERY_MODULES = {
    "cross_attention": "recovery",
    "x_token": "recovery.queries",
    "pos_embed_token": "kept_position.0",
}

_MHFORMER_MODULES = {
    **{f"norm_{h + 1}": f"backbone.generators.{h}.norm_in" for h in range(3)},
    **{f"Transformer_encoder_{h + 1}": f"backbone.generators.{h}" for h in range(3)},
    # A sequence of layers in short windows, else one layer.
    **{f"embedding_{h + 1}.0": f"backbone.embeddings.{h}.linear" for h in range(3)},
    **{f"embedding_{h + 1}.1": f"backbone.embeddings.{h}.norm" for h in range(3)},
    **{f"embedding_{h + 1}": f"backbone.embeddings.{h}.linear" for h in range(3)},
    **{
        f"Transformer_hypothesis.pos_embed_{h + 1}": f"backbone.frame_positions.{h}"
        for h in range(3)
    },
    "Transformer_hypothesis.SHR_blocks": "backbone.refinements",
    "Transformer_hypothesis.CHI_blocks.0": "backbone.interaction",
    "Transformer_hypothesis.norm": "backbone.norm",
    "regression.0": "backbone.head_norm",
    "regression.1": "backbone.head_linear",
}
_MHFORMER_PARTS = {
    "backbone.generators": {"pos_embed": "position", "norm": "norm_out"},
    "backbone.refinements": {
        "norm2": "norm",
        **{f"norm1_{h + 1}": f"norms.{h}" for h in range(3)},
        **{f"attn_{h + 1}": f"attentions.{h}" for h in range(3)},
    },
    "backbone.interaction": {
        "norm2": "norm",
        **{f"norm3_{h + 1}{i + 1}": f"norms.{h}.{i}" for h in range(3) for i in range(3)},
        **{f"attn_{h + 1}": f"attentions.{h}" for h in range(3)},
    },
}

_MOTIONBERT_MODULES = {
    "joints_embed": "backbone.joint_embed",
    "pos_embed": "backbone.joint_position",
    "temp_embed": "backbone.frame_position",
    "blocks_st": "backbone.space_first",
    "blocks_ts": "backbone.time_first",
    "ts_attn": "backbone.fusions",
    "norm": "backbone.norm",
    "pre_logits.fc": "backbone.rep_linear",
    "head": "backbone.head_linear",
    **_RECOVERY_MODULES,
}
_STREAM_PARTS = {
    f"{part}_{axis[0]}": f"{axis}.{part}"
    for part in ("norm1", "attn", "norm2", "mlp")
    for axis in ("spatial", "temporal")
}
_MOTIONBERT_PARTS = {
    "backbone.space_first": _STREAM_PARTS,
    "backbone.time_first": _STREAM_PARTS,
    "backbone.fusions": {"weight": "linear.weight", "bias": "linear.bias"},
}

_MOTIONAGFORMER_MODULES = {
    "joints_embed": "backbone.joint_embed",
    "pos_embed": "backbone.joint_position",
    "layers": "backbone.layers",
    "norm": "backbone.norm",
    "rep_logit.fc": "backbone.rep_linear",
    "head": "backbone.head_linear",
    **_RECOVERY_MODULES,
}
_MOTIONAGFORMER_PARTS = {
    "backbone.layers": {
        "att_spatial": "joint_attention",
        "att_temporal": "frame_attention",
        "graph_spatial": "joint_graph",
        "graph_temporal": "frame_graph",
        "layer_scale_1": "scale1",
        "layer_scale_2": "scale2",
        "U": "linear_self",
        "V": "linear_neighbours",
        "batch_norm": "norm",
        "fusion": "fusion.linear",
    },
}


def rename_mhformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a published MHFormer or TPC-MHFormer checkpoint.

    Args:
        state: the published state dict, with or without ``module.`` before every name.

    Returns:
        The state dict of ``Hourglass(MHFormer(...), options)``, in the same order. The tensors are
        those of ``state``; only the 1x1 convolutions lose the axis of their width.

    Raises:
        WeightsError: a name belongs to none of these networks.

    Reference: names of ``model/mhformer/tpc_mhformer.py`` in NationalGAILab/HoT.
    """
    return _rename_all(state, _MHFORMER_MODULES, _MHFORMER_PARTS, "MHFormer")


def rename_motionbert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a published MotionBERT or HoT-MotionBERT checkpoint.

    Args:
        state: the published state dict, with or without ``module.`` before every name.

    Returns:
        The state dict of ``Hourglass(MotionBERT(...), options)``, in the same order.

    Raises:
        WeightsError: a name belongs to none of these networks.

    Reference: names of ``lib/model/DSTformer.py`` in Walter0807/MotionBERT and
    ``model/motionbert/hot_motionbert.py`` in NationalGAILab/HoT.
    """
    return _rename_all(state, _MOTIONBERT_MODULES, _MOTIONBERT_PARTS, "MotionBERT")


def rename_motionagformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a published MotionAGFormer or HoT-MotionAGFormer checkpoint.

    Args:
        state: the published state dict, with or without ``module.`` before every name.

    Returns:
        The state dict of ``Hourglass(MotionAGFormer(...), options)``, in the same order.

    Raises:
        WeightsError: a name belongs to none of these networks.

    Reference: names of ``model/MotionAGFormer.py`` in TaatiTeam/MotionAGFormer and
    ``model/motionagformer/hot_motionagformer.py`` in NationalGAILab/HoT.
    """
    return _rename_all(state, _MOTIONAGFORMER_MODULES, _MOTIONAGFORMER_PARTS, "MotionAGFormer")


def _rename_all(
    state: Mapping[str, Tensor],
    modules: Mapping[str, str],
    parts: Mapping[str, Mapping[str, str]],
    network: str,
) -> dict[str, Tensor]:
    """Renames the start of every name by ``modules``, then the words after it by ``parts``.

    Args:
        state: the published state dict.
        modules: start of a published name -> start of ours; the first one that fits counts.
        parts: start of our name -> published word -> ours, for the words between the dots.
        network: for the error.
    """
    renamed = {}
    for published, tensor in state.items():
        name = published.removeprefix("module.")
        start = next((m for m in modules if name == m or name.startswith(f"{m}.")), None)
        if start is None:
            raise WeightsError(
                f"The checkpoint holds a tensor {name!r}, which {network} does not have",
                f"Check that it is a checkpoint of {network}",
            )
        ours = modules[start]
        words = next((w for s, w in parts.items() if f"{ours}.".startswith(f"{s}.")), {})
        ours += "".join(f".{words.get(word, word)}" for word in name[len(start) :].split(".")[1:])
        if ours == "kept_position.0":
            tensor = tensor.unsqueeze(2)  # 1 kept channel -> 1 kept 1 channel
        elif ours.endswith("linear.weight") and tensor.ndim == 3:
            tensor = tensor.squeeze(2)  # out in 1 -> out in
        renamed[ours] = tensor
    return renamed
