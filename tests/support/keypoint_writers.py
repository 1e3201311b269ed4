"""Keypoint files exactly as other programs write them, made from one set of poses.

Every writer takes a :class:`Scene` and says in its docstring which code of the program it follows.
Numbers are rounded as the program rounds them; ``ROUNDING_PX`` says how far off a point may then be.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    HALPE26,
    HALPE136,
    OPENPOSE18,
    OPENPOSE25,
    SKELETONS,
    Skeleton,
)

SIZE_WH = (1280, 720)
RATE = 25.0


@dataclass(frozen=True)
class Scene:
    """People in a clip.

    Args:
        points: ``(frame, person, joint, 2)`` pixels; NaN: joint not seen; all NaN: person not there.
        score: ``(frame, person, joint)``.
        skeleton: of the joints.
    """

    points: np.ndarray
    score: np.ndarray
    skeleton: Skeleton
    size_wh: tuple[int, int] = SIZE_WH

    def people(self, frame: int) -> list[tuple[int, np.ndarray]]:
        """Returns index and ``(joint, 3)`` x, y, score of everybody in a frame; unseen joints NaN."""
        out = []
        for person in range(self.points.shape[1]):
            pose = np.column_stack([self.points[frame, person], self.score[frame, person]])
            if np.isfinite(pose[:, 0]).any():
                out.append((person, pose))
        return out

    def __len__(self) -> int:
        return len(self.points)


_MIDDLES = {
    "neck": ("left_shoulder", "right_shoulder"),
    "pelvis": ("left_hip", "right_hip"),
    "head_top": ("left_eye", "right_eye"),
    "left_big_toe": ("left_foot_index",),
    "right_big_toe": ("right_foot_index",),
    "left_small_toe": ("left_foot_index",),
    "right_small_toe": ("right_foot_index",),
}


def as_skeleton(scene: Scene, target: Skeleton) -> Scene:
    """Returns BlazePose's landmarks as another program's joints: by name, middles, or the nose."""
    index = scene.skeleton.index
    points, score = [], []
    for name in target.joints:
        sources = (name,) if name in index else _MIDDLES.get(name, ("nose",))
        columns = [index[s] for s in sources]
        points.append(scene.points[:, :, columns].mean(2))
        score.append(scene.score[:, :, columns].min(2))
    return replace(scene, points=np.stack(points, 2), score=np.stack(score, 2), skeleton=target)


def two_people(skeleton: Skeleton, frames: int = 30, *, seed: int = 0) -> Scene:
    """Returns two figures who walk past each other at different heights, with their own gait."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(-1, 1, (2, len(skeleton), 2)) * [40, 90]
    for person in range(2):  # trunks where trunks are, so that sizes make sense
        for i, name in enumerate(skeleton.joints):
            side = -1 if name.startswith("right") else 1 if name.startswith("left") else 0
            height = _HEIGHTS.get(name.split("_")[-1], -80)
            shape[person, i] = [side * 25 + rng.normal(0, 3), height + rng.normal(0, 3)]
    t = np.arange(frames) / RATE
    centre = np.stack(
        [np.stack([300 + 250 * t, 300 + 0 * t], -1), np.stack([600 - 250 * t, 420 + 0 * t], -1)], 1
    )
    phase = rng.uniform(0, 6, (2, len(skeleton), 1))
    sway = 6 * np.sin(5 * t[:, None, None, None] + phase)
    points = centre[:, :, None] + shape + sway
    score = rng.uniform(0.3, 0.99, points.shape[:3])
    return Scene(points, score, skeleton)


_HEIGHTS = {
    "shoulder": -60, "elbow": -25, "wrist": 5, "hip": 0, "knee": 45, "ankle": 90,
    "neck": -62, "pelvis": 0, "toe": 97, "heel": 95, "index": 97,
}  # fmt: skip


def missing_as_zero(pose: np.ndarray) -> np.ndarray:
    """Returns ``(joint, 3)`` with 0, 0, 0 for joints that were not seen."""
    return np.where(np.isfinite(pose[:, :1]), pose, 0.0)


def _six_digits(values: np.ndarray) -> list[float]:
    """Returns numbers with six significant digits, as C++ streams print floats."""
    return [float(f"{v:g}") for v in values.ravel()]


