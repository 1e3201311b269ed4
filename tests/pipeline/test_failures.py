"""What stops a run, and what it says: full formats, long names, short memory, unwritable caches."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import DataError, NoMemoryError, Pose3DError, WeightsError, naming_memory
from pose3d.options import OutputOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.overview import FAILED_NAME
from pose3d.result import csv as csv_format
from pose3d.result.record import load
from pose3d.video.sources import find_inputs
from tests.support import ROOT, fakes
from tests.support.clips import make_clip, write_images


def go(path: str, out: Path, **changes: object) -> list:
    outputs = OutputOptions(output=str(out), **changes)
    return run_batch(find_inputs([path]), None, outputs, load=fakes.load_fakes)


def pose3d(*words: object, env: dict[str, str] | None = None, before: object = None):
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pose3d", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=6).path)


# -- a format that fails ---------------------------------------------------------------------------


@pytest.fixture
def broken_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("a mistake in the exporter")

    monkeypatch.setattr(csv_format.CsvExporter, "write", refuse)


def test_a_format_that_fails_takes_no_other_along(
    tmp_path: Path, clip: str, broken_csv: None
) -> None:
    out = tmp_path / "out"
    (outcome,) = go(clip, out, format=("csv", "npz", "bvh"))
    assert outcome.status == "failed"
    assert "a mistake in the exporter" in str(outcome.error)
    left = {path.name for path in (out / "walk").iterdir()}
    assert left == {".pose3d.json", FAILED_NAME, "pose.npz", "pose.person1.bvh", "walk.mp4"}


def test_what_failed_is_made_by_the_next_run(tmp_path: Path, clip: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_format.CsvExporter, "write", lambda *_: 1 / 0)
        go(clip, tmp_path / "out", format=("csv", "npz"))
    (outcome,) = go(clip, tmp_path / "out", format=("csv", "npz"))
    assert outcome.status == "updated"
    assert (tmp_path / "out/walk/pose.csv").is_file()


def test_export_and_lift_write_the_others(tmp_path: Path, clip: str, broken_csv: None) -> None:
    go(clip, tmp_path / "out", render="none")
    result = tmp_path / "out/walk/pose.npz"
    said = CliRunner().invoke(
        app, ["export", str(result), "-f", "csv,bvh", "-o", str(tmp_path / "e")]
    )
    assert said.exit_code == 1
    assert "a mistake in the exporter" in said.output
    assert (tmp_path / "e/pose.person1.bvh").is_file()
    words = ["lift", str(result), "--format", "csv,npz", "-o", str(tmp_path / "lifted")]
    said = CliRunner().invoke(app, [*words, "--render", "none", "--device", "cpu"])
    assert said.exit_code == 1
    assert load(tmp_path / "lifted/walk/pose.npz").n_people == 1


# -- long names ------------------------------------------------------------------------------------

LONGEST = 255


@pytest.mark.skipif(os.name == "nt", reason="limits are others")
@pytest.mark.parametrize(
    "name", ["a" * 240 + ".mp4", "a" * 252 + ".ts", "走" * 82 + ".mp4"], ids=["mp4", "ts", "wide"]
)
def test_names_as_long_as_may_be(tmp_path: Path, name: str) -> None:
    made = make_clip(tmp_path / "short.mp4", size_wh=fakes.SIZE_WH, n_frames=6).path
    path = tmp_path / name
    made.rename(path)
    (outcome,) = go(str(path), tmp_path / "out")
    assert outcome.status == "done", outcome.error
    (folder,) = (tmp_path / "out").iterdir()
    assert name.startswith(folder.name)
    keypoints = tmp_path / ("a" * 251 + ".npz")
    keypoints.write_bytes((folder / "pose.npz").read_bytes())
    runner = CliRunner()
    words = ["lift", str(keypoints), "-o", str(tmp_path / "lifted"), "--device", "cpu"]
    said = runner.invoke(app, words)
    assert said.exit_code == 0, said.output
    said = runner.invoke(app, ["export", str(folder), "-f", "trc", "-o", str(tmp_path / "trc")])
    assert said.exit_code == 0, said.output


@pytest.mark.skipif(os.name == "nt", reason="limits are others")
def test_folder_of_images_with_the_longest_name(tmp_path: Path) -> None:
    folder = tmp_path / ("b" * LONGEST)
    write_images(folder, [f"{i}.png" for i in range(4)], size_wh=fakes.SIZE_WH)
    (outcome,) = go(str(folder), tmp_path / "out")
    assert outcome.status == "done", outcome.error


@pytest.mark.skipif(os.name == "nt", reason="limits are others")
def test_names_too_long_are_said_to_be(tmp_path: Path, clip: str) -> None:
    go(clip, tmp_path / "out")
    result, long = str(tmp_path / "out/walk/pose.npz"), "c" * 260
    for words in (
        ["export", result, "-o", str(tmp_path / f"{long}.csv")],
        ["export", result, "-f", "csv", "-o", str(tmp_path / long)],
        ["render", result, "-o", str(tmp_path / f"{long}.mp4")],
        ["lift", result, "-o", str(tmp_path / long)],
        ["run", clip, "-o", str(tmp_path / long)],
        ["storyboard", result, "-o", str(tmp_path / f"{long}.png")],
    ):
        said = CliRunner().invoke(app, words)
        assert said.exit_code in (1, 2), said.output
        assert "Give a shorter name" in said.output, (words[0], said.output)


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError("Unable to allocate 588. KiB for an array"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1880064"),
        ValueError("Mmap of '6' at offset '0' failed with error '12'."),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_short_memory_is_named(cause: Exception) -> None:
    with pytest.raises(NoMemoryError), naming_memory():
        raise cause
    with pytest.raises(NoMemoryError), naming_memory():
        raise WeightsError("x cannot be loaded", "Fetch it again") from cause


def test_other_errors_stay_what_they_are() -> None:
    damaged = DataError("x.npz is damaged", "Fetch it again")
    with pytest.raises(DataError), naming_memory():
        raise damaged from MemoryError("a header that asks for 8 TB")
    with pytest.raises(ImportError), naming_memory():
        raise ImportError("x.so: failed to map segment from shared object: Operation not permitted")
    with pytest.raises(ZeroDivisionError), naming_memory():
        np.float64(1 // 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit that is kept")
@pytest.mark.parametrize("gigabytes", [1.0, 1.3])
def test_run_in_too_little_memory(tmp_path: Path, gigabytes: float) -> None:
    def limit() -> None:
        size = round(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    words = "run", "samples/walk_turn.mp4", "--end", "0.2", "-o", tmp_path, "--render", "none"
    said = pose3d(*words, "--offline", "--device", "cpu", before=limit)
    assert said.returncode not in (0, 2)
    assert "memory" in said.stderr.lower(), said.stderr
    assert "etch it again" not in said.stderr
    assert "Internal error" not in said.stderr


# -- the cache folder ------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["POSE3D_CACHE", "HOME"])
def test_cache_that_cannot_be_made(
    tmp_path: Path, clip: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its way: permissions would not stop root."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("POSE3D_CACHE", raising=False)
    env = {variable: str(blocked), "PIP_NO_INDEX": "1"}
    said = pose3d("run", clip, "-o", tmp_path / "out", env=env)
    assert said.returncode == 1
    assert "POSE3D_CACHE" in said.stderr
    assert str(blocked) in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_drawing_with_no_home_is_silent(tmp_path: Path, clip: str) -> None:
    go(clip, tmp_path / "out", render="none")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result, env = tmp_path / "out/walk/pose.npz", {"HOME": str(blocked)}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        env[name] = str(blocked) if name != "MPLCONFIGDIR" else str(blocked / "mpl")
    said = pose3d("render", result, "--mode", "3d", "-o", tmp_path / "x.mp4", env=env)
    assert (said.returncode, said.stderr) == (0, "")


def test_errors_have_one_base() -> None:
    assert issubclass(NoMemoryError, Pose3DError)
