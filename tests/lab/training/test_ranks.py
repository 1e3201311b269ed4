"""Ranks: two processes train as one does, draw what the other does not, and end together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import H36M17
from pose3d.errors import DeviceError, UsageError
from pose3d.lab.datasets.sequences import LabelledSequence
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.clips import ClipData
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.ranks import (
    ALONE,
    Ranks,
    pick_rank_device,
    ranks_from_environment,
    threads_of_rank,
)
from pose3d.lab.training.recipe import ClipOptions
from tests.lab.training.test_people import tiny_recipe as tiny_people
from tests.support import ROOT
from tests.support.people_files import write_lspet
from tests.support.ranks_worker import RANDOM, GivenData, step_with
from tests.support.training import tiny_recipe, write_motions, write_tracks

PAIR = (Ranks(rank=0, world=2), Ranks(rank=1, world=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    write_motions(folder / "motions.npz")
    write_tracks(folder / "tracks.npz", noise_px=3.0)
    return folder


@pytest.fixture(scope="module")
def out(folder):
    """What two processes leave behind; see tests/support/ranks_worker.py."""
    out = folder / "out"
    out.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "tests.support.ranks_worker", str(folder), str(out)]
        processes.append(
            subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        )
    try:
        ended = [p.communicate(timeout=300)[1] for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stderr.close()
    assert [p.returncode for p in processes] == [0, 3], "\n".join(ended)
    return out


@pytest.fixture(scope="module")
def found(out):
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_processes_learn_what_one_learns(found, tmp_path):
    """The same windows, split: gradients and weights of one process that sees them all."""
    alone = step_with(GivenData(), tmp_path, ALONE)
    for rank in range(2):
        split = found[rank]["split"]
        for name, expected in alone["gradients"].items():
            scale = float(expected.abs().max())
            torch.testing.assert_close(
                split["gradients"][name], expected, rtol=1e-4, atol=1e-5 * scale, msg=name
            )
        for name, expected in alone["weights"].items():
            # Adam makes a step of one size even of gradients that are rounding alone.
            off = (split["weights"][name] - expected).abs()
            assert float(off.median()) < 1e-6, name
    for name, value in found[0]["split"]["weights"].items():
        assert torch.equal(found[1]["split"]["weights"][name], value), name


def test_interrupted_training_goes_on_to_the_bit(found):
    """In both processes; they hold the same weights, averages and moments all the time."""
    for rank in range(2):
        whole, parts = found[rank]["whole"], found[rank]["parts"]
        assert whole.keys() == parts.keys() == found[0]["whole"].keys()
        for name, value in whole.items():
            assert torch.equal(parts[name], value), name
            assert torch.equal(found[0]["whole"][name], value), name


def test_the_first_process_alone_writes(out, found):
    assert len(found) == 2
    for run in ("whole", "parts"):
        names = sorted(p.name for p in (out / run).iterdir())
        assert names == ["best.safetensors", "last.pt", "log.csv"]
    lines = (out / "whole" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "4"]


def test_what_they_tell_each_other(found):
    for rank in range(2):
        # Rows 0, 1, 2, 3 in the first process and 1, 2, 3, 4 in the other have means 1.5 and 2.5.
        assert found[rank]["norm"].tolist() == [2.0, 2.0, 2.0]
        assert found[rank]["any"] == [True, False]
        assert found[rank]["mean"] == {"a": 1.5, "b": 4.0}
        assert found[rank]["error"] == "Only one has lost it. Look there."


def test_who_loses_the_other_says_so(found):
    assert found[0]["lost"].startswith("Process 0 of 2 lost the connection to another (Connection")
    assert ".cc" not in found[0]["lost"]


# -- what each of them draws -----------------------------------------------------------------------


def test_windows_differ_between_processes_and_steps(found):
    """What the trainers drew in four steps: half a batch each, no window twice."""
    drawn = [found[rank]["drawn"][step] for rank in range(2) for step in range(4)]
    assert all(len(part) == RANDOM.batch // 2 for part in drawn)
    windows = torch.cat(drawn).flatten(1)
    assert len(torch.unique(windows, dim=0)) == len(windows)


def test_windows_depend_on_seed_step_and_process(found, folder):
    """They can be drawn again without what came before."""
    for ranks in PAIR:
        data = load_training_data(RANDOM, folder, "cpu", ranks)
        rng = torch.Generator().manual_seed(ranks.seeds(RANDOM.seed, 3)[0])
        assert torch.equal(data.draw(RANDOM, 3, rng)[0], found[ranks.rank]["drawn"][3])


def test_people_of_a_step_are_split(tmp_path):
    write_lspet(tmp_path / "lspet.npz")
    recipe = tiny_people()
    alone = load_training_data(recipe, tmp_path, "cpu")
    parts = [load_training_data(recipe, tmp_path, "cpu", ranks) for ranks in PAIR]
    assert parts[0].steps_per_epoch == alone.steps_per_epoch
    for step in range(3):
        rows = [p.ranks.part(p.rows_of(step)) for p in parts]
        assert sorted(np.concatenate(rows)) == sorted(alone.rows_of(step))
        crops = [p.draw(recipe, step, torch.Generator())[0] for p in parts]
        assert [len(c) for c in crops] == [2, 2]
        again = load_training_data(recipe, tmp_path, "cpu", PAIR[1]).draw(
            recipe, step, torch.Generator()
        )[0]
        assert torch.equal(again, crops[1])
    # The same person would get another crop in the other process.
    assert len({tuple(r.seeds(0, 0)) for r in (ALONE, *PAIR)}) == 3


def test_windows_of_an_epoch_are_split():
    """Human3.6M's loop: every window once, in equal shares, the one left over waits."""
    rng = np.random.default_rng(0)
    frames = 25
    sequence = LabelledSequence(
        subject="S1",
        action="Walking",
        camera="1",
        skeleton=H36M17,
        keypoints_px=rng.uniform(0, 900, (frames, 17, 2)).astype(np.float32),
        score=np.ones((frames, 17), np.float32),
        joints_cam_m=rng.normal(size=(frames, 17, 3)).astype(np.float32),
        valid=np.ones(frames, bool),
        size_wh=(1000, 1000),
        focal_px=1100.0,
        rate=None,
    )
    recipe = tiny_recipe(
        clips=ClipOptions(subjects=("S1",), stride=1, flip="none"),
        sizes={"channels_in": 2},
        batches=BatchOptions(frames=3),
        normalisation="screen",
        batch=4,
    )

    def epoch(ranks: Ranks) -> list[torch.Tensor]:
        data = ClipData(recipe, [sequence], "cpu", ranks)
        return [
            data.draw(recipe, step, torch.Generator())[0] for step in range(data.steps_per_epoch)
        ]

    parts = [epoch(ranks) for ranks in PAIR]
    assert [len(p) for p in parts[0]] == [len(p) for p in parts[1]] == [2, 2, 2, 2, 2, 2]
    windows = torch.cat([torch.cat(p) for p in parts]).flatten(1)
    assert len(torch.unique(windows, dim=0)) == len(windows) == 24
    assert sum(map(len, epoch(ALONE))) == 25


