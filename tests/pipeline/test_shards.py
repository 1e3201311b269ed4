"""Shares of the clips: disjoint, complete, alike on every machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pose3d.errors import UsageError
from pose3d.options import OutputOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.shards import parse_shard, take_shard
from pose3d.video.sources import Source, find_inputs
from tests.support import fakes
from tests.support.clips import make_clip

SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4"}


def sources(*names: str) -> list[Source]:
    return [Source(path=f"/data/{n}", kind="file", stem=n, name=n) for n in names]


@pytest.mark.parametrize(
    ("text", "environment", "share"),
    [
        ("1/1", {}, (1, 1)),
        ("16/16", {}, (16, 16)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, (4, 4)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_MIN": "5"}, (3, 4)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_STEP": "2"}, (4, 4)),
        ("auto/16", {"JOB_COMPLETION_INDEX": "0"}, (1, 16)),
    ],
)
def test_shares_are_read(text: str, environment: dict[str, str], share: tuple[int, int]) -> None:
    assert parse_shard(text, environment) == share


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("0/4", {}),
        ("5/4", {}),
        ("3", {}),
        ("a/b", {}),
        ("-1/4", {}),
        ("auto", {}),
        ("auto", {"JOB_COMPLETION_INDEX": "2"}),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}),
        ("auto", {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "3"}),
        ("auto", {"SLURM_ARRAY_TASK_ID": "9"}),
    ],
)
def test_other_shares_are_refused(text: str, environment: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        parse_shard(text, environment)


def test_shares_are_disjoint_complete_and_of_like_size() -> None:
    clips = sources(*(f"take{n}/clip.mp4" for n in range(400)))
    shares = [take_shard(clips, k, 8) for k in range(1, 9)]
    assert sorted(n for share in shares for n in share) == list(range(400))
    assert all(25 < len(share) < 80 for share in shares)  # 50 expected, 4 deviations


def test_another_clip_moves_no_other() -> None:
    clips = sources(*(f"{n}.mp4" for n in range(50)))
    more = sources("00.mp4") + clips
    for k in (1, 2, 3):
        before = {clips[n].path for n in take_shard(clips, k, 3)}
        after = {more[n].path for n in take_shard(more, k, 3)}
        assert after - before <= {"/data/00.mp4"}
        assert before <= after


def test_names_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    for machine in ("a", "b/mnt"):
        (tmp_path / machine / "in" / "deep").mkdir(parents=True)
        for clip in ("1.mp4", "deep/2.mp4"):
            (tmp_path / machine / "in" / clip).touch()
    names = [[s.name for s in find_inputs([tmp_path / m / "in"])] for m in ("a", "b/mnt")]
    assert names[0] == names[1] == ["1.mp4", "deep/2.mp4"]
    composed, decomposed = "\u00e9.mp4", "e\u0301.mp4"
    for count in range(2, 30):
        assert [take_shard(sources(n), 1, count) for n in (composed, decomposed)] in (
            [[0], [0]],
            [[], []],
        )


def test_shares_make_what_one_run_makes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(5):
        make_clip(tmp_path / f"in/{n}.mp4", size_wh=fakes.SIZE_WH, n_frames=3)
    found = find_inputs([tmp_path / "in"])
    outputs = OutputOptions(output=str(tmp_path / "out"), format=("csv",), render="none")
    done = []
    for k in (1, 2, 3):
        outcomes = run_batch(found, None, outputs, load=fakes.load_fakes, shard=f"{k}/3")
        assert {o.status for o in outcomes} <= {"done"}
        done += [o.source.stem for o in outcomes]
    assert sorted(done) == ["0", "1", "2", "3", "4"]
    again = run_batch(found, None, outputs, load=fakes.refuse_to_load)
    assert [o.status for o in again] == ["kept"] * 5


def test_share_without_clips_is_no_error(tmp_path: Path) -> None:
    make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=3)
    found = [replace(s, name="walk.mp4") for s in find_inputs([tmp_path / "walk.mp4"])]
    outputs = OutputOptions(output=str(tmp_path / "out"))
    empty = [k for k in (1, 2) if not take_shard(found, k, 2)]
    assert len(empty) == 1
    shard = f"{empty[0]}/2"
    assert run_batch(found, None, outputs, load=fakes.refuse_to_load, shard=shard) == []
