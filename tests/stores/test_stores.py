"""Clips and results in stores: a store in memory and a local S3 server."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pose3d.errors import FolderBusyError, MissingExtraError, StoreError, UsageError, VideoError
from pose3d.files import LOCK_NAME
from pose3d.options import OutputOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.overview import look_at_clips
from pose3d.pipeline.batch.state import STATE_NAME
from pose3d.pipeline.batch.watch import Outcome
from pose3d.stores import folders, places, staging
from pose3d.stores.folders import hold, read_text, sizes_in, write_text
from pose3d.stores.places import hide_secrets, insist, store_of, to_place
from pose3d.video.reader import open_video
from pose3d.video.sources import find_inputs
from tests.support import fakes
from tests.support.clips import make_clip, write_images

pytestmark = pytest.mark.extra_remote
KEY, SECRET = "AKIAPOSE3DTEST", "do-not-print-this-secret"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("upath", reason="needs the extra remote")
    monkeypatch.setattr(places, "PAUSE_S", 0.01)


@pytest.fixture
def memory() -> Iterator[str]:
    """The address of an empty store in memory."""
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield "memory://"
    store.store.clear()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A local S3 server."""
    pytest.importorskip("s3fs", reason="needs the extra remote")
    moto = pytest.importorskip("moto.server", reason="needs moto with Flask")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, whose credentials come from where S3's library looks."""
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": server,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    if store.exists("pose3d-test"):
        store.rm("pose3d-test", recursive=True)
    store.mkdir("pose3d-test")
    return "s3://pose3d-test"


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def upload(address: str, *names: str, size_wh: tuple[int, int] = fakes.SIZE_WH) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            local = make_clip(Path(folder) / Path(name).name, size_wh=size_wh, n_frames=6).path
            folders.put(local, to_place(f"{address}/{name}"))


def go(*paths: str, out: str, load=fakes.load_fakes, **changes) -> list[Outcome]:
    outputs = OutputOptions(**{"output": out, "render": "overlay", **changes})
    return run_batch(find_inputs(paths), None, outputs, load=load)


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_results_are_those_of_a_local_run(store: str, tmp_path: Path) -> None:
    upload(f"{store}/in", "a.mp4", "b.mp4")
    for name in ("a.mp4", "b.mp4"):
        staging.fetch(f"{store}/in/{name}", tmp_path / name, size=None)
    before = set(Path(tempfile.gettempdir()).glob("pose3d-*"))
    outcomes = go(f"{store}/in", out=f"{store}/out", format=("npz", "json", "openpose"))
    assert statuses(outcomes) == ["done"] * 2
    assert set(Path(tempfile.gettempdir()).glob("pose3d-*")) <= before
    local = go(str(tmp_path), out=str(tmp_path / "out"), format=("npz", "json", "openpose"))
    for ours, theirs in zip(outcomes, local, strict=True):
        names = sizes_in(ours.folder)
        assert names.keys() == {p.name for p in theirs.folder.iterdir()}
        assert LOCK_NAME not in names
        assert names["pose.openpose"] == 6
        text = read_text(ours.folder / "pose.json")
        assert f'"{store}' in text.replace("memory:///", "memory://")  # the clip, not its copy
        mine, other = (json.loads(t) for t in (text, (theirs.folder / "pose.json").read_text()))
        mine["video"].pop("path"), other["video"].pop("path")
        assert mine == other
        staging.fetch_into(ours.folder / f"{ours.source.stem}.mp4", tmp_path)
        with open_video(tmp_path / f"{ours.source.stem}.mp4") as video:
            assert sum(1 for _ in video) == 6


