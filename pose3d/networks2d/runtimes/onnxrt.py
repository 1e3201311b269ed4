"""Running ONNX networks with ONNX Runtime (extra ``[rtmpose]``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DeviceError, WeightsError
from pose3d.networks2d.part import Part, describe_model, first_line
from pose3d.plugins import import_extra
from pose3d.weights.fetching import ChosenFile
from pose3d.weights.info import ModelInfo

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[np.floating]

_QUIET = 3  # of ONNX Runtime's levels of messages: errors only


def import_onnxruntime() -> ModuleType:
    """Imports ONNX Runtime; MissingExtraError where it is not installed."""
    return import_extra("onnxruntime", "rtmpose", "A network in an ONNX file")


def pick_provider(device: str) -> tuple[str, str, list[Any]]:
    """Returns device, reason in words, and execution providers as ONNX Runtime takes them."""
    cpu = ["CPUExecutionProvider"]
    if device == "cpu":
        return "cpu", "asked for", cpu
    has_cuda = "CUDAExecutionProvider" in import_onnxruntime().get_available_providers()
    if device == "auto" and not has_cuda:
        return "cpu", "this ONNX Runtime knows no GPU", cpu
    kind, _, number = device.partition(":")
    if device != "auto" and not (kind == "cuda" and (number or "0").isdigit()):
        raise DeviceError(f"ONNX Runtime does not run on {device!r}", "Use auto, cpu or cuda")
    if not has_cuda:
        raise DeviceError(
            f"This ONNX Runtime knows no {device}", "Use --device cpu, or install onnxruntime-gpu"
        )
    reason = "ONNX Runtime offers CUDA" if device == "auto" else "asked for"
    providers = [("CUDAExecutionProvider", {"device_id": int(number or 0)}), *cpu]
    return ("cuda" if device == "auto" else device), reason, providers


class OnnxPart(Part):
    """A detector or estimator that is one ONNX network: an ``.onnx`` file, or weights by name."""

    ARGUMENT = "FILE.onnx"

    @classmethod
    def find_weights(
        cls, argument: str | None, *, offline: bool, say: Callable[[str], None] | None = None
    ) -> ChosenFile:
        """Returns an ``.onnx`` file by path or name, before which ONNX Runtime has to be here."""
        import_onnxruntime()
        return super().find_weights(argument, offline=offline, say=say)

    @classmethod
    def check_device(cls, device: str) -> None:
        """Raises DeviceError where ONNX Runtime does not offer the device."""
        pick_provider(device)

    def _load(self) -> ModelInfo:
        chosen = self.find_weights(self.argument, offline=self.offline)
        self._path = chosen.path
        self._network = OnnxNetwork(chosen.path, device=self.device, threads=self.threads)
        where = self._network.device, self._network.device_reason
        name = self.DEFAULT_WEIGHTS.partition(".")[0]
        return describe_model(name, chosen.path, chosen.licence, where, weights=chosen.name)


class OnnxNetwork:
    """One ONNX network with one picture input ``(batch, 3, height, width)``.
    Under ``auto`` the CPU is taken where CUDA cannot be used, and ``device_reason`` says why."""

    def __init__(self, path: Path, *, device: str = "auto", threads: int | None = None) -> None:
        self.device, self.device_reason, providers = pick_provider(device)
        options = import_onnxruntime().SessionOptions()
        options.log_severity_level = _QUIET
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session, refusal = _open(path, options, providers)
        if refusal and device != "auto":
            raise DeviceError(
                f"ONNX Runtime could not use {self.device} ({refusal})",
                "Use --device cpu, or install the CUDA libraries that onnxruntime-gpu names",
            )
        if refusal:
            self.device = "cpu"
            self.device_reason = f"ONNX Runtime lists CUDA but could not use it ({refusal})"
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
            shapes = ", ".join(str(i.shape) for i in inputs)
            raise WeightsError(
                f"{path} takes {shapes}", "Export it with one input (batch, 3, height, width)"
            )
        self._input = inputs[0].name
        batch, _, height, width = inputs[0].shape
        self.size_wh: tuple[int, int] | None = None  # None: the network takes any
        if isinstance(height, int) and isinstance(width, int):
            self.size_wh = (width, height)
        self._one_by_one = batch == 1
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        self.output_shapes: tuple[tuple[int | str | None, ...], ...] = tuple(
            tuple(o.shape) for o in self._session.get_outputs()
        )

    def __call__(self, pictures: NDArray[np.float32]) -> Sequence[Array]:
        """Returns one array for each of ``outputs``, batch axis first, for at least one picture."""
        if not self._one_by_one or len(pictures) == 1:
            return self._run(pictures)
        parts = [self._run(pictures[i : i + 1]) for i in range(len(pictures))]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _run(self, pictures: NDArray[np.float32]) -> list[Array]:
        values = self._session.run(None, {self._input: pictures})
        return [np.asarray(value) for value in values]


def _open(
    path: Path, options: onnxruntime.SessionOptions, providers: list[Any]
) -> tuple[onnxruntime.InferenceSession, str]:
    """Opens a network, on the CPU where nothing else works; the text says why, else it is empty."""
    cpu = providers[-1:]
    try:
        make = import_onnxruntime().InferenceSession
        session = make(str(path), sess_options=options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors have no common base but this one
        if providers == cpu:
            raise WeightsError(
                f"{path} cannot be loaded by ONNX Runtime: {first_line(error)}",
                "Give an .onnx file, whole and with its own weights inside",
            ) from error
        session, _ = _open(path, options, cpu)  # raises where it was the file's fault
        return session, first_line(error)
    # ONNX Runtime falls back to the CPU without an error when CUDA's libraries are missing.
    fell_back = providers != cpu and "CUDAExecutionProvider" not in session.get_providers()
    return session, "its libraries are missing or do not fit" if fell_back else ""
