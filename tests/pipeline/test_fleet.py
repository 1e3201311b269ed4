"""Clips on a Ray cluster: as a local run leaves them, whoever dies on the way."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pose3d.errors import DeviceError, MissingExtraError, UsageError, WeightsError
from pose3d.files import LOCK_NAME, lock_folder
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch import fleet
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.overview import FAILED_NAME
from pose3d.pipeline.batch.state import STATE_NAME
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.video.sources import Source, find_inputs
from tests.support import fakes
from tests.support.clips import make_clip

# Ray leaves files and processes to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A small Ray of this machine, which runs of this module find and to which nodes can be added."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def clips(folder: Path, *names: str, size_wh: tuple[int, int] = fakes.SIZE_WH) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        make_clip(folder / f"{name}.mp4", size_wh=size_wh, n_frames=6)
    return folder


def go(folder: Path, out: Path, load=fakes.load_fakes, **how) -> list[Outcome]:
    outputs = OutputOptions(output=str(out), render="overlay")
    return run_batch(find_inputs([folder]), None, outputs, load=load, **how)


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def holder(lock: Path) -> int | None:
    """Returns the process that holds a lock, if it does still."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(lock.read_bytes())["pid"]
    return None


def is_child(pid: int, parent: int) -> bool:
    with contextlib.suppress(OSError):
        return f"PPid:\t{parent}\n" in Path(f"/proc/{pid}/status").read_text()
    return False


def contents(out: Path) -> dict[str, bytes]:
    """Returns all files below a folder but the states and lists, which know times and paths.

    Of drawings only the names: x264 may make other bytes of the same pictures.
    """
    files = (path for path in out.rglob("*") if path.is_file())
    skipped = (STATE_NAME, "summary.csv")
    return {
        str(path.relative_to(out)): b"" if path.suffix == ".mp4" else path.read_bytes()
        for path in files
        if path.name not in skipped and not path.name.startswith(".pose3d-run-")
    }


@pytest.mark.extra_ray
def test_results_are_those_of_a_local_run_and_either_resumes_the_other(
    tmp_path: Path, cluster: object
) -> None:
    folder = clips(tmp_path / "in", "1", "2", "3", "4")
    ours, local = tmp_path / "ray", tmp_path / "local"
    outcomes = go(folder, ours, engine="ray")
    assert statuses(outcomes) == ["done"] * 4
    assert [o.folder for o in outcomes] == [ours / name for name in "1234"]
    assert statuses(go(folder, local)) == ["done"] * 4
    assert contents(ours) == contents(local)
    assert len(contents(ours)) == 12
    (ours / "2" / "2.mp4").unlink()
    (ours / "3" / "pose.npz").unlink()
    assert statuses(go(folder, ours)) == ["kept", "updated", "done", "kept"]
    (local / "2" / "2.mp4").unlink()
    (local / "3" / "pose.npz").unlink()
    assert statuses(go(folder, local, engine="ray")) == ["kept", "updated", "done", "kept"]
    assert contents(ours) == contents(local)


@pytest.mark.extra_ray
def test_bad_clips_do_not_stop_good_ones(tmp_path: Path, cluster: object) -> None:
    folder = clips(tmp_path / "in", "1", "5")
    clips(folder, "2", size_wh=fakes.DEADLY_WH)
    clips(folder, "3", size_wh=fakes.BROKEN_WH)
    (folder / "4.mp4").write_text("no video at all")
    warned: list[int] = []

    class Listening(Watcher):
        def warn(self, number: int, text: str) -> None:
            warned.append(number) if "died" in text else None

    outcomes = go(folder, tmp_path / "out", engine="ray", watcher=Listening())
    assert statuses(outcomes) == ["done", "failed", "failed", "failed", "done"]
    assert warned == [1] * fleet.RETRIES
    assert f"died {fleet.RETRIES + 1} times" in str(outcomes[1].error)
    assert "ValueError: a mistake" in outcomes[2].trace
    assert (tmp_path / "out" / "2" / FAILED_NAME).exists()


@pytest.mark.extra_ray
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_workers_cost_nothing(tmp_path: Path, cluster: object, seed: int) -> None:
    """The worker of a clip is killed at a random moment, three times."""
    draw = random.Random(seed)
    folder, out = clips(tmp_path / "in", *"123456"), tmp_path / "out"
    over, killed = threading.Event(), []

    def kill() -> None:
        while not over.is_set() and len(killed) < 3:
            time.sleep(0.002)
            locks = [lock for lock in out.glob(f"*/{LOCK_NAME}") if lock.parent not in killed]
            lock = draw.choice(locks) if locks else None
            if lock is not None and (pid := holder(lock)) is not None:
                time.sleep(draw.uniform(0, 0.1))
                os.kill(pid, signal.SIGKILL)
                killed.append(lock.parent)
                time.sleep(1)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = go(folder, out, engine="ray")
    over.set()
    killer.join()
    assert killed
    assert set(statuses(outcomes)) <= {"done", "updated", "kept"}
    assert statuses(go(folder, out, load=fakes.refuse_to_load)) == ["kept"] * 6
    go(folder, tmp_path / "local")
    assert contents(out) == contents(tmp_path / "local")  # no parts, locks or notes either


