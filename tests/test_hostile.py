"""Files made to break a program: refused by what they declare, in words, before they cost anything."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import H36M17
from pose3d.cli.config import read_config
from pose3d.errors import Pose3DError, ResultFileError, UsageError
from pose3d.keypoint_files.reading import read_keypoints
from pose3d.keypoint_files.source import LARGEST_ARRAYS
from pose3d.lab.datasets.npz_files import read_arrays
from pose3d.lab.datasets.object_arrays import load_object_npz
from pose3d.lab.evaluation.people import read_results
from pose3d.lab.evaluation.samples import load_truth
from pose3d.lab.training import checkpoints
from pose3d.lift.models import LifterOptions
from pose3d.networks2d.estimators.mmpose_files import load_checkpoint
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.pipeline.batch.state import STATE_NAME, read_state
from pose3d.result.record import PoseSequence, VideoInfo, load
from pose3d.weights.checkpoint import read_checkpoint
from pose3d.weights.fetching import _place_member
from pose3d.weights.mirrors import MirrorError, _unpack

READERS: dict[str, Callable[[Path], object]] = {
    "keypoints": read_keypoints,
    "result": load,
    "lab arrays": lambda p: read_arrays(p, "track file", "Give another"),
    "lab objects": lambda p: load_object_npz(p, made_by="-"),
    "truth": load_truth,
    "published checkpoint": read_checkpoint,
    "training checkpoint": lambda p: checkpoints.read_checkpoint(p, "recipe"),
    "MMPose checkpoint": lambda p: load_checkpoint(torch.nn.Linear(1, 1), p),
    "mirror": lambda p: _unpack(p, ".npy", p.parent),
    "wheel": lambda p: _place_member(
        SimpleNamespace(member=SimpleNamespace(path="a.npy"), file_name="a"), p, p.parent, "-"
    ),
}


def patch_directory(data: bytes, offset: int, value: bytes) -> bytes:
    """Changes a field of every entry of a ZIP file's directory."""
    parts = data.split(b"PK\x01\x02")
    first, *entries = parts
    at = offset - 4
    return b"PK\x01\x02".join([first, *(e[:at] + value + e[at + len(value) :] for e in entries)])


def write_archive(path: Path, how: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy", "data.pkl"):
            archive.writestr(name, bytes(1000))
    data = path.read_bytes()
    if how == "encrypted":
        data = patch_directory(data, 8, struct.pack("<H", 1))
    if how == "unknown":
        data = patch_directory(data, 10, struct.pack("<H", 97))  # WavPack
    if how == "gigabytes":
        data = patch_directory(data, 24, struct.pack("<I", 0xF0000000))
    if how == "one gigabyte":
        data = patch_directory(data, 24, struct.pack("<I", 500_000_000))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("how", "words"),
    [("encrypted", "encrypted"), ("unknown", "unknown method"), ("gigabytes", r"declares 8\.1 GB")],
)
def test_archives_are_judged_before_they_are_read(
    tmp_path: Path, reader: str, how: str, words: str
) -> None:
    path = write_archive(tmp_path / "x.npz", how)
    with pytest.raises((Pose3DError, MirrorError), match=words):
        READERS[reader](path)


def peak_of(read: Callable[[Path], object], path: Path) -> int:
    """Returns the most bytes that reading takes at a time."""
    tracemalloc.start()
    try:
        read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_keypoints_of_a_gigabyte_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="declares"):
        read_keypoints(write_archive(tmp_path / "x.npz", "one gigabyte"))


