"""Wrong arguments of the library: taken where their meaning is clear, else a UsageError that names them."""

from __future__ import annotations

import io
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pose3d
from pose3d.errors import UsageError
from pose3d.options import CommandOptions, OutputOptions, RunOptions
from pose3d.parts.presets import make_options
from tests.pipeline.test_estimate import crowd
from tests.support import fakes

NOTHING: list[Any] = [None, 1.5, True, b"walk.mp4", io.BytesIO(b"x"), {"a": 1}, object()]
"""What no argument means."""
NO_PATH: list[Any] = [*NOTHING, 3, ["walk.mp4"], ("walk.mp4",), io.StringIO("x")]


@pytest.mark.parametrize(
    ("name", "given", "meaning"),
    [
        ("person", 1, "1"),
        ("person", [1, 3], "1,3"),
        ("person", (2,), "2"),
        ("person", np.array([4, 5]), "4,5"),
        ("person", np.int64(6), "6"),
        ("keep", 81, "81"),
        ("keep", [121, 81], "121,81"),
        ("at", (1, 2), "1,2"),
        ("device", torch.device("cpu"), "cpu"),
        ("device", torch.device("cuda", 1), "cuda:1"),
        ("lifter", Path("my.safetensors"), "my.safetensors"),
        ("end", 3, 3.0),
        ("end", np.float32(0.5), 0.5),
        ("start", Fraction(1, 4), 0.25),
        ("rotate", 90.0, 90),
        ("rotate", np.int32(90), 90),
        ("threads", np.int64(2), 2),
        ("smooth", np.bool_(False), False),
        ("rate", 25, 25.0),
    ],
)
def test_options_whose_meaning_is_clear(name: str, given: Any, meaning: Any) -> None:
    value = getattr(RunOptions(**{name: given}), name)
    assert value == meaning
    assert type(value) is type(meaning)
    assert make_options({name: given}) == RunOptions(**{name: meaning})


@pytest.mark.parametrize("options", [RunOptions, OutputOptions, CommandOptions])
def test_no_option_takes_what_it_cannot_mean(options: type) -> None:
    """Every field, whatever its type: no other exception, and never accepted."""
    for field in fields(options):
        for value in (b"1", io.BytesIO(), {"a": 1}, object(), [object()], {1: 2}.keys(), 1j):
            with pytest.raises(UsageError, match=rf"{field.name.replace('_', '.')} is "):
                options(**{field.name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("end", "0.2"),
        ("start", True),
        ("threads", "2"),
        ("threads", 1.5),
        ("detect_every", float("nan")),
        ("focal_px", 10**400),
        ("smooth", "yes"),
        ("smooth", 1),
        ("person", None),
        ("person", True),
        ("person", [True]),
        ("person", 1.5),
        ("device", 0),
        ("device", None),
        ("preset", ["best"]),
    ],
)
def test_options_that_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name} is "):
        make_options({name: value})


def test_a_numeric_text_is_no_number_and_the_message_says_so() -> None:
    with pytest.raises(UsageError, match=r"^end is '0\.2'"):
        RunOptions(end="0.2")  # type: ignore[arg-type]


def test_outputs_take_paths_and_one_format(tmp_path: Path) -> None:
    outputs = OutputOptions(output=tmp_path, format=["npz"])  # type: ignore[arg-type]
    assert outputs == OutputOptions(output=str(tmp_path), format=("npz",))
    assert OutputOptions(format="csv").format == ("csv",)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="format is "):
        OutputOptions(format=[1])  # type: ignore[arg-type]


def test_people_are_chosen_by_number(tmp_path: Path) -> None:
    from pose3d.pipeline.estimate import choose_people

    assert choose_people(crowd(), 2).person_ids.tolist() == [2]
    assert choose_people(crowd(), [2, 1]).person_ids.tolist() == [2, 1]
    with pytest.raises(UsageError, match="3"):
        pose3d.make_storyboard(crowd(), tmp_path / "x.png", person=[1, 3])


