"""What ``pose3d batch`` tells of an output folder, and what it works on again."""

from __future__ import annotations

import csv
import json
import os
import socket
from pathlib import Path

import pytest

from pose3d.errors import UsageError
from pose3d.files import LOCK_NAME
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.overview import (
    FAILED_NAME,
    SUMMARY_NAME,
    failed_clips,
    look_at_clips,
)
from pose3d.pipeline.batch.shards import take_shard
from pose3d.video.sources import find_inputs
from tests.support import fakes
from tests.support.clips import make_clip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def go(folder: Path, out: Path, **changes: object) -> list[str]:
    outputs = OutputOptions(output=str(out), format=("csv",), render="none")
    found = find_inputs([folder])
    return [o.status for o in run_batch(found, None, outputs, load=fakes.load_fakes, **changes)]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("1", "3"):
        make_clip(tmp_path / f"in/{name}.mp4", size_wh=fakes.SIZE_WH, n_frames=4)
    (tmp_path / "in" / "2.mp4").write_text("no video at all")
    return tmp_path / "in"


def statuses(out: Path) -> dict[str, str]:
    return {row.clip: row.status for row in look_at_clips(out)}


def test_done_and_failed_are_told_with_reasons(clips: Path, out: Path) -> None:
    assert go(clips, out) == ["done", "failed", "done"]
    rows = {row.clip: row for row in look_at_clips(out)}
    assert {n: r.status for n, r in rows.items()} == {"1": "done", "2": "failed", "3": "done"}
    assert (rows["1"].people, rows["1"].frames) == (1, 4)
    assert rows["1"].seconds is not None
    assert "2.mp4" in rows["2"].error
    with (out / SUMMARY_NAME).open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["clip"], row["status"]) for row in table] == [
        ("1", "done"),
        ("2", "failed"),
        ("3", "done"),
    ]
    assert table[1]["error"] == rows["2"].error


def test_lost_file_and_unfinished_clip_are_left(clips: Path, out: Path) -> None:
    go(clips, out)
    (out / "1" / "pose.csv").unlink()
    (out / "3" / "pose.csv").write_text("cut")
    assert statuses(out) == {"1": "left", "2": "failed", "3": "left"}


def test_other_shares_are_left_until_they_ran(clips: Path, out: Path) -> None:
    mine = [find_inputs([clips])[n].stem for n in take_shard(find_inputs([clips]), 1, 2)]
    assert 0 < len(mine) < 3
    go(clips, out, shard="1/2")
    assert {clip for clip, status in statuses(out).items() if status == "left"} == (
        {"1", "2", "3"} - set(mine)
    )
    go(clips, out, shard="2/2")
    assert statuses(out) == {"1": "done", "2": "failed", "3": "done"}


def test_locked_folder_is_running_while_its_process_lives(clips: Path, out: Path) -> None:
    go(clips, out)
    lock = out / "1" / LOCK_NAME
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": "now"}
    lock.write_text(json.dumps(holder))
    assert statuses(out)["1"] == "running"
    lock.write_text(json.dumps({**holder, "host": "another machine"}))
    assert statuses(out)["1"] == "running"
    lock.write_text(json.dumps({**holder, "pid": 2**22 + 1}))  # above the largest there can be
    assert statuses(out)["1"] == "done"


def test_retry_takes_the_failed_clips_with_their_options(clips: Path, out: Path) -> None:
    options = RunOptions(smooth_strength=0.25, person="largest")
    outputs = OutputOptions(output=str(out), format=("csv",), render="none")
    run_batch(find_inputs([clips]), options, outputs, load=fakes.load_fakes)
    (run,) = failed_clips(out)
    assert [source.stem for source in run.sources] == ["2"]
    assert (run.options, run.outputs) == (options, outputs)
    make_clip(clips / "2.mp4", size_wh=fakes.SIZE_WH, n_frames=4)
    (outcome,) = run_batch(run.sources, run.options, run.outputs, load=fakes.load_fakes)
    assert outcome.status == "done"
    assert not (out / "2" / FAILED_NAME).exists()
    assert statuses(out) == {"1": "done", "2": "done", "3": "done"}
    assert failed_clips(out) == []


def test_folders_of_others_and_damaged_lists_are_refused(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(UsageError):
        look_at_clips(tmp_path)
    go(clips, tmp_path / "out")
    (path,) = (tmp_path / "out").glob(".pose3d-run-*.json")
    path.write_text(path.read_text()[:-30])
    with pytest.raises(UsageError, match=path.name):
        look_at_clips(tmp_path / "out")
