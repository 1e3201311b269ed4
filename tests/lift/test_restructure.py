"""lift/restructure.py: other prunings and recoveries for weights that exist, by options alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.cli.app import app
from pose3d.errors import UsageError
from pose3d.lab.evaluation.wild import load_lifters
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import load_network, save_network
from pose3d.lift.restructure import HourglassChange, change_hourglass, resample_frames
from pose3d.lift.sequence import make_lifter, make_lifter_for
from pose3d.options import LEARNED_RECOVERIES, PRUNINGS, RECOVERIES, RunOptions
from pose3d.plugins import PARTS
from tests.support.backbones import inputs_for, small_backbone, small_options
from tests.support.lifters import keypoints
from tests.support.training import write_tracks

LEARNED = HourglassOptions(keep=(4,), at=(2,), heads=2)


def made(backbone: str, pruned: HourglassOptions | None = LEARNED):
    """A small network with options, as they come out of a weights file."""
    network = small_backbone(backbone, pruned)
    return network, replace(small_options(backbone, pruned), hourglass=pruned)


def parameters(network: Hourglass) -> dict[str, torch.Tensor]:
    return dict(network.state_dict())


# -- the rules ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prune", PRUNINGS)
def test_another_pruning_keeps_every_number(prune):
    network, options = made("motionagformer" if prune == "motion" else "mixste")
    changed, now, notes = change_hourglass(network, options, HourglassChange(prune=prune))
    before, after = parameters(network), parameters(changed)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert now.hourglass == replace(LEARNED, prune=prune)
    assert notes == (() if prune == "cluster" else (f"prune cluster -> {prune}",))


OTHERS = [
    (backbone, recover, LEARNED_RECOVERIES[(i + j) % 2])
    for i, backbone in enumerate(PARTS["backbone"])
    for j, recover in enumerate(("nearest", "linear", "linear-tokens", "none"))
]


@pytest.mark.parametrize(("backbone", "recover", "learned"), OTHERS)
def test_another_recovery_keeps_the_learned_one_for_kept_frames(backbone, recover, learned):
    """Kept frames have the very answers that the learned recovery gives them, every number is used."""
    network, options = made(backbone, replace(LEARNED, recover=learned))
    network, options, _ = change_hourglass(network, options, HourglassChange(keep_centre=True))
    changed, now, notes = change_hourglass(network, options, HourglassChange(recover=recover))
    before, after = parameters(network), parameters(changed)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert notes[-1] == "the learned recovery answers for the kept frames"
    x = inputs_for(network)
    with torch.no_grad():
        every, index = network.forward_with_index(x)
        joints, same = changed.forward_with_index(x)
    assert torch.equal(index, same)
    rows = torch.arange(len(x))[:, None]
    kept = joints if recover == "none" else joints[rows, index]
    torch.testing.assert_close(kept, every[rows, index], atol=2e-5, rtol=1e-5)
    back, again, _ = change_hourglass(changed, now, HourglassChange(recover=learned))
    assert again == options
    with torch.no_grad():
        assert torch.equal(back(x), every)


def test_positions_of_kept_frames_go_where_nothing_was_learned_after_them():
    """Without a learned recovery, and without any, nobody has a use for them."""
    network, options = made("mixste", replace(LEARNED, recover="linear"))
    changed, _, notes = change_hourglass(network, options, HourglassChange(recover="none"))
    gone = parameters(network).keys() - parameters(changed).keys()
    assert gone == {"kept_position.0"}
    assert notes[-1] == "64 numbers of the weights have no use now"


def test_another_number_of_kept_frames_resamples_their_positions():
    network, options = made("mixste")
    changed, _, notes = change_hourglass(network, options, HourglassChange(keep=(7,)))
    old, new = network.kept_position[0].detach(), changed.kept_position[0].detach()
    assert new.shape == (1, 7, 1, 16)
    for channel in range(16):
        expected = np.interp(np.linspace(0, 3, 7), range(4), old[0, :, 0, channel].numpy())
        np.testing.assert_allclose(new[0, :, 0, channel], expected, atol=1e-6)
    assert "positions of kept frames resampled from 4 to 7" in notes
    assert "keep 4 -> 7" in notes


def test_further_steps_start_without_positions():
    network, options = made("mixste")
    change = HourglassChange(keep=(6, 4), at=(1, 3), recover="linear")
    changed, _, notes = change_hourglass(network, options, change)
    assert changed.kept_position[0].shape[1] == 6
    assert changed.kept_position[0].abs().min() > 0
    assert (changed.kept_position[1] == 0).all()
    assert "positions of kept frames zero (the weights have none)" in notes


@pytest.mark.parametrize("backbone", PARTS["backbone"])
@pytest.mark.parametrize("recover", [r for r in RECOVERIES if r not in LEARNED_RECOVERIES])
def test_plain_weights_can_drop_frames(backbone, recover):
    """Keeping every frame gives what the plain network gives, to the bit; keeping few something else."""
    network, options = made(backbone, None)
    x = inputs_for(network)
    every = HourglassChange(keep=(9,), at=(1,), recover=recover)
    few = HourglassChange(keep=(3,), at=(1,), recover=recover, prune="uniform")
    with torch.no_grad():
        plain = network(x)
        assert torch.equal(change_hourglass(network, options, every)[0](x), plain)
        pruned, now, notes = change_hourglass(network, options, few)
        assert pruned(x).shape == plain.shape
        assert not torch.equal(pruned(x), plain)
    assert now.hourglass.recover == recover
    assert notes[0].startswith("keeps 3 frames from block 1 on by uniform, recovery ")


@pytest.mark.parametrize("backbone", ["mixste", "mhformer", "motionbert"])
@pytest.mark.parametrize("recover", ["attention", "refined", "linear"])
def test_dropping_nothing_is_the_plain_backbone(backbone, recover):
    """With the learned recovery behind it where there is one."""
    network, options = made(backbone, replace(LEARNED, recover=recover))
    changed, now, _ = change_hourglass(network, options, HourglassChange(prune="none"))
    x = inputs_for(network)
    with torch.no_grad():
        if recover == "linear":
            assert now.hourglass is None
            assert torch.equal(changed(x), Hourglass(network.backbone, None)(x))
            return
        tokens = network.backbone.embed(x)
        for i in range(4):
            tokens = network.backbone.block(i, tokens)
        answers = []
        for own in tokens.unbind(2):
            # Every frame is there: the lines between the tokens are the tokens.
            answers.append(network.recovery(own, None, own if recover == "refined" else None))
        expected = network.backbone.head(torch.stack(answers, 2))
        torch.testing.assert_close(changed(x), expected, atol=2e-5, rtol=1e-5)


def test_norms_of_single_frames_are_resampled():
    """MotionAGFormer's temporal graphs have a norm for each frame, of the length that arrives."""
    network, options = made("motionagformer")
    changed, _, notes = change_hourglass(network, options, HourglassChange(at=(3,), keep=(5,)))
    lengths = [layer.frame_graph.mixer.norm.num_features for layer in changed.backbone.layers]
    assert lengths == [9, 9, 9, 5]
    old = network.backbone.layers[2].frame_graph.mixer.norm.running_var
    new = changed.backbone.layers[2].frame_graph.mixer.norm.running_var
    np.testing.assert_allclose(new, np.interp(np.linspace(0, 3, 9), range(4), old), atol=1e-6)
    assert "norms of each frame resampled from 4 to 9" in notes
    assert "norms of each frame resampled from 4 to 5" in notes
    with torch.no_grad():
        assert changed(inputs_for(changed)).isfinite().all()


