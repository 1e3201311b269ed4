"""lift/schedules.py: pyramids of frames, by name, on networks of any size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose3d.errors import UsageError
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.flops import count_flops
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.restructure import HourglassChange, change_hourglass
from pose3d.lift.schedules import plan_schedule
from pose3d.lift.sequence import make_lifter_for
from pose3d.options import RunOptions
from tests.support.backbones import inputs_for, small_backbone, small_options

EVEN = HourglassOptions(prune="uniform-ends", keep=(5, 3), at=(1, 2), recover="linear")


@pytest.mark.parametrize(
    ("frames", "blocks", "keep", "at"),
    [
        (243, 8, (122, 61), (1, 4)),  # MixSTE
        (243, 16, (122, 61), (2, 8)),  # MotionAGFormer
        (351, 3, (176, 88), (1, 2)),  # MHFormer
        (27, 4, (14, 7), (1, 2)),
        (4, 3, (2, 1), (1, 2)),
    ],
)
def test_the_pyramid_halves_twice(frames, blocks, keep, at):
    plan = plan_schedule("h2ot", frames, blocks)
    assert (plan.keep, plan.at, plan.prune, plan.recover) == (keep, at, "uniform-ends", "linear")
    plan.check(frames, blocks)


def test_it_spares_what_the_paper_reports():
    """57.4 % of MixSTE-243's operations; ours without and with the products of attention."""
    plain = CONFIGURATIONS["mixste"]
    pyramid = replace(plain, hourglass=plan_schedule("h2ot", 243, 8))
    before, after = count_flops(plain), count_flops(pyramid)
    assert 1 - after.linear / before.linear == pytest.approx(0.561, abs=5e-4)
    assert 1 - after.total / before.total == pytest.approx(0.572, abs=5e-4)


@pytest.mark.parametrize(("frames", "blocks"), [(27, 2), (3, 8), (1, 1)])
def test_networks_too_small_for_it_are_refused(frames, blocks):
    with pytest.raises(UsageError, match=f"h2ot does not fit a network of {blocks} blocks"):
        plan_schedule("h2ot", frames, blocks)


@pytest.mark.parametrize("backbone", ["mixste", "mhformer", "motionbert", "motionagformer"])
def test_any_network_takes_it(backbone):
    """The same as its options one by one; what is typed beside it wins."""
    network, options = small_backbone(backbone), small_options(backbone)
    changed, now, notes = change_hourglass(network, options, HourglassChange(schedule="h2ot"))
    assert now.hourglass == EVEN
    assert notes[0].startswith(
        "keeps 5,3 frames from block 1,2 on by uniform-ends, recovery linear"
    )
    apart = HourglassChange(prune="uniform-ends", keep=(5, 3), at=(1, 2), recover="linear")
    other, _, _ = change_hourglass(network, options, apart)
    with torch.no_grad():
        assert torch.equal(changed(inputs_for(network)), other(inputs_for(network)))
        assert changed.forward_with_index(inputs_for(network))[1][0].tolist() == [0, 4, 8]
    own = HourglassChange(schedule="h2ot", prune="cluster", recover="linear-tokens")
    _, now, _ = change_hourglass(network, options, own)
    assert now.hourglass == replace(EVEN, prune="cluster", recover="linear-tokens")


def test_shipped_weights_take_it_by_an_option():
    lifter = make_lifter_for(RunOptions(schedule="h2ot", offline=True, device="cpu"))
    assert lifter.network.options.keep == (14, 7)
    assert lifter.network.options.at == (1, 2)
    assert lifter.info.changes[:3] == (
        "prune cluster -> uniform-ends",
        "keep 12 -> 14,7",
        "at 1 -> 1,2",
    )


@pytest.mark.parametrize("other", [{"keep": "9"}, {"at": "1"}, {"prune": "none"}])
def test_what_says_the_same_as_a_schedule_is_refused(other):
    with pytest.raises(UsageError, match="--schedule h2ot says how many frames"):
        RunOptions(schedule="h2ot", **other)


def test_unknown_schedules_are_named():
    with pytest.raises(UsageError, match="h2to"):
        RunOptions(schedule="h2to")
    with pytest.raises(UsageError, match="h2to"):
        plan_schedule("h2to", 27, 4)
