"""Training on Human3.6M: windows, epochs, published numbers, the loop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.cli.app import app
from pose3d.errors import DataError
from pose3d.lab.evaluation.h36m import evaluate_h36m, load_h36m
from pose3d.lab.evaluation.protocol import place_windows
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.clips import centred_starts, cut_starts
from pose3d.lab.training.data import load_training_data, schedule_epochs
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.losses import LossWeights, compute_loss
from pose3d.lab.training.optimisers import initialise, learning_rate, make_optimisers
from pose3d.lab.training.recipe import ClipOptions, EpochSchedule
from pose3d.lab.training.recipes import RECIPES, get_recipe
from pose3d.lab.training.tasks import lifter_options
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import load_network
from pose3d.lift.sequence import make_lifter
from tests.support.field_files import write_h36m
from tests.support.lifters import small_network
from tests.support.training import tiny_recipe

FRAMES = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h36m")
    write_h36m(folder, {"S1": {"Walking": 40, "Eating 1": 5}, "S5": {"Walking": 23}}, joints=17)
    return folder


def clip_recipe(**changes):
    clips = ClipOptions(subjects=("S1", "S5"), detections="gt", stride=FRAMES)
    values = {
        "clips": replace(clips, **changes.pop("clips", {})),
        "batches": BatchOptions(frames=FRAMES, rate_range=(25.0, 50.0)),
        "sizes": {"dim": 16, "depth": 3, "heads": 2, "drop_path": 0.3, "channels_in": 2},
        "normalisation": "screen",
        "schedule": get_recipe("mhformer.h36m").schedule,
        "optimiser": "adam-amsgrad",
        "initial": "torch",
        "steps": 0,
        "ema": 0.0,
        "clip_norm": math.inf,
        "batch": 6,
        **changes,
    }
    return tiny_recipe(**values)


def prepared(recipe, folder):
    data = load_training_data(recipe, folder, "cpu")
    return schedule_epochs(recipe, data), data


# -- windows ---------------------------------------------------------------------------------------------


def test_windows_start_where_the_published_generators_start_them():
    """HoT: ceil((T - F) / stride + 1) windows, half of what they stick out before the first frame."""
    for length in (5, 9, 11, 30, 100):
        count = max(math.ceil((length - 9) / 9 + 1), 1)
        offset = ((count - 1) * 9 + 9 - length) // 2
        expected = np.arange(count) * 9 - offset
        np.testing.assert_array_equal(cut_starts(length, 9, ClipOptions(stride=9)), expected)
        rows, _ = place_windows(length, 9)
        starts = centred_starts(length, 9, 9)
        clamped = (starts[:, None] + np.arange(9)).clip(0, length - 1)
        np.testing.assert_array_equal(rows, clamped)  # evaluation cuts alike
    every = cut_starts(7, 9, ClipOptions(stride=1))
    assert every.tolist() == [-4, -3, -2, -1, 0, 1, 2]  # frame t is the middle one
    inside = ClipOptions(stride=3, inside=True)
    assert cut_starts(17, 9, inside).tolist() == [0, 3, 6]
    assert cut_starts(5, 9, inside).tolist() == [-2]


def test_windows_hold_what_the_files_hold(folder):
    _, data = prepared(clip_recipe(clips={"flip": "none"}), folder)
    sequences = load_h36m(folder, ["S1", "S5"], detections="gt")
    assert len(data.windows) == 4 * (5 + 1 + 3)
    inputs, target = data.windows.take(torch.tensor([0, 20, 24]), torch.tensor([False] * 3))
    assert inputs.shape == (3, 9, 17, 2)
    # 40 frames in 5 windows: 2 stick out before the first.
    s = sequences[0]
    rows = np.array([0, 0, 0, 1, 2, 3, 4, 5, 6])
    xy = s.keypoints_px[rows] / 1000 * 2 - [1, 1.002]
    np.testing.assert_allclose(inputs[0], xy, atol=1e-5)
    np.testing.assert_allclose(
        target[0], s.joints_cam_m[rows] - s.joints_cam_m[rows, :1], atol=1e-5
    )
    short = sequences[4]  # Eating 1, 5 frames
    rows = np.array([0, 0, 0, 1, 2, 3, 4, 4, 4])
    np.testing.assert_allclose(target[1], short.relative_m[rows], atol=1e-6)
    last = sequences[8]
    np.testing.assert_allclose(target[2][2], last.relative_m[0], atol=1e-6)


def test_mirrored_windows_are_mirrored_in_both(folder):
    _, data = prepared(clip_recipe(), folder)
    index = torch.arange(4)
    straight = data.windows.take(index, torch.zeros(4, dtype=torch.bool))
    mirrored = data.windows.take(index, torch.ones(4, dtype=torch.bool))
    left, right = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]
    for before, after in zip(straight, mirrored, strict=True):
        expected = before.clone()
        expected[..., 0] *= -1
        expected[:, :, left + right] = expected[:, :, right + left]
        assert torch.equal(after, expected)


@pytest.mark.parametrize("flip", ["both", "half", "none"])
def test_an_epoch_sees_every_window(folder, flip):
    recipe, data = prepared(clip_recipe(clips={"flip": flip}), folder)
    n = 36 * (2 if flip == "both" else 1)
    assert data.steps_per_epoch == recipe.epoch_steps == recipe.validate_every == n // 6
    assert recipe.steps == 20 * n // 6
    orders = [data._order(epoch) for epoch in (0, 0, 1)]
    for index, mirrored in orders:
        seen = sorted(zip(index.tolist(), mirrored.tolist(), strict=True))
        if flip == "both":
            assert seen == [(i, m) for i in range(36) for m in (False, True)]
        else:
            assert sorted(index.tolist()) == list(range(36))
            assert mirrored.any() == (flip == "half")
            assert not mirrored.all()
    assert torch.equal(orders[0][0], orders[1][0])
    assert not torch.equal(orders[0][0], orders[2][0])
    other = replace(recipe, seed=recipe.seed + 1)
    assert not torch.equal(load_training_data(other, folder, "cpu")._order(0)[0], orders[0][0])
    drawn = [data.draw(recipe, step, torch.Generator())[0] for step in range(data.steps_per_epoch)]
    assert sum(map(len, drawn)) == n


def test_person_normalised_networks_train_on_clips_too(folder):
    recipe, data = prepared(
        clip_recipe(normalisation="person", sizes={"dim": 16, "depth": 3, "heads": 2}), folder
    )
    inputs, target = data.draw(recipe, 0, torch.Generator())
    assert inputs.shape == (6, 9, 17, 3)
    assert (target[:, :, 0].abs() < 1e-6).all()
    # Seen from the virtual camera the person is in the middle and upright.
    assert inputs[..., :2].mean((1, 2)).abs().max() < 0.5


# -- the loop --------------------------------------------------------------------------------------------------


def test_learning_rates_fall_as_published():
    """MHFormer's loop, written out: x 0.5 after every fifth epoch, x 0.95 after the others."""
    recipe = replace(get_recipe("mhformer.h36m"), epoch_steps=10)
    rate = 1e-3
    for epoch in range(1, 21):
        assert learning_rate(recipe, 10 * (epoch - 1)) == pytest.approx(rate, rel=1e-12)
        assert learning_rate(recipe, 10 * epoch - 1) == pytest.approx(rate, rel=1e-12)
        rate *= 0.5 if epoch % 5 == 0 else 0.95
    mixste = replace(get_recipe("hot-mixste.h36m"), epoch_steps=3)
    assert learning_rate(mixste, 3 * 159) == pytest.approx(4e-5 * 0.99**159)