def write_openpose(folder: Path, scene: Scene, *, ids: bool = False) -> Path:
    """``--write_json`` of a video, version 1.3.

    Follows ``savePeopleJson`` in ``src/openpose/filestream/fileStream.cpp`` and the file names of
    ``WPeopleJsonSaver``: every frame has a file, 12 digits from 0; ``person_id`` is ``[-1]`` without
    its tracker; parts that were not found are 0,0,0; floats have six digits.
    """
    folder.mkdir(parents=True)
    empty = [
        *("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"),
        *("pose_keypoints_3d", "face_keypoints_3d"),
        *("hand_left_keypoints_3d", "hand_right_keypoints_3d"),
    ]
    for frame in range(len(scene)):
        people = [
            {
                "person_id": [person if ids else -1],
                "pose_keypoints_2d": _six_digits(missing_as_zero(pose)),
                **{name: [] for name in empty},
            }
            for person, pose in scene.people(frame)
        ]
        text = json.dumps({"version": 1.3, "people": people}, separators=(",", ":"))
        (folder / f"clip_{frame:012d}_keypoints.json").write_text(text)
    return folder


def _mmpose_instances(scene: Scene, frame: int) -> list[dict[str, Any]]:
    """``split_instances`` of ``mmpose/structures/utils.py``; the box stands in a tuple of one."""
    return [
        {
            "keypoints": np.nan_to_num(pose[:, :2]).astype(np.float32).tolist(),
            "keypoint_scores": missing_as_zero(pose)[:, 2].astype(np.float32).tolist(),
            "bbox": [[*np.nanmin(pose[:, :2], 0), *np.nanmax(pose[:, :2], 0)]],
            "bbox_score": 0.93,
        }
        for _, pose in scene.people(frame)
    ]


def write_mmpose(path: Path, scene: Scene) -> Path:
    """``MMPoseInferencer(...)(video, pred_out_dir=...)``.

    Follows ``_finalize_video_processing`` in ``mmpose/apis/inferencers/base_mmpose_inferencer.py``:
    ``frame_id`` from 0, indented by two spaces.
    """
    frames = [{"frame_id": i, "instances": _mmpose_instances(scene, i)} for i in range(len(scene))]
    path.write_text(json.dumps(frames, indent="  "))
    return path


def write_mmpose_demo(path: Path, scene: Scene) -> Path:
    """``demo/topdown_demo_with_mmdet.py --save-predictions``: ``meta_info`` and frames from 1."""
    meta = {
        "dataset_name": "coco",
        "num_keypoints": len(scene.skeleton),
        "keypoint_id2name": {str(i): n for i, n in enumerate(scene.skeleton.joints)},
        "keypoint_name2id": {n: i for i, n in enumerate(scene.skeleton.joints)},
    }
    frames = [
        {"frame_id": i + 1, "instances": _mmpose_instances(scene, i)} for i in range(len(scene))
    ]
    path.write_text(json.dumps({"meta_info": meta, "instance_info": frames}, indent="\t"))
    return path


def write_mmpose_pictures(folder: Path, scene: Scene) -> Path:
    """``MMPoseInferencer(...)(folder_of_pictures, pred_out_dir=...)``: a list of instances a picture."""
    folder.mkdir(parents=True)
    for i in range(len(scene)):
        text = json.dumps(_mmpose_instances(scene, i), indent="  ")
        (folder / f"img_{i + 1:05d}.json").write_text(text)
    return folder


def write_alphapose(path: Path, scene: Scene, *, tracks: bool = False) -> Path:
    """``demo_inference.py --video``, with or without ``--pose_track``.

    Follows ``write_json`` in ``alphapose/utils/pPose_nms.py`` and the dictionary of
    ``alphapose/utils/writer.py``: pictures are called ``0.jpg``, ``1.jpg``; those without people have
    no entry; without tracking ``idx`` is a list of zeros.
    """
    entries = [
        {
            "image_id": f"{i}.jpg",
            "category_id": 1,
            "keypoints": missing_as_zero(pose).ravel().tolist(),
            "score": 2.8,
            "box": [10.0, 20.0, 100.0, 300.0],
            "idx": person + 1 if tracks else [0.0],
        }
        for i in range(len(scene))
        for person, pose in scene.people(i)
    ]
    path.write_text(json.dumps(entries))
    return path


def write_alphapose_open(path: Path, scene: Scene) -> Path:
    """``--format open``: a dictionary by picture, 18 points (the same function)."""
    pictures = {
        f"{i}.jpg": {
            "version": "AlphaPose v0.3",
            "people": [
                {"pose_keypoints_2d": missing_as_zero(pose).ravel().tolist()}
                for _, pose in scene.people(i)
            ],
        }
        for i in range(len(scene))
        if scene.people(i)
    }
    path.write_text(json.dumps(pictures))
    return path


