"""Named networks with the sizes of the papers, so that a name is enough to build one.

A configuration is an architecture: which backbone, how large, what is pruned. Its weights and what
they expect of the input (normalisation, mapping) come with a weights file.

Reference: MixSTE ``run.py``; HoT ``README.md``, ``main_*.py`` and ``model/``; MHFormer
``common/opt.py``; MotionBERT ``configs/pose3d/MB_train_h36m.yaml`` and ``MB_train_h36m_wide.yaml``;
MotionAGFormer ``configs/h36m/*.yaml``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pose3d.errors import unknown_name
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import LifterOptions, build_network


def _mixste(hourglass: HourglassOptions | None = None) -> LifterOptions:
    sizes = {"frames": 243, "channels_in": 2, "dim": 512, "depth": 8, "heads": 8, "mlp_ratio": 2.0}
    return LifterOptions(backbone="mixste", sizes=sizes, hourglass=hourglass)


def _mhformer(frames: int, hourglass: HourglassOptions | None = None) -> LifterOptions:
    sizes = {
        "frames": frames,
        "channels_in": 2,
        "dim": 512,
        "hidden": 1024,
        "heads": 8,
        "refinements": 2,
        "generator_depth": 4,
        "generator_heads": 9,
        "batch_norm": frames <= 27,
    }
    return LifterOptions(backbone="mhformer", sizes=sizes, hourglass=hourglass)


def _motionbert(
    dim: int, mlp_ratio: float, hourglass: HourglassOptions | None = None
) -> LifterOptions:
    sizes = {
        "frames": 243,
        "channels_in": 3,
        "dim": dim,
        "depth": 5,
        "heads": 8,
        "mlp_ratio": mlp_ratio,
        "dim_rep": 512,
    }
    return LifterOptions(backbone="motionbert", sizes=sizes, hourglass=hourglass)


def _motionagformer(
    frames: int, dim: int, depth: int, hourglass: HourglassOptions | None = None, **changes: Any
) -> LifterOptions:
    sizes = {
        "frames": frames,
        "channels_in": 3,
        "dim": dim,
        "depth": depth,
        "heads": 8,
        "neighbours": 2,
        "mlp_ratio": 4.0,
        "dim_rep": 512,
        **changes,
    }
    return LifterOptions(backbone="motionagformer", sizes=sizes, hourglass=hourglass)


def _centre_only(keep: int, at: int) -> HourglassOptions:
    return HourglassOptions(keep=(keep,), at=(at,), recover=None, keep_centre=True)


CONFIGURATIONS: dict[str, LifterOptions] = {
    "mixste": _mixste(),
    "hot-mixste": _mixste(HourglassOptions(keep=(81,), at=(3,))),
    "tpc-mixste": _mixste(_centre_only(61, 7)),
    "mhformer-27": _mhformer(27),
    "mhformer-81": _mhformer(81),
    "mhformer-243": _mhformer(243),
    "mhformer-351": _mhformer(351),
    "tpc-mhformer": _mhformer(351, _centre_only(117, 1)),
    # MotionBERT calls dim 512 its full size and 256 lite; HoT starts from the latter.
    "motionbert": _motionbert(512, 2.0),
    "motionbert-lite": _motionbert(256, 4.0),
    "hot-motionbert": _motionbert(256, 4.0, HourglassOptions(keep=(81,), at=(1,))),
    "motionagformer-xs": _motionagformer(27, 64, 12),
    "motionagformer-s": _motionagformer(81, 64, 26),
    "motionagformer-b": _motionagformer(243, 128, 16),
    "motionagformer-l": _motionagformer(243, 128, 26),
    # HoT builds its MotionAGFormer with the class's own 4 heads and 4 neighbours, not with those of
    # the configuration files.
    "hot-motionagformer": _motionagformer(
        243,
        128,
        16,
        HourglassOptions(keep=(81,), at=(7,), heads=4),
        heads=4,
        neighbours=4,
    ),
    "residual": LifterOptions(
        backbone="residual", sizes={"frames": 1, "channels_in": 2, "dim": 1024, "depth": 2}
    ),
}
"""Name -> architecture. Names with ``hot-`` recover the whole window, ``tpc-`` give its centre."""


def get_configuration(name: str, **sizes: Any) -> LifterOptions:
    """Returns a configuration, with other sizes if wanted.

    Args:
        name: in ``CONFIGURATIONS``.
        sizes: arguments of the backbone that replace those of the table.

    Raises:
        UsageError: there is no such name.
    """
    if name not in CONFIGURATIONS:
        raise unknown_name("configuration", name, CONFIGURATIONS)
    options = CONFIGURATIONS[name]
    return replace(options, sizes={**options.sizes, **sizes})


def build(name: str, **sizes: Any) -> Hourglass:
    """Builds the network of a configuration with fresh weights.

    Args:
        name: in ``CONFIGURATIONS``.
        sizes: arguments of the backbone that replace those of the table.

    Raises:
        UsageError: there is no such name, or the hourglass does not fit the sizes.
    """
    return build_network(get_configuration(name, **sizes))
