"""Broken files give a result or a clear error: never another exception, never a minute, never 2 GB.

``pytest tests/test_fuzz.py --fuzz-files 2000`` tries more of them.
"""

from __future__ import annotations

import json
import random
import selectors
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import H36M17
from pose3d.lift.models import save_network
from pose3d.result.record import Camera, PoseSequence, VideoInfo
from tests.support import ROOT
from tests.support.clips import make_clip
from tests.support.keypoint_writers import CASES, two_people
from tests.support.lifters import small_network, small_options
from tests.support.mutations import mutate

SECONDS = 60.0
CONTAINERS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4",
              "ts": "libx264", "gif": "gif"}  # fmt: skip


class Worker:
    """A process that tries files; started again when one hangs or ends it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, path: Path) -> dict[str, object]:
        if self.process is not None and self.process.poll() is not None:
            self.close()
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fuzz_worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, bufsize=1, cwd=ROOT,
            )  # fmt: skip
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{kind}\t{path}\n")
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(SECONDS):
                self.close()
                return {"outcome": "hangs"}
        line = process.stdout.readline()
        return json.loads(line) if line else {"outcome": "dies", "code": process.wait()}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Whole files of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    found: dict[str, list[Path]] = {"video": []}
    for suffix, codec in CONTAINERS.items():
        pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        path = folder / f"clip.{suffix}"
        make_clip(path, codec=codec, pix_fmt=pix_fmt, n_frames=20)
        found["video"].append(path)
    found["keypoints"] = []
    for name, case in CASES.items():
        if "." in case.name:  # the others write folders
            scene = two_people(case.skeleton, frames=8)
            if case.single:
                scene = replace(scene, points=scene.points[:, :1], score=scene.score[:, :1])
            found["keypoints"].append(case.write(folder / f"{name}-{case.name}", scene))
    pose = made_pose()
    found["result"] = [pose.save(folder / "pose.npz"), pose.save(folder / "pose.json")]
    network, options = small_network(), small_options()
    weights = folder / "mixste.tiny.safetensors"
    save_network(weights, network.state_dict(), options)
    checkpoint = folder / "published.pth"
    torch.save({"model_pos": dict(network.state_dict()), "epoch": 3}, checkpoint)
    config = folder / "options.toml"
    config.write_text(
        'preset = "fast"\nperson = "1,2"\nstart = 1.5\ndetect_every = 10\nsmooth = true\nformat = ["npz", "csv"]\n'
    )
    return found | {"weights": [weights], "checkpoint": [checkpoint], "config": [config]}


def made_pose() -> PoseSequence:
    """A result of two people, one of whom is away for a while."""
    rng = np.random.default_rng(0)
    n, joints = 6, len(H36M17)
    valid = np.ones((n, 2), bool)
    valid[2:4, 1] = False
    there = valid[..., None, None]
    return PoseSequence.from_dense(
        video=VideoInfo(path="walk.mp4", size_wh=(1280, 720), rate=Fraction(30), n_frames=n),
        time_s=np.arange(n) / 30,
        person_ids=np.array([1, 2]),
        skeleton=H36M17,
        boxes_xyxy_px=np.where(valid[..., None], [100.0, 50.0, 300.0, 600.0], np.nan),
        keypoints_px=np.where(there, rng.uniform(0, 700, (n, 2, joints, 2)), np.nan),
        score=np.where(valid[..., None], rng.uniform(0, 1, (n, 2, joints)), 0.0),
        joints_cam_m=np.where(there, rng.normal(0, 0.5, (n, 2, joints, 3)), np.nan),
        root_cam_m=np.where(valid[..., None], [0.1, 0.2, 4.0], np.nan),
        valid=valid,
        camera=Camera(
            focal_px=1024.0, focal_source="assumed", up_cam=(0.0, -1.0, 0.0), ground_m=1.4
        ),
    )


def is_fine(kind: str, answer: dict[str, object]) -> bool:
    if answer["outcome"] == "error":
        return True
    return answer["outcome"] == "result" and answer.get("frames") == answer.get(
        "decoded", answer.get("frames")
    )


@pytest.mark.parametrize(
    "kind", ["video", "keypoints", "result", "weights", "checkpoint", "config"]
)
def test_broken_files(kind: str, worker: Worker, originals: dict[str, list[Path]], tmp_path: Path,
                      pytestconfig: pytest.Config) -> None:  # fmt: skip
    n_files = int(pytestconfig.getoption("--fuzz-files")) // 6
    faults = []
    for number in range(n_files):
        rng = random.Random(f"{kind} {number}")
        original = originals[kind][number % len(originals[kind])]
        path = tmp_path / f"{number}-{original.name}"
        path.write_bytes(mutate(original.read_bytes(), rng))
        answer = worker.ask(kind, path)
        if not is_fine(kind, answer):
            faults.append((path.name, answer))
        else:
            path.unlink()
    assert not faults


def test_a_fault_is_noticed() -> None:
    assert not is_fine("video", {"outcome": "internal"})
    assert not is_fine("video", {"outcome": "hangs"})
    assert not is_fine("video", {"outcome": "result", "frames": 3, "decoded": 4})
    assert is_fine("result", {"outcome": "result", "frames": 3})


def test_whole_files_give_results(worker: Worker, originals: dict[str, list[Path]]) -> None:
    for kind, paths in originals.items():
        for path in paths:
            answer = worker.ask(kind, path)
            assert answer["outcome"] == "result", (path, answer)
            assert is_fine(kind, answer), (path, answer)
