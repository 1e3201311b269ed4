"""seq2frame: one window around every row, shared features, networks without a recovery, streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.errors import UsageError
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import (
    BATCH,
    Lifter,
    check_pipeline,
    own_pipeline,
)
from pose3d.lift.sequence import lift_ends, lift_sequence
from pose3d.lift.windows import centred_rows
from pose3d.plugins import PARTS
from pose3d.result.record import Camera
from pose3d.weights.info import ModelInfo
from tests.lift.test_lifter import FOCAL, SIZE, clip_px, lift_px, sequence
from tests.support.backbones import fill, shrink, small_backbone, small_options
from tests.support.grids import grid

CENTRE = HourglassOptions(keep=(4,), at=(2,), recover=None, keep_centre=True, heads=2)
SHARING = ("mixste", "motionagformer")
INFO = ModelInfo(name="small", licence="Apache-2.0")


def lifter_of(
    backbone: str, pruned: HourglassOptions | None = CENTRE, normalisation: str = "screen"
) -> Lifter:
    options = replace(
        small_options(backbone, pruned), hourglass=pruned, normalisation=normalisation
    )
    return Lifter(
        network=small_backbone(backbone, pruned),
        options=options,
        info=INFO,
        pipeline="seq2frame",
    )


def seen_by_known(points: np.ndarray):
    """The clip with the camera by which ``lift_px`` lifts."""
    return replace(sequence(points), camera=Camera(focal_px=FOCAL, focal_source="given"))


# -- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 9, 10])
@pytest.mark.parametrize("length", [1, 2, 3, 8, 9, 30])
def test_windows_around_every_row(length, frames):
    """numpy's reflection is the independent computation."""
    before = (frames - 1) // 2
    rows = centred_rows(length, frames)
    padded = np.arange(length)
    if length > 1:
        padded = np.pad(padded, (before, frames - 1 - before), mode="reflect")
    else:
        padded = np.zeros(length + frames - 1, int)
    expected = np.stack([padded[i : i + frames] for i in range(length)])
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(rows[:, before], np.arange(length))


# -- the centre frame --------------------------------------------------------------------------------


CASES = [
    (backbone, recover, ("screen", "person")[(i + j) % 2], (i + j) // 2 % 2 == 0)
    for i, backbone in enumerate(PARTS["backbone"])
    for j, recover in enumerate((None, "attention", "linear"))
]


@pytest.mark.parametrize(("backbone", "recover", "normalisation", "flip_test"), CASES)
def test_a_clip_equals_its_windows_one_by_one(backbone, normalisation, recover, flip_test):
    """Batched, with features shared where that is exact: each row equals its own window alone."""
    lifter = lifter_of(backbone, replace(CENTRE, recover=recover), normalisation)
    points = clip_px(BATCH + 5, people=1)
    lifted = lift_sequence(seen_by_known(points), lifter, flip_test=flip_test)
    rows = centred_rows(len(points), 9)
    for row in (0, 1, 17, BATCH - 1, BATCH, BATCH + 4):
        window = points[rows[row], 0][None]
        if recover is None:
            score = np.ones(window.shape[:3])
            centre, middle = lifter.lift_windows, replace(CENTRE, recover="linear")
            with pytest.raises(UsageError, match="--recover linear"):
                centre(window, score, SIZE, FOCAL)
            # A linear recovery leaves the kept frames as they are, and the centre is one of them.
            other = lifter_of(backbone, middle, normalisation)
            missing = other.network.load_state_dict(lifter.network.state_dict(), strict=False)
            assert all(k.startswith("kept_position") for k in missing.missing_keys)
            with torch.no_grad():
                other.network.kept_position[0].zero_()
            expected = lift_px(other, window, flip_test=flip_test)[0, 4]
        else:
            expected = lift_px(lifter, window, flip_test=flip_test)[0, 4]
        np.testing.assert_allclose(grid(lifted).joints_cam_m[row, 0], expected, atol=2e-5)


@pytest.mark.parametrize("backbone", SHARING)
def test_shared_features_are_the_same_tokens(backbone):
    """After block 0 the tokens from shared features equal those of the window, to rounding."""
    network = small_backbone(backbone)
    x = torch.randn(3, 9, 17, 2 if backbone == "mixste" else 3)
    with torch.no_grad():
        alone = network.backbone.block(0, network.backbone.embed(x))
        rows = torch.cat([network.frame_features(x[:, f : f + 1]) for f in range(9)], 1)
        shared = network.backbone.first_block(rows)
        other = x.clone()
        other[:, 5:] += 1
        assert torch.equal(network.frame_features(other)[:, :5], network.frame_features(x)[:, :5])
    torch.testing.assert_close(shared, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "normalisation", "shared"),
    [
        *((b, "screen", True) for b in SHARING),
        *((b, "person", False) for b in SHARING),
        ("motionbert", "screen", False),
        ("mhformer", "screen", False),
    ],
)
def test_features_are_shared_only_where_that_is_exact(backbone, normalisation, shared, monkeypatch):
    """Counts frames that pass the embedding: each once, or once a window."""
    lifter = lifter_of(backbone, normalisation=normalisation)
    seen = []
    embed = lifter.network.backbone.embed

    def count(x):
        seen.append(x.shape[0] * x.shape[1])
        return embed(x)

    monkeypatch.setattr(lifter.network.backbone, "embed", count)
    lift_sequence(sequence(clip_px(40, people=1)), lifter, flip_test=False)
    assert sum(seen) == (40 if shared else 40 * 9)