# -- what is refused -------------------------------------------------------------------------------


def test_batches_that_do_not_divide_are_refused(folder):
    with pytest.raises(UsageError, match="batch=4"):
        load_training_data(replace(RANDOM, batch=5), folder, "cpu", PAIR[0])
    with pytest.raises(UsageError, match="batch=2"):
        PAIR[0].share(1)


def test_what_torchrun_says_is_understood():
    said = {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }
    expected = Ranks(rank=5, world=8, local_rank=1, local_world=4)
    assert ranks_from_environment(said) == expected
    assert ranks_from_environment({}) == ranks_from_environment({"WORLD_SIZE": "1"}) == ALONE
    with pytest.raises(UsageError, match="LOCAL_RANK"):
        ranks_from_environment({"WORLD_SIZE": "2"})


def test_devices_and_threads_of_processes(monkeypatch):
    one = Ranks(rank=1, world=2, local_rank=1, local_world=2)
    with pytest.raises(UsageError, match="cuda:0"):
        pick_rank_device("cuda:0", one)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_rank_device("auto", one)[0] == "cuda:1"
    assert pick_rank_device("cpu", one)[0] == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError):
        pick_rank_device("auto", one)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert threads_of_rank(one) == 3
    assert threads_of_rank(ALONE) is None
