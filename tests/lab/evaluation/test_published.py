"""evaluation/h36m.py, mpi_inf_3dhp.py and below: the files of the field, and its ways of counting."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.h36m_cameras import H36M_CAMERAS
from pose3d.lab.datasets.object_arrays import load_object_npz
from pose3d.lab.evaluation.h36m import evaluate_h36m, h36m_table, load_h36m
from pose3d.lab.evaluation.metrics import n_mpjpe
from pose3d.lab.evaluation.mpi_inf_3dhp import evaluate_3dhp, load_3dhp_test
from pose3d.lab.evaluation.protocol import Protocol, centre_rows, place_windows
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import mirror_joints
from tests.support.field_files import KEPT, camera_points, write_3dhp, write_h36m
from tests.support.lifters import FakeNetwork, small_lifter

FRAMES = 9


class Oracle(FakeNetwork):
    """A network that knows the truth of every input, straight and mirrored, and spoils it."""

    def __init__(self, sequences, spoil=None, frames=FRAMES):
        super().__init__(self.look_up, frames)
        inputs, answers = [], []
        for s in sequences:
            xy = s.keypoints_px / s.size_wh[0] * 2 - [1, s.size_wh[1] / s.size_wh[0]]
            joints = s.relative_m.astype(np.float64)
            joints = joints if spoil is None else spoil(joints)
            for x, y in ((xy, joints), (xy[:, H36M17.mirror] * [-1, 1], None)):
                y = joints[:, H36M17.mirror] * [-1, 1, 1] if y is None else y
                inputs.append(x.reshape(len(x), -1))
                answers.append(y)
        self.inputs = torch.tensor(np.concatenate(inputs), dtype=torch.float32)
        self.answers = torch.tensor(np.concatenate(answers), dtype=torch.float32)

    def look_up(self, inputs):
        flat = inputs[..., :2].reshape(-1, 34)
        distance = torch.cdist(flat, self.inputs, compute_mode="donot_use_mm_for_euclid_dist")
        assert distance.min(1).values.max() < 1e-4  # every input is a known one
        return self.answers[distance.argmin(1)].view(*inputs.shape[:2], 17, 3)


def oracle(sequences, spoil=None, *, hourglass=None, backbone="mixste"):
    lifter = small_lifter()
    sizes = {**lifter.options.sizes, "channels_in": 2}
    options = replace(
        lifter.options,
        normalisation="screen",
        sizes=sizes,
        hourglass=hourglass,
        backbone=backbone,
        rate_range=(25.0, 50.0),
    )
    return replace(lifter, network=Oracle(sequences, spoil), options=options)


@pytest.fixture
def h36m(tmp_path):
    write_h36m(tmp_path)
    return tmp_path, load_h36m(tmp_path, ["S9", "S11"], detections="gt")


# -- pickles without what pickles can do --------------------------------------------------------------


def test_object_arrays_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    inside = {
        "S9": {"Walking 1": rng.random((4, 32, 3)).astype("f4"), "F": np.asfortranarray(np.eye(3))},
        "list": [np.arange(3), "text", (1, 2.5, None, True), np.float32(2.5), np.int64(3)],
        "views": np.array([np.zeros((2, 2)), {"x": np.ones(1)}], object),
        "empty": np.zeros((0, 17, 2)),
        "names": np.array(["a", "bcd"]),
    }
    path = tmp_path / "file.npz"
    np.savez_compressed(path, data=inside, plain=np.eye(2), views=inside["views"])
    ours = load_object_npz(path, made_by="-")
    with np.load(path, allow_pickle=True) as z:
        theirs = {name: z[name] for name in z.files}
    theirs["data"] = theirs["data"].item()
    assert_same(ours, theirs)
    assert ours["data"]["S9"]["Walking 1"].flags.writeable


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)) or getattr(theirs, "dtype", "") == "O":
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(ours, theirs)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)


class Runs:
    """Something whose pickle calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "words", "protocol"),
    [(os.system, "system", 0), (eval, "eval", 2), (np.load, "load", 4), (open, "open", 5)],
)
def test_malicious_files_run_nothing(tmp_path, protocol, function, words):
    """Not at the top, not inside a dictionary that looks like data."""
    mark = tmp_path / "mark"
    command = {"system": f"touch {mark}", "eval": f"open({str(mark)!r}, 'w')"}.get(words, str(mark))
    array = np.empty((), object)
    array[()] = {"S9": {"Walking": Runs(function, command, *(["w"] if words == "open" else []))}}
    path = tmp_path / "data_3d_h36m.npz"
    write_pickled(path, array, protocol)
    with pytest.raises(DataError, match=f"refused.*{words}"):
        load_object_npz(path, made_by="-")
    assert not mark.exists()


