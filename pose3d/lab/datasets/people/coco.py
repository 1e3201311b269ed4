"""COCO keypoints: ``annotations/person_keypoints_*.json`` beside the folders of pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.body.skeletons import COCO17
from pose3d.errors import unknown_name
from pose3d.lab.datasets.npz_files import blame_file
from pose3d.lab.datasets.people.labelled import ImageFiles, LabelledPeople

SPLITS = {"train": "train2017", "val": "val2017"}
_PERSON = 1


def load_coco(folder: Path, split: str) -> LabelledPeople:
    """Reads keypoint labels of ``train``, ``val``, or a name as ``val2014``; adds 0.5 px to COCO's,
    which count from the centre of the first one. Reference:
    https://cocodataset.org/#format-data."""
    name = SPLITS.get(split, split)
    path = folder / "annotations" / f"person_keypoints_{name}.json"
    if not path.is_file():
        present = sorted(
            p.stem.removeprefix("person_keypoints_")
            for p in folder.glob("annotations/person_keypoints_*.json")
        )
        if present and split not in SPLITS:
            raise unknown_name("split of COCO", split, (*SPLITS, *present))
    with blame_file(
        path, "file of COCO keypoints", "Give the folder that holds annotations/ as published"
    ):
        content = json.loads(path.read_text(encoding="utf-8"))
        return _to_people(content, folder / name, f"coco {name}")


def _to_people(content: Mapping[str, Any], pictures: Path, name: str) -> LabelledPeople:
    images = content["images"]
    number = {entry["id"]: i for i, entry in enumerate(images)}
    people = [a for a in content["annotations"] if a.get("category_id", _PERSON) == _PERSON]
    raw = np.array([a["keypoints"] for a in people], np.float64).reshape(-1, len(COCO17), 3)
    visibility = raw[..., 2].astype(np.int64)
    points = np.where(visibility[..., None] > 0, raw[..., :2] + 0.5, np.nan)
    xywh = np.array([a["bbox"] for a in people], np.float64).reshape(-1, 4)
    boxes = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), -1)
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in people], bool)
    return LabelledPeople(
        name=name,
        skeleton=COCO17,
        images=ImageFiles(pictures, tuple(entry["file_name"] for entry in images)),
        image=np.array([number[a["image_id"]] for a in people], np.int64),
        ids=np.array([a["id"] for a in people], np.int64),
        boxes_xyxy_px=boxes.astype(np.float32),
        keypoints_px=points.astype(np.float32),
        visibility=visibility,
        area_px2=np.array([a["area"] for a in people], np.float64),
        head_px=np.full(len(people), np.nan),
        ignored=crowd | ~(visibility > 0).any(1),
        crowd=crowd,
        licence="photographs of COCO: each under the terms of its author on Flickr",
    )
