"""Importing published TokenPose checkpoints: golden numbers through a file, names, refusals, the command."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pose3d.cli.app import app
from pose3d.errors import UsageError, WeightsError
from pose3d.lift.published.importing import import_weights
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.loading import make_keypoints
from pose3d.networks2d.tokenpose.files import load_tokenpose, rename_tokenpose
from pose3d.networks2d.tokenpose.importing import (
    TokenHints,
    convert_tokenpose,
    holds_tokenpose,
    import_tokenpose,
)
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import CONFIGURATIONS, TokenPoseOptions
from pose3d.parts.table import list_models
from pose3d.weights import finding
from tests.support import tokenpose
from tests.support.checkpoints import Evil, containers

SMALL = replace(tokenpose.SMALL, heads=8, heatmap_hidden=96, licence="not stated")
OURS = {
    "features.keypoint_token": "keypoint_tokens",
    "features.pos_embedding": "positions",
    "features.patch_to_embedding": "embed",
    "features.mlp_head": "head.layers",
}
IN_LAYER = {
    "0.fn.norm": "norm1",
    "0.fn.fn.to_qkv": "attn.qkv",
    "0.fn.fn.to_out.0": "attn.proj",
    "1.fn.norm": "norm2",
    "1.fn.fn.net.0": "mlp.0",
    "1.fn.fn.net.3": "mlp.2",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's weights."""
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache with space"))
    monkeypatch.delenv("POSE3D_DEBUG", raising=False)
    return tmp_path / "cache with space" / "weights"


def published_name(ours: str) -> str:
    """The published name of a tensor of TokenPose-S; the other way round than the importer."""
    if ours.startswith("backbone."):
        return ours.replace("backbone.", "features.", 1)
    if ours.startswith("blocks."):
        _, number, rest = ours.split(".", 2)
        part = next(p for p in IN_LAYER.values() if rest.startswith(f"{p}."))
        theirs = next(t for t, p in IN_LAYER.items() if p == part)
        return f"features.transformer.layers.{number}.{theirs}{rest[len(part) :]}"
    theirs, part = next((t, p) for t, p in OURS.items() if ours == p or ours.startswith(f"{p}."))
    return theirs + ours[len(part) :]


