"""Reading clips of known content: pictures, times, ranges, damage."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pose3d.errors import UsageError, VideoError
from pose3d.video.decode import FileSource
from pose3d.video.reader import VideoFrame, open_video
from pose3d.video.sources import VIDEO_SUFFIXES
from tests.support.clips import Clip, draw_marker, find_marker, make_clip, write_images

TICK_S = {".webm": 1e-3, ".mkv": 1e-3, ".gif": 1e-2}


def read_all(path: Path | str | int, **options: object) -> list[VideoFrame]:
    with open_video(path, **options) as video:  # type: ignore[arg-type]
        return list(video)


def assert_shows(
    frames: list[VideoFrame], clip: Clip, first: int = 0, atol_px: float = 0.75
) -> None:
    """The frames are those of the clip from ``first`` on: the marker where it was drawn."""
    seen = np.array([find_marker(frame.image) for frame in frames])
    np.testing.assert_allclose(seen, clip.marker_px[first : first + len(frames)], atol=atol_px)


CODECS = [
    ("h264.mp4", "libx264", "yuv420p", {}),
    ("h264.mkv", "libx264", "yuv420p", {}),
    ("h264.ts", "libx264", "yuv420p", {}),
    ("h264_bframes.avi", "libx264", "yuv420p", {"bf": "2"}),
    ("bare.h264", "libx264", "yuv420p", {}),
    ("hevc10.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
    ("av1.mp4", "libsvtav1", "yuv420p", {"preset": "12"}),
    ("vp9.webm", "libvpx-vp9", "yuv420p", {"cpu-used": "8"}),
    ("mpeg4.mp4", "mpeg4", "yuv420p", {}),
    ("mpeg4_bframes.avi", "mpeg4", "yuv420p", {"bf": "2"}),
    ("pal.gif", "gif", "rgb8", {}),
    ("mjpeg.avi", "mjpeg", "yuvj420p", {}),
    ("rgb.mkv", "ffv1", "bgr0", {}),
]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"), CODECS, ids=[row[0] for row in CODECS]
)
def test_every_codec_gives_the_pictures_and_times(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    # 25 fps: hundredths of a second (GIF) divide it.
    clip = make_clip(
        tmp_path / name, n_frames=20, rate=25, codec=codec, pix_fmt=pix_fmt, options=options
    )
    with open_video(clip.path) as video:
        frames = list(video)
        info = video.exact_info()
    assert_shows(frames, clip)
    tolerance_s = TICK_S.get(clip.path.suffix, 1e-9)
    np.testing.assert_allclose(
        [f.time_s for f in frames], [float(t) for t in clip.time_s], atol=tolerance_s
    )
    assert [f.index for f in frames] == list(range(20))
    assert (info.n_frames, info.rate, info.variable_rate) == (20, 25, False)
    assert info.size_wh == clip.size_wh
    image = frames[0].image
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


# FFmpeg's muxer and encoder -> suffixes of what they write.
WRITERS = {
    ("mp4", "libx264"): ".mp4 .m4v .f4v",
    ("mov", "libx264"): ".mov",
    ("matroska", "libx264"): ".mkv",
    ("webm", "libvpx"): ".webm",
    ("avi", "mpeg4"): ".avi .divx",
    ("gif", "gif"): ".gif",
    ("apng", "apng"): ".apng",
    ("mpeg", "mpeg2video"): ".mpg .mpeg",
    ("vob", "mpeg2video"): ".vob",
    ("mpeg2video", "mpeg2video"): ".m2v",
    ("mpegts", "libx264"): ".ts .mts .m2ts",
    ("asf", "wmv2"): ".wmv .asf",
    ("flv", "flv"): ".flv",
    ("3gp", "mpeg4"): ".3gp",
    ("3g2", "mpeg4"): ".3g2",
    ("ogg", "libvpx"): ".ogv",
    ("mxf", "mpeg2video"): ".mxf",
    ("yuv4mpegpipe", "wrapped_avframe"): ".y4m",
    ("h264", "libx264"): ".h264 .264",
    ("hevc", "libx265"): ".h265 .hevc .265",
    ("ivf", "libvpx"): ".ivf",
    ("obu", "libsvtav1"): ".obu",
    ("rm", "rv20"): ".rm .rmvb",
    ("dv", "dvvideo"): ".dv",
    ("mjpeg", "mjpeg"): ".mjpeg .mjpg",
}
PIX_FMTS = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_every_suffix_is_opened(tmp_path: Path, suffix: str) -> None:
    container, codec = next(w for w, suffixes in WRITERS.items() if suffix in suffixes.split())
    clip = make_clip(
        tmp_path / f"a{suffix}",
        n_frames=6,
        rate=25,
        size_wh=(720, 576) if codec == "dvvideo" else (176, 144),
        codec=codec,
        pix_fmt=PIX_FMTS.get(codec, "yuv420p"),
        container=container,
    )
    frames = read_all(clip.path)
    assert len(frames) == 6
    if codec != "dvvideo":  # its pixels are not square
        assert_shows(frames, clip, atol_px=2)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_pictures_that_an_avi_leaves_out_cost_no_second_reading(
    tmp_path: Path, b_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPEG-4 has packets without a picture for them; the last pictures of an AVI have no times."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        options = {"bf": str(b_frames), "g": "10"}
        stream = output.add_stream("mpeg4", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        packets = []
        for index in range(61):
            frame = None
            if index < 60:
                image = av.VideoFrame.from_ndarray(draw_marker(index, (96, 64)), format="rgb24")
                frame = image.reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += stream.encode(frame)
        for place in (20, 30):
            packets.insert(place, av.Packet(bytes.fromhex("000001b6504f")))  # vop_coded = 0
        for index, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts, packet.dts = None, index
            output.mux(packet)
    decoded = 0
    read = FileSource._read

    def counted(source: FileSource, *, forgiving: bool) -> Iterator[av.VideoFrame]:
        nonlocal decoded
        for frame in read(source, forgiving=forgiving):
            decoded += 1
            yield frame

    monkeypatch.setattr(FileSource, "_read", counted)
    with open_video(path) as video:
        frames = list(video)
    with av.open(str(path)) as container:  # by one thread
        assert len(frames) == sum(1 for _ in container.decode(video=0))
    assert decoded < len(frames) + 15  # the last group of pictures
    assert (np.diff([f.time_s for f in frames]) > 0).all()
    assert not video.warnings


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_display_matrix_is_applied(tmp_path: Path, turn_deg: int, mirror: bool) -> None:
    clip = make_clip(tmp_path / "phone.mp4", turn_deg=turn_deg, mirror=mirror, size_wh=(64, 112))
    with open_video(clip.path) as video:
        assert video.info.size_wh == (64, 112)
        assert video.info.rotation_deg == turn_deg
        assert_shows(list(video), clip)


def test_rotate_replaces_the_turn_of_the_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "phone.mp4", turn_deg=90, size_wh=(64, 112))
    stored = read_all(clip.path, rotate=0)[0].image
    assert stored.shape == (64, 112, 3)
    np.testing.assert_array_equal(read_all(clip.path)[0].image, np.rot90(stored, -1))
    np.testing.assert_array_equal(read_all(clip.path, rotate=180)[0].image, np.rot90(stored, 2))


def test_phone_sample_is_upright(samples: Path) -> None:
    """A real phone layout: stored 1920x1080, shown portrait; the truth's wrist is on skin."""
    truth = np.load(samples / "portrait_phone.truth.npz")
    with open_video(samples / "portrait_phone.mp4") as video:
        assert video.info.size_wh == tuple(truth["size_wh"]) == (1080, 1920)
        assert video.info.rotation_deg == 90
        assert video.info.has_audio
        frame = next(iter(video))
    names = [str(n) for n in truth["joint_names"]]
    x, y = truth["keypoints_px"][0, 0, names.index("thorax")]
    red, green, blue = frame.image[int(y) - 5 : int(y) + 5, int(x) - 5 : int(x) + 5].mean((0, 1))
    assert red > 2 * max(green, blue), "there is no red shirt where the thorax should be"


