"""Importing published checkpoints: golden networks through every layout, hostile files, refusals."""

from __future__ import annotations

import hashlib
import os
import pickle
import shlex
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pose3d.body.mappings import map_to_h36m
from pose3d.body.skeletons import COCO17, H36M17, HALPE26
from pose3d.cli.app import app
from pose3d.errors import UsageError, WeightsError
from pose3d.lift import hourglass
from pose3d.lift.backbones.mixste import MixSTE
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.lifter import Lifter
from pose3d.lift.models import LifterOptions, load_network
from pose3d.lift.normalise import scale_to_stature
from pose3d.lift.published.description import Hints
from pose3d.lift.published.importing import default_name, import_weights, recognise
from pose3d.lift.sequence import lift_sequence, list_lifters, make_lifter
from pose3d.parts.table import list_models
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.weights import finding
from pose3d.weights.checkpoint import read_checkpoint
from tests.support.checkpoints import Evil, containers, published_shapes
from tests.support.golden import (
    GOLDEN_NETWORKS,
    golden_tensors,
    published_state,
    relative_error,
    rename,
)
from tests.support.grids import grid
from tests.support.lifters import FakeNetwork, small_lifter, small_options

CLASS_OWN = Hints(heads=4, neighbours=4)
GOLDEN_HINTS = {
    "mixste": Hints(arch="mixste"),
    "hot_mixste": Hints(at=(3,)),
    "tpc_mixste": Hints(arch="tpc-mixste", keep=(9,), at=(3,)),
    "mhformer_27": Hints(arch="mhformer"),
    "mhformer_36": Hints(arch="mhformer"),
    "tpc_mhformer_36": Hints(arch="tpc-mhformer", keep=(9,), at=(1,)),
    "motionbert": Hints(),
    "hot_motionbert": Hints(at=(1,)),
    "motionagformer": CLASS_OWN,
    "hot_motionagformer": CLASS_OWN,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's weights."""
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache with space"))
    monkeypatch.delenv("POSE3D_DEBUG", raising=False)
    return tmp_path / "cache with space" / "weights"


def save_golden(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pth"
    torch.save(published_state(golden_tensors(name)), path)
    return path


def left_behind(folder: Path) -> list[str]:
    """Files in a folder, without the one of its lock."""
    found = [p.name for p in folder.glob("*")] + [p.name for p in folder.glob(".*")]
    return sorted({name for name in found if name != ".pose3d.lock"})


# -- golden networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN_HINTS)
def test_imported_golden_networks_give_the_published_numbers(name, tmp_path, monkeypatch):
    golden = golden_tensors(name)
    done = import_weights(save_golden(tmp_path, name), hints=GOLDEN_HINTS[name])
    network, options, metadata = load_network(done.path)
    assert options == done.options
    if options.hourglass is not None:
        assert options.hourglass.ties == "rounding"
        # Nearest frames tie, and the last bit decides (tests/lift/test_published.py): published choice.
        index = golden["tpc.index"]
        monkeypatch.setattr(
            hourglass, "cluster_frames", lambda *_, **__: (index, golden["tpc.assign"])
        )
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5
    assert metadata["source"] == f"{name}.pth"
    assert options.hourglass == GOLDEN_NETWORKS[name][2]


@pytest.mark.parametrize("name", [n for n, o in CONFIGURATIONS.items() if o.backbone != "residual"])
def test_every_published_size_is_recognised(name):
    wanted = CONFIGURATIONS[name]
    state = published_shapes(wanted)
    pruned = wanted.hourglass
    arch = name if name.startswith(("hot-", "tpc-")) else wanted.backbone
    hints = Hints(arch=arch)
    if pruned is not None and wanted.backbone != "motionagformer":
        hints = replace(hints, at=pruned.at)
    if arch.startswith("tpc-"):
        hints = replace(hints, keep=pruned.keep)
    if wanted.backbone == "motionagformer":
        sizes = wanted.sizes
        hints = replace(hints, heads=sizes["heads"], neighbours=sizes["neighbours"])
    found = recognise(state, hints)
    assert found.arch == arch
    given = dict(found.options.sizes)
    assert given.pop("joints", 17) == 17
    assert given == wanted.sizes
    assert found.options.hourglass == (None if pruned is None else replace(pruned, ties="rounding"))


class Foreign(MixSTE):
    """A backbone of another package, whose authors call one layer differently."""

    published = replace(
        MixSTE.published,
        title="Foreign",
        mark="last.weight",
        modules={**MixSTE.published.modules, "last": "head_linear"},
        units="picture",
    )
    configurations: ClassVar = {}


def test_another_package_adds_a_backbone_by_an_entry_point(tmp_path, monkeypatch):
    """Nothing else is needed to import its checkpoints, load the file and lift."""
    point = EntryPoint("backbone.foreign", f"{__name__}:Foreign", "pose3d")
    monkeypatch.setattr("pose3d.plugins._entry_points", lambda: [point])
    golden = golden_tensors("mixste")
    state = {k.replace("head.1.", "last."): v for k, v in published_state(golden).items()}
    torch.save(state, tmp_path / "x.pth")
    done = import_weights(tmp_path / "x.pth")
    assert (done.name, done.options.units) == ("foreign.x", "picture")
    network, _, _ = load_network(done.path)
    assert isinstance(network.backbone, Foreign)
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5


@pytest.mark.parametrize("name", ["mhformer_27", "hot_motionagformer"])
def test_every_number_of_half_precision_arrives_as_float32(name, tmp_path):
    state = published_state(golden_tensors(name))
    state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    torch.save(state, tmp_path / "x.pth")
    done = import_weights(tmp_path / "x.pth", hints=GOLDEN_HINTS[name])
    network, options, _ = load_network(done.path)
    ours, theirs = network.state_dict(), rename(options.backbone, state)
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        exact = tensor.float() if tensor.is_floating_point() else tensor
        assert ours[key].dtype == exact.dtype
        assert torch.equal(ours[key], exact), key


# -- containers ------------------------------------------------------------------------------------


def small_published() -> dict[str, torch.Tensor]:
    return published_state(golden_tensors("mixste"))


@pytest.mark.parametrize("layout", containers({"a": torch.zeros(1)}))
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_layout_is_opened(layout, zipped, tmp_path):
    state = small_published()
    path = tmp_path / "model.bin"
    torch.save(containers(state)[layout], path, _use_new_zipfile_serialization=zipped)
    allowed = set(torch.serialization.get_safe_globals())
    found = read_checkpoint(path)
    assert list(found) == list(state)
    assert all(torch.equal(found[k], v) for k, v in state.items())
    assert set(torch.serialization.get_safe_globals()) == allowed  # for this file alone


def test_safetensors_and_several_tables(tmp_path):
    state = small_published()
    save_file(state, tmp_path / "a.safetensors")
    assert set(read_checkpoint(tmp_path / "a.safetensors")) == set(state)
    path = tmp_path / "two.pth"
    torch.save({"student": state, "teacher": {"x": torch.zeros(1)}}, path)
    with pytest.raises(UsageError, match="student, teacher"):
        read_checkpoint(path)
    assert set(read_checkpoint(path, entry="student")) == set(state)
    with pytest.raises(UsageError, match="student, teacher"):
        read_checkpoint(path, entry="pupil")


# -- hostile files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["zip", "legacy", "pickle", "safetensors"])
@pytest.mark.parametrize("function", ["os.mkdir", "exec", "eval", "numpy"])
def test_a_malicious_pickle_runs_nothing(way, function, tmp_path, cache):
    ran = tmp_path / "ran"
    evil = {
        "os.mkdir": Evil(os.mkdir, str(ran)),
        "exec": Evil(exec, f"import os; os.mkdir({str(ran)!r})"),
        "eval": Evil(eval, f"__import__('os').mkdir({str(ran)!r})"),
        "numpy": Evil(np.save, str(ran), 3),
    }[function]
    path = tmp_path / ("evil.safetensors" if way == "safetensors" else "evil.pth")
    content = {"model_pos": small_published(), "extra": evil}
    if way in ("zip", "legacy"):
        torch.save(content, path, _use_new_zipfile_serialization=way == "zip")
    else:
        path.write_bytes(pickle.dumps({"extra": evil}, protocol=2))
    with pytest.raises(WeightsError) as caught:
        import_weights(path, hints=Hints(arch="mixste"))
    assert not list(tmp_path.glob("ran*"))
    assert left_behind(cache) == []
    if way == "zip":
        assert "might run code" in caught.value.what
        assert "state_dict()" in caught.value.todo
    # The test would notice: the same file read as a plain pickle does run.
    if way == "pickle":
        pickle.loads(path.read_bytes())
        assert list(tmp_path.glob("ran*"))


def test_shells_call_nothing_of_numpy(tmp_path, monkeypatch):
    """Allowed names are answered with shells, not with the functions of that name."""
    torch.save({"model": small_published(), "best": np.float64(3)}, tmp_path / "x.pth")
    for core in (np._core.multiarray,):
        monkeypatch.setattr(core, "scalar", lambda *_: pytest.fail("was called"))
    assert read_checkpoint(tmp_path / "x.pth")


def test_a_whole_pickled_network_is_refused_with_what_to_do(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "whole.pth")
    with pytest.raises(
        WeightsError, match=r"torch\.nn\.modules\.container\.Sequential.*state_dict"
    ):
        read_checkpoint(tmp_path / "whole.pth")


def broken_files(folder: Path) -> dict[str, Path]:
    good = folder / "good.pth"
    torch.save(small_published(), good)
    data = good.read_bytes()
    save_file(small_published(), folder / "good.safetensors")
    contents = {
        "empty.pth": b"",
        "text.pth": b"this is no checkpoint\n" * 30,
        "noise.bin": np.random.default_rng(0).bytes(4000),
        "half.pth": data[: len(data) // 2],
        "few.pth": data[:20],
        "changed.pth": data[:1000] + bytes(300) + data[1300:],
        "half.safetensors": (folder / "good.safetensors").read_bytes()[:5000],
        "pickle5.pth": pickle.dumps({"a": [1]}, protocol=5),
        "html.pth": b"<!DOCTYPE html><html>Google Drive: quota exceeded</html>",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    torch.save([1, 2], folder / "list.pth")
    torch.save({"epoch": 1, "names": "a"}, folder / "none.pth")
    torch.save({}, folder / "nothing.pth")
    names = [*contents, "list.pth", "none.pth", "nothing.pth", "missing.pth", "."]
    return {name: folder / name for name in names}


def test_broken_files_are_refused_and_leave_nothing(tmp_path, cache):
    for name, path in broken_files(tmp_path).items():
        with pytest.raises(WeightsError) as caught:
            import_weights(path, hints=Hints(arch="mixste"))
        assert caught.value.todo, name
        assert "\n" not in str(caught.value), name
        assert left_behind(cache) == [], name


def flip_a_byte(source: Path, target: Path) -> Path:
    """One byte inside a tensor, which torch would read without a word."""
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 4
    target.write_bytes(data)
    return target


def test_files_are_called_what_they_are(tmp_path):
    state = small_published()
    torch.save(state, tmp_path / "good.pth")
    save_file(state, tmp_path / "good.safetensors")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
    (tmp_path / "lfs.safetensors").write_bytes(pointer)
    (tmp_path / "page.bin").write_bytes(b"\n<!DOCTYPE html><html>quota exceeded</html>")
    for zipped in (True, False):
        torch.save(
            state,
            tmp_path / f"four{zipped}.pth",
            pickle_protocol=4,
            _use_new_zipfile_serialization=zipped,
        )
    torch.save({**state, "extra": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    flip_a_byte(tmp_path / "good.pth", tmp_path / "flipped.pth")
    for name, words in {
        "lfs.safetensors": "pointer of Git LFS",
        "page.bin": "web page",
        "fourTrue.pth": "pickle protocol above 3",
        "fourFalse.pth": "pickle protocol above 3",
        "sparse.pth": "'extra' is sparse",
        "flipped.pth": "damaged inside",
    }.items():
        with pytest.raises(WeightsError, match=words):
            read_checkpoint(tmp_path / name)
    for right, wrong in (("good.pth", "a.safetensors"), ("good.safetensors", "b.pth")):
        (tmp_path / wrong).write_bytes((tmp_path / right).read_bytes())
        assert set(read_checkpoint(tmp_path / wrong)) == set(state)


@pytest.mark.parametrize(
    ("content", "tables"),
    [
        (lambda s, e: {"model": s, "ema": e}, ("model", "ema")),
        (lambda s, e: {"state_dict": s, "state_dict_ema": e}, ("state_dict", "state_dict_ema")),
        (
            lambda s, e: {"model_pos": s, "ema": {"decay": 0.999, "shadow": e}},
            ("model_pos", "ema.shadow"),
        ),
    ],
)
def test_a_moving_average_beside_the_network_is_asked_for(content, tables, tmp_path):
    state = small_published()
    mean = {k: v + 1 for k, v in state.items()}
    torch.save(content(state, mean), tmp_path / "x.pth")
    with pytest.raises(UsageError, match=rf"{tables[0]}.*--entry NAME; {tables[1]} is a mean"):
        read_checkpoint(tmp_path / "x.pth")
    for entry, wanted in zip(tables, (state, mean), strict=True):
        found = read_checkpoint(tmp_path / "x.pth", entry=entry)
        assert all(torch.equal(found[k], v) for k, v in wanted.items())


def test_a_moving_average_alone_is_taken(tmp_path):
    state = small_published()
    torch.save({"ema": {"decay": 0.999, "shadow": state}}, tmp_path / "x.pth")
    assert set(read_checkpoint(tmp_path / "x.pth")) == set(state)


# -- joints of MPI-INF-3DHP --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mixste", "mhformer_27", "mhformer_36", "motionbert"])
def test_weights_for_other_numbers_of_joints_are_converted(name, tmp_path):
    """The published network on joints in the order of MPI-INF-3DHP, ours on the same in ours."""
    golden = golden_tensors(name)
    order = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
    source = save_golden(tmp_path, name)
    named = tmp_path / "best_3DHP.pth"
    named.write_bytes(source.read_bytes())
    with pytest.raises(UsageError, match=r"MPI-INF-3DHP.*--joints 3dhp"):
        import_weights(named, hints=GOLDEN_HINTS[name])
    plain = import_weights(named, hints=GOLDEN_HINTS[name], name="x.h", joints="h36m")
    done = import_weights(named, hints=GOLDEN_HINTS[name], name="x.d", joints="3dhp")
    x = golden["input"]
    with torch.no_grad():
        theirs = load_network(plain.path)[0](x)
        ours = load_network(done.path)[0](x[:, :, order])
    assert relative_error(ours, theirs[:, :, order]) < 1e-5


def test_joints_that_are_built_in_are_not_converted(tmp_path):
    source = save_golden(tmp_path, "motionagformer")
    with pytest.raises(UsageError, match="built into MotionAGFormer"):
        import_weights(source, hints=GOLDEN_HINTS["motionagformer"], joints="3dhp")


# -- what does not fit -----------------------------------------------------------------------------


def change(state, **changes):
    state = dict(state)
    for name, tensor in changes.items():
        name = name.replace("__", ".")
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head__1__weight": None}, r"lacks backbone\.head_linear\.weight"),
        ({"Temporal_pos_embed": None}, r"lacks the tensor 'Temporal_pos_embed'"),
        ({"STEblocks__9__norm1__weight": torch.ones(32)}, r"lacks .*blocks\.8.* and \d+ more"),
        ({"head__7__weight": torch.zeros(1)}, r"holds a tensor 'head\.7\.weight'"),
        ({"Spatial_norm__weight": torch.ones(31)}, r"other shapes .*\(31,\) instead of \(32,\)"),
        (
            {"head__1__bias": torch.tensor([0, float("nan"), 0])},
            r"not finite backbone\.head_linear",
        ),
        ({"head__1__bias": torch.tensor([1, 2, 3])}, r"other kinds of numbers .*torch\.int64"),
        ({"head__1__bias": torch.ones(3) * 1j}, r"other kinds of numbers .*torch\.complex64"),
        ({"Temporal_pos_embed": torch.zeros(27, 32)}, r"shape \(27, 32\) has not 3 axes"),
        (
            {"Spatial_pos_embed": torch.zeros(1, 16, 32)},
            "takes 16 joints",
        ),
    ],
)
def test_what_does_not_fit_is_named(changes, message, tmp_path, cache):
    torch.save(change(small_published(), **changes), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=message):
        import_weights(tmp_path / "x.pth", hints=Hints(arch="mixste"))
    assert left_behind(cache) == []


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"Transformer_reduce.layers.0.w": torch.ones(1)},
            "StridedTransformer",
        ),
        ({"expand_conv.weight": torch.ones(1)}, "VideoPose3D"),
        ({"conv1.weight": torch.ones(1)}, r"No known network .*conv1\.weight.*MotionAGFormer"),
    ],
)
def test_strangers_are_named(state, message, tmp_path):
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=message):
        import_weights(tmp_path / "x.pth")