@pytest.mark.parametrize("name", ["landmarks.npy", "notes.txt"])
def test_archives_without_an_array_are_no_keypoints(tmp_path: Path, name: str) -> None:
    """NumPy gives what is no array as bytes."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"hello")
    with pytest.raises(ResultFileError):
        read_keypoints(path)


def test_the_largest_keypoints_take_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    points = np.random.default_rng(0).uniform(100, 500, (10_000, 1, 17, 3))
    np.savez(path, keypoints=points, skeleton="coco17", size_wh=[1280, 720], rate=30)
    share = peak_of(read_keypoints, path) / points.nbytes
    assert share * LARGEST_ARRAYS < 2 << 30


@pytest.mark.parametrize("read", [load, read_keypoints])
def test_a_result_of_a_gigabyte_takes_less_than_two(tmp_path: Path, read: Callable) -> None:
    n, shape = 1000, (1000, 2, 17)
    pose = PoseSequence.from_dense(
        video=VideoInfo(path="walk.mp4", size_wh=(1280, 720), rate=Fraction(30), n_frames=n),
        time_s=np.arange(n) / 30,
        person_ids=np.array([1, 2]),
        skeleton=H36M17,
        boxes_xyxy_px=np.ones((n, 2, 4)),
        keypoints_px=np.ones((*shape, 2)),
        score=np.ones(shape),
        joints_cam_m=np.zeros((*shape, 3)),
        hypotheses_cam_m=np.zeros((n, 2, 20, 17, 3)),
        valid=np.ones((n, 2), bool),
    )
    path = pose.save(tmp_path / "pose.npz")
    assert peak_of(read, path) < 1.5 * path.stat().st_size


def test_a_header_of_a_gigabyte_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.npy", bytes(1000))
    path.write_bytes(patch_directory(path.read_bytes(), 24, struct.pack("<I", 1_000_000_000)))
    for read in (load, read_keypoints):
        with pytest.raises(ResultFileError, match="metadata is too large"):
            read(path)


DEEP = 100_000
NESTS = {
    "value": "[" * DEEP + "]" * DEEP,
    "open": '{"a":' * DEEP,
    "second line": '{"a": 1}\n' + "[" * DEEP + "]" * DEEP,
    "string": json.dumps(["[" * DEEP + "]" * DEEP]),
    "name": '{"dialect": ' + "[" * DEEP + "]" * DEEP + "}",
}


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize(
    "read",
    [
        read_keypoints,
        load,
        read_config,
        read_results,
        lambda p: LifterOptions.from_json(p.read_text()),
        lambda p: TokenPoseOptions.from_json(p.read_text()),
    ],
)
def test_deep_nesting_is_damage(tmp_path: Path, nest: str, read: Callable[[Path], object]) -> None:
    path = tmp_path / "x.json"
    path.write_text(NESTS[nest])
    with pytest.raises(Pose3DError):
        read(path)


@pytest.mark.parametrize("nest", NESTS)
def test_a_damaged_state_is_none(tmp_path: Path, nest: str) -> None:
    (tmp_path / STATE_NAME).write_text(NESTS[nest])
    assert read_state(tmp_path) is None


def test_deep_toml_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("start = " + "[" * DEEP + "]" * DEEP)
    with pytest.raises(UsageError):
        read_config(path)


GOOD = {
    "keypoints": np.random.default_rng(0).uniform(100, 500, (4, 2, 17, 2)).tolist(),
    "skeleton": "coco17",
    "size_wh": [1280, 720],
    "rate": 30,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 1e-7}, "rate"),
        ({"rate": [1, 10**19]}, "rate is 1e-19"),
        ({"rate": 1e19}, "rate"),
        ({"rate": "1e401"}, "rate"),
        ({"size_wh": [10**9, 10**9]}, "1000000000x1000000000"),
        ({"person_ids": [2**64, 1]}, "too large"),
        ({"keypoints": (np.array(GOOD["keypoints"]) * 1e9).tolist()}, "pixels away"),
        ({"keypoints": np.full((2, 1000, 17, 2), 99.0).tolist()}, "1000 people in one frame; 200"),
        ({"time_s": [0.0, 1e300, 2e300, 3e300], "rate": None}, "s apart"),
    ],
)
def test_numbers_that_no_keypoint_file_has(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = tmp_path / "x.json"
    values = {k: v for k, v in (GOOD | changes).items() if v is not None}
    path.write_text(json.dumps(values).replace('"1e401"', "1e401"))
    with pytest.raises(Pose3DError, match=words):
        read_keypoints(path)
