"""How the detectors and estimators of pose3d are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from pose3d.weights import fetching, finding
from pose3d.weights.info import ModelInfo
from pose3d.weights.table import WEIGHTS


class Part(ABC):
    """A detector or an estimator, made in the way that ``pose3d.plugins.make_part`` makes parts.
    ``argument`` stands behind the colon of the name, None: the weights that come with it;
    ``device`` is ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``threads`` None: all
    cores, or as torch is set. Raises UsageError, MissingExtraError, DeviceError or WeightsError."""

    DEFAULT_WEIGHTS = ""  # of the table, used unless told otherwise; empty: others, or none

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

    @classmethod
    def find_weights(
        cls, argument: str | None, *, offline: bool, say: Callable[[str], None] | None = None
    ) -> fetching.ChosenFile:
        """Returns the weights it would use, fetched unless ``offline``; the class can always tell.
        MissingExtraError where its package is not installed."""
        suffix = Path(WEIGHTS[cls.DEFAULT_WEIGHTS].file_name).suffix
        named = argument or cls.DEFAULT_WEIGHTS
        return fetching.find_file(named, suffix, offline=offline, on_progress=say)

    @classmethod  # noqa: B027
    def check_device(cls, device: str) -> None:
        """Raises DeviceError where it runs on fewer devices than torch, and not on this one."""

    @abstractmethod
    def _load(self) -> ModelInfo:
        """Loads the network, and tells what it is."""


def own_file(path: Path) -> fetching.ChosenFile:
    """Describes a file that is not in the table; what is imported has its licence on its card."""
    licences = [e.licence for e in finding.list_weights() if e.file_name == path.name]
    return fetching.ChosenFile(path=path, name=path.name, licence=licences[0] if licences else "")


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


def first_line(error: BaseException) -> str:
    """Returns what an error of another package says in its first line, or its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
