"""Runs that are killed at random moments, and two runs over the same folder."""

from __future__ import annotations

import multiprocessing
import os
import random
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from pose3d.cli.report import RunReport
from pose3d.cli.run import exit_code
from pose3d.errors import Pose3DError
from pose3d.files import lock_folder
from pose3d.options import OutputOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.state import STATE_NAME, read_state
from pose3d.pipeline.batch.watch import Outcome
from pose3d.result.record import load
from pose3d.video.reader import open_video
from pose3d.video.sources import find_inputs
from tests.support import fakes
from tests.support.clips import make_clip

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.pipeline.test_killed", "tests.support.fakes"])


def _run(clips: Path, out: Path, answer: Connection) -> None:
    answer.send([outcome.status for outcome in go(clips, out)])


NAMES = ("1", "2", "3")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "clips").mkdir(exist_ok=True)
        make_clip(tmp_path / f"clips/{name}.mp4", size_wh=fakes.SIZE_WH, n_frames=6)
    return tmp_path / "clips"


def start(clips: Path, out: Path) -> tuple[BaseProcess, Connection]:
    """Starts a run in a process of its own, which has imported everything already."""
    ours, theirs = _FORKS.Pipe()
    run = _FORKS.Process(target=_run, args=(clips, out, theirs))
    run.start()
    theirs.close()
    return run, ours


def go(clips: Path, out: Path) -> list[Outcome]:
    sources = find_inputs([str(clips)])
    return run_batch(sources, None, OutputOptions(output=str(out)), load=fakes.load_fakes)


def times_of_finished(out: Path) -> dict[Path, int]:
    """Returns when each file was written that the state of its folder calls finished; reads them all."""
    found = {}
    for state_file in out.glob(f"*/{STATE_NAME}"):
        state = read_state(state_file.parent)
        assert state is not None
        for name, size in state.files.items():
            path = state_file.parent / name
            assert path.stat().st_size == size
            if path.suffix == ".mp4":
                with open_video(path) as video:
                    assert sum(1 for _ in video) == 6
            else:
                assert load(path).n_frames == 6
            found[path] = path.stat().st_mtime_ns
    return found


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_half_done_after_kill(tmp_path: Path, clips: Path, seed: int) -> None:
    draw, out = random.Random(seed), tmp_path / "out"
    before: dict[Path, int] = {}
    for _ in range(3):
        run, answer = start(clips, out)
        answer.poll(draw.uniform(0, 2.5))
        run.kill()
        run.join()
        finished = times_of_finished(out)
        # What was finished once is there and was not made again.
        assert before.items() <= finished.items()
        before = finished
    outcomes = go(clips, out)
    assert all(outcome.status in ("done", "updated", "kept") for outcome in outcomes)
    finished = times_of_finished(out)
    assert before.items() <= finished.items()
    for name in NAMES:
        left = {path.name for path in (out / name).iterdir()}
        assert left == {STATE_NAME, "pose.npz", "pose.json", f"{name}.mp4"}


def test_two_runs_share_the_work(tmp_path: Path, clips: Path) -> None:
    out = tmp_path / "out"
    runs = [start(clips, out) for _ in range(2)]
    said = [answer.recv() for _, answer in runs]
    for run, _ in runs:
        run.join()
    for column in zip(*said, strict=True):
        assert set(column) <= {"done", "kept", "busy"}
        assert column.count("done") == 1
    assert [outcome.status for outcome in go(clips, out)] == ["kept"] * 3


def test_busy_clips_are_neither_done_nor_failed(
    tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "2").mkdir(parents=True)
    sources = find_inputs([str(clips)])
    outputs = OutputOptions(output=str(out))
    with (
        lock_folder(out / "2"),
        RunReport(sources, quiet=False, verbose=False) as report,
    ):
        outcomes = run_batch(sources, None, outputs, load=fakes.load_fakes, watcher=report)
    report.print_summary()
    said = capsys.readouterr()
    assert [outcome.status for outcome in outcomes] == ["done", "busy", "done"]
    assert exit_code(outcomes) == 0
    assert "1 clip is being worked on by another run" in said.out
    assert f"is being written by process {os.getpid()}" in said.err
    broken = Outcome(source=sources[0], status="failed", folder=out, error=Pose3DError("x"))
    assert exit_code([*outcomes, broken]) == 1
