"""ONNX Runtime that lists CUDA and cannot use it, or is not installed, with a stand-in for it.

``tests/networks2d/test_estimator_rtmpose.py`` repeats it with ONNX Runtime itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pose3d.errors import DeviceError, MissingExtraError, WeightsError
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.networks2d.runtimes.onnxrt import OnnxNetwork

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def make_runtime(*, usable: bool, raises: bool, whole: bool) -> ModuleType:
    """Returns an ONNX Runtime that lists CUDA.

    Args:
        usable: CUDA can be used.
        raises: where it cannot, an error says so; else the CPU is taken in silence.
        whole: the file is a network.
    """

    class Session:
        def __init__(self, path: str, *, sess_options: object, providers: list[Any]) -> None:
            names = [p if isinstance(p, str) else p[0] for p in providers]
            if not whole:
                raise RuntimeError("protobuf parsing failed")
            if CUDA in names and not usable and raises:
                raise RuntimeError("libcublasLt.so.12: cannot open shared object file\nmore")
            self.providers = names if usable else [CPU]

        def get_providers(self) -> list[str]:
            return self.providers

        def get_inputs(self) -> list[object]:
            return [SimpleNamespace(name="input", shape=["batch", 3, 64, 48])]

        def get_outputs(self) -> list[object]:
            return [SimpleNamespace(name="out", shape=["batch", 1])]

        def run(self, names: object, values: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [values["input"].mean((1, 2, 3))[:, None]]

    runtime = ModuleType("onnxruntime")
    runtime.get_available_providers = lambda: [CUDA, CPU]  # type: ignore[attr-defined]
    runtime.SessionOptions = SimpleNamespace  # type: ignore[attr-defined]
    runtime.InferenceSession = Session  # type: ignore[attr-defined]
    return runtime


@pytest.fixture
def make_network(monkeypatch: pytest.MonkeyPatch):
    """Makes a network with a stand-in."""

    def make(
        device: str, *, usable: bool = False, raises: bool = False, whole: bool = True
    ) -> OnnxNetwork:
        runtime = make_runtime(usable=usable, raises=raises, whole=whole)
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        return OnnxNetwork(Path("x.onnx"), device=device)

    return make


@pytest.mark.parametrize("raises", [False, True])
def test_auto_takes_the_cpu_where_cuda_is_only_listed(make_network, raises):
    network = make_network("auto", raises=raises)
    assert network.device == "cpu"
    assert "lists CUDA" in network.device_reason
    assert "could not use it" in network.device_reason
    assert ("libcublasLt" in network.device_reason) == raises
    assert "\n" not in network.device_reason
    assert network(np.ones((2, 3, 64, 48), np.float32))[0].shape == (2, 1)


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
@pytest.mark.parametrize("raises", [False, True])
def test_who_asks_for_cuda_is_told(make_network, raises, device):
    with pytest.raises(DeviceError, match=rf"{device}.*--device cpu"):
        make_network(device, raises=raises)


def test_cuda_is_taken_where_it_works(make_network):
    made = [make_network(d, usable=True) for d in ("auto", "cuda:1")]
    assert [n.device for n in made] == ["cuda", "cuda:1"]
    assert [n.device_reason for n in made] == ["ONNX Runtime offers CUDA", "asked for"]


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_a_broken_file_is_no_matter_of_the_device(make_network, device):
    with pytest.raises(WeightsError, match=r"x\.onnx.*protobuf"):
        make_network(device, whole=False)


@pytest.mark.parametrize(
    ("make", "name"),
    [(make_keypoints, "rtmpose"), (make_detector, "rtmdet"), (make_detector, "yolox")],
)
def test_without_onnxruntime_the_message_says_what_to_install(monkeypatch, make, name):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"install .*onnxruntime"):
        make(f"{name}:x.onnx")
