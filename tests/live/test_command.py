"""``pose3d live`` as a user types it: in a process of its own, on a clip instead of a camera."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.result.record import load
from tests.support import ROOT
from tests.support.networks import require_blazepose
from tests.support.osc import address_of, listen, receive, unity_joints


@pytest.fixture
def live() -> Iterator:
    """Starts the command; what still runs at the end is ended."""
    require_blazepose()
    started: list[subprocess.Popen] = []

    def start(*arguments: str, cwd: Path) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment.pop("DISPLAY", None)
        process = subprocess.Popen(
            [sys.executable, "-m", "pose3d", "live", *arguments, "--offline"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=cwd,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def slow_down(clip: Path, path: Path) -> Path:
    """Copies a clip so that it lasts four times as long: machines that run tests are busy."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.pts, packet.dts = 4 * packet.pts, 4 * packet.dts
                packet.stream = stream
                output.mux(packet)
    return path


def wait_until_it_plays(process: subprocess.Popen) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if "plays" in line:
            return said
    raise AssertionError(said)


@pytest.mark.slow
@pytest.mark.extra_live
def test_ctrl_c_ends_it_and_keeps_the_recording(live, samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("pythonosc", reason="needs the extra live")
    with listen() as receiver:
        process = live(
            str(slow_down(samples / "walk_turn.mp4", tmp_path / "walk_turn.mp4")),
            *("--vmc", address_of(receiver), "--record", "--render", "overlay"),
            cwd=tmp_path,
        )
        said = wait_until_it_plays(process)
        assert re.search(r"page http://127\.0\.0\.1:\d+/", said)
        assert "Ctrl-C ends it" in said
        messages: list = []
        deadline_s = time.monotonic() + 120
        while not any(address == "/VMC/Ext/Bone/Pos" for address, _ in messages):
            assert time.monotonic() < deadline_s
            messages = receive(receiver)
        first = next(k for k, (name, _) in enumerate(messages) if name == "/VMC/Ext/Root/Pos")
        at = unity_joints(messages[first : first + 22])
        assert at["Head"][1] > at["Hips"][1] > at["LeftFoot"][1]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 0, rest
    assert re.search(r"\d+ frames, \d+ dropped; median latency \d+ ms", rest)
    folder = tmp_path / "out" / "walk_turn"
    assert re.search(r"out/walk_turn: \d+ (person|people), \d+ frames", rest)
    names = {path.name for path in folder.iterdir()}
    assert names >= {"pose.npz", "pose.json", "walk_turn.mp4", "recording.mp4", ".pose3d.json"}
    pose = load(folder / "pose.npz")
    assert pose.root_cam_m is not None
    assert f"{pose.n_frames} frames" in rest
    lifted = next(stage for stage in pose.made_by if stage.stage == "lift")
    assert "hot-mixste" in lifted.name


@pytest.mark.slow
def test_a_clip_ends_by_itself(live, samples: Path, tmp_path: Path) -> None:
    process = live(str(samples / "walk_turn.mp4"), "--no-open", "--quiet", cwd=tmp_path)
    assert process.communicate(timeout=120)[0] == ""
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["live", *arguments])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("none.mp4",), 1, "no file none.mp4"),
        (("x.mp4", "--output", "out"), 2, "--output is for recordings"),
        (("x.mp4", "--person", "largest"), 2, "not known before the clip ends"),
        (("x.mp4", "--lifter", "no-such"), 1, "no file x.mp4"),
    ],
)
def test_wrong_use(tmp_path, monkeypatch, arguments, code, words) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments)[0] == code
    assert words in run(*arguments)[1]


@pytest.mark.extra_live
@pytest.mark.parametrize("flag", ["--vmc", "--osc", "--websocket"])
def test_wrong_addresses_are_known_at_once(samples: Path, flag: str) -> None:
    pytest.importorskip("pythonosc", reason="needs the extra live")
    pytest.importorskip("websockets", reason="needs the extra live")
    code, said = run(str(samples / "dance.mp4"), "--no-open", flag, "39539")
    assert code == 2
    assert f"{flag} is '39539'" in said
    assert "HOST:PORT" in said


def test_no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    require_blazepose()
    code, said = run("97", "--no-open", "--offline")
    assert code == 1
    assert "Camera 97 cannot be opened" in said
