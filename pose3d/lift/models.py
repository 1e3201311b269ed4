"""From options to networks and from networks to files: how lifters are built, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pose3d.errors import WeightsError
from pose3d.lift.hourglass import Hourglass, HourglassOptions, name_readout
from pose3d.lift.normalise import NORMALISATIONS, UNITS
from pose3d.options import PIPELINES
from pose3d.plugins import load_part
from pose3d.weights.checkpoint import LIFTER_DIALECT
from pose3d.weights.network_files import fill_network, read_tensors, write_tensors

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LifterOptions:
    """Everything that a weights file says about its network.

    Args:
        backbone: name in ``PARTS["backbone"]``, or an entry point ``backbone.NAME``.
        sizes: the backbone's arguments.
        hourglass: pruning and recovery, or None.
        normalisation: ``person`` or ``screen``: how pixels become inputs and outputs become metres.
        mapping: name of the keypoint mapping to H36M17 (``mappings.MAPPINGS_TO_H36M``).
        units: what the network answers in: ``metres``, or ``picture`` (half picture widths, for
            networks that were trained on poses projected with their depth).
        rate_range: frames per second seen in training.
        pipeline: what weights with an answer for every frame are used for: ``seq2seq``, or
            ``seq2frame`` where they were published by the middle frame of each window.
        licence: SPDX identifier of the weights.
    """

    backbone: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    hourglass: HourglassOptions | None = None
    normalisation: str = "person"
    mapping: str = "face"
    units: str = "metres"
    rate_range: tuple[float, float] = (10.0, 60.0)
    pipeline: str = "seq2seq"
    licence: str = "Apache-2.0"

    def to_json(self) -> str:
        """Returns what :meth:`from_json` reads."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> LifterOptions:
        """Reads what :meth:`to_json` wrote.

        Raises:
            WeightsError: a field is unknown, missing or out of range.
        """
        todo = "Update pose3d, or fetch the file again"
        try:
            values = dict(json.loads(text))
            hourglass = values.pop("hourglass", None)
            if hourglass is not None:
                hourglass["keep"] = tuple(hourglass["keep"])
                hourglass["at"] = tuple(hourglass["at"])
                hourglass = HourglassOptions(**name_readout(hourglass))
            values["rate_range"] = tuple(values["rate_range"])
            options = LifterOptions(hourglass=hourglass, **values)
        except (ValueError, TypeError, KeyError) as error:
            raise WeightsError(
                f"The options inside a weights file are not understood ({error})", todo
            ) from error
        for name, known in (
            ("normalisation", NORMALISATIONS),
            ("units", UNITS),
            ("pipeline", PIPELINES),
        ):
            value = getattr(options, name)
            if value not in known:
                raise WeightsError(
                    f"The options inside a weights file name {name} {value!r}, which pose3d does not "
                    "have",
                    todo,
                )
        return options


def build_network(options: LifterOptions) -> Hourglass:
    """Builds the network of ``options`` with fresh weights.

    Raises:
        UsageError: the backbone does not exist, or its hourglass is impossible.
    """
    backbone = load_part("backbone", options.backbone)(**options.sizes)
    return Hourglass(backbone, options.hourglass)


def save_network(
    path: Path,
    state: Mapping[str, Tensor],
    options: LifterOptions,
    *,
    half: bool = False,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Writes a state dict with its options as safetensors.

    Args:
        half: store as float16; loading makes float32 of it.
        extra: more metadata, e.g. the recipe.
    """
    metadata = {
        "dialect": LIFTER_DIALECT,
        "version": str(VERSION),
        "options": options.to_json(),
        **(extra or {}),
    }
    write_tensors(path, state, metadata, half=half)


def load_network(path: Path) -> tuple[Hourglass, LifterOptions, dict[str, str]]:
    """Reads weights written by :func:`save_network`.

    Returns:
        The network in evaluation mode (float32, on the CPU), its options, all metadata.
    """
    state, metadata = read_tensors(path)
    if metadata.get("dialect") != LIFTER_DIALECT or metadata.get("version") != str(VERSION):
        raise WeightsError(
            f"{path} holds no pose3d lifter of version {VERSION}",
            "Published checkpoints have to be imported first",
        )
    options = LifterOptions.from_json(metadata.get("options", ""))
    return fill_network(path, lambda: build_network(options), state), options, metadata
