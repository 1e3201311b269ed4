"""evaluation/keypoint_scores.py, people.py: cases by hand, and COCO's rules told again."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from pose3d.body.skeletons import COCO17, LSP14, MPII16
from pose3d.cli.app import app
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.people.labelled import LabelledPeople
from pose3d.lab.datasets.people.table import load_people
from pose3d.lab.evaluation.keypoint_scores import (
    LEVELS,
    average_precision,
    compute_oks,
    find_hits,
    match_people,
    pckh_columns,
    share_of,
    sigmas_of,
    summarise_levels,
    torso_px,
)
from pose3d.lab.evaluation.people import (
    DIALECT,
    VERSION,
    compare_runs,
    evaluate_people,
    metrics_of,
    read_results,
)
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.weights.info import ModelInfo
from tests.support.people_files import standing_person, write_coco, write_lspet, write_mpii_json

# -- PCK and PCKh ---------------------------------------------------------------------------------


def test_pck_by_hand():
    """A torso of 50 px (left shoulder to right hip): 10 px is near enough, 10.01 px is not."""
    truth = np.zeros((2, 14, 2))
    truth[:, LSP14.index["left_shoulder"]] = 30, 40
    found = truth.copy()
    found[0, 0] += [6, 8]  # exactly 10
    found[0, 1] += [6, 8.02]
    found[0, 2] = np.nan  # not found
    truth[0, 3] = np.nan  # not labelled
    truth[1, LSP14.index["right_hip"]] = np.nan  # nobody knows how large this person is
    reach = 0.2 * torso_px(truth, LSP14)
    np.testing.assert_allclose(reach[0], 10)
    hits, counted = find_hits(found, truth, reach)
    assert counted.sum() == 13
    assert not counted[1].any()
    assert hits[0].tolist() == [True, False, False, False] + [True] * 10
    assert share_of(hits, counted) == pytest.approx(100 * 11 / 13)
    assert math.isnan(share_of(hits[1:], counted[1:]))


def test_pckh_by_hand(tmp_path):
    """MPII's heads of 30 px: 15 px is near enough; pelvis and thorax do not count."""
    write_mpii_json(tmp_path)
    people = load_people("mpii", tmp_path, "val")
    found = people.keypoints_px.copy()
    found[:, MPII16.index["pelvis"]] += 500
    found[0, MPII16.index["left_wrist"], 0] += 14.99
    found[1, MPII16.index["left_wrist"], 0] += 15.01
    results = evaluate_people(people, Oracle(people, found))
    # Three people with 16 joints, but for the right ankle, pelvis and thorax.
    assert results["metrics"]["pckh"] == pytest.approx(100 * (3 * 13 - 1) / (3 * 13))
    assert list(np.flatnonzero(~pckh_columns(MPII16.joints))) == [6, 7]


# -- OKS ------------------------------------------------------------------------------------------


def test_oks_by_hand():
    """One joint off by d in an area A with sigma s: exp(-d^2 / (2 A (2 s)^2))."""
    points = np.full((1, 17, 2), np.nan)
    points[0, 0], points[0, 5] = (10, 10), (40, 30)
    boxes, area = np.zeros((1, 4)), np.array([900.0])
    found = np.zeros((1, 17, 2))
    found[0, 0], found[0, 5] = (13, 14), (40, 30)
    nose = math.exp(-25 / (2 * 900 * 0.052**2))
    assert compute_oks(found, points, boxes, area, sigmas_of(COCO17.joints))[0, 0] == pytest.approx(
        (nose + 1) / 2, rel=1e-9
    )


def test_sigmas_are_cocos():
    """The list of cocoeval.py, joint by joint."""
    published = [.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89]  # fmt: skip
    np.testing.assert_allclose(sigmas_of(COCO17.joints), np.array(published) / 10)
    for skeleton in (LSP14, MPII16):
        assert len(sigmas_of(skeleton.joints)) == len(skeleton)
    with pytest.raises(UsageError, match="tail"):
        sigmas_of(["nose", "left_tail"])


def test_ap_by_hand():
    """Two people; found at 0.9, a false alarm at 0.8, found at 0.7.

    Precision is 1 up to recall 0.5 (51 of 101 places) and 2/3 beyond.
    """
    matches = np.tile([[1, 0, 1]], (10, 1))
    precision, recall = average_precision(np.array([0.9, 0.8, 0.7]), matches, 2)
    np.testing.assert_allclose(precision, (51 + 50 * 2 / 3) / 101, rtol=1e-9)
    np.testing.assert_allclose(recall, 1)
    # A person whom nobody found takes away recall, an ignored match nothing.
    precision, recall = average_precision(
        np.array([0.9, 0.8, 0.7]), np.tile([[1, -1, 1]], (10, 1)), 4
    )
    np.testing.assert_allclose(precision, 51 / 101, rtol=1e-9)
    np.testing.assert_allclose(recall, 0.5)