def write_pickled(path: Path, array: np.ndarray, protocol: int) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    raw = header.getvalue() + pickle.dumps(array, protocol)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("positions_3d.npy", raw)


def test_pickles_that_call_nothing_but_lie_are_refused(tmp_path):
    """Dtypes of objects over raw bytes would be pointers of the attacker's choice."""
    lie = pickle.dumps(np.zeros(2), 2).replace(b"f8", b"O8")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    path = tmp_path / "file.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", header.getvalue() + lie)
    with pytest.raises(DataError):
        load_object_npz(path, made_by="-")
    for broken in (b"", b"no zip at all"):
        path.write_bytes(broken)
        with pytest.raises(DataError):
            load_object_npz(path, made_by="-")
    with pytest.raises(DataError, match=r"DATASETS\.md"):
        load_object_npz(tmp_path / "none.npz", made_by="DATASETS.md")


# -- files ----------------------------------------------------------------------------------------------


def test_h36m_is_read_as_it_was_written(tmp_path):
    truth = write_h36m(tmp_path, extra=3)
    sequences = load_h36m(tmp_path, ["S9", "S11"], detections="gt")
    assert len(sequences) == 5 * 4
    assert len(KEPT) == 17
    for i, s in enumerate(sequences):
        world = truth[s.subject][s.action]
        expected = camera_points(world, s.subject, i % 4)
        np.testing.assert_allclose(s.joints_cam_m, expected, atol=2e-6)
        assert s.camera == H36M_CAMERAS[s.subject][i % 4].name
        assert s.keypoints_px.shape == (len(world), 17, 2)  # the extra 2D frames are gone
        assert (s.score == 1).all()
        assert (expected[..., 2] > 3).all()  # people stand in front of every camera
        inside = (s.keypoints_px > 0).all() and (s.keypoints_px < 1002).all()
        assert inside
    assert {s.group for s in sequences} == {"Walking", "Directions", "WalkTogether"}
    again = write_h36m(tmp_path, joints=17)
    assert again.keys() == truth.keys()
    same = load_h36m(tmp_path, ["S9"], detections="gt")
    np.testing.assert_array_equal(same[0].joints_cam_m, sequences[0].joints_cam_m)


def test_lens_distortion_by_hand():
    """One point through the published formula, number by number."""
    c = H36M_CAMERAS["S9"][0]
    x, y = 0.3, -0.2
    r2 = x * x + y * y
    k1, k2, k3 = c.radial
    p1, p2 = c.tangential
    factor = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * x + p2 * y
    u = (x * factor + p1 * r2) * c.focal_xy_px[0] + c.centre_px[0]
    v = (y * factor + p2 * r2) * c.focal_xy_px[1] + c.centre_px[1]
    np.testing.assert_allclose(c.project(np.array([0.6, -0.4, 2.0])), [u, v], rtol=1e-12)


def test_files_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(DataError, match=r"data_3d_h36m\.npz"):
        load_h36m(tmp_path, ["S9"])
    write_h36m(tmp_path)
    with pytest.raises(DataError, match="data_2d_h36m_cpn_ft_h36m_dbb"):
        load_h36m(tmp_path, ["S9"])
    with pytest.raises(DataError, match="S5"):
        load_h36m(tmp_path, ["S5"], detections="gt")
    with pytest.raises(UsageError, match="S2"):
        load_h36m(tmp_path, ["S2"], detections="gt")
    write_h36m(tmp_path, {"S9": {"Walking": 12}}, detections="long")
    write_h36m(tmp_path, {"S9": {"Walking": 8}})
    write_h36m(tmp_path, {"S9": {"Walking": 12}}, detections="none")
    with pytest.raises(DataError, match="S9 Walking"):
        load_h36m(tmp_path, ["S9"], detections="gt")
    points = load_object_npz(tmp_path / "data_2d_h36m_long.npz", made_by="-")
    points["metadata"].update(keypoints_symmetry=[[1], [2]])
    np.savez(tmp_path / "data_2d_h36m_odd.npz", **points)
    with pytest.raises(DataError, match="symmetry"):
        load_h36m(tmp_path, ["S9"], detections="odd")


