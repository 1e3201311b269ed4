"""``--set KEY=VALUE``: every field of a recipe can be changed, and nothing is changed in silence."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
import shutil
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import UsageError
from pose3d.lab.training.recipes import RECIPES, get_recipe
from pose3d.lab.training.settings import change_recipe, choose_recipe, list_settings
from pose3d.lab.training.tasks import lifter_options
from pose3d.lift.hourglass import HourglassOptions
from tests.support import ROOT
from tests.support.training import tiny_recipe, write_motions, write_tracks


def changed(name: str, *settings: str):
    return change_recipe(get_recipe(name), settings, {})


def field(recipe, key: str):
    for part in key.split("."):
        recipe = recipe[part] if isinstance(recipe, dict) else getattr(recipe, part)
    return recipe


@pytest.mark.parametrize(
    ("name", "key", "text", "value"),
    [
        ("mixste.free27", "batch", "32", 32),
        ("mixste.free27", "learning_rate", "3e-4", 3e-4),
        ("mixste.free27", "clip_norm", "inf", math.inf),
        ("mixste.free27", "straight_knees", "false", False),
        ("mixste.free27", "loss.aligned", "0.5", 0.5),
        ("mixste.free27", "batches.real_share", "0.4", 0.4),
        ("mixste.free27", "batches.rate_range", "12,50", (12.0, 50.0)),
        ("mixste.free27", "batches.reprojection.yaw_deg", "10", 10.0),
        ("mixste.free27", "batches.reprojection", "none", None),
        ("mixste.free27", "leave_out", "01_01,02_02", ("01_01", "02_02")),
        ("mixste.free27", "sizes.dim", "64", 64),
        ("mixste.free27", "noise_file", "none", None),
        ("mixste.free27", "keep_start", "0.75", 0.75),
        ("hot-mixste.free27", "hourglass", "none", None),
        ("hot-mixste.free27", "hourglass.keep", "14,9", None),
        ("mixste.h36m", "clips.hold_out", "S8", ("S8",)),
        ("mixste.h36m", "clips.detections", "gt", "gt"),
        ("mixste.h36m", "schedule.epochs", "2", 2),
        ("mixste.h36m", "batches.frames", "81", 81),
        ("tokenpose-s.lspet", "people.network.prune.keep", "0.5,0.5,0.5", (0.5, 0.5, 0.5)),
        ("tokenpose-s.lspet", "people.augment.flip", "0", 0.0),
    ],
)
def test_a_field_is_set_and_no_other(name, key, text, value):
    settings = [f"{key}={text}"]
    if text == "14,9":  # two steps need two blocks
        settings, value = [*settings, "hourglass.at=1,2"], (14, 9)
    recipe = changed(name, *settings)
    assert field(recipe, key) == value
    assert type(field(recipe, key)) is type(value)
    if key == "batches.frames":
        assert lifter_options(recipe).sizes["frames"] == 81
    top = key.split(".")[0]
    assert replace(recipe, **{top: getattr(get_recipe(name), top)}) == get_recipe(name)


def test_every_field_can_be_set():
    names = dict(list_settings())
    assert len(names) > 90
    for path in ("batch", "loss.velocity", "people.network.joint.links", "batches.poses.bend"):
        assert path in names
    assert not names.keys() & {"name", "epoch_steps", "loss", "sizes"}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("mixste.free27", ["loss.algned=1"], "Did you mean 'loss.aligned'"),
        ("mixste.free27", ["real_share=1"], "Did you mean 'batches.real_share'"),
        ("mixste.free27", ["batchsize=1"], "learning_rate"),
        ("mixste.free27", ["name=x"], "no setting named 'name'"),
        ("mixste.free27", ["batch"], "has no value"),
        ("mixste.free27", ["batch=1", "batch=2"], "twice"),
        ("mixste.free27", ["batch=many"], "batch cannot be 'many'"),
        ("mixste.free27", ["batch=0"], "batch is below 1"),
        ("mixste.free27", ["motion_files=none"], "motion_files is empty"),
        ("mixste.free27", ["batches.rate_range=9,5"], "batches.rate_range is 9 to 5"),
        ("mixste.free27", ["sizes.frames=5"], "sizes.frames"),
        ("mixste.free27", ["sizes.heads=0"], "cannot be built"),
        ("mixste.h36m", ["clips.stride=0"], "clips.stride is 0"),
        ("mixste.h36m", ["warm_up=5"], "warm_up changes nothing"),
        ("mixste.h36m", ["clips=none"], "no setting named 'clips'"),
        ("mixste.free27", ["steps=-1"], "steps cannot be '-1'"),
        ("mixste.free27", ["optimiser=adamm"], "Did you mean 'adam'"),
        ("mixste.free27", ["normalisation=scren"], "Did you mean 'screen'"),
        ("mixste.free27", ["mapping=fac"], "Did you mean 'face'"),
        ("mixste.free27", ["ema=nan"], "ema cannot be 'nan'"),
        ("mixste.free27", ["straight_knees=maybe"], "true or false"),
        ("mixste.free27", ["batches.real_share=1.5"], "batches.real_share is 1.5"),
        ("mixste.free27", ["batches.rate_range=5"], "batches.rate_range has 1 values"),
        ("mixste.free27", ["sizes.dimm=5"], "dimm"),
        ("mixste.free27", ["hourglass=cluster"], "hourglass cannot be 'cluster'"),
        ("mixste.free27", ["clips.hold_out=S8"], "clips.hold_out changes nothing"),
        ("mixste.free27", ["people.guide=1"], "people.guide changes nothing"),
        ("mixste.free27", ["teacher_share=0.5"], "no teacher"),
        ("mixste.free27", ["track_file=none", "batches.real_share=0.5"], "no detector tracks"),
        ("hot-mixste.free27", ["hourglass.at=5"], "Pruning at blocks 5 is impossible"),
        ("hot-mixste.free27", ["hourglass.recover=none"], "hourglass.keep_centre"),
        ("residual.free1", ["hourglass.keep=9", "hourglass.at=1"], "Keeping 9 of 1 frames"),
        ("mixste.h36m", ["straight_knees=true"], "straight_knees changes nothing"),
        ("mixste.h36m", ["batches.real_share=0.1"], "batches.real_share changes nothing"),
        ("mixste.h36m", ["clips.hold_out=S9"], "no training subject named 'S9'"),
        ("tokenpose-s.lspet", ["hourglass.keep=9"], "hourglass.keep changes nothing"),
        ("tokenpose-s.lspet", ["people.network.size_wh=100,100"], "Patches"),
    ],
)
def test_what_cannot_be_set_is_refused(name, settings, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        changed(name, *settings)


@pytest.mark.parametrize(
    "name",
    {
        r.backbone: n for n, r in RECIPES.items() if r.people is None and r.batches.frames > 1
    }.values(),
)
def test_every_lifter_takes_another_hourglass(name):
    keep = "13,9" if get_recipe(name).batches.frames > 13 else "7,5"
    strategy = ("prune=motion", f"keep={keep}", "at=1,2", "recover=linear-tokens")
    hourglass = changed(name, *(f"hourglass.{one}" for one in strategy)).hourglass
    assert (hourglass.prune, hourglass.at, hourglass.recover) == ("motion", (1, 2), "linear-tokens")


def test_a_recipe_without_pruning_learns_its_recovery():
    recipe = changed("mixste.free27", "hourglass.keep=9", "hourglass.at=1")
    assert recipe.hourglass == HourglassOptions(keep=(9,), at=(1,), recover="attention", heads=4)
    alone = changed("hot-mixste.free27", "hourglass.recover=none", "hourglass.keep_centre=true")
    assert alone.hourglass.recover is None


def test_without_a_schedule_there_are_a_warm_up_and_validations():
    recipe = changed("mixste.h36m", "schedule=none", "steps=100", "warm_up=5", "validate_every=10")
    assert (recipe.schedule, recipe.warm_up, recipe.validate_every) == (None, 5, 10)


@pytest.fixture
def folder(tmp_path):
    write_motions(tmp_path / "motions.npz")
    write_tracks(tmp_path / "tracks.npz")
    return tmp_path


def test_files_join_the_recipe(folder):
    file = folder / "tracks.npz"
    recipe, said = choose_recipe("mixste.free27", tracks=[file], seed=3)
    assert recipe.more_tracks == (str(file),)
    assert recipe.seed == 3
    assert str(file) in said[0]
    recipe, said = choose_recipe("mixste.free27", motions=[folder / "a.npz"], has_data=False)
    assert recipe.files == (str(folder / "a.npz"),)
    assert "no real detector tracks" in said[1]
    with pytest.raises(UsageError, match="--data"):
        choose_recipe("mixste.free27", motions=[file], tracks=[file], has_data=False)
    with pytest.raises(UsageError, match=r"mocap/cmu\.npz"):
        choose_recipe("mixste.free27", has_data=False)
    for name in ("mixste.h36m", "tokenpose-s.lspet"):
        for flag in ("motions", "tracks"):
            with pytest.raises(UsageError, match=f"--{flag}"):
                choose_recipe(name, **{flag: [file]})


def test_the_checkpoint_knows_what_was_set(folder, monkeypatch):
    monkeypatch.setattr("pose3d.lab.training.data.VALIDATION_BATCHES", 1)
    recipe = tiny_recipe(steps=1)
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    out = str(folder / "run")
    command = ["train", recipe.name, "--data", str(folder), "--device", "cpu", "--out", out]
    asked = ["--set", "batches.real_share=0.75", "--set", "loss.aligned=1"]
    shutil.copy(folder / "tracks.npz", folder / "filmed.npz")
    asked += ["--tracks", str(folder / "filmed.npz")]
    done = CliRunner().invoke(app, [*command, *asked])
    assert done.exit_code == 0, done.output
    saved = json.loads(torch.load(folder / "run/last.pt", weights_only=True)["recipe"])
    assert (saved["batches"]["real_share"], saved["loss"]["aligned"]) == (0.75, 1.0)
    other = CliRunner().invoke(app, [*command, "--set", "loss.aligned=1", "--resume"])
    assert "another recipe" in other.output
    again = CliRunner().invoke(app, [*command, *asked, "--resume"])
    assert again.exit_code == 0, again.output


def written_settings() -> list[tuple[str, tuple[str, ...]]]:
    """Recipe and settings of every 'pose3d train' in the documents."""
    pages = [ROOT / "README.md", *(ROOT / "samples").glob("*.md"), *(ROOT / "weights").glob("*.md")]
    pages += (ROOT / "pose3d/docs").glob("*.md")
    lines = "\n".join(page.read_text(encoding="utf-8") for page in pages).splitlines()
    found = set()
    for line in lines:
        words = shlex.split(line, comments=True) if line.startswith("pose3d train ") else []
        settings = tuple(b for a, b in itertools.pairwise(words) if a == "--set")
        if settings:
            found.add((words[2], settings))
    return sorted(found)


@pytest.mark.parametrize(("name", "settings"), written_settings())
def test_settings_in_the_documents_are_possible(name, settings):
    assert changed(name, *settings) != get_recipe(name)