def write_coco(path: Path, scene: Scene) -> Path:
    """COCO results, https://cocodataset.org/#format-results: ids from 1 here, no entry for nobody."""
    entries = [
        {
            "image_id": i + 1,
            "category_id": 1,
            "keypoints": [round(float(v), 3) for v in missing_as_zero(pose).ravel()],
            "score": 0.9,
        }
        for i in range(len(scene))
        for _, pose in scene.people(i)
    ]
    path.write_text(json.dumps(entries))
    return path


def write_yolo_labels(
    folder: Path, scene: Scene, *, conf: bool = False, tracks: bool = False
) -> Path:
    """``yolo predict save_txt`` (or ``track``) of a video.

    Follows ``Results.save_txt`` in ``ultralytics/engine/results.py`` and ``write_results`` in
    ``ultralytics/engine/predictor.py``: ``<video>_<frame from 1>.txt``, no file for nobody, ``%g``.
    """
    folder.mkdir(parents=True)
    size = np.array(scene.size_wh)
    for i in range(len(scene)):
        lines = []
        for person, pose in scene.people(i):
            xyn = missing_as_zero(pose)
            xyn[:, :2] /= size
            line = (0, 0.5, 0.5, 0.2, 0.7, *xyn.ravel().tolist())
            line += (0.87654,) * conf + ((person + 1,) if tracks else ())
            lines.append(("%g " * len(line)).rstrip() % line)
        if lines:
            (folder / f"clip_{i + 1}.txt").write_text("\n".join(lines) + "\n")
    return folder


def yolo_summary(
    scene: Scene, frame: int, *, tracks: bool = False, normalize: bool = False
) -> list[dict[str, Any]]:
    """``Results.summary`` in ``ultralytics/engine/results.py``: five decimals."""
    w, h = scene.size_wh if normalize else (1, 1)
    out = []
    for person, pose in scene.people(frame):
        pose = missing_as_zero(pose)
        entry: dict[str, Any] = {
            "name": "person",
            "class": 0,
            "confidence": 0.87654,
            "box": {"x1": 10.0 / w, "y1": 20.0 / h, "x2": 110.0 / w, "y2": 320.0 / h},
            **({"track_id": person + 1} if tracks else {}),
            "keypoints": {
                "x": (pose[:, 0] / w).round(5).tolist(),
                "y": (pose[:, 1] / h).round(5).tolist(),
                "visible": pose[:, 2].round(5).tolist(),
            },
        }
        out.append(entry)
    return out


def write_yolo_json(path: Path, scene: Scene, **how: bool) -> Path:
    """``json.dump([json.loads(r.to_json()) for r in results], file)``."""
    path.write_text(json.dumps([yolo_summary(scene, i, **how) for i in range(len(scene))]))
    return path


def write_yolo_lines(path: Path, scene: Scene, **how: bool) -> Path:
    """One ``r.to_json()`` (ultralytics 8.3: polars, one line) a line."""
    lines = [json.dumps(yolo_summary(scene, i, **how)) for i in range(len(scene))]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_mediapipe_csv(path: Path, scene: Scene, *, header: str = "lmk") -> Path:
    """``pose_landmarks`` of every frame as programs around MediaPipe write them.

    ``lmk``: ``src/pose_extract.py`` of SarunWeerakul/SWE4913-video-gait (empty cells for nobody);
    ``x1``: the header ``class, x1, y1, z1, v1, ...`` of many tutorials (nicknochnack's *Body Language
    Decoder* and others); ``names``: ``NOSE_x``; ``long``: ``frame_id, landmark_id, landmark_name, x,
    y, z, visibility``.
    """
    rows: list[list[Any]] = []
    names = [n.upper() for n in BLAZEPOSE33.joints]
    names[9:11] = ["MOUTH_LEFT", "MOUTH_RIGHT"]
    if header == "lmk":
        first = ["frame_idx", "ms"]
        first += [f"lmk{i}_{a}" for i in range(33) for a in ("x", "y", "z", "vis")]
    elif header == "x1":
        first = ["class", *(f"{a}{i}" for i in range(1, 34) for a in "xyzv")]
    elif header == "names":
        first = ["frame", *(f"{n}_{a}" for n in names for a in ("x", "y", "z", "visibility"))]
    else:
        first = ["frame_id", "landmark_id", "landmark_name", "x", "y", "z", "visibility"]
    for i in range(len(scene)):
        people = scene.people(i)
        xyzv = np.full((33, 4), np.nan)
        if people:
            pose = people[0][1]
            xyzv = np.column_stack([pose[:, :2] / scene.size_wh, -0.1 * np.ones(33), pose[:, 2]])
        cells = ["" if np.isnan(v) else repr(float(v)) for v in xyzv.ravel()]
        if header == "long":
            rows += [[i, j, names[j], *cells[4 * j : 4 * j + 4]] for j in range(33) if people]
        else:
            lead: list[Any] = {"lmk": [i, int(1000 * i / RATE)], "x1": ["walk"], "names": [i]}[
                header
            ]
            rows.append([*lead, *cells])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([first, *rows])
    return path


