"""Damaged data files are refused by name, never a raw error."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.prepare import prepare_folder
from pose3d.lab.datasets.motions import load_motions
from pose3d.lab.datasets.multiview import load_multiview_bank
from pose3d.lab.datasets.noise import load_tracks
from pose3d.lab.evaluation.tracks import read_clips
from pose3d.lab.evaluation.wild_clips import read_aist
from tests.lab.evaluation.test_wild import write_aist
from tests.support.motion_files import change, write_npz, write_views
from tests.support.training import write_motions, write_tracks


def empty(good):
    return b""


def cut(good):
    return good[: len(good) // 2]


def flipped(good):
    """Bits changed in every array: wrong checksums."""
    spoiled = bytes(b ^ 0xFF if i % 4096 > 4000 else b for i, b in enumerate(good[:-2000]))
    return spoiled + good[-2000:]


def text(good):
    return b"text"


DAMAGES = (empty, cut, flipped, text)


# -- motion capture of others ------------------------------------------------------------------


def beside_a_good_one(tmp_path):
    """What becomes of the file ``bad.npz`` beside a good one: the reason why it is left out."""
    write_npz(tmp_path / "in/good.npz", seed=1)
    prepared = prepare_folder(tmp_path / "in")
    assert [c.name for c in prepared.clips] == ["good"]
    ((name, why),) = prepared.left_out
    assert name == str(tmp_path / "in/bad.npz")
    assert "bad.npz" in why or "give --fps" in why
    return why


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_motion_capture_is_left_out_by_name(tmp_path, damage):
    path = write_npz(tmp_path / "in/bad.npz")
    path.write_bytes(damage(path.read_bytes()))
    beside_a_good_one(tmp_path)


def test_a_single_array_is_no_npz(tmp_path):
    (tmp_path / "in").mkdir()
    with (tmp_path / "in/bad.npz").open("wb") as file:
        np.save(file, np.zeros((10, 23, 3)))
    assert "single array" in beside_a_good_one(tmp_path)


N = 23


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"fps": np.full(3, 30.0)}, "fps has shape (3,)"),
        ({"fps": np.array("fast")}, "fps holds"),
        ({"fps": np.nan}, "frame rate of nan"),
        ({"fps": -30.0}, "frame rate of -30"),
        ({"positions": np.full((5, N, 3), "far")}, "positions holds"),
        ({"positions": np.zeros((120, N, 3), complex)}, "positions holds"),
        ({"positions": np.zeros((120, N, 3))}, "legs"),
        ({"positions": np.full((120, N, 3), 1e300)}, "bad.npz"),
        ({"positions": np.zeros((120, N))}, "shape"),
        ({"joint_names": np.array("pelvis")}, "joint_names has shape ()"),
        ({"parents": np.array("none")}, "parents"),
        ({"parents": np.full(N, 99)}, "parents"),
        ({"parents": np.full(N - 1, -1)}, "parents"),
        ({"parents": np.full(N, 0.5)}, "parents"),
        ({"parents": (np.arange(N) + 1) % N}, "parents"),
    ],
)
def test_motion_capture_of_a_wrong_kind_is_left_out_by_name(tmp_path, arrays, message):
    change(write_npz(tmp_path / "in/bad.npz"), **arrays)
    assert message in beside_a_good_one(tmp_path)


def test_our_own_motion_file_is_no_recording(tmp_path):
    """A folder in which ``--out`` of the last time lies."""
    (tmp_path / "in").mkdir()
    write_motions(tmp_path / "in/bad.npz", lengths=(100,), splits=["train"])
    assert "--motions" in beside_a_good_one(tmp_path)


def test_a_rate_can_be_given_for_files_that_state_a_wrong_one(tmp_path):
    change(write_npz(tmp_path / "in/a.npz"), fps=0.0)
    done = CliRunner().invoke(
        app,
        ["data", "prepare", str(tmp_path / "in"), "--out", str(tmp_path / "o.npz"), "--fps", "30"],
    )
    assert done.exit_code == 0, done.output
    assert load_motions([tmp_path / "o.npz"], "train").fps.tolist() == [30]


WORDS = ("nan", "inf", "-1", "1e309", "1e200", "0", "{", "}", "End", "JOINT", "root", "rz", "x", "")


def spoil_text(content: str, rng: random.Random) -> str:
    """Up to three words become others, or the end is missing."""
    parts = re.split(r"(\s+)", content)
    for _ in range(rng.randint(1, 3)):
        at = 2 * rng.randrange(len(parts) // 2)
        parts[at] = rng.choice([rng.choice(WORDS), parts[2 * rng.randrange(len(parts) // 2)]])
    content = "".join(parts)
    return content[: rng.randrange(len(content))] if rng.random() < 0.1 else content


def spoil_bytes(content: bytes, rng: random.Random) -> bytes:
    raw = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


@pytest.fixture
def whole_files(shared, tmp_path):
    """Short files of every kind that can be read."""
    folder = shared / "mocap/bvh"
    head, _, motion = (folder / "cmu_mb_02_03.bvh").read_text().partition("MOTION")
    lines = motion.strip().splitlines()
    amc = (folder / "cmu_asf_02_03.amc").read_text().splitlines()
    return {
        "a.bvh": "\n".join([f"{head}MOTION", "Frames: 3", *lines[1:5]]),
        "a.asf": (folder / "cmu_asf_02.asf").read_text(),
        "a.amc": "\n".join(amc[: amc.index("4")]),
        "a.npz": write_npz(tmp_path / "whole.npz", frames=4).read_bytes(),
    }


@pytest.mark.parametrize("spoiled", ["a.bvh", "a.asf", "a.amc", "a.npz"])
def test_damaged_bytes_never_raise_anything_else(whole_files, tmp_path, spoiled):
    """Forty files with random damage: a take of finite numbers, or what is wrong and where."""
    rng = random.Random(0)
    write_npz(tmp_path / "in/good.npz", seed=1)
    refused = 0
    for _ in range(40):
        for name in {spoiled, "a.asf", "a.amc"} if spoiled in ("a.asf", "a.amc") else {spoiled}:
            content = whole_files[name]
            if isinstance(content, bytes):
                (tmp_path / "in" / name).write_bytes(spoil_bytes(content, rng))
            else:
                content = spoil_text(content, rng) if name == spoiled else content
                (tmp_path / "in" / name).write_text(content)
        prepared = prepare_folder(tmp_path / "in")
        assert "good" in {clip.name for clip in prepared.clips}
        # Three frames are too few.
        ((path, why),) = [x for x in prepared.left_out if "good" not in x[0]]
        assert path.startswith(str(tmp_path / "in/a."))
        refused += "too short" not in why
    assert 3 < refused < 40


# -- training and evaluation -------------------------------------------------------------------

KINDS = {
    "motions": (write_motions, lambda p: load_motions([p], "train")),
    "tracks": (write_tracks, lambda p: load_tracks(p, "fit")),
    "clips": (write_tracks, lambda p: list(read_clips(p, "val"))),
    "views": (write_views, lambda p: load_multiview_bank(p, "fit")),
    "aist": (write_aist, lambda p: read_aist(p)),
}
KEYS = {
    "motions": "positions_mm starts fps names subject split joint_names",
    "tracks": "lm_px visibility joints_px joints_cam_m detected heading starts fps K size_wh name "
    "subject split",
    "clips": "lm_px visibility world_m joints_cam_m detected heading elevation_deg starts fps K size_wh "
    "name subject action split",
    "views": "keypoints_px score joints_world_m time_offset_frames K R t in_range split fps",
    "aist": "keypoints_px score joints_world_m reliable time_offset_frames K R t in_range split fps "
    "size_wh names view_names joint_names",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_data_is_refused_by_name(tmp_path, kind, damage):
    write, read = KINDS[kind]
    path = write(tmp_path / "data.npz")
    read(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"data\.npz") as caught:
        read(path)
    assert caught.value.todo


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_another_kind_are_refused_by_name(tmp_path, kind):
    write, read = KINDS[kind]
    np.savez(tmp_path / "data.npz", a=np.zeros(3))
    with pytest.raises(DataError, match=r"data\.npz") as caught:
        read(tmp_path / "data.npz")
    assert caught.value.todo
    np.savez(tmp_path / "data.npz", positions=np.zeros(3, object))
    with pytest.raises(DataError, match=r"data\.npz"):
        read(tmp_path / "data.npz")
    for key in KEYS[kind].split():
        change(write(tmp_path / "data.npz"), **{key: None})
        with pytest.raises(DataError, match=f"'{key}'"):
            read(tmp_path / "data.npz")


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_another_kind_are_refused_by_name(tmp_path, kind):
    """Text for numbers, numbers for arrays, arrays that are too short."""
    write, read = KINDS[kind]
    for key in KEYS[kind].split():
        with np.load(write(tmp_path / "data.npz")) as z:
            whole = z[key]
        wrong = [np.array("text")]
        if whole.ndim:
            wrong += [whole[:0], np.array(0)]
        if whole.dtype.kind not in "US":
            wrong.append(np.full(whole.shape, "text"))
        for value in wrong:
            change(write(tmp_path / "data.npz"), **{key: value})
            with pytest.raises(DataError) as caught:
                read(tmp_path / "data.npz")
            assert "data.npz" in str(caught.value), (key, value.shape)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"starts": np.array([0, 200, 350, 900])}, "starts"),
        ({"starts": np.array([0, 200, 100, 390])}, "starts"),
        ({"starts": np.array([0, 200, 389, 390])}, "starts"),
        ({"fps": np.array([60, 60, 0.0])}, "fps"),
        ({"fps": np.array([60, 60, np.nan])}, "fps"),
        ({"positions_mm": np.full((390, 23, 3), np.nan)}, "positions_mm"),
    ],
)
def test_motions_that_cannot_be_drawn_from_are_refused(tmp_path, arrays, message):
    """Clips of one frame, outside of the positions, without a rate: NaN in every window drawn."""
    path = change(write_motions(tmp_path / "data.npz"), **arrays)
    with pytest.raises(DataError, match=r"data\.npz") as caught:
        load_motions([path], "train")
    assert message in str(caught.value)


def test_training_on_any_npz_says_how_to_make_one(tmp_path):
    path = write_npz(tmp_path / "walk.npz")
    asked = ["train", "hot-mixste.free27", "--motions", str(path), "--device", "cpu"]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "has no array" in done.output
    assert "pose3d data prepare" in done.output
