"""A YOLO-pose network that ultralytics trains on drawn figures, in under a minute.

Needs ultralytics; import it after ``pytest.importorskip``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml

from pose3d.networks2d.runtimes.yolonet import import_ultralytics
from tests.support.yolo_models import _YAML, FIGURE

SIDE, TRAIN, EPOCHS = 160, 128, 20
_LIMBS = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)]
_TRUNK = [(5, 6), (11, 12), (5, 11), (6, 12)]
_MIRROR = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def draw_figure(
    size_wh: tuple[int, int],
    person: np.ndarray | None,
    ball: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """A picture of a figure with a red left and a green right side, and of a blue ball.

    Args:
        size_wh: of the picture.
        person: box ``x y x y`` that :data:`FIGURE` lies in, or None.
        ball: box, or None.
        rng: of the ground.
    """
    image = rng.integers(40, 90, (size_wh[1], size_wh[0], 3)).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 2)
    if ball is not None:
        middle = tuple(int(v) for v in (ball[:2] + ball[2:]) / 2)
        cv2.circle(image, middle, int((ball[2] - ball[0]) / 2), (60, 90, 240), -1)
    if person is None:
        return image
    height = float(person[3] - person[1])
    points = person[:2] + FIGURE * (person[2:] - person[:2])
    for a, b in _LIMBS + _TRUNK:
        colour = (230, 60, 60) if a % 2 else (60, 230, 60)
        ends = (tuple(int(v) for v in points[k]) for k in (a, b))
        cv2.line(image, *ends, colour, max(2, int(height / 18)))
    head = tuple(int(v) for v in points[0])
    cv2.circle(image, head, max(3, int(0.07 * height)), (240, 220, 60), -1)
    return image


def train_network(folder: Path) -> Path:
    """Trains the network; returns the checkpoint that ultralytics' own trainer wrote.

    Half of what is labelled are balls, a class that nobody asks for.
    """
    rng = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("val", 8)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for i in range(count):
            image, rows = _example(rng)
            cv2.imwrite(str(folder / "images" / part / f"{i:04d}.png"), image[..., ::-1])
            (folder / "labels" / part / f"{i:04d}.txt").write_text("\n".join(rows))
    data = {
        "path": str(folder),
        "train": "images/train",
        "val": "images/val",
        "names": {0: "ball", 1: "person"},
        "kpt_shape": [17, 3],
        "flip_idx": _MIRROR,
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    head = [[[2, 3, 4], 1, "Pose", ["nc", "kpt_shape"]]]
    network = {**_YAML, "nc": 2, "scales": {"n": [0.33, 0.25, 256]}, "head": head}
    (folder / "tiny-pose.yaml").write_text(yaml.safe_dump(network))
    made = import_ultralytics().YOLO(str(folder / "tiny-pose.yaml"), task="pose")
    made.train(
        data=str(folder / "data.yaml"),
        epochs=EPOCHS,
        imgsz=SIDE,
        batch=16,
        device="cpu",
        workers=0,
        optimizer="AdamW",
        lr0=0.005,
        warmup_epochs=1,
        mosaic=0.0,
        scale=0.2,
        translate=0.05,
        hsv_h=0.0,
        erasing=0.0,
        amp=False,
        val=False,
        plots=False,
        verbose=False,
        project=str(folder / "runs"),
        name="tiny",
    )
    return folder / "runs" / "tiny" / "weights" / "last.pt"


def _example(rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """One picture, and its rows in YOLO's pose format (shares of the picture)."""
    height = rng.uniform(50, 130)
    size = np.array([height * rng.uniform(0.4, 0.55), height])
    low = rng.uniform(0, SIDE - size)
    person = np.concatenate([low, low + size])
    radius = rng.uniform(8, 20)
    middle = rng.uniform(radius, SIDE - radius, 2)
    ball = np.concatenate([middle - radius, middle + radius])
    points = person[:2] + FIGURE * (person[2:] - person[:2])
    rows = [_row(1, person, points, 2), _row(0, ball, np.zeros((17, 2)), 0)]
    return draw_figure((SIDE, SIDE), person, ball, rng), rows


def _row(number: int, box: np.ndarray, points: np.ndarray, visible: int) -> str:
    values = [*((box[:2] + box[2:]) / 2 / SIDE), *((box[2:] - box[:2]) / SIDE)]
    for point in points / SIDE:
        values += [*point, visible]
    return " ".join([str(number), *(f"{v:.5f}" for v in values)])
