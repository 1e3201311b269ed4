"""Runs that are stopped at random moments, and two runs over the same folder."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import resource
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
from pose3d.pipeline.batch.overview import FAILED_NAME
from pose3d.pipeline.batch.state import STATE_NAME, read_state
from pose3d.pipeline.batch.watch import Outcome, Watcher
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


def check_progress(out: Path, before: dict[Path, int]) -> dict[Path, int]:
    """Checks that what was finished is whole and was not made again; returns what is finished now."""
    finished = times_of_finished(out)
    assert before.items() <= finished.items()
    return finished


def check_next_run(clips: Path, out: Path, before: dict[Path, int]) -> None:
    """Checks that the next run completes everything and leaves nothing else."""
    outcomes = go(clips, out)
    assert all(outcome.status in ("done", "updated", "kept") for outcome in outcomes)
    check_progress(out, before)
    for name in NAMES:
        left = {path.name for path in (out / name).iterdir()}
        assert left == {STATE_NAME, "pose.npz", "pose.json", f"{name}.mp4"}


@pytest.mark.parametrize(("seed", "end"), [*((s, "kill") for s in range(4)), (4, "terminate")])
def test_nothing_is_lost_or_half_done_after_a_signal(
    tmp_path: Path, clips: Path, seed: int, end: str
) -> None:
    """SIGKILL and SIGTERM."""
    draw, out = random.Random(seed), tmp_path / "out"
    before: dict[Path, int] = {}
    for _ in range(3):
        run, answer = start(clips, out)
        answer.poll(draw.uniform(0, 2.5))
        getattr(run, end)()
        run.join()
        before = check_progress(out, before)
    check_next_run(clips, out, before)


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_or_half_done_on_a_full_disk(tmp_path: Path, seed: int) -> None:
    """The disk is full at random sizes of a file, of the lock and the state too."""
    draw, out = random.Random(seed), tmp_path / "out"
    clip = str(make_clip(tmp_path / "1.mp4", size_wh=fakes.SIZE_WH, n_frames=6).path)
    # Smaller than the drawing, so that it may be finished where the drawing is not.
    outputs = OutputOptions(output=str(out), format=("json",))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before: dict[Path, int] = {}
    for most in sorted(draw.randrange(10, 9_000) for _ in range(5)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            (outcome,) = run_batch(find_inputs([clip]), None, outputs, load=fakes.load_fakes)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        left = {path.name for path in (out / "1").iterdir()} - {STATE_NAME, "pose.json", "1.mp4"}
        assert left <= {FAILED_NAME}, outcome
        before = check_progress(out, before)
    (outcome,) = run_batch(find_inputs([clip]), None, outputs, load=fakes.load_fakes)
    assert outcome.status in ("done", "updated", "kept")
    check_progress(out, before)
    assert {path.name for path in (out / "1").iterdir()} == {STATE_NAME, "pose.json", "1.mp4"}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_nothing_is_lost_or_half_done_after_a_worker_died(
    tmp_path: Path, clips: Path, seed: int
) -> None:
    draw, out = random.Random(seed), tmp_path / "out"
    moment = draw.randrange(12)

    class Killer(Watcher):
        """Kills one of the workers when it has heard a number of things."""

        heard = 0

        def progress(self, *_: object) -> None:
            self.heard += 1
            if self.heard == moment + 1:
                workers = [p for p in multiprocessing.active_children() if p.name == "pose3d-job"]
                draw.choice(sorted(workers, key=lambda p: p.pid or 0)).kill()

    killer, outputs = Killer(), OutputOptions(output=str(out))
    sources = find_inputs([str(clips)])
    try:
        outcomes = run_batch(sources, None, outputs, jobs=2, load=fakes.load_fakes, watcher=killer)
    except Pose3DError:  # it died before its networks were loaded, which ends the run
        pass
    else:
        statuses = [outcome.status for outcome in outcomes]
        assert statuses.count("failed") <= 1
        assert statuses.count("done") >= 2
    assert killer.heard > moment
    check_next_run(clips, out, check_progress(out, {}))


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


@pytest.mark.parametrize("finished", [True, False])
def test_clips_of_another_run_are_looked_at_again(
    tmp_path: Path, clips: Path, finished: bool
) -> None:
    """The other run has finished its clip, or stopped, when ours comes to its last one."""
    out, sources = tmp_path / "out", find_inputs([str(clips)])
    outputs = OutputOptions(output=str(out))
    (out / "2").mkdir(parents=True)
    held = contextlib.ExitStack()
    held.enter_context(lock_folder(out / "2"))

    class Other(RunReport):
        def started(self, number: int) -> None:
            super().started(number)
            if number == 2:
                held.close()
                if finished:
                    run_batch(sources[1:2], None, outputs, load=fakes.load_fakes)

    report = Other(sources, quiet=True, verbose=False)
    outcomes = run_batch(sources, None, outputs, load=fakes.load_fakes, watcher=report)
    assert [o.status for o in outcomes] == ["done", "kept" if finished else "done", "done"]
    assert [report.outcomes[number] for number in range(3)] == outcomes


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
    assert said.err.count(f"is being written by process {os.getpid()}") == 1
    broken = Outcome(source=sources[0], status="failed", folder=out, error=Pose3DError("x"))
    assert exit_code([*outcomes, broken]) == 1
