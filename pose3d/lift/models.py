"""From options to networks and from networks to files: how lifters are built, saved and loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pose3d.body.mappings import MAPPINGS_TO_H36M
from pose3d.errors import WeightsError
from pose3d.files import parse_json
from pose3d.lift.hourglass import Hourglass, HourglassOptions, name_readout
from pose3d.lift.normalise import NORMALISATIONS, UNITS
from pose3d.options import PIPELINES
from pose3d.plugins import load_part
from pose3d.weights.checkpoint import LIFTER_DIALECT
from pose3d.weights.network_files import VERSION, fill_network, read_tensors, write_network


@dataclass(frozen=True, slots=True, kw_only=True)
class LifterOptions:
    """Everything that a weights file says about its network.
    ``sizes``: the backbone's arguments; ``normalisation``: in ``NORMALISATIONS``; ``mapping``:
    to H36M17, in ``MAPPINGS_TO_H36M``; ``units`` of answers: ``metres``, or ``picture`` (those of
    the normalised input); ``rate_range``: frames per second; ``many_rates``: trained at all of them,
    so that answers at half the rate are worth averaging; ``pipeline``: ``seq2seq``, or ``seq2frame``
    if published by the middle frame; ``licence``: SPDX identifier."""

    backbone: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    hourglass: HourglassOptions | None = None
    normalisation: str = "person"
    mapping: str = "face"
    units: str = "metres"
    rate_range: tuple[float, float] = (10.0, 60.0)
    many_rates: bool = True
    pipeline: str = "seq2seq"
    licence: str = "Apache-2.0"

    def to_json(self) -> str:
        """Returns what :meth:`from_json` reads."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> LifterOptions:
        """Reads what :meth:`to_json` wrote; WeightsError: a field is unknown, missing or wrong."""
        todo = "Update pose3d, or fetch the file again"
        try:
            values = dict(parse_json(text))
            hourglass = values.pop("hourglass", None)
            if hourglass is not None:
                hourglass["keep"] = tuple(hourglass["keep"])
                hourglass["at"] = tuple(hourglass["at"])
                hourglass = HourglassOptions(**name_readout(hourglass))
            values["rate_range"] = tuple(values["rate_range"])
            options = LifterOptions(hourglass=hourglass, **values)
            _check_numbers(options)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WeightsError(
                f"The options inside a weights file are not understood ({error})", todo
            ) from error
        for name, known in (
            ("normalisation", NORMALISATIONS),
            ("units", UNITS),
            ("pipeline", PIPELINES),
            ("mapping", tuple(MAPPINGS_TO_H36M)),
        ):
            value = getattr(options, name)
            if value not in known:
                raise WeightsError(f"A weights file names the unknown {name} {value!r}", todo)
        return options


LARGEST = {"depth": 200, "generator_depth": 200, "refinements": 200, "interactions": 200}
"""The most that a file may ask for; of all other sizes 100,000."""


def _check_numbers(options: LifterOptions) -> None:
    """Refuses sizes and rates that no network has, before anything is built; ValueError."""
    sizes = dict(options.sizes)
    for name in ("drop_path", "dropout"):
        if not 0 <= sizes.pop(name, 0.0) < 1:
            raise ValueError(f"{name} is {options.sizes[name]}")
    if options.hourglass is not None:
        hourglass = options.hourglass
        sizes |= {f"hourglass.{n}": getattr(hourglass, n) for n in ("heads", "neighbours")}
    for name, value in sizes.items():
        counts = value is not None and not isinstance(value, bool | str)
        if counts and not 0 < value <= LARGEST.get(name, 100_000):
            raise ValueError(f"{name} is {value}")
    low, high = options.rate_range
    if not 0 < low <= high < math.inf:
        raise ValueError(f"the rates are {low} to {high}")


def build_network(options: LifterOptions) -> Hourglass:
    """Builds the network of ``options`` with fresh weights; UsageError: it is impossible."""
    backbone = load_part("backbone", options.backbone)(**options.sizes)
    return Hourglass(backbone, options.hourglass)


def save_network(
    path: Path,
    state: Mapping[str, Tensor],
    options: LifterOptions,
    *,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Writes a state dict with its options (and ``extra`` metadata)."""
    write_network(path, state, LIFTER_DIALECT, options.to_json(), extra)


def load_network(path: Path) -> tuple[Hourglass, LifterOptions, dict[str, str]]:
    """Reads weights of :func:`save_network`: float32 network in evaluation, options, metadata."""
    state, metadata = read_tensors(path)
    if metadata.get("dialect") != LIFTER_DIALECT or metadata.get("version") != VERSION:
        raise WeightsError(
            f"{path} holds no pose3d lifter of version {VERSION}", "Import published checkpoints"
        )
    options = LifterOptions.from_json(metadata.get("options", ""))
    return fill_network(path, lambda: build_network(options), state), options, metadata