def test_second_run_keeps_and_completes(store: str) -> None:
    upload(f"{store}/in", "a.mp4")
    where = {"out": f"{store}/out"}
    assert statuses(go(f"{store}/in", **where)) == ["done"]
    assert statuses(go(f"{store}/in", **where, load=fakes.refuse_to_load)) == ["kept"]
    (outcome,) = go(f"{store}/in/a.mp4", **where, load=fakes.refuse_to_load)
    assert (outcome.status, outcome.frames, outcome.people) == ("kept", 6, 1)
    folders.remove(outcome.folder / "a.mp4")
    assert statuses(go(f"{store}/in", **where, load=fakes.refuse_to_load)) == ["updated"]
    write_text(outcome.folder / "pose.npz", "cut")
    assert statuses(go(f"{store}/in", **where)) == ["done"]
    time.sleep(1.1)  # S3 tells whole seconds
    upload(f"{store}/in", "a.mp4", size_wh=fakes.EMPTY_WH)
    (outcome,) = go(f"{store}/in", **where)
    assert (outcome.status, outcome.people) == ("done", 0)


def test_states_come_after_the_files_that_they_name(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(f"{memory}in", "a.mp4")
    put, names = folders.put, []

    def watch(local: Path, path: Path) -> None:
        put(local, path)
        names.append(path.name)
        if path.name == STATE_NAME:
            files = json.loads(read_text(path))["files"]
            assert files.items() <= sizes_in(path.parent).items()

    monkeypatch.setattr(folders, "put", watch)
    monkeypatch.setattr(staging, "put", watch)
    go(f"{memory}in", out=f"{memory}out")
    files = ["pose.npz", "pose.json", "a.mp4"]
    expected = [STATE_NAME, *(name for file in files for name in (file, STATE_NAME))]
    assert [name for name in names if name in (STATE_NAME, *files)] == expected


def test_stores_with_folders_rename_what_was_put(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on SFTP, where a put is no single step."""
    monkeypatch.setattr(folders, "_BUCKETS", set())
    upload(f"{memory}in", "a.mp4")
    filesystem, _ = store_of(to_place(memory))
    put_file, put = filesystem.put_file, []
    monkeypatch.setattr(filesystem, "put_file", lambda a, b: (put.append(b), put_file(a, b)))
    (outcome,) = go(f"{memory}in", out=f"{memory}out", render="none")
    assert outcome.status == "done"
    assert sizes_in(outcome.folder).keys() == {STATE_NAME, "pose.npz", "pose.json"}
    assert put
    assert all(name.endswith(".part") for name in put)
    assert statuses(go(f"{memory}in", out=f"{memory}out", render="none")) == ["kept"]


def test_lists_of_stores_follow_the_rules_of_folders(store: str, tmp_path: Path) -> None:
    upload(f"{store}/in", "img10.mp4", "img2.mp4", "deep/c.mp4", ".hidden.mp4", "old/old.mp4")
    write_text(to_place(f"{store}/in/old/{STATE_NAME}"), "{}")
    write_text(to_place(f"{store}/in/notes.txt"), "no clip")
    write_images(tmp_path / "frames", ["1.png", "2.png"])
    folders.put(tmp_path / "frames", to_place(f"{store}/in/frames"))
    found = find_inputs([f"{store}/in"])
    assert [(s.stem, s.kind) for s in found] == [
        ("img2", "file"),
        ("img10", "file"),
        ("c", "file"),
        ("frames", "images"),
    ]
    assert [s.stem for s in find_inputs([f"{store}/in"], recursive=False)] == ["img2", "img10"]
    assert [s.stem for s in find_inputs([f"{store}/in/*.mp4"])] == ["img2", "img10"]
    assert statuses(go(f"{store}/in/frames", out=str(tmp_path / "out"))) == ["done"]
    for nothing in (f"{store}/in/none.mp4", f"{store}/none"):
        with pytest.raises(VideoError, match="There is no"):
            find_inputs([nothing])
    with pytest.raises(UsageError, match="Nothing matches"):
        find_inputs([f"{store}/in/*.none"])


def test_sidecars_come_along(memory: str, tmp_path: Path) -> None:
    upload(f"{memory}in", "a.mp4")
    go(f"{memory}in/a.mp4", out=str(tmp_path / "out"), render="none")
    matrix = [[500, 0, 60], [0, 500, 48], [0, 0, 1]]
    sidecar = to_place(f"{memory}in/a.camera.json")
    write_text(sidecar, json.dumps({"K": matrix, "size_wh": list(fakes.SIZE_WH)}))
    (outcome,) = go(f"{memory}in/a.mp4", out=str(tmp_path / "out"), render="none")
    assert outcome.status == "done"  # it is another input now
    result = json.loads((outcome.folder / "pose.json").read_text())
    assert result["camera"]["focal_source"] == "sidecar"


def test_damaged_and_vanished_clips_do_not_stop_others(memory: str, tmp_path: Path) -> None:
    upload(f"{memory}in", "a.mp4", "c.mp4", "d.mp4")
    write_text(to_place(f"{memory}in/b.mp4"), "no video at all")
    sources = find_inputs([f"{memory}in"])
    folders.remove(to_place(f"{memory}in/c.mp4"))
    outputs = OutputOptions(output=f"{memory}out", render="none")
    outcomes = run_batch(sources, None, outputs, load=fakes.load_fakes)
    assert statuses(outcomes) == ["done", "failed", "failed", "done"]
    assert "in/b.mp4" in str(outcomes[1].error)
    assert "pose3d-stage" not in str(outcomes[1].error)
    assert "There is no memory:///in/c.mp4" in str(outcomes[2].error)
    rows = {row.clip: row for row in look_at_clips(to_place(f"{memory}out"))}
    assert {n: r.status for n, r in rows.items()} == {
        "a": "done",
        "b": "failed",
        "c": "failed",
        "d": "done",
    }
    assert "in/b.mp4" in rows["b"].error
    assert "b,failed" in read_text(to_place(f"{memory}out/summary.csv"))


def test_two_runs_share_the_work(store: str) -> None:
    upload(f"{store}/in", "a.mp4", "b.mp4")
    with hold(to_place(f"{store}/out/a")):
        with (
            pytest.raises(FolderBusyError, match=f"process {os.getpid()} on"),
            hold(to_place(f"{store}/out/a")),
        ):
            pass
        assert statuses(go(f"{store}/in", out=f"{store}/out")) == ["busy", "done"]
        rows = look_at_clips(to_place(f"{store}/out"))
        assert [row.status for row in rows] == ["running", "done"]
    assert statuses(go(f"{store}/in", out=f"{store}/out")) == ["done", "kept"]


@pytest.mark.parametrize(
    ("changes", "free"),
    [
        ({}, False),
        ({"seen": 0.0}, True),
        ({"host": "another"}, False),
        ({"host": "another", "seen": 0.0}, True),
        ({"pid": 2**22 + 1}, True),  # above the largest there can be
    ],
)
def test_locks_of_the_dead_are_taken_over(memory: str, changes: dict, free: bool) -> None:
    folder = to_place(f"{memory}out/a")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "seen": time.time(), **changes}
    write_text(folder / LOCK_NAME, json.dumps(holder))
    if free:
        with hold(folder):
            assert json.loads(read_text(folder / LOCK_NAME))["pid"] == os.getpid()
        assert sizes_in(folder) == {}
    else:
        with pytest.raises(FolderBusyError), hold(folder):
            pass


def test_locks_are_renewed(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "RENEW_S", 0.05)
    monkeypatch.setattr(folders, "LEASE_S", 0.5)
    folder = to_place(f"{memory}out/a")
    with hold(folder):
        time.sleep(1)
        with pytest.raises(FolderBusyError), hold(folder):
            pass


# -- stores that refuse or break off ---------------------------------------------------------------


def test_what_breaks_off_is_asked_again_with_a_limit() -> None:
    calls: list[int] = []

    def fail(times: int, error: Exception):
        def ask() -> str:
            calls.append(1)
            if len(calls) <= times:
                raise error
            return "answer"

        calls.clear()
        return ask

    assert insist("s3://b/x", fail(places.TRIES - 1, ConnectionResetError("gone"))) == "answer"
    with pytest.raises(StoreError, match=r"s3://b/x was refused.*\(ConnectionResetError: gone\)"):
        insist("s3://b/x", fail(99, ConnectionResetError("gone")))
    assert len(calls) == places.TRIES
    for final in (PermissionError(errno.EACCES, "Access Denied"), FileNotFoundError("x")):
        with pytest.raises((StoreError, FileNotFoundError)):
            insist("s3://b/x", fail(99, final))
        assert len(calls) == 1


def test_a_clip_that_breaks_off_fails_alone(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(f"{memory}in", "a.mp4", "b.mp4", "c.mp4")
    store, _ = store_of(to_place(memory))
    get_file, tried = store.get_file, []

    def cut(path: str, local: str, **how: object) -> None:
        get_file(path, local, **how)
        if "b.mp4" in path or ("c.mp4" in path and "c" not in tried):
            tried.append(Path(path).stem)
            Path(local).write_bytes(Path(local).read_bytes()[:-100])

    monkeypatch.setattr(store, "get_file", cut)
    outcomes = go(f"{memory}in", out=f"{memory}out", render="none")
    assert statuses(outcomes) == ["done", "failed", "done"]
    assert tried.count("b") == places.TRIES
    assert tried.count("c") == 1
    assert "in/b.mp4 was refused or broken off" in str(outcomes[1].error)


def test_clips_larger_than_the_disk_are_not_begun(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(f"{memory}in", "a.mp4")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=staging._LEFT_FREE))
    (outcome,) = go(f"{memory}in", out=str(tmp_path / "out"))
    assert "has room for 0.0" in str(outcome.error)
    assert "TMPDIR" in str(outcome.error)


def test_copies_of_killed_processes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with staging.scratch() as used:
        left = tmp_path / f"{staging._PREFIX}left"
        left.mkdir()
        (left / "walk.mp4").write_text("half a video")
        for old in (used, left):
            os.utime(old, (0, 0))
        with staging.scratch() as mine:
            assert set(tmp_path.iterdir()) == {used, mine}
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there(s3: str, tmp_path: Path) -> None:
    upload(f"{s3}/in", "a.mp4")
    with pytest.raises(StoreError, match="pose3d-none/out is in a bucket that does not exist"):
        go(f"{s3}/in", out="s3://pose3d-none/out", load=fakes.refuse_to_load)


def test_unknown_kinds_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no kind of address"):
        find_inputs(["nonsense://x/a.mp4"])
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(MissingExtraError, match="universal-pathlib"):
        find_inputs(["s3://x/a.mp4"])


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/a.mp4?X-Amz-Signature=abc", "https://host/a.mp4"),
        ("sftp://me:secret@host/a.mp4", "sftp://me@host/a.mp4"),
        ("404, url='https://u:p@host/a.mp4?sig=b' at", "404, url='https://u@host/a.mp4' at"),
        ("s3://bucket/take #2?.mp4", "s3://bucket/take #2?.mp4"),
        ("abfs://container@account/a.mp4", "abfs://container@account/a.mp4"),
        ("clips/what?.mp4", "clips/what?.mp4"),
    ],
)
def test_secrets_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_signed_addresses_work_and_are_kept_nowhere(
    s3: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Web addresses with a signature: the clip is known again by the rest."""
    from pose3d.cli.report import RunReport

    upload(f"{s3}/in", "a.mp4", "b.mp4")
    filesystem, _ = store_of(to_place(s3))
    addresses = [filesystem.sign(f"pose3d-test/in/{name}.mp4") for name in ("a", "b", "none")]
    secret = addresses[0].partition("?")[2]
    assert len(secret) > 20
    sources = find_inputs(addresses)
    assert [source.stem for source in sources] == ["a", "b", "none"]
    outputs = OutputOptions(output=str(tmp_path / "out"), render="none")
    with RunReport(sources, quiet=False, verbose=True) as report:
        outcomes = run_batch(sources, None, outputs, load=fakes.load_fakes, watcher=report)
    report.print_summary()
    assert statuses(outcomes) == ["done", "done", "failed"]
    said = capfd.readouterr()
    files = [path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
    for text in (said.out, said.err, *files):
        for word in (SECRET, KEY, "Signature"):
            assert word not in text
    again = find_inputs([filesystem.sign("pose3d-test/in/a.mp4", expiration=77)])
    assert again[0].path != addresses[0]
    assert statuses(run_batch(again, None, outputs, load=fakes.refuse_to_load)) == ["kept"]
