"""Running TFLite networks with LiteRT, which runs them on the CPU."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DeviceError, WeightsError
from pose3d.networks2d.part import Part, describe_model
from pose3d.weights.info import ModelInfo

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class LiteRtPart(Part):
    """A detector or an estimator that is one network of the table of weights."""

    @classmethod
    def check_device(cls, device: str) -> None:
        """Raises DeviceError for anything but the CPU."""
        if device not in ("auto", "cpu"):
            name = cls.DEFAULT_WEIGHTS.partition(".")[0]
            raise DeviceError(
                f"{name} runs on the CPU only and {device!r} was asked for", "Use auto or cpu"
            )

    def _load(self) -> ModelInfo:
        chosen = self.find_weights(None, offline=self.offline)
        self.check_device(self.device)
        self._networks = NetworkPool(chosen.path, self.threads)
        reason = "asked for" if self.device == "cpu" else "LiteRT runs on the CPU"
        name = chosen.name.partition(".")[0]
        where = "cpu", reason
        return describe_model(name, chosen.path, chosen.licence, where, weights=chosen.name)


class Network:
    """One TFLite network with one float32 input picture; not to be shared between threads."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter  # 0.1 s, only when needed

        try:
            with _without_delegate_notice():
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise WeightsError(f"{path} cannot be loaded: {error}", "Fetch it again") from error
        details = self._interpreter.get_input_details()[0]
        self._input = details["index"]
        self.input_size_px = int(details["shape"][1])
        self._outputs = {o["name"]: o["index"] for o in self._interpreter.get_output_details()}
        self._buffer = np.empty(details["shape"], np.float32)

    def __call__(
        self, picture: NDArray[np.uint8], *, scale: float, offset: float
    ) -> dict[str, NDArray[np.float32]]:
        """Returns outputs by name, without the batch axis, for ``scale * picture + offset``."""
        np.multiply(picture, np.float32(scale), out=self._buffer[0], casting="unsafe")
        if offset:
            self._buffer += np.float32(offset)
        self._interpreter.set_tensor(self._input, self._buffer)
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        return {name: get(index)[0] for name, index in self._outputs.items()}


class NetworkPool:
    """The same network several times: one crop has all threads, several have one thread each."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path = path
        self._threads = threads or os.cpu_count() or 1
        self._whole = Network(path, self._threads)
        self._single: list[Network] = []
        self._executor: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[Network, _In], _Out], items: Sequence[_In]) -> list[_Out]:
        """Returns ``function(network, item)`` for each item, in order."""
        if len(items) < 2 or self._threads == 1:
            return [function(self._whole, item) for item in items]
        if self._executor is None:
            self._single = [Network(self._path, 1) for _ in range(self._threads)]
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="litert")
        n = self._threads

        def share(worker: int) -> list[_Out]:
            return [function(self._single[worker], item) for item in items[worker::n]]

        shares = list(self._executor.map(share, range(min(n, len(items)))))
        return [shares[i % n][i // n] for i in range(len(items))]


@contextlib.contextmanager
def _without_delegate_notice() -> Iterator[None]:
    """Keeps LiteRT's notice about its CPU delegate, written to descriptor 2, off the terminal."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(saved, 2)
                held.seek(0)
                for line in held.read().splitlines(keepends=True):
                    if not line.startswith(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
                        os.write(2, line)
    finally:
        os.close(saved)
