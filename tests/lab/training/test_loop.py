"""Batches, losses and the loop: what is drawn, what is learned, what is resumed."""

from __future__ import annotations

import copy
import csv
import itertools
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from pose3d.body.geometry import procrustes_align
from pose3d.body.skeletons import H36M17, LIMBS
from pose3d.errors import DataError, UsageError, WeightsError
from pose3d.lab.datasets.motions import body_length, load_motions
from pose3d.lab.datasets.noise import load_tracks
from pose3d.lab.datasets.real import ReprojectionOptions, draw_real, reproject
from pose3d.lab.training import losses
from pose3d.lab.training.batches import BatchOptions, _draw_count, draw_batch
from pose3d.lab.training.data import TrainingData, load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.optimisers import Muon, learning_rate
from pose3d.lab.training.recipes import RECIPES, get_recipe
from pose3d.lab.training.tasks import lifter_options
from pose3d.lift.models import build_network, load_network
from pose3d.lift.normalise import BODY_LENGTH_M
from tests.support import GOLDEN
from tests.support.training import moving_body, tiny_recipe, write_motions, write_tracks

LIMB = [H36M17.index[n] for n in LIMBS]


@pytest.fixture(autouse=True)
def short_validation(monkeypatch):
    monkeypatch.setattr("pose3d.lab.training.data.VALIDATION_BATCHES", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_motions(folder / "motions.npz")
    write_tracks(folder / "tracks.npz")
    return folder


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- batches ------------------------------------------------------------------------------------------


def reprojection_residuals(inputs: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """How far inputs are from a picture of the targets: least squares in plain numpy.

    In every frame there has to be a place r of the pelvis and one scale s of the input with
    ``x = s (X + rx) / (Z + rz)``, the same for y. That is linear in rz, s rx, s ry and s.
    Returns ``(window, frame)`` root mean square residuals over the limbs, relative to the size.
    """
    xy, xyz = inputs[:, :, LIMB, :2].double().numpy(), target[:, :, LIMB].double().numpy()
    out = np.empty(xy.shape[:2])
    for b, f in np.ndindex(*out.shape):
        u, v = xy[b, f].T
        x, y, z = xyz[b, f].T
        zero, one = np.zeros_like(u), np.ones_like(u)
        design = np.concatenate(
            [np.stack([u, -x, -one, zero], -1), np.stack([v, -y, zero, -one], -1)]
        )
        right = np.concatenate([-u * z, -v * z])
        solution = np.linalg.lstsq(design, right, rcond=None)[0]
        residual = (design @ solution - right) / (abs(solution[0]) + z.mean())
        out[b, f] = np.sqrt((residual**2).mean()) / xy[b, f].std()
        if solution[1] <= 0:  # a scale below 0 is a mirror
            out[b, f] = np.inf
    return out


def test_clean_batches_are_pictures_of_their_targets(folder):
    """Without noise, with the true focal length: inputs and targets agree to float rounding."""
    motions = load_motions([folder / "motions.npz"], "train")
    options = BatchOptions(frames=9, clean=True, true_focal_share=1.0, real_share=0.0)
    inputs, target = draw_batch(60, options, motions, None, None, generator())
    assert inputs.shape == target.shape == (60, 9, 17, 3)
    assert (inputs[..., 2] == 1).all()
    assert (target[:, :, 0] == 0).all()
    near = inputs[..., :2].abs().amax((1, 2, 3)) > 2.5  # a limb beside the camera is cut off
    assert near.float().mean() < 0.1
    residuals = reprojection_residuals(inputs[~near], target[~near])
    assert np.quantile(residuals, 0.99) < 1e-4
    assert residuals.max() < 2e-2
    np.testing.assert_allclose(body_length(target).mean(1), BODY_LENGTH_M, rtol=1e-4)


def test_noise_is_there_and_the_assumed_focal_length_too(folder):
    """The check above notices both, so it would notice a wrong sign or a wrong camera."""
    motions = load_motions([folder / "motions.npz"], "train")
    options = BatchOptions(frames=9, true_focal_share=1.0, real_share=0.0, smooth_share=0.0)
    noisy = draw_batch(40, options, motions, None, None, generator())
    assert np.median(reprojection_residuals(*noisy)) > 1e-2
    options = BatchOptions(frames=9, clean=True, true_focal_share=0.0, real_share=0.0)
    assumed = draw_batch(40, options, motions, None, None, generator())
    assert np.median(reprojection_residuals(*assumed)) > 1e-4


def test_real_tracks_are_pictures_of_their_truth(folder):
    """Exact tracks, mirrored ones among them: the same agreement."""
    motions = load_motions([folder / "motions.npz"], "train")
    bank, tracks = load_tracks(folder / "tracks.npz", "val")
    options = BatchOptions(frames=9, real_share=0.98, smooth_share=0.0, true_focal_share=1.0)
    inputs, target = draw_batch(40, options, motions, bank, tracks, generator())
    residuals = reprojection_residuals(inputs[1:], target[1:])  # the first is synthetic
    assert np.quantile(residuals, 0.85) < 1e-3  # frames 5 and 6 were interpolated
    np.testing.assert_allclose(body_length(target).mean(1), BODY_LENGTH_M, rtol=1e-4)
    again, _ = draw_batch(40, options, motions, bank, tracks, generator())
    assert torch.equal(inputs, again)  # the generator alone decides


def test_real_tracks_keep_to_the_rates_of_the_recipe(folder):
    """For half the rate the same windows hold every second frame: twice the way from one to the next."""
    _, tracks = load_tracks(folder / "tracks.npz", "val")
    steps = []
    for high in (40.0, 15.0):
        joints = draw_real(200, 5, high, tracks, None, generator())[2]
        steps.append(float((joints[:, 1:] - joints[:, :-1]).norm(dim=-1).mean()))
    assert 1.6 < steps[1] / steps[0] < 2.1


STILL = ReprojectionOptions(
    yaw_deg=0, tilt_deg=0, proportions=0, trunk=0, head=0, distance=0, strength=0
)


def people_before_cameras(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    body = torch.from_numpy(moving_body(9)[None, :, :17]).float().repeat(n, 1, 1, 1)
    joints = torch.stack([body[..., 0], 0.9 - body[..., 2], body[..., 1] + 4.0], -1)
    return joints, torch.full((n, 2), 400.0), torch.full((n,), 500.0)


def test_reprojected_tracks_are_pictures_of_their_new_truth(folder):
    """Exact tracks stay exact however people are turned, stretched and moved; and they do change."""
    motions = load_motions([folder / "motions.npz"], "train")
    bank, tracks = load_tracks(folder / "tracks.npz", "val")
    options = BatchOptions(
        frames=9,
        real_share=0.98,
        smooth_share=0.0,
        true_focal_share=1.0,
        reprojection=ReprojectionOptions(share=1.0),
    )
    inputs, target = draw_batch(40, options, motions, bank, tracks, generator())
    residuals = reprojection_residuals(inputs[1:], target[1:])
    assert np.quantile(residuals, 0.85) < 1e-3  # frames 5 and 6 were interpolated
    plain = draw_batch(40, replace(options, reprojection=None), motions, bank, tracks, generator())[
        1
    ]
    assert float((target[1:] - plain[1:]).norm(dim=-1).mean()) > 0.05


def test_reprojected_people_have_other_proportions_on_both_sides_alike():
    joints, size_wh, focal = people_before_cameras(400)
    options = replace(STILL, proportions=0.1)
    _, moved = reproject(joints[..., :2], joints, size_wh, focal, options, generator())
    bones = [1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 14, 15, 16]
    parents = [H36M17.parents[j] for j in bones]
    length = [(j[:, :, bones] - j[:, :, parents]).norm(dim=-1) for j in (moved, joints)]
    factor = length[0] / length[1]  # window frame bone
    assert float(factor.std(1).max()) < 1e-4  # the same in all frames
    left, right = factor[:, 0, [3, 4, 5, 7, 8, 9]], factor[:, 0, [0, 1, 2, 10, 11, 12]]
    torch.testing.assert_close(left, right)
    assert (factor[:, 0].std(0) - 0.1).abs().max() < 0.015
    together = torch.corrcoef(torch.cat([left, factor[:, 0, 6:7]], 1).T).fill_diagonal_(0)
    assert float(together.abs().max()) < 0.2  # each kind of bone has a factor of its own
    _, moved = reproject(
        joints[..., :2], joints, size_wh, focal, replace(STILL, trunk=0.1), generator()
    )
    factor = (moved[:, :, bones] - moved[:, :, parents]).norm(dim=-1)[:, 0] / length[1][:, 0]
    legs, trunk = factor[:, 1:3], factor[:, 6]
    torch.testing.assert_close(legs, torch.ones_like(legs), atol=1e-4, rtol=0)
    assert abs(float(trunk.std()) - 0.1) < 0.015


def test_reprojected_heads_move_with_the_trunk_and_alone():
    joints, size_wh, focal = people_before_cameras(2000)
    options = replace(STILL, head=0.02)
    _, moved = reproject(joints[..., :2], joints, size_wh, focal, options, generator())
    move = moved - joints
    heads = [H36M17.joints.index(name) for name in ("neck_nose", "head_top")]
    others = [j for j in range(17) if j not in heads]
    torch.testing.assert_close(move[:, :, others], torch.zeros_like(move[:, :, others]))
    assert float((move[:, :, heads[0]] - move[:, :, heads[1]]).abs().max()) < 1e-5
    trunk = joints[:, :, H36M17.joints.index("thorax")] - joints[:, :, 0]
    along = (move[:, :, heads[0]] * trunk / trunk.norm(dim=-1, keepdim=True)).sum(-1)
    length = body_length(joints)
    along = along / length  # window frame
    assert float((along - along[:, :1]).abs().max()) < 1e-4  # one place for each window
    assert 0.018 < float(along[:, 0].std()) < 0.022
    across = (move[:, :, heads[0]].norm(dim=-1) / length)[:, 0] ** 2 - along[:, 0] ** 2
    assert 0.018 < float(across.mean().sqrt()) < 0.022


def test_errors_move_along_with_a_reprojected_person():
    """Nothing changes without a turn; after one they have the same length in person sizes, and a
    roll of the camera turns them as it turns the person."""
    rng = generator()
    joints, size_wh, focal = people_before_cameras(50)
    true_px = joints[..., :2] / joints[..., 2:] * 500 + 200
    size = size_of(true_px)
    points = true_px + 0.1 * size[..., None] * torch.randn(true_px.shape, generator=rng)
    same, still = reproject(points, joints, size_wh, focal, STILL, rng)
    torch.testing.assert_close(same, points, atol=1e-2, rtol=0)
    torch.testing.assert_close(still, joints, atol=1e-5, rtol=0)
    options = replace(STILL, tilt_deg=20, yaw_deg=30, distance=0.3)
    seen, moved = reproject(points, joints, size_wh, focal, options, rng)
    new_px = moved[..., :2] / moved[..., 2:] * 500 + 200
    before = (points - true_px).norm(dim=-1) / size
    after = (seen - new_px).norm(dim=-1) / size_of(new_px)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)
    # A turn about the view alone: shoulder line and errors turn by the same angle in the picture.
    far = joints + torch.tensor([0.0, 0.0, 200.0])
    far_px = far[..., :2] / far[..., 2:] * 500 + 200
    error = torch.zeros_like(far_px)
    error[..., 0] = 1.0
    rolled, turned = reproject(
        far_px + error, far, size_wh, focal, replace(STILL, tilt_deg=20), rng
    )
    new_px = turned[..., :2] / turned[..., 2:] * 500 + 200
    spine = torch.atan2(*(new_px[:, 0, 8] - new_px[:, 0, 0]).flip(-1).unbind(-1))
    straight = torch.atan2(*(far_px[:, 0, 8] - far_px[:, 0, 0]).flip(-1).unbind(-1))
    angle = torch.atan2(*(rolled - new_px)[:, 0, 8].flip(-1).unbind(-1))
    torch.testing.assert_close(angle, spine - straight, atol=0.06, rtol=0)
    assert float(angle.std()) > 0.2


def size_of(points: torch.Tensor) -> torch.Tensor:
    return (points.amax(2) - points.amin(2)).amax(-1)[:, :, None]


def share_of_file_scores(inputs):
    score = inputs[..., 2]
    return float(((score == 0) | ((score - 0.9).abs() < 1e-3)).float().mean())


def test_batches_for_networks_of_the_whole_picture(folder):
    motions = load_motions([folder / "motions.npz"], "train")
    options = BatchOptions(frames=9, clean=True)
    screen, target = draw_batch(
        20, options, motions, None, None, generator(), normalisation="screen"
    )
    _, turned = draw_batch(20, options, motions, None, None, generator())
    # The same people in the same cameras: what differs is a rotation for each window.
    torch.testing.assert_close(target.norm(dim=-1), turned.norm(dim=-1), atol=1e-4, rtol=1e-4)
    assert (target - turned).abs().max() > 0.05
    # Who is right of another joint in the picture, and as far away, is right of it in the camera.
    across = screen[:, :, 4, 0] - screen[:, :, 1, 0]
    same_depth = (target[:, :, 4, 2] - target[:, :, 1, 2]).abs() < 0.03
    wide = (target[:, :, 4, 0] - target[:, :, 1, 0])[same_depth]
    assert len(wide) > 5
    assert (across[same_depth].sign() == wide.sign()).all()
    plain, _ = draw_batch(
        20, options, motions, None, None, generator(), normalisation="screen", channels=2
    )
    torch.testing.assert_close(plain, screen[..., :2])


def test_shares_of_a_batch(folder):
    motions = load_motions([folder / "motions.npz"], "train")
    bank, tracks = load_tracks(folder / "tracks.npz", "val")
    options = BatchOptions(frames=9, real_share=0.25, residual_share=1.0)
    inputs, _ = draw_batch(16, options, motions, bank, tracks, generator())
    # Residuals and real tracks have this file's two scores alone, but for joints outside of the picture.
    assert share_of_file_scores(inputs) > 0.75
    parametric, _ = draw_batch(16, options, motions, None, None, generator())
    assert share_of_file_scores(parametric) < 0.4
    assert len((parametric[..., 2] * 100).round().unique()) > 20


# -- losses ---------------------------------------------------------------------------------------------


def test_small_batches_hold_their_share_of_real_tracks(folder):
    """4 windows with a tenth of real ones: 0 or 1, a tenth on average."""
    motions, (bank, tracks) = (
        load_motions([folder / "motions.npz"], "train"),
        load_tracks(folder / "tracks.npz", "fit"),
    )
    counts = []
    for seed in range(60):
        rng = torch.Generator().manual_seed(seed)
        counts.append(_draw_count(4, 0.1, rng))
    assert set(counts) == {0, 1}
    assert 0.2 < np.mean(counts) < 0.6
    assert {_draw_count(64, 0.5, torch.Generator().manual_seed(i)) for i in range(20)} == {32}
    options = BatchOptions(frames=9, real_share=0.1)
    drawn = [draw_batch(4, options, motions, bank, tracks, generator()) for _ in range(2)]
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert drawn[0][0].shape[0] == 4
    real = replace(options, real_share=1.0)
    assert draw_batch(4, real, motions, bank, tracks, generator())[0].shape[0] == 4


@pytest.mark.parametrize("first", [False, True])
def test_a_run_goes_on_in_the_precision_that_it_began_in(folder, tmp_path, first):
    recipe = tiny_recipe(steps=4, validate_every=2)
    data = load_training_data(recipe, folder, "cpu")
    Trainer(recipe, data, tmp_path, bf16=first).train(2)
    with pytest.raises(DataError, match="float16" if first else "float32") as caught:
        Trainer(recipe, data, tmp_path, bf16=not first).resume()
    assert ("--bf16" if first else "--no-bf16") in str(caught.value.todo)
    Trainer(recipe, data, tmp_path, bf16=first).resume()


def test_losses_equal_published():
    with np.load(GOLDEN / "functions.npz") as z:
        golden = {k: torch.from_numpy(z[k]) for k in z.files if z[k].ndim}
        values = {k: float(z[k]) for k in z.files if not z[k].ndim}
    predicted, target = golden["seq_pred"], golden["seq_target"]
    weights = golden["joint_weights"]
    np.testing.assert_allclose(weights, losses.JOINT_WEIGHTS)
    total, terms = losses.compute_loss(predicted, target, losses.LossWeights())
    ours = {name: float(value) for name, value in terms.items()}
    assert ours["position"] == pytest.approx(values["weighted_mpjpe"], rel=1e-6)
    assert ours["temporal"] == pytest.approx(values["temporal_consistency"], rel=1e-6)
    assert ours["velocity"] == pytest.approx(values["mean_velocity"], rel=1e-6)
    expected = ours["position"] + 0.5 * ours["temporal"] + 2.0 * ours["velocity"]
    assert float(total) == pytest.approx(expected, rel=1e-6)


def test_the_newest_frame_counts_by_itself():
    """Errors of other frames do not change its term, and it adds to the loss as it is weighted."""
    rng = torch.Generator().manual_seed(0)
    target = torch.randn(3, 5, 17, 3, generator=rng)
    predicted = target.clone()
    predicted[:, :-1] += 1.0
    weights = losses.LossWeights(position=0, temporal=0, velocity=0, newest=2.0)
    total, terms = losses.compute_loss(predicted, target, weights)
    assert float(terms["newest"]) == float(total) == 0.0
    predicted[:, -1] += torch.tensor([0.3, 0.0, 0.0])
    total, terms = losses.compute_loss(predicted, target, weights)
    mean = float(np.mean(losses.JOINT_WEIGHTS))
    assert float(terms["newest"]) == pytest.approx(0.3 * mean, rel=1e-5)
    assert float(total) == pytest.approx(0.6 * mean, rel=1e-5)


def test_aligned_poses_are_those_of_the_procrustes_metric():
    """Half of the frames are mirror images, which no turn makes equal."""
    rng = torch.Generator().manual_seed(0)
    predicted = torch.randn(4, 3, 17, 3, generator=rng)
    target = predicted + 0.1 * torch.randn(predicted.shape, generator=rng)
    target[::2, ..., 0] *= -1
    aligned = losses.align_to(predicted, target)
    expected = procrustes_align(predicted.numpy(), target.numpy())
    np.testing.assert_allclose(aligned, expected, atol=1e-5)


def test_the_aligned_term_sees_the_pose_alone():
    """Turn, size and place cost nothing; a joint out of place does, as it is weighted."""
    rng = torch.Generator().manual_seed(0)
    target = torch.randn(2, 3, 17, 3, generator=rng)
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    moved = 1.3 * target @ turn + 0.2
    weights = losses.LossWeights(position=0, temporal=0, velocity=0, aligned=2.0)
    assert float(losses.compute_loss(moved, target, weights)[0]) < 1e-5
    moved[:, :, 5] += 0.5
    total, terms = losses.compute_loss(moved, target, weights)
    assert float(total) == pytest.approx(2 * float(terms["aligned"]))
    assert float(terms["aligned"]) > 0.02


# -- recipes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.people is None])
def test_recipes_build_their_networks(name):
    recipe = get_recipe(name)
    assert recipe.name == name
    with torch.device("meta"):
        network = build_network(lifter_options(recipe))
    assert network.frames == recipe.batches.frames
    low, high = recipe.batches.rate_range
    assert high >= 2 * low  # any rate can be brought into it
    hourglass = recipe.hourglass
    prefix = "" if hourglass is None else "hot-" if hourglass.recover else "tpc-"
    assert name.startswith(prefix + recipe.backbone)
    assert bool(network.n_hypotheses) is bool(recipe.loss.hypotheses)


def test_unknown_recipes_are_answered_with_the_list():
    with pytest.raises(UsageError, match=r"mixste\.free27"):
        get_recipe("mixste")


def test_learning_rate_rises_then_falls_to_a_hundredth():
    recipe = tiny_recipe(steps=100, warm_up=10, learning_rate=1e-3)
    rates = [learning_rate(recipe, step) for step in range(101)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 1e-4)
    assert rates[10] == max(rates) == pytest.approx(1e-3)
    assert all(b < a for a, b in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(1e-5)


# -- the loop ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(folder):
    return load_training_data(tiny_recipe(), folder, "cpu")


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    flat = {f"network.{k}": v for k, v in trainer.network.state_dict().items()}
    flat |= {f"average.{k}": v for k, v in trainer.average.items()}
    entries = (e for optimiser in trainer.optimisers for e in optimiser.state.values())
    for i, entry in enumerate(entries):
        flat |= {f"optimiser.{i}.{k}": v for k, v in entry.items()}
    flat["rng"], flat["torch_rng"] = trainer.rng.get_state(), torch.get_rng_state()
    return {k: v.clone() for k, v in flat.items()}


@pytest.mark.parametrize(
    ("stop", "optimiser", "ahead"),
    [(3, "adamw", 1), (4, "adamw", 1), (3, "muon", 1), (2, "adamw", 4)],
)
def test_interrupted_training_goes_on_to_the_bit(data, tmp_path, stop, optimiser, ahead):
    """Six steps in one go equal ``stop`` steps, a new process' worth of forgetting, and the rest.

    Stops where the recipe validates (4) and where it does not: the extra validation of an
    interrupted run must not take random numbers from the training (stochastic depth is on).
    """
    recipe = tiny_recipe(optimiser=optimiser, ahead=ahead)
    whole = Trainer(recipe, data, tmp_path / "whole")
    whole.train(6)
    data.ahead.clear()  # another process does not have them
    expected = state_of(whole)
    first = Trainer(recipe, data, tmp_path / "parts")
    first.train(stop)
    torch.manual_seed(99)
    second = Trainer(recipe, data, tmp_path / "parts")
    torch.rand(7)
    second.resume()
    assert second.step == stop
    second.train(6)
    resumed = state_of(second)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(resumed[name], value), name
    assert second.step == whole.step == 6
    assert second.validate() == whole.validate()


def test_windows_of_several_steps_are_drawn_together(data):
    """Each step gets others, of all kinds mixed; seed and step alone say which."""
    recipe = tiny_recipe(ahead=4, batch=50)
    recipe = replace(recipe, batches=replace(recipe.batches, real_share=0.5, residual_share=0.0))
    rng = generator()
    steps = [data.draw(recipe, i, rng) for i in range(8)]
    assert all(inputs.shape == (50, *steps[0][0].shape[1:]) for inputs, _ in steps)
    everything = torch.cat([inputs.flatten(1) for inputs, _ in steps])
    assert len(everything.unique(dim=0)) > 390  # short tracks have few different windows
    again = data.draw(recipe, 5, generator(7))
    assert torch.equal(again[0], steps[5][0])
    assert torch.equal(again[1], steps[5][1])
    other = data.draw(replace(recipe, seed=1), 5, generator(7))
    assert not torch.equal(other[0], steps[5][0])
    for inputs, _ in steps:  # the scores of the file are those of real tracks alone
        share = float((inputs[..., 2] - 0.9).abs().lt(1e-3).all(-1).any(1).float().mean())
        assert 0.25 < share < 0.75


def test_one_batch_can_be_learned(data, tmp_path, monkeypatch):
    """The same clean windows again and again: the error falls to a fifth."""
    recipe = tiny_recipe(
        sizes={"dim": 32, "depth": 2, "heads": 4},
        hourglass=None,
        steps=400,
        warm_up=20,
        learning_rate=3e-3,
        weight_decay=0.0,
        batches=BatchOptions(frames=9, clean=True, true_focal_share=1.0),
    )
    batch = draw_batch(6, recipe.batches, data.train, None, None, generator())
    monkeypatch.setattr("pose3d.lab.training.data.draw_batch", lambda *_, **__: batch)
    trainer = Trainer(recipe, data, tmp_path)
    began = float(trainer.train_step()["position"])
    for _ in range(200):
        ended = float(trainer.train_step()["position"])
    assert ended < began / 5


def test_what_a_run_leaves_behind(data, tmp_path):
    rows = []
    trainer = Trainer(tiny_recipe(), data, tmp_path)
    best = trainer.train(on_log=rows.append)
    assert [r["step"] for r in rows] == [4, 8, 10]  # where the recipe says so, and at the end
    with (tmp_path / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [float(r["step"]) for r in log] == [4, 8, 10]
    assert {"lr", "position", "temporal", "velocity", "val_mm", "seconds"} <= set(log[0])
    network, options, metadata = load_network(tmp_path / "best.safetensors")
    assert options == lifter_options(tiny_recipe())
    assert metadata["recipe"] == "mixste.tiny"
    assert float(metadata["val_mm"]) == pytest.approx(best, abs=0.01)
    assert best == min(r["val_mm"] for r in rows)
    # The file holds the averaged weights, not the last ones.
    if metadata["step"] == "10":
        for name, value in network.state_dict().items():
            assert torch.equal(value, trainer.average[name]), name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.safetensors", "last.pt", "log.csv"]


def test_stopping_by_time_saves(data, tmp_path):
    trainer = Trainer(tiny_recipe(steps=1000), data, tmp_path)
    trainer.train(max_seconds=0.0)
    assert trainer.step == 1
    again = Trainer(tiny_recipe(steps=1000), data, tmp_path)
    again.resume()
    assert again.step == 1


def test_average_follows_the_network(data, tmp_path):
    """The exponential mean by hand: early on it forgets its start quickly."""
    trainer = Trainer(tiny_recipe(), data, tmp_path)
    name = "backbone.head_linear.weight"
    average = trainer.average[name].double()
    for step in (1, 2, 3):
        trainer.train_step()
        decay = min(0.999, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * trainer.network.state_dict()[name].double()
    torch.testing.assert_close(trainer.average[name].double(), average, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_only_matrices_decay(data, tmp_path, optimiser):
    trainer = Trainer(tiny_recipe(weight_decay=0.1, optimiser=optimiser), data, tmp_path)
    groups = [g for optimiser in trainer.optimisers for g in optimiser.param_groups]
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    names = {id(p): n for n, p in trainer.network.named_parameters()}
    assert decays.keys() == names.keys()
    for key, name in names.items():
        matrix = name.endswith("weight") and "norm" not in name
        assert decays[key] == (0.1 if matrix else 0.0), name


def test_muon_steps_by_an_orthogonal_matrix(data, tmp_path):
    """A hidden matrix moves by a multiple of an orthogonal one, as large as AdamW's steps are.

    The published iteration leaves singular values between 0.7 and 1.2 and has 0.2 times the root of
    the longer side before them; the way in and out is AdamW's, whose first step is the rate itself.
    """
    rate = 1e-3
    recipe = tiny_recipe(optimiser="muon", learning_rate=rate, warm_up=1, weight_decay=0.0)
    trainer = Trainer(recipe, data, tmp_path)
    before = {k: v.detach().clone() for k, v in trainer.network.named_parameters()}
    trainer.train_step()
    moved = {k: v.detach() - before[k] for k, v in trainer.network.named_parameters()}
    for name, step in moved.items():
        hidden = step.ndim == 2 and "joint_embed" not in name and "head_linear" not in name
        if hidden:
            values = torch.linalg.svdvals(step / (rate * 0.2 * max(step.shape) ** 0.5))
            assert values.max() < 1.3, name
            assert values.median() > 0.6, name
    for name in ("backbone.joint_embed.weight", "backbone.head_linear.weight"):
        torch.testing.assert_close(
            moved[name].abs(), torch.full_like(moved[name], rate), rtol=0.02, atol=0
        )


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon")
def test_muon_moves_as_torchs_does():
    """The same steps as torch's, which works in bfloat16: a hundredth apart at most."""
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(*shape)) for shape in ((24, 64), (64, 24), (32, 32), (32, 32))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    first = [p.detach().clone() for p in ours]
    mine = Muon(ours, lr=1e-2, weight_decay=0.05)
    peer = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        peer.step()
    for a, b, begin in zip(ours, theirs, first, strict=True):
        assert float((a - b).detach().norm() / (b - begin).detach().norm()) < 0.03
    momentum = [peer.state[p]["momentum_buffer"] for p in theirs]
    for a, known in zip(ours, momentum, strict=True):
        torch.testing.assert_close(mine.state[a]["momentum_buffer"], known)
    # A checkpoint of torch's is gone on from.
    again = Muon(ours, lr=1.0)
    again.load_state_dict(copy.deepcopy(peer.state_dict()))
    assert again.param_groups[0]["lr"] == 1e-2
    for a, known in zip(ours, momentum, strict=True):
        torch.testing.assert_close(again.state[a]["momentum_buffer"], known)


def test_checkpoints_of_other_runs_are_refused(data, tmp_path):
    Trainer(tiny_recipe(), data, tmp_path).train(1)
    other = Trainer(tiny_recipe(learning_rate=5e-4), data, tmp_path)
    with pytest.raises(DataError, match="recipe"):
        other.resume()
    with pytest.raises(DataError):
        Trainer(tiny_recipe(), data, tmp_path / "empty").resume()
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 no checkpoint")
    with pytest.raises(WeightsError):
        Trainer(tiny_recipe(), data, tmp_path).resume()


def test_checkpoints_of_other_data_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    data = load_training_data(tiny_recipe(), tmp_path / "data", "cpu")
    Trainer(tiny_recipe(), data, tmp_path).train(1)
    write_tracks(tmp_path / "data/tracks.npz", noise_px=1.0)
    other = load_training_data(tiny_recipe(), tmp_path / "data", "cpu")
    with pytest.raises(DataError, match="data"):
        Trainer(tiny_recipe(), other, tmp_path).resume()
    again = Trainer(tiny_recipe(), data, tmp_path)
    again.resume()
    assert again.step == 1


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DataError, match=r"tracks\.npz"):
        load_training_data(tiny_recipe(), tmp_path, "cpu")
    write_motions(tmp_path / "motions.npz")
    data = load_training_data(replace(tiny_recipe(), track_file=None), tmp_path, "cpu")
    assert data.bank is data.tracks is None
    assert not set(data.train.names) & set(data.val.names)


def test_bfloat16_trains(data, tmp_path):
    trainer = Trainer(tiny_recipe(), data, tmp_path, bf16=True)
    plain = Trainer(tiny_recipe(), data, tmp_path)
    ours, exact = trainer.train_step(), plain.train_step()
    assert float(ours["position"]) == pytest.approx(float(exact["position"]), rel=0.05)
    assert all(p.dtype == torch.float32 for p in trainer.network.parameters())


def test_more_tracks_join_those_of_the_recipe(folder):
    shutil.copy(folder / "tracks.npz", folder / "filmed.npz")
    recipe = tiny_recipe(more_tracks=(str(folder / "filmed.npz"),))
    assert str(folder / "filmed.npz") in recipe.files
    alone = load_training_data(tiny_recipe(), folder, "cpu")
    both = load_training_data(recipe, folder, "cpu")
    assert isinstance(alone, TrainingData)
    assert isinstance(both, TrainingData)
    assert alone.tracks is not None
    assert both.tracks is not None
    assert len(both.tracks.fps) == 2 * len(alone.tracks.fps)
    assert alone.bank is not None
    assert both.bank is not None
    assert len(both.bank.error) == 2 * len(alone.bank.error)


def test_some_of_the_weights_to_begin_with_can_be_kept(folder, tmp_path):
    recipe = tiny_recipe()
    data = load_training_data(recipe, folder, "cpu")
    Trainer(recipe, data, tmp_path / "first").train(1)
    start = tmp_path / "first/best.safetensors"
    found = []
    for kept in (0.0, 0.75, 1.0):
        recipe = tiny_recipe(start=str(start), keep_start=kept)
        trainer = Trainer(recipe, data, tmp_path / str(kept))
        trainer.train(3)
        found.append(load_network(tmp_path / str(kept) / "best.safetensors")[0].state_dict())
        again = Trainer(recipe, data, tmp_path / str(kept))
        again.resume()
        for name, value in again.answer().items():
            torch.testing.assert_close(value, trainer.answer()[name], atol=0, rtol=0)
    before = load_network(start)[0].state_dict()
    new, mixed, old = found
    assert any((new[n] != before[n]).any() for n in before)
    for name, value in before.items():
        torch.testing.assert_close(old[name], value)
        torch.testing.assert_close(mixed[name], 0.25 * new[name] + 0.75 * value)
    with pytest.raises(UsageError, match="keep_start"):
        Trainer(tiny_recipe(keep_start=0.5), data, tmp_path / "none")


def test_a_run_that_diverges_keeps_its_best_weights(folder, tmp_path, monkeypatch):
    recipe = tiny_recipe(steps=6, validate_every=2)
    trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path)
    figures = iter([50.0, math.nan, math.nan])
    monkeypatch.setattr(trainer, "validate", lambda: next(figures))
    trainer.train()
    assert trainer.best == 50.0
    with safe_open(str(tmp_path / "best.safetensors"), "pt") as file:
        assert file.metadata()["step"] == "2"


def test_weights_that_a_run_began_with_may_go_while_it_runs(folder, tmp_path):
    recipe = tiny_recipe()
    data = load_training_data(recipe, folder, "cpu")
    Trainer(recipe, data, tmp_path / "first").train(1)
    start = tmp_path / "start.safetensors"
    shutil.copy(tmp_path / "first/best.safetensors", start)
    recipe = tiny_recipe(start=str(start))
    trainer = Trainer(recipe, data, tmp_path / "second")
    trainer.train(1)
    start.rename(tmp_path / "away.safetensors")
    trainer.train(2)
    (tmp_path / "away.safetensors").rename(start)
    again = Trainer(recipe, data, tmp_path / "second")
    again.resume()
    assert again.step == 2


def test_the_gpu_that_is_asked_for_becomes_the_current_one(folder, tmp_path, monkeypatch):
    """Streams and recorded steps belong to the current GPU, wherever the tensors are."""
    chosen: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    recipe = tiny_recipe()
    data = load_training_data(recipe, folder, "cpu")
    with pytest.raises((AssertionError, RuntimeError)):  # no machine has so many
        Trainer(recipe, data, tmp_path, device="cuda:99")
    assert chosen == ["cuda:99"]