def write_mediapipe_npz(path: Path, scene: Scene) -> Path:
    """``np.savez(path, pose=landmarks)``, ``(frame, 33, 4)`` x, y, z, visibility; NaN for nobody."""
    xyzv = np.full((len(scene), 33, 4), np.nan, np.float32)
    xyzv[..., :2] = scene.points[:, 0] / scene.size_wh
    xyzv[..., 2] = -0.1
    xyzv[..., 3] = scene.score[:, 0]
    np.savez(path, pose=xyzv)
    return path


def write_deeplabcut(path: Path, scene: Scene, *, names: dict[str, str] | None = None) -> Path:
    """The CSV of ``analyze_videos(..., save_as_csv=True)``, several individuals.

    Follows ``create_df_from_prediction`` in ``deeplabcut/pose_estimation_pytorch/apis/videos.py``:
    ``DataFrame.to_csv`` of a column index (scorer, individuals, bodyparts, coords). With one person
    the level ``individuals`` is missing, as in projects for one animal.
    """
    many = scene.points.shape[1] > 1
    scorer = "DLC_Resnet50_walkNov20shuffle1_snapshot_200"
    levels: list[list[str]] = [["scorer"], ["individuals"], ["bodyparts"], ["coords"]]
    columns = []
    for person in range(scene.points.shape[1]):
        for j, joint in enumerate(scene.skeleton.joints):
            for axis, coord in enumerate(("x", "y", "likelihood")):
                written = (names or {}).get(joint, joint)
                for level, word in zip(
                    levels, (scorer, f"individual{person + 1}", written, coord), strict=True
                ):
                    level.append(word)
                values = scene.points[:, person, j, axis] if axis < 2 else scene.score[:, person, j]
                columns.append(values)
    if not many:
        del levels[1]
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerows(levels)
        for frame, row in enumerate(np.stack(columns, -1)):
            out.writerow([frame, *("" if np.isnan(v) else repr(float(v)) for v in row)])
    return path


def write_wide_csv(path: Path, scene: Scene) -> Path:
    """A table of our own description: frame, person, then x, y, score of each named joint."""
    first = ["frame", "person"]
    first += [f"{n}_{a}" for n in scene.skeleton.joints for a in ("x", "y", "score")]
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(first)
        for i in range(len(scene)):
            for person, pose in scene.people(i):
                cells = ["" if np.isnan(v) else f"{v:.3f}" for v in pose.ravel()]
                out.writerow([i, person + 1, *cells])
    return path


def write_numbered_csv(
    path: Path, scene: Scene, *, first: int = 0, wide: bool = False, seed: int | None = None
) -> Path:
    """Joints by number, as programs write that know no names: ``x0, y0, ...`` or ``joint`` 0, 1, ...

    A joint that is not seen has no row in the long table. ``seed``: columns (wide) or rows (long) are
    shuffled.
    """
    shuffle = np.random.default_rng(seed).permutation if seed is not None else np.arange
    joints = shuffle(len(scene.skeleton)) if wide else np.arange(len(scene.skeleton))
    header = ["frame", "person"]
    header += [f"{a}{j + first}" for j in joints for a in "xy"] if wide else ["joint", "x", "y"]
    rows: list[list[Any]] = []
    for i in range(len(scene)):
        for person, pose in scene.people(i):
            cells = [["" if np.isnan(v) else f"{v:.3f}" for v in xy] for xy in pose[:, :2]]
            if wide:
                rows.append([i, person + 1, *(cell for j in joints for cell in cells[j])])
            else:
                rows += [[i, person + 1, j + first, *cells[j]] for j in joints if cells[j][0]]
    order = range(len(rows)) if wide else shuffle(len(rows))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *(rows[r] for r in order)])
    return path


def write_npz(path: Path, scene: Scene) -> Path:
    """The simple format of pose3d, with the names of the joints."""
    np.savez(
        path, keypoints=scene.points, score=scene.score, joint_names=np.array(scene.skeleton.joints)
    )
    return path