@pytest.mark.parametrize("recover", LEARNED_RECOVERIES)
@pytest.mark.parametrize("learned", [None, *RECOVERIES])
def test_learned_recovery_cannot_be_made_up(recover, learned):
    pruned = None if learned is None else replace(LEARNED, recover=learned)
    network, options = made("mixste", pruned)
    change = HourglassChange(keep=(4,), at=(1,), recover=recover)
    if recover == learned:
        assert change_hourglass(network, options, change)[1].hourglass.recover == recover
        return
    with pytest.raises(UsageError, match=f"'{recover}'"):
        change_hourglass(network, options, change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep": (10,)}, "Keeping 10 of 9 frames is impossible"),
        ({"at": (4,)}, "Pruning at blocks 4 is impossible in a network of 4 blocks"),
        ({"at": (0,)}, "Pruning at blocks 0 is impossible"),
        ({"keep": (6, 4)}, "Keeping 6,4 frames at blocks 2 is no schedule"),
        ({"recover": "none", "keep_centre": False}, "the middle may not be among them"),
        ({"prune": "none", "keep": (3,)}, "drops no frame"),
    ],
)
def test_impossible_changes(change, words):
    with pytest.raises(UsageError, match=words):
        change_hourglass(*made("mixste"), HourglassChange(**change))


def test_plain_weights_need_a_schedule():
    with pytest.raises(UsageError, match="--keep 9 --at 1"):
        change_hourglass(*made("mixste", None), HourglassChange(prune="motion"))


