"""MPII Human Pose: the Matlab release, and the JSON files that most code bases made of it.

Reference: Andriluka et al., "2D Human Pose Estimation: New Benchmark and State of the Art
Analysis", CVPR 2014; README of ``mpii_human_pose_v1_u12_2``; ``lib/dataset/mpii.py`` of HRNet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import MPII16
from pose3d.errors import DataError, unknown_name
from pose3d.files import parse_json
from pose3d.lab.datasets.npz_files import blame_file
from pose3d.lab.datasets.people.labelled import (
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    ImageFiles,
    LabelledPeople,
    area_of,
)
from pose3d.lab.datasets.people.matlab import read_mat

RELEASE = "mpii_human_pose_v1_u12_1.mat"
_JSON_SPLITS = {"train": "train.json", "val": "valid.json", "trainval": "trainval.json"}
_PX_PER_SCALE = 200.0  # side of the square around a person of scale 1
_CENTRE_DOWN_PX = 15.0  # times the scale, as HRNet: objpos lies at the chest
_HEAD_SHARE = 0.6  # of the diagonal of the head's box: the benchmark's size of a head
_LICENCE = "photographs of MPII Human Pose: non-commercial research"


def load_mpii(folder: Path, split: str) -> LabelledPeople:
    """Reads MPII Human Pose; boxes are HRNet's squares.

    ``train``, ``val`` (head sizes need ``gt_valid.mat`` or ``mpii_gt_val.mat``) and ``trainval``
    are ``annot/*.json``, whose joints are labelled or not; the ``release`` tells hidden ones.
    """
    if split == "release":
        path = folder / RELEASE
        people = list(_people_of_release(path))
    elif split in _JSON_SPLITS:
        path = folder / "annot" / _JSON_SPLITS[split]
        people = _people_of_json(path)
    else:
        raise unknown_name("split of MPII", split, (*_JSON_SPLITS, "release"))
    if not people:
        raise DataError(f"{path} holds no labelled person", "Give the file as published")
    heads = np.array([p["head_px"] for p in people], np.float64)
    if split == "val":
        heads = _head_sizes(folder / "annot", len(people))
    return _make(f"mpii {split}", folder / "images", people, heads)


def _make(
    name: str, pictures: Path, people: Sequence[dict[str, Any]], head_px: NDArray[np.float64]
) -> LabelledPeople:
    """Makes the record; Matlab's pixels begin at 1, ours at 0.5."""
    visibility: NDArray[np.int64] = np.stack([p["visibility"] for p in people])
    points = np.where(visibility[..., None] > 0, np.stack([p["joints"] for p in people]), np.nan)
    points = points - 0.5
    centre = np.array([p["centre"] for p in people], np.float64)
    scale = np.array([p["scale"] for p in people], np.float64)
    # Boxes count as OpenCV does, see networks2d/crops.py: the first pixel's centre is 0.
    middle = centre + np.stack((0 * scale, _CENTRE_DOWN_PX * scale), -1) - 1
    half = _PX_PER_SCALE / 2 * scale[:, None]
    files = sorted({p["image"] for p in people})
    number = {file: i for i, file in enumerate(files)}
    return LabelledPeople(
        name=name,
        skeleton=MPII16,
        images=ImageFiles(pictures, tuple(files)),
        image=np.array([number[p["image"]] for p in people]),
        ids=np.arange(len(people)),
        boxes_xyxy_px=np.concatenate((middle - half, middle + half), -1).astype(np.float32),
        keypoints_px=points.astype(np.float32),
        visibility=visibility,
        area_px2=area_of(points),
        head_px=head_px,
        ignored=(visibility == UNLABELLED).all(1),
        crowd=np.zeros(len(people), bool),
        licence=_LICENCE,
    )


def _people_of_json(path: Path) -> list[dict[str, Any]]:
    todo = "Give the folder with annot/ and images/, and the JSON files that HRNet and MMPose use"
    with blame_file(path, "list of people of MPII", todo):
        entries = parse_json(path.read_text(encoding="utf-8"))
        return [
            {
                "image": str(e["image"]),
                "joints": np.array(e["joints"], np.float64).reshape(len(MPII16), 2),
                "visibility": np.where(
                    np.array(e["joints_vis"]).reshape(len(MPII16)) > 0, VISIBLE, UNLABELLED
                ),
                "centre": [float(c) for c in e["center"]],
                "scale": float(e["scale"]),
                "head_px": np.nan,
            }
            for e in entries
        ]


def _head_sizes(folder: Path, count: int) -> NDArray[np.float64]:
    """Returns the head sizes of the validation people, NaN where no file tells them."""
    for name in ("gt_valid.mat", "mpii_gt_val.mat"):
        if (folder / name).is_file():
            boxes = np.asarray(read_mat(folder / name).get("headboxes_src"), np.float64)
            if boxes.shape != (2, 2, count):
                odd = f"'headboxes_src' in {folder / name} has shape {boxes.shape}"
                raise DataError(f"{odd}, not {(2, 2, count)}", "Give that of valid.json")
            return np.asarray(_HEAD_SHARE * np.linalg.norm(boxes[1] - boxes[0], axis=0))
    return np.full(count, np.nan)


def _people_of_release(path: Path) -> Iterator[dict[str, Any]]:
    release = read_mat(path).get("RELEASE")
    if release is None or not hasattr(release, "annolist"):
        raise DataError(f"{path} has no RELEASE.annolist", f"Give {RELEASE} as published")
    for picture in np.atleast_1d(release.annolist):
        for person in _items(picture, "annorect"):
            points = [
                point
                for part in _items(person, "annopoints")
                for point in _items(part, "point")
                if hasattr(point, "id")
            ]
            place = _items(person, "objpos")
            scale = np.atleast_1d(getattr(person, "scale", []))
            if points and place and scale.size:
                yield _release_person(picture, person, points, place[0], float(scale[0]))


def _release_person(
    picture: Any, person: Any, points: Sequence[Any], place: Any, scale: float
) -> dict[str, Any]:
    joints = np.full((len(MPII16), 2), np.nan)
    visibility = np.full(len(MPII16), UNLABELLED)
    for point in points:
        joints[int(point.id)] = float(point.x), float(point.y)
        # A number, a text or nothing: head and neck have no such flag in most of the release.
        flag = np.atleast_1d(getattr(point, "is_visible", []))
        hidden = flag.size > 0 and float(flag[0]) == 0
        visibility[int(point.id)] = HIDDEN if hidden else VISIBLE
    head = np.nan
    if all(np.size(getattr(person, n, [])) for n in ("x1", "y1", "x2", "y2")):
        x1, y1, x2, y2 = (float(getattr(person, n)) for n in ("x1", "y1", "x2", "y2"))
        head = _HEAD_SHARE * np.hypot(x2 - x1, y2 - y1)
    return {
        "image": str(picture.image.name),
        "joints": joints,
        "visibility": visibility,
        "centre": [float(place.x), float(place.y)],
        "scale": scale,
        "head_px": head,
    }


def _items(owner: Any, name: str) -> list[Any]:
    return [
        item for item in np.atleast_1d(getattr(owner, name, [])) if hasattr(item, "_fieldnames")
    ]