@pytest.mark.parametrize("stop", [12, 14])
def test_interrupted_training_goes_on_to_the_bit(folder, tmp_path, stop):
    """At the end of an epoch (12 steps) and in the next one; dropout by stochastic depth."""
    recipe, data = prepared(clip_recipe(), folder)
    assert recipe.epoch_steps == 12
    whole = Trainer(recipe, data, tmp_path / "whole")
    whole.train(16)
    first = Trainer(recipe, data, tmp_path / "parts")
    first.train(stop)
    torch.manual_seed(3)
    recipe, data = prepared(clip_recipe(), folder)
    second = Trainer(recipe, data, tmp_path / "parts")
    second.resume()
    second.train(16)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name
    for name, value in whole.average.items():  # no averaging: the weights themselves
        assert torch.equal(whole.network.state_dict()[name], value), name
    assert math.isnan(whole.best)


def test_clips_can_be_learned_and_the_last_epoch_is_kept(folder, tmp_path, monkeypatch):
    recipe = clip_recipe(
        sizes={"dim": 32, "depth": 2, "heads": 4, "channels_in": 2},
        hourglass=None,
        loss=LossWeights(temporal=0, velocity=0, joint_weighted=False),
        learning_rate=4e-3,
        schedule=EpochSchedule(epochs=7, decay=0.9),
    )
    recipe, data = prepared(recipe, folder)
    trainer = Trainer(recipe, data, tmp_path)
    rows = []
    trainer.train(on_log=rows.append)
    assert len(rows) == 7  # one an epoch
    assert rows[-1]["position"] < rows[0]["position"] / 2
    network, options, metadata = load_network(tmp_path / "best.safetensors")
    assert metadata["step"] == str(recipe.steps)
    assert options.normalisation == "screen"
    assert options.rate_range == (25.0, 50.0)
    for name, value in network.state_dict().items():
        assert torch.equal(value, trainer.network.state_dict()[name])
    # The weights file evaluates on the same recordings as well as it was trained.
    lifter = make_lifter(str(tmp_path / "best.safetensors"), device="cpu")
    monkeypatch.setattr("pose3d.lab.evaluation.h36m.TEST_SUBJECTS", ("S1", "S5"))
    results = evaluate_h36m(folder, lifter, detections="gt")
    assert results["published"]["mean"]["mpjpe_mm"] < 2000 * rows[-1]["position"]


