"""The file of the viewer: what is in it, what is refused, when it is made again."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

import pose3d.viewer.clip
from pose3d.body.skeletons import H36M17
from pose3d.cli.app import app
from pose3d.errors import UsageError, VideoError
from pose3d.result.record import PoseSequence, save
from pose3d.viewer.packing import pack
from pose3d.viewer.page import write_page
from pose3d.viewer.tracks import ABSENT, FILLED_IN, SEEN, read_tracks
from tests.support import ROOT
from tests.support.grids import grid, regrid
from tests.support.samples import sample_pose


def two_people(**video: Any) -> PoseSequence:
    pose = sample_pose(ROOT / "samples", "two_people")
    path = str(ROOT / "samples/two_people.mp4")
    return regrid(pose, video=replace(pose.video, **{"path": path, **video}))


def element(page: Path, name: str) -> str:
    found = re.search(rf'<script [^>]*id="{name}">(.*?)</script>', page.read_text("utf-8"), re.S)
    assert found
    return found[1]


def header_of(page: Path) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(element(page, "record"))
    return header


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """Reads what ``pack`` wrote by its description, with sums in place of the page's loops."""
    n = packed["rows"] * packed["width"]
    raw = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8)
    code = raw[: 4 * n].reshape(4, n).astype(np.int64)
    whole = (code * np.array([[1], [1 << 8], [1 << 16], [1 << 24]])).sum(0)
    change = np.where(whole % 2, -(whole + 1) // 2, whole // 2)
    table = change.reshape(packed["width"], packed["rows"]).cumsum(1).cumsum(1)
    table = (table + 2**31) % 2**32 - 2**31
    missing = np.unpackbits(raw[4 * n :], count=n, bitorder="little").astype(bool)
    return np.where(missing.reshape(table.shape), np.nan, table * packed["step"]).T


@settings(max_examples=60)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 9), st.integers(1, 4)),
        elements=st.floats(-1e5, 1e5) | st.just(float("nan")),
    )
)
def test_packed_arrays_come_back_within_half_a_step(values: np.ndarray) -> None:
    np.testing.assert_allclose(unpack(pack(values, 1e-4)), values, rtol=0, atol=0.5001e-4)


def test_everybody_is_on_the_rows_that_have_a_pose() -> None:
    pose = two_people()
    assert grid(pose).joints_cam_m is not None
    joints, valid = grid(pose).joints_cam_m.copy(), grid(pose).valid.copy()
    joints[:20, 0] = joints[60:70, 0] = joints[200:, 0] = np.nan
    valid[30:33, 0] = False
    tracks, _ = read_tracks(regrid(pose, joints_cam_m=joints, valid=valid))
    assert [track.person_id for track in tracks] == [1, 2]
    assert tracks[0].start == 20
    assert len(tracks[0].state) == 180
    assert set(tracks[0].state[10:13]) == {FILLED_IN}
    assert set(tracks[0].state[40:50]) == {ABSENT}
    assert set(tracks[0].state[:10]) <= {SEEN, FILLED_IN}


def test_the_floor_is_the_ground_and_the_camera_above_it() -> None:
    pose = two_people()
    assert grid(pose).joints_cam_m is not None
    assert grid(pose).root_cam_m is not None
    tracks, place = read_tracks(pose)
    np.testing.assert_allclose(np.linalg.det(place.world_from_cam), 1)
    assert place.camera_height_m == pytest.approx(1.45)
    world = tracks[0].joints_cam_m @ place.world_from_cam.T + tracks[0].origin_m[:, None]
    ankles = world[:, [H36M17.index["left_ankle"], H36M17.index["right_ankle"]], 1]
    assert 0.02 < ankles.min() < 0.15
    tracks, place = read_tracks(replace(pose, root_cam_m=None))
    assert place.camera_height_m is None
    assert np.linalg.norm(tracks[0].origin_m[0] - tracks[1].origin_m[0]) > 1


