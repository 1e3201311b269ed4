"""Result files against the truth of the samples, the schema, and readers written independently."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jsonschema import Draft202012Validator

import pose3d.result.record
from pose3d.body.skeletons import COCO17, H36M17
from pose3d.errors import ResultFileError, UsageError
from pose3d.plugins import PARTS
from pose3d.result.numbers import fill_template
from pose3d.result.record import (
    ROW_ARRAYS,
    Camera,
    PoseSequence,
    VideoInfo,
    list_formats,
    load,
    make_exporter,
    save,
    write_files,
)
from pose3d.result.rig import _swing
from tests.support.grids import grid, regrid
from tests.support.samples import sample_pose

ROWS = [name for name in ROW_ARRAYS if name != "hypotheses_cam_m"]
ARRAYS = ["time_s", "frame", "person_id", *ROWS]
ROUNDED = {"valid": 0, "frame": 0, "person_id": 0, "time_s": 1e-9, "score": 1e-3} | {
    name: 1e-4 if name.endswith("_m") else 1e-2 for name in ARRAYS if name.endswith(("_m", "_px"))
}
SCHEMA = json.loads(Path(pose3d.result.record.__file__).with_name("pose.schema.json").read_text())


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Draws what small records are made of: nobody, one frame, missing arrays, NaN anywhere."""
    n, people = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    skeleton = draw(st.sampled_from([H36M17, COCO17]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))

    def numbers(tail: tuple[int, ...], low: float, high: float) -> np.ndarray:
        bits = 32 if dtype == np.float32 else 64
        values = st.floats(low, high, width=bits) | st.just(float("nan"))
        return draw(hnp.arrays(dtype, (n, people, *tail), elements=values))

    steps = draw(st.lists(st.floats(0.001, 5), min_size=n, max_size=n))
    optional = {
        "keypoints_px": numbers((17, 2), -5000, 5000),
        "score": numbers((17,), 0, 1),
        "joints_cam_m": numbers((17, 3), -3, 3),
        "root_cam_m": numbers((3,), -500, 500),
    }
    kept = {name: array for name, array in optional.items() if draw(st.booleans())}
    rate = draw(st.fractions(Fraction(1, 3), 240, max_denominator=1001))
    return dict(
        video=VideoInfo(
            path=draw(st.text(max_size=20)),
            size_wh=(draw(st.integers(1, 9999)), 7),
            rate=rate,
            n_frames=n,
            variable_rate=draw(st.booleans()),
            rotation_deg=90,
            has_audio=True,
        ),
        time_s=np.cumsum(steps, dtype=np.float64),
        person_ids=np.array([3, 1, 12][:people], np.int64),
        skeleton=skeleton,
        boxes_xyxy_px=numbers((4,), -100, 9000),
        valid=draw(hnp.arrays(bool, (n, people))),
        camera=draw(
            st.none()
            | st.just(Camera(focal_px=1234.5, focal_source="assumed"))
            | st.just(
                Camera(focal_px=9.5, focal_source="given", up_cam=(0.0, -0.8, 0.6), ground_m=1.5)
            )
        ),
        **kept,
    )


FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(record=records())
def test_files_give_back_the_record(record: dict[str, Any], tmp_path: Path) -> None:
    """NPZ to the bit, JSON but for the rounding."""
    pose = PoseSequence.from_dense(**record)
    exact, rounded = (load(save(pose, tmp_path / f"a.{suffix}")) for suffix in ("npz", "json"))
    for name in ARRAYS:
        before, bits, near = (getattr(each, name) for each in (pose, exact, rounded))
        assert (before is None) == (bits is None) == (near is None)
        if before is not None:
            assert before.dtype == bits.dtype
            np.testing.assert_array_equal(before, bits)
            np.testing.assert_allclose(
                before.astype(np.float64),
                near.astype(np.float64),
                rtol=0,
                atol=ROUNDED[name] * 0.5000001,
            )
    for back in (exact, rounded):
        assert back.video == pose.video
        assert back.skeleton == pose.skeleton
        assert back.camera == pose.camera
        assert back.made_by == pose.made_by
        np.testing.assert_array_equal(back.person_ids, pose.person_ids)
    Draft202012Validator(SCHEMA).validate(json.loads((tmp_path / "a.json").read_bytes()))


