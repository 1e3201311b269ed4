"""2D estimators on photographs of labelled people: OKS-AP, PCKh and PCK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError
from pose3d.lab.datasets.people.labelled import LabelledPeople
from pose3d.lab.evaluation.oks import (
    MOST_PEOPLE,
    Truth,
    average_precision,
    compute_oks,
    match_people,
    sigmas_of,
    summarise_levels,
)
from pose3d.lab.evaluation.pck import (
    HEAD_SHARE,
    TORSO_SHARE,
    find_hits,
    pckh_columns,
    share_of,
    torso_px,
)
from pose3d.networks2d.interfaces import Detections, KeypointEstimator, Keypoints
from pose3d.video.picture import Image

if TYPE_CHECKING:
    from rich.table import Table

DIALECT = "pose3d-people"
VERSION = 1
METRICS = {
    "pck": "PCK@0.2",
    "pckh": "PCKh@0.5",
    "ap": "OKS-AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar": "AR",
}
"""Figures in percent and how they are written."""

_BATCH = 16
_SURE = 0.2
"""Joints of less score do not count for that of a person, as in HRNet's evaluation."""

Array = NDArray[np.floating]
OnPerson = Callable[[str, int, int], None]


def evaluate_people(
    people: LabelledPeople,
    estimator: KeypointEstimator,
    *,
    on_progress: OnPerson | None = None,
) -> dict[str, Any]:
    """Lets an estimator look at each labelled person's box and compares with the labels.

    Joints that both skeletons have under the same name count.

    Args:
        people: with boxes; ``ignored`` ones are not shown to the estimator, nor those without a label
            on a joint that counts.
        estimator: that works from boxes.
        on_progress: called with the name of the set, people done and people in all.

    Returns:
        JSON values: ``metrics`` (percent, None if nothing counts), ``joints`` (PCK of each) and
        ``people`` with what :func:`pose3d.lab.evaluation.people_compare.compare_runs` needs.

    Raises:
        UsageError: the skeletons share no joint.
        DataError: a picture cannot be read.
    """
    shared = [name for name in people.skeleton.joints if name in estimator.skeleton.index]
    if not shared:
        raise UsageError(
            f"{estimator.skeleton.name} and {people.skeleton.name} have no joint in common",
            "Choose another estimator or data set",
        )
    columns = [people.skeleton.index[name] for name in shared]
    labelled = np.isfinite(people.keypoints_px[:, columns]).all(-1).any(-1)
    people = replace(people, ignored=people.ignored | ~labelled)
    shown = np.flatnonzero(~people.ignored)
    found, score = locate_people(people.take(shown), estimator, on_progress)
    source = [estimator.skeleton.index[name] for name in shared]
    found, score = found[:, source], score[:, source]
    truth = people.keypoints_px[shown][:, columns]
    rows = _rows_of(people, shown, columns, shared, found, score)
    torso = torso_px(people.keypoints_px[shown], people.skeleton)
    hits, counted = find_hits(found, truth, TORSO_SHARE * torso)
    head = pckh_columns(shared)
    near, near_counted = find_hits(found, truth, HEAD_SHARE * people.head_px[shown])
    near, near_counted = near & head, near_counted & head
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
    people: LabelledPeople, estimator: KeypointEstimator, on_progress: OnPerson | None = None
) -> tuple[Array, Array]:
    """Returns keypoints ``(n, joint, 2)`` px and scores ``(n, joint)`` of each person's box."""
    joints = len(estimator.skeleton)
    found = np.full((len(people), joints, 2), np.nan)
    score = np.zeros((len(people), joints))
    pictures = np.unique(people.image)
    done = 0
    for start in range(0, len(pictures), _BATCH):
        part = pictures[start : start + _BATCH]
        rows = [np.flatnonzero(people.image == number) for number in part]
        images = [people.images.read(int(number)) for number in part]
        boxes = [
            Detections(boxes_xyxy_px=people.boxes_xyxy_px[r], score=np.ones(len(r), np.float32))
            for r in rows
        ]
        for r, answer in zip(rows, _estimate(estimator, images, boxes), strict=True):
            found[r], score[r] = answer.keypoints_px, answer.score
            done += len(r)
        if on_progress is not None:
            on_progress(people.name, done, len(people))
    return found, score


def _estimate(
    estimator: KeypointEstimator, images: list[Image], people: list[Detections]
) -> list[Keypoints]:
    """Uses the batched road of estimators that have one."""
    batched = getattr(estimator, "estimate_batch", None)
    if batched is not None:
        return list(batched(images, people))
    return [estimator.estimate(i, p) for i, p in zip(images, people, strict=True)]


def _rows_of(
    people: LabelledPeople,
    shown: NDArray[np.int64],
    columns: list[int],
    joints: list[str],
    found: Array,
    score: Array,
) -> dict[str, list[Any]]:
    """Returns what a result file holds of each person: id, picture, score, matches at each level."""
    sure = score >= _SURE
    rank = np.where(sure, score, 0).sum(1) / np.maximum(sure.sum(1), 1)
    levels = np.zeros((len(shown), 10), int)
    kept = np.zeros(len(shown), bool)
    sigmas = sigmas_of(joints)
    for number in np.unique(people.image[shown]):
        here = np.flatnonzero(people.image[shown] == number)
        here = here[np.argsort(-rank[here], kind="stable")][:MOST_PEOPLE]
        all_here = np.flatnonzero(people.image == number)
        truth = Truth(
            keypoints_px=people.keypoints_px[all_here][:, columns],
            boxes_xyxy_px=people.boxes_xyxy_px[all_here],
            area_px2=people.area_px2[all_here],
            ignored=people.ignored[all_here],
            crowd=people.crowd[all_here],
        )
        oks = compute_oks(found[here], truth, sigmas)
        levels[here] = match_people(oks, truth.ignored, truth.crowd).T
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
    """Returns the figures of all people of a result file, or of some, repeated as often as they are named.

    Args:
        rows: ``people`` of a result.
        chosen: rows; None: all.
    """
    table = {k: np.asarray(v) for k, v in rows.items()}
    if chosen is not None:
        table = {k: v[chosen] for k, v in table.items()}
    out: dict[str, float | None] = {}
    for name in ("pck", "pckh"):
        total = int(table[f"{name}_counted"].sum())
        hits = int(table[f"{name}_hits"].sum())
        out[name] = 100 * hits / total if total else None
    levels = np.asarray(table["levels"], int).reshape(-1, 10).T
    precision, recall = average_precision(table["score"], levels, len(table["score"]))
    return {**out, **{k: _none(v) for k, v in summarise_levels(precision, recall).items()}}


def _none(value: float) -> float | None:
    """Returns None for NaN, which JSON does not know."""
    return None if np.isnan(value) else value


def people_table(results: Mapping[str, Any]) -> Table:
    """Returns the figures as a table."""
    from rich.table import Table

    title = f"{results['estimator']} on {results['data']}, {len(results['people']['id'])} people"
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column("figure")
    table.add_column("percent", justify="right")
    for name, words in METRICS.items():
        value = results["metrics"][name]
        table.add_row(words, "-" if value is None else f"{value:.1f}")
    for name, value in results["joints"].items():
        table.add_row(f"  PCK {name}", "-" if value is None else f"{value:.1f}")
    return table