def test_page_is_small_and_holds_the_video(tmp_path: Path) -> None:
    page = write_page(two_people(), tmp_path / "pose.html")
    video = (ROOT / "samples/two_people.mp4").read_bytes()
    assert base64.b64decode(element(page, "clip-data")) == video
    assert page.stat().st_size - len(element(page, "clip-data")) < 1_000_000


def test_page_names_no_address(tmp_path: Path) -> None:
    """Nothing in it can be fetched: the policy forbids it, and no element has an address."""
    page = write_page(two_people(path="gone.mp4"), tmp_path / "pose.html").read_text("utf-8")
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []


def test_licence_of_three_is_in_every_page(tmp_path: Path) -> None:
    page = write_page(two_people(path="gone.mp4"), tmp_path / "pose.html").read_text("utf-8")
    licence = (Path(pose3d.viewer.clip.__file__).parent / "three.LICENSE").read_text("utf-8")
    assert licence.strip() in page


def test_names_cannot_end_an_element(tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)>&.mp4"
    page = write_page(two_people(path=name), tmp_path / "pose.html")
    # The last part of the path, for "/" is in the name.
    assert "<img" not in page.read_text("utf-8")
    assert header_of(page)["name"] == "script><img src=x onerror=alert(1)>&.mp4"


def test_same_page_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes((ROOT / "samples/two_people.mp4").read_bytes())
    pose = two_people(path=str(clip))
    page = write_page(pose, tmp_path / "pose.html")
    first = page.stat().st_ino
    assert write_page(pose, page).stat().st_ino == first
    joints = grid(pose).joints_cam_m
    assert joints is not None
    changed = regrid(pose, joints_cam_m=joints + 0.01)
    second = write_page(changed, page).stat().st_ino
    assert second != first
    clip.write_bytes((ROOT / "samples/walk_turn.mp4").read_bytes())
    assert write_page(changed, page).stat().st_ino != second


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    page = tmp_path / "pose.html"
    page.write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="no page of pose3d"):
        write_page(two_people(), page)
    assert page.read_text() == "<html>mine</html>"


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    pose = two_people()
    with pytest.raises(UsageError, match="no 3D joints"):
        write_page(replace(pose, joints_cam_m=None, root_cam_m=None), tmp_path / "a.html")
    with pytest.raises(VideoError, match="There is no"):
        write_page(pose, tmp_path / "a.html", video=tmp_path / "gone.mkv")
    with pytest.raises(VideoError, match="There is no"):
        write_page(pose, tmp_path / "a.html", video=tmp_path / "gone.mp4")
    assert list(tmp_path.iterdir()) == []


def test_command_makes_the_page_beside_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(two_people(), tmp_path / "pose.npz")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    said = CliRunner().invoke(app, ["view", str(tmp_path), "--no-open"])
    assert said.exit_code == 0, said.output
    assert said.output.strip() == str(tmp_path / "pose.html")
    assert opened == []
    said = CliRunner().invoke(app, ["view", str(tmp_path / "pose.npz")])
    assert said.exit_code == 0, said.output
    assert opened == [(tmp_path / "pose.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    said = CliRunner().invoke(app, ["view", str(tmp_path)])
    assert "no browser" in said.output


def test_large_videos_written_anew_lie_beside_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = two_people()
    folder = tmp_path / "out"
    folder.mkdir()
    source = tmp_path / "clip.mkv"
    remux(ROOT / "samples/two_people.mp4", source)
    page = write_page(pose, folder / "pose.html", video=source)
    assert len(element(page, "clip-data")) > 10_000
    monkeypatch.setattr(pose3d.viewer.clip, "EMBED_BYTES", 1000)
    page = write_page(pose, folder / "b.html", video=source)
    assert header_of(page)["clip"]["link"] == "clip.view.mp4"
    assert sorted(p.name for p in folder.iterdir()) == ["b.html", "clip.view.mp4", "pose.html"]


def remux(source: Path, target: Path) -> None:
    """Copies the pictures of a video into another container."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