def test_our_own_files_need_no_import(tmp_path):
    done = import_weights(save_golden(tmp_path, "hot_mixste"), hints=Hints(at=(3,)))
    with pytest.raises(WeightsError, match="--lifter"):
        import_weights(done.path)


@pytest.mark.parametrize(
    ("name", "hints", "message"),
    [
        ("mixste", Hints(), "--arch mixste, or --arch tpc-mixste"),
        ("tpc_mixste", Hints(arch="tpc-mixste"), "--keep FRAMES and --at BLOCK.*--keep 61 --at 7"),
        ("tpc_mixste", Hints(arch="tpc-mixste", keep=(9,)), "Give --at BLOCK"),
        ("hot_mixste", Hints(), r"Give --at BLOCK.*published: --at 3"),
        ("hot_mixste", Hints(arch="mixste"), r"has the recovery tensors.*no MixSTE"),
        ("mixste", Hints(arch="hot-mixste"), r"does not have the recovery.*--arch tpc-mixste"),
        ("mixste", Hints(arch="motionbert"), "holds a MixSTE, not a MotionBERT"),
        ("mixste", Hints(arch="mixtse"), "Did you mean 'mixste'"),
        ("mixste", Hints(arch="mixste", at=(3,)), "MixSTE has no use for --at"),
        ("mixste", Hints(arch="mixste", neighbours=2), "no use for --neighbours"),
        ("mixste", Hints(arch="mixste", heads=5), r"5 heads do not divide 32.*--heads"),
        ("hot_mixste", Hints(at=(8,)), r"impossible.*1 to 7"),
        ("hot_mixste", Hints(at=(0,)), "impossible"),
        ("hot_mixste", Hints(at=(3,), keep=(8,)), "--keep 8 contradicts the tensors, which say 9"),
        ("mhformer_27", Hints(), "--arch tpc-mhformer"),
        ("mhformer_27", Hints(arch="mhformer", generator_heads=2), "--generator-heads"),
        ("hot_motionagformer", Hints(heads=4), "--heads 8 --neighbours 2"),
        ("hot_motionagformer", replace(CLASS_OWN, at=(1,)), "--at 1 contradicts .* say 2"),
        ("motionagformer", replace(CLASS_OWN, arch="tpc-motionagformer"), "belong to a MotionAGF"),
    ],
)
def test_what_the_tensors_do_not_tell_is_asked_for(name, hints, message, tmp_path, cache):
    with pytest.raises(UsageError, match=message):
        import_weights(save_golden(tmp_path, name), hints=hints)
    assert left_behind(cache) == []


