"""Training that learns from other lifters: their mean answer, what is refused, going on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import DataError, UsageError, WeightsError
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.data import load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.recipes import RECIPES
from pose3d.lab.training.start import Teachers, load_teacher
from pose3d.lab.training.tasks import lifter_options
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import build_network, load_network, save_network
from tests.support.training import save_random_weights, tiny_recipe, write_motions, write_tracks


@pytest.fixture
def folder(tmp_path):
    write_motions(tmp_path / "motions.npz")
    write_tracks(tmp_path / "tracks.npz")
    return tmp_path


def save(recipe, path, seed=7):
    """Writes random weights of a recipe; returns the file's name."""
    save_random_weights(recipe, path, seed)
    return str(path)


def test_the_target_lies_between_the_truth_and_the_mean_answer(folder):
    plain = tiny_recipe(hourglass=None)
    files = [
        save(tiny_recipe(), folder / "a.safetensors", 1),
        save(plain, folder / "b.safetensors", 2),
    ]
    inputs, truth = torch.randn(3, 9, 17, 3), torch.randn(3, 9, 17, 3)
    with torch.no_grad():  # in evaluation mode, though these have dropped paths when they train
        first, second = (load_network(folder / f"{n}.safetensors")[0](inputs) for n in "ab")
    assert (first - second).abs().max() > 0.01
    teachers = Teachers(replace(plain, teachers=tuple(files), teacher_share=0.75), "cpu")
    target = teachers.mix(inputs, truth)
    torch.testing.assert_close(target, 0.25 * truth + 0.75 * (first + second) / 2)
    assert not target.requires_grad


def test_who_knows_all_that_the_teacher_says_has_nothing_to_learn(folder):
    recipe = tiny_recipe(sizes={"dim": 16, "depth": 3, "heads": 2, "drop_path": 0.0})
    file = save(recipe, folder / "w.safetensors")
    data = load_training_data(recipe, folder, "cpu")
    taught = replace(recipe, start=file, teachers=(file,), teacher_share=1.0)
    positions = {}
    for name, one in (("alone", replace(taught, teachers=())), ("taught", taught)):
        trainer = Trainer(one, data, folder / name)
        positions[name] = float(trainer.train_step()["position"])
    assert positions["alone"] > 0.1
    assert positions["taught"] < 1e-5


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"batches": BatchOptions(frames=5)}, "frames a window 5, here 9"),
        ({"normalisation": "screen"}, "normalisation screen, here person"),
        ({"mapping": "hot"}, "mapping hot, here face"),
        ({"sizes": {"dim": 16, "depth": 3, "heads": 2, "channels_in": 2}}, "channels 2, here 3"),
        (
            {"batches": BatchOptions(frames=9, rate_range=(20.0, 50.0))},
            r"frames a second \(20.0, 50.0\)",
        ),
        ({"hourglass": HourglassOptions(keep=(4,), at=(1,), recover=None)}, "all frames"),
    ],
)
def test_teachers_of_other_windows_are_refused(folder, changes, what):
    recipe = tiny_recipe()
    file = save(replace(recipe, **changes), folder / "w.safetensors")
    with pytest.raises(UsageError, match=what):
        load_teacher(file, lifter_options(recipe))


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"units": "picture"}, "units picture, here metres"), ({"pipeline": "seq2frame"}, "seq2seq")],
)
def test_imported_teachers_that_answer_otherwise_are_refused(folder, changes, what):
    options = lifter_options(tiny_recipe())
    strange = replace(options, **changes)
    path = folder / "w.safetensors"
    save_network(path, build_network(strange).state_dict(), strange)
    with pytest.raises(UsageError) as refused:
        load_teacher(str(path), options)
    assert what in f"{refused.value.what} {refused.value.todo}"


def test_a_network_for_photographs_is_no_teacher(folder):
    recipe = RECIPES["tokenpose-s.lspet"]
    save(recipe, folder / "w.safetensors")
    with pytest.raises(WeightsError):
        load_teacher(str(folder / "w.safetensors"), lifter_options(tiny_recipe()))