@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_people_and_stretches_do_not_know_each_other(backbone):
    points = clip_px(30, people=2)
    points[10:14, 1] = np.nan
    lifter = lifter_of(backbone)
    both = grid(lift_sequence(sequence(points), lifter)).joints_cam_m
    assert np.isnan(both[10:14, 1]).all()
    one = grid(lift_sequence(sequence(points[:, :1]), lifter)).joints_cam_m
    np.testing.assert_allclose(both[:, 0], one[:, 0], atol=2e-5)
    after = grid(lift_sequence(sequence(points[14:, 1:]), lifter)).joints_cam_m
    np.testing.assert_allclose(both[14:, 1], after[:, 0], atol=2e-5)


@pytest.mark.parametrize("frames", [1, 2, 5, 9])
def test_short_clips(frames):
    lifted = lift_sequence(sequence(clip_px(frames)), lifter_of("mixste"))
    assert grid(lifted).joints_cam_m.shape == (frames, 2, 17, 3)
    assert np.isfinite(grid(lifted).joints_cam_m).all()
    assert lifted.made_by[-1].options["pipeline"] == "seq2frame"
    assert lifted.made_by[-1].options["recover"] == "none"
    nobody = lift_sequence(sequence(clip_px(frames)[:, :0]), lifter_of("mixste"))
    assert grid(nobody).joints_cam_m.shape == (frames, 0, 17, 3)


# -- live ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("recover", [None, "attention"])
@pytest.mark.parametrize("length", [1, 4, 9, 20])
def test_the_newest_frame_is_the_end_of_a_clip(length, recover):
    """What a stream shows equals the last frame of the clip so far."""
    lifter = lifter_of("mixste", replace(CENTRE, recover=recover))
    points = clip_px(length, people=2)
    lifted = lift_sequence(seen_by_known(points), lifter)
    past = np.concatenate([points, np.ones((length, 2, 17, 1))], -1)[-9:]
    newest = lift_ends([past[:, 0], past[:, 1]], lifter, SIZE, FOCAL)
    np.testing.assert_allclose(newest, grid(lifted).joints_cam_m[-1], atol=2e-5)


# -- which pipeline -----------------------------------------------------------------------------------


def test_weights_say_their_pipeline():
    options = shrink(CONFIGURATIONS["mixste"])
    assert own_pipeline(options) == "seq2seq"
    assert own_pipeline(replace(options, pipeline="seq2frame")) == "seq2frame"
    assert own_pipeline(replace(options, hourglass=CENTRE)) == "seq2frame"
    assert own_pipeline(replace(options, hourglass=replace(CENTRE, recover="linear"))) == "seq2seq"


def test_pipelines_without_an_answer_are_refused():
    options = shrink(CONFIGURATIONS["mixste"])
    for pipeline in ("seq2seq", "seq2frame"):
        check_pipeline(options, pipeline)
    options = replace(options, hourglass=CENTRE)
    check_pipeline(options, "seq2frame")
    with pytest.raises(UsageError):
        check_pipeline(options, "seq2seq")
    options = replace(options, hourglass=replace(CENTRE, keep_centre=False))
    with pytest.raises(UsageError):
        check_pipeline(options, "seq2frame")


def test_hypotheses_of_single_frames_are_refused():
    """Hypotheses are given for whole windows; the command says so before anything is lifted."""
    pruned = replace(CENTRE, recover="attention")
    options = shrink(CONFIGURATIONS["mhformer-81"], pruned)
    options = replace(options, sizes={**options.sizes, "hypothesis_heads": True})
    lifter = Lifter(network=fill(options), options=options, info=INFO, pipeline="seq2frame")
    assert lifter.n_hypotheses == 3
    with pytest.raises(UsageError, match="--pipeline seq2seq"):
        lift_sequence(sequence(clip_px(12)), lifter, hypotheses=True)
    whole = lift_sequence(
        sequence(clip_px(12)), replace(lifter, pipeline="seq2seq"), hypotheses=True
    )
    assert grid(whole).hypotheses_cam_m.shape == (12, 2, 3, 17, 3)