def test_what_is_assumed_is_said(tmp_path):
    done = import_weights(save_golden(tmp_path, "hot_mixste"), hints=Hints(at=(3,)))
    assert done.facts["assumed"] == "8 attention heads, 8 heads of the recovery"
    told = import_weights(
        save_golden(tmp_path, "hot_mixste"),
        hints=Hints(at=(3,), heads=4, recovery_heads=2),
        overwrite=True,
    )
    assert told.facts["assumed"] == "nothing"
    assert told.options.sizes["heads"] == 4
    assert told.options.hourglass.heads == 2


# -- names, cards, hashes --------------------------------------------------------------------------


def test_card_hash_and_lists(tmp_path, cache):
    source = save_golden(tmp_path, "hot_mixste")
    done = import_weights(
        source, name="hot-mixste.theirs", hints=Hints(at=(3,)), licence="MIT", mapping="hot-revised"
    )
    assert done.path == cache / "hot-mixste.theirs.safetensors"
    assert left_behind(cache) == ["SHA256SUMS", "hot-mixste.theirs.md", done.path.name]
    card = done.path.with_suffix(".md").read_text()
    for needed in (
        "Licence: MIT",
        "hot_mixste.pth",
        sha256(source),
        "To fill in",
        "27 -> 9 frames",
    ):
        assert needed in card
    entry = finding.find_entry("hot-mixste.theirs")
    assert (entry.kind, entry.licence, entry.sha256) == ("user", "MIT", sha256(done.path))
    assert finding.verify("hot-mixste.theirs") == done.path
    assert "hot-mixste.theirs" in list_lifters()
    row = next(r for r in list_models() if r.name == "hot-mixste.theirs")
    assert (row.kind, row.licence, row.state) == ("lifter", "MIT", "ready")
    options = make_lifter("hot-mixste.theirs", device="cpu").options
    assert (options.mapping, options.normalisation, options.licence) == (
        "hot-revised",
        "screen",
        "MIT",
    )
    damaged = bytearray(done.path.read_bytes())
    damaged[-1] ^= 1
    done.path.write_bytes(damaged)
    with pytest.raises(WeightsError, match="pose3d weights import"):
        make_lifter("hot-mixste.theirs")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_names_are_not_taken_twice(tmp_path, cache):
    source = save_golden(tmp_path, "hot_mixste")
    hints = Hints(at=(3,))
    first = import_weights(source, hints=hints)
    assert first.name == "hot-mixste.hot_mixste"
    before = sha256(first.path)
    with pytest.raises(UsageError, match="--overwrite"):
        import_weights(source, hints=replace(hints, heads=4))
    assert sha256(first.path) == before
    import_weights(source, hints=replace(hints, heads=4), overwrite=True)
    assert sha256(first.path) != before
    import_weights(source, name="a.b", hints=hints)
    assert len((cache / "SHA256SUMS").read_text().splitlines()) == 2
    for name in (first.name, "a.b"):
        finding.verify(name)


