"""Who is who: poses without names, followed through crossings, gaps and mistakes of a detector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose3d.body.skeletons import COCO17
from pose3d.tracking.association import follow_people
from tests.support import keypoint_writers as w

TIME_S = np.arange(100) / w.RATE


def rows_of(
    scene: w.Scene, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns frames, points, scores and true person of all poses, everything shuffled."""
    rows = [(f, p) for f in range(len(scene)) for p, _ in scene.people(f)]
    order = np.random.default_rng(seed).permutation(len(rows))
    frames, people = np.array(rows)[order].T
    return frames, scene.points[frames, people], scene.score[frames, people], people


def wrong_share(scene: w.Scene, time_s: np.ndarray = TIME_S) -> float:
    """Returns the share of poses that are not with most of their person, or in a second piece."""
    frames, points, score, people = rows_of(scene)
    ids = follow_people(frames, points, score, time_s, scene.skeleton)
    right = 0
    for person in np.unique(people):
        mine = ids[people == person]
        usual = np.bincount(mine[mine > 0], minlength=1).argmax() if (mine > 0).any() else 0
        assert (ids[people != person] == usual).mean() < 0.5
        right += int((mine == usual).sum())
    return 1 - right / len(ids)


def crossing(*, frames: int = 75, apart_px: float = 0.0, noise_px: float = 2.0) -> w.Scene:
    """Two people who walk through each other's place in the picture at the same height."""
    scene = w.two_people(COCO17, frames)
    rng = np.random.default_rng(1)
    points = scene.points.copy()
    points[:, 1, :, 1] += 300 + apart_px - 420
    return replace(scene, points=points + rng.normal(0, noise_px, points.shape))


@pytest.mark.parametrize("apart_px", [0.0, 20.0, 120.0])
def test_people_who_cross_keep_their_names(apart_px: float) -> None:
    scene = crossing(apart_px=apart_px)
    gap = np.abs(scene.points[:, 0].mean(1) - scene.points[:, 1].mean(1)).max(-1)
    assert gap.min() < apart_px + 12  # they do meet
    assert wrong_share(scene) == 0


def test_somebody_hidden_at_the_crossing_is_found_again() -> None:
    scene = crossing(apart_px=20)
    points = scene.points.copy()
    points[9:22, 1] = np.nan  # behind the other one for half a second
    assert wrong_share(replace(scene, points=points)) == 0


def test_joints_that_were_not_seen_do_not_count() -> None:
    scene = crossing(apart_px=20)
    points = scene.points.copy()
    hidden = np.random.default_rng(2).random(points.shape[:3]) < 0.4
    points[hidden] = np.nan
    assert wrong_share(replace(scene, points=points)) < 0.01


@pytest.mark.parametrize("rate", [10.0, 60.0])
def test_the_rate_does_not_matter(rate: float) -> None:
    """The same walk, sampled otherwise."""
    scene = crossing(apart_px=20)
    time_s = np.arange(int(3 * rate)) / rate
    flat = scene.points.reshape(len(scene), -1)
    t = np.arange(len(scene)) / w.RATE
    points = np.stack([np.interp(time_s, t, c) for c in flat.T], -1)
    points = points.reshape(len(time_s), *scene.points.shape[1:])
    score = np.full(points.shape[:3], 0.9)
    assert wrong_share(w.Scene(points, score, COCO17), time_s) == 0


def test_a_person_found_twice_is_one_person() -> None:
    scene = crossing(apart_px=120)
    again = scene.points[:, :1] + np.random.default_rng(3).normal(0, 4, scene.points[:, :1].shape)
    frames, points, score, people = rows_of(
        replace(
            scene,
            points=np.concatenate([scene.points, again], 1),
            score=np.concatenate([scene.score, scene.score[:, :1] * 0.8], 1),
        )
    )
    ids = follow_people(frames, points, score, TIME_S, COCO17)
    assert sorted(np.unique(ids)) == [0, 1, 2]
    # In each frame one of the two poses is kept.
    assert (ids[np.isin(people, [0, 2])] == 0).sum() == 75


def test_flashes_are_nobody() -> None:
    scene = crossing(apart_px=120)
    points = np.concatenate([scene.points, np.full_like(scene.points[:, :1], np.nan)], 1)
    points[30:34, 2] = scene.points[30:34, 0] + [400, 100]
    score = np.concatenate([scene.score, scene.score[:, :1]], 1)
    frames, points, score, people = rows_of(replace(scene, points=points, score=score))
    ids = follow_people(frames, points, score, TIME_S, COCO17)
    assert (ids[people == 2] == 0).all()
    assert (ids[people != 2] > 0).all()


def test_names_count_from_the_first_appearance_and_nobody_is_no_error() -> None:
    scene = crossing(apart_px=120)
    late = scene.points.copy()
    late[:20, 0] = np.nan
    frames, points, score, people = rows_of(replace(scene, points=late))
    ids = follow_people(frames, points, score, TIME_S, COCO17)
    assert set(ids[people == 1]) == {1}
    assert set(ids[people == 0]) == {2}
    none = follow_people(frames[:0], points[:0], score[:0], TIME_S, COCO17)
    assert none.shape == (0,)
