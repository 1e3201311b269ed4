"""ONNX networks whose answers are known, built node by node: they look for bright spots and boxes.

Needs the packages onnx and onnxruntime; import it after ``pytest.importorskip``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET = 17


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    size_wh: tuple[int | str, int | str],
    outputs: dict[str, tuple[list[int | str | None], int]],
    batch: int | str = "batch",
) -> Path:
    width, height = size_wh
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, height, width])
    graph = helper.make_graph(
        nodes,
        path.stem,
        [picture],
        [helper.make_tensor_value_info(n, kind, shape) for n, (shape, kind) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def save_spot_finder(
    path: Path,
    *,
    joints: int = 17,
    size_wh: tuple[int, int] = (192, 256),
    bins_per_px: int = 2,
    names: tuple[str, str] = ("simcc_x", "simcc_y"),
    batch: int | str = "batch",
    y_first: bool = False,
) -> Path:
    """Saves a SimCC network: joint j is where colour j mod 3 (red, green, blue) is brightest."""
    width, height = size_wh
    constants = {
        "x_bins": np.repeat(np.eye(width, dtype=np.float32), bins_per_px, axis=1),
        "y_bins": np.repeat(np.eye(height, dtype=np.float32), bins_per_px, axis=1),
        "colours": np.arange(joints, dtype=np.int64) % 3,
    }
    nodes = []
    for axis, name, bins in ((2, names[0], "x_bins"), (3, names[1], "y_bins")):
        nodes += [
            helper.make_node("ReduceMax", ["input"], [f"{bins}_line"], axes=[axis], keepdims=0),
            helper.make_node("MatMul", [f"{bins}_line", bins], [f"{bins}_fine"]),
            helper.make_node("Gather", [f"{bins}_fine", "colours"], [name], axis=1),
        ]
    outputs = {
        names[0]: ([batch, joints, width * bins_per_px], TensorProto.FLOAT),
        names[1]: ([batch, joints, height * bins_per_px], TensorProto.FLOAT),
    }
    if y_first:
        outputs = dict(reversed(outputs.items()))
    return _save(path, nodes, constants, size_wh, outputs, batch)


def save_box_finder(
    path: Path, kind: str, *, size_wh: tuple[int | str, int | str] = (320, 256)
) -> Path:
    """Saves a detector: the box around what is more than 0.6 as bright as the brightest pixel.

    Args:
        path: of the file.
        kind: ``"dets"``: one box of a person and one of class 1, as after MMDeploy's suppression;
            ``"raw"``: the same box three times, moved a little, with scores of two classes.
        size_wh: input; letters for any size.
    """
    constants: dict[str, np.ndarray] = {"one": np.float32(1.0), "half": np.float32(0.6)}
    nodes = [helper.make_node("ReduceMax", ["input"], ["most"], axes=[0, 1], keepdims=0)]
    nodes += [
        helper.make_node("ReduceMax", ["most"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "half"], ["limit"]),
        helper.make_node("Greater", ["most", "limit"], ["is_lit"]),
        helper.make_node("Cast", ["is_lit"], ["lit"], to=TensorProto.FLOAT),
    ]
    for axis, name in ((0, "x"), (1, "y")):
        nodes.append(
            helper.make_node("ReduceMax", ["lit"], [f"{name}_line"], axes=[axis], keepdims=0)
        )
        for last in (0, 1):
            end = f"{name}{last + 1}"
            nodes += [
                helper.make_node(
                    "ArgMax",
                    [f"{name}_line"],
                    [f"{end}_i"],
                    axis=0,
                    keepdims=1,
                    select_last_index=last,
                ),
                helper.make_node("Cast", [f"{end}_i"], [f"{end}_f"], to=TensorProto.FLOAT),
            ]
        # The last pixel belongs to the box.
        nodes.append(helper.make_node("Add", [f"{name}2_f", "one"], [f"{name}2_e"]))
    nodes.append(helper.make_node("Concat", ["x1_f", "y1_f", "x2_e", "y2_e"], ["box"], axis=0))
    if kind == "dets":
        constants |= {
            "score": np.float32([[[0.9]], [[0.95]]]).reshape(1, 2, 1),
            "twice": np.int64([1, 2, 4]),
            "labels_": np.int64([[0, 1]]),
        }
        nodes += [
            helper.make_node("Expand", ["box", "twice"], ["boxes"]),
            helper.make_node("Concat", ["boxes", "score"], ["dets"], axis=2),
            helper.make_node("Identity", ["labels_"], ["labels"]),
        ]
        outputs = {
            "dets": ([1, 2, 5], TensorProto.FLOAT),
            "labels": ([1, 2], TensorProto.INT64),
        }
    else:
        constants |= {
            "moved": np.float32([[0, 0, 0, 0], [2, 1, 2, 1], [-1, 2, -1, 2]])[None],
            "scores_": np.float32([[[0.5, 0.1], [0.4, 0.3], [0.1, 0.9]]]),
        }
        nodes += [
            helper.make_node("Add", ["moved", "box"], ["boxes"]),
            helper.make_node("Identity", ["scores_"], ["scores"]),
        ]
        outputs = {
            "boxes": ([1, 3, 4], TensorProto.FLOAT),
            "scores": ([1, 3, 2], TensorProto.FLOAT),
        }
    return _save(path, nodes, constants, size_wh, outputs, batch=1)


def save_grid(path: Path, values: np.ndarray, *, size_wh: tuple[int, int]) -> Path:
    """Saves a YOLOX network that gives these values ``(cell, 5 + class)`` for every picture."""
    constants = {"values": values[None].astype(np.float32), "nothing": np.float32(0)}
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["most"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["most", "nothing"], ["zero"]),
        helper.make_node("Add", ["values", "zero"], ["output"]),
    ]
    outputs = {"output": (list(constants["values"].shape), TensorProto.FLOAT)}
    return _save(path, nodes, constants, size_wh, outputs, batch=1)
