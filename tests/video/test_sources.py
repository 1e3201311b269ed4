"""From what a user types to a list of clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose3d.errors import UsageError, VideoError
from pose3d.video.sources import Source, find_inputs, natural_key


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root: Path, *args: str, **options: bool) -> list[tuple[str, str, str]]:
    found = find_inputs([str(root / arg) for arg in args], **options)
    return [(Path(os.path.relpath(s.path, root)).as_posix(), s.kind, s.stem) for s in found]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "data.bin", "no_suffix", "ü b 走.mkv")
    assert listed(tmp_path, "data.bin", "no_suffix", "ü b 走.mkv", "a.mp4") == [
        ("data.bin", "file", "data"),
        ("no_suffix", "file", "no_suffix"),
        ("ü b 走.mkv", "file", "ü b 走"),
        ("a.mp4", "file", "a"),
    ]


def test_folder_gives_its_videos_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "clip10.mp4", "clip2.MOV", "README.md", "thumb.jpg", ".hidden.mp4",
          ".cache/x.mp4", "sub/clip1.gif", "sub/deep/clip3.webm")  # fmt: skip
    assert listed(tmp_path, ".") == [
        ("clip2.MOV", "file", "clip2"),
        ("clip10.mp4", "file", "clip10"),
        ("sub/clip1.gif", "file", "clip1"),
        ("sub/deep/clip3.webm", "file", "clip3"),
    ]
    assert [p for p, _, _ in listed(tmp_path, ".", recursive=False)] == ["clip2.MOV", "clip10.mp4"]


def test_folder_of_images_is_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, "seq/1.png", "seq/2.png", "seq/labels.json")
    touch(tmp_path, "set/walk/1.jpg", "set/run/1.jpg", "set/cover.jpg", "set/run/x.mp4")
    assert listed(tmp_path, "seq") == [("seq", "images", "seq")]
    assert listed(tmp_path, "set") == [
        ("set/run/x.mp4", "file", "x"),
        ("set/walk", "images", "walk"),
    ]


def test_image_folder_named_as_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "seq/1.png")
    monkeypatch.chdir(tmp_path / "seq")
    assert find_inputs(["."]) == [Source(path=".", kind="images", stem="seq")]


def test_results_are_no_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "walk.mp4", "out/walk/walk.mp4", "out/walk/pose.npz", "out/walk/pose.json")
    assert listed(tmp_path, ".") == [("walk.mp4", "file", "walk")]
    assert listed(tmp_path, "out/walk") == [("out/walk/walk.mp4", "file", "walk")]


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "a10.mp4", "a2.mp4", "a.txt", "b/a3.mp4", "[x].mp4", "one.dat", "two.dat")
    assert [p for p, _, _ in listed(tmp_path, "a*")] == ["a2.mp4", "a10.mp4"]
    assert [p for p, _, _ in listed(tmp_path, "**/a?.mp4")] == ["a2.mp4", "b/a3.mp4"]
    assert [p for p, _, _ in listed(tmp_path, "[x].mp4")] == ["[x].mp4"]  # exists: no pattern
    assert [p for p, _, _ in listed(tmp_path, "*.dat")] == ["one.dat", "two.dat"]


def test_what_is_named_twice_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert [p for p, _, _ in listed(tmp_path, "b.mp4", "a.mp4", ".", "*.mp4", "link.mp4")] == [
        "b.mp4",
        "a.mp4",
    ]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.mp4")
    touch(tmp_path, "elsewhere/b.mp4")
    (tmp_path / "d" / "loop").symlink_to(tmp_path / "d", target_is_directory=True)
    (tmp_path / "d" / "other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert listed(tmp_path, "d") == [("d/a.mp4", "file", "a")]
    # A link that is named itself is meant.
    assert listed(tmp_path, "d/other") == [("d/other/b.mp4", "file", "b")]


def test_stems_are_unique(tmp_path: Path) -> None:
    names = ["a/walk.mp4", "b/walk.mp4", "c/Walk.mov", "d/walk-2.mp4", "e/clip .mp4"]
    touch(tmp_path, *names)
    stems = [stem for _, _, stem in listed(tmp_path, *names)]
    assert stems == ["walk", "walk-2", "Walk-3", "walk-2-2", "clip"]


def test_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_inputs(["0"]) == [Source(path="0", kind="camera", stem="camera-0")]
    touch(tmp_path, "0")
    assert find_inputs(["0"])[0].kind == "file"


def test_errors_say_what_and_what_to_do(tmp_path: Path) -> None:
    touch(tmp_path, "empty/notes.txt", "deep/sub/a.mp4", "frames/1.png")
    cases = [
        ("missing.mp4", VideoError),
        ("empty", VideoError),
        ("*.avi", UsageError),
        ("frames/*.png", UsageError),
    ]
    for name, kind in cases:
        with pytest.raises(kind) as caught:
            find_inputs([str(tmp_path / name)])
        assert name in str(caught.value)
        assert caught.value.todo
    with pytest.raises(VideoError):
        find_inputs([str(tmp_path / "deep")], recursive=False)
    with pytest.raises(UsageError):
        find_inputs([])


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20, unique=True))
def test_natural_order_is_numeric(numbers: list[int]) -> None:
    """Property: names that differ in a number only sort by that number."""
    names = [f"img{n}_left.png" for n in numbers]
    assert sorted(names, key=natural_key) == [f"img{n}_left.png" for n in sorted(numbers)]


@given(st.lists(st.text(max_size=8), max_size=10))
def test_natural_order_takes_any_name(names: list[str]) -> None:
    """Property: never fails (numbers against letters, odd digits), and is a total order."""
    once = sorted(names, key=natural_key)
    backwards = once[::-1]
    assert sorted(backwards, key=natural_key) == once