def test_matching_by_hand():
    """The better detection takes the person; a second one on the same person is a false alarm."""
    oks = np.array([[0.72, 0.2], [0.93, 0.1], [0.55, 0.62]])
    found = match_people(oks, np.zeros(2, bool), np.zeros(2, bool))
    by_level = dict(zip([round(level, 2) for level in LEVELS], found.tolist(), strict=True))
    assert by_level[0.5] == [1, 0, 1]
    assert by_level[0.65] == [1, 0, 0]
    assert by_level[0.75] == [0, 1, 0]
    assert by_level[0.95] == [0, 0, 0]
    # An ignored person is taken only where nobody else is left; a crowd again and again.
    oks = np.array([[0.6, 0.9], [0.6, 0.9], [0.1, 0.9]])
    ignored = np.array([False, True])
    assert match_people(oks, ignored, ~ignored * False)[0].tolist() == [1, -1, 0]
    assert match_people(oks, ignored, ignored)[0].tolist() == [1, -1, -1]


# -- COCO's evaluation once more, written from its description alone ------------------------------


def slow_oks(found, points, box, area, sigmas):
    total, count = 0.0, 0
    known = [j for j in range(len(points)) if not np.isnan(points[j]).any()]
    for j in known or range(len(points)):
        if known:
            dx, dy = found[j] - points[j]
        else:
            w, h = box[2] - box[0], box[3] - box[1]
            dx = max(0, box[0] - w - found[j][0]) + max(0, found[j][0] - (box[0] + 2 * w))
            dy = max(0, box[1] - h - found[j][1]) + max(0, found[j][1] - (box[1] + 2 * h))
        total += math.exp(-(dx * dx + dy * dy) / (2 * area * (2 * sigmas[j]) ** 2))
        count += 1
    return total / count


def slow_ap(pictures, sigmas):
    """``pictures``: lists of (score, keypoints) and of (points, box, area, ignored, crowd)."""
    results = {}
    for step in range(10):
        level = 0.5 + 0.05 * step
        marks, people = [], 0
        for detections, persons in pictures:
            people += sum(not p[3] for p in persons)
            used = set()
            for score, found in sorted(detections, key=lambda d: -d[0])[:20]:
                likeness = [slow_oks(found, p[0], p[1], p[2], sigmas) for p in persons]
                chosen = None
                for wanted in (False, True):  # people that count first
                    free = [
                        i
                        for i, p in enumerate(persons)
                        if p[3] == wanted and likeness[i] >= level and (i not in used or p[4])
                    ]
                    if free:
                        chosen = max(free, key=lambda i: (likeness[i], i))
                        break
                if chosen is None:
                    marks.append((score, "wrong"))
                elif persons[chosen][3]:
                    used.add(chosen)
                else:
                    used.add(chosen)
                    marks.append((score, "right"))
        marks.sort(key=lambda m: -m[0])
        curve, right = [], 0
        for rank, (_, mark) in enumerate(marks, 1):
            right += mark == "right"
            curve.append((right / people, right / rank))
        places = [i / 100 for i in range(101)]
        best = [max((p for r, p in curve if r >= place - 1e-12), default=0.0) for place in places]
        results[step] = (sum(best) / 101, right / people)
    return results


@pytest.mark.parametrize("seed", range(4))
def test_ap_equals_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    sigmas = sigmas_of(COCO17.joints)
    pictures, scores, matches, people = [], [], [], 0
    for _ in range(12):
        n = int(rng.integers(1, 5))
        points = rng.uniform(0, 100, (n, 17, 2)) + rng.uniform(0, 300, (n, 1, 2))
        points[rng.random((n, 17)) < 0.2] = np.nan
        ignored = rng.random(n) < 0.25
        points[ignored] = np.nan
        ignored |= ~np.isfinite(points).all(-1).any(1)
        crowd = ignored & (rng.random(n) < 0.5)
        boxes = np.sort(rng.uniform(0, 400, (n, 2, 2)), 1).reshape(n, 4)
        area = rng.uniform(2000, 9000, n)
        base = np.nan_to_num(points, nan=200.0)
        found = np.concatenate(
            [base + rng.normal(0, s, base.shape) for s in (3, 8)]
            + [rng.uniform(0, 400, (2, 17, 2))]
        )
        score = rng.random(len(found))
        order = np.argsort(-score)
        found, score = found[order], score[order]
        oks = compute_oks(found, points, boxes, area, sigmas)
        matches.append(match_people(oks, ignored, crowd))
        scores.append(score)
        people += int((~ignored).sum())
        persons = list(zip(points, boxes, area, ignored, crowd, strict=True))
        pictures.append((list(zip(score, found, strict=True)), persons))
    precision, recall = average_precision(
        np.concatenate(scores), np.concatenate(matches, 1), people
    )
    slow = slow_ap(pictures, sigmas)
    np.testing.assert_allclose(precision, [slow[i][0] for i in range(10)], atol=1e-9)
    np.testing.assert_allclose(recall, [slow[i][1] for i in range(10)], atol=1e-12)
    summary = summarise_levels(precision, recall)
    assert summary["ap"] == pytest.approx(10 * sum(slow[i][0] for i in range(10)))
    assert summary["ap75"] == pytest.approx(100 * slow[5][0])
    assert 5 < summary["ap"] < 95


