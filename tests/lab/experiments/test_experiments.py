"""Experiments: what their rows are, what running them leaves behind, and what the tables say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import DataError, ResultFileError, UsageError
from pose3d.files import LOCK_NAME, lock_folder
from pose3d.lab.experiments import measure as measure_module
from pose3d.lab.experiments import run as run_module
from pose3d.lab.experiments.report import group_tables, summarise
from pose3d.lab.experiments.rows import Experiment, Row
from pose3d.lab.experiments.run import ExperimentOptions, read_runs, run_experiment
from pose3d.lab.experiments.table import EXPERIMENTS, get_experiment
from pose3d.lab.training.tasks import lifter_options, make_task
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import build_network, load_network, save_network
from pose3d.weights.finding import sha256_of
from tests.support.training import tiny_recipe, write_motions, write_tracks

FILES = {"motion_files": ("mocap/cmu.npz",), "track_file": "rendered/tracks.npz"}


def two_rows(**changes) -> Experiment:
    """Plain and pruned, two runs and one."""
    plain = replace(tiny_recipe(), steps=2, validate_every=1, **changes)
    pruned = replace(
        plain,
        hourglass=HourglassOptions(keep=(3,), at=(1,), recover=None, keep_centre=True, heads=2),
    )
    return Experiment(
        name="tiny",
        question="Does it run?",
        rows=(
            Row(name="plain", recipe=replace(plain, hourglass=None), seeds=2, words="all frames"),
            Row(name="pruned", recipe=pruned, seeds=1, words="some frames"),
        ),
        groups=(("network", ("plain", "pruned")),),
    )


@pytest.fixture
def data(tmp_path):
    """What both rows train on; ``mocap`` and ``rendered`` to measure on."""
    (tmp_path / "data" / "mocap").mkdir(parents=True)
    (tmp_path / "data" / "rendered").mkdir()
    write_motions(
        tmp_path / "data/mocap/cmu.npz", lengths=(200, 150, 300), splits=["train", "val", "test"]
    )
    write_tracks(tmp_path / "data/rendered/tracks.npz")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measure_module, "_SPEED_S", 0.01)


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda e: e.name)
def test_rows_are_complete(experiment):
    names = [row.name for row in experiment.rows]
    assert len(set(names)) == len(names)
    grouped = {name for _, group in experiment.groups for name in group}
    assert grouped == set(names)
    budgets = {(r.recipe.steps, r.recipe.batch * r.recipe.batches.frames) for r in experiment.rows}
    assert len({steps for steps, _ in budgets}) == 1
    if not experiment.is_2d:
        frames = [count for _, count in budgets]
        assert max(frames) < 1.15 * min(frames)  # as many frames a step, whatever the window
        for row in experiment.rows:
            with torch.device("meta"):
                build_network(lifter_options(row.recipe))  # refuses impossible schedules


def test_all_rows_come_before_the_second_seed():
    runs = [(row.name, seed) for row, seed in two_rows().runs()]
    assert runs == [("plain", 0), ("pruned", 0), ("plain", 1)]
    assert [seed for _, seed in two_rows().runs(["plain"], 1)] == [0]
    with pytest.raises(UsageError, match="plian"):
        list(two_rows().runs(["plian"]))


def test_runs_are_done_once_and_add_up(data, tmp_path):
    said: list[tuple[str, str]] = []
    out, options = tmp_path / "out", ExperimentOptions()
    experiment = two_rows(**FILES)
    assert run_experiment(experiment, data, out, options, on_run=lambda *s: said.append(s)) == 0
    assert {run for run, _ in said} == {"plain.0", "pruned.0", "plain.1"}
    said.clear()
    run_experiment(experiment, data, out, options, on_run=lambda *s: said.append(s))
    assert said == []
    found = read_runs(experiment, out)
    assert [run["seed"] for run in found["plain"]] == [0, 1]
    assert found["pruned"][0]["seq2seq_per_s"] is None  # no recovery: middle frames alone
    assert set(found["plain"][0]["parts"]) == {"mocap", "rendered"}
    first, second = (run["parts"]["mocap"]["procrustes_mm"] for run in found["plain"])
    assert first != second  # another seed is another network
    summary = summarise(experiment, found)
    figure = summary["rows"]["plain"]["figures"]["mocap"]
    assert figure["mean"] == pytest.approx((first + second) / 2)
    assert figure["sd"] == pytest.approx(abs(first - second) / 2**0.5)
    assert summary["rows"]["pruned"]["figures"]["mocap"]["sd"] is None
    assert len(group_tables(summary, experiment)) == 1
    json.dumps(summary, allow_nan=False)


def test_a_broken_run_goes_on_where_it_was(data, tmp_path):
    experiment = two_rows(**FILES)
    options = ExperimentOptions(rows=("plain",), seeds=1)

    def stop(step: int) -> None:
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, data, tmp_path / "a", options, on_step=stop)
    said: list[str] = []
    run_experiment(
        experiment, data, tmp_path / "a", options, on_run=lambda _, words: said.append(words)
    )
    assert said[0] == "goes on at step 1 of 2"
    run_experiment(experiment, data, tmp_path / "b", options)
    broken, whole = (
        read_runs(experiment, tmp_path / side)["plain"][0]["parts"]["mocap"] for side in "ab"
    )
    assert broken["procrustes_mm"] == whole["procrustes_mm"]


def test_half_a_step_is_not_saved(data, tmp_path, monkeypatch):
    """A second Ctrl-C cuts a step in two; the checkpoint before it stays as it is."""
    experiment = two_rows(**FILES)
    monkeypatch.setattr(
        "pose3d.lab.training.loop.Trainer._move",
        lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
    )
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, data, tmp_path, ExperimentOptions(rows=("plain",), seeds=1))
    assert not list(tmp_path.rglob("last.pt"))


def test_runs_of_another_process_are_left_alone(data, tmp_path):
    experiment = two_rows(**FILES)
    held = tmp_path / "plain.0"
    held.mkdir()
    with lock_folder(held):
        left = run_experiment(
            experiment, data, tmp_path, ExperimentOptions(rows=("plain",), seeds=1)
        )
    assert left == 1
    assert not (held / run_module.RESULT).exists()


def test_a_folder_that_cannot_be_written_is_not_taken_for_busy(data, tmp_path):
    (tmp_path / "plain.0" / LOCK_NAME).mkdir(parents=True)  # nobody can make a file of that name
    options = ExperimentOptions(rows=("plain",), seeds=1)
    with pytest.raises(ResultFileError):
        run_experiment(two_rows(**FILES), data, tmp_path, options)


def test_unlike_budgets_are_not_compared(data, tmp_path):
    experiment = two_rows(**FILES)
    for row, steps in (("plain", 1), ("pruned", 2)):
        run_experiment(
            experiment, data, tmp_path, ExperimentOptions(rows=(row,), seeds=1, steps=steps)
        )
    with pytest.raises(UsageError, match="1, 2"):
        summarise(experiment, read_runs(experiment, tmp_path))


def started(**changes) -> Experiment:
    """Both rows begin with a plain network that was trained first."""
    experiment = two_rows(**FILES)
    recipe = replace(experiment.rows[0].recipe, name="mixste.start", steps=3, **changes)
    return replace(experiment, start=Row(name="start", recipe=recipe, seeds=1, words="a plain one"))


def test_runs_begin_with_the_weights_of_the_start(data, tmp_path):
    experiment, said = started(), []
    frozen = replace(
        experiment,
        rows=tuple(
            replace(row, recipe=replace(row.recipe, learning_rate=0.0)) for row in experiment.rows
        ),
    )
    out = tmp_path / "out"
    run_experiment(frozen, data, out, ExperimentOptions(), on_run=lambda *s: said.append(s))
    assert said[0] == ("start.0", "3 steps")  # once, before all others
    assert [run for run, _ in said].count("start.0") == 2
    start = load_network(out / "start.0" / "best.safetensors")[0].state_dict()
    for name in ("plain.0", "plain.1", "pruned.0"):  # a rate of 0 leaves them as they began
        found = load_network(out / name / "best.safetensors")[0].state_dict()
        assert all(torch.allclose(found[key], value) for key, value in start.items())
    found = read_runs(frozen, out)
    assert found["start"][0]["start_sha256"] is None
    hashes = {run["start_sha256"] for row in ("plain", "pruned") for run in found[row]}
    assert hashes == {sha256_of(out / "start.0" / "best.safetensors")}
    summary = summarise(frozen, found)
    assert set(summary["rows"]) == {"plain", "pruned"}
    assert (summary["steps"], summary["start"]["steps"]) == (2, 3)
    assert summary["start"]["figures"]["mocap"]["mean"] > 0
    found["pruned"][0]["start_sha256"] = None
    with pytest.raises(UsageError, match="weights"):
        summarise(frozen, found)


def test_a_folder_with_a_start_can_be_moved(data, tmp_path):
    """Weights that runs begin with are known by content: a broken run goes on in another place."""
    experiment, options = started(), ExperimentOptions(rows=("plain",), seeds=1)

    def stop(step: int) -> None:
        if step == 1:
            raise KeyboardInterrupt

    run_experiment(experiment, data, tmp_path / "a", replace(options, rows=("pruned",)))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, data, tmp_path / "a", options, on_step=stop)
    (tmp_path / "a").rename(tmp_path / "b")
    said: list[str] = []
    run_experiment(
        experiment, data, tmp_path / "b", options, on_run=lambda _, words: said.append(words)
    )
    assert said[0] == "goes on at step 1 of 2"
    other = tmp_path / "b" / "start.0" / "best.safetensors"
    other.write_bytes((tmp_path / "b" / "plain.0" / "best.safetensors").read_bytes())
    (tmp_path / "b" / "plain.0" / run_module.RESULT).unlink()
    with pytest.raises(DataError, match="recipe"):  # other weights in the same place
        run_experiment(experiment, data, tmp_path / "b", options)


def test_runs_of_unlike_recipes_are_not_averaged(data, tmp_path):
    experiment = two_rows(**FILES)
    options = ExperimentOptions(rows=("plain",))
    run_experiment(experiment, data, tmp_path, replace(options, seeds=1))
    faster = replace(experiment.rows[0].recipe, learning_rate=0.1)
    changed = replace(experiment, rows=(replace(experiment.rows[0], recipe=faster),))
    run_experiment(changed, data, tmp_path, options)  # the second seed
    with pytest.raises(UsageError, match="recipes"):
        summarise(experiment, read_runs(experiment, tmp_path))


def test_nobody_begins_before_the_start_is_there(data, tmp_path):
    experiment, held = started(), tmp_path / "start.0"
    held.mkdir()
    with lock_folder(held):
        assert run_experiment(experiment, data, tmp_path, ExperimentOptions()) == 3
    assert not (tmp_path / "plain.0").exists()
    with pytest.raises(UsageError):
        summarise(experiment, read_runs(experiment, tmp_path))


def test_starts_fit_their_rows():
    """What a start holds has a place in every network that begins with it."""
    for experiment in EXPERIMENTS.values():
        if experiment.start is None:
            continue
        names = set(make_task(experiment.start.recipe).build().state_dict())
        for row in experiment.rows:
            own = set(make_task(row.recipe).build().state_dict())
            assert all(n in own for n in names if not n.startswith("patch_head.")), row.name


def test_nothing_to_measure_on_is_said(tmp_path):
    recipe = replace(tiny_recipe(), hourglass=None)
    options, path = lifter_options(recipe), tmp_path / "x.safetensors"
    save_network(path, build_network(options).state_dict(), options)
    row = Row(name="x", recipe=recipe, seeds=1, words="")
    with pytest.raises(DataError):
        measure_module.measure_run(row, path, tmp_path)


def test_differences_of_2d_rows_are_paired():
    experiment = get_experiment("sparsity")

    def run(seed: int, hits: list[int]) -> dict:
        n = len(hits)
        rows = {
            "id": list(range(n)),
            "image": list(range(n)),
            "score": [1.0] * n,
            "levels": [[-1] * 10] * n,
            "pck_hits": hits,
            "pck_counted": [10] * n,
            "pckh_hits": [0] * n,
            "pckh_counted": [0] * n,
        }
        figures = {"pck": 10.0 * sum(hits) / n, "ap": 0.0}
        return {
            "steps": 5,
            "seed": seed,
            "start_sha256": None,
            "recipe_sha256": "",
            "results": {
                "data": "d",
                "people": rows,
                "compared_joints": ["a"],
                "metrics": {**figures, "pckh": None, "ap50": None, "ap75": None, "ar": None},
            },
        }

    # Everybody one joint better: the people differ a lot, the difference does not.
    hits = [1, 8, 3, 6, 2, 7, 4, 5]
    runs = {
        "tokenpose-s": [run(0, hits), run(1, hits)],
        "tokenpose-s-joint": [run(0, [h + 1 for h in hits])],
    }
    against = summarise(experiment, runs, draws=200)["rows"]["tokenpose-s-joint"]["against"]
    assert against["row"] == "tokenpose-s"
    assert against["difference"] == pytest.approx(10)
    assert against["low"] == pytest.approx(10)
    assert against["high"] == pytest.approx(10)


def test_command(data, tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", two_rows(**FILES))
    run = CliRunner().invoke
    listed = run(app, ["experiment"])
    assert listed.exit_code == 0
    assert "hourglass" in listed.output
    assert "sparsity" in listed.output
    out = tmp_path / "runs"
    done = run(app, ["experiment", "tiny", "--data", str(data), "--out", str(out), "--seeds", "1"])
    assert done.exit_code == 0, done.output
    assert "plain.0: best val_mm" in done.output
    assert json.loads((out / "experiment.json").read_text())["rows"]["plain"]["runs"] == 1
    shown = run(app, ["experiment", "tiny", "--out", str(out)])
    assert "some frames" in shown.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hourglas"], "hourglass"),
        (["hourglass", "--out", "nowhere"], "no folder"),
        (["hourglass", "--row", "mixte", "--data", "."], "mixste"),
    ],
)
def test_command_refuses(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["experiment", *arguments])
    assert result.exit_code == 2
    assert said in result.output