def test_taught_training_goes_on_to_the_bit_with_the_same_teachers(folder):
    recipe = tiny_recipe(steps=4, validate_every=1)
    file, other = save(recipe, folder / "w.safetensors"), save(recipe, folder / "v.safetensors", 8)
    taught = replace(recipe, teachers=(file, other))
    data = load_training_data(recipe, folder, "cpu")
    whole = Trainer(taught, data, folder / "whole")
    whole.train()
    alone = Trainer(recipe, data, folder / "alone")
    alone.train()
    name, value = next(iter(whole.network.named_parameters()))
    assert not torch.equal(value, alone.network.state_dict()[name])
    Trainer(taught, data, folder / "cut").train(2)
    moved = folder / "moved.safetensors"
    (folder / "w.safetensors").rename(moved)
    rest = Trainer(replace(taught, teachers=(str(moved), other)), data, folder / "cut")
    rest.resume()
    rest.train()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name])
    for strange in (
        replace(taught, teachers=(other, other)),
        replace(taught, teachers=(str(moved), other), teacher_share=0.5),
        recipe,
    ):
        with pytest.raises(DataError, match="recipe"):
            Trainer(strange, data, folder / "cut").resume()


def test_command_says_who_teaches(folder, monkeypatch):
    recipe = tiny_recipe(steps=1)
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    file = save(recipe, folder / "w.safetensors")

    def run(*arguments, name=recipe.name, out="run"):
        fixed = ["train", name, "--data", str(folder), "--out", str(folder / out)]
        return CliRunner().invoke(app, [*fixed, *arguments])

    done = run("--teacher", file, "--teacher", file, "--set", "teacher_share=0.5")
    assert done.exit_code == 0, done.output
    assert done.output.count(f"distilled from {file}; their licence (Apache-2.0)") == 2
    for arguments, words in (
        (["--set", "teacher_share=0.5"], "no teacher"),
        (["--teacher", str(folder / "none.safetensors")], "Check the path"),
        (["--teacher", "residual"], "cannot teach this network: frames a window 1, here 9"),
    ):
        wrong = run(*arguments, out="x")
        assert wrong.exit_code == 2, wrong.output
        assert words in " ".join(wrong.output.split()), wrong.output
        assert not (folder / "x").exists()
    (folder / "tracks.npz").unlink()  # unfit teachers are refused before anything is read
    wrong = run("--teacher", "residual", out="x")
    assert "cannot teach" in " ".join(wrong.output.split()), wrong.output
    wrong = run("--teacher", file, name="tokenpose-s.lspet", out="x")
    assert "--teacher changes nothing" in " ".join(wrong.output.split())


def test_weights_are_under_the_licences_of_all_that_they_come_from(folder, monkeypatch):
    recipe = tiny_recipe(steps=1)
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    own = save(recipe, folder / "own.safetensors")
    bound = save(replace(recipe, licence="CC-BY-NC-4.0"), folder / "bound.safetensors")
    unknown = save(replace(recipe, licence=""), folder / "unknown.safetensors")
    fixed = ["train", recipe.name, "--data", str(folder), "--out"]
    for out, sources, expected in (
        ("a", ["--start", own, "--teacher", own], "Apache-2.0"),
        ("b", ["--start", bound, "--teacher", own], "Apache-2.0 AND CC-BY-NC-4.0"),
        (
            "of b",
            ["--teacher", str(folder / "b" / "best.safetensors")],
            "Apache-2.0 AND CC-BY-NC-4.0",
        ),
        (
            "c",
            ["--start", own, "--teacher", bound, "--teacher", unknown],
            "Apache-2.0 AND CC-BY-NC-4.0 AND not stated",
        ),
    ):
        done = CliRunner().invoke(app, [*fixed, str(folder / out), *sources])
        assert done.exit_code == 0, done.output
        _, options, _ = load_network(folder / out / "best.safetensors")
        assert options.licence == expected
        assert ("licence of the weights" in done.output) == (" AND " in expected)
        again = CliRunner().invoke(app, [*fixed, str(folder / out), *sources, "--resume"])
        assert again.exit_code == 0, again.output
