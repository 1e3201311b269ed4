"""Who is a person: marked clips, and the single pieces of evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose3d.body.skeletons import COCO17
from pose3d.networks2d.interfaces import Keypoints
from pose3d.tracking.evidence import Evidence, evidence_of
from pose3d.tracking.stitching import clean_tracks
from tests.support.people_in_view import Clip, Score, load_clips
from tests.support.scripted import BODY


def score(clips: list[Clip], *, evidence: bool) -> Score:
    """Scores what is left of the raw tracks, with or without (as it was) the evidence."""
    total = Score()
    for clip in clips:
        tracks = clip.tracks
        if not evidence:
            tracks = [replace(t, evidence=Evidence()) for t in tracks]
        kept = clean_tracks(tracks, clip.time_s, COCO17)
        total += clip.score([t for t in kept if not t.evidence.partial])
    return total


FOOLED = ("left01", "chicky_512")  # a hand, a dog: both networks are wholly sure of a person


def test_fewer_inventions_and_nobody_less():
    scores = {}
    for clip in load_clips():
        scores[clip.name] = score([clip], evidence=False), score([clip], evidence=True)
    before, after = (sum((pair[k] for pair in scores.values()), Score()) for k in (0, 1))
    print(f"recall {before.recall:.4f} -> {after.recall:.4f}, false person-seconds a minute")
    print(f"{before.false_a_minute:.2f} -> {after.false_a_minute:.2f} in {after.clip:.0f} s")
    fooled = sum(scores[name][1].false for name in FOOLED)
    assert before.false_a_minute > 2
    assert after.false - fooled <= (before.false - fooled) / 4
    assert after.false <= before.false / 2
    for name, (was, now) in scores.items():
        assert now.found >= was.found - 1e-6, name


def test_the_scorer_counts_what_is_wrong():
    clip = next(c for c in load_clips() if c.name == "juggle_ball.mp4")
    (person,) = clip.tracks
    right = clip.score([person])
    assert right.recall == pytest.approx(1)
    assert right.false == 0
    assert clip.score([]).recall == 0
    twice = clip.score([person, person])
    assert twice.recall == pytest.approx(1)
    assert twice.false == pytest.approx(right.clip)
    elsewhere = replace(person, boxes_xyxy_px=person.boxes_xyxy_px - [600, 0, 600, 0])
    assert clip.score([elsewhere]).false == pytest.approx(right.clip)


def seen(points: np.ndarray, score: np.ndarray, on_mask: np.ndarray | None = None) -> Keypoints:
    return Keypoints(
        keypoints_px=points[None].astype(np.float32),
        score=score[None].astype(np.float32),
        presence=np.array([0.9], np.float32),
        boxes_xyxy_px=np.zeros((1, 4), np.float32),
        on_mask=None if on_mask is None else on_mask[None].astype(np.float32),
    )


POINTS = BODY * 200 + (300, 200)
ALL = np.ones(17)
HEAD = np.where(np.arange(17) < 7, 1.0, 0.1)  # down to the shoulders


def test_joints_off_the_outline_count_when_they_claim_to_be_seen():
    legs_off = np.where(np.arange(17) >= 13, 0.0, 1.0)
    claimed = evidence_of(seen(POINTS, ALL, legs_off), (640, 480), COCO17)
    hidden = evidence_of(
        seen(POINTS, np.where(legs_off > 0, 1, 0.05), legs_off), (640, 480), COCO17
    )
    assert claimed.on_mask == pytest.approx(8 / 12)
    assert hidden.on_mask > 0.95
    assert claimed.trust == pytest.approx(0.9 * 8 / 12)
    assert not claimed.believed
    assert hidden.believed
    assert evidence_of(seen(POINTS, ALL), (640, 480), COCO17).trust is None


@pytest.mark.parametrize(
    ("visible", "size_wh", "partial"),
    [
        (ALL, (640, 480), False),
        (HEAD, (640, 480), True),
        (np.maximum(HEAD, [0] * 7 + [1, 0, 1, 0] + [0] * 6), (640, 480), False),  # an arm
        (np.maximum(HEAD, [0] * 7 + [1, 1, 0, 0] + [0] * 6), (640, 480), True),  # elbows alone
        (np.maximum(HEAD, [0] * 11 + [1] + [0] * 5), (640, 480), False),  # a hip
        (ALL, (640, 150), True),  # the picture ends above the elbows
    ],
)
def test_head_and_shoulders_alone(visible, size_wh, partial):
    assert evidence_of(seen(POINTS, visible), size_wh, COCO17).partial is partial


def test_evidence_is_the_mean_over_all_frames():
    one = Evidence(frames=1, presence=1, on_mask=0.4, body=1)
    three = Evidence(frames=3, presence=0.6, on_mask=0.8, body=0)
    both = Evidence() + one + three
    assert both.frames == 4
    assert (both.presence, both.on_mask, both.body) == pytest.approx((0.7, 0.7, 0.25))