def calls(bad: Any, path: Path) -> list[tuple[str, Any]]:
    """One call for each argument that a value is wrong for, with the argument's name."""
    models, pose = fakes.load_fakes(RunOptions()), crowd()
    return [
        ("path", lambda: pose3d.read_keypoints(bad)),
        ("path", lambda: pose3d.load(bad)),
        ("path", lambda: pose3d.save(pose, bad)),
        ("path", lambda: pose3d.render_video(pose, None, bad)),
        ("path", lambda: pose3d.write_video(bad, (64, 48))),
        ("path", lambda: pose3d.make_storyboard(pose, bad)),
        ("options", lambda: pose3d.estimate("x.mp4", bad, models=models)),
        ("options", lambda: pose3d.run_batch([], bad)),
        ("options", lambda: pose3d.lift_keypoints(pose, bad)),
        ("options", lambda: pose3d.stream("x.mp4", bad, models=models)),
        ("outputs", lambda: pose3d.run_batch([], None, bad)),
        ("models", lambda: pose3d.estimate("x.mp4", models=bad)),
        ("lifter", lambda: pose3d.lift_keypoints(pose, lifter=bad)),
        ("on_progress", lambda: pose3d.estimate("x.mp4", models=models, on_progress=bad)),
        ("skeleton", lambda: pose3d.read_keypoints(path, skeleton=bad)),
        ("video", lambda: pose3d.read_keypoints(path, video=bad)),
        ("video", lambda: pose3d.render_video(pose, bad, path)),
        ("video", lambda: pose3d.make_storyboard(pose, path, video=bad)),
        ("audio_from", lambda: pose3d.write_video(path, (64, 48), audio_from=bad)),
        ("size_wh", lambda: pose3d.read_keypoints(path, size_wh=bad)),
    ]


@pytest.mark.parametrize("bad", NO_PATH, ids=lambda bad: type(bad).__name__)
def test_arguments_of_every_function_are_named(bad: Any, tmp_path: Path) -> None:
    for name, call in calls(bad, tmp_path / "x.mp4"):
        if bad is None and name != "path":
            continue  # the default
        with pytest.raises(UsageError, match=f"^{name} is "):
            call()


@pytest.mark.parametrize("bad", [*NOTHING, io.StringIO("x")], ids=lambda bad: type(bad).__name__)
def test_no_video(bad: Any) -> None:
    models = fakes.load_fakes(RunOptions())
    for name, call in (
        ("video", lambda: pose3d.estimate(bad, models=models)),
        ("video", lambda: pose3d.stream(bad, models=models)),
        ("path", lambda: pose3d.open_video(bad)),
        ("paths", lambda: pose3d.find_inputs(bad)),
        ("paths", lambda: pose3d.find_inputs([bad])),
        ("sources", lambda: pose3d.run_batch(bad)),
        ("sources", lambda: pose3d.run_batch([bad])),
        ("pose", lambda: pose3d.save(bad, "x.npz")),
        ("pose", lambda: pose3d.lift_keypoints(bad)),
        ("pose", lambda: pose3d.render_video(bad, None, "x.mp4")),
        ("pose", lambda: pose3d.make_storyboard(bad, "x.png")),
    ):
        with pytest.raises(UsageError, match=f"^{name} is "):
            call()


def test_an_open_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"x")
    with (
        path.open("rb") as file,
        pytest.raises(UsageError, match=r"^video is a BufferedReader"),
    ):
        pose3d.estimate(file)  # type: ignore[arg-type]


def test_the_rate_of_a_new_video_may_be_a_number(tmp_path: Path) -> None:
    with pose3d.write_video(tmp_path / "x.mp4", [64, 48], rate=30000 / 1001) as writer:  # type: ignore[arg-type]
        for index in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8), index * 1001 / 30000)
    with pose3d.open_video(tmp_path / "x.mp4") as video:
        assert video.info.rate == Fraction(30000, 1001)


def test_single_numbers_are_checked() -> None:
    for call, name in (
        (lambda: pose3d.open_video("x.mp4", start="1"), "start"),  # type: ignore[arg-type]
        (lambda: pose3d.write_video("x.mp4", ("64", 48)), "size_wh"),  # type: ignore[arg-type]
        (lambda: pose3d.write_video("x.mp4", 64), "size_wh"),  # type: ignore[arg-type]
        (lambda: pose3d.write_video("x.mp4", (64, 48), crf="9"), "crf"),  # type: ignore[arg-type]
        (lambda: pose3d.run_batch([], jobs="2"), "jobs"),  # type: ignore[arg-type]
        (lambda: pose3d.make_storyboard(crowd(), "x.png", frames=2.5), "frames"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=f"^{name} is "):
            call()


def test_inputs_are_found_by_paths_of_every_kind(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"x")
    both = pose3d.find_inputs([str(tmp_path)])
    assert pose3d.find_inputs(str(tmp_path)) == both  # not letter by letter
    assert pose3d.find_inputs(tmp_path) == both
    assert pose3d.find_inputs(sorted(tmp_path.glob("*.mp4"))) == both
    assert pose3d.find_inputs(p for p in sorted(tmp_path.glob("*.mp4"))) == both
    assert pose3d.find_inputs(0)[0].kind == pose3d.find_inputs([0])[0].kind == "camera"