def test_schema_is_valid_and_sample_follows_it(samples: Path, tmp_path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    pose = sample_pose(samples, "two_people")
    grid(pose).joints_cam_m[5:9, 1] = np.nan
    values = json.loads(save(pose, tmp_path / "p.json").read_text("utf-8"))
    Draft202012Validator(SCHEMA).validate(values)
    joints = values["frames"][6]["people"][1]["joints_cam_m"]
    assert joints[16] == [None, None, None]
    joints[16] = [0.0, 0.0]
    assert not Draft202012Validator(SCHEMA).is_valid(values)


def test_schema_describes_every_field_in_the_file() -> None:
    listed = SCHEMA["properties"]["fields"]["propertyNames"]["enum"]
    fields = [*ROW_ARRAYS, "spread_mm"]
    assert sorted(listed) == sorted(fields)
    assert sorted(["person_id", *fields]) == sorted(SCHEMA["$defs"]["person"]["properties"])


def test_json_has_one_line_per_frame(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    lines = save(pose, tmp_path / "p.json").read_text("utf-8").splitlines()
    frames = [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"time_s"')]
    assert len(frames) == pose.n_frames
    roots = [[p["root_cam_m"] for p in frame["people"]] for frame in frames]
    np.testing.assert_allclose(roots, grid(pose).root_cam_m, atol=6e-5)


@settings(max_examples=300)
@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=5),
    places=st.integers(0, 6),
)
@example(values=[-0.00004, 0.99996, 9.99995, -0.5, 10.0, 0.05], places=4)
def test_numbers_are_rounded_and_written_shortly(values: list[float], places: int) -> None:
    pieces = ["<", *[";"] * (len(values) - 1), ">"]
    text = fill_template(
        np.array([values]), [places] * len(values), pieces, missing="null"
    ).decode()
    assert text.startswith("<")
    assert text.endswith(">")
    for value, word in zip(values, text[1:-1].split(";"), strict=True):
        if np.isnan(value):
            assert word == "null"
            continue
        assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?", word)
        assert word != "-0"
        assert abs(float(word) - value) <= 0.5 * 10.0**-places * (1 + 1e-6) + 1e-9


def test_numbers_of_mixed_columns_and_many_rows() -> None:
    rows = np.column_stack([np.arange(3000), np.arange(3000) / 7, np.arange(3000) % 2])
    text = fill_template(rows, [0, 3, -1], ["a", "b", "c", "d\n"], missing="").decode()
    expected = [f"a{i}b{i / 7:.3f}" for i in range(3000)]
    for i, (line, start) in enumerate(zip(text.splitlines(), expected, strict=True)):
        trimmed = start.rstrip("0").rstrip(".") if "." in start else start
        assert line == f"{trimmed}c{'true' if i % 2 else 'false'}d"


def test_too_large_numbers_are_refused(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    grid(pose).root_cam_m[0] = 1e300
    with pytest.raises(ResultFileError, match="too large"):
        save(pose, tmp_path / "a.json")
    grid(pose).root_cam_m[0] = np.inf
    with pytest.raises(ResultFileError, match="infinite"):
        save(pose, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["p.npz", "p.json"])
def test_damaged_files_are_refused_or_complete(samples: Path, tmp_path: Path, name: str) -> None:
    """Cut anywhere, or with bytes changed anywhere: a clear error or a valid record, nothing else."""
    pose = sample_pose(samples, "two_people")
    short = regrid(
        pose,
        video=replace(pose.video, n_frames=6),
        time_s=pose.time_s[:6],
        **{a: getattr(grid(pose), a)[:6] for a in ROWS},
    )
    whole = save(short, tmp_path / name).read_bytes()
    other = tmp_path / f"other{name[1:]}"
    for stop in np.linspace(0, len(whole) - 2, 40).astype(int):
        other.write_bytes(whole[:stop])
        with pytest.raises(ResultFileError) as caught:
            load(other)
        assert caught.value.todo
    random = np.random.default_rng(5)
    for _ in range(300):
        broken = bytearray(whole)
        for at in random.integers(0, len(whole), 3):
            broken[at] = random.integers(0, 256)
        other.write_bytes(broken)
        try:
            load(other)
        except ResultFileError:
            continue


def altered(path: Path, **changes: object) -> Path:
    """Rewrites a JSON result with other top-level values."""
    values = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(values | changes), "utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dialect": "openpose"}, "dialect is 'openpose'"),
        ({"version": 1}, "version 1"),
        ({"person_ids": [1]}, "not in the list"),
        ({"person_ids": [1, 1]}, "not unique"),
        ({"frames": []}, "n_frames"),
        ({"camera": {}}, "focal_px|up_cam is missing"),
        ({"fields": {"valid": ""}}, "fields"),
        ({"video": None}, "damaged"),
        ({"person_ids": [2**64, 1]}, "not in the list"),
        ({"frames": "[" * 100_000 + "]" * 100_000}, "frames"),
    ],
)
def test_wrong_contents_are_refused(
    samples: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    path = altered(save(sample_pose(samples, "two_people"), tmp_path / "a.json"), **changes)
    with pytest.raises(ResultFileError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rate", [1, 10**7]), ("rate", [10**19, 1]), ("size_wh", [10**9, 5]), ("size_wh", [0, 5])],
)
def test_impossible_videos_are_refused(
    samples: Path, tmp_path: Path, key: str, value: list[int]
) -> None:
    path = save(sample_pose(samples, "dance"), tmp_path / "a.json")
    video = json.loads(path.read_text("utf-8"))["video"]
    with pytest.raises(ResultFileError, match=key.split("_")[0]):
        load(altered(path, video=video | {key: value}))


def test_people_a_thousand_kilometres_away_are_refused(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    grid(pose).joints_cam_m[0, 0, 0] = 1e6
    with pytest.raises(ResultFileError):
        load(save(pose, tmp_path / "a.npz"))


def test_archives_that_would_fill_the_memory_are_refused(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what they declare, before anything is read."""
    path = save(sample_pose(samples, "dance"), tmp_path / "a.npz")
    load(path)
    monkeypatch.setattr("pose3d.files.LARGEST_ARCHIVE", path.stat().st_size + 1000)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", bytes(1 << 20))
    with pytest.raises(ResultFileError, match="declares"):
        load(path)


def test_known_skeleton_with_other_joints_is_refused(samples: Path, tmp_path: Path) -> None:
    path = save(sample_pose(samples, "dance"), tmp_path / "a.json")
    skeleton = json.loads(path.read_text("utf-8"))["skeleton"]
    skeleton["joints"][1], skeleton["joints"][4] = skeleton["joints"][4], skeleton["joints"][1]
    with pytest.raises(ResultFileError, match="other joints"):
        load(altered(path, skeleton=skeleton))


def test_pickles_and_foreign_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickled.npz", metadata=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "foreign.npz", keypoints=np.zeros(3))
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "nan.json").write_text('{"dialect": "pose3d", "version": NaN}')
    for name in ("pickled.npz", "foreign.npz", "text.json", "empty.npz", "nan.json", "none.npz"):
        with pytest.raises(ResultFileError) as caught:
            load(tmp_path / name)
        assert name in caught.value.what
        assert caught.value.todo


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (self.path, "w")


def test_pickles_are_not_even_opened(tmp_path: Path) -> None:
    trap = np.array([_Trap(str(tmp_path / "sprung"))], dtype=object)
    np.savez(tmp_path / "trap.npz", metadata=trap, time_s=trap)
    with pytest.raises(ResultFileError):
        load(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_content_decides_not_the_suffix(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    path = save(pose, tmp_path / "ü ber.dat", "json")
    assert load(path).n_frames == pose.n_frames
    assert PoseSequence.load(pose.save(tmp_path / "x.npz")).video == pose.video


def test_failed_writing_leaves_the_old_file(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = sample_pose(samples, "dance")
    path = save(pose, tmp_path / "a.json")
    before = path.read_bytes()

    def full(pose: PoseSequence) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pose3d.result.json._head", full)
    with pytest.raises(ResultFileError):
        save(pose, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_places_that_cannot_be_written(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    (tmp_path / "folder.npz").mkdir()
    for path in (tmp_path / "missing" / "a.npz", tmp_path / "folder.npz"):
        with pytest.raises(ResultFileError):
            save(pose, path)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]
    with pytest.raises(UsageError, match="Did you mean 'json'"):
        save(pose, tmp_path / "a.jsn")


NEEDED = {"c3d": "ezc3d", "mot": "opensim", "rrd": "rerun"}


def test_every_format_writes_and_says_what_it_is(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "two_people")
    assert list(list_formats()) == list(PARTS["exporter"])
    for name in PARTS["exporter"]:
        if name in NEEDED and find_spec(NEEDED[name]) is None:
            continue
        exporter = make_exporter(name)
        files = write_files(pose, tmp_path / f"p{exporter.suffix}", name)
        suffixes = [exporter.suffix, *([".osim"] if name == "mot" else [])]
        people = [".person1", ".person2"] if exporter.per_person else [""]
        assert [f.name for f in files] == [f"p{person}{s}" for s in suffixes for person in people]
        assert all(f.stat().st_size > 1000 for f in files)


@pytest.mark.parametrize("name", PARTS["exporter"])
def test_a_single_frame_is_written(samples: Path, tmp_path: Path, name: str) -> None:
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"needs the package {NEEDED[name]}")
    whole = sample_pose(samples, "dance")
    one = {a: getattr(grid(whole), a)[:1] for a in ROWS} | {"time_s": whole.time_s[:1]}
    for varies in (False, True):
        video = replace(whole.video, n_frames=1, variable_rate=varies)
        assert write_files(regrid(whole, video=video, **one), tmp_path / f"{varies}.x", name)


def test_formats_without_people_or_3d(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "dance")
    nobody = pose.select_people([])
    assert write_files(nobody, tmp_path / "a.trc") == ()
    with pytest.raises(ResultFileError):
        save(nobody, tmp_path / "a.bvh")
    flat = replace(pose, joints_cam_m=None, root_cam_m=None)
    for name in ("a.trc", "a.bvh"):
        with pytest.raises(UsageError, match="3D"):
            save(flat, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    table = save(nobody, tmp_path / "a.csv").read_text().splitlines()
    assert table[0].startswith("#")
    assert table[1].startswith("frame,time_s,person")
    assert len(table) == 2


def test_trc_has_no_empty_cells(samples: Path, tmp_path: Path) -> None:
    """OpenSim refuses rows with empty cells; a line break in a name would end the first line."""
    pose = sample_pose(samples, "dance")
    grid(pose).joints_cam_m[3] = np.nan
    pose = replace(pose, video=replace(pose.video, path="clips/two\nlines\tand more.mp4"))
    lines = save(pose, tmp_path / "a.trc").with_name("a.person1.trc").read_text().split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\ttwo lines and more.trc"
    cells = lines[6 + 3].split("\t")
    assert len(cells) == 2 + 3 * 17
    assert cells[2:] == ["NaN"] * (3 * 17)


def test_csv_is_the_record(samples: Path, tmp_path: Path) -> None:
    pose = sample_pose(samples, "two_people")
    grid(pose).joints_cam_m[3, 0] = np.nan
    grid(pose).root_cam_m[4, 1] = np.nan
    with save(pose, tmp_path / "p.csv").open(newline="") as file:
        assert "metres" in file.readline()
        rows = list(csv.DictReader(file))
    assert len(rows) == (pose.n_frames * 2 - 1) * 17
    assert not [r for r in rows if r["frame"] == "3" and r["person"] == "1"]
    empty = [r for r in rows if r["frame"] == "4" and r["person"] == "2"]
    assert [r["joint"] for r in empty] == list(H36M17.joints)
    assert {r["root_x_m"] for r in empty} == {""}
    for r in rows[:: 17 * 7 + 3]:
        f, p, j = int(r["frame"]), int(r["person"]) - 1, H36M17.index[r["joint"]]
        np.testing.assert_allclose(float(r["time_s"]), pose.time_s[f], atol=1e-6)
        assert r["valid"] == str(bool(grid(pose).valid[f, p])).lower()
        xyz = [float(r[c]) for c in ("x_m", "y_m", "z_m")]
        np.testing.assert_allclose(xyz, grid(pose).joints_cam_m[f, p, j], atol=6e-5)
        xy = [float(r[c]) for c in ("x_px", "y_px")]
        np.testing.assert_allclose(xy, grid(pose).keypoints_px[f, p, j], atol=6e-3)


def read_trc(path: Path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray]:
    """Reads a TRC file: header, markers, times, positions (frame, marker, 3)."""
    lines = path.read_text().split("\n")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    markers = [name for name in lines[3].split("\t")[2:] if name]
    rows = [line.split("\t") for line in lines[6:] if line]
    values = np.array([[float(v) if v else np.nan for v in row] for row in rows])
    assert lines[5] == ""
    return header, markers, values[:, 1], values[:, 2:].reshape(len(rows), -1, 3)


def test_trc_stands_on_the_floor(samples: Path, tmp_path: Path) -> None:
    """In the truth's world people walk upright on a floor at 0; distances are those of the truth."""
    pose = sample_pose(samples, "two_people")
    grid(pose).joints_cam_m[7, 1] = np.nan
    first, second = write_files(pose, tmp_path / "p.trc")
    header, markers, times, positions = read_trc(first)
    assert header["Units"] == "mm"
    assert float(header["DataRate"]) == 30
    assert int(header["NumMarkers"]) == 17
    assert int(header["NumFrames"]) == pose.n_frames
    assert markers[3::13] == ["RAnkle", "RWrist"]
    np.testing.assert_allclose(times, pose.time_s, atol=1e-6)
    ankles = positions[:, [H36M17.index["left_ankle"], H36M17.index["right_ankle"]], 1]
    assert 50 < ankles.min(1).mean() < 160
    assert positions[:, H36M17.index["head_top"], 1].min() > 1400
    truth = grid(pose).joints_cam_m[:, 0]
    # A rotation keeps lengths and handedness.
    np.testing.assert_allclose(
        np.linalg.norm(positions[:, 3] - positions[:, 16], axis=-1) / 1000,
        np.linalg.norm(truth[:, 3] - truth[:, 16], axis=-1),
        atol=1e-4,
    )
    triple = [1, 7, 10]
    volume = np.linalg.det(positions[:, triple] / 1000 - positions[:, :1] / 1000)
    np.testing.assert_allclose(volume, np.linalg.det(truth[:, triple]), atol=1e-5)
    assert np.isnan(read_trc(second)[3][7]).all()


def read_bvh(path: Path) -> tuple[float, dict[str, np.ndarray]]:
    """Reads a BVH file and moves its skeleton: frame time and world positions of every joint."""
    words = path.read_text().split()
    nodes: list[dict] = []
    stack: list[int] = []
    at = words.index("HIERARCHY") + 1
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            name = words[at + 1] if word != "End" else f"{nodes[stack[-1]]['name']}_end"
            nodes.append({"name": name, "parent": stack[-1] if stack else -1, "channels": []})
            at += 2
        elif word == "{":
            stack.append(len(nodes) - 1)
            at += 1
        elif word == "}":
            stack.pop()
            at += 1
        elif word == "OFFSET":
            nodes[stack[-1]]["offset"] = np.array([float(v) for v in words[at + 1 : at + 4]])
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            nodes[stack[-1]]["channels"] = words[at + 2 : at + 2 + count]
            at += 2 + count
    assert words[at + 1] == "Frames:"
    frames, frame_time = int(words[at + 2]), float(words[at + 5])
    motion = np.array([float(v) for v in words[at + 6 :]]).reshape(frames, -1)
    column = 0
    world: list[tuple[np.ndarray, np.ndarray]] = []
    for node in nodes:
        rotation = np.tile(np.eye(3), (frames, 1, 1))
        shift = np.tile(node["offset"], (frames, 1))
        for channel in node["channels"]:
            values = motion[:, column]
            column += 1
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                shift[:, axis] += values
                continue
            i, j = (axis + 1) % 3, (axis + 2) % 3
            turn = np.tile(np.eye(3), (frames, 1, 1))
            turn[:, i, i] = turn[:, j, j] = np.cos(np.deg2rad(values))
            turn[:, j, i] = np.sin(np.deg2rad(values))
            turn[:, i, j] = -turn[:, j, i]
            rotation = rotation @ turn
        if node["parent"] >= 0:
            above, origin = world[node["parent"]]
            shift = origin + (above @ shift[..., None])[..., 0]
            rotation = above @ rotation
        world.append((rotation, shift))
    assert column == motion.shape[1]
    return frame_time, {node["name"]: w[1] for node, w in zip(nodes, world, strict=True)}


@pytest.mark.parametrize("name", ["dance", "two_people"])
def test_bvh_moves_as_the_truth(samples: Path, tmp_path: Path, name: str) -> None:
    """Forward kinematics gives back the joints of a body with constant bones; the truth's trunk
    and neck, which bend inside a bone, to 4 cm."""
    raw = sample_pose(samples, name)
    joints = grid(raw).joints_cam_m.copy()
    for child, parent in sorted(enumerate(H36M17.parents), key=lambda link: link[0])[1:]:
        bone = grid(raw).joints_cam_m[:, :, child] - grid(raw).joints_cam_m[:, :, parent]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        joints[:, :, child] = joints[:, :, parent] + bone / length * np.median(length, 0)
    pose = regrid(raw, joints_cam_m=joints)
    frame_time, joints = read_bvh(save(pose, tmp_path / "p.bvh"))
    assert frame_time == pytest.approx(1 / 30, abs=1e-6)
    _, _, _, truth = read_trc(save(pose, tmp_path / "p.trc"))
    for j, joint in enumerate(H36M17.joints):
        np.testing.assert_allclose(joints[joint], truth[:, j] / 10, atol=0.01, err_msg=joint)
    _, joints = read_bvh(save(raw, tmp_path / "raw.bvh"))
    _, _, _, truth = read_trc(save(raw, tmp_path / "raw.trc"))
    for j, joint in enumerate(H36M17.joints):
        np.testing.assert_allclose(joints[joint], truth[:, j] / 10, atol=4, err_msg=joint)


def test_bvh_rests_in_a_t_pose_facing_the_viewer(samples: Path, tmp_path: Path) -> None:
    """With all rotations zero the left hand is at +x, the head up, the feet down."""
    path = save(sample_pose(samples, "dance"), tmp_path / "p.bvh")
    head, motion = path.read_text().split("MOTION\n")
    count = head.count("Zrotation") * 3 + 3
    path.write_text(f"{head}MOTION\nFrames: 1\nFrame Time: 0.1\n{' '.join(['0'] * count)}\n")
    _, joints = read_bvh(path)
    left, right = joints["left_wrist"][0], joints["right_wrist"][0]
    assert left[0] > 50
    assert right[0] < -50
    assert left[1] == pytest.approx(joints["thorax"][0, 1])
    assert joints["head_top"][0, 1] > 50
    assert joints["left_ankle"][0, 1] < -60
    assert len(motion) > 1000


@pytest.mark.parametrize("bones", ["mixamo", "lafan1"])
def test_bvh_with_bones_of_others(samples: Path, tmp_path: Path, bones: str) -> None:
    """Their names and order; the joints to what the truth's bones vary by."""
    pose = sample_pose(samples, "dance")
    (path,) = write_files(pose, tmp_path / "p.bvh", f"bvh:{bones}")
    _, joints = read_bvh(path)
    prefix, toe = {"mixamo": ("mixamorig:", "ToeBase"), "lafan1": ("", "Toe")}[bones]
    legs = [[f"{s}UpLeg", f"{s}Leg", f"{s}Foot", f"{s}{toe}"] for s in ("Left", "Right")]
    arms = [[f"{s}Shoulder", f"{s}Arm", f"{s}ForeArm", f"{s}Hand"] for s in ("Left", "Right")]
    trunk = ["Hips", *legs[0], *legs[1], "Spine", "Spine1", "Spine2", "Neck", "Head"]
    names = [prefix + name for name in (*trunk, *arms[0], *arms[1])]
    assert [name for name in joints if not name.endswith("_end")] == names
    _, _, _, truth = read_trc(save(pose, tmp_path / "p.trc"))
    for name, joint in {
        "LeftHand": "left_wrist",
        "RightFoot": "right_ankle",
        "Spine1": "spine",
        "Head": "neck_nose",
        "Head_end": "head_top",
    }.items():
        off = np.linalg.norm(joints[prefix + name] - truth[:, H36M17.index[joint]] / 10, axis=-1)
        assert off.max() < 5, name


@pytest.mark.parametrize("name", ["bvh", "vrma"])
def test_a_person_without_a_whole_pose_is_refused(samples: Path, tmp_path: Path, name: str) -> None:
    pose = sample_pose(samples, "dance")
    grid(pose).joints_cam_m[:, :, 3] = np.nan
    with pytest.raises(UsageError, match="no frame with every joint"):
        save(pose, tmp_path / f"p.{name}")


def test_unknown_bones_are_refused(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'mixamo'"):
        write_files(sample_pose(samples, "dance"), tmp_path / "p.bvh", "bvh:miksamo")


@settings(max_examples=100)
@given(hnp.arrays(np.float64, (2, 3), elements=st.floats(-1, 1)), st.booleans())
@example(np.array([[1.0, 0, 0], [0, 0, 0]]), True)
@example(np.array([[-1.0, 2.0**-14, 0], [1, 0, 0]]), False)  # a hair from opposite
@example(np.array([[-1.0, 1e-9, 0], [1, 0, 0]]), False)
def test_bvh_swings_are_the_least_rotations(vectors: np.ndarray, opposite: bool) -> None:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    assume((length[0] > 0.1).all() and (opposite or (length[1] > 0.1).all()))
    a = vectors[:1] / length[:1]
    b = -a if opposite else vectors[1:] / length[1:]
    rotation = _swing(a, b)[0]
    np.testing.assert_allclose(rotation @ a[0], b[0], atol=1e-6)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)
    assert np.trace(rotation) == pytest.approx(1 + 2 * float(a[0] @ b[0]), abs=1e-6)


def test_bvh_has_even_times_and_no_gaps(samples: Path, tmp_path: Path) -> None:
    """A clip with dropped frames plays at its real speed; a gap is crossed, not held at zero."""
    whole = sample_pose(samples, "dance")
    keep = np.setdiff1d(np.arange(whole.n_frames), np.arange(40, 60, 2))
    parts = {a: getattr(grid(whole), a)[keep] for a in ROWS} | {"time_s": whole.time_s[keep]}
    parts["joints_cam_m"][100:103] = np.nan
    video = replace(whole.video, n_frames=len(keep), variable_rate=True)
    _, uneven = read_bvh(save(regrid(whole, video=video, **parts), tmp_path / "uneven.bvh"))
    _, even = read_bvh(save(whole, tmp_path / "even.bvh"))
    assert len(uneven["head_top"]) == whole.n_frames
    np.testing.assert_allclose(uneven["left_wrist"], even["left_wrist"], atol=3.0)


def test_importing_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, pose3d.result.record, pose3d.render.video; print({'torch', 'matplotlib', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