@pytest.mark.parametrize(
    "name", ["hot-mixste.free27", "blazepose.detection", "hot-mixste", "../x.y", "A.b", "", "x.md"]
)
def test_names_that_are_refused(name, tmp_path, cache):
    with pytest.raises(UsageError):
        import_weights(
            save_golden(tmp_path, "hot_mixste"), name=name, hints=Hints(at=(3,)), overwrite=True
        )
    assert left_behind(cache) == []


def test_a_default_name_is_made_of_the_file():
    assert default_name("mixste", Path("a/Best Epoch (2).pth.tr")) == "mixste.best-epoch-2"
    assert default_name("mixste", Path("модель.bin")) == "mixste.imported"


def test_a_failing_disk_leaves_the_old_weights(tmp_path, cache, monkeypatch):
    source = save_golden(tmp_path, "hot_mixste")
    first = import_weights(source, hints=Hints(at=(3,)))
    before = sha256(first.path)

    def full(source: Path, target: Path, place=os.replace) -> None:
        if Path(target).parent == cache:
            raise OSError(28, "No space left on device")
        place(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WeightsError, match="POSE3D_CACHE"):
        import_weights(source, hints=Hints(at=(3,), heads=4), overwrite=True)
    monkeypatch.undo()
    assert sha256(first.path) == before
    assert left_behind(cache) == ["SHA256SUMS", first.path.with_suffix(".md").name, first.path.name]