def test_coco_detections_are_known_by_their_symmetry(tmp_path):
    write_h36m(tmp_path)
    points = load_object_npz(tmp_path / "data_2d_h36m_gt.npz", made_by="-")
    coco = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
    points["metadata"].update(layout_name="coco", keypoints_symmetry=coco)
    np.savez(tmp_path / "data_2d_h36m_detectron_pt_coco.npz", **points)
    (s, *_) = load_h36m(tmp_path, ["S9"], detections="detectron_pt_coco")
    assert s.skeleton.name == "coco17"
    mapped, _ = s.mapped("face")
    hips = s.keypoints_px[:, [11, 12]].mean(1)
    np.testing.assert_allclose(mapped[:, 0], hips, atol=1e-3)


# -- windows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("windows", ["centred", "aligned"])
@pytest.mark.parametrize("length", [1, 2, 5, 8, 9, 10, 17, 18, 26, 30])
def test_every_frame_is_first_once(length, windows):
    rows, first = place_windows(length, FRAMES, windows)
    assert rows.shape == first.shape == (-(-length // FRAMES), FRAMES)
    assert sorted(rows[first]) == list(range(length))
    assert rows.min() == 0
    assert rows.max() == length - 1
    assert (np.diff(rows, axis=1) >= 0).all()


def test_windows_by_hand():
    rows, first = place_windows(5, 9)
    assert rows.tolist() == [[0, 0, 0, 1, 2, 3, 4, 4, 4]]
    assert first.tolist() == [[False, False, True, True, True, True, True, False, False]]
    rows, first = place_windows(11, 9)  # 18 places for 11 frames: 3 before, 4 after
    assert rows[0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5]
    assert rows[1].tolist() == [6, 7, 8, 9, 10, 10, 10, 10, 10]
    rows, first = place_windows(11, 9, "aligned")
    assert rows.tolist() == [list(range(9)), list(range(2, 11))]
    assert first[1].tolist() == [False] * 7 + [True] * 2
    assert place_windows(5, 9, "aligned")[0].tolist() == [[0, 1, 2, 3, 4, 4, 4, 4, 4]]
    assert centre_rows(4, 5).tolist() == [
        [0, 0, 0, 1, 2],
        [0, 0, 1, 2, 3],
        [0, 1, 2, 3, 3],
        [1, 2, 3, 3, 3],
    ]


# -- errors that were put in come out ------------------------------------------------------------------


def evaluate(h36m, spoil=None, **values):
    folder, sequences = h36m
    given = {k: values.pop(k) for k in ("hourglass", "backbone") if k in values}
    return evaluate_h36m(folder, oracle(sequences, spoil, **given), detections="gt", **values)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"protocol": Protocol(flip_test=False)},
        {"protocol": Protocol(windows="aligned")},
        {"backbone": "mhformer"},
        {
            "hourglass": HourglassOptions(keep=(3,), at=(1,), recover=None, keep_centre=True),
        },
    ],
)
def test_a_perfect_lifter_has_no_error(h36m, given):
    results = evaluate(h36m, **given)
    for way in ("published", "once"):
        assert list(results[way]["actions"]) == ["Directions", "Walking", "WalkTogether"]
        for row in [*results[way]["actions"].values(), results[way]["mean"]]:
            for name in ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "velocity_mm"):
                assert row[name] < 1e-3, name
    centre = results["output"] == "centre"
    assert centre == ("backbone" in given or "hourglass" in given)
    once = {name: row["frames"] for name, row in results["once"]["actions"].items()}
    assert once == {"Directions": 5 * 4, "Walking": (30 + 11 + 9) * 4, "WalkTogether": 20 * 4}
    counted = {name: row["frames"] for name, row in results["published"]["actions"].items()}
    windows = {"Directions": 1, "Walking": 4 + 2 + 1, "WalkTogether": 3}
    assert counted == (once if centre else {k: 9 * 4 * n for k, n in windows.items()})


