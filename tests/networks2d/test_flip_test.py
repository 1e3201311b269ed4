"""What a mirror does to people, joints and places, and what the mean is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, H36M17
from pose3d.errors import UsageError
from pose3d.networks2d.flip_test import (
    FlipTest,
    add_flip_test,
    average,
    mirror_keypoints,
    mirror_people,
)
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.networks2d.one_stage import OnePass
from pose3d.options import RunOptions
from pose3d.parts.presets import choose_options
from pose3d.pipeline.estimate import load_models
from pose3d.tracking.clip import collect_tracks, make_tracker
from pose3d.video.reader import open_video
from tests.networks2d.test_one_stage import Network
from tests.parts.test_presets import AGPL, FREE, here
from tests.support.clips import make_clip
from tests.support.fakes import BOX, SIZE_WH, FakeDetector, FakeKeypoints, figure_px
from tests.support.networks import limb_columns, read_frames, require_blazepose

SIZE = 200


def painted() -> np.ndarray:
    """Returns a picture whose column numbers can be read off its pixels."""
    return np.repeat(np.arange(SIZE, dtype=np.uint8)[None, :, None], SIZE, 0).repeat(3, 2)


class Reader:
    """Sees the figure of tests/support/fakes.py, too far to the right, in :func:`painted` and in its mirror."""

    info = FakeDetector.info
    skeleton = BLAZEPOSE33

    def __init__(self, slip_px: float = 3.0, swaps_in_mirror: bool = False) -> None:
        self.slip_px, self.swaps_in_mirror = slip_px, swaps_in_mirror
        self.asked: list[Detections] = []

    def estimate(self, image: np.ndarray, people: Detections) -> Keypoints:
        self.asked.append(people)
        points = figure_px()
        mirrored = image[0, 0, 0] != 0
        if mirrored:  # left is where right was
            points = points[list(BLAZEPOSE33.mirror)]
            points[:, 0] = SIZE - points[:, 0]
            if self.swaps_in_mirror:
                points = points[list(BLAZEPOSE33.mirror)]
        points[:, 0] += self.slip_px
        n = len(people)
        return Keypoints(
            keypoints_px=np.repeat(points[None].astype(np.float32), n, 0),
            score=np.full((n, 33), 0.5 if mirrored else 0.9, np.float32),
            presence=np.full(n, 0.9, np.float32),
            boxes_xyxy_px=people.boxes_xyxy_px,
            regions=people.regions,
        )


def asked(n: int = 1, regions: bool = True) -> Detections:
    square = np.array([[56.0, 48.0, 90.0, 0.3]] * n, np.float32)
    return Detections(
        boxes_xyxy_px=np.array([BOX] * n, np.float32),
        score=np.ones(n, np.float32),
        regions=square if regions else None,
    )


@pytest.mark.parametrize("n", [1, 3])
def test_an_error_to_one_side_goes(n):
    estimator = Reader()
    seen = FlipTest(estimator).estimate(painted(), asked(n))
    np.testing.assert_allclose(seen.keypoints_px, np.repeat(figure_px()[None], n, 0), atol=1e-4)
    np.testing.assert_allclose(seen.score, 0.7, atol=1e-6)
    # Where to look comes back as it was given, and was mirrored in between.
    np.testing.assert_allclose(seen.regions, asked(n).regions, atol=1e-4)
    np.testing.assert_allclose(seen.boxes_xyxy_px, asked(n).boxes_xyxy_px, atol=1e-4)
    straight, mirrored = estimator.asked
    np.testing.assert_allclose(straight.regions, asked(n).regions)
    np.testing.assert_allclose(mirrored.regions[0], [SIZE - 56, 48, 90, -0.3], atol=1e-6)
    np.testing.assert_allclose(mirrored.boxes_xyxy_px[0], [SIZE - 72, 12, SIZE - 40, 84])


def test_sides_exchanged_in_one_of_two_do_not_meet_in_the_middle():
    """The surer answer is kept where both are far apart; the narrow hips are not, and get the mean."""
    seen = FlipTest(Reader(slip_px=0.0, swaps_in_mirror=True)).estimate(painted(), asked())
    hip, shoulder = BLAZEPOSE33.index["left_hip"], BLAZEPOSE33.index["left_shoulder"]
    np.testing.assert_allclose(seen.keypoints_px[0, shoulder], figure_px()[shoulder], atol=1e-4)
    middle = (figure_px()[hip] + figure_px()[BLAZEPOSE33.index["right_hip"]]) / 2
    np.testing.assert_allclose(seen.keypoints_px[0, hip], middle, atol=1e-4)


def test_rotations_on_both_sides_of_the_half_turn():
    """The mean of 179 and -179 degrees is 180, not 0."""
    one = Reader().estimate(painted(), asked())
    turned = [np.array([[56, 48, 90, s * np.deg2rad(179)]], np.float32) for s in (1, -1)]
    both = average(replace(one, regions=turned[0]), replace(one, regions=turned[1]))
    assert abs(both.regions[0, 3]) == pytest.approx(np.pi, abs=1e-4)


def test_nobody_and_no_regions():
    flip = FlipTest(FakeKeypoints())
    assert len(flip.estimate(painted(), Detections.none())) == 0
    assert mirror_people(asked(regions=False), SIZE).regions is None
    assert FlipTest(Reader()).estimate(painted(), asked(regions=False)).regions is None


def test_one_stage_networks_have_none():
    with pytest.raises(UsageError, match="--flip-test-2d"):
        add_flip_test(OnePass(Network()))


def test_the_record_tells(tmp_path):
    """made_by says whether 2D was looked at twice."""
    clip = make_clip(tmp_path / "clip.mp4", size_wh=SIZE_WH, n_frames=6)
    for estimator, told in ((FakeKeypoints(), False), (FlipTest(FakeKeypoints()), True)):
        with open_video(clip.path) as reader:
            tracker = make_tracker("own", FakeDetector(), estimator, rate=25)
            pose = collect_tracks(reader, tracker, reader.info).pose
        record = next(r for r in pose.made_by if r.stage == "keypoints")
        assert record.options["flip_test_2d"] is told


def test_the_best_preset_asks_for_it_where_it_can():
    assert choose_options("best", look=here()).flip_test_2d
    yolo = choose_options(
        "best", look=here({"yolo:yolo11x-pose.pt": AGPL}), allow_licence="AGPL-3.0"
    )
    assert yolo.keypoints.startswith("yolo")
    assert not yolo.flip_test_2d
    assert "flip test of 2D" not in yolo.chosen_by
    mmpose = choose_options("best", look=here({"mmpose:rtmpose-l": FREE}))
    assert mmpose.keypoints == "mmpose:rtmpose-l"
    assert not mmpose.flip_test_2d
    assert not choose_options("balanced", look=here()).flip_test_2d
    lifting = choose_options("best", look=here(), parts=("lifter",))
    assert "2D" not in lifting.chosen_by


def test_blazepose_sees_the_mirrored_picture_alike(samples):
    """What only a flip test has: mirrored pictures give mirrored answers. And it is nearer to the truth."""
    require_blazepose()
    detector, plain = make_detector("blazepose", threads=1), make_keypoints("blazepose", threads=1)
    truth = np.load(samples / "walk_turn.truth.npz")["keypoints_px"][:, 0]
    numbers = list(range(0, 120, 12))
    pictures = read_frames(samples / "walk_turn.mp4", numbers)
    errors = {"plain": [], "flip": []}
    for number in numbers:
        picture = pictures[number]
        found = detector.detect(picture)
        flip = FlipTest(plain).estimate(picture, found)
        other = FlipTest(plain).estimate(
            np.ascontiguousarray(picture[:, ::-1]), mirror_people(found, picture.shape[1])
        )
        back = other.keypoints_px[:, list(BLAZEPOSE33.mirror)].copy()
        back[..., 0] = picture.shape[1] - back[..., 0]
        # Single joints may jump: equally sure answers that lie far apart, heatmap cells at an edge.
        assert np.median(np.abs(back - flip.keypoints_px)[0]) < 0.1
        for name, seen in (("plain", plain.estimate(picture, found)), ("flip", flip)):
            gap = (
                seen.keypoints_px[0][limb_columns(BLAZEPOSE33)]
                - truth[number][limb_columns(H36M17)]
            )
            errors[name].append(np.linalg.norm(gap, axis=-1).mean())
    assert np.mean(errors["flip"]) < np.mean(errors["plain"])


def test_models_are_loaded_with_it():
    require_blazepose()
    models = load_models(RunOptions(flip_test_2d=True, device="cpu", threads=1))
    assert isinstance(models.estimator, FlipTest)
    assert "flip test" in models.estimator.info.changes[-1]


def test_the_outline_is_mirrored_and_averaged():
    straight = replace(Reader().estimate(painted(), asked()), on_mask=np.zeros((1, 33), np.float32))
    left = BLAZEPOSE33.index["left_wrist"]
    right = BLAZEPOSE33.index["right_wrist"]
    straight.on_mask[0, left] = 1
    other = mirror_keypoints(straight, SIZE, BLAZEPOSE33.mirror)
    assert np.flatnonzero(other.on_mask[0]).tolist() == [right]
    assert average(straight, other).on_mask[0, [left, right]].tolist() == [0.5, 0.5]
    assert average(straight, replace(other, on_mask=None)).on_mask is None