@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_changed_weights_survive_a_file(backbone, tmp_path):
    network, options = made(backbone)
    change = HourglassChange(prune="motion", keep=(6, 3), at=(1, 3), recover="linear-tokens")
    changed, now, _ = change_hourglass(network, options, change)
    save_network(tmp_path / "a.safetensors", changed.state_dict(), now)
    loaded, read, _ = load_network(tmp_path / "a.safetensors")
    assert read.hourglass == now.hourglass
    with torch.no_grad():
        assert torch.equal(loaded(inputs_for(changed)), changed(inputs_for(changed)))


def test_the_first_network_stays_as_it_was():
    network, options = made("mixste")
    before = {k: v.clone() for k, v in parameters(network).items()}
    changed = change_hourglass(network, options, HourglassChange(prune="motion"))[0]
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert all(torch.equal(v, before[k]) for k, v in parameters(network).items())


def test_resampling_keeps_both_ends_and_straight_lines():
    line = torch.linspace(0, 1, 5)[None, :, None].expand(2, 5, 3)
    for frames in (2, 9, 12):
        fine = resample_frames(line, frames, 1)
        torch.testing.assert_close(fine[0, :, 0], torch.linspace(0, 1, frames))
    assert resample_frames(torch.ones(1, 1, 1, 4), 3, 1).tolist() == torch.ones(1, 3, 1, 4).tolist()
    assert resample_frames(torch.tensor([1.0, 3.0]), 1, 0).tolist() == [1.0]


# -- by the options of a run ------------------------------------------------------------------------


def test_shipped_weights_by_options_alone():
    options = RunOptions(prune="motion", keep="9", at="1", recover="linear", offline=True)
    lifter = make_lifter_for(replace(options, device="cpu"))
    assert lifter.options.hourglass.prune == lifter.network.options.prune == "motion"
    assert lifter.options.hourglass.readout
    assert lifter.info.changes[:4] == (
        "prune cluster -> motion",
        "keep 12 -> 9",
        "recover refined -> linear",
        "the learned recovery answers for the kept frames",
    )
    plain = make_lifter_for(RunOptions(device="cpu", offline=True))
    assert plain.info.changes == ()
    assert plain.options == make_lifter("hot-mixste", device="cpu", offline=True).options


@pytest.mark.parametrize("text", ["", "0", "9,", "9;3", "-1", "1.5", "nine"])
@pytest.mark.parametrize("name", ["keep", "at"])
def test_text_that_is_no_list_of_numbers(name, text):
    if (name, text) == ("at", "0"):  # before the first block
        assert HourglassChange.of(RunOptions(at="0")).at == (0,)
        return
    with pytest.raises(UsageError, match=f"--{name}"):
        RunOptions(**{name: text})


@pytest.mark.parametrize(
    ("name", "kind"), [("prune", "pruning"), ("recover", "recovery"), ("pipeline", "pipeline")]
)
def test_strategies_that_do_not_exist(name, kind):
    with pytest.raises(UsageError, match="linaer"):
        RunOptions(**{name: "linaer"})


CHANGES = (
    "prune cluster -> uniform",
    "recover refined -> linear",
    "the learned recovery answers for the kept frames",
)


def test_commands_say_what_was_changed(tmp_path, capsys, monkeypatch):
    """``lift`` and ``evaluate tracks`` on stderr, beside what they print for programs."""
    monkeypatch.chdir(tmp_path)
    tracks = write_tracks(tmp_path / "tracks.npz")
    points = 300 + 20 * keypoints(1, 40, 2).numpy()[0][:, None]
    np.savez("keys.npz", keypoints=points, score=np.ones(points.shape[:3]))
    strategy = ["--prune", "uniform", "--recover", "linear", "--offline", "--device", "cpu"]
    clip = ["--skeleton", "coco17", "--size", "640x480", "--rate", "30", "--render", "none"]
    for command in (["lift", "keys.npz", *clip], ["evaluate", "tracks", str(tracks), "--json"]):
        with pytest.raises(SystemExit) as end:
            app([*command, *strategy], prog_name="pose3d")
        assert not end.value.code
        said = capsys.readouterr()
        for change in CHANGES:
            assert f"hot-mixste.free27: {change}\n" in said.err
        if command[0] == "evaluate":
            assert json.loads(said.out)["all"]["frames"] > 0


def test_evaluating_everywhere_takes_the_strategy():
    options = RunOptions(prune="uniform", recover="linear", offline=True, device="cpu")
    (lifter,) = load_lifters(["hot-mixste"], options).values()
    assert lifter.info.changes == CHANGES
