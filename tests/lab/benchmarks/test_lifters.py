"""``pose3d bench lifters``: what it counts, how it measures, what a user gets and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import DeviceError, Pose3DError, UsageError
from pose3d.lab.benchmarks import lifters
from pose3d.lab.benchmarks.lifter_speed import LifterSpeed, Rate, measure_speed
from pose3d.lab.benchmarks.lifters import BenchMachine, LifterBench, bench_lifters, describe_machine
from pose3d.lab.benchmarks.stages import peak_memory_mb
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import save_network
from tests.lift.test_configurations import PUBLISHED
from tests.support.lifters import small_network, small_options

MACHINE = BenchMachine(
    device="cpu",
    device_name="test",
    threads=1,
    cores=2,
    load=0.5,
    clock="wall",
    torch="2",
    pose3d="0",
)


def rate(frames_per_s: float, batch: int = 1) -> Rate:
    return Rate(batch=batch, frames_per_s=frames_per_s, ms=1.0, passes=3)


def speed(name: str = "mixste", *, seq2seq: bool = True, busy: float = 1.0) -> LifterSpeed:
    first, best = (rate(120), rate(150.4, 8)) if seq2seq else (None, None)
    return LifterSpeed(
        name=name,
        backbone=CONFIGURATIONS[name].backbone,
        precision="fp32",
        frames=243,
        kept=None if seq2seq else 61,
        params=33_780_000,
        linear_flops=277_250_000_000,
        total_flops=294_850_000_000,
        seq2seq=first,
        seq2seq_best=best,
        seq2frame=rate(0.512),
        seq2frame_best=rate(0.512),
        peak_mb=600.0,
        peak_best_mb=900.0,
        busy=busy,
    )


def call(*words: str):
    return CliRunner().invoke(app, ["bench", "lifters", *words])


# -- measuring ---------------------------------------------------------------------------------


class SlowNetwork(torch.nn.Module):
    """Takes 4 ms a pass and 1 ms a window, so a larger batch pays; refuses more than 16."""

    frames, shares_frames = 9, False

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(7))
        self.batches: list[int] = []

    def forward(self, keypoints: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(keypoints))
        if len(keypoints) > 16:
            raise torch.cuda.OutOfMemoryError("not that many")
        time.sleep(0.004 + 0.001 * len(keypoints))
        return keypoints

    forward_centre = forward


def test_rates_and_the_best_batch():
    network = SlowNetwork()
    result = measure_speed(network, small_options(), name="x", seconds=1.5)
    assert result.params == 7
    for first, best, answers in (
        (result.seq2seq, result.seq2seq_best, 9),
        (result.seq2frame, result.seq2frame_best, 1),
    ):
        assert first.batch == 1
        # Sleeping takes at least as long as asked for, on a busy machine longer.
        assert answers / 0.5 < first.frames_per_s <= answers / 0.005
        assert first.passes > 2
        assert best.frames_per_s > 1.3 * first.frames_per_s
        assert best.batch in (2, 4, 8, 16)
        assert best.frames_per_s <= best.batch * answers / (0.004 + 0.001 * best.batch)
    assert result.busy < 0.7  # asleep


def test_time_is_kept_to():
    network = SlowNetwork()
    result = measure_speed(network, small_options(), seconds=0.05)
    # None is shorter than 5 ms; the first pass of each pipeline is always made.
    assert 2 <= len(network.batches) <= 12
    assert result.seq2seq_best.passes >= 1


def test_larger_batches_end_where_they_do_not_pay():
    class Even(SlowNetwork):
        def forward(self, keypoints: torch.Tensor) -> torch.Tensor:
            self.batches.append(len(keypoints))
            time.sleep(0.01 * len(keypoints) ** 1.2)
            return keypoints

        forward_centre = forward

    network = Even()
    result = measure_speed(network, small_options(), seconds=5.0)
    assert result.seq2seq_best.batch <= 2
    assert max(network.batches) <= 8


def test_centres_share_the_features_of_frames():
    """The timed work gives the same answer as the network, with one new frame for each window."""
    from pose3d.lab.benchmarks import lifter_speed as module

    options = replace(small_options(HourglassOptions(keep=(4,), at=(2,), heads=2)))
    options = replace(options, normalisation="screen")
    network = small_network(options.hourglass)
    shapes = []
    features = network.frame_features
    network.frame_features = lambda x: shapes.append(tuple(x.shape)) or features(x)
    with torch.inference_mode():
        work = module._centres(network, options, 3, "cpu")
        assert shapes.pop() == (1, 11, 17, 3)
        answer = work()
        assert shapes == [(1, 3, 17, 3)]
        clip = module._keypoints(options, 11, device="cpu")
        windows = torch.stack([clip[i : i + 9] for i in range(3)])
        torch.testing.assert_close(answer, network.forward_centre(windows), atol=1e-5, rtol=1e-5)
        plain = module._centres(network, replace(options, normalisation="person"), 3, "cpu")
        torch.testing.assert_close(plain(), answer, atol=1e-5, rtol=1e-5)
    assert len(shapes) == 1  # a camera for each window: nothing is shared


def test_processes_measure_configurations_and_weights(tmp_path):
    """For real: sizes equal published ones, memory is of that process alone, weights are read."""
    hog = np.ones(600_000_000 // 8)  # what this process holds must not count
    options = small_options(HourglassOptions(keep=(4,), at=(2,), recover=None, keep_centre=True))
    file = tmp_path / "own.safetensors"
    save_network(file, small_network(options.hourglass).state_dict(), options)
    bench = LifterBench(
        configurations=("motionagformer-xs",),
        lifters=(str(file),),
        precisions=("fp32",),
        threads=1,
        seconds=0.1,
        clock="cpu",
    )
    machine = describe_machine(bench)
    seen = []
    big, own = bench_lifters(bench, machine, on_step=lambda *step: seen.append(step))
    assert seen == [("motionagformer-xs fp32", 0, 2), (f"{file} fp32", 1, 2)]
    assert big.params / 1e6 == pytest.approx(PUBLISHED["motionagformer-xs"][0], abs=0.05)
    assert big.seq2seq.frames_per_s == pytest.approx(27 / (big.seq2seq.ms / 1000))
    assert own.seq2seq is None
    assert own.kept == 4
    assert own.params == sum(p.numel() for p in small_network(options.hourglass).parameters())
    if sys.platform == "linux":
        assert peak_memory_mb() > hog.nbytes / 1e6
        assert 100 < own.peak_mb <= own.peak_best_mb < hog.nbytes / 1e6


def test_flops_are_those_of_the_golden_table():
    """shared/golden/README.md: MixSTE-243, linear and with attention."""
    network = SlowNetwork()
    result = measure_speed(network, CONFIGURATIONS["mixste"], seconds=0.01)
    assert result.linear_flops / 1e9 == pytest.approx(277.25, abs=0.006)
    assert result.total_flops / 1e9 == pytest.approx(294.85, abs=0.006)


def test_a_process_that_dies_is_named(monkeypatch):
    def died(command, **_):
        return subprocess.CompletedProcess(command, -9, "", "some warning")

    monkeypatch.setattr(lifters.subprocess, "run", died)
    bench = LifterBench(configurations=("mixste",), precisions=("fp32",))
    with pytest.raises(Pose3DError, match=r"mixste in fp32 .*signal 9"):
        list(bench_lifters(bench, MACHINE))


# -- what a user gets --------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """Replaces measuring; returns the list of what was asked for."""
    asked = []

    def answer(request):
        asked.append(request)
        return replace(
            speed(request["name"], seq2seq=not request["name"].startswith("tpc")),
            precision=request["precision"],
        )

    monkeypatch.setattr(lifters, "_measure_in_process", answer)
    return asked


def test_table_and_json(measured, tmp_path):
    out = tmp_path / "a.json"
    words = ("mixste", "tpc-mixste", "--precision", "fp32,bf16", "--seconds", "3")
    done = call(*words, "--out", str(out), "--device", "cpu")
    assert done.exit_code == 0, done.output
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "mixste fp32 243 33.78 277.25 294.85 120 -> 150 (8) 0.51 (1) 600 -> 900" in rows, (
        done.stdout
    )
    assert "tpc-mixste bf16 243 (61) 33.78 277.25 294.85 - 0.51 (1) 600 -> 900" in rows
    assert [r["precision"] for r in measured] == ["fp32", "bf16"] * 2
    assert {r["seconds"] for r in measured} == {3.0}
    # Published weights want keypoints normalised by the picture: features of frames are shared.
    assert json.loads(measured[0]["options"])["normalisation"] == "screen"
    document = json.loads(out.read_text())
    assert (document["dialect"], document["version"]) == (lifters.DIALECT, lifters.VERSION)
    assert [LifterSpeed.from_dict(v).name for v in document["lifters"]] == [
        "mixste",
        "mixste",
        "tpc-mixste",
        "tpc-mixste",
    ]
    printed = json.loads(call(*words, "--json", "--device", "cpu").stdout)
    assert printed["lifters"] == document["lifters"]


def test_default_is_every_configuration(measured):
    assert call("--precision", "fp32").exit_code == 0
    assert [r["name"] for r in measured] == list(CONFIGURATIONS)
    measured.clear()
    assert call("--lifter", "hot-mixste", "--precision", "fp32").exit_code == 0
    assert [(r["name"], Path(r["path"]).suffix) for r in measured] == [
        ("hot-mixste", ".safetensors")
    ]
    assert call("--list").stdout.split() == list(CONFIGURATIONS)


def test_ctrl_c_keeps_what_is_done(monkeypatch, tmp_path):
    def answer(request):
        if request["name"] == "hot-mixste":
            raise KeyboardInterrupt
        return speed(request["name"])

    monkeypatch.setattr(lifters, "_measure_in_process", answer)
    out = tmp_path / "a.json"
    done = call("mixste", "hot-mixste", "--precision", "fp32", "--out", str(out))
    assert done.exit_code == 130
    assert "120 -> 150 (8)" in done.stdout
    assert "pose3d: stopped." in done.stderr
    assert [v["name"] for v in json.loads(out.read_text())["lifters"]] == ["mixste"]


def test_a_busy_machine_is_told(monkeypatch):
    monkeypatch.setattr(lifters, "_measure_in_process", lambda _: speed(busy=0.4))
    done = call("mixste", "--device", "cpu")
    assert "only 40 % of the time" in done.stderr
    assert "only" not in call("mixste", "--device", "cpu", "--clock", "cpu").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mixtse", "no configuration named 'mixtse'. Did you mean 'mixste'?"),
        ("hot-mixste.free27", "'hot-mixste.free27' are weights. Write --lifter hot-mixste.free27."),
        ("--lifter nobody", "no lifter named 'nobody'"),
        ("--lifter nowhere.safetensors", "no weights file nowhere.safetensors"),
        ("mixste --precision fp8", "no precision named 'fp8'"),
        ("mixste --clock sun", "no clock named 'sun'"),
        ("mixste --seconds 0", "--seconds is 0.0. Give seconds above 0."),
        ("mixste --seconds nan", "--seconds is nan"),
        ("mixste --threads 0", "--threads is 0"),
        ("mixste --out missing/a.json", "missing/a.json cannot be written"),
    ],
)
def test_refusals(words, said, measured):
    done = call(*words.split())
    assert done.exit_code == 2
    assert said in done.stderr
    assert measured == []


def test_the_processor_clock_is_for_processors(monkeypatch):
    monkeypatch.setattr(lifters, "pick_device", lambda _: ("mps", ""))
    with pytest.raises(UsageError, match="--clock cpu"):
        describe_machine(LifterBench(clock="cpu"))
    monkeypatch.undo()
    with pytest.raises((DeviceError, UsageError)):
        describe_machine(LifterBench(device="cuda:99"))


def test_records_survive_json():
    for one in (speed(), speed(seq2seq=False)):
        assert LifterSpeed.from_dict(json.loads(json.dumps(asdict(one)))) == one
