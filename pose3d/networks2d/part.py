"""How the detectors and estimators of pose3d are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from pose3d.weights import finding
from pose3d.weights.info import ModelInfo


class Part(ABC):
    """A detector or an estimator, made in the way that ``pose3d.plugins.make_part`` makes parts.
    ``argument`` stands behind the colon of the name, None: the weights that come with it;
    ``device`` is ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``threads`` None: all
    cores, or as torch is set. Raises UsageError, MissingExtraError, DeviceError or WeightsError."""

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
    """Describes a network loaded from one file; ``where`` is the device and the reason for it."""
    return ModelInfo(
        name=name,
        licence=licence,
        weights=(weights or path.name,),
        sha256=(finding.sha256_of(path),),
        device=where[0],
        device_reason=where[1],
    )