def test_held_out_subjects_choose_the_epoch(folder, tmp_path):
    recipe, data = prepared(clip_recipe(clips={"hold_out": ("S5",)}), folder)
    assert len(data.windows) == 4 * (5 + 1)
    assert len(data.held) == 4 * 3
    assert int(data.counted.sum()) == 4 * 23  # every frame once
    network = small_network(channels_in=2)
    ours = data.validate(recipe, network, "cpu")
    sequences = load_h36m(folder, ["S5"], detections="gt")
    errors = []
    for s in sequences:  # by hand, window by window
        rows, first = place_windows(23, 9)
        xy = s.keypoints_px / s.size_wh[0] * 2 - [1, s.size_wh[1] / s.size_wh[0]]
        with torch.no_grad():
            joints = network(torch.from_numpy(xy[rows]).float()).numpy()
        joints = joints - joints[:, :, :1]
        distance = np.linalg.norm(joints - s.relative_m[rows], axis=-1).mean(-1)
        errors += list(distance[first])
    assert ours == pytest.approx(1000 * np.mean(errors), rel=1e-4)
    trainer = Trainer(recipe, data, tmp_path)
    rows = []
    trainer.train(3 * recipe.epoch_steps, on_log=rows.append)
    assert trainer.best == min(r["val_mm"] for r in rows)
    with pytest.raises(DataError):
        prepared(clip_recipe(clips={"hold_out": ("S1", "S5")}), folder)


def test_networks_without_a_recovery_train_on_the_frames_they_keep(folder, tmp_path):
    hourglass = HourglassOptions(keep=(4,), at=(1,), recover=None, keep_centre=True)
    recipe, data = prepared(clip_recipe(hourglass=hourglass, clips={"hold_out": ("S5",)}), folder)
    trainer = Trainer(recipe, data, tmp_path)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    inputs, target = data.draw(recipe, 0, torch.Generator())
    torch.manual_seed(0)
    trainer.network.train()
    joints, index = trainer.network.forward_with_index(inputs)
    picked = torch.stack([t[i] for t, i in zip(target, index, strict=True)])
    expected, _ = compute_loss(joints, picked, recipe.loss)
    torch.manual_seed(0)
    terms = trainer.train_step()
    total = terms["position"] + 0.5 * terms["temporal"] + 2 * terms["velocity"]
    assert float(total) == pytest.approx(expected.item(), rel=1e-6)
    assert any(not torch.equal(v, trainer.network.state_dict()[k]) for k, v in before.items())
    assert math.isfinite(trainer.validate())


# -- losses, optimisers, first weights -------------------------------------------------------------------------


def test_motionberts_loss_by_hand():
    rng = torch.Generator().manual_seed(0)
    predicted, target = (
        torch.randn(2, 5, 17, 3, generator=rng),
        torch.randn(2, 5, 17, 3, generator=rng),
    )
    p, t = predicted.numpy().astype(float), target.numpy().astype(float)
    distance = np.linalg.norm(p - t, axis=-1).mean()
    scale = (p * t).sum((2, 3)) / (p * p).sum((2, 3))
    scaled = np.linalg.norm(scale[..., None, None] * p - t, axis=-1).mean()
    velocity = np.linalg.norm(np.diff(p, axis=1) - np.diff(t, axis=1), axis=-1).mean()
    recipe = get_recipe("motionbert.h36m")
    total, terms = compute_loss(predicted, target, recipe.loss)
    assert float(total) == pytest.approx(distance + 0.5 * scaled + 20 * velocity, rel=1e-5)
    assert set(terms) == {"position", "temporal", "velocity", "scale"}
    plain, _ = compute_loss(predicted, target, get_recipe("mhformer.h36m").loss)
    assert float(plain) == pytest.approx(distance, rel=1e-5)


def test_optimisers_are_those_of_the_recipes():
    network = small_network()
    n = len(list(network.parameters()))
    (everything,) = make_optimisers(network, get_recipe("mixste.h36m"), fused=False)
    assert [g["weight_decay"] for g in everything.param_groups if g["params"]] == [0.1]
    assert sum(len(g["params"]) for g in everything.param_groups) == n
    (adam,) = make_optimisers(network, get_recipe("mhformer.h36m"), fused=False)
    assert adam.param_groups[0]["amsgrad"]
    assert adam.param_groups[0]["weight_decay"] == 0
    assert not isinstance(adam, torch.optim.AdamW)


