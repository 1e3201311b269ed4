"""lift/models.py: what is saved is what is loaded, and nothing else is loaded."""

from __future__ import annotations

import json
import os
import pickle
import stat
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pose3d.errors import DeviceError, UsageError, WeightsError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.models import LifterOptions, build_network, load_network, save_network
from pose3d.lift.sequence import make_lifter
from pose3d.plugins import PARTS
from tests.support import backbones
from tests.support.lifters import keypoints, small_network, small_options

PRUNED = HourglassOptions(keep=(6, 4), at=(1, 3), prune="motion", heads=2)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mixste.small.safetensors"
    state = small_network(PRUNED).state_dict()
    save_network(path, state, small_options(PRUNED), extra={"recipe": "small"})
    return path


def rewrite(path, *, tensors=None, **metadata):
    """Changes some tensors or metadata of a weights file; None removes an entry."""
    with safe_open(str(path), "pt") as old:
        known = {**old.metadata(), **metadata}
    save_file(
        load_file(path) if tensors is None else tensors,
        path,
        metadata={k: v for k, v in known.items() if v is not None},
    )


def changed_options(**changes) -> str:
    return json.dumps({**asdict(small_options(PRUNED)), **changes})


def test_saved_equals_loaded(file):
    network, options, metadata = load_network(file)
    assert options == small_options(PRUNED)
    assert metadata["recipe"] == "small"
    assert not network.training
    with torch.no_grad():
        x = keypoints(2)
        assert torch.equal(network(x), small_network(PRUNED)(x))
    assert os.listdir(file.parent) == [file.name]  # no temporary file is left


def test_half_precision_is_loaded_as_float32(file):
    rewrite(file, tensors={k: v.half() for k, v in load_file(file).items()})
    network, _, _ = load_network(file)
    for ours, exact in zip(network.parameters(), small_network(PRUNED).parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert ours.requires_grad
        assert torch.equal(ours, exact.half().float())


@pytest.mark.parametrize("backbone", PARTS["backbone"])
def test_a_loaded_network_is_the_one_built_and_filled(backbone, tmp_path):
    """With all buffers, those that no file holds among them."""
    path, options = tmp_path / "a.safetensors", backbones.small_options(backbone, PRUNED)
    built = backbones.fill(options)
    save_network(path, built.state_dict(), options)
    loaded, _, _ = load_network(path)
    for ours, theirs in (
        (loaded.named_parameters(), built.named_parameters()),
        (loaded.named_buffers(), built.named_buffers()),
    ):
        for (name, tensor), (same, exact) in zip(ours, theirs, strict=True):
            assert name == same
            assert (tensor.dtype, tensor.device) == (exact.dtype, exact.device)
            assert torch.equal(tensor, exact)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_everybody_may_read_the_file(file):
    """Weights are packed into wheels as they lie; a private file would be unreadable once installed."""
    readable = stat.S_IMODE(file.stat().st_mode)
    other = file.with_name("plain.txt")
    other.write_text("")
    assert readable == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize(
    "options",
    [
        small_options(),
        small_options(PRUNED),
        LifterOptions(
            backbone="mixste",
            hourglass=HourglassOptions(recover=None, keep_centre=True, ties="rounding"),
            normalisation="screen",
            mapping="hot",
            rate_range=(50.0, 50.0),
            pipeline="seq2frame",
            licence="CC-BY-NC-4.0",
        ),
    ],
)
def test_options_survive_json(options):
    assert LifterOptions.from_json(options.to_json()) == options


@pytest.mark.parametrize(("old", "new"), [(False, None), (True, "attention")])
def test_older_files_only_say_whether_a_recovery_is_read_out(old, new):
    options = LifterOptions(backbone="mixste", hourglass=HourglassOptions(recover="linear"))
    text = options.to_json().replace('"readout": null', f'"readout": {str(old).lower()}')
    assert text != options.to_json()
    assert LifterOptions.from_json(text).hourglass.readout == new


@pytest.mark.parametrize("text", ["", "{", "3", "[]", "null", '{"backbone": "mixste"}'])
def test_text_that_holds_no_options_is_refused(text):
    with pytest.raises(WeightsError, match="not understood"):
        LifterOptions.from_json(text)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"dialect": None}, "no pose3d lifter"),
        ({"dialect": "other"}, "no pose3d lifter"),
        ({"version": "2"}, "no pose3d lifter of version 1"),
        ({"options": None}, "not understood"),
        ({"options": changed_options(pipeline="seq2seqs")}, "pipeline .*seq2seqs"),
        ({"options": changed_options(colour="red")}, "not understood.*colour"),
        ({"options": changed_options(normalisation="box")}, "normalisation .*'box'"),
        ({"options": changed_options(backbone="gcn")}, "do not fit.*gcn"),
        ({"options": changed_options(hourglass=None)}, "do not fit.*recovery"),
        ({"options": changed_options(sizes={"frames": 9, "dim": 16})}, "do not fit"),
        ({"options": changed_options(sizes={"width": 9})}, "do not fit.*width"),
        (
            {"options": changed_options(sizes={**small_options().sizes, "heads": 3})},
            "do not fit.*3 heads do not divide 16",
        ),
    ],
)
def test_files_that_say_something_else_are_refused(file, metadata, words):
    rewrite(file, **metadata)
    with pytest.raises(WeightsError, match=words):
        load_network(file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": {"heads": 0}}, "heads is 0"),
        ({"sizes": {"heads": -2}}, "heads is -2"),
        ({"sizes": {"heads": "2"}}, "do not fit"),
        ({"sizes": {"depth": 10**6}}, "depth is 1000000"),
        ({"sizes": {"dim": 10**6}}, "dim is 1000000"),
        ({"sizes": {"dim": 80_000, "depth": 150}}, "do not fit"),
        ({"sizes": {"drop_path": 1e300}}, "drop_path is"),
        ({"sizes": {"frames": []}}, "not understood"),
        ({"sizes": [1]}, "not understood"),
        ({"rate_range": [0.0, 0.0]}, "rates are 0"),
        ({"rate_range": [10.0]}, "not understood"),
        ({"rate_range": [10.0, 1e999]}, "rates are"),
        ({"mapping": ["face"]}, "mapping"),
        ({"mapping": "nose"}, "mapping 'nose'"),
        ({"backbone": []}, "do not fit|not understood"),
        ({"units": []}, "units"),
        ({"hourglass": 3}, "not understood"),
        ({"hourglass": {"heads": 0}}, "heads is 0"),
        ({"hourglass": {"keep": [10**9]}}, "Keeping"),
        ({"hourglass": {"keep": ["6", 4]}}, "do not fit"),
        ({"hourglass": {"neighbours": 0}}, "neighbours is 0"),
        ({"backbone": "motionagformer", "sizes": {"neighbours": 0}}, "neighbours is 0"),
    ],
)
def test_impossible_networks_are_refused_before_they_are_built(file, changes, words):
    known = json.loads(changed_options())
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(known[key], dict)
        known[key] = known[key] | value if both else value
    rewrite(file, options=json.dumps(known))
    began = time.perf_counter()
    with pytest.raises(WeightsError, match=words):
        load_network(file)
    assert time.perf_counter() - began < 20