@pytest.mark.extra_ray
def test_the_clips_of_a_node_that_dies_are_done_elsewhere(tmp_path: Path, cluster: Any) -> None:
    """A node goes with its worker in the middle of a clip, and does not come back."""
    folder, out = clips(tmp_path / "in", *"0123456789ab"), tmp_path / "out"
    node = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    (raylet,) = node.all_processes["raylet"]
    over, lost = threading.Event(), []

    def remove() -> None:
        while not over.is_set() and not lost:
            time.sleep(0.002)
            for lock in out.glob(f"*/{LOCK_NAME}"):
                pid = holder(lock)
                if pid is not None and is_child(pid, raylet.process.pid):
                    os.kill(pid, signal.SIGKILL)
                    cluster.remove_node(node, allow_graceful=False)
                    lost.append(lock.parent)
                    break

    remover = threading.Thread(target=remove)
    remover.start()
    outcomes = go(folder, out, engine="ray")
    over.set()
    remover.join()
    assert lost
    assert set(statuses(outcomes)) <= {"done", "updated", "kept"}
    go(folder, tmp_path / "local")
    assert contents(out) == contents(tmp_path / "local")


@pytest.mark.extra_ray
def test_what_workers_tell_is_collected_on_this_machine(cluster: Any) -> None:
    """On another one it would be lost when that one dies, and with it the progress of all."""
    import ray

    node = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    all_news = [fleet._open_news(ray) for _ in range(6)]
    ask = [
        news.actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id())
        for news in all_news
    ]
    places = set(ray.get(ask))
    for news in all_news:
        news.shutdown(force=True)
    cluster.remove_node(node)
    assert places == {ray.get_runtime_context().get_node_id()}


@pytest.mark.extra_ray
def test_ctrl_c_stops_the_workers_in_their_way(tmp_path: Path, cluster: object) -> None:
    folder, out = clips(tmp_path / "in", "1", "2"), tmp_path / "out"
    make_clip(folder / "3.mp4", size_wh=fakes.SIZE_WH, n_frames=2000)

    class Stopping(Watcher):
        def progress(self, number: int, stage: str, done: int, total: int) -> None:
            if number == 2 and done > 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(folder, out, engine="ray", watcher=Stopping())
    assert list((out / "3").iterdir()) == []
    make_clip(folder / "3.mp4", size_wh=fakes.SIZE_WH, n_frames=6)
    assert statuses(go(folder, out))[2] == "done"


@pytest.mark.extra_ray
def test_missing_weights_stop_the_run(tmp_path: Path, cluster: object) -> None:
    with pytest.raises(WeightsError, match="not on this machine"):
        go(clips(tmp_path / "in", "1", "2"), tmp_path / "out", fakes.fail_to_load, engine="ray")


def test_the_lock_of_a_dead_worker_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared file system or a store finds out later than Ray that a machine is gone."""
    monkeypatch.setattr(fleet, "_sender", lambda news: lambda event: None)
    monkeypatch.setattr(fleet, "LOOK_AGAIN_S", 0.1)
    (source,) = find_inputs([clips(tmp_path / "in", "1")])
    outputs, folder = OutputOptions(output=str(tmp_path), render="none"), tmp_path / "1"
    worker = fleet._Worker(
        fleet._Setup(
            options=RunOptions(),
            outputs=outputs,
            load=fakes.load_fakes,
            needed=False,
            folder=os.getcwd(),
            hide_gpus=False,
        )
    )
    folder.mkdir()
    with lock_folder(folder):
        assert worker.work(0, source, None, again=False).status == "busy"
        found: list[Outcome] = []
        waiting = threading.Thread(target=lambda: found.append(worker.work(0, source, None, True)))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join(20)
    assert statuses(found) == ["done"]


@pytest.mark.parametrize(
    ("changes", "jobs", "expected"),
    [
        ({}, None, (10, 1, 0, 2)),
        ({"threads": 4}, None, (2, 4, 0, 1)),
        ({"threads": 4}, 7, (7, 4, 0, 1)),
        ({"device": "cuda"}, None, (2, 4, 1, 1)),
        ({"device": "cuda", "threads": 8}, None, (1, 8, 1, 1)),
    ],
)
def test_as_many_workers_as_there_is_room_for(
    changes: dict, jobs: int | None, expected: tuple[int, int, int, int]
) -> None:
    room = fleet._find_room(_cluster(), RunOptions(**changes), jobs)
    assert (room.workers, room.cores, room.gpus, room.machines) == expected


def _cluster() -> SimpleNamespace:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {}},
    ]
    return SimpleNamespace(nodes=lambda: nodes)


def test_a_cluster_without_room_is_refused() -> None:
    with pytest.raises(DeviceError, match="16 cores"):
        fleet._find_room(_cluster(), RunOptions(threads=16), None)
    with pytest.raises(UsageError, match="--device cuda"):
        fleet._find_room(_cluster(), RunOptions(device="cuda:1"), None)


def test_an_address_without_a_cluster_is_told(tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError("no such place\nmore")

    module = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    with (
        pytest.raises(UsageError, match=r"Ray cluster 10\.0\.0\.1:6379 cannot .*\(no such place\)"),
        fleet._connected(module, "10.0.0.1:6379"),
    ):
        pass


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="--engine ray needs the package ray"):
        go(clips(tmp_path / "in", "1"), tmp_path / "out", engine="ray")


def test_what_ray_cannot_do_is_refused_first(tmp_path: Path) -> None:
    out = OutputOptions(output=str(tmp_path / "out"))
    camera = [Source(path="0", kind="camera", stem="camera-0")]
    with pytest.raises(UsageError, match="camera"):
        run_batch(camera, RunOptions(duration=1.0), out, engine="ray")
    folder = clips(tmp_path / "in", "1")
    with pytest.raises(UsageError, match="no engine named 'spark'"):
        run_batch(find_inputs([folder]), None, out, engine="spark")
    with pytest.raises(UsageError, match="--engine ray"):
        run_batch(find_inputs([folder]), None, out, ray_address="auto")