def published(options: TokenPoseOptions, seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of random weights under published names."""
    torch.manual_seed(seed)
    state = TokenPose(options).state_dict()
    named = {published_name(name): tensor for name, tensor in state.items()}
    assert set(rename_tokenpose(named)) == set(state)
    return named


def save(folder: Path, content: object, name: str = "tokenpose_s.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        app([*map(str, arguments)], prog_name="pose3d")
    return int(left.value.code or 0)


# -- numbers ---------------------------------------------------------------------------------------


def test_the_published_network_answers_the_same_after_the_import(shared, tmp_path, capsys):
    """Golden heatmaps of the published code, from a .pth of its weights to --keypoints FILE."""
    golden = load_file(shared / "golden/tokenpose/tokenpose_s.safetensors")
    state = {k.removeprefix("weight."): v for k, v in golden.items() if k.startswith("weight.")}
    path = save(tmp_path, {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3})
    assert run("weights", "import", path, "--heads", 4, "--licence", "MIT") == 0
    out = capsys.readouterr().out
    assert "tokenpose.tokenpose_s: TokenPose-S, 0.53 M" in out
    assert "crop 96x128 px, patch 3x4 cells (8x8 patches), dim 32, depth 3, heads 4" in out
    assert "--keypoints" in out
    file = finding.user_weights_dir() / "tokenpose.tokenpose_s.safetensors"
    network, metadata = load_tokenpose(file)
    with torch.no_grad():
        heatmaps = network(golden["input"])
    torch.testing.assert_close(heatmaps, golden["output"], rtol=1e-4, atol=5e-6)
    assert metadata["source"] == path.name
    estimator = make_keypoints(f"tokenpose:{file}", device="cpu")
    assert (estimator.skeleton.name, estimator.info.licence) == ("coco17", "MIT")


@pytest.mark.parametrize("layout", list(containers({"a": torch.zeros(1)}))[:8])
def test_random_weights_go_through_every_layout(layout, tmp_path):
    state = published(SMALL)
    done = import_tokenpose(save(tmp_path, containers(state)[layout]))
    assert done.options == SMALL
    network, _ = load_tokenpose(done.path)
    torch.manual_seed(0)
    plain = TokenPose(SMALL).eval()
    images = torch.randn(2, 3, 128, 96, generator=torch.manual_seed(1))
    with torch.no_grad():
        assert torch.equal(network(images), plain(images))


def test_what_was_imported_finds_keypoints(tmp_path):
    done = import_tokenpose(save(tmp_path, published(SMALL)))
    estimator = make_keypoints(f"tokenpose:{done.path}", device="cpu")
    people = Detections(boxes_xyxy_px=np.array([[10, 10, 60, 90]], np.float32), score=np.ones(1))
    seen = estimator.estimate(np.zeros((100, 80, 3), np.uint8), people)
    assert seen.keypoints_px.shape == (1, 17, 2)


@pytest.mark.parametrize(
    "options",
    [
        replace(CONFIGURATIONS["tokenpose-s"], depth=1),
        replace(CONFIGURATIONS["tokenpose-s2"], depth=1),
        replace(
            CONFIGURATIONS["tokenpose-s"],
            depth=1,
            skeleton="mpii16",
            size_wh=(256, 256),
            patch_wh=(4, 4),
            heatmap_wh=(64, 64),
        ),
        replace(
            SMALL, size_wh=(288, 384), patch_wh=(6, 8), heatmap_wh=(72, 96), heatmap_hidden=None
        ),
        replace(SMALL, dim=64, heatmap_hidden=0),
        replace(SMALL, heatmap_hidden=100),
    ],
    ids=["S-v1", "S-v2", "MPII", "384", "one layer", "hidden"],
)
def test_published_sizes_are_read_from_the_tensors(options):
    """S-v1, S-v2 and the MPII crops of ``experiments/``; the head with one layer and with two."""
    found, assumed, _ = convert_tokenpose(published(options), TokenHints())
    hidden = options.heatmap_hidden
    if hidden is None:
        hidden = options.heatmap_wh[0] * options.heatmap_wh[1] // 8
    assert found == replace(options, heatmap_hidden=hidden, licence="not stated")
    words = "crops of {}x{} px".format(*options.size_wh)
    assert words in assumed
    assert "8 attention heads" in assumed
    assert "heatmaps of deviation 2 cells" in assumed


def test_what_is_said_is_not_assumed():
    hints = TokenHints(heads=4, crop_wh=(96, 128), sigma=3, skeleton="coco17")
    options, assumed, _ = convert_tokenpose(published(SMALL), hints, licence="MIT")
    assert assumed == ("places of patches added before every layer (sine-full)",)
    assert (options.heads, options.sigma, options.licence) == (4, 3, "MIT")
    other, _, _ = convert_tokenpose(published(SMALL), TokenHints(crop_wh=(128, 96)))
    assert (other.size_wh, other.patch_wh, other.heatmap_wh) == ((128, 96), (4, 3), (32, 24))


@pytest.mark.extra_tokenpose
def test_tokenpose_b_is_imported(tmp_path):
    pytest.importorskip("timm", reason="needs the extra tokenpose")
    options = replace(SMALL, backbone="hrnet-w32")
    torch.manual_seed(0)
    state = {}
    for name, tensor in TokenPose(options).state_dict().items():
        if name.startswith("backbone."):
            state[name.replace("backbone.", "pre_feature.", 1)] = tensor
        else:
            state[published_name(name).replace("features.", "transformer.", 1)] = tensor
    done = import_tokenpose(save(tmp_path, state))
    assert done.options == options


# -- what the tensors do not tell, and what does not fit -------------------------------------------


def changed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = published(SMALL)
    for name, tensor in changes.items():
        key = f"features.{name.replace('__', '.')}"
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    return state


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        (TokenHints(heads=5), r"5 heads do not divide 32.*--heads"),
        (TokenHints(heads=0), "0 heads do not divide"),
        (TokenHints(crop_wh=(192, 256)), r"--crop 192x256 contradicts.*96x128.*128x96"),
        (TokenHints(sigma=0), "--sigma"),
        (TokenHints(skeleton="mpii16"), r"17 keypoints, mpii16 has others.*coco17"),
        (TokenHints(skeleton="coco"), "Did you mean 'coco17'"),
    ],
)
def test_impossible_hints_are_refused(hints, message, tmp_path, cache):
    with pytest.raises(UsageError, match=message):
        import_tokenpose(save(tmp_path, published(SMALL)), hints=hints)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (replace(SMALL, skeleton="lsp14"), r"14 keypoints.*--skeleton with one of: lsp14"),
        (
            replace(SMALL, size_wh=(64, 160), patch_wh=(2, 5), heatmap_wh=(16, 40)),
            r"cannot be seen.*--crop WIDTHxHEIGHT, one of: .*64x160",
        ),
    ],
)
def test_what_the_tensors_do_not_tell_is_asked_for(options, message):
    state = published(options)
    with pytest.raises(UsageError, match=message):
        convert_tokenpose(state, TokenHints())
    hints = TokenHints(crop_wh=options.size_wh, skeleton=options.skeleton)
    found, _, _ = convert_tokenpose(state, hints)
    assert (found.size_wh, found.skeleton) == (options.size_wh, options.skeleton)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(conv1__weight=None), r"no complete TokenPose-S: it lacks backbone\.conv1\.weight"),
        (changed(mlp_head_x__weight=torch.zeros(1)), r"beyond the network, backbone\.mlp_head_x"),
        (changed(bn1__bias=torch.full((64,), torch.nan)), "not finite backbone"),
        (changed(patch_to_embedding__weight=torch.zeros(32, 100)), r"has 0\.39\d* cells"),
        (changed(pos_embedding=torch.randn(1, 64, 32)), "not the fixed sines"),
        (changed(pos_embedding=torch.randn(1, 81, 32)), "not the fixed sines"),
        (changed(pos_embedding=None), "lacks the tensor 'features.pos_embedding'"),
        (changed(mlp_head__3__weight=torch.zeros(5, 96)), r"Heatmaps of 5 cells"),
        (
            {"transformer.keypoint_token": torch.zeros(1, 17, 32)},
            "TokenPose-T, which has no convolutions",
        ),
        (
            {
                "transformer.keypoint_token": torch.zeros(1, 17, 32),
                "pre_feature.transition1.0.0.weight": torch.zeros(48, 256, 3, 3),
            },
            "HRNet-W48, such as TokenPose-L",
        ),
    ],
)
def test_what_does_not_fit_is_named(state, message, tmp_path, cache):
    assert holds_tokenpose(state)
    with pytest.raises(WeightsError, match=message):
        import_tokenpose(save(tmp_path, state))
    assert not cache.exists()


def test_nothing_in_the_file_runs(tmp_path, cache, capsys):
    path = save(
        tmp_path, {"state_dict": published(SMALL), "x": Evil(os.mkdir, str(tmp_path / "ran"))}
    )
    assert run("weights", "import", path) == 1
    assert "might run code" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert not cache.exists()


# -- names, cards, lists ---------------------------------------------------------------------------


def test_card_hash_and_lists(tmp_path, cache):
    source = save(tmp_path, published(SMALL))
    done = import_tokenpose(source, name="tokenpose.theirs")
    assert done.path == cache / "tokenpose.theirs.safetensors"
    card = done.path.with_suffix(".md").read_text()
    sha256 = finding.sha256_of(source)
    for needed in ("Licence: not stated", sha256, "TokenPose-S", "To fill in", "8 att"):
        assert needed in card
    assert finding.verify(done.name) == done.path
    rows = [(r.kind, r.name, r.state) for r in list_models()]
    assert ("keypoints", "tokenpose", f"ready as tokenpose:{done.path}") in rows
    assert not [r for r in rows if r[0] == "lifter" and r[1].startswith("tokenpose")]
    (row,) = [r for r in list_models() if r.name == "tokenpose"]
    assert row.size_bytes == done.path.stat().st_size


def test_names_of_lifters_and_estimators_are_apart(tmp_path):
    path = save(tmp_path, published(SMALL))
    with pytest.raises(UsageError, match=r"mixste\.theirs.*tokenpose\.TAG"):
        import_tokenpose(path, name="mixste.theirs")
    with pytest.raises(UsageError):
        import_weights(path, name="tokenpose.mixste")
    with pytest.raises(WeightsError):
        import_weights(path)
    done = import_tokenpose(path)
    with pytest.raises(UsageError, match="--overwrite"):
        import_tokenpose(path)
    assert import_tokenpose(path, overwrite=True).path == done.path


def test_our_own_files_need_no_import(tmp_path):
    done = import_tokenpose(save(tmp_path, published(SMALL)))
    with pytest.raises(WeightsError, match="--keypoints tokenpose:"):
        import_tokenpose(done.path, name="tokenpose.again")


def test_safetensors_are_taken_too(tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in published(SMALL).items()}
    save_file(state, tmp_path / "half.safetensors")
    assert import_tokenpose(tmp_path / "half.safetensors").name == "tokenpose.half"


# -- the command -----------------------------------------------------------------------------------


def test_the_command_refuses_options_of_the_other_kind(tmp_path, capsys):
    path = save(tmp_path, published(SMALL))
    for option, value in (("--keep", "9"), ("--arch", "mixste"), ("--mapping", "hot")):
        assert run("weights", "import", path, option, value) == 2
        assert f"TokenPose has no use for {option}" in capsys.readouterr().err
    other = save(tmp_path, {"x": torch.zeros(1)}, "other.pth")
    for option, value in (("--crop", "9x9"), ("--sigma", "2"), ("--skeleton", "coco17")):
        assert run("weights", "import", other, option, value) == 2
        assert f"A lifter has no use for {option}" in capsys.readouterr().err
    assert run("weights", "import", path, "--crop", "9") == 2
    assert "--crop '9' is not understood. Write e.g. --crop 192x256" in capsys.readouterr().err
    assert run("weights", "import", path, "--crop", "128X96", "--as", "tokenpose.wide") == 0
    assert "crop 128x96 px, patch 4x3 cells" in capsys.readouterr().out
