"""evaluation/keypoints.py: errors that were put in come out, in percent and by joint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, COCO17, H36M17, LIMBS
from pose3d.errors import DataError, UsageError
from pose3d.lab.evaluation import keypoints as measured
from pose3d.lab.evaluation.keypoints import (
    KeypointOptions,
    evaluate_keypoints,
    keypoints_tables,
    match_boxes,
    match_places,
)
from pose3d.lab.evaluation.samples import match_pairs
from pose3d.networks2d.interfaces import Detections, Keypoints
from tests.support.clips import make_clip
from tests.support.fakes import BOX, FakeDetector, figure_px
from tests.support.networks import require_blazepose

SIZE_WH = (240, 96)
SHIFT_PX = 110.0
"""The second person stands so far to the right of the first."""
HEIGHT_PX = 100.0
FRAMES = 6


def limbs_px() -> np.ndarray:
    return figure_px()[[BLAZEPOSE33.index[n] for n in LIMBS]]


class Shifted:
    """Sees everybody whom it is asked about, each limb joint as many pixels to the right as said."""

    info = FakeDetector.info
    skeleton = COCO17

    def __init__(self, shift_px: np.ndarray | float, presence: float = 1.0) -> None:
        self.shift_px, self.presence = np.broadcast_to(shift_px, 12), presence

    def estimate(self, image: np.ndarray, people: Detections) -> Keypoints:
        n = len(people)
        points = np.zeros((n, 17, 2), np.float32)
        left = people.boxes_xyxy_px[:, 0] - BOX[0]
        for i, name in enumerate(LIMBS):
            points[:, COCO17.index[name]] = limbs_px()[i]
            points[:, COCO17.index[name], 0] += left + self.shift_px[i]
        return Keypoints(
            keypoints_px=points,
            score=np.ones((n, 17), np.float32),
            presence=np.full(n, self.presence, np.float32),
            boxes_xyxy_px=people.boxes_xyxy_px,
        )


class Boxes:
    """Finds these boxes in every picture."""

    info = FakeDetector.info

    def __init__(self, *boxes: tuple[float, ...]) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def detect(self, image: np.ndarray) -> Detections:
        return Detections(boxes_xyxy_px=self.boxes, score=np.ones(len(self.boxes), np.float32))


class Alone(Shifted, Boxes):
    """Finds people and joints in one pass."""

    def __init__(self) -> None:
        Shifted.__init__(self, 0.0)
        Boxes.__init__(self, BOX)


def moved(x_px: float, y_px: float = 0.0) -> tuple[float, ...]:
    return tuple(np.array(BOX) + np.array([x_px, y_px, x_px, y_px]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two people in a clip, the second hidden in its last two frames."""
    path = tmp_path_factory.mktemp("samples")
    make_clip(path / "a.mp4", n_frames=FRAMES, size_wh=SIZE_WH)
    points = np.zeros((FRAMES, 2, 17, 2))
    for i, name in enumerate(LIMBS):
        points[:, :, H36M17.index[name]] = limbs_px()[i]
    points[:, 1, :, 0] += SHIFT_PX
    visible = np.ones((FRAMES, 2), bool)
    visible[4:, 1] = False
    joints = np.zeros((FRAMES, 2, 17, 3))
    joints[..., 2] = 4.0
    np.savez(
        path / "a.truth.npz",
        joint_names=np.array(H36M17.joints),
        joints_cam_m=joints,
        keypoints_px=points,
        boxes_xyxy_px=np.broadcast_to(np.array([BOX, moved(SHIFT_PX)]), (FRAMES, 2, 4)),
        visible=visible,
        K=np.diag([HEIGHT_PX * 4.0 / 1.6, HEIGHT_PX * 4.0 / 1.6, 1.0]),
        standing_height_m=np.array([1.6, 1.6]),
    )
    return path


@pytest.fixture
def measure(folder, monkeypatch):
    """Measures one estimator with one detector, on all frames; returns their rows."""

    def run(estimator, finder=None, **options):
        finder = finder or Boxes(BOX, moved(SHIFT_PX))
        monkeypatch.setattr(measured, "make_keypoints", lambda name, **_: estimator)
        monkeypatch.setattr(measured, "list_names", lambda kind: ["y"])
        monkeypatch.setattr(measured, "make_detector", lambda name, **_: finder)
        chosen = KeypointOptions(keypoints=("x",), detector="y", every=1)
        results = evaluate_keypoints(folder, replace(chosen, **options))
        return results["estimators"][0], results["detectors"][0]

    return run


def test_errors_are_shares_of_the_height(measure):
    """3 px of 100 px are 3 %; a wrist that is 9 px off shows at that wrist alone."""
    shift = np.full(12, 3.0)
    shift[LIMBS.index("left_wrist")] = -9.0
    row, _ = measure(Shifted(shift))
    assert row["median_pct"] == pytest.approx(3, abs=1e-4)
    assert row["joints"]["left_wrist"]["median_pct"] == pytest.approx(9, abs=1e-4)
    assert row["joints"]["right_wrist"]["p90_pct"] == pytest.approx(3, abs=1e-4)
    assert (row["true_people"], row["found"], row["missed"], row["extra"]) == (10, 10, 0, 2)


