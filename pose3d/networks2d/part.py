"""How the detectors and estimators of pose3d are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from pose3d.weights import finding
from pose3d.weights.info import ModelInfo


class Part(ABC):
    """A detector or an estimator, made in the way that ``pose3d.plugins.make_part`` makes parts.

    Args:
        argument: what stands behind the colon of the name; None: the weights that come with it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: all cores, or as torch is set.
        offline: never fetch weights.

    Raises:
        UsageError: there are no such weights.
        MissingExtraError: a package is not installed.
        DeviceError: the device is not there, or not for this network.
        WeightsError: the weights cannot be had, are damaged or those of another network.
    """

    def __init__(
        self,
        *,
        argument: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        offline: bool = False,
    ) -> None:
        self.argument, self.device = argument, device
        self.threads, self.offline = threads, offline
        self.info = self._load()

    @abstractmethod
    def _load(self) -> ModelInfo:
        """Loads the network, and tells what it is."""


def describe_model(
    name: str, path: Path, licence: str, where: tuple[str, str], *, weights: str | None = None
) -> ModelInfo:
    """Returns what is to be known of a network that was loaded from one file.

    Args:
        name: of the part.
        path: of its weights.
        licence: of code and weights.
        where: device, and the reason for it.
        weights: their name; None: that of the file.
    """
    return ModelInfo(
        name=name,
        licence=licence,
        weights=(weights or path.name,),
        sha256=(finding.sha256_of(path),),
        device=where[0],
        device_reason=where[1],
    )