# -- lifting ---------------------------------------------------------------------------------------


def walk(skeleton, n_frames: int = 30, rate: int = 50) -> PoseSequence:
    """Smoothly moving keypoints of one person, pictures of 1000 x 500."""
    rng = np.random.default_rng(0)
    base = rng.uniform([300, 50], [700, 450], (len(skeleton), 2))
    points = base + np.cumsum(rng.normal(0, 2, (n_frames, 1, len(skeleton), 2)), 0)
    video = VideoInfo(
        path="x.mp4", size_wh=(1000, 500), rate=Fraction(rate), n_frames=n_frames,
        variable_rate=False,
    )  # fmt: skip
    return PoseSequence.from_dense(
        video=video,
        time_s=np.arange(n_frames) / rate,
        person_ids=np.array([1]),
        skeleton=skeleton,
        boxes_xyxy_px=np.tile([300.0, 50, 700, 450], (n_frames, 1, 1)),
        keypoints_px=points,
        score=rng.uniform(0.4, 1, points.shape[:3]),
        joints_cam_m=None,
        root_cam_m=None,
        valid=np.ones((n_frames, 1), bool),
        made_by=(),
    )


@pytest.mark.parametrize(
    ("name", "skeleton", "mapping"),
    [("mhformer_27", COCO17, "hot"), ("hot_motionbert", HALPE26, "motionbert")],
)
def test_imported_weights_lift_as_the_published_demo_does(name, skeleton, mapping, tmp_path):
    """One window by hand: mapping, screen or crop, confidence, mirrored copy, root, units.

    MHFormer's demo takes the middle of it only.
    """
    done = import_weights(save_golden(tmp_path, name), name="x.y", hints=GOLDEN_HINTS[name])
    lifter = make_lifter("x.y", device="cpu")
    pose = walk(skeleton, n_frames=27)
    lifted = lift_sequence(pose, lifter)
    record = lifted.made_by[-1]
    assert (record.weights, record.sha256) == ("x.y", sha256(done.path))
    assert record.options["mapping"] == mapping
    points, score = map_to_h36m(mapping, grid(pose).keypoints_px, grid(pose).score, skeleton)
    xy = points[:, 0] / 1000 * 2 - [1, 500 / 1000]
    if name == "hot_motionbert":  # crop_scale of its demo
        low, high = points.min((0, 1, 2)), points.max((0, 1, 2))
        xy = (points[:, 0] - (low + high) / 2) / (high - low).max() * 2
    network, options, _ = load_network(done.path)
    inputs = np.concatenate([xy, score[:, 0, :, None]], -1)[..., : options.sizes["channels_in"]]
    left, right = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]

    def flip(values):
        values = values.copy()
        values[..., 0] *= -1
        values[..., left + right, :] = values[..., right + left, :]
        return values

    with torch.no_grad():
        answers = [
            network(torch.from_numpy(x[None].astype(np.float32)))[0].numpy()
            for x in (inputs, flip(inputs))
        ]
    joints = (answers[0] + flip(answers[1])) / 2
    joints -= joints[:, :1]
    if options.units == "picture":
        joints *= (1.34 / body_length(joints))[:, None, None]
    if name.startswith("mhformer"):
        assert record.options["pipeline"] == "seq2frame"
        assert not np.allclose(grid(lifted).joints_cam_m[0, 0], joints[0], atol=1e-4)
        np.testing.assert_allclose(grid(lifted).joints_cam_m[13, 0], joints[13], atol=1e-4)
        return
    assert record.options["pipeline"] == "seq2seq"
    np.testing.assert_allclose(grid(lifted).joints_cam_m[:, 0], joints, atol=1e-4)


