"""What cameras write about themselves, and NAME.camera.json: files of known content."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose3d.errors import VideoError
from pose3d.result.camera import assumed_camera
from pose3d.video.reader import open_video
from tests.support.camera_files import APPLE, meta_box, put_into, write_photo
from tests.support.clips import make_clip

DIAGONAL_MM = 43.27  # of 36 x 24


def camera_of(path, **options):
    with open_video(path, **options) as reader:
        return reader.find_camera(), reader.info.size_wh


def expected_px(mm: float, size_wh: tuple[int, int]) -> float:
    return mm / DIAGONAL_MM * math.hypot(*size_wh)


# -- videos ------------------------------------------------------------------------------------------

VALUES = [(1, b"26"), (21, struct.pack(">h", 26)), (22, struct.pack(">I", 26))]
VALUES += [(23, struct.pack(">f", 26.0)), (67, struct.pack(">i", 26))]


@pytest.mark.parametrize(("kind", "value"), VALUES)
@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
@pytest.mark.parametrize("parents", [[b"moov", b"trak"], [b"moov"]])
def test_the_tag_of_phones_is_read(tmp_path, kind, value, suffix, parents):
    path = make_clip(tmp_path / f"walk{suffix}", size_wh=(128, 72)).path
    items = [("com.apple.quicktime.make", 1, b"Apple"), (APPLE, kind, value)]
    put_into(path, parents, meta_box(items, versioned=suffix == ".mp4"))
    camera, size_wh = camera_of(path)
    assert size_wh == (128, 72)
    assert camera.focal_px == pytest.approx(expected_px(26, (128, 72)), rel=1e-3)
    assert camera.focal_source == "metadata"
    for word in (APPLE, path.name, "26 mm", "crops"):
        assert word in camera.focal_from


@pytest.mark.parametrize(
    ("suffix", "options"), [(".mov", {"movflags": "use_metadata_tags"}), (".mkv", {})]
)
def test_a_copy_that_keeps_the_tag_is_read(tmp_path, suffix, options):
    """``ffmpeg -movflags use_metadata_tags`` and Matroska put it on the file."""
    import av

    made = make_clip(tmp_path / "plain.mp4")
    path = tmp_path / f"copy{suffix}"
    with av.open(str(made.path)) as source, av.open(str(path), "w", options=options) as output:
        output.metadata[APPLE] = "52"
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    camera, size_wh = camera_of(path)
    assert camera.focal_px == pytest.approx(expected_px(52, size_wh), rel=1e-3)


def test_the_track_that_is_read_counts(tmp_path):
    """The ultrawide camera's track has a focal length of its own."""
    path = make_clip(tmp_path / "walk.mov").path
    put_into(path, [b"moov"], meta_box([(APPLE, 22, struct.pack(">I", 13))]))
    put_into(path, [b"moov", b"trak"], meta_box([(APPLE, 22, struct.pack(">I", 26))]))
    camera, size_wh = camera_of(path)
    assert camera.focal_px == pytest.approx(expected_px(26, size_wh), rel=1e-3)


@pytest.mark.parametrize("turn_deg", [0, 90])
@pytest.mark.parametrize("rotate", [None, 90])
def test_turned_pictures_and_wide_pixels_have_the_diagonal_that_is_shown(
    tmp_path, turn_deg, rotate
):
    made = make_clip(
        tmp_path / "walk.mov", size_wh=(96, 64), turn_deg=turn_deg, sample_aspect=Fraction(3, 2)
    )
    put_into(made.path, [b"moov", b"trak"], meta_box([(APPLE, 22, struct.pack(">I", 28))]))
    camera, size_wh = camera_of(made.path, rotate=rotate)
    assert set(size_wh) != {96, 64}
    assert camera.focal_px == pytest.approx(expected_px(28, size_wh), rel=1e-3)


@pytest.mark.parametrize("text", ["0", "-13", "", "nan", "wide", "99999"])
def test_what_is_no_focal_length_is_none(tmp_path, text):
    path = make_clip(tmp_path / "walk.mov").path
    assert camera_of(path)[0] is None
    put_into(path, [b"moov", b"trak"], meta_box([(APPLE, 1, text.encode())]))
    assert camera_of(path)[0] is None


def test_damaged_metadata_is_none(tmp_path):
    whole = make_clip(tmp_path / "whole.mov").path
    good = meta_box([(APPLE, 22, struct.pack(">I", 26))])
    rng = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / f"{i}.mov"
        path.write_bytes(whole.read_bytes())
        bad = bytearray(good)
        for at in rng.integers(8, len(bad), 4):  # its own size stays
            bad[at] = rng.integers(256)
        put_into(path, [b"moov", b"trak"], bytes(bad))
        camera, _ = camera_of(path)
        assert camera is None or camera.focal_px > 0


# -- photographs -------------------------------------------------------------------------------------

