"""Tiny data sets of labelled people, written exactly as the real ones are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import savemat

from pose3d.body.skeletons import LSP14


def smooth_picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture without sharp edges, RGB, so that resampling can be compared."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_picture(path: Path, width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """Writes a JPEG or PNG; returns it as it is read back, RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), smooth_picture(width, height, seed)[..., ::-1])
    return cv2.imread(str(path))[..., ::-1]


def write_coco(folder: Path, split: str = "val2017") -> dict[str, Any]:
    """Writes three people and a crowd in two pictures, with the fields of ``person_keypoints_*.json``."""
    for i, name in enumerate(("000000000139.jpg", "000000000285.jpg")):
        write_picture(folder / split / name, seed=i)
    full = [[10 + i, 5 + 2 * i, 2] for i in range(17)]
    full[1][2] = 1  # labelled, not visible
    full[2] = [0, 0, 0]
    annotations = [
        _coco_person(183126, 139, [8, 4, 20, 40], full),
        _coco_person(183127, 285, [1.5, 2.5, 30, 41], [[20, 30, 2]] + [[0, 0, 0]] * 16),
        _coco_person(183128, 285, [40, 2, 10, 12], [[0, 0, 0]] * 17),
        {**_coco_person(900100000139, 139, [0, 0, 60, 48], [[0, 0, 0]] * 17), "iscrowd": 1},
    ]
    annotations[-1]["segmentation"] = {"counts": [0, 10], "size": [48, 64]}
    content = {
        "info": {"description": "COCO 2017 Dataset", "version": "1.0", "year": 2017},
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "BY"}],
        "images": [
            {"license": 4, "file_name": name, "height": 48, "width": 64, "id": number}
            for name, number in (("000000000139.jpg", 139), ("000000000285.jpg", 285))
        ],
        "annotations": annotations,
        "categories": [{"supercategory": "person", "id": 1, "name": "person"}],
    }
    path = folder / "annotations" / f"person_keypoints_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return content


def _coco_person(
    number: int, image: int, bbox: list[float], points: list[list[int]]
) -> dict[str, Any]:
    return {
        "segmentation": [[1, 1, 2, 2, 3, 1]],
        "num_keypoints": sum(v > 0 for _, _, v in points),
        "area": 0.4 * bbox[2] * bbox[3],
        "iscrowd": 0,
        "keypoints": [n for point in points for n in point],
        "image_id": image,
        "bbox": bbox,
        "category_id": 1,
        "id": number,
    }