def body_length(joints: np.ndarray) -> np.ndarray:
    """Thigh + shank (mean of both sides) + trunk of ``(..., 17, 3)``."""

    def bone(a: str, b: str) -> np.ndarray:
        return np.linalg.norm(
            joints[..., H36M17.index[a], :] - joints[..., H36M17.index[b], :], axis=-1
        )

    legs = [
        bone(f"{side}_hip", f"{side}_knee") + bone(f"{side}_knee", f"{side}_ankle")
        for side in ("left", "right")
    ]
    return sum(legs) / 2 + bone("pelvis", "spine") + bone("spine", "thorax")


def test_poses_in_picture_units_get_the_stature_of_all_others():
    joints = np.random.default_rng(0).normal(size=(2, 5, 17, 3)) * 0.3
    joints -= joints[:, :, :1]
    scaled = scale_to_stature(torch.from_numpy(joints)).numpy()
    np.testing.assert_allclose(body_length(scaled), 1.34)
    np.testing.assert_allclose(
        scaled / np.linalg.norm(scaled), joints / np.linalg.norm(joints), atol=0.1
    )
    ratio = scaled[:, :, 1:] / joints[:, :, 1:]  # one number for a frame
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :, :1, :1], ratio.shape))
    np.testing.assert_allclose(  # whatever the unit was
        scale_to_stature(torch.from_numpy(7 * joints)).numpy(), scaled
    )


