"""The command line: flags, config, exit codes, messages; the chain behind it is faked."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from pose3d.cli.app import app
from pose3d.cli.config import merge_config, split_options
from pose3d.cli.flags import FLAGS, default_of
from pose3d.errors import UsageError
from pose3d.options import CommandOptions, OutputOptions, RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.plugins import PARTS
from pose3d.result.record import load, make_exporter
from tests.support import ROOT, fakes
from tests.support.clips import make_clip
from tests.support.grids import grid


class Shell:
    """Runs commands in this process and keeps what they printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, line: str, *more: object) -> int:
        """Returns the exit code."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            app([*shlex.split(line), *map(str, more)], prog_name="pose3d")
        self.out, self.err = self._capsys.readouterr()
        return int(left.value.code or 0)


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    """A command line in an empty folder, with the fake networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("POSE3D_DEBUG", raising=False)
    monkeypatch.setattr(pipeline, "load_models", fakes.load_fakes)
    return Shell(capsys)


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=6).path


# Offline, for a run that may fetch looks for the weights of its networks first.
UNKNOWN_CAMERA = "run --offline --detector fake --keypoints fake"
RUN = f"{UNKNOWN_CAMERA} --focal-35mm 26"


# -- what there is ---------------------------------------------------------------------------------


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields every command with its full name, groups included."""
    command = command or typer.main.get_command(app)
    yield " ".join(words), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


EVERY = dict(commands())


def test_the_commands_are_those_that_are_promised() -> None:
    groups = {name for name in EVERY if name and " " not in name}
    promised = "run live batch lift render export storyboard angles view models weights doctor bench train experiment data evaluate inspect"
    assert groups == set(promised.split())
    assert {f"weights {name}" for name in ("list", "download", "import", "verify", "path")} <= set(
        EVERY
    )
    assert {"bench run", "bench startup", "evaluate samples"} <= set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = EVERY[name]
    help_text = command.help or ""
    assert f"Example: pose3d {name}".rstrip() in help_text, "no example"
    for option in command.params:
        assert (getattr(option, "help", None) or "").strip(), f"{option.name} has no help"


@pytest.mark.parametrize("name", EVERY)
def test_examples_use_flags_that_exist(name: str) -> None:
    example = re.search(r"Example: pose3d (.*)", EVERY[name].help)
    assert example is not None
    used = set(re.findall(r"--[a-z-]+", example[1]))
    known = {o for p in EVERY[name].params for o in (*p.opts, *p.secondary_opts)}
    assert used <= known


def test_flags_of_run_are_the_fields_of_the_options() -> None:
    options = {f.name for kind in (CommandOptions, RunOptions, OutputOptions) for f in fields(kind)}
    options.remove("chosen_by")  # a record of what a preset did
    declared = {p.name: p for p in EVERY["run"].params}
    assert set(declared) == options | {"paths", "config"}
    assert set(FLAGS) == options
    for name in FLAGS:
        assert f"--{name.replace('_', '-')}" in declared[name].opts
        # The parser knows no default, so that none can differ from the options'.
        assert declared[name].default is None


def test_help_shows_the_defaults_of_the_options(shell: Shell) -> None:
    assert shell("run --help") == 0
    text = " ".join(shell.out.replace("│", " ").split())
    for name in ("detector", "detect_every", "smooth_strength", "max_gap", "device", "render"):
        flag = f"--{name.replace('_', '-')} "
        after = text[text.index(flag) :]
        shown = re.search(r"\(default: ([^)]*)\)", after)
        assert shown is not None
        assert shown[1] == str(default_of(name))


def test_version(shell: Shell) -> None:
    import pose3d

    assert shell("--version") == 0
    assert shell.out == f"pose3d {pose3d.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from pose3d.cli.app import app\n"
        "for words in ([], ['run'], ['train'], ['bench', 'run'], ['lift']):\n"
        "    try:\n"
        "        app([*words, '--help'])\n"
        "    except SystemExit:\n"
        "        pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "Usage" in done.stdout
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert not loaded & {"numpy", "torch", "cv2", "av", "scipy", "matplotlib", "ai_edge_litert"}


# -- run -------------------------------------------------------------------------------------------


def test_run(shell: Shell, walk: Path) -> None:
    assert shell(f"{RUN} walk.mp4") == 0
    assert "fake on cpu (a test), none" in shell.out
    (row,) = [line for line in shell.out.splitlines() if line.startswith("walk.mp4")]
    assert row.split()[1:3] == ["1", "6"]
    assert row.split()[4:] == ["done", "out/walk"]
    assert shell.err == ""
    # No terminal: no bars, no control sequences.
    assert "\x1b" not in shell.out
    assert "━" not in shell.out
    assert {p.name for p in Path("out/walk").glob("[!.]*")} == {"pose.npz", "pose.json", "walk.mp4"}


def test_quiet_prints_warnings_only(shell: Shell, tmp_path: Path) -> None:
    make_clip(tmp_path / "empty.mp4", size_wh=fakes.EMPTY_WH, n_frames=3)
    assert shell(f"{RUN} -q empty.mp4") == 0
    assert shell.out == ""
    assert shell.err == "pose3d: warning: nobody was found in empty.mp4\n"


def test_the_first_lines_say_where_the_focal_length_comes_from(
    shell: Shell, walk: Path, tmp_path: Path
) -> None:
    assert shell(f"{RUN} walk.mp4") == 0
    assert re.search(r"^camera +focal length 92 px: --focal-35mm 26$", shell.out, re.M)
    make_clip(tmp_path / "other.mp4", size_wh=fakes.SIZE_WH, n_frames=3)
    assert shell(f"{UNKNOWN_CAMERA} walk.mp4 other.mp4 -o two") == 0
    for name in ("walk", "other"):
        assert f"{name}: focal length 96 px: assumed, 0.8 of the longer side\n" in shell.out
    (line,) = shell.err.splitlines()  # for both clips
    assert line.startswith("pose3d: warning: ")
    assert "distances scale with it" in line


def test_verbose_says_how_long_stages_took(shell: Shell, walk: Path) -> None:
    assert shell(f"{RUN} -v walk.mp4") == 0
    assert re.search(r"walk: 2D \d+\.\d s, 3D \d+\.\d s, drawing \d+\.\d s", shell.out)


def test_bad_clip_among_good_ones(shell: Shell, walk: Path) -> None:
    Path("text.mp4").write_text("no video at all")
    assert shell(f"{RUN} walk.mp4 text.mp4") == 1
    assert shell.err.startswith("pose3d: text.mp4 ")
    assert len(shell.err.splitlines()) == 1
    rows = [
        line.split() for line in shell.out.splitlines() if line.startswith(("walk.mp4", "text"))
    ]
    assert [row[0] for row in rows] == ["walk.mp4", "text.mp4"]
    assert "done" in rows[0]
    assert "failed" in rows[1]


def test_other_options(shell: Shell, walk: Path) -> None:
    assert shell(f"{RUN} walk.mp4 --render none") == 0
    assert shell(f"{RUN} walk.mp4 --render none") == 0
    assert "kept" in shell.out
    assert shell(f"{RUN} walk.mp4 --render none --no-smooth") == 1
    assert "smooth: True, now False" in shell.err
    assert shell(f"{RUN} walk.mp4 --render none --no-smooth --overwrite") == 0


def test_every_flag_reaches_the_options(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from pose3d.pipeline.batch import clips

    asked: dict[str, Any] = {}

    def run_batch(sources: Any, options: Any, outputs: Any, **more: Any) -> list[Any]:
        asked.update(sources=sources, options=options, outputs=outputs, **more)
        return []

    monkeypatch.setattr(clips, "run_batch", run_batch)
    values: dict[str, Any] = {
        "detector": "d", "keypoints": "k", "tracker": "own", "lifter": "l", "person": "1,2", "start": 1.5,
        "end": 2.5, "duration": 3.0, "stream": 1, "rate": 12.5, "partial_people": True, "detect_every": 7, "flip_test_2d": True,
        "prune": "motion", "keep": "13,9", "at": "1,2", "recover": "linear", "keep_centre": True, "schedule": None,
        "pipeline": "seq2frame", "precision": "bf16", "rate_test": False, "hypotheses": True, "smooth": False, "smooth_strength": 0.25,
        "max_gap": 2.0, "flip_test": False, "constant_bones": False, "place": False,
        "focal_px": 900.0, "focal_35mm": None, "height": 1.8, "rotate": 90, "device": "cpu", "threads": 3,
        "offline": True, "output": "o", "format": ("csv", "npz"), "render": "overlay",
        "style": "dark", "render_height": 480, "encoder": "hardware", "overwrite": True,
    }  # fmt: skip
    for cores, jobs in ((1, 1), (2, 1), (16, 8)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "cpu_count", lambda cores=cores: cores)
            assert shell("run 0") == 0
        assert asked["jobs"] == jobs
    line = ["run", "0", "--jobs", "2", "--shard", "3/16"]
    for name, value in values.items():
        if value is None:  # excludes the one before
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            line += [f"--{flag}={value[0]}", f"--{flag}={value[1]}"]
        else:
            line += [f"--{flag}", str(value)]
    assert shell(shlex.join(line)) == 0
    assert (asked["jobs"], asked["shard"]) == (2, "3/16")
    values["chosen_by"] = None  # no flag
    assert {f.name: getattr(asked["options"], f.name) for f in fields(RunOptions)} == {
        f.name: values[f.name] for f in fields(RunOptions)
    }
    assert {f.name: getattr(asked["outputs"], f.name) for f in fields(OutputOptions)} == {
        f.name: values[f.name] for f in fields(OutputOptions)
    }
    assert shell("run 0 --schedule h2ot --focal-35mm 26") == 0
    assert (asked["options"].schedule, asked["options"].focal_35mm) == ("h2ot", 26)


def test_recursive_or_not(shell: Shell, walk: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    make_clip(tmp_path / "in" / "deep" / "2.mp4", size_wh=fakes.SIZE_WH, n_frames=2)
    make_clip(tmp_path / "in" / "1.mp4", size_wh=fakes.SIZE_WH, n_frames=2)
    assert shell(f"{RUN} in --no-recursive --render none -o flat") == 0
    assert {p.name for p in Path("flat").iterdir()} == {"1"}
    assert shell(f"{RUN} in --render none -o both") == 0
    assert {p.name for p in Path("both").iterdir() if p.is_dir()} == {"1", "2"}


# -- messages --------------------------------------------------------------------------------------

MESSAGES = [
    ("run missing.mp4", 1, "no file or folder missing.mp4"),
    ("run walk.mp4 --detector blazepos", 2, "Did you mean 'blazepose'"),
    ("run walk.mp4 --render sidebyside", 2, "Did you mean 'side-by-side'"),
    ("run walk.mp4 --format npz,jsn", 2, "Did you mean 'json'"),
    ("run walk.mp4 --style drak", 2, "Did you mean 'dark'"),
    ("run walk.mp4 --smooth-strength 2", 2, "--smooth-strength is 2.0"),
    ("run walk.mp4 --person me", 2, "--person 'me'"),
    ("run 0", 2, "--duration"),
    ("run walk.mp4 --quiet --verbose", 2, "--quiet and --verbose"),
    ("run walk.mp4 --output walk.mp4", 1, "folder walk.mp4"),
    ("run walk.mp4 --config missing.toml", 2, "missing.toml"),
    ("lift walk.mp4 --size 100", 2, "--size '100'"),
    ("render missing.npz", 1, "missing.npz"),
    ("export missing.npz", 2, "--format: npz, json, csv, trc, mot, c3d, bvh, glb"),
    ("weights path blazepose.detektion", 2, "Did you mean 'blazepose.detection'"),
    ("train hot-mixste.free72", 2, "Did you mean 'hot-mixste.free27'"),
    ("storyboard walk.mp4 --frames 0", 2, "--frames is 0"),
    ("storyboard walk.mp4 walk.mp4", 2, "walk.mp4 is a video already"),
    ("storyboard walk.mp4 --person me", 2, "--person 'me'"),
    ("weights import walk.mp4 --keep many", 2, "--keep 'many'"),
    ("weights import walk.mp4 --crop 7", 2, "--crop '7'"),
]


@pytest.mark.parametrize(("line", "code", "message"), MESSAGES, ids=[m[0] for m in MESSAGES])
def test_messages(
    shell: Shell, walk: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, message: str
) -> None:
    """One line on stderr: what happened and what to do."""
    if "--detector" in line:
        monkeypatch.undo()  # the names are looked up by the real loader
        monkeypatch.chdir(walk.parent)
        from pose3d.networks2d.loading import make_detector

        def load(options: RunOptions) -> Any:
            make_detector(options.detector)

        monkeypatch.setattr(pipeline, "load_models", load)
        line += " --keypoints blazepose --offline"
    elif line.startswith("run"):
        line = f"{RUN} {line[4:]}"
    assert shell(line) == code
    assert shell.out == ""
    assert shell.err.startswith("pose3d: ")
    assert message in shell.err
    assert shell.err.count("\n") == 1


@pytest.mark.parametrize(
    "line", ["run", "run --no-such-flag x", "no-such-command", "run x --end y"]
)
def test_usage(shell: Shell, line: str) -> None:
    assert shell(line) == 2
    assert "Usage: pose3d" in shell.err


def test_person_who_is_not_there_is_usage(shell: Shell, walk: Path) -> None:
    assert shell(f"{RUN} walk.mp4 --person 4") == 2
    assert shell.err == "pose3d: There is no person 4 in walk.mp4. Its people are: 1.\n"


def test_ctrl_c(shell: Shell, walk: Path, tmp_path: Path) -> None:
    make_clip(tmp_path / "zebra.mp4", size_wh=fakes.INTERRUPTED_WH, n_frames=3)
    assert shell(f"{RUN} walk.mp4 zebra.mp4") == 130
    assert "the same command goes on from there" in shell.out
    assert "done" in shell.out
    assert shell.err == "pose3d: stopped.\n"


def test_internal_error(shell: Shell, walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(options: RunOptions) -> Any:
        raise ZeroDivisionError("oh no")

    monkeypatch.setattr(pipeline, "load_models", load)
    assert shell(f"{RUN} walk.mp4") == 1
    assert shell.err.startswith("pose3d: Internal error (ZeroDivisionError: oh no). Please report")
    assert "Traceback" not in shell.err
    monkeypatch.setenv("POSE3D_DEBUG", "1")
    assert shell(f"{RUN} walk.mp4") == 1
    assert "Traceback" in shell.err
    assert "in load" in shell.err


# -- config ----------------------------------------------------------------------------------------


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_win_over_config_and_config_over_defaults(tmp_path: Path) -> None:
    path = config(tmp_path, 'lifter = "theirs"\nmax-gap = 2\nsmooth_strength = 0.1\njobs = 3\n')
    options, outputs, command = split_options(merge_config({"lifter": "mine"}, path))
    assert (options.lifter, options.max_gap, options.smooth_strength) == ("mine", 2.0, 0.1)
    assert options.detect_every == RunOptions().detect_every
    assert outputs == OutputOptions()
    assert command == CommandOptions(jobs=3)


def test_config_formats(tmp_path: Path) -> None:
    for text in ('format = "csv,npz"', 'format = ["csv", "npz"]'):
        merged = merge_config({}, config(tmp_path, text))
        assert merged["format"] == ("csv", "npz")
    assert merge_config({"format": ["npz,NPZ", "bvh"]}, None)["format"] == ("npz", "bvh")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smoth = true", "Did you mean 'smooth'"),
        ("jobs = 1.5", "Give a whole number"),
        ("detect-every = true", "Give a whole number"),
        ('max-gap = "1"', "Give a number"),
        ("smooth = 1", "Give true or false"),
        ("person = 1", "Give text"),
        ("format = [1]", "format in .*Give text or a list"),
        ("[run]\njobs = 1", "no option in .*'run'"),
        ("jobs", "not valid TOML"),
    ],
)
def test_config_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merge_config({}, config(tmp_path, text))


def test_run_with_config(shell: Shell, walk: Path, tmp_path: Path) -> None:
    config(tmp_path, 'render = "none"\noutput = "elsewhere"\nformat = ["csv"]\n')
    assert shell(f"{RUN} walk.mp4 --config some.toml --format bvh") == 0
    assert {p.name for p in Path("elsewhere/walk").glob("[!.]*")} == {"pose.person1.bvh"}


# -- other commands --------------------------------------------------------------------------------


@pytest.fixture
def result(shell: Shell, walk: Path) -> Path:
    """A folder with a result and no drawing."""
    assert shell(f"{RUN} walk.mp4 --render none") == 0
    return Path("out/walk")


def test_render(shell: Shell, result: Path) -> None:
    assert shell("render", result) == 0
    assert shell.out == f"{result}/walk.mp4\n"
    assert shell("render", result) == 2
    assert "exists" in shell.err
    assert shell("render", result / "pose.json", "walk.mp4", "--mode=3d", "-o", "x.mp4") == 0
    assert Path("x.mp4").stat().st_size > 1000


@pytest.mark.parametrize("command", ["render", "run"])
def test_a_missing_hardware_encoder_is_said(
    shell: Shell, result: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("pose3d.video.writer._working_hardware", lambda *_: None)
    line = {"render": f"render {result}", "run": f"{RUN} walk.mp4 -o again"}[command]
    assert shell(f"{line} --encoder hardware") == 0
    assert "hardware" in shell.err


def test_export(shell: Shell, result: Path) -> None:
    assert shell("export", result, "--format=csv,bvh", "-f", "trc") == 0
    assert shell.out.split() == [
        f"{result}/pose.csv",
        f"{result}/pose.person1.bvh",
        f"{result}/pose.person1.trc",
    ]
    assert shell("export", result, "-o", "here/table.csv") == 0
    assert Path("here/table.csv").read_bytes() == (result / "pose.csv").read_bytes()
    assert shell("export", result, "-f", "csv") == 2
    assert shell("export", result, "-f", "csv", "--overwrite") == 0
    assert shell("export", result, "-f", "npz", "--overwrite") == 2
    assert "is the result itself" in shell.err


def test_export_writes_all_but_what_is_there(shell: Shell, result: Path) -> None:
    """The result and its like are kept; a format whose package is missing is left out, in words."""
    before = (result / "pose.npz").stat().st_mtime_ns
    assert shell("export", result, "--format", "all", "--bones", "lafan1") == 0
    assert (result / "pose.npz").stat().st_mtime_ns == before
    assert "JOINT LeftUpLeg" in (result / "pose.person1.bvh").read_text()
    here = {path.name.removeprefix("pose").removeprefix(".person1") for path in result.iterdir()}
    optional = ("mot", "c3d", "rrd")
    wanted = {make_exporter(name).suffix for name in PARTS["exporter"]}
    assert wanted - here <= {f".{name}" for name in optional}
    for name in optional:
        assert (f".{name}" in here) != (f"left out {name}" in shell.err)
    assert shell("export", result, "--format", "all") == 2  # the table exists
    assert shell("export", result, "-f", "glb", "--bones", "mixamo", "--overwrite") == 2
    assert "--bones is for the format bvh" in shell.err


def test_angles(shell: Shell, result: Path) -> None:
    assert shell("angles", result, "-o", "here") == 0
    assert {path.name for path in Path("here").iterdir()} == {"angles.csv", "angles.png"}
    assert "left_knee_flexion_deg," in Path("here/angles.csv").read_text()
    assert re.search(r"^knee_flexion +\d+ to \d+ +\d+ to \d+$", shell.out, re.M)
    assert shell("angles", result, "-o", "here") == 2
    assert "exists" in shell.err


def test_export_help_has_the_table(shell: Shell) -> None:
    assert shell("export --help") == 0
    words = " ".join(shell.out.split())
    for name in PARTS["exporter"]:
        assert f" {name} {make_exporter(name).description}" in words


def test_export_lists_formats(shell: Shell) -> None:
    assert shell("export") == 0
    assert {line.split()[0] for line in shell.out.splitlines()} >= {"npz", "json", "csv", "bvh"}


def test_lift_own_keypoints(shell: Shell, walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pose3d.lift import sequence as lift

    monkeypatch.setattr(lift, "make_lifter", lambda name, **_: fakes.FakeLifter())
    points = np.repeat(fakes.figure_px()[None], 6, 0)
    np.savez("keypoints.npz", keypoints=points)
    assert shell("lift keypoints.npz") == 2
    assert "--skeleton; with 33 joints: blazepose33" in shell.err
    assert shell("lift keypoints.npz --skeleton blazepose33 --size 120x96 --rate 30") == 0
    pose = load("out/keypoints/pose.npz")
    assert grid(pose).joints_cam_m is not None
    assert grid(pose).root_cam_m is not None
    assert Path("out/keypoints/keypoints.mp4").is_file()
    assert shell("lift keypoints.npz --skeleton blazepose33 --video walk.mp4") == 2
    assert "exists" in shell.err
    line = "lift keypoints.npz --skeleton blazepose33 --video walk.mp4 -o two -q --no-place"
    assert shell(line) == 0
    assert shell.out == ""
    assert grid(load("two/keypoints/pose.json")).root_cam_m is None


def test_lift_a_result_again(shell: Shell, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pose3d.lift import sequence as lift

    monkeypatch.setattr(lift, "make_lifter", lambda name, **_: fakes.FakeLifter())
    assert shell("lift", result / "pose.npz", "-o", "again", "--render", "none") == 0
    before, after = load(result / "pose.npz"), load("again/walk/pose.npz")
    assert before.joints_cam_m is not None
    assert grid(after).joints_cam_m is not None
    np.testing.assert_allclose(after.joints_cam_m, before.joints_cam_m, atol=0.02)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("POSE3D_CACHE", str(folder))
    return folder


def test_weights_that_are_not_here(shell: Shell, cache: Path) -> None:
    assert shell("weights list") == 0
    (row,) = [line for line in shell.out.splitlines() if line.startswith("blazepose.detection")]
    assert "Apache-2.0" in row
    assert " no " in row
    assert shell("weights path blazepose.detection") == 0
    assert shell.out.strip() == str(cache / "weights" / "pose_detection.tflite")
    assert shell("weights verify") == 0
    assert "blazepose.detection: not here" in shell.out
    assert shell("weights verify blazepose.detection") == 1
    assert shell("weights download blazepose.detection --offline") == 1
    for needed in ("pose_detection.tflite", str(cache), "9ba9dd3d42ef"):
        assert needed in shell.err
    assert shell("models") == 0
    rows = [line.split() for line in shell.out.splitlines() if line.startswith("detector")]
    (row,) = [" ".join(row) for row in rows if row[1].startswith("blazepose")]
    assert "weights are not here" in row


def test_weights_that_are_damaged(shell: Shell, cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "pose_detection.tflite").write_bytes(b"nonsense")
    assert shell("weights verify") == 1
    assert "damaged" in shell.err
    assert shell("doctor") == 1
    assert re.search(r"^fail weights blazepose.detection .*damaged", shell.out, re.M)
    assert re.search(r"^warn weights blazepose.landmark-full +not here", shell.out, re.M)


def test_doctor_says_everything(shell: Shell) -> None:
    from pose3d.parts.doctor import PACKAGES, name_of

    shell("doctor")
    lines = shell.out.splitlines()
    assert all(line.split()[0] in ("ok", "warn", "fail") for line in lines)
    for word in (
        *map(name_of, PACKAGES),
        "python",
        "cores",
        "device",
        "H.264",
        "AV1",
        "libx264",
        "out",
    ):
        assert word in shell.out
    assert re.search(r"^ok +video encoder +H.264 \(libx264\), tried", shell.out, re.M)


def test_models_lists_every_kind(shell: Shell) -> None:
    assert shell("models") == 0
    table, _, presets = shell.out.partition("\n\n")
    assert {line.split()[0] for line in table.splitlines()[1:]} == {
        "detector",
        "keypoints",
        "lifter",
    }
    starts = [" ".join(line.split()[:2]) for line in presets.splitlines()]
    assert starts == ["preset fast:", "preset balanced:", "preset best:"]
    assert shell.out.count("(default)") == 3


def test_bench_run(shell: Shell, walk: Path) -> None:
    assert shell("bench run walk.mp4 --json") == 0
    times = json.loads(shell.out)
    assert (times["frames"], times["people"]) == (6, 1)
    parts = [s for s in times["stages"] if s["stage"] != "start-up"]
    assert {"detect", "keypoints"} < {s["stage"] for s in parts}
    # The rows add up to the whole (a busy machine may pause between two), and inference is the two
    # networks.
    added = sum(s["seconds"] for s in parts)
    assert 0.7 * times["chain_s"] < added <= times["chain_s"]
    networks = sum(s["seconds"] for s in parts if s["stage"] in ("detect", "keypoints"))
    assert times["inference_s"] == pytest.approx(networks)
    assert times["ratio"] == pytest.approx(times["chain_s"] / networks)
    assert networks < times["first_pass_s"] < times["chain_s"]
    assert shell("bench run walk.mp4") == 0
    assert "frames/s" in shell.out
    assert "over 2D inference alone" in shell.out


PEER = """#!/bin/sh
test -f "$3" && echo INFO: noise && echo {answer}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_bench_run_against_another_python(
    shell: Shell, walk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pose3d.lab.benchmarks.peer.ROUNDS", 1)
    python = walk.parent / "python"
    python.write_text(PEER.format(answer="12.5"))
    assert shell("bench run walk.mp4 --against ./python --render none") == 2  # may not be run
    assert "Permission denied" in shell.err
    python.chmod(0o755)
    assert shell("bench run walk.mp4 --against ./python --render none --json") == 0
    found = json.loads(shell.out)
    assert found["peer_ms"] == 12.5
    assert 0 < found["first_pass_ms"] < found["chain_ms"]
    assert found["chain_ratio"] == pytest.approx(found["chain_ms"] / 12.5)
    assert shell("bench run walk.mp4 --against ./python --render none") == 0
    assert "MediaPipe's loop" in shell.out
    python.write_text(PEER.format(answer="no number"))
    assert shell("bench run walk.mp4 --against ./python --render none") == 2
    assert "mediapipe 0.10.21" in shell.err


def test_train_lists_recipes(shell: Shell) -> None:
    from pose3d.lab.training.recipes import RECIPES

    assert shell("train") == 0
    names = {line.split()[0] for line in shell.out.splitlines() if "." in line.split(" ")[0]}
    assert names == set(RECIPES)


class SlowTrainer:
    """Stands in for the trainer: asks to be stopped in its third step."""

    fresh: tuple[str, ...] = ()
    signals = 1

    def __init__(self, recipe: Any, data: Any, out: Path, **_: Any) -> None:
        self.recipe, self.out, self.step, self.calls = recipe, out, 0, []

    def train(self, *, on_step: Callable[[int], None], **_: Any) -> float:
        import signal

        while True:
            if self.step == 2:
                for _ in range(self.signals):
                    signal.raise_signal(signal.SIGINT)
            self.step += 1
            on_step(self.step)

    def save(self) -> None:
        self.out.mkdir(parents=True)
        (self.out / "last.pt").write_text(str(self.step))


def test_training_is_saved_on_ctrl_c(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pose3d.lab.training.loop.Trainer", SlowTrainer)
    monkeypatch.setattr("pose3d.lab.training.data.load_training_data", lambda *_: None)
    assert shell("train hot-mixste.free27 --data . --out runs/x --device cpu") == 130
    # The step in which it came was finished first: half a step cannot be resumed.
    assert Path("runs/x/last.pt").read_text() == "3"
    assert "--resume goes on from there" in shell.out
    assert shell("train hot-mixste.free27 --data . --out runs/x") == 2
    assert "--resume" in shell.err


def test_a_second_ctrl_c_saves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes in the middle of a step, and half a step cannot be resumed."""
    monkeypatch.setattr("pose3d.lab.training.loop.Trainer", SlowTrainer)
    monkeypatch.setattr(SlowTrainer, "signals", 2)
    monkeypatch.setattr("pose3d.lab.training.data.load_training_data", lambda *_: None)
    assert shell("train hot-mixste.free27 --data . --out runs/x --device cpu") == 130
    assert not Path("runs/x/last.pt").exists()
    assert "saved" not in shell.out


@pytest.mark.slow
def test_the_real_thing(samples: Path, tmp_path: Path) -> None:
    """One second of a real clip, from the shell, with the real networks."""
    from tests.support.networks import require_blazepose

    require_blazepose()
    command = [sys.executable, "-m", "pose3d", "run", str(samples / "walk_turn.mp4")]
    command += ["--end", "1", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    pose = load(tmp_path / "out" / "walk_turn" / "pose.npz")
    with np.load(samples / "walk_turn.truth.npz") as truth:
        expected = truth["keypoints_px"][: pose.n_frames, 0]
    assert pose.n_frames == 30
    assert pose.n_people == 1
    assert grid(pose).keypoints_px is not None
    limbs = [pose.skeleton.index[f"{s}_{j}"] for s in ("left", "right") for j in ("knee", "ankle")]
    off_px = np.linalg.norm(grid(pose).keypoints_px[:, 0] - expected, axis=-1)[:, limbs]
    height_px = np.ptp(expected[..., 1], axis=1).mean()
    assert np.nanmedian(off_px) < 0.05 * height_px
