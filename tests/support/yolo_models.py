"""YOLO networks made on the spot: random ones, and one whose answers are known.

Needs ultralytics; import it after ``pytest.importorskip``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose3d.networks2d.runtimes.yolonet import YoloPart, import_ultralytics

NAMES = {0: "ball", 1: "person", 2: "car"}
STRIDE = 32

# Where the figure's joints are in its box, x and y from 0 to 1; COCO's order, left and right differ.
FIGURE = np.array(
    [[0.5, 0.08], [0.55, 0.05], [0.45, 0.05], [0.6, 0.07], [0.4, 0.07], [0.7, 0.2], [0.3, 0.2]]
    + [[0.85, 0.35], [0.15, 0.35], [0.95, 0.5], [0.05, 0.5], [0.62, 0.5], [0.38, 0.5]]
    + [[0.64, 0.75], [0.36, 0.75], [0.65, 0.97], [0.35, 0.97]]
)

_YAML: dict[str, Any] = {
    "nc": len(NAMES),
    "kpt_shape": [17, 3],
    "scale": "n",
    "scales": {"n": [0.33, 0.125, 256]},
    "backbone": [
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "Conv", [256, 3, 2]],
        [-1, 1, "Conv", [256, 3, 2]],
        [-1, 1, "Conv", [256, 3, 2]],
    ],
}


def save_random(
    path: Path,
    *,
    task: str = "pose",
    names: dict[int, str] | None = None,
    keypoints: int = 17,
) -> Path:
    """Saves a small network with random weights that finds something in any picture.

    Args:
        path: ends with ``.pt``.
        task: ``"pose"`` or ``"detect"``.
        names: of its classes; None: a ball, a person and a car.
        keypoints: of the pose.
    """
    ultralytics = import_ultralytics()
    names = names or NAMES
    layer, inputs, model, empty = {
        "pose": ("Pose", ["nc", "kpt_shape"], "PoseModel", "yolov8n-pose.yaml"),
        "detect": ("Detect", ["nc"], "DetectionModel", "yolov8n.yaml"),
    }[task]
    head = [[[2, 3, 4], 1, layer, inputs]]
    settings = {**_YAML, "nc": len(names), "kpt_shape": [keypoints, 3], "head": head}
    torch.manual_seed(0)
    from ultralytics.nn import tasks

    network = getattr(tasks, model)(settings, verbose=False)
    network.names, network.task = names, task
    network.args = {"task": task, "imgsz": 640, "model": "random.yaml"}
    with torch.no_grad():  # higher scores than random weights give
        for branch in network.model[-1].cv3:
            branch[-1].bias.copy_(0.5 * torch.randn(len(names)))
    made = ultralytics.YOLO(empty, task=task)
    made.model = network
    made.save(str(path))
    return path


def make_known(network: YoloPart) -> None:
    """Lets a pose network answer what is drawn instead of what its weights say.

    Pure red rectangles are people with :data:`FIGURE`, pure blue ones balls, surer than people. The
    picture that is looked at is the letterboxed one, so everything before and after it is tested.
    """
    network.look([np.zeros((64, 64, 3), np.uint8)])  # its runner is made at the first look
    network._model.predictor.model.forward = _see_rectangles


def _see_rectangles(pictures: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    """Returns raw answers ``(batch, 4 + class + 17 * 3, 4)`` in pixels of the letterboxed picture."""
    assert pictures.shape[2] % STRIDE == pictures.shape[3] % STRIDE == 0
    out = torch.zeros(len(pictures), 4 + len(NAMES) + 51, 4)
    for i, picture in enumerate(pictures.numpy()):
        for place, (channel, number, score) in enumerate(((0, 1, 0.8), (2, 0, 0.95))):
            others = np.delete(picture, channel, 0).max(0)
            rows, columns = np.nonzero((picture[channel] > 0.6) & (others < 0.4))
            if not len(rows):
                continue
            low = np.array([columns.min(), rows.min()])
            size = np.array([columns.max(), rows.max()]) + 1 - low
            joints = np.concatenate((low + FIGURE * size, np.full((17, 1), 0.9)), 1)
            values = [
                *(low + size / 2),
                *size,
                *np.eye(len(NAMES))[number] * score,
                *joints.ravel(),
            ]
            # Twice, moved a little: the second is to be suppressed.
            for copy in range(2):
                out[i, :, 2 * place + copy] = torch.tensor(values)
                out[i, :2, 2 * place + copy] += copy
                out[i, 4 : 4 + len(NAMES), 2 * place + copy] *= 1 - 0.1 * copy
    return out