def write_mpii_release(folder: Path) -> None:
    """Writes ``mpii_human_pose_v1_u12_1.mat``: two people, one without labels, a test picture.

    As in the release ``is_visible`` is a number for some points, empty for others, and pictures of
    the test set have neither labels nor head boxes.
    """
    points = _structs(
        [
            {"x": 61.0, "y": 70.0, "id": 6, "is_visible": 0.0},
            {"x": 60.0, "y": 40.0, "id": 7, "is_visible": 1.0},
            {"x": 59.5, "y": 31.25, "id": 8, "is_visible": np.zeros((0, 0))},
            {"x": 58.0, "y": 20.0, "id": 9, "is_visible": np.zeros((0, 0))},
        ]
    )
    single = _structs([{"x": 20.0, "y": 22.0, "id": 0, "is_visible": "1"}])
    head = {"x1": 50, "y1": 18, "x2": 80, "y2": 58}
    labelled = {**head, "annopoints": {"point": points}, "scale": 2.0, "objpos": {"x": 60, "y": 50}}
    other = {**head, "annopoints": {"point": single}, "scale": 1.5, "objpos": {"x": 20, "y": 30}}
    nothing = np.zeros((0, 0))
    empty = {**head, "annopoints": nothing, "scale": nothing, "objpos": nothing}
    pictures = _structs(
        [
            {"image": {"name": "015601864.jpg"}, "annorect": _structs([labelled, empty])},
            {"image": {"name": "005808361.jpg"}, "annorect": _structs([other])},
            {
                "image": {"name": "000000001.jpg"},
                "annorect": _structs([{"scale": 1.0, "objpos": {"x": 5, "y": 6}}]),
            },
            {"image": {"name": "000000002.jpg"}, "annorect": nothing},
        ]
    )
    release = {
        "annolist": pictures,
        "img_train": np.array([[1, 1, 0, 0]]),
        "version": "12",
        "single_person": np.zeros((0, 0)),
    }
    savemat(folder / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    for name in ("015601864.jpg", "005808361.jpg"):
        write_picture(folder / "images" / name)


def _structs(rows: list[dict[str, Any]]) -> np.ndarray:
    """An array of Matlab structures, 1 x n, as savemat writes it."""
    out = np.zeros((1, len(rows)), [(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            out[0, i][name] = value
    return out


def write_mpii_json(folder: Path, file: str = "valid.json", people: int = 3) -> None:
    """Writes ``annot/*.json`` and ``annot/gt_valid.mat``."""
    entries = []
    for i in range(people):
        joints = [[30.0 + j + i, 20.0 + 1.5 * j] for j in range(16)]
        joints[0], seen = [-1.0, -1.0], [0] + [1] * 15
        entries.append(
            {
                "joints_vis": seen,
                "joints": joints,
                "image": f"00000000{i}.jpg",
                "scale": 0.25,
                "center": [38.0 + i, 30.0],
            }
        )
        write_picture(folder / "images" / f"00000000{i}.jpg", 80, 60, seed=i)
    (folder / "annot").mkdir(exist_ok=True)
    (folder / "annot" / file).write_text(json.dumps(entries))
    boxes = np.zeros((2, 2, people))
    boxes[1, 0], boxes[1, 1] = 30.0, 40.0  # a diagonal of 50
    savemat(folder / "annot" / "gt_valid.mat", {"headboxes_src": boxes})


def standing_person(width: float = 64, height: float = 96) -> np.ndarray:
    """A person seen from the front, LSP's joints, ``(14, 2)`` px in a picture of that size."""
    places = {
        "ankle": (0.1, 0.95),
        "knee": (0.1, 0.75),
        "hip": (0.1, 0.55),
        "wrist": (0.28, 0.55),
        "elbow": (0.25, 0.4),
        "shoulder": (0.17, 0.25),
        "neck": (0.0, 0.2),
        "head_top": (0.0, 0.05),
    }
    out = np.zeros((14, 2))
    for i, name in enumerate(LSP14.joints):
        side, _, part = name.partition("_")
        x, y = places[part if side in ("left", "right") else name]
        sign = {"left": 1, "right": -1}.get(side, 0)
        out[i] = (0.5 + sign * x) * width, y * height
    return out


def write_lsp(folder: Path, people: int = 4) -> np.ndarray:
    """Writes LSP: ``joints.mat`` 3 x 14 x n; returns it."""
    joints = np.zeros((3, 14, people))
    for i in range(people):
        joints[:2, :, i] = standing_person().T + 1 + i
        joints[2, i, i] = 1  # hidden, yet labelled
        write_picture(folder / "images" / f"im{i + 1:04d}.jpg", 70, 110, seed=i)
    savemat(folder / "joints.mat", {"joints": joints})
    return joints


def write_lsp_extended(folder: Path, people: int = 3) -> np.ndarray:
    """Writes LSP-extended: ``joints.mat`` 14 x 3 x n; returns it."""
    joints = np.zeros((14, 3, people))
    for i in range(people):
        joints[:, :2, i] = standing_person() + 1 + i
        joints[:, 2, i] = 1
        joints[12, :, i] = 0  # not labelled
        write_picture(folder / "images" / f"im{i + 1:05d}.jpg", 70, 110, seed=i)
    savemat(folder / "joints.mat", {"joints": joints})
    return joints


def draw_person(points: np.ndarray, side: int, seed: int) -> np.ndarray:
    """A picture of coloured limbs on noise; the person's left and right have different colours."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 120, (side, side, 3), np.uint8)
    for parent, child in LSP14.bones:
        colour = {"left": (230, 40, 40), "right": (40, 40, 230)}.get(
            LSP14.side[child], (40, 220, 40)
        )
        a, b = (tuple(int(v) for v in points[i]) for i in (parent, child))
        cv2.line(image, a, b, colour, max(2, side // 24), cv2.LINE_AA)
    return image


def write_lspet(path: Path, train: int = 24, val: int = 8, test: int = 8, side: int = 64) -> Path:
    """Writes drawn people in the layout of ``lspet.npz``."""
    rng = np.random.default_rng(1)
    n = train + val + test
    points = np.stack([standing_person(side, side) for _ in range(n)])
    points = (points - side / 2) * rng.uniform(0.55, 0.75, (n, 1, 1)) + side / 2
    points += rng.normal(0, side / 40, (n, 1, 2)) + rng.normal(0, side / 60, points.shape)
    files = []
    for i in range(n):
        ok, data = cv2.imencode(".jpg", draw_person(points[i], side, i)[..., ::-1])
        assert ok
        files.append(data.ravel())
    labelled = np.ones((n, 14), bool)
    labelled[0, 12] = False
    points[~labelled] = np.nan
    suspicious = np.zeros(n, bool)
    suspicious[1] = True
    np.savez(
        path,
        jpeg=np.concatenate(files),
        offsets=np.cumsum([0, *(len(f) for f in files)]),
        keypoints_px=points.astype(np.float32),
        labelled=labelled,
        suspicious=suspicious,
        few_joints=np.zeros(n, bool),
        group=np.arange(n),
        split=np.array(["train"] * train + ["val"] * val + ["test"] * test),
        tilt_deg=np.zeros(n, np.float32),
        size_px=np.full(n, side, np.int32),
        scale=np.ones(n, np.float32),
    )
    return path
