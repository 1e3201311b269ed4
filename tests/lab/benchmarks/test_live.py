"""``pose3d bench live``: what is asked of the lifters, and what a user reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.device import torch_threads
from pose3d.lab.benchmarks import live
from tests.support import fakes


class Counted(fakes.FakeLifter):
    """Remembers the windows that it was asked for."""

    def lift_windows(self, keypoints_px, *rest, flip_test=True, **more):
        asked.append((keypoints_px.shape, flip_test))
        return super().lift_windows(keypoints_px, *rest, **more)


asked: list[tuple[tuple[int, ...], bool]] = []


def test_everybody_is_lifted_at_once_with_and_without_the_mirror(monkeypatch):
    asked.clear()
    monkeypatch.setattr(live, "make_lifter", lambda name, device: Counted())
    (row,) = live.bench_live(["any"], people=(1, 3), repeat=2, threads=1)
    shapes = [(1, 9, 17, 2), (3, 9, 17, 2)]
    assert asked == [(shape, flip) for flip in (True, False) for shape in shapes] * 3
    assert row["frames"] == 9
    for column in ("ms", "ms_no_flip"):
        assert list(row[column]) == ["1", "3"]
        assert all(t > 0 for t in row[column].values())


def test_the_median_of_the_turns_counts(monkeypatch):
    """A clock that says so: turns of 5, 1 and 3 ms after a first one of 100."""
    times = iter(np.cumsum([0, 0.1, 0, 0.005, 0, 0.001, 0, 0.003]))
    monkeypatch.setattr("pose3d.lab.benchmarks.keypoints.time.perf_counter", lambda: next(times))
    found = live.run_in_turn({"job": lambda: None}, 3)["job"]
    assert [round(wall) for wall, _ in found] == [5, 1, 3]


def test_all_shipped_weights_are_timed():
    done = CliRunner().invoke(app, ["bench", "live", "--people", "1", "--repeat", "1", "--json"])
    assert done.exit_code == 0, done.output
    names = {row["name"] for row in json.loads(done.output)}
    assert {"hot-mixste.free27", "residual.free1"} <= names


def test_command_prints_a_table_and_refuses_strangers():
    shell = CliRunner()
    done = shell.invoke(
        app, ["bench", "live", "residual", "--people", "1,2", "--repeat", "1", "--threads", "1"]
    )
    assert done.exit_code == 0, done.output
    assert "no flip test (2)" in " ".join(done.output.split())
    assert "all together" in done.output
    wrong = shell.invoke(app, ["bench", "live", "residuel"])
    assert wrong.exit_code == 2
    assert "Did you mean 'residual'" in wrong.output + wrong.stderr


def test_threads_are_given_back():
    import torch

    before = torch.get_num_threads()

    def fail_inside() -> None:
        with torch_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before
