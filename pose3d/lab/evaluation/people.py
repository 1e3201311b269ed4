"""2D estimators on photographs of labelled people, and which of two is better on the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError, UsageError
from pose3d.files import parse_json
from pose3d.lab.datasets.people.labelled import LabelledPeople
from pose3d.lab.evaluation.keypoint_scores import (
    HEAD_SHARE,
    MOST_PEOPLE,
    TORSO_SHARE,
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
from pose3d.lab.evaluation.tables import OnStep, figures_table
from pose3d.networks2d.interfaces import Detections, KeypointEstimator

if TYPE_CHECKING:
    from rich.table import Table

DIALECT = "pose3d-people"
VERSION = 1
# figures in percent and how they are written
METRICS = {
    "pck": "PCK@0.2",
    "pckh": "PCKh@0.5",
    "ap": "OKS-AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar": "AR",
}

_BATCH = 16
_SURE = 0.2  # joints of less score do not count for a person's, as in HRNet's evaluation

Array = NDArray[np.floating]


def evaluate_people(
    people: LabelledPeople,
    estimator: KeypointEstimator,
    *,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Lets an estimator look at each labelled person's box and compares with the labels.

    Joints that both skeletons name count. ``ignored`` people, and those without a label on such a joint,
    are not shown. Returns JSON values: ``metrics`` (percent, None if nothing counts), ``joints`` (PCK of
    each) and ``people`` with what :func:`compare_runs` needs.
    """
    shared = [name for name in people.skeleton.joints if name in estimator.skeleton.index]
    if not shared:
        both = f"{estimator.skeleton.name} and {people.skeleton.name}"
        raise UsageError(f"{both} have no joint in common", "Choose another estimator")
    columns = [people.skeleton.index[name] for name in shared]
    labelled = np.isfinite(people.keypoints_px[:, columns]).all(-1).any(-1)
    people = replace(people, ignored=people.ignored | ~labelled)
    shown = np.flatnonzero(~people.ignored)
    found, score = locate_people(people.take(shown), estimator, on_step)
    source = [estimator.skeleton.index[name] for name in shared]
    found, score = found[:, source], score[:, source]
    truth = people.keypoints_px[shown][:, columns]
    rows = _rows_of(people, shown, columns, shared, found, score)
    torso = torso_px(people.keypoints_px[shown], people.skeleton)
    hits, counted = find_hits(found, truth, TORSO_SHARE * torso)
    head = pckh_columns(shared)
    near, near_counted = (
        array & head for array in find_hits(found, truth, HEAD_SHARE * people.head_px[shown])
    )
    rows |= {
        "pck_hits": hits.sum(1).tolist(),
        "pck_counted": counted.sum(1).tolist(),
        "pckh_hits": near.sum(1).tolist(),
        "pckh_counted": near_counted.sum(1).tolist(),
    }
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "data": people.name,
        "estimator": estimator.info.name,
        "weights": list(estimator.info.weights),
        "sha256": list(estimator.info.sha256),
        "licence": estimator.info.licence,
        "compared_joints": shared,
        "metrics": metrics_of(rows),
        "joints": {
            name: _none(share_of(hits[:, i], counted[:, i])) for i, name in enumerate(shared)
        },
        "people": rows,
    }


def locate_people(
    people: LabelledPeople, estimator: KeypointEstimator, on_step: OnStep | None = None
) -> tuple[Array, Array]:
    """Returns keypoints ``(n, joint, 2)`` px and scores ``(n, joint)`` of each person's box."""
    joints = len(estimator.skeleton)
    found = np.full((len(people), joints, 2), np.nan)
    score = np.zeros((len(people), joints))
    pictures = np.unique(people.image)
    batched = getattr(estimator, "estimate_batch", None)  # of some estimators
    done = 0
    for start in range(0, len(pictures), _BATCH):
        part = pictures[start : start + _BATCH]
        rows = [np.flatnonzero(people.image == number) for number in part]
        images = [people.images.read(int(number)) for number in part]
        boxes = [
            Detections(boxes_xyxy_px=people.boxes_xyxy_px[r], score=np.ones(len(r), np.float32))
            for r in rows
        ]
        answers = batched(images, boxes) if batched else map(estimator.estimate, images, boxes)
        for r, answer in zip(rows, answers, strict=True):
            found[r], score[r] = answer.keypoints_px, answer.score
            done += len(r)
        if on_step is not None:
            on_step(people.name, done, len(people))
    return found, score


def _rows_of(
    people: LabelledPeople,
    shown: NDArray[np.int64],
    columns: list[int],
    joints: list[str],
    found: Array,
    score: Array,
) -> dict[str, list[Any]]:
    """Returns what a result holds of each person: id, picture, score, matches at each level."""
    sure = score >= _SURE
    rank = np.where(sure, score, 0).sum(1) / np.maximum(sure.sum(1), 1)
    levels = np.zeros((len(shown), 10), int)
    kept = np.zeros(len(shown), bool)
    sigmas = sigmas_of(joints)
    for picture in np.unique(people.image[shown]):
        here = np.flatnonzero(people.image[shown] == picture)
        here = here[np.argsort(-rank[here], kind="stable")][:MOST_PEOPLE]
        there = people.take(np.flatnonzero(people.image == picture))
        truth_px = there.keypoints_px[:, columns]
        oks = compute_oks(found[here], truth_px, there.boxes_xyxy_px, there.area_px2, sigmas)
        levels[here] = match_people(oks, there.ignored, there.crowd).T
        kept[here] = True
    levels[~kept] = -1
    return {
        "id": people.ids[shown].tolist(),
        "image": people.image[shown].tolist(),
        "score": [round(float(s), 6) for s in rank],
        "levels": levels.tolist(),
    }