# -- the whole evaluation -------------------------------------------------------------------------


class Oracle:
    """An estimator that answers what it was given, person by person."""

    def __init__(self, people: LabelledPeople, found: np.ndarray, skeleton=None) -> None:
        self.skeleton = skeleton or people.skeleton
        self.info = ModelInfo(name="oracle", licence="CC0-1.0")
        self._by_box = {tuple(b): f for b, f in zip(people.boxes_xyxy_px, found, strict=True)}

    def estimate(self, image, people: Detections) -> Keypoints:
        points = np.stack([self._by_box[tuple(b)] for b in people.boxes_xyxy_px])
        n, j = points.shape[:2]
        return Keypoints(
            keypoints_px=points.astype(np.float32),
            score=np.full((n, j), 0.9, np.float32),
            presence=np.ones(n, np.float32),
            boxes_xyxy_px=people.boxes_xyxy_px,
        )


def test_labels_themselves_score_full(tmp_path):
    write_coco(tmp_path)
    people = load_people("coco", tmp_path, "val")
    found = np.nan_to_num(people.keypoints_px)
    results = evaluate_people(people, Oracle(people, found))
    assert results["people"]["id"] == [183126, 183127]  # neither the crowd nor the unlabelled one
    assert results["metrics"] == pytest.approx(
        {"pck": 100, "pckh": None, "ap": 100, "ap50": 100, "ap75": 100, "ar": 100}
    )
    worse = found.copy()
    worse[0] += 300  # one of two is lost: half of the recall
    results = evaluate_people(people, Oracle(people, worse))
    assert results["metrics"]["ar"] == pytest.approx(50)
    json.dumps(results)


def test_joints_meet_by_name(tmp_path):
    """An estimator of COCO-17 on LSP's labels: the twelve limb joints count."""
    write_lspet(tmp_path / "lspet.npz")
    people = load_people("lspet", tmp_path, "test")
    rows = np.zeros((len(people), 17, 2), np.float32)
    for i, name in enumerate(COCO17.joints):
        if name in LSP14.index:
            rows[:, i] = people.keypoints_px[:, LSP14.index[name]]
    boxes = people.boxes_xyxy_px + np.arange(len(people))[:, None] / 64
    people = replace(people, boxes_xyxy_px=boxes.astype(np.float32))
    results = evaluate_people(people, Oracle(people, rows, COCO17))
    assert len(results["compared_joints"]) == 12
    assert results["metrics"]["pck"] == 100


def test_people_without_a_joint_that_counts_do_not_count(tmp_path):
    """Somebody with a nose alone and an estimator of bodies: nobody to find, and not found by chance."""
    write_coco(tmp_path)
    people = load_people("coco", tmp_path, "val")
    found = np.zeros((len(people), len(LSP14), 2), np.float32)
    for i, name in enumerate(LSP14.joints):
        if name in COCO17.index:
            found[:, i] = np.nan_to_num(people.keypoints_px[:, COCO17.index[name]])
    results = evaluate_people(people, Oracle(people, found, LSP14))
    assert results["people"]["id"] == [183126]  # 183127 shows a nose
    assert results["metrics"]["ap"] == pytest.approx(100)
    # All wrong: what cannot be compared is not right by chance.
    assert evaluate_people(people, Oracle(people, found + 500, LSP14))["metrics"]["ap"] == 0


def test_nothing_in_common_is_refused(tmp_path):
    write_lspet(tmp_path / "lspet.npz")
    people = load_people("lspet", tmp_path, "test")
    other = replace(COCO17, joints=tuple(f"x{n}" for n in COCO17.joints))
    with pytest.raises(UsageError):
        evaluate_people(people, Oracle(people, people.keypoints_px, other))


# -- bootstrap ------------------------------------------------------------------------------------