EQUIVALENT, LENGTH = 0xA405, 0x920A
WIDE, HIGH, X_RESOLUTION, Y_RESOLUTION, UNIT = 0xA002, 0xA003, 0xA20E, 0xA20F, 0xA210


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_equivalent_of_photographs_is_read(tmp_path, suffix, orientation):
    for i in range(2):
        write_photo(tmp_path / f"walk/{i}{suffix}", (80, 60), {EQUIVALENT: 28}, orientation)
    camera, size_wh = camera_of(tmp_path / "walk")
    assert size_wh == ((60, 80) if orientation == 6 else (80, 60))
    assert camera.focal_px == pytest.approx(expected_px(28, (80, 60)), rel=1e-3)
    assert (camera.focal_source, camera.matrix_px) == ("metadata", None)
    assert f"Exif of 0{suffix}" in camera.focal_from


@pytest.mark.parametrize(("unit", "per_mm"), [(2, 1 / 25.4), (3, 1 / 10), (None, 1 / 25.4)])
@pytest.mark.parametrize("shrunk", [1, 2])
def test_focal_length_and_resolution_of_the_sensor(tmp_path, unit, per_mm, shrunk):
    """6 mm at 100 pixels a millimetre are 600 pixels, half in a picture of half the size."""
    tags = {
        LENGTH: 6.0,
        X_RESOLUTION: 100 / per_mm,
        Y_RESOLUTION: 100 / per_mm,
        WIDE: 640,
        HIGH: 480,
    }
    if unit is not None:
        tags[UNIT] = unit
    write_photo(tmp_path / "walk/0.jpg", (640 // shrunk, 480 // shrunk), tags)
    camera, _ = camera_of(tmp_path / "walk")
    assert camera.focal_px == pytest.approx(600 / shrunk, rel=1e-3)
    assert camera.matrix_px is None


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("rotate", [0, 90])
def test_pixels_of_a_sensor_that_are_not_square(tmp_path, orientation, rotate):
    tags = {LENGTH: 6.0, X_RESOLUTION: 1000.0, Y_RESOLUTION: 800.0, UNIT: 3}
    write_photo(tmp_path / "walk/0.jpg", (640, 480), tags, orientation)
    camera, (width, height) = camera_of(tmp_path / "walk", rotate=rotate)
    along = [600, 480] if (orientation == 6) == (rotate == 90) else [480, 600]
    np.testing.assert_allclose(
        camera.matrix_px, [[along[0], 0, width / 2], [0, along[1], height / 2], [0, 0, 1]]
    )
    assert camera.focal_px == pytest.approx(math.sqrt(600 * 480))


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {EQUIVALENT: 0},
        {LENGTH: 6.0},
        {LENGTH: 6.0, X_RESOLUTION: 0.0, Y_RESOLUTION: 0.0},
        {EQUIVALENT: 28, WIDE: 4000, HIGH: 2000},  # cropped since
        {LENGTH: 6.0, X_RESOLUTION: 1e9, Y_RESOLUTION: 1e9},
    ],
)
def test_photographs_that_do_not_tell(tmp_path, tags):
    write_photo(tmp_path / "walk/0.jpg", (80, 60), tags)
    assert camera_of(tmp_path / "walk")[0] is None


def test_a_photograph_turned_by_a_program_is_not_cropped(tmp_path):
    write_photo(tmp_path / "walk/0.jpg", (60, 80), {EQUIVALENT: 28, WIDE: 4000, HIGH: 3000})
    camera, size_wh = camera_of(tmp_path / "walk")
    assert camera.focal_px == pytest.approx(expected_px(28, size_wh), rel=1e-3)


# -- NAME.camera.json --------------------------------------------------------------------------------

K = [[900.0, 0, 630.0], [0, 880.0, 350.0], [0, 0, 1]]
BENT = [-0.25, 0.08, 0.001, -0.002, -0.01]


def write_sidecar(clip: Path, **values) -> Path:
    path = clip.with_name(f"{clip.stem}.camera.json")
    path.write_text(json.dumps(values))
    return path


def bent_px(points: np.ndarray, matrix=K, distortion=BENT) -> np.ndarray:
    """Where OpenCV sees 3D points, in the record's pixels."""
    zero = np.zeros(3)
    seen, _ = cv2.projectPoints(points, zero, zero, np.array(matrix), np.array(distortion))
    return seen[:, 0] + 0.5


def test_a_sidecar_is_read_and_its_distortion_undone(tmp_path):
    size_wh = (1280, 720)
    clip = make_clip(tmp_path / "walk.mp4", size_wh=size_wh, n_frames=2).path
    put_into(clip, [b"moov", b"trak"], meta_box([(APPLE, 22, struct.pack(">I", 26))]))
    write_sidecar(clip, K=K, distortion=BENT, size_wh=size_wh)
    camera, _ = camera_of(clip)
    assert (camera.focal_source, camera.focal_from) == ("sidecar", "walk.camera.json")
    assert camera.focal_px == pytest.approx(math.sqrt(900 * 880))
    rng = np.random.default_rng(1)
    points = np.stack([rng.uniform(-2, 2, 200), rng.uniform(-1.1, 1.1, 200), np.full(200, 3.0)], -1)
    pixels = bent_px(points)
    inside = ((pixels > 0) & (pixels < size_wh)).all(-1)
    assert inside.sum() > 120
    straight = camera.straighten(pixels, size_wh)
    pinhole = points[:, :2] / 3 * camera.focal_px + np.array(size_wh) / 2
    assert np.abs(pixels - pinhole)[inside].max() > 20
    np.testing.assert_allclose(straight[inside], pinhole[inside], atol=0.01)