def test_units_are_the_weights_choice(tmp_path):
    source = save_golden(tmp_path, "motionagformer")
    assert import_weights(source, hints=CLASS_OWN).options.units == "picture"
    done = import_weights(source, name="a.b", hints=CLASS_OWN, units="metres")
    assert load_network(done.path)[1].units == "metres"
    with pytest.raises(UsageError, match="'mm'"):
        import_weights(source, name="a.c", hints=CLASS_OWN, units="mm")
    with pytest.raises(UsageError, match="'hot'"):
        import_weights(source, name="a.c", hints=CLASS_OWN, mapping="hoot")
    text = small_options().to_json().replace('"metres"', '"miles"')
    with pytest.raises(WeightsError):
        LifterOptions.from_json(text)
    old = small_options().to_json().replace('"units": "metres"', '"licence": "MIT"')
    assert LifterOptions.from_json(old).units == "metres"  # files from before there were units


def test_a_lifter_in_picture_units_answers_in_metres():
    answer = torch.randn(1, 9, 17, 3, generator=torch.manual_seed(0))
    fake = FakeNetwork(lambda inputs: answer.expand(len(inputs), -1, -1, -1))
    base = small_lifter()
    options = replace(base.options, normalisation="screen", units="picture")
    lifter: Lifter = replace(base, network=fake, options=options)
    points = np.random.default_rng(0).uniform(0, 500, (2, 9, 17, 2))
    lifted = lifter.lift_windows(points, np.ones((2, 9, 17)), (1000, 500), 800.0, flip_test=False)
    np.testing.assert_allclose(body_length(lifted), 1.34, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("hot_mixste", None, "screen"),
        ("motionagformer", None, "screen"),
        ("motionbert", None, "crop"),
        ("motionbert", "short-side", "short-side"),
    ],
)
def test_each_architecture_is_fed_as_in_its_demo(name, given, stored, tmp_path):
    source, hints = save_golden(tmp_path, name), GOLDEN_HINTS[name]
    done = import_weights(source, hints=hints, normalisation=given)
    _, options, _ = load_network(done.path)
    assert (options.normalisation, options.many_rates) == (stored, False)
    assert f"normalisation {stored};" in done.facts["input"]
    with pytest.raises(UsageError, match=r"normalisation named 'person'.*crop"):
        import_weights(source, hints=hints, normalisation="person", name="x.y")