@dataclass(frozen=True)
class Case:
    """One way to write keypoints.

    Args:
        write: the writer.
        name: of the file or folder.
        format: that it must be recognised as.
        skeleton: it writes.
        error_px: how far a coordinate may be off after its rounding, in a picture of 1280x720.
        error_score: the same of the score.
        single: holds one person only.
        tracked: says who is who.
        every_frame: speaks also of frames without people.
    """

    write: Callable[[Path, Scene], Path]
    name: str
    format: str
    skeleton: Skeleton
    error_px: float = 1e-3
    error_score: float = 1e-5
    single: bool = False
    tracked: bool = False
    every_frame: bool = True


def _with(write: Callable[..., Path], **how: Any) -> Callable[[Path, Scene], Path]:
    return lambda path, scene: write(path, scene, **how)


_C, _A, _U, _M = "coco", "alphapose", "ultralytics", "mediapipe"
CASES: dict[str, Case] = {
    "openpose-25": Case(write_openpose, "json", "openpose", OPENPOSE25, 6e-3),
    "openpose-18": Case(write_openpose, "json", "openpose", OPENPOSE18, 6e-3),
    "openpose-ids": Case(
        _with(write_openpose, ids=True), "json", "openpose", OPENPOSE25, 6e-3, tracked=True
    ),
    "mmpose": Case(write_mmpose, "clip.json", "mmpose", COCO17),
    "mmpose-halpe": Case(write_mmpose, "clip.json", "mmpose", HALPE26),
    "mmpose-whole": Case(write_mmpose, "clip.json", "mmpose", SKELETONS["wholebody133"]),
    "mmpose-demo": Case(write_mmpose_demo, "results_clip.json", "mmpose", COCO17),
    "mmpose-pictures": Case(write_mmpose_pictures, "preds", "mmpose", COCO17),
    "alphapose-17": Case(write_alphapose, "alphapose-results.json", _A, COCO17, every_frame=False),
    "alphapose-26": Case(write_alphapose, "alphapose-results.json", _A, HALPE26, every_frame=False),
    "alphapose-136": Case(
        write_alphapose, "alphapose-results.json", _A, HALPE136, every_frame=False
    ),
    "alphapose-tracks": Case(
        _with(write_alphapose, tracks=True), "a.json", _A, COCO17, tracked=True, every_frame=False
    ),
    "alphapose-open": Case(write_alphapose_open, "a.json", _A, OPENPOSE18, every_frame=False),
    "coco": Case(write_coco, "results.json", _C, COCO17, 1e-3, 6e-4, every_frame=False),
    "yolo-txt": Case(write_yolo_labels, "labels", _U, COCO17, 1e-2, every_frame=False),
    "yolo-txt-conf": Case(
        _with(write_yolo_labels, conf=True), "labels", _U, COCO17, 1e-2, every_frame=False
    ),
    "yolo-txt-tracks": Case(
        _with(write_yolo_labels, conf=True, tracks=True),
        *("labels", _U, COCO17, 1e-2),
        tracked=True,
        every_frame=False,
    ),
    "yolo-json": Case(write_yolo_json, "yolo.json", _U, COCO17),
    "yolo-json-tracks": Case(
        _with(write_yolo_json, tracks=True), "yolo.json", _U, COCO17, tracked=True
    ),
    "yolo-json-shares": Case(_with(write_yolo_json, normalize=True), "yolo.json", _U, COCO17, 1e-2),
    "yolo-lines": Case(write_yolo_lines, "yolo.jsonl", _U, COCO17),
    "mediapipe-lmk": Case(write_mediapipe_csv, "m.csv", _M, BLAZEPOSE33, single=True, tracked=True),
    "mediapipe-x1": Case(
        _with(write_mediapipe_csv, header="x1"), "m.csv", _M, BLAZEPOSE33, single=True, tracked=True
    ),
    "mediapipe-names": Case(
        _with(write_mediapipe_csv, header="names"),
        *("m.csv", _M, BLAZEPOSE33),
        single=True,
        tracked=True,
    ),
    "mediapipe-long": Case(
        _with(write_mediapipe_csv, header="long"),
        *("m.csv", _M, BLAZEPOSE33),
        single=True,
        tracked=True,
        every_frame=False,
    ),
    "mediapipe-npz": Case(write_mediapipe_npz, "m.npz", _M, BLAZEPOSE33, single=True, tracked=True),
    "deeplabcut": Case(write_deeplabcut, "clipDLC.csv", "deeplabcut", COCO17, tracked=True),
    "csv": Case(
        write_wide_csv, "k.csv", "csv", COCO17, 1e-3, 6e-4, tracked=True, every_frame=False
    ),
    "npz": Case(write_npz, "k.npz", "pose3d", COCO17, tracked=True),
}