def shifted(joints):
    out = joints.copy()
    out[:, 1:] += [0.03, 0.0, 0.04]
    return out


def test_a_shift_of_all_but_the_pelvis(h36m):
    """50 mm on 16 of 17 joints."""
    mean = evaluate(h36m, shifted, protocol=Protocol(flip_test=False))["once"]["mean"]
    assert mean["mpjpe_mm"] == pytest.approx(50 * 16 / 17, abs=1e-3)
    assert mean["velocity_mm"] == pytest.approx(0, abs=1e-3)
    assert 0 < mean["p_mpjpe_mm"] < mean["n_mpjpe_mm"] <= mean["mpjpe_mm"]


def test_the_flip_test_averages_with_the_mirrored_answer(h36m):
    """A network that puts everything 30 mm to its right is cured; depth and height are not."""

    class Biased(Oracle):
        def look_up(self, inputs):
            out = super().look_up(inputs).clone()
            out[..., 1:, :] += torch.tensor([0.03, 0.0, 0.04])
            return out

    folder, sequences = h36m
    lifter = oracle(sequences)
    lifter = replace(lifter, network=Biased(sequences))
    for flip_test, error in ((True, 40), (False, 50)):
        results = evaluate_h36m(
            folder, lifter, detections="gt", protocol=Protocol(flip_test=flip_test)
        )
        assert results["once"]["mean"]["mpjpe_mm"] == pytest.approx(error * 16 / 17, abs=1e-3)


def test_turns_and_sizes_are_forgiven_by_the_right_protocol(h36m):
    turn = Rotation.from_rotvec([0.2, 0.4, -0.1]).as_matrix()
    mean = evaluate(h36m, lambda j: 1.2 * j @ turn.T)["once"]["mean"]
    assert mean["p_mpjpe_mm"] < 1e-2
    assert mean["n_mpjpe_mm"] > 50
    mean = evaluate(h36m, lambda j: 1.2 * j)["once"]["mean"]
    assert mean["n_mpjpe_mm"] < 1e-2
    assert mean["mpjpe_mm"] > 50


def test_repeated_frames_count_as_published_or_once(h36m):
    """100 mm in the first frame of each recording alone, by hand.

    Directions 1 (5 frames): 3 of 9 places, or 1 of 5 frames. Walking (30, 11, 9 frames in 4, 2, 1
    windows): 30 frames in 36 places stick out 3 and 3, 11 in 18 stick out 3 and 4.
    """

    def spoil(joints):
        out = joints.copy()
        out[0, 1:] += [0.0, 0.1, 0.0]
        return out

    results = evaluate(h36m, spoil)
    a = 100 * 16 / 17
    published, once = results["published"]["actions"], results["once"]["actions"]
    assert published["Directions"]["mpjpe_mm"] == pytest.approx(a * 3 / 9, abs=1e-3)
    assert once["Directions"]["mpjpe_mm"] == pytest.approx(a / 5, abs=1e-3)
    assert published["Walking"]["mpjpe_mm"] == pytest.approx(a * (4 + 4 + 1) / 63, abs=1e-3)
    assert once["Walking"]["mpjpe_mm"] == pytest.approx(a * 3 / 50, abs=1e-3)
    for way in ("published", "once"):  # the mean is over actions, not over frames
        rows = [row["mpjpe_mm"] for row in results[way]["actions"].values()]
        assert results[way]["mean"]["mpjpe_mm"] == pytest.approx(np.mean(rows))
    # One step of 100 mm out of the 4 of Directions 1.
    assert once["Directions"]["velocity_mm"] == pytest.approx(a / 4, abs=1e-3)
    aligned = evaluate(h36m, spoil, protocol=Protocol(windows="aligned"))
    assert aligned["published"]["actions"]["Directions"]["mpjpe_mm"] == pytest.approx(
        a / 9, abs=1e-3
    )
    assert aligned["once"]["mean"] == pytest.approx(results["once"]["mean"], abs=1e-3)