@pytest.mark.parametrize("size_wh", [(97, 64), (96, 65), (97, 65)])
def test_odd_sizes(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    clip = make_clip(tmp_path / "odd.mp4", size_wh=size_wh, pix_fmt="yuv444p")
    frames = read_all(clip.path)
    assert frames[0].image.shape == (size_wh[1], size_wh[0], 3)
    assert frames[0].image.flags.c_contiguous
    assert_shows(frames, clip)


@pytest.mark.parametrize(
    ("aspect", "shown_wh"),
    [(Fraction(4, 3), (128, 64)), (Fraction(1, 2), (96, 128)), (Fraction(1000, 999), (96, 64))],
)
def test_anamorphic_is_shown_with_square_pixels(
    tmp_path: Path, aspect: Fraction, shown_wh: tuple[int, int]
) -> None:
    clip = make_clip(tmp_path / "wide.mp4", sample_aspect=aspect)
    frames = read_all(clip.path)
    assert frames[0].image.shape == (shown_wh[1], shown_wh[0], 3)
    scale = np.array(shown_wh) / (96, 64)
    seen = [find_marker(f.image) for f in frames]
    np.testing.assert_allclose(seen, clip.marker_px * scale, atol=0.75)


@pytest.mark.parametrize(
    ("size_wh", "matrix", "tagged"),
    [((96, 64), 6, False), ((1280, 720), 1, False), ((96, 64), 1, True), ((1280, 720), 6, True)],
)
def test_colours_follow_tag_or_custom(
    tmp_path: Path, size_wh: tuple[int, int], matrix: int, tagged: bool
) -> None:
    """Truth: the YCbCr equations of BT.601 / BT.709, limited range, computed here by hand."""
    kr, kb = {6: (0.299, 0.114), 1: (0.2126, 0.0722)}[matrix]
    wanted = np.array([200.0, 60.0, 30.0])
    luma = kr * wanted[0] + (1 - kr - kb) * wanted[1] + kb * wanted[2]
    cb, cr = (wanted[2] - luma) / (2 - 2 * kb), (wanted[0] - luma) / (2 - 2 * kr)
    y, u, v = 16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255
    width, height = size_wh
    planes = np.concatenate(
        [
            np.full(width * height, y),
            np.full(width * height // 4, u),
            np.full(width * height // 4, v),
        ]
    )
    frame = av.VideoFrame.from_ndarray(
        planes.round().astype(np.uint8).reshape(height * 3 // 2, width), format="yuv420p"
    )
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height = size_wh
        if tagged:
            stream.codec_context.colorspace = matrix
            frame.colorspace = matrix
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    np.testing.assert_allclose(read_all(path)[0].image.mean((0, 1)), wanted, atol=4)


# -- times ---------------------------------------------------------------------------------------


def test_variable_rate_times_are_exact(tmp_path: Path) -> None:
    time_s = [Fraction(t, 1000) for t in (0, 33, 100, 500, 510, 900, 933)]
    clip = make_clip(tmp_path / "vfr.mp4", time_s=time_s)
    with open_video(clip.path) as video:
        frames = list(video)
        info = video.exact_info()
    assert [f.time_s for f in frames] == [float(t) for t in time_s]
    assert info.variable_rate
    assert info.rate == 20  # the median of 33, 67, 400, 10, 390 and 33 ms
    assert_shows(frames, clip)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
def test_any_list_of_durations_comes_back(tmp_path: Path, durations_ms: list[int]) -> None:
    """Property: encode and decode keep every time; strictly increasing."""
    ticks = [0, *np.cumsum(durations_ms).tolist()]
    clip = make_clip(
        tmp_path / "any.mp4",
        time_s=[Fraction(t, 1000) for t in ticks],
        options={"preset": "ultrafast"},
        size_wh=(48, 48),
    )
    times = [f.time_s for f in read_all(clip.path)]
    assert times == [t / 1000 for t in ticks]


def test_clock_begins_with_the_first_picture(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "late.ts", first_pts_s=Fraction(7), n_frames=5)
    assert read_all(clip.path)[0].time_s == 0.0
    np.testing.assert_allclose(
        [f.time_s for f in read_all(clip.path, start=0.05)], [2 / 30, 3 / 30, 4 / 30], atol=1e-9
    )


def test_ntsc_rate_is_exact(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "ntsc.mp4", rate=Fraction(30000, 1001), n_frames=10)
    with open_video(clip.path) as video:
        frames = list(video)
        assert video.exact_info().rate == Fraction(30000, 1001)
    assert frames[7].time_s == float(Fraction(7 * 1001, 30000))


# -- ranges --------------------------------------------------------------------------------------

RANGES = [(None, 0.5), (0.5, None), (1.0, 1.2), (1.999, 2.7), (0.1, 0.1001), (2.0, 99.0)]
SEEKABLE = [
    ("seek.mp4", "libx264", {"g": "20", "bf": "3"}),
    (
        "open_gop.mp4",
        "libx265",
        {"x265-params": "log-level=none:keyint=20:min-keyint=20:bframes=3"},
    ),
    ("seek.mkv", "libx264", {"g": "20"}),
    ("seek.ts", "libx264", {"g": "20"}),
    ("seek.avi", "mpeg4", {"g": "20", "bf": "2"}),
    ("seek.webm", "libvpx-vp9", {"g": "20", "cpu-used": "8"}),
    ("bare.h264", "libx264", {"g": "20"}),
    ("seek.gif", "gif", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), SEEKABLE, ids=[row[0] for row in SEEKABLE])
def test_a_range_is_the_whole_clip_cut(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    """Twin: seeking gives the very frames that reading everything and cutting gives."""
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
    clip = make_clip(
        tmp_path / name,
        n_frames=90,
        size_wh=(64, 48),
        codec=codec,
        pix_fmt=pix_fmt,
        options=options,
    )
    whole = read_all(clip.path)
    assert len(whole) == 90
    for start, end in RANGES:
        wanted = [f for f in whole if (start or 0) - 1e-6 <= f.time_s < (end or 1e9) - 1e-6]
        if not wanted:
            with pytest.raises(VideoError):
                open_video(clip.path, start=start, end=end)
            continue
        got = read_all(clip.path, start=start, end=end)
        # At the cut of a stream with lossy references the pictures are equal to the last bit.
        np.testing.assert_allclose([f.time_s for f in got], [f.time_s for f in wanted], atol=1e-9)
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(a.image, b.image)
        assert [f.index for f in got] == list(range(len(got)))


def test_range_info_counts_the_range(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=60)
    with open_video(clip.path, start=0.5, end=1.0) as video:
        assert video.info.n_frames == 15
        assert len(list(video)) == 15
        assert video.exact_info().n_frames == 15


def test_empty_range_says_how_long_the_clip_is(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=60)
    with pytest.raises(VideoError, match=r"2\.000 s"):
        open_video(clip.path, start=5.0)
    with pytest.raises(UsageError, match="end"):
        open_video(clip.path, start=1.0, end=1.0)


# -- reader --------------------------------------------------------------------------------------


def test_info_before_and_after(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a b ü 走.mp4", n_frames=30, audio="aac")
    with open_video(clip.path) as video:
        info = video.info
    assert (info.n_frames, info.rate, info.size_wh) == (30, 30, (96, 64))
    assert info.has_audio
    assert info.path == str(clip.path)
    with open_video(clip.path) as video:
        with pytest.raises(VideoError):
            video.exact_info()
        assert len(list(video)) == 30
        assert video.warnings == []
        with pytest.raises(VideoError):
            iter(video)


def test_reading_holds_no_frames(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", n_frames=60)
    alive: list[weakref.ref[np.ndarray]] = []
    with open_video(clip.path) as video:
        for frame in video:
            alive.append(weakref.ref(frame.image))
            del frame
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 1


# -- hostile -------------------------------------------------------------------------------------


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 500)
    (tmp_path / "notes.txt").write_text("FFmpeg would draw this as ANSI art\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    for name in ("text.mp4", "notes.txt", "empty.mp4", "folder.mp4", "missing.mp4"):
        with pytest.raises(VideoError) as caught:
            open_video(tmp_path / name)
        assert name in caught.value.what
        assert caught.value.todo


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 44100, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(VideoError):
        open_video(path)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_no_frames_at_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"none{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height = 64, 48
        output.start_encoding()
    with pytest.raises(VideoError):
        open_video(path)


def test_nothing_but_damage(tmp_path: Path) -> None:
    """The index is whole, every picture is overwritten."""
    clip = make_clip(tmp_path / "a.mp4", n_frames=20)
    data = bytearray(clip.path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = b"\xaa" * (end - begin)
    clip.path.write_bytes(data)
    with pytest.raises(VideoError, match="damaged"):
        open_video(clip.path)


def test_one_frame(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "one.mp4", n_frames=1)
    with open_video(clip.path) as video:
        frames = list(video)
        info = video.exact_info()
    assert [f.time_s for f in frames] == [0.0]
    assert (info.n_frames, info.rate, info.variable_rate) == (1, 30, False)


def test_truncated_mkv_gives_what_is_there(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", n_frames=120, options={"g": "30"})
    data = clip.path.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    with open_video(cut) as video:
        frames = list(video)
    assert 20 < len(frames) < 120
    assert_shows(frames, clip)
    assert any("cut off" in warning for warning in video.warnings)


def test_truncated_mp4_without_index_says_so(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=60)
    data = clip.path.read_bytes()
    clip.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError):
        open_video(clip.path)


def test_damage_in_the_middle_is_told_and_survived(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", n_frames=120, options={"g": "10"})
    data = bytearray(clip.path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = b"\x55" * 1500
    clip.path.write_bytes(data)
    with open_video(clip.path) as video:
        frames = list(video)
    assert len(frames) > 60
    assert (np.diff([f.time_s for f in frames]) > 0).all()
    assert video.warnings


def test_metadata_in_an_old_encoding_is_no_obstacle(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", metadata={"title": "TITLEXX"})
    data = clip.path.read_bytes()
    assert b"TITLEXX" in data
    clip.path.write_bytes(data.replace(b"TITLEXX", b"K\xfcn\xe4\xdf\xff\xfe"))
    assert len(read_all(clip.path)) == 12


def test_wrong_frame_count_in_the_container(tmp_path: Path) -> None:
    """FLV states no count; the guess from its length is off, the counted number is not."""
    clip = make_clip(tmp_path / "a.flv", n_frames=24)
    with open_video(clip.path) as video:
        guess = video.info.n_frames
        assert len(list(video)) == 24
    assert guess != 24
    assert video.exact_info().n_frames == 24


def test_options_are_checked(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=2)
    bad: list[dict[str, float]] = [{"rotate": 45}, {"start": -1}, {"rate": 25}]
    for options in bad:
        with pytest.raises(UsageError):
            open_video(clip.path, **options)  # type: ignore[arg-type]


# -- folders of images ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp", "tiff"])
def test_images_in_natural_order(tmp_path: Path, suffix: str) -> None:
    names = [f"img{i}.{suffix}" for i in range(12)]  # img10 sorts before img2 as text
    write_images(tmp_path / "ümg s", names)
    (tmp_path / "ümg s" / ".hidden.png").write_bytes(b"")
    (tmp_path / "ümg s" / "notes.txt").write_text("x")
    with open_video(tmp_path / "ümg s") as video:
        frames = list(video)
        info = video.exact_info()
    assert (info.n_frames, info.rate, info.size_wh) == (12, 30, (96, 64))
    for i, frame in enumerate(frames):
        np.testing.assert_allclose(
            find_marker(frame.image), find_marker(draw_marker(i, (96, 64))), atol=0.5
        )
        assert frame.time_s == i / 30


def test_image_folder_range_and_rate(tmp_path: Path) -> None:
    write_images(tmp_path / "f", [f"{i}.png" for i in range(20)])
    frames = read_all(tmp_path / "f", rate=10, start=0.5, end=0.8, rotate=90)
    assert [f.time_s for f in frames] == [0.5, 0.6, 0.7]
    np.testing.assert_array_equal(frames[0].image, np.rot90(draw_marker(5, (96, 64)), -1))


def test_bad_images_are_named(tmp_path: Path) -> None:
    write_images(tmp_path / "f", ["1.png", "2.png"])
    (tmp_path / "f" / "3.png").write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"3\.png"):
        read_all(tmp_path / "f")
    write_images(tmp_path / "g", ["1.png"])
    write_images(tmp_path / "g2", ["2.png"], size_wh=(64, 64))
    (tmp_path / "g2" / "2.png").rename(tmp_path / "g" / "2.png")
    with pytest.raises(VideoError, match=r"2\.png.*64x64.*1\.png"):
        read_all(tmp_path / "g")


# -- camera --------------------------------------------------------------------------------------


class FakeCapture:
    """Stands for cv2.VideoCapture: a camera that delivers ``n`` pictures."""

    def __init__(self, n: int) -> None:
        self.n, self.released = n, False

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.n -= 1
        return (
            (True, draw_marker(self.n, (96, 64))[..., ::-1].copy())
            if self.n >= 0
            else (False, None)
        )

    def get(self, _: int) -> float:
        return 25.0

    def release(self) -> None:
        self.released = True


def test_camera_is_bounded_by_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture(1000)
    now_s = iter(np.arange(0, 100, 0.04))
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: capture)
    monkeypatch.setattr("pose3d.video.images.time.monotonic", lambda: float(next(now_s)))
    with open_video("0", duration=1.0) as video:
        assert video.info.n_frames == 25
        frames = list(video)
    assert len(frames) == 25
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(25) * 0.04, atol=1e-9)
    np.testing.assert_array_equal(frames[0].image, draw_marker(999, (96, 64)))
    assert capture.released


def test_a_picture_of_a_camera_is_given_before_the_next_is_read(monkeypatch) -> None:
    """And on a clock that stands still, as coarse ones do, times increase."""
    capture = FakeCapture(1000)
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: capture)
    monkeypatch.setattr("pose3d.video.images.time.monotonic", lambda: 7.0)
    times = []
    with open_video("0") as video:
        for frame in video:
            np.testing.assert_array_equal(frame.image, draw_marker(capture.n, (96, 64)))
            times.append(frame.time_s)
            if len(times) == 5:
                break
    assert (np.diff(times) > 0).all()


def test_camera_that_goes_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: FakeCapture(5))
    with open_video(0, duration=100) as video:
        assert len(list(video)) == 5
    assert "stopped after" in video.warnings[0]


def test_no_camera_is_a_clear_error() -> None:
    with pytest.raises(VideoError, match="97"):
        open_video(97, duration=1)
    with pytest.raises(UsageError):
        open_video(97, start=1.0)


# -- real clips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size_wh", "rate", "n_frames"),
    [
        ("two_people_roof_jump.mp4", (1768, 994), 30, 230),
        ("juggle_ball.mp4", (1280, 720), 24, 247),
        ("office_sit_stand.mp4", (720, 720), 20, 187),
        ("squats_5fps.mp4", (720, 1280), 5, 65),
        ("aisle_three_crossing.gif", (480, 270), 15, 67),
        ("upper_body_sign.mkv", (640, 480), 30, 109),
    ],
)
def test_real_clips(
    shared: Path, name: str, size_wh: tuple[int, int], rate: int, n_frames: int
) -> None:
    """The table in shared/clips/README.md (the last one: about 80 there, 109 packets in the file)."""
    with open_video(shared / "clips" / name) as video:
        n_read = sum(1 for _ in video)
        info = video.exact_info()
    assert (info.size_wh, info.rate, info.n_frames) == (size_wh, rate, n_frames)
    assert n_read == n_frames
    assert not info.variable_rate
    assert video.warnings == []


# -- several streams, sizes, colours -----------------------------------------------------------------


def two_streams(path: Path, *, first: int, second: int, late_s: float = 0.0) -> None:
    """Writes a file of two H.264 streams, 64x48 and default, and 96x64, of so many frames."""
    with av.open(str(path), "w") as output:
        streams = []
        for size_wh in ((64, 48), (96, 64)):
            stream = output.add_stream("libx264", rate=30, options={"g": "1"})
            stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
            streams.append((stream, size_wh))
        for (stream, size_wh), n_frames, begin_s in zip(
            streams, (first, second), (0, late_s), strict=True
        ):
            for index in range(n_frames):
                frame = av.VideoFrame.from_ndarray(draw_marker(index, size_wh), format="rgb24")
                frame.pts, frame.time_base = index + round(30 * begin_s), Fraction(1, 30)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("first", "second", "wh"), [(1, 30, (96, 64)), (30, 1, (64, 48)), (10, 60, (96, 64))]
)
def test_the_long_stream_is_the_video(
    tmp_path: Path, first: int, second: int, wh: tuple[int, int]
) -> None:
    two_streams(tmp_path / "a.mp4", first=first, second=second)
    with open_video(tmp_path / "a.mp4") as video:
        assert len(list(video)) == max(first, second)
        assert video.info.size_wh == wh
        assert any("--stream" in warning for warning in video.warnings)


def test_a_stream_can_be_chosen(tmp_path: Path) -> None:
    two_streams(tmp_path / "a.mkv", first=5, second=30)
    for number, n_frames in ((0, 5), (1, 30)):
        with open_video(tmp_path / "a.mkv", stream=number) as video:
            assert len(list(video)) == n_frames
            assert video.info.stream == number
            assert not any("--stream" in warning for warning in video.warnings)
    with pytest.raises(UsageError, match="stream 2"):
        open_video(tmp_path / "a.mkv", stream=2)


def test_a_new_size_keeps_its_proportions(tmp_path: Path) -> None:
    wide, tall = (
        make_clip(tmp_path / f"{w}.ts", size_wh=(w, h), n_frames=6) for w, h in ((96, 64), (64, 96))
    )
    (tmp_path / "both.ts").write_bytes(wide.path.read_bytes() + tall.path.read_bytes())
    frames = read_all(tmp_path / "both.ts")
    assert len(frames) == 12
    assert {f.image.shape for f in frames} == {(64, 96, 3)}
    last = frames[-1].image  # 64x96 becomes 43x64 in the middle
    assert last[:, :26].max() == 0
    assert last[:, 70:].max() == 0
    expected = (np.array([tall.marker_px[5, 0], tall.marker_px[5, 1]]) * 64 / 96) + [26.5, 0]
    np.testing.assert_allclose(find_marker(last), expected, atol=1.5)


@pytest.mark.parametrize("trc", [16, 18])
def test_hdr_is_shown_as_sdr(tmp_path: Path, trc: int) -> None:
    """A grey of 30 nits, well below the roll-off, is as bright as a screen of 100 nits shows it."""
    from pose3d.video.hdr import SDR_FROM_HDR, nits_from_hlg, nits_from_pq

    curve = nits_from_pq if trc == 16 else nits_from_hlg
    levels = np.linspace(0, 1, 1024)
    grey = int(np.argmin(np.abs(curve(levels) - 30)))
    image = np.full((4, 4, 3), grey * 64 + 32, np.uint16)
    shown = SDR_FROM_HDR[trc].to_sdr(image)
    np.testing.assert_allclose(shown, 255 * 0.30 ** (1 / 2.2), atol=4)
    assert SDR_FROM_HDR[trc].to_sdr(np.full((1, 1, 3), 65535, np.uint16)).min() >= 250
    assert SDR_FROM_HDR[trc].to_sdr(np.zeros((1, 1, 3), np.uint16)).max() == 0


# -- files that point to others ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{folder}/secret.mp4\n#EXT-X-ENDLIST\n",
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet><Representation '
        'id="1"><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["concat", "hls", "dash", "sdp"],
)
def test_a_playlist_opens_nothing(tmp_path: Path, text: str) -> None:
    from pose3d.video.audio import AudioTrack

    make_clip(tmp_path / "secret.mp4", audio="aac")
    path = tmp_path / "x.mp4"
    path.write_text(text.format(folder=tmp_path))
    with pytest.raises(VideoError):
        open_video(path)
    warnings: list[str] = []
    assert (
        AudioTrack.open(path, warnings, video_stream=None, start_s=0.0, end_s=9.0, zero_s=0.0)
        is None
    )
    assert warnings


@pytest.mark.parametrize(
    "name",
    [
        "2024-05-01T10:20:30.mp4",
        "concat:a.mp4",
        "pipe:0",
        "a%03d.mp4",
        "subfile,,start,0,end,9,,:a.mp4",
    ],
)
def test_a_name_is_a_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / "plain.mp4")
    clip.path.rename(tmp_path / name)
    assert len(read_all(name)) == 12


@pytest.mark.parametrize(
    "name",
    ["concat:a.mp4", "file:a.mp4", "subfile,,start,0,end,9,,:a.mp4", "http://127.0.0.1:9/a.mp4"],
)
def test_a_protocol_is_no_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4")
    with pytest.raises(VideoError):
        open_video(name)


# -- numbered images -----------------------------------------------------------------------------------


def test_missing_numbers_are_missing_frames(tmp_path: Path) -> None:
    write_images(tmp_path / "walk", [f"frame_{n:04d}.png" for n in (7, 8, 11, 12)])
    with open_video(tmp_path / "walk", rate=10) as video:
        times = [f.time_s for f in video]
        info = video.exact_info()
        assert any("2 frames" in warning for warning in video.warnings)
    assert times == [0.0, 0.1, 0.4, 0.5]
    assert info.rate == 10
    assert info.variable_rate


@pytest.mark.parametrize(
    "names",
    [
        ["a1.png", "a2.png", "a3.png"],
        ["a00.png", "a05.png", "a10.png"],  # every fifth was kept
        ["a1.png", "b7.png", "c30.png"],  # other names: no count
        ["1700000000123.png", "1700000000156.png", "1700000000191.png"],  # times of day
        ["walk.png", "run.png", "sit.png"],
    ],
)
def test_other_names_follow_each_other(tmp_path: Path, names: list[str]) -> None:
    write_images(tmp_path / "walk", names)
    with open_video(tmp_path / "walk", rate=10) as video:
        assert [f.time_s for f in video] == [0.0, 0.1, 0.2]
        assert not video.warnings
