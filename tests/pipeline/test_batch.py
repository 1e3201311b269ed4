"""Batches: what is written, kept, made again and refused, whatever goes wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pose3d.errors import ResultFileError, UsageError, WeightsError
from pose3d.files import LOCK_NAME
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline import estimate
from pose3d.pipeline.batch import one_clip
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.overview import FAILED_NAME
from pose3d.pipeline.batch.state import RECORDING_NAME, STATE_NAME
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.render.video import Renderer
from pose3d.result.record import load
from pose3d.video.reader import open_video
from pose3d.video.sources import Source, find_inputs
from tests.support import ROOT, fakes
from tests.support.clips import make_clip
from tests.support.grids import grid


def clip(folder: Path, name: str = "walk.mp4", size_wh: tuple[int, int] = fakes.SIZE_WH) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return str(make_clip(folder / name, size_wh=size_wh, n_frames=6).path)


def go(
    *paths: str, out: Path, load=fakes.load_fakes, options: RunOptions | None = None, **changes
) -> list[Outcome]:
    outputs = replace(OutputOptions(output=str(out)), **changes)
    return run_batch(find_inputs(paths), options, outputs, load=load)


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def names(folder: Path) -> set[str]:
    """Returns what lies in a folder, hidden files included."""
    return {path.name for path in folder.iterdir()}


FINISHED = {STATE_NAME, "pose.npz", "pose.json", "walk.mp4"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# -- what a run leaves -----------------------------------------------------------------------------


def test_leaves_result_and_drawing(tmp_path: Path, out: Path) -> None:
    made = make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=6, rate=25)
    (outcome,) = go(str(made.path), out=out)
    assert (outcome.status, outcome.people, outcome.frames) == ("done", 1, 6)
    assert names(out / "walk") == FINISHED
    for name in ("pose.npz", "pose.json"):
        pose = load(out / "walk" / name)
        np.testing.assert_allclose(pose.time_s, [float(t) for t in made.time_s], atol=1e-9)
        assert grid(pose).joints_cam_m is not None
        # The fake lifter makes people 1.7 m tall: ankles lie (0.95 - 0.52) of that below the hips.
        ankle = grid(pose).joints_cam_m[:, 0, pose.skeleton.index["left_ankle"], 1]
        np.testing.assert_allclose(ankle, 0.43 * 1.7, atol=0.02)
    with open_video(out / "walk" / "walk.mp4") as video:
        assert sum(1 for _ in video) == 6


def test_stages_are_told_in_order(tmp_path: Path, out: Path) -> None:
    told: list[tuple[str, int, int]] = []

    class Listening(Watcher):
        def progress(self, number: int, stage: str, done: int, total: int) -> None:
            told.append((stage, done, total))

    outputs = OutputOptions(output=str(out))
    sources = find_inputs([clip(tmp_path)])
    run_batch(sources, None, outputs, load=fakes.load_fakes, watcher=Listening())
    assert [t[0] for t in told if t[1] == 6] == ["2D", "3D", "drawing"]
    assert [t[1] for t in told if t[0] == "2D"] == [1, 2, 3, 4, 5, 6]
    assert {t[2] for t in told} == {6}


def test_nobody_is_a_result(tmp_path: Path, out: Path) -> None:
    (outcome,) = go(clip(tmp_path, size_wh=fakes.EMPTY_WH), out=out)
    assert (outcome.status, outcome.people, outcome.frames) == ("done", 0, 6)
    assert any("nobody was found" in text for text in outcome.warnings)
    assert names(out / "walk") == FINISHED
    assert load(out / "walk/pose.json").n_people == 0


def test_only_what_is_asked_for(tmp_path: Path, out: Path) -> None:
    go(clip(tmp_path), out=out, format=("csv", "bvh"), render="none")
    assert names(out / "walk") == {STATE_NAME, "pose.csv", "pose.person1.bvh"}


def test_names_with_spaces_and_signs(tmp_path: Path, out: Path) -> None:
    (outcome,) = go(clip(tmp_path / "été à 東京", "mon film – 1.mp4"), out=out)
    assert outcome.status == "done"
    assert (out / "mon film – 1" / "mon film – 1.mp4").is_file()


def test_output_is_no_input(tmp_path: Path) -> None:
    clip(tmp_path)
    go(str(tmp_path), out=tmp_path / "out", format=("csv",))
    assert [s.stem for s in find_inputs([str(tmp_path)])] == ["walk"]


# -- again -----------------------------------------------------------------------------------------


def test_second_run_keeps_everything(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path)
    go(path, out=out)
    before = {p.name: p.stat().st_mtime_ns for p in (out / "walk").iterdir()}
    (outcome,) = go(path, out=out, load=fakes.refuse_to_load)
    assert (outcome.status, outcome.people, outcome.frames) == ("kept", 1, 6)
    assert {p.name: p.stat().st_mtime_ns for p in (out / "walk").iterdir()} == before


def test_a_folder_of_files_is_kept_and_replaced_as_one(tmp_path: Path, out: Path) -> None:
    path, folder = clip(tmp_path), out / "walk" / "pose.openpose"
    how: dict = {"out": out, "format": ("npz", "openpose"), "render": "none"}
    go(path, **how)
    (outcome,) = go(path, **how, load=fakes.refuse_to_load)
    assert outcome.status == "kept"
    first, *others = sorted(folder.iterdir())
    first.unlink()
    go(path, **how, load=fakes.refuse_to_load)
    assert sorted(folder.iterdir()) == [first, *others]
    (outcome,) = go(path, out=out, render="none", overwrite=True)
    assert outcome.status == "done"
    assert not folder.exists()  # of another run


def test_device_and_threads_are_no_other_options(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path)
    go(path, out=out)
    options = RunOptions(device="cpu", threads=1, offline=True)
    assert statuses(go(path, out=out, options=options, load=fakes.refuse_to_load)) == ["kept"]


@pytest.mark.parametrize(
    ("lost", "changes"),
    [
        ("walk.mp4", {}),
        ("pose.json", {}),
        (None, {"render": "3d"}),
        (None, {"style": "dark"}),
        (None, {"render_height": 240}),
        (None, {"format": ("npz", "json", "csv")}),
    ],
)
def test_missing_files_need_no_networks(
    tmp_path: Path, out: Path, lost: str | None, changes: dict
) -> None:
    path = clip(tmp_path)
    go(path, out=out)
    if lost is not None:
        (out / "walk" / lost).unlink()
    outcomes = go(path, out=out, load=fakes.refuse_to_load, **changes)
    assert statuses(outcomes) == ["updated"]
    assert names(out / "walk") >= FINISHED
    assert statuses(go(path, out=out, load=fakes.refuse_to_load, **changes)) == ["kept"]


@pytest.mark.parametrize("harm", ["missing", "cut"])
def test_lost_result_is_made_again(tmp_path: Path, out: Path, harm: str) -> None:
    path = clip(tmp_path)
    go(path, out=out)
    result = out / "walk" / "pose.npz"
    whole = result.read_bytes()
    if harm == "missing":
        result.unlink()
    else:
        result.write_bytes(whole[:-100])
    assert statuses(go(path, out=out)) == ["done"]
    assert len(result.read_bytes()) == len(whole)


def test_changed_clip_is_done_again(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path)
    go(path, out=out)
    make_clip(Path(path), size_wh=fakes.SIZE_WH, n_frames=9)
    (outcome,) = go(path, out=out)
    assert (outcome.status, outcome.frames) == ("done", 9)


def test_moved_clip_is_the_same(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path / "a")
    go(path, out=out)
    shutil.move(tmp_path / "a", tmp_path / "b")
    outcomes = go(str(tmp_path / "b" / "walk.mp4"), out=out, load=fakes.refuse_to_load)
    assert statuses(outcomes) == ["kept"]


def test_other_options_are_refused_until_overwrite(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path)
    go(path, out=out, format=("npz", "csv"))
    before = (out / "walk" / "pose.npz").read_bytes()
    options = RunOptions(smooth=False, start=0.1)
    (outcome,) = go(path, out=out, options=options, load=fakes.refuse_to_load)
    assert outcome.status == "failed"
    assert "other options (start: None, now 0.1, smooth: True, now False)" in str(outcome.error)
    assert "--overwrite" in str(outcome.error)
    assert (out / "walk" / "pose.npz").read_bytes() == before
    assert statuses(go(path, out=out, options=options, overwrite=True)) == ["done"]
    # The table of the earlier result is gone: it would contradict the new one.
    assert names(out / "walk") == FINISHED
    assert load(out / "walk" / "pose.npz").n_frames == 3


def test_other_clip_of_the_same_name_is_refused(tmp_path: Path, out: Path) -> None:
    go(clip(tmp_path / "a"), out=out)
    other = make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=4).path
    (outcome,) = go(str(other), out=out, load=fakes.refuse_to_load)
    assert "result of another clip" in str(outcome.error)
    assert load(out / "walk" / "pose.npz").n_frames == 6


def test_files_of_others_are_not_replaced(tmp_path: Path, out: Path) -> None:
    (out / "walk").mkdir(parents=True)
    (out / "walk" / "pose.npz").write_text("mine")
    (outcome,) = go(clip(tmp_path), out=out, load=fakes.refuse_to_load)
    assert "no run of pose3d left there" in str(outcome.error)
    assert (out / "walk" / "pose.npz").read_text() == "mine"


# -- things that go wrong --------------------------------------------------------------------------


def test_bad_clips_do_not_stop_good_ones(tmp_path: Path, out: Path) -> None:
    clip(tmp_path / "in", "1.mp4")
    (tmp_path / "in" / "2.mp4").write_text("no video at all")
    clip(tmp_path / "in", "3.mp4", fakes.BROKEN_WH)
    clip(tmp_path / "in", "4.mp4")
    outcomes = go(str(tmp_path / "in"), out=out)
    assert statuses(outcomes) == ["done", "failed", "failed", "done"]
    assert [o.source.stem for o in outcomes] == ["1", "2", "3", "4"]
    assert "Internal error" in str(outcomes[2].error)
    assert "doctor" in str(outcomes[2].error)
    assert "ValueError: a mistake" in outcomes[2].trace
    # Those that failed left nothing that looks like a result.
    assert names(out / "2") == names(out / "3") == {FAILED_NAME}


def test_all_clips_are_looked_at_before_the_first_frame(tmp_path: Path, out: Path) -> None:
    told: list[str] = []

    class Listening(Watcher):
        def started(self, number: int) -> None:
            told.append(f"started {number}")

        def finished(self, number: int, outcome: Outcome) -> None:
            told.append(f"{outcome.status} {number}")

    clip(tmp_path / "in", "1.mp4")
    (tmp_path / "in" / "2.mp4").write_text("no video at all")
    sources = find_inputs([str(tmp_path / "in")])
    outputs = OutputOptions(output=str(out))
    run_batch(sources, None, outputs, load=fakes.load_fakes, watcher=Listening())
    assert told == ["failed 1", "started 0", "done 0"]


def test_nothing_is_loaded_when_an_option_is_wrong(tmp_path: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="'nzp'"):
        go(clip(tmp_path), out=out, format=("nzp",), load=fakes.refuse_to_load)
    with pytest.raises(UsageError, match="--jobs"):
        run_batch(find_inputs([clip(tmp_path)]), jobs=0, load=fakes.refuse_to_load)
    assert not out.exists()


def test_weights_are_fetched_only_where_networks_run(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(estimate, "fetch_weights", lambda options, say: fetched.append("all"))
    monkeypatch.setattr(estimate, "load_models", fakes.load_fakes)
    path = clip(tmp_path)
    assert statuses(go(path, out=out, load=None, options=RunOptions(offline=True))) == ["done"]
    assert statuses(go(path, out=out, load=None)) == ["kept"]
    assert fetched == []
    assert statuses(go(path, out=out, load=None, overwrite=True)) == ["done"]
    assert fetched == ["all"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("keypoints", "blazepose"), ("detector", "blazepose")]),
        ({"keypoints": "yolo:x.pt", "detector": "rtmdet"}, [("keypoints", "yolo:x.pt")]),
        ({"keypoints": "mmpose:", "detector": "yolox:"}, []),  # refused when they are made
    ],
)
def test_only_what_is_used_is_fetched(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    asked: list[tuple[str, str]] = []

    def find_weights(kind: str, name: str, *, offline: bool, say: object) -> None:
        assert not offline
        asked.append((kind, name))

    monkeypatch.setattr(estimate, "find_weights", find_weights)
    estimate.fetch_weights(RunOptions(**options), print)
    assert asked == expected


def test_missing_weights_stop_the_batch(tmp_path: Path, out: Path) -> None:
    with pytest.raises(WeightsError):
        go(clip(tmp_path), out=out, load=fakes.fail_to_load)


def test_person_who_is_not_there(tmp_path: Path, out: Path) -> None:
    (outcome,) = go(clip(tmp_path), out=out, options=RunOptions(person="7"))
    assert "no person 7" in str(outcome.error)
    assert names(out / "walk") == {FAILED_NAME}


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, out: Path) -> None:
    paths = [clip(tmp_path, "1.mp4"), clip(tmp_path, "2.mp4", fakes.INTERRUPTED_WH)]
    paths += [clip(tmp_path, "3.mp4")]
    with pytest.raises(KeyboardInterrupt):
        go(*paths, out=out)
    assert names(out / "1") == {STATE_NAME, "pose.npz", "pose.json", "1.mp4"}
    assert names(out / "2") == set()
    assert not (out / "3").exists()
    make_clip(Path(paths[1]), size_wh=fakes.SIZE_WH, n_frames=6)
    assert statuses(go(*paths, out=out)) == ["kept", "done", "done"]


def test_ctrl_c_while_drawing_costs_the_drawing_only(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(tmp_path)

    def interrupt(self: object, *_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "draw", interrupt)
        with pytest.raises(KeyboardInterrupt):
            go(path, out=out)
    assert names(out / "walk") == FINISHED - {"walk.mp4"}
    assert statuses(go(path, out=out, load=fakes.refuse_to_load)) == ["updated"]
    assert names(out / "walk") == FINISHED


def test_leftovers_of_a_killed_run_go(tmp_path: Path, out: Path) -> None:
    (out / "walk").mkdir(parents=True)
    (out / "walk" / ".walk.mp4.123-0.part").write_text("half a video")
    go(clip(tmp_path), out=out)
    assert names(out / "walk") == FINISHED


def test_output_folder_that_cannot_be(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(ResultFileError):
        go(clip(tmp_path), out=blocked / "out", load=fakes.refuse_to_load)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_output(tmp_path: Path, out: Path) -> None:
    out.mkdir()
    out.chmod(0o555)
    with pytest.raises(ResultFileError):
        go(clip(tmp_path), out=out, load=fakes.refuse_to_load)


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
@pytest.mark.parametrize("full_at", ["pose.json", "walk.mp4"])
def test_full_disk(tmp_path: Path, out: Path, full_at: str) -> None:
    import resource

    path = clip(tmp_path, size_wh=(320, 240))
    go(path, out=tmp_path / "before", format=("json",))
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "before" / "walk").iterdir()}
    assert sizes[STATE_NAME] < sizes["pose.json"] < sizes["walk.mp4"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[full_at] - 200, limits[1]))
    try:
        (outcome,) = go(path, out=out, format=("json",))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert outcome.status == "failed"
    assert f"{full_at} cannot be written" in str(outcome.error)
    kept = {STATE_NAME} if full_at == "pose.json" else {STATE_NAME, "pose.json"}
    assert names(out / "walk") == kept | {FAILED_NAME}
    (outcome,) = go(path, out=out, format=("json",))
    assert outcome.status == ("done" if full_at == "pose.json" else "updated")
    assert names(out / "walk") == {STATE_NAME, "pose.json", "walk.mp4"}


# -- two at once -----------------------------------------------------------------------------------

_HOLD = """
import sys, time
from pathlib import Path
from pose3d.files import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(out: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock of ``out/walk``."""
    (out / "walk").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(out / "walk")], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"held"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_second_run_is_told_who_is_writing(
    tmp_path: Path, out: Path, holder: subprocess.Popen
) -> None:
    (outcome,) = go(clip(tmp_path), out=out)
    assert f"is being written by process {holder.pid}" in str(outcome.error)
    assert names(out / "walk") == {LOCK_NAME}
    holder.kill()
    holder.wait()
    # The file is still there, but whoever held it is dead.
    assert LOCK_NAME in names(out / "walk")
    assert statuses(go(clip(tmp_path), out=out)) == ["done"]
    assert names(out / "walk") == FINISHED


def test_what_another_run_did_meanwhile_is_kept(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path)

    class Quicker(Watcher):
        def started(self, number: int) -> None:
            go(path, out=out)

    sources, outputs = find_inputs([path]), OutputOptions(output=str(out))
    outcomes = run_batch(sources, None, outputs, load=fakes.load_fakes, watcher=Quicker())
    assert statuses(outcomes) == ["kept"]


# -- several processes -----------------------------------------------------------------------------


def test_processes_give_what_one_gives(tmp_path: Path) -> None:
    for name in ("1.mp4", "2.mp4"):
        clip(tmp_path / "in", name)
    clip(tmp_path / "in", "3.mp4", fakes.DEADLY_WH)
    clip(tmp_path / "in", "4.mp4", fakes.EMPTY_WH)
    sources = find_inputs([str(tmp_path / "in")])
    told: list[str] = []

    class Listening(Watcher):
        def loaded(self, models, seconds: float) -> None:
            told.append(f"loaded {models[0].name}")

        def progress(self, number: int, stage: str, done: int, total: int) -> None:
            if done == total == 6 and number == 0:
                told.append(stage)

        def warn(self, number: int, text: str) -> None:
            told.append(f"{number}: {text}")

        def finished(self, number: int, outcome: Outcome) -> None:
            told.append(f"{outcome.status} {number}")

    outcomes = run_batch(
        sources,
        None,
        OutputOptions(output=str(tmp_path / "two")),
        jobs=2,
        load=fakes.load_fakes,
        watcher=Listening(),
    )
    assert statuses(outcomes) == ["done", "done", "failed", "done"]
    assert "worker process died (signal 9)" in str(outcomes[2].error)
    assert told[0] == "loaded fake"
    assert {"2D", "3D", "drawing", "done 0", "failed 2"} <= set(told)
    assert any(text.startswith("3: nobody was found") for text in told)
    alone = run_batch(
        sources[:1], None, OutputOptions(output=str(tmp_path / "one")), load=fakes.load_fakes
    )
    assert outcomes[0].people == alone[0].people == 1
    one, two = (load(tmp_path / folder / "1" / "pose.npz") for folder in ("one", "two"))
    np.testing.assert_array_equal(grid(one).joints_cam_m, grid(two).joints_cam_m)


def test_missing_weights_stop_all_processes(tmp_path: Path, out: Path) -> None:
    sources = find_inputs([clip(tmp_path, "1.mp4"), clip(tmp_path, "2.mp4")])
    with pytest.raises(WeightsError):
        run_batch(sources, None, OutputOptions(output=str(out)), jobs=2, load=fakes.fail_to_load)
    assert [path for path in out.iterdir() if path.is_dir()] == []


_RUN = """
import sys
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.batch.watch import Watcher
from pose3d.options import OutputOptions
from pose3d.video.sources import find_inputs
from tests.support import fakes
class Loud(Watcher):
    def progress(self, number, stage, done, total):
        print(stage, done, flush=True)
if __name__ == "__main__":
    try:
        outputs = OutputOptions(output=sys.argv[2])
        sources = find_inputs([sys.argv[1]])
        run_batch(sources, None, outputs, jobs=2, load=fakes.load_fakes, watcher=Loud())
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_stops_all_processes(tmp_path: Path, out: Path) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / "1.mp4", size_wh=fakes.SIZE_WH, n_frames=1500)
    shutil.copy(tmp_path / "in" / "1.mp4", tmp_path / "in" / "2.mp4")
    script = tmp_path / "script.py"
    script.write_text(_RUN)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "in"), str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("2D")
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    for name in ("1", "2"):
        assert names(out / name) == set() if (out / name).exists() else True
    # No worker is left behind.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker process is still there")


