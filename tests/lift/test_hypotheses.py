"""Hypotheses of MHFormer: heads, recovery, loss and lifting against plain computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from pose3d.cleaning.poses import hold_bones_constant, smooth_joints
from pose3d.errors import UsageError
from pose3d.lab.training import losses
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import (
    Lifter,
    _average_mirrored,
    match_hypotheses,
    mirror_joints,
)
from pose3d.lift.models import LifterOptions, build_network
from pose3d.lift.sequence import lift_sequence
from pose3d.options import RECOVERIES, RunOptions
from pose3d.pipeline.estimate import lift_keypoints
from pose3d.result.record import PoseSequence
from pose3d.scene.placing import place_people
from pose3d.weights.info import ModelInfo
from tests.support.backbones import fill, shrink, small_backbone
from tests.support.grids import grid, regrid
from tests.support.lifters import keypoints, small_lifter
from tests.support.samples import sample_pose
from tests.support.training import tiny_recipe, write_motions, write_tracks


def small_options(pruned: HourglassOptions | None = None) -> LifterOptions:
    options = shrink(CONFIGURATIONS["mhformer-81"], pruned)
    return replace(options, sizes={**options.sizes, "channels_in": 3, "hypothesis_heads": True})


def small_mhformer_lifter(pruned: HourglassOptions | None = None) -> Lifter:
    options = small_options(pruned)
    info = ModelInfo(name="mhformer.small", licence="Apache-2.0")
    return Lifter(network=fill(options), options=options, info=info)


# -- the network --------------------------------------------------------------------------------------


def test_heads_add_parameters_only_where_asked_for():
    """Published state dicts stay what they are, and so does the final pose."""
    plain = small_backbone("mhformer")
    with_heads = fill(replace(small_options(), sizes={**small_options().sizes, "channels_in": 2}))
    extra = set(with_heads.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) < set(with_heads.state_dict())
    assert {name.split(".")[1] for name in extra} == {"hypothesis_heads"}
    assert len(extra) == 3 * 4
    x = keypoints(2, channels=2)
    with_heads.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(plain(x), with_heads(x))
        joints, hypotheses = plain.forward_with_hypotheses(x)
        assert torch.equal(joints, plain(x))
    assert hypotheses is None


EVERY_RECOVERY = [None, *RECOVERIES]


@pytest.mark.parametrize("recover", EVERY_RECOVERY)
def test_hypotheses_are_recovered_like_the_final_pose(recover):
    """Against np.interp on the poses of the kept frames, or the heads on the recovered tokens."""
    pruned = HourglassOptions(keep=(4,), at=(2,), heads=2, recover=recover)
    network = fill(small_options(pruned))
    x = keypoints(2)
    seen: dict[str, torch.Tensor] = {}
    heads = network.backbone.hypothesis_heads
    for h in range(3):
        heads[h].register_forward_hook(
            lambda _m, inputs, out, h=h: seen.update({f"in{h}": inputs[0], f"out{h}": out})
        )
    with torch.no_grad():
        joints, hypotheses = network.forward_with_hypotheses(x)
        final, index = network.forward_with_index(x)
    assert torch.equal(joints, final)
    frames = 4 if recover is None else 9
    assert hypotheses.shape == (2, frames, 3, 17, 3)
    for h in range(3):
        if recover in (None, "attention", "refined", "linear-tokens"):
            assert seen[f"in{h}"].shape[1] == frames
            weight, bias = heads[h].head_linear.weight, heads[h].head_linear.bias
            normed = torch.nn.functional.layer_norm(seen[f"in{h}"], (16,), eps=1e-6)
            normed = normed * heads[h].norm.weight + heads[h].norm.bias
            expected = (normed @ weight.T + bias).view(2, frames, 17, 3)
            torch.testing.assert_close(hypotheses[:, :, h], expected)
            continue
        kept = seen[f"out{h}"].numpy().reshape(2, 4, 51)
        for b in range(2):
            ours = hypotheses[b, :, h].numpy().reshape(9, 51)
            at, t = index[b].numpy(), np.arange(9)
            if recover == "linear":
                expected = np.stack([np.interp(t, at, c) for c in kept[b].T], 1)
            else:
                expected = kept[b][np.abs(t[:, None] - at).argmin(1)]
            np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("recover", EVERY_RECOVERY)
def test_every_parameter_learns(recover):
    pruned = HourglassOptions(keep=(4,), at=(2,), heads=2, recover=recover)
    network = fill(small_options(pruned)).train()
    joints, hypotheses = network.forward_with_hypotheses(keypoints(4))
    target = torch.randn(joints.shape, generator=torch.Generator().manual_seed(1))
    weights = losses.LossWeights(hypotheses=0.5)
    losses.compute_loss(joints, target, weights, hypotheses)[0].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


# -- the loss -----------------------------------------------------------------------------------------


def test_relaxed_winner_takes_all_by_hand():
    rng = np.random.default_rng(0)
    hypotheses, target = rng.normal(size=(4, 5, 3, 17, 3)), rng.normal(size=(4, 5, 17, 3))
    weights = losses.LossWeights(hypotheses=0.5, relaxation=0.1)
    expected = []
    for b in range(4):
        costs = []
        for h in range(3):
            off = hypotheses[b, :, h] - target[b]
            position = (np.linalg.norm(off, axis=-1) * losses.JOINT_WEIGHTS).mean()
            costs.append(position + 2 * np.linalg.norm(np.diff(off, axis=0), axis=-1).mean())
        best, *others = sorted(costs)
        expected.append(0.9 * best + 0.05 * sum(others))
    predicted = torch.tensor(rng.normal(size=target.shape))
    tensors = torch.tensor(hypotheses), torch.tensor(target)
    total, terms = losses.compute_loss(predicted, tensors[1], weights, tensors[0])
    assert float(terms["hypotheses"]) == pytest.approx(np.mean(expected))
    alone, _ = losses.compute_loss(predicted, tensors[1], weights)
    assert float(total) == pytest.approx(float(alone) + 0.5 * np.mean(expected))
    rms = np.sqrt(hypotheses.var(2).sum(-1).mean())
    assert float(terms["spread"]) == pytest.approx(rms)


@pytest.mark.parametrize(("relaxation", "apart"), [(0.05, True), (0.5, False)])
def test_hypotheses_find_both_truths(relaxation, apart):
    """One input, two possible answers at depth +-1: they part, unless both count the same."""
    sides = torch.tensor([1.0, -1.0]).repeat(8)
    target = torch.zeros(16, 2, 17, 3)
    target[..., 2] = sides[:, None, None]
    rng = torch.Generator().manual_seed(3)
    guess = (0.1 * torch.randn(2, 17, 3, generator=rng)).requires_grad_()
    optimiser = torch.optim.Adam([guess], lr=0.03)
    for _ in range(300):
        costs = losses.hypothesis_costs(guess.expand(16, 2, 2, 17, 3), target, losses.LossWeights())
        optimiser.zero_grad()
        losses.winner_takes_most(costs, relaxation).backward()
        optimiser.step()
    depths = sorted(guess.detach()[..., 2].mean(-1).tolist())
    if apart:
        np.testing.assert_allclose(depths, [-1, 1], atol=0.1)
    else:
        assert depths[1] - depths[0] < 0.5


def test_hypotheses_of_a_single_frame_have_a_cost():
    hypotheses = torch.zeros(2, 1, 3, 17, 3)
    costs = losses.hypothesis_costs(hypotheses, torch.ones(2, 1, 17, 3), losses.LossWeights())
    assert torch.isfinite(costs).all()
    assert (costs > 1).all()


# -- training -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_motions(folder / "motions.npz")
    write_tracks(folder / "tracks.npz")
    return folder


def recipe(**changes):
    sizes = {"dim": 16, "hidden": 24, "heads": 2, "generator_depth": 1, "generator_heads": 3}
    return tiny_recipe(
        name="mhformer.tiny",
        backbone="mhformer",
        sizes={**sizes, "hypothesis_heads": True},
        loss=losses.LossWeights(hypotheses=0.5),
        **changes,
    )


def test_training_with_hypotheses_goes_on_to_the_bit(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("pose3d.lab.training.data.VALIDATION_BATCHES", 1)
    data = load_training_data(recipe(), folder, "cpu")
    whole = Trainer(recipe(), data, tmp_path / "whole")
    rows = []
    whole.train(6, on_log=rows.append)
    assert {"hypotheses", "spread"} <= set(rows[0])
    first = Trainer(recipe(), data, tmp_path / "parts")
    first.train(3)
    second = Trainer(recipe(), data, tmp_path / "parts")
    second.resume()
    second.train(6)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


# -- lifting ------------------------------------------------------------------------------------------


def test_partners_are_those_of_the_hungarian_method():
    rng = torch.Generator().manual_seed(2)
    first = torch.randn(30, 4, 3, 17, 3, generator=rng)
    second = torch.randn(30, 4, 3, 17, 3, generator=rng)
    ours = match_hypotheses(first, second)
    for b in range(30):
        cost = (first[b, :, :, None] - second[b, :, None]).square().sum((0, 3, 4))
        assert ours[b].tolist() == linear_sum_assignment(cost.numpy())[1].tolist()


def test_flip_test_averages_what_belongs_together():
    """The mirrored window answers with the same poses, mirrored, in another order."""
    straight = torch.randn(2, 4, 3, 17, 3, generator=torch.Generator().manual_seed(0))
    mirrored = mirror_joints(straight.flatten(1, 2)).view(straight.shape)[:, :, [2, 0, 1]]
    torch.testing.assert_close(_average_mirrored(straight, mirrored), straight)


def test_lifting_keeps_the_final_pose_to_the_bit(samples):
    pose = sample_pose(samples, "two_people")
    lifter = small_mhformer_lifter()
    for flip_test in (True, False):
        plain = lift_sequence(pose, lifter, flip_test=flip_test)
        both = lift_sequence(pose, lifter, flip_test=flip_test, hypotheses=True)
        assert grid(plain).hypotheses_cam_m is None
        np.testing.assert_array_equal(grid(both).joints_cam_m, grid(plain).joints_cam_m)
        assert grid(both).hypotheses_cam_m.shape == (pose.n_frames, 2, 3, 17, 3)
        assert (grid(both).hypotheses_cam_m[:, :, :, 0] == 0).all()
        assert "hypotheses" not in plain.made_by[-1].options
        assert both.made_by[-1].options["hypotheses"] == 3
    tall = lift_sequence(pose, lifter, flip_test=False, hypotheses=True, height=3.4 / 2 * 1.5)
    np.testing.assert_allclose(
        grid(tall).hypotheses_cam_m, 1.5 * grid(both).hypotheses_cam_m, rtol=1e-5
    )


def test_hypotheses_go_the_way_of_the_final_pose(samples):
    """Heads that repeat the final head: whatever windows, camera and cleaning do, they stay equal."""
    pose = sample_pose(samples, "walk_turn")
    lifter = small_mhformer_lifter(HourglassOptions(keep=(4,), at=(2,), heads=2, recover="linear"))
    backbone = lifter.network.backbone
    final = backbone.head
    backbone.hypothesis_poses = lambda tokens: torch.stack([final(tokens)] * 3, 2)
    lifted = lift_sequence(pose, lifter, hypotheses=True)
    for step in (lambda p: p, smooth_joints, hold_bones_constant, place_people):
        lifted = step(lifted)
        for h in range(3):
            np.testing.assert_allclose(
                grid(lifted).hypotheses_cam_m[:, :, h], grid(lifted).joints_cam_m, atol=1e-5
            )
    assert grid(lifted).spread_mm.max() < 0.01


def test_bones_of_hypotheses_are_those_of_the_body(samples):
    pose = sample_pose(samples, "dance")
    rng = np.random.default_rng(0)
    shape = (pose.n_frames, 1, 3, 17, 3)
    hypotheses = grid(pose).joints_cam_m[:, :, None] + 0.05 * rng.normal(size=shape)
    held = hold_bones_constant(regrid(pose, hypotheses_cam_m=hypotheses))
    for child, parent in enumerate(pose.skeleton.parents):
        if parent < 0:
            continue
        bone = grid(held).joints_cam_m[:, :, child] - grid(held).joints_cam_m[:, :, parent]
        length = np.linalg.norm(bone, axis=-1).mean()
        others = (
            grid(held).hypotheses_cam_m[..., child, :] - grid(held).hypotheses_cam_m[..., parent, :]
        )
        np.testing.assert_allclose(np.linalg.norm(others, axis=-1), length, rtol=1e-5)


def test_smoothing_calms_hypotheses(samples):
    pose = sample_pose(samples, "dance")
    rng = np.random.default_rng(0)
    clean = np.repeat(grid(pose).joints_cam_m[:, :, None], 2, 2)
    noisy = regrid(pose, hypotheses_cam_m=clean + 0.03 * rng.normal(size=clean.shape))
    smooth = smooth_joints(noisy)
    before, after = (np.abs(grid(p).hypotheses_cam_m - clean).mean() for p in (noisy, smooth))
    assert after < 0.7 * before


def test_lifters_without_hypotheses_are_refused(samples):
    pose: PoseSequence = sample_pose(samples, "walk_turn")
    with pytest.raises(UsageError, match=r"mhformer\.free27"):
        lift_sequence(pose, small_lifter(), hypotheses=True)
    with pytest.raises(ValueError, match="gives no hypotheses"):
        small_lifter().lift_hypotheses(np.zeros((1, 9, 17, 2)), np.ones((1, 9, 17)), (9, 9), 9.0)


def test_shipped_configurations_have_no_heads():
    for name in ("mhformer-27", "tpc-mhformer"):
        with torch.device("meta"):
            assert build_network(CONFIGURATIONS[name]).n_hypotheses == 0


def test_hypotheses_of_two_rates_are_not_averaged():
    with pytest.raises(UsageError):
        lift_sequence(keypoints(12), small_mhformer_lifter(), hypotheses=True, rate_test=True)


def test_with_hypotheses_the_chain_leaves_the_rate_test_out(samples):
    """It is on by default; the record tells what was done."""
    lifter, pose = small_mhformer_lifter(), sample_pose(samples, "walk_turn")
    for hypotheses in (False, True):
        lifted = lift_keypoints(pose, RunOptions(hypotheses=hypotheses), lifter=lifter)
        record = [r for r in lifted.made_by if r.stage == "lift"][-1]
        assert record.options["rate_test"] is not hypotheses