# -- the command -----------------------------------------------------------------------------------


def shell(line: str, *more: object) -> int:
    with pytest.raises(SystemExit) as left:
        app([*shlex.split(line), *map(str, more)], prog_name="pose3d")
    return int(left.value.code or 0)


def test_the_command_says_what_it_found(tmp_path, capsys):
    source = save_golden(tmp_path, "hot_motionagformer")
    assert shell("weights import --heads 4 --neighbours 4 --as", "hot-agf.x", source) == 0
    out = capsys.readouterr().out
    for line in (
        "hot-agf.x: HoT-MotionAGFormer, 0.21 M parameters",
        "27 -> 9 frames before block 2",
        "x, y, confidence; normalisation screen; keypoint mapping hot",
        "4 heads of the recovery",
        "scaled to a stature of 1.70 m; seq2seq",
        "Try it: pose3d run VIDEO --lifter hot-agf.x",
    ):
        assert line in out
    assert shell("weights verify hot-agf.x") == 0
    assert "hot-agf.x: ok" in capsys.readouterr().out


def test_the_command_takes_lists_of_numbers(tmp_path, capsys):
    source = save_golden(tmp_path, "tpc_mixste")
    line = "weights import --arch tpc-mixste --as tpc.x --keep 12,9 --at 2,3"
    assert shell(line, source) == 0
    out = capsys.readouterr().out
    assert "27 -> 12 -> 9 frames before block 2, 3" in out
    assert "metres about the pelvis; seq2frame" in out
    assert shell("weights import --at three --as tpc.y", source) == 2
    assert "pose3d: --at 'three' is not understood" in capsys.readouterr().err
    assert shell("weights import", source) == 2
    assert "--arch tpc-mixste" in capsys.readouterr().err
    assert shell("weights import", tmp_path / "nothing.pth") == 1