def test_first_weights():
    network = small_network()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    initialise(network, "torch")
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    initialise(network, "normal")
    for name, p in network.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        elif p.ndim >= 2 and p.numel() > 200:
            assert 0.015 < p.std().item() < 0.025, name


# -- recipes ----------------------------------------------------------------------------------------------------

PUBLISHED = {  # name: configuration, batch, epochs, rate, decay of weights, stride
    "mixste": ("mixste", 4, 160, 4e-5, 0.1, 243),
    "hot-mixste": ("hot-mixste", 4, 160, 4e-5, 0.1, 243),
    "tpc-mixste": ("tpc-mixste", 4, 160, 4e-5, 0.1, 243),
    "mhformer": ("mhformer-351", 128, 20, 1e-3, 0.0, 1),
    "tpc-mhformer": ("tpc-mhformer", 210, 20, 1e-3, 0.0, 1),
    "motionbert": ("motionbert", 32, 120, 5e-4, 0.01, 81),
    "motionbert-lite": ("motionbert-lite", 32, 120, 5e-4, 0.01, 81),
    "hot-motionbert": ("hot-motionbert", 32, 120, 5e-4, 0.01, 81),
    "motionagformer-xs": ("motionagformer-xs", 16, 60, 5e-4, 0.01, 9),
    "motionagformer-s": ("motionagformer-s", 16, 60, 5e-4, 0.01, 27),
    "motionagformer-b": ("motionagformer-b", 16, 60, 5e-4, 0.01, 81),
    "motionagformer-l": ("motionagformer-l", 16, 60, 5e-4, 0.01, 81),
    "hot-motionagformer-b": ("hot-motionagformer", 16, 60, 5e-4, 0.01, 81),
}


def test_published_numbers():
    names = {f"{name}.h36m" for name in PUBLISHED}
    assert {name for name, r in RECIPES.items() if r.clips is not None} == names
    for name, (configuration, batch, epochs, rate, decay, stride) in PUBLISHED.items():
        recipe = get_recipe(f"{name}.h36m")
        made = CONFIGURATIONS[configuration]
        options = lifter_options(recipe)
        sizes = {k: v for k, v in options.sizes.items() if k not in ("drop_path", "dropout")}
        assert sizes == made.sizes
        assert options.hourglass == made.hourglass
        assert options.normalisation == "screen"
        assert recipe.clips.subjects == ("S1", "S5", "S6", "S7", "S8")
        assert recipe.clips.hold_out == ()
        assert (recipe.batch, recipe.schedule.epochs, recipe.learning_rate) == (batch, epochs, rate)
        assert (recipe.weight_decay, recipe.clips.stride) == (decay, stride)


@pytest.fixture
def shell(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def run(line):
        with pytest.raises(SystemExit) as left:
            app(line.split(), prog_name="pose3d")
        out = capsys.readouterr()
        return left.value.code or 0, out.out, out.err

    return run


def test_training_from_the_command_line(shell, folder, tmp_path, monkeypatch):
    """A published recipe on a tiny network: trains, stops, goes on, and evaluates."""
    recipe = clip_recipe(name="mixste.h36m", clips={"subjects": ("S1", "S5"), "detections": "none"})
    monkeypatch.setitem(RECIPES, "mixste.h36m", recipe)
    read = f"train mixste.h36m --data {folder} --set clips.detections=gt"
    train = f"{read} --set clips.hold_out=S5 --device cpu --out run"
    code, out, _ = shell(f"{train} --steps 3")
    assert code == 0
    assert "8 steps an epoch, 3 in all" in out
    assert "best: " in out
    assert "bfloat16" not in out
    code, _, err = shell(f"{read} --set clips.hold_out=S1 --steps 3 --out run --resume")
    assert code == 1
    assert "another recipe" in err
    for able, words in (
        (True, "bfloat16\n"),
        (False, "no instructions for it were found here: --no-bf16"),
    ):
        monkeypatch.setattr("pose3d.device.has_bf16", lambda place, able=able: able)
        code, out, _ = shell(f"{train}-{able} --steps 1 --bf16")
        assert code == 0
        assert words in out
    code, out, _ = shell(f"{read} --steps 2 --out other")
    assert code == 0
    assert "not validated: the weights of the last step" in out
    code, out, _ = shell(
        f"evaluate h36m --data {folder} --detections gt --lifter other/best.safetensors --out x.json"
    )
    assert code == 1  # S9 and S11 are not in these files
    code, _, err = shell(f"train mixste.h36m --data {tmp_path}")
    assert code == 1
    assert "data_3d_h36m.npz is missing" in err
    code, _, err = shell("train mixste.h36m")
    assert "data_3d_h36m.npz, data_2d_h36m_none.npz" in err