def test_fast_recordings_are_split_for_weights_that_know_slow_ones(h36m):
    folder, sequences = h36m
    lifter = oracle(sequences)
    lifter = replace(lifter, options=replace(lifter.options, rate_range=(10.0, 40.0)))
    results = evaluate_h36m(folder, lifter, detections="gt")
    assert results["once"]["mean"]["mpjpe_mm"] < 1e-3
    assert results["once"]["actions"]["Walking"]["frames"] == 50 * 4
    # 30, 11 and 9 frames become 15 + 15, 6 + 5 and 5 + 4: eight windows.
    assert results["published"]["actions"]["Walking"]["frames"] == (4 + 2 + 2) * 9 * 4
    slow = replace(lifter, options=replace(lifter.options, rate_range=(60.0, 120.0)))
    with pytest.raises(UsageError):
        evaluate_h36m(folder, slow, detections="gt")


def test_person_normalised_lifters_get_the_true_focal_length(h36m):
    """A real network of ours: the error changes with the focal length, so it was used."""
    folder, _ = h36m
    seen = []

    class Spy:
        frames, options, info = FRAMES, small_lifter().options, small_lifter().info

        def lift_windows(self, points, score, size_wh, focal_px, *, flip_test):
            seen.append((size_wh, focal_px))
            return small_lifter().lift_windows(
                points, score, size_wh, focal_px, flip_test=flip_test
            )

    results = evaluate_h36m(folder, Spy(), detections="gt", actions=["Directions"])
    assert np.isfinite(results["once"]["mean"]["mpjpe_mm"])
    assert [size for size, _ in seen] == [(1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)]
    assert [round(f, 1) for _, f in seen] == [1144.4, 1148.6, 1149.0, 1145.1]


@pytest.mark.parametrize("output", ["window", "centre"])
def test_answers_in_picture_units_get_the_true_depth(h36m, output):
    """MotionBERT's units: half picture widths at the pelvis' depth, different in every frame."""
    folder, sequences = h36m
    lifter = oracle(sequences)
    network, size = lifter.network, 0
    for s in sequences:
        widths = s.joints_cam_m[:, 0, 2] / s.focal_px * s.size_wh[0] / 2
        for _ in range(2):  # straight and mirrored
            network.answers[size : size + len(widths)] /= torch.from_numpy(widths)[:, None, None]
            size += len(widths)
    lifter = replace(lifter, options=replace(lifter.options, units="picture"))
    results = evaluate_h36m(folder, lifter, detections="gt", protocol=Protocol(output=output))
    assert results["once"]["mean"]["mpjpe_mm"] < 1e-2


def test_what_cannot_be_asked_is_refused(h36m):
    folder, sequences = h36m
    with pytest.raises(UsageError, match="'Walk'"):
        evaluate_h36m(folder, oracle(sequences), detections="gt", actions=["Walk"])
    with pytest.raises(DataError):
        evaluate_h36m(folder, oracle(sequences), detections="gt", actions=["Eating"])
    with pytest.raises(UsageError):
        Protocol(padding="twice")
    with pytest.raises(UsageError):
        Protocol(output="middle")
    for keep_centre, words in ((True, "the centre only"), (False, "does not always keep")):
        pruned = HourglassOptions(keep=(3,), at=(1,), recover=None, keep_centre=keep_centre)
        lifter = oracle(sequences, hourglass=pruned)
        with pytest.raises(UsageError, match=words):
            evaluate_h36m(folder, lifter, detections="gt", protocol=Protocol(output="window"))


def test_the_table_says_how_it_was_counted(h36m):
    def printed(results):
        file = io.StringIO()
        Console(file=file, width=200).print(h36m_table(results))
        return file.getvalue()

    results = evaluate(h36m, shifted)
    text = printed(results)
    assert "published: " in text
    assert f"{results['published']['mean']['mpjpe_mm']:.2f}" in text
    assert "WalkTogether" in text
    once = printed(evaluate(h36m, shifted, protocol=Protocol(padding="once")))
    assert once.index("counted once") < once.index("published")


def test_n_mpjpe_by_hand():
    target = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 2, 0]]])
    np.testing.assert_allclose(n_mpjpe(3 * target, target), 0, atol=1e-12)
    pred = np.array([[[0.0, 0, 0], [2, 0, 0], [0, 2, 0]]])  # best scale (2 + 4) / 8
    np.testing.assert_allclose(n_mpjpe(pred, target), [(0 + 0.5 + 0.5) / 3])