# -- cameras ---------------------------------------------------------------------------------------


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Camera 0, which shows a clip."""
    film = clip(tmp_path, "film.mp4")

    def open_film(path: str, *, rotate: int | None, duration: float | None):
        assert (path, duration) == ("0", 0.2)
        return open_video(film, rotate=rotate)

    monkeypatch.setattr(one_clip, "open_video", open_film)
    return Source(path="0", kind="camera", stem="camera-0")


def test_camera_is_recorded_and_never_lost(out: Path, camera: Source) -> None:
    outputs, options = OutputOptions(output=str(out)), RunOptions(duration=0.2)
    (outcome,) = run_batch([camera], options, outputs, load=fakes.load_fakes)
    assert (outcome.status, outcome.people, outcome.frames) == ("done", 1, 6)
    folder = out / "camera-0"
    assert names(folder) == {STATE_NAME, RECORDING_NAME, "pose.npz", "pose.json", "camera-0.mp4"}
    assert load(folder / "pose.npz").video.path == str(folder / RECORDING_NAME)
    with open_video(folder / "camera-0.mp4") as drawing:
        assert drawing.info.rate == Fraction(30)
    (again,) = run_batch([camera], options, outputs, load=fakes.refuse_to_load)
    assert "earlier recording" in str(again.error)


def test_camera_needs_an_end(out: Path, camera: Source) -> None:
    with pytest.raises(UsageError, match="--duration"):
        run_batch([camera], None, OutputOptions(output=str(out)), load=fakes.refuse_to_load)


def test_state_says_how_it_was_made(tmp_path: Path, out: Path) -> None:
    path = clip(tmp_path)
    go(path, out=out)
    state = json.loads((out / "walk" / STATE_NAME).read_text())
    assert state["source"]["size_bytes"] == Path(path).stat().st_size
    assert state["options"]["smooth_strength"] == RunOptions().smooth_strength
    assert state["files"]["pose.npz"] == (out / "walk" / "pose.npz").stat().st_size