def test_every_tensor_is_needed_and_no_other(file):
    tensors = load_file(file)
    missing = {k: v for k, v in tensors.items() if k != "recovery.queries"}
    rewrite(file, tensors=missing)
    with pytest.raises(WeightsError, match=r"recovery\.queries"):
        load_network(file)
    rewrite(file, tensors={**tensors, "backbone.extra": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"backbone\.extra"):
        load_network(file)
    rewrite(file, tensors={**tensors, "recovery.queries": torch.zeros(1, 8, 16)})
    with pytest.raises(WeightsError, match=r"recovery\.queries"):
        load_network(file)


def test_pickles_and_damage_are_refused(file, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    data = file.read_bytes()
    for content in (
        pickle.dumps({"a": Evil()}),
        b"",
        b"text",
        data[: len(data) // 2],
        data[:8] + bytes([data[8] ^ 0xFF]) + data[9:],
        np.random.default_rng(0).bytes(1000),
    ):
        file.write_bytes(content)
        with pytest.raises(WeightsError):
            load_network(file)
    torch.save({"a": Evil()}, file)
    with pytest.raises(WeightsError):
        load_network(file)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(WeightsError):
        load_network(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError):
        load_network(tmp_path)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    state, options = small_network().state_dict(), small_options()
    with pytest.raises(WeightsError):
        save_network(tmp_path / "no" / "folder.safetensors", state, options)
    folder = tmp_path / "taken.safetensors"
    folder.mkdir()
    (folder / "something").touch()
    with pytest.raises(WeightsError):
        save_network(folder, state, options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken.safetensors"]


def test_unknown_backbones_are_answered_with_the_list():
    with pytest.raises(UsageError, match="'mixste'"):
        build_network(replace(small_options(), backbone="mixtse"))


def test_a_file_makes_a_lifter(file):
    """By path, with the hash of the file in the record."""
    import hashlib

    lifter = make_lifter(str(file), device="cpu")
    assert lifter.frames == 9
    assert lifter.info.name == "mixste.small"
    assert lifter.info.sha256 == (hashlib.sha256(file.read_bytes()).hexdigest(),)
    assert lifter.info.licence == "Apache-2.0"
    assert lifter.info.device == "cpu"
    with pytest.raises(UsageError):
        make_lifter(str(file), device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="0 CUDA devices"):
            make_lifter(str(file), device="cuda")