# -- MPI-INF-3DHP --------------------------------------------------------------------------------------


def test_3dhp_is_read_by_joint_names(tmp_path):
    truth = write_3dhp(tmp_path)
    sequences = load_3dhp_test(tmp_path)
    assert [s.action for s in sequences] == ["TS1", "TS2", "TS3", "TS4", "TS5", "TS6"]
    assert [s.size_wh for s in sequences] == [(2048, 2048)] * 4 + [(1920, 1080)] * 2
    for s in sequences:
        for ours, theirs in (("pelvis", 14), ("left_wrist", 7), ("right_hip", 8), ("head_top", 0)):
            expected = truth[s.action][:, theirs] / 1000
            np.testing.assert_allclose(s.joints_cam_m[:, H36M17.index[ours]], expected, atol=1e-6)
    assert [int((~s.valid).sum()) for s in sequences] == [1, 0, 0, 0, 1, 0]
    assert sequences[0].focal_px == pytest.approx(1500.2, abs=0.1)


def test_3dhp_figures_by_hand(tmp_path):
    """The left wrist 160 mm off in every frame of TS2 alone: one of 14 joints beyond 150 mm."""
    write_3dhp(tmp_path)
    sequences = load_3dhp_test(tmp_path)
    wrist = H36M17.index["left_wrist"]

    class Spoiled(Oracle):
        def __init__(self):
            super().__init__(sequences[1:2])
            spoiled = self.inputs.clone(), self.answers.clone()
            spoiled[1][: len(spoiled[1]) // 2, wrist, 2] += 0.16
            mirror = H36M17.mirror[wrist]
            spoiled[1][len(spoiled[1]) // 2 :, mirror, 2] += 0.16
            super().__init__([s for s in sequences if s.action != "TS2"])
            self.inputs = torch.cat([self.inputs, spoiled[0]])
            self.answers = torch.cat([self.answers, spoiled[1]])

    network = Spoiled()
    network.answers[[3, 12 + 3], 5] += 9.0  # frame 3 of TS1 is not valid: this must not count
    lifter = replace(oracle(sequences), network=network)
    results = evaluate_3dhp(tmp_path, lifter)
    rows = results["once"]["actions"]
    assert {k: r["frames"] for k, r in rows.items()} == {
        "TS1": 11,
        "TS2": 7,
        "TS3": 9,
        "TS4": 9,
        "TS5": 7,
        "TS6": 10,
    }
    assert rows["TS2"]["mpjpe_mm"] == pytest.approx(160 / 17, abs=1e-3)
    assert rows["TS2"]["pck_pct"] == pytest.approx(100 * 13 / 14)
    # Nothing is nearer than 0 mm; of the 30 other thresholds the wrist passes none.
    assert rows["TS2"]["auc_pct"] == pytest.approx(100 * 30 / 31 * 13 / 14, abs=1e-6)
    assert rows["TS1"]["pck_pct"] == 100
    mean = results["once"]["mean"]
    assert mean["mpjpe_mm"] == pytest.approx(160 / 17 * 7 / 53, abs=1e-3)  # by frames
    # 12 frames in 18 places, 3 and 3 stick out; frame 3 of TS1 does not count anywhere.
    assert results["published"]["actions"]["TS1"]["frames"] == 17
    # TS5: frame 0 of 8 in 9 places (0 before, 1 after) is invalid.
    assert results["published"]["actions"]["TS5"]["frames"] == 8


def test_inputs_are_mirrored_like_the_published_flip():
    """x times -1, joints 4 5 6 11 12 13 and 1 2 3 14 15 16 exchanged."""
    x = torch.randn(2, 3, 17, 2)
    left, right = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]
    expected = x.clone()
    expected[..., 0] *= -1
    expected[:, :, left + right] = expected[:, :, right + left]
    assert torch.equal(mirror_joints(x), expected)


def test_results_are_json(h36m):
    text = json.dumps(evaluate(h36m))
    assert json.loads(text)["once"]["mean"]["frames"] == 75 * 4
