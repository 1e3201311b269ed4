"""Writing: what comes back when the file is read again, sound, and what is left after a failure."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pose3d.errors import UsageError, VideoError
from pose3d.video import writer as writer_module
from pose3d.video.reader import open_video
from pose3d.video.writer import write_video
from tests.support.clips import (
    click_times_s,
    draw_marker,
    find_clicks_s,
    find_marker,
    make_clip,
    marker_centre_px,
)

SIZE_WH = (96, 64)


def write_markers(
    path: Path, times_s: list[float], rate: Fraction | int = 30, **options: object
) -> list[str]:
    with write_video(path, SIZE_WH, rate=Fraction(rate), **options) as writer:  # type: ignore[arg-type]
        for index, time_s in enumerate(times_s):
            writer.write(draw_marker(index, SIZE_WH), time_s)
    return writer.warnings


@pytest.mark.parametrize(
    "rate",
    [Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(5), Fraction(25, 3)],
)
def test_round_trip_of_pictures_and_times(tmp_path: Path, rate: Fraction) -> None:
    path = tmp_path / "out ü.mp4"
    write_markers(path, [float(i / rate) for i in range(30)], rate)
    with open_video(path) as video:
        frames = list(video)
        info = video.exact_info()
    assert (info.n_frames, info.rate, info.variable_rate) == (30, rate, False)
    assert [f.time_s for f in frames] == [float(i / rate) for i in range(30)]
    wanted = [marker_centre_px(i, SIZE_WH) for i in range(30)]
    np.testing.assert_allclose([find_marker(f.image) for f in frames], wanted, atol=0.75)
    # The container's own length: the last frame is shown as long as the others.
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == 30 / rate


def pretend_hardware(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(writer_module, "HARDWARE", names)
    uncached = writer_module._working_hardware.__wrapped__
    monkeypatch.setattr(writer_module, "_working_hardware", uncached)


@pytest.mark.parametrize("pixels", ["yuv420p", "nv12"])
def test_the_first_hardware_encoder_that_works_encodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: str
) -> None:
    """libx264 stands for the hardware: it is the only encoder that works everywhere."""
    pretend_hardware(monkeypatch, "h264_of_nobody", "libx264", "mpeg4")
    monkeypatch.setattr(writer_module, "_pixels_of", lambda _: pixels)
    size_wh, rate = (640, 360), 30
    blots = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    ground = cv2.resize(blots, (1280, 720))  # of which the camera sees a part
    pictures = [ground[4 * i :, 7 * i :][:360, :640] for i in range(90)]
    with write_video(tmp_path / "a.mp4", size_wh, rate=rate, encoder="hardware") as writer:
        for index, picture in enumerate(pictures):
            writer.write(picture, index / rate)
    assert writer.warnings == []
    bits = 8 * (tmp_path / "a.mp4").stat().st_size / (90 * 640 * 360)
    assert 0.05 < bits < 0.2  # by bit rate; crf 23 gives 0.044
    with open_video(tmp_path / "a.mp4") as video:
        seen = [frame.image for frame in video]
    off = [np.abs(a.astype(int) - b).mean() for a, b in zip(seen, pictures, strict=True)]
    assert max(off) < 10  # colours exchanged: 39; a frame late: 31


def test_without_hardware_x264_encodes_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_hardware(monkeypatch, "h264_of_nobody", "h264_v4l2m2m")
    write_markers(tmp_path / "x264.mp4", [0.0, 0.1], crf=20)
    warnings = write_markers(tmp_path / "a.mp4", [0.0, 0.1], crf=20, encoder="hardware")
    assert len(warnings) == 1
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "x264.mp4").read_bytes()


def test_varying_times_are_kept(tmp_path: Path) -> None:
    times_s = [0.0, 0.033, 0.1, 0.5, 0.51, 2.9]
    write_markers(tmp_path / "out.mp4", times_s)
    with open_video(tmp_path / "out.mp4") as video:
        assert [f.time_s for f in video] == times_s


def test_output_begins_with_the_first_written_frame(tmp_path: Path) -> None:
    write_markers(tmp_path / "out.mp4", [5.0, 5.04, 5.08], 25)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [f.time for f in container.decode(video=0)] == [0.0, 0.04, 0.08]


def test_file_plays_everywhere(tmp_path: Path) -> None:
    """H.264 yuv420p, BT.709 tags, index before data."""
    path = tmp_path / "out.mp4"
    write_markers(path, [i / 30 for i in range(100)])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
        assert frame.color_range == 1  # limited
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("size_wh", "colour"),
    [
        *(((96, 64), colour) for colour in ((230, 20, 20), (20, 230, 20), (255,) * 3, (0, 0, 0))),
        *(((1280, 720), colour) for colour in ((20, 20, 230), (90, 120, 200))),
    ],
)
def test_colours_come_back(
    tmp_path: Path, size_wh: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    image = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    image[:] = colour
    with write_video(tmp_path / "c.mp4", size_wh, rate=Fraction(25)) as writer:
        writer.write(image, 0.0)
    with open_video(tmp_path / "c.mp4") as video:
        back = next(iter(video)).image
    np.testing.assert_allclose(back.mean((0, 1)), colour, atol=4)


@pytest.mark.parametrize("size_wh", [(97, 65), (97, 64), (96, 65), (1, 1), (17, 31)])
def test_odd_sizes_are_padded_with_the_edge(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = np.linspace(40, 220, width)[None, :, None]
    with write_video(tmp_path / "odd.mp4", size_wh, rate=Fraction(25), crf=5) as writer:
        writer.write(image, 0.0)
    with open_video(tmp_path / "odd.mp4") as video:
        back = next(iter(video)).image
    assert back.shape == (height + height % 2, width + width % 2, 3)
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    np.testing.assert_allclose(back.astype(float), padded, atol=8)


def test_written_picture_may_be_reused(tmp_path: Path) -> None:
    """The writer keeps no reference: one buffer, drawn on again and again."""
    buffer = np.empty((64, 96, 3), np.uint8)
    with write_video(tmp_path / "a.mp4", SIZE_WH, rate=Fraction(30)) as writer:
        for index in range(20):
            buffer[:] = draw_marker(index, SIZE_WH)
            writer.write(buffer, index / 30)
    with open_video(tmp_path / "a.mp4") as video:
        for frame in video:
            np.testing.assert_allclose(
                find_marker(frame.image), marker_centre_px(frame.index, SIZE_WH), atol=0.75
            )


def test_pictures_that_are_slices(tmp_path: Path) -> None:
    wide = np.concatenate([draw_marker(3, SIZE_WH), np.zeros((64, 10, 3), np.uint8)], axis=1)
    with write_video(tmp_path / "a.mp4", SIZE_WH, rate=Fraction(30)) as writer:
        writer.write(wide[:, :96], 0.0)
    with open_video(tmp_path / "a.mp4") as video:
        seen = find_marker(next(iter(video)).image)
    np.testing.assert_allclose(seen, marker_centre_px(3, SIZE_WH), atol=0.75)


# -- sound ---------------------------------------------------------------------------------------

SOUNDS = [
    ("a.mp4", "libx264", "aac", 44100, "aac"),
    ("a.mkv", "libx264", "libmp3lame", 44100, "mp3"),
    ("a.mkv", "libx264", "ac3", 48000, "ac3"),
    ("a.webm", "libvpx-vp9", "libopus", 48000, "opus"),
    ("a.ts", "libx264", "aac", 44100, "aac"),
    ("a.mov", "libx264", "pcm_s16le", 44100, "aac"),
    ("a.mkv", "libx264", "flac", 44100, "flac"),
    ("a.mkv", "libx264", "pcm_s16le", 22050, "aac"),
]


WHOLE, PART = (0.0, 3.0), (1.1, 2.35)
HEARD = [(*row, PART) for row in SOUNDS] + [(*row, WHOLE) for row in SOUNDS[::3]]


@pytest.mark.parametrize(
    ("name", "codec", "audio", "audio_hz", "kept_as", "span"),
    HEARD,
    ids=[f"{row[2]}-{row[0]}-{row[5][0]}" for row in HEARD],
)
def test_sound_is_kept_in_step(
    tmp_path: Path,
    name: str,
    codec: str,
    audio: str,
    audio_hz: int,
    kept_as: str,
    span: tuple[float, float],
) -> None:
    """Clicks at known times: they come back at the same times relative to the pictures."""
    options = {"cpu-used": "8"} if codec == "libvpx-vp9" else {"g": "15"}
    clip = make_clip(
        tmp_path / name, n_frames=90, codec=codec, audio=audio, audio_hz=audio_hz, options=options
    )
    out = tmp_path / "out.mp4"
    start, end = span
    with (
        open_video(clip.path, start=start, end=end) as video,
        write_video(
            out, SIZE_WH, rate=Fraction(30), audio_from=clip.path, audio_range=span
        ) as writer,
    ):
        times_s = []
        for frame in video:
            writer.write(frame.image, frame.time_s)
            times_s.append(frame.time_s)
    assert writer.warnings == []
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == kept_as
    source = find_clicks_s(clip.path)
    with av.open(str(clip.path)) as container:
        zero_s = next(container.decode(video=0)).time
    wanted = source - zero_s
    assert len(wanted) >= 5
    np.testing.assert_allclose(wanted, click_times_s(3.0)[: len(wanted)], atol=0.04)
    wanted = wanted[(wanted > times_s[0] + 0.05) & (wanted < end - 0.05)] - times_s[0]
    heard = find_clicks_s(out)
    heard = heard[(heard > 0.05) & (heard < end - times_s[0] - 0.05)]
    np.testing.assert_allclose(heard, wanted, atol=0.003)


def test_sound_is_cut_to_the_range(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=30, audio="aac", audio_s=10.0)
    write_markers(tmp_path / "b.mp4", [i / 30 for i in range(30)], audio_from=clip.path,
                  audio_range=(0.0, 1.0))  # fmt: skip
    write_markers(tmp_path / "c.mp4", [i / 30 for i in range(30)], audio_from=clip.path)
    for name, length_s in (("b.mp4", 1.0), ("c.mp4", 10.0)):
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.audio[0]
            # A packet of AAC is 1024 samples, 23 ms.
            assert abs(float(stream.duration * stream.time_base) - length_s) < 0.06


def test_source_without_sound(tmp_path: Path) -> None:
    silent = make_clip(tmp_path / "silent.mp4")
    hollow = make_clip(tmp_path / "hollow.mkv", audio="aac", audio_s=0)
    with av.open(str(hollow.path)) as container:
        assert container.streams.audio, "this clip is meant to state a sound that it has not"
    brief = make_clip(tmp_path / "brief.mp4", audio="aac", audio_s=0.2)
    for clip, time_s in ((silent, 0.0), (hollow, 0.0), (brief, 5.0)):
        out = tmp_path / "out.mp4"
        write_markers(out, [time_s, time_s + 0.04], audio_from=clip.path)
        assert out.read_bytes().count(b"trak") == 1
        with open_video(out) as video:
            assert len(list(video)) == 2


def test_sound_with_one_sample_and_sound_that_ends_early(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=30, audio="aac", audio_s=0.3)
    write_markers(tmp_path / "out.mp4", [i / 30 for i in range(30)], audio_from=clip.path)
    assert len(find_clicks_s(tmp_path / "out.mp4")) == 1


def test_sound_from_a_missing_file(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError),
        write_video(tmp_path / "o.mp4", SIZE_WH, rate=Fraction(30), audio_from=tmp_path / "no.mp4"),
    ):
        pytest.fail("must not get here")
    assert os.listdir(tmp_path) == []


# -- failures ------------------------------------------------------------------------------------


def test_nothing_is_there_until_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    with write_video(path, SIZE_WH, rate=Fraction(30)) as writer:
        writer.write(draw_marker(0, SIZE_WH), 0.0)
        assert path.read_bytes() == b"the old one"
        assert {p.name for p in tmp_path.iterdir()} == {"out.mp4", writer.part_path.name}
        assert writer.part_path.name.startswith(".")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    with open_video(path) as video:
        assert len(list(video)) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("n_written", [0, 1, 40])
def test_an_exception_leaves_nothing(
    tmp_path: Path, error: type[BaseException], n_written: int
) -> None:
    def write_and_fail() -> None:
        with write_video(tmp_path / "out.mp4", SIZE_WH, rate=Fraction(30)) as writer:
            for i in range(n_written):
                writer.write(draw_marker(i, SIZE_WH), i / 30)
            raise error("broken off")

    with pytest.raises(error, match="broken off"):
        write_and_fail()
    assert os.listdir(tmp_path) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with (
        write_video(path, SIZE_WH, rate=Fraction(30)) as a,
        write_video(path, SIZE_WH, rate=Fraction(30)) as b,
    ):
        for i in range(5):
            a.write(draw_marker(i, SIZE_WH), i / 30)
            b.write(draw_marker(i, SIZE_WH), i / 30)
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_no_frame_written(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError),
        write_video(tmp_path / "out.mp4", SIZE_WH, rate=Fraction(30)),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    folders = [tmp_path / "missing"]
    if sys.platform == "linux":
        folders.append(Path("/sys/kernel"))  # read-only for root, too
    for folder in folders:
        with pytest.raises(VideoError, match=r"out\.mp4") as caught:
            write_video(folder / "out.mp4", SIZE_WH, rate=Fraction(30)).__enter__()
        assert str(folder / "out.mp4") in caught.value.what


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file size")
def test_full_disk(tmp_path: Path) -> None:
    """A limit on the file size stands for the full disk: the write call fails in the same place."""
    import resource

    random = np.random.default_rng(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_too_much() -> None:
        with write_video(tmp_path / "out.mp4", SIZE_WH, rate=Fraction(30), crf=1) as writer:
            for i in range(60):
                noise = random.integers(0, 255, (64, 96, 3), dtype=np.uint8)
                writer.write(noise, i / 30)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(VideoError):
            write_too_much()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    for rate in (Fraction(0), float("nan")):
        with pytest.raises(UsageError, match="rate"):
            write_video(tmp_path / "a.mp4", SIZE_WH, rate=rate)
    with pytest.raises(UsageError, match="suffix"):
        write_video(tmp_path / "a.txt", SIZE_WH, rate=Fraction(30))
    with pytest.raises(UsageError, match="preset"):
        write_video(tmp_path / "a.mp4", SIZE_WH, preset="quick")
    with pytest.raises(UsageError, match="encoder"):
        write_video(tmp_path / "a.mp4", SIZE_WH, encoder="nvenc")
    for crf in (-1, 52):
        with pytest.raises(UsageError, match="crf"):
            write_video(tmp_path / "a.mp4", SIZE_WH, crf=crf)
    with write_video(tmp_path / "a.mp4", SIZE_WH, rate=Fraction(30)) as writer:
        writer.write(draw_marker(0, SIZE_WH), 0.5)
        for time_s in (0.5, float("nan"), "0.6", None):
            with pytest.raises(UsageError, match=r"^time_s is"):
                writer.write(draw_marker(1, SIZE_WH), time_s)  # type: ignore[arg-type]
        for image in (
            np.zeros((10, 10, 3), np.uint8),
            draw_marker(1, SIZE_WH) * 1.0,
            None,
            [[[1]]],
        ):
            with pytest.raises(UsageError, match=r"^image is"):
                writer.write(image, 0.6)  # type: ignore[arg-type]


def test_single_encoder_settings_reach_the_encoder(tmp_path: Path) -> None:
    """x264 writes its settings into the stream."""
    path = tmp_path / "out.mp4"
    with write_video(
        path, (64, 48), rate=Fraction(25), x264_params="subme=1:rc-lookahead=5"
    ) as out:
        out.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    assert b"subme=1 " in path.read_bytes()
    assert b"rc_lookahead=5 " in path.read_bytes()