def metrics_of(
    rows: Mapping[str, Any], chosen: NDArray[np.int64] | None = None
) -> dict[str, float | None]:
    """Returns the figures of all people of a result, or of chosen rows, which may repeat."""
    some = slice(None) if chosen is None else chosen
    table = {k: np.asarray(v)[some] for k, v in rows.items()}
    out: dict[str, float | None] = {}
    for name in ("pck", "pckh"):
        total, hits = (int(table[f"{name}_{what}"].sum()) for what in ("counted", "hits"))
        out[name] = 100 * hits / total if total else None
    levels = np.asarray(table["levels"], int).reshape(-1, 10).T
    precision, recall = average_precision(table["score"], levels, len(table["score"]))
    return {**out, **{k: _none(v) for k, v in summarise_levels(precision, recall).items()}}


def _none(value: float) -> float | None:
    """Returns None for NaN, which JSON does not know."""
    return None if np.isnan(value) else value


def people_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`evaluate_people` as a table."""
    title = f"{results['estimator']} on {results['data']}, {len(results['people']['id'])} people"
    rows = [(words, results["metrics"][name]) for name, words in METRICS.items()]
    rows += [(f"  PCK {name}", value) for name, value in results["joints"].items()]
    columns = {"figure": "{figure}", "percent": "{percent:.1f}"}
    return figures_table(title, columns, ({"figure": f, "percent": v} for f, v in rows))


# -- which of two is better --------------------------------------------------------------------


def read_results(path: Path) -> dict[str, Any]:
    """Reads what ``pose3d evaluate people --out`` wrote."""
    try:
        results = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})", "Check the path") from error
    if not isinstance(results, dict) or results.get("dialect") != DIALECT:
        raise DataError(f"{path} is no result of evaluate people", "Make it with --out")
    if results.get("version") != VERSION:
        raise DataError(f"{path} has another version", "Make it again")
    return results


def compare_runs(
    ours: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares results of two estimators, one a run, by a paired bootstrap.

    Every draw takes pictures with replacement (people of one picture stay together), the same for both,
    and runs with replacement on each side; the figure of a side is the mean over its runs. For each
    figure: ``ours``, ``others``, ``difference`` (ours - others), ``low`` and ``high`` (95 % percentile
    interval), ``runs`` (of each run) and ``better`` (share of draws in which ours are).

    Reference: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
    """
    _check_same_people([*ours, *others])
    rows = [
        [{k: np.asarray(v) for k, v in results["people"].items()} for results in side]
        for side in (ours, others)
    ]
    names = [n for n in METRICS if all(r["metrics"][n] is not None for r in (*ours, *others))]
    whole = [[metrics_of(r) for r in side] for side in rows]
    rng = np.random.default_rng(seed)
    image = rows[0][0]["image"]
    pictures = [np.flatnonzero(image == number) for number in np.unique(image)]
    sampled = np.empty((draws, 2, len(names)))
    for draw in sampled:
        chosen = rng.integers(len(pictures), size=len(pictures))
        people = np.concatenate([pictures[i] for i in chosen])
        for side, runs in enumerate(rows):
            used, count = np.unique(rng.integers(len(runs), size=len(runs)), return_counts=True)
            figures = [metrics_of(runs[i], people) for i in used]
            table = np.array([[f[n] for n in names] for f in figures], np.float64)
            draw[side] = np.average(table, axis=0, weights=count)
    difference = sampled[:, 0] - sampled[:, 1]
    out: dict[str, Any] = {"draws": draws, "seed": seed, "people": len(rows[0][0]["id"])}
    for i, name in enumerate(names):
        runs_of = [[w[name] for w in side] for side in whole]
        a, b = (float(np.mean(np.asarray(r, np.float64))) for r in runs_of)
        low, high = np.nanpercentile(difference[:, i], [2.5, 97.5])
        out[name] = {
            "ours": a,
            "others": b,
            "difference": a - b,
            "low": float(low),
            "high": float(high),
            "better": float((difference[:, i] > 0).mean()),
            "runs": {"ours": runs_of[0], "others": runs_of[1]},
        }
    return out


def _check_same_people(results: Sequence[Mapping[str, Any]]) -> None:
    if len(results) < 2:
        raise UsageError("There is nothing to compare", "Give --compare A.json B.json")
    same_of = [(r["data"], r["people"]["id"], r["compared_joints"]) for r in results]
    if any(other != same_of[0] for other in same_of):
        named = " and ".join(sorted({r["data"] for r in results}))
        todo = "Evaluate both on the same data, split and joints"
        raise UsageError(f"The results are of other people or joints ({named})", todo)


def comparison_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`compare_runs` as a table."""
    columns = {
        "figure": "{figure}",
        "A": "{ours:.2f}",
        "B": "{others:.2f}",
        "A - B": "{difference:+.2f}",
        "95 % interval": "{low:+.2f} to {high:+.2f}",
        "A better in": "{better:.0%} of draws",
    }
    title = f"{results['people']} people, {results['draws']} paired bootstrap draws"
    named = METRICS.items()
    rows = [{"figure": words, **results[name]} for name, words in named if name in results]
    return figures_table(title, columns, rows)