def fake_results(hits: np.ndarray, images: np.ndarray | None = None) -> dict:
    n = len(hits)
    levels = (hits[:, None] > np.arange(10)).astype(int)
    rows = {
        "id": list(range(n)),
        "image": list(range(n)) if images is None else images.tolist(),
        "score": np.linspace(1, 0, n).tolist(),
        "levels": levels.tolist(),
        "pck_hits": hits.tolist(),
        "pck_counted": [10] * n,
        "pckh_hits": [0] * n,
        "pckh_counted": [0] * n,
    }
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "data": "made up",
        "compared_joints": ["nose"],
        "metrics": metrics_of(rows),
        "people": rows,
    }


def test_interval_is_that_of_the_mean_of_differences():
    """With as many joints each, the interval of the paired PCK is mean +- 1.96 s / sqrt(n)."""
    rng = np.random.default_rng(0)
    b = rng.integers(3, 9, 400)
    a = np.clip(b + rng.integers(-1, 3, 400), 0, 10)
    out = compare_runs([fake_results(a)], [fake_results(b)], draws=1000)["pck"]
    difference = 10.0 * (a - b)
    half = 1.96 * difference.std() / 20
    assert out["difference"] == pytest.approx(difference.mean())
    assert out["low"] == pytest.approx(difference.mean() - half, abs=0.15 * half)
    assert out["high"] == pytest.approx(difference.mean() + half, abs=0.15 * half)
    assert out["better"] == 1.0
    # Paired: apart, both figures vary much more than their difference.
    assert half < 0.6 * 1.96 * 10 * np.hypot(a.std(), b.std()) / 20


def test_same_results_differ_by_nothing():
    rng = np.random.default_rng(1)
    a = fake_results(rng.integers(0, 11, 60))
    out = compare_runs([a], [a], draws=50)
    assert out["pck"]["low"] == out["pck"]["high"] == out["ap"]["difference"] == 0
    assert "pckh" not in out  # no heads: no figure


def test_runs_count_too():
    """Three runs that differ widely among themselves: the interval is far wider than with one."""
    rng = np.random.default_rng(2)
    b = rng.integers(3, 8, 200)
    runs = [fake_results(np.clip(b + k, 0, 10)) for k in (-2, 0, 2)]
    others = [fake_results(b)] * 3
    many = compare_runs(runs, others, draws=300)["pck"]
    one = compare_runs(runs[1:2], others[:1], draws=300)["pck"]
    assert one["high"] - one["low"] == 0
    assert many["high"] - many["low"] > 20
    assert many["runs"]["ours"] == pytest.approx([r["metrics"]["pck"] for r in runs])


def test_people_of_one_picture_stay_together():
    """Ten pictures of twenty people who are alike: as uncertain as ten people, not as two hundred."""
    rng = np.random.default_rng(3)
    per_picture = rng.integers(0, 11, 10)
    a = np.repeat(per_picture, 20)
    zero = np.full(200, 5)
    images = np.repeat(np.arange(10), 20)
    together = compare_runs([fake_results(a, images)], [fake_results(zero, images)], draws=400)
    apart = compare_runs([fake_results(a)], [fake_results(zero)], draws=400)
    width = [r["pck"]["high"] - r["pck"]["low"] for r in (together, apart)]
    assert width[0] > 3 * width[1]


def test_other_people_are_refused(tmp_path):
    a, b = fake_results(np.arange(5)), fake_results(np.arange(6))
    with pytest.raises(UsageError):
        compare_runs([a], [b])
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(DataError):
        read_results(path)


def test_command_compares(tmp_path):
    rng = np.random.default_rng(4)
    for name in ("a0", "a1", "b0"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(fake_results(rng.integers(0, 11, 40))))
    a, b = f"{tmp_path}/a0.json,{tmp_path}/a1.json", f"{tmp_path}/b0.json"
    command = ["evaluate", "people", "--compare", a, b, "--draws", "50"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "PCK@0.2" in shown.output
    assert "40 people, 50 paired" in shown.output
    out = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(out.output)["pck"]["runs"]["others"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No data folder was given"),
        (["--data", "nowhere"], "lspet.npz is missing"),
        (["--data", ".", "--dataset", "coca"], "Did you mean 'coco'"),
        (["--compare", "a.json", "b.json"], "a.json cannot be read"),
        (["--data", ".", "--out", "no/such/folder.json"], "no/such/folder.json cannot be written"),
    ],
)
def test_command_refuses(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["evaluate", "people", *arguments])
    assert result.exit_code != 0
    assert said in result.output + result.stderr


def test_standing_person_is_one():
    """The drawn person of these tests has its left on the right of the picture."""
    points = standing_person()
    assert points[LSP14.index["left_wrist"], 0] > points[LSP14.index["right_wrist"], 0]