def test_percentiles_are_those_of_numpy(measure):
    shift = np.arange(12.0)
    row, _ = measure(Shifted(shift), every=6)
    assert row["p90_pct"] == pytest.approx(np.percentile([*shift, *shift], 90), abs=1e-3)


def test_whom_the_detector_misses_is_missed(measure):
    row, boxes = measure(Shifted(0.0), Boxes(BOX))
    for counted in (row, boxes):
        assert (counted["found"], counted["missed"], counted["extra"]) == (6, 4, 0)
        assert counted["missed_share"] == pytest.approx(0.4)
    row, _ = measure(Shifted(0.0), Boxes(BOX), detector="truth")
    assert (row["found"], row["missed"], row["people_from"]) == (10, 0, "truth")


def test_who_is_not_believed_in_is_missed(measure):
    row, _ = measure(Shifted(0.0, presence=0.4))
    assert (row["found"], row["extra"], row["median_pct"]) == (0, 0, None)
    row, _ = measure(Shifted(0.0), Boxes())
    assert (row["found"], row["missed"], row["ms_person"]) == (0, 10, None)


def test_ghosts_and_doubles_are_extra(measure):
    row, boxes = measure(Shifted(0.0), Boxes(BOX, moved(4), moved(SHIFT_PX), moved(60)))
    assert row["found"] == boxes["found"] == 10
    # One double and one ghost in each of 6 frames, and whoever is seen in spite of hiding in 2.
    assert row["extra"] == boxes["extra"] == 14


def test_one_pass_estimators_find_their_own_people(measure):
    row, _ = measure(Alone(), Boxes())
    assert (row["people_from"], row["found"], row["missed"]) == ("itself", 6, 4)
    assert row["ms_frame"] is not None


def test_tables_name_every_figure(folder, measure, capsys):
    from rich.console import Console

    measure(Shifted(1.0))
    results = evaluate_keypoints(folder, KeypointOptions(keypoints=("x",), detector="y"))
    for table in keypoints_tables(results):
        Console(width=160).print(table)
    out = capsys.readouterr().out
    for word in ("x", "1.00", "left wrist", "90th", "missed", "CPU", "Detectors"):
        assert word in out


def test_what_cannot_be_measured_is_said(folder, tmp_path, measure, monkeypatch):
    with pytest.raises(DataError):
        evaluate_keypoints(tmp_path)
    with pytest.raises(UsageError):
        KeypointOptions(every=0)
    unknown = Shifted(0.0)
    unknown.skeleton = replace(COCO17, joints=(*COCO17.joints[:-1], "tail"))
    with pytest.raises(UsageError, match="right_ankle"):
        measure(unknown)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="'blazepose'"):
        evaluate_keypoints(folder, KeypointOptions(keypoints=("blazpose",)))
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    results = measured.load_parts("keypoints", (), measured.make_keypoints, {})
    assert not results[0]
    assert {a["name"] for a in results[1]} >= {"blazepose", "rtmpose", "mmpose", "tokenpose"}
    assert all(a["lacks"] and a["todo"] for a in results[1])


def test_pairs_are_the_best_ones():
    true = np.array([[0, 0, 10, 20], [20, 0, 30, 20]], float)
    found = np.array([[21, 0, 31, 20], [100, 0, 110, 20], [1, 0, 11, 20], [0, 0, 10, 20]], float)
    assert match_boxes(true, found) == [(0, 3), (1, 0)]
    assert match_boxes(true, np.zeros((0, 4))) == []
    assert match_boxes(true[:0], found) == []
    # Two pairs below the limit overlap more together than the one above it.
    assert match_pairs(np.array([[0.31, 0.29], [0.29, 0.0]])) == [(0, 0)]


def test_squares_around_people_are_found_people():
    """BlazePose's boxes are squares: they overlap a tall box by less than half."""
    true = np.array([[40, 0, 60, 100]], float)
    assert match_places(true, np.array([[0, 0, 100, 100]], float)) == [0]
    for wrong in ([30, 0, 130, 100], [45, 40, 55, 60], [-60, -60, 160, 160]):
        assert match_places(true, np.array([wrong], float)) == []


def test_blazepose_on_a_sample(samples, tmp_path):
    """MediaPipe's own program is 1.41 % off on this clip (samples/README.md)."""
    require_blazepose()
    for suffix in (".mp4", ".truth.npz"):
        (tmp_path / f"walk_turn{suffix}").symlink_to(samples / f"walk_turn{suffix}")
    options = KeypointOptions(keypoints=("blazepose",), detector="truth", every=60, threads=1)
    results = evaluate_keypoints(tmp_path, options)
    (row,) = results["estimators"]
    (boxes,) = (d for d in results["detectors"] if d["name"] == "blazepose")
    assert (row["missed"], row["extra"], boxes["missed"]) == (0, 0, 0)
    assert row["median_pct"] == pytest.approx(1.41, abs=0.4)
