"""Synthetic people with the real body, OpenGL and BlazePose: needs the extra film."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import cv2
import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, H36M17, LIMBS
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.noise import load_tracks
from pose3d.lab.evaluation.tracks import read_clips
from pose3d.lab.synthesis.bodies import draw_body
from pose3d.lab.synthesis.film import clip_path, film
from pose3d.lab.synthesis.pictures import Painter
from pose3d.lab.synthesis.places import draw_place
from pose3d.lab.synthesis.posing import pose_body
from pose3d.lab.synthesis.recordings import Recordings
from pose3d.lab.synthesis.tracks import FilmOptions, Watcher, film_clip
from pose3d.lab.synthesis.views import draw_view
from pose3d.lab.synthesis.wardrobe import dress
from tests.support.training import write_motions

pytestmark = [
    pytest.mark.extra_film,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("anny", "moderngl")),
        reason="the extra film is not installed",
    ),
]


@pytest.fixture(scope="module")
def painter():
    try:
        return Painter(threads=1)
    except UsageError as error:
        pytest.skip(str(error))


def test_true_joints_lie_on_the_person_in_the_picture(painter, tmp_path):
    """Where the truth says a joint is, the picture changes when the person is taken away."""
    path = write_motions(tmp_path / "m.npz", lengths=(120,), splits=["train"])
    hits, total = 0, 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        *_, points = Recordings([path]).draw(3, rng)
        body = draw_body(rng)
        posed = pose_body(body, points)
        view = draw_view(posed.joints_m, rng)
        place = draw_place(posed.joints_m[:, 0], view.centre_m, rng)
        layers = dress(body, rng)
        with_person = list(painter.draw(body, layers, posed, place, view))
        # The same place, the person far below the floor.
        gone = type(posed)(
            rotations=posed.rotations,
            heads_m=posed.heads_m - [0, 0, 50.0],
            joints_m=posed.joints_m,
        )
        without = list(painter.draw(body, layers, gone, place, view))
        where = view.project(view.see(posed.joints_m))
        for frame, (a, b) in enumerate(zip(with_person, without, strict=True)):
            assert a.shape == (view.size_wh[1], view.size_wh[0], 3)
            changed = np.abs(a.astype(int) - b).max(-1) > 4
            assert changed.any()
            for name in LIMBS:
                x, y = where[frame, H36M17.index[name]].astype(int)
                if not place.front and 0 <= x < a.shape[1] and 0 <= y < a.shape[0]:
                    hits += changed[y, x]
                    total += 1
    assert total > 60
    assert hits / total > 0.95


def test_bodies_have_the_builds_of_people():
    heights, names = [], set()
    for seed in range(12):
        body = draw_body(np.random.default_rng(seed))
        skin = np.unique(body.faces["body"])
        heights.append(np.ptp(body.vertices_m[skin, 2]))
        names.add(body.name)
        np.testing.assert_allclose(body.weights.sum(1), 1)
        # The skin is there where the rig's joints are.
        elbow = body.head("LeftForeArm")
        assert np.linalg.norm(body.vertices_m[skin] - elbow, axis=1).min() < 0.07
        assert body.vertices_m[body.nose_tip, 1] < body.head("Head")[1] - 0.06
    assert 1.2 < min(heights) < max(heights) < 2.1
    assert len(names) >= 4


def test_a_film_is_the_same_however_it_came_about(painter, tmp_path):
    """Through the command: interrupted and taken up again, with one process or two; BlazePose finds the people."""
    path = write_motions(tmp_path / "m.npz", lengths=(120,), splits=["train"])

    def run(out, clips, workers):
        command = [sys.executable, "-m", "pose3d", "data", "film"]
        command += ["--motions", str(path), "--out", str(out), "--clips", str(clips)]
        command += ["--frames", "12", "--workers", str(workers), "--seed", "3"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    said = run(tmp_path / "a.npz", 3, 2)
    assert "3 clips" in said.stdout
    assert not (tmp_path / "a.npz.clips").exists()
    first = np.load(tmp_path / "a.npz")
    # One clip was there already: it is not filmed again.
    folder = tmp_path / "b.npz.clips"
    folder.mkdir()
    begin, end = first["starts"][1:3]
    mark = {n: first[n][1:2] if len(first[n]) == 3 else first[n][begin:end] for n in first.files}
    del mark["starts"]
    mark["name"] = np.array(["kept"])
    with clip_path(folder, FilmOptions(clips=3, frames=12, seed=3), 1).open("wb") as file:
        np.savez(file, **mark)
    run(tmp_path / "b.npz", 3, 1)
    again = np.load(tmp_path / "b.npz")
    assert list(again["name"]) == [first["name"][0], "kept", first["name"][2]]
    for name in set(first.files) - {"name"}:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)

    other = write_motions(tmp_path / "other.npz", lengths=(90,), splits=["train"])
    folder.mkdir()
    (folder / "made_of.json").write_text("{}")
    command = [sys.executable, "-m", "pose3d", "data", "film"]
    command += ["--motions", str(other), "--out", str(tmp_path / "b.npz"), "--clips", "1"]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 1
    assert "b.npz.clips" in refused.stderr

    seen = first["detected"].astype(bool)
    assert seen.mean() > 0.5
    limbs = [H36M17.index[n] for n in LIMBS]
    truth = first["joints_px"][seen][:, limbs]
    found = first["lm_px"][seen][:, [BLAZEPOSE33.index[n] for n in LIMBS]]
    size = np.ptp(truth, axis=1).max(-1)
    error = np.linalg.norm(found - truth, axis=-1).mean(1) / size
    assert np.median(error) < 0.08
    again_px = first["joints_cam_m"] @ np.repeat(first["K"], np.diff(first["starts"]), 0).swapaxes(
        1, 2
    )
    np.testing.assert_allclose(again_px[..., :2] / again_px[..., 2:], first["joints_px"], atol=0.05)
    bank, tracks = load_tracks(tmp_path / "a.npz", "fit")
    assert len(tracks.fps) >= 1
    assert len(bank.error) == len(tracks.score)
    assert len(list(read_clips(tmp_path / "a.npz", "fit"))) == 3  # evaluate tracks takes it as well


def test_held_out_people_become_tracks_to_evaluate_on(painter, tmp_path):
    path = write_motions(tmp_path / "m.npz", lengths=(90, 90), splits=["train", "val"])
    film([path], tmp_path / "a.npz", FilmOptions(clips=2, frames=6, split="val"))
    assert set(np.load(tmp_path / "a.npz")["name"]) == {"01_01"}
    assert len(list(read_clips(tmp_path / "a.npz", "val"))) == 2
    with pytest.raises(DataError, match="fit"):
        load_tracks(tmp_path / "a.npz", "fit")  # training cannot read them


def test_varied_people_take_other_poses(painter, tmp_path):
    """The same person at the same place before another camera, in a pose that nobody recorded."""
    path = write_motions(tmp_path / "m.npz", lengths=(120,), splits=["train"])
    recordings, watcher = Recordings([path]), Watcher()
    other = 0
    for number in range(6):
        plain, varied = (
            film_clip(
                number, FilmOptions(clips=6, frames=4, vary=vary), recordings, painter, watcher
            )
            for vary in (False, True)
        )
        assert plain["body"] == varied["body"]
        assert plain["start_s"] == varied["start_s"]
        a, b = (bones(clip["joints_cam_m"]) for clip in (plain, varied))
        np.testing.assert_allclose(a, b, rtol=0.01)
        apart = spans(plain["joints_cam_m"]) - spans(varied["joints_cam_m"])
        other += np.abs(apart).max() > 0.05
    assert other >= 2


def test_the_network_that_was_named_looks(monkeypatch):
    from pose3d.lab.synthesis import tracks

    made = []
    monkeypatch.setattr(tracks, "make_keypoints", lambda name, **_: made.append(name))
    monkeypatch.setattr(tracks, "make_detector", lambda name, **_: made.append(name))
    Watcher(FilmOptions(clips=1, keypoints="blazepose-heavy").keypoints)
    assert made == ["blazepose", "blazepose-heavy"]
    with pytest.raises(UsageError, match="rtmpose"):
        FilmOptions(clips=1, keypoints="rtmpose")


def bones(joints_m):
    """Forearms: all other limb joints lie beside the hinges of the rig."""
    pairs = [(H36M17.index[f"{s}_elbow"], H36M17.index[f"{s}_wrist"]) for s in ("left", "right")]
    return [np.linalg.norm(joints_m[:, a] - joints_m[:, b], axis=-1).mean() for a, b in pairs]


def spans(joints_m):
    """Distances between all joints, whatever the camera."""
    return np.linalg.norm(joints_m[:, :, None] - joints_m[:, None], axis=-1)


def test_a_sheet_shows_the_people(painter, tmp_path):
    path = write_motions(tmp_path / "m.npz", lengths=(120,), splits=["train"])
    command = [sys.executable, "-m", "pose3d", "data", "film", "--clips", "3"]
    command += ["--motions", str(path), "--sheet", str(tmp_path / "sheet.png")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    reading = "reading the body model (two minutes the first time)"
    assert said.stdout == f"{reading}\nwritten: {tmp_path / 'sheet.png'}\n"
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture.shape[0] == 240
    for i in range(3):
        cell = picture[:, 240 * i : 240 * (i + 1)].astype(int)
        assert (np.abs(cell - [60, 220, 60]).max(-1) < 30).sum() > 100, "truth in green"
    assert not picture[:, 720:].any()