def test_outside_of_the_picture_points_move_as_its_edge(tmp_path):
    """Keypoints there are guesses; distortion that was measured inside would fold them back."""
    size_wh = (1280, 720)
    clip = make_clip(tmp_path / "walk.mp4", size_wh=size_wh, n_frames=2).path
    write_sidecar(clip, K=K, distortion=BENT)
    camera, _ = camera_of(clip)
    far = np.array([[1280.0, 360], [1290, 360], [9000, 360], [np.nan, 3], [640, -2000]])
    straight = camera.straighten(far, size_wh)
    assert np.isnan(straight[3]).any()
    step = camera.focal_px / 900
    np.testing.assert_allclose(straight[1] - straight[0], [10 * step, 0], atol=1e-6)
    np.testing.assert_allclose(straight[2] - straight[0], [7720 * step, 0], atol=1e-6)
    assert straight[4, 1] < -2000


def test_a_sidecar_of_pictures_of_another_size_is_scaled(tmp_path):
    clip = make_clip(tmp_path / "walk.mp4", size_wh=(640, 360)).path
    write_sidecar(clip, K=K, size_wh=[1280, 720])
    camera, _ = camera_of(clip)
    expected = [[450, 0, 315.25], [0, 440, 175.25], [0, 0, 1]]
    np.testing.assert_allclose(camera.matrix_px, expected)


def test_a_sidecar_may_be_of_stored_pixels(tmp_path):
    """Calibrated with OpenCV, which does not make pixels square; the clip is also shown turned."""
    made = make_clip(
        tmp_path / "walk.mov", size_wh=(64, 96), turn_deg=90, sample_aspect=Fraction(3, 2)
    )
    write_sidecar(made.path, K=[[80, 0, 31.5], [0, 70, 47.5], [0, 0, 1]], size_wh=[64, 96])
    camera, size_wh = camera_of(made.path)
    assert size_wh == (64, 144)
    np.testing.assert_allclose(camera.matrix_px, [[80, 0, 32], [0, 105, 72], [0, 0, 1]])


def test_a_sidecar_of_a_folder_lies_beside_it(tmp_path):
    write_photo(tmp_path / "walk/0.jpg", (80, 60), {EQUIVALENT: 28})
    write_sidecar(tmp_path / "walk", K=[[70, 0, 40], [0, 70, 30], [0, 0, 1]])
    for named in (tmp_path / "walk", f"{tmp_path}/walk/"):
        assert camera_of(named)[0].focal_px == pytest.approx(70)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "K is missing"),
        ({"K": K, "distorsion": [0.1]}, "Did you mean 'distortion'"),
        ({"K": [[900, 0], [0, 900]]}, "3 x 3"),
        ({"K": [[900, 5, 640], [0, 900, 360], [0, 0, 1]]}, "matrix_px"),
        ({"K": [[-900, 0, 640], [0, 900, 360], [0, 0, 1]]}, "matrix_px"),
        ({"K": [[900, 0, 2640], [0, 900, 360], [0, 0, 1]]}, "outside of the picture"),
        ({"K": K, "size_wh": [720, 1280]}, "turned or cropped"),
        ({"K": K, "size_wh": [0, 1280]}, "above 0"),
        ({"K": K, "distortion": [0.1]}, "distortion is"),
        ({"K": K, "distortion": ["a", 1, 2, 3]}, "describes no camera"),
        ({"K": K, "distortion": [-4, 0, 0, 0]}, "cannot be undone"),
        ({"K": K, "distortion": [1e300, 1e300, 0, 0]}, "cannot be undone"),
    ],
)
def test_what_a_sidecar_cannot_say(tmp_path, values, words):
    clip = make_clip(tmp_path / "walk.mp4", size_wh=(1280, 720), n_frames=2).path
    write_sidecar(clip, **values)
    with pytest.raises(VideoError, match=words):
        camera_of(clip)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 9999, '{"K": NaN}'])
def test_a_damaged_sidecar_is_refused(tmp_path, text):
    clip = make_clip(tmp_path / "walk.mp4").path
    write_sidecar(clip).write_text(text)
    with pytest.raises(VideoError, match=r"walk\.camera\.json"):
        camera_of(clip)


def test_pictures_in_memory_tell_nothing():
    pictures = np.zeros((3, 64, 96, 3), np.uint8)
    assert camera_of(pictures, rate=30) == (None, (96, 64))


def test_an_assumed_camera_moves_nothing():
    camera = assumed_camera((1280, 720))
    points = np.array([[3.0, 4.0], [np.nan, 1]])
    assert camera.straighten(points, (1280, 720)) is points
    assert replace(camera, focal_px=1.0).focal_source == "assumed"
