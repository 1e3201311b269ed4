"""``pose3d inspect tokenpose``: what a user gets, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.networks2d.tokenpose.files import save_tokenpose
from pose3d.networks2d.tokenpose.inspect import inspect_person
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import (
    JointOptions,
    PruneOptions,
    RemoveOptions,
    TokenPoseOptions,
)
from pose3d.render.attention import draw_inspection
from tests.support import tokenpose

SMALL = replace(tokenpose.SMALL, depth=5, hidden=48, skeleton="mpii16")
VARIANTS = {
    "dense": SMALL,
    "pruned": replace(SMALL, prune=PruneOptions(at=(1, 3), keep=(0.6, 0.6))),
    "removed": replace(SMALL, remove=RemoveOptions(at=(1, 3), keep=(0.5, 0.5))),
    "simcc": replace(SMALL, head="simcc", joint=JointOptions(layers=1)),
    "deep": replace(SMALL, depth=14),
}
BOX = np.array([30.0, 20.0, 90.0, 110.0])


def make(options: TokenPoseOptions) -> TokenPose:
    torch.manual_seed(0)
    return TokenPose(options).eval()


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (140, 160, 3)).astype(np.uint8)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "person.png"
    cv2.imwrite(str(path), noise())
    return path


def call(*words: object):
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_can_be_drawn(options):
    style = "dark" if options.remove else "light"
    seen = inspect_person(make(options), noise(), BOX)
    assert seen.look.shape == (options.depth, 16, 8, 8)
    sheet = draw_inspection(seen, title="a", subtitle="b", style=style)
    assert sheet.dtype == np.uint8
    # Nothing is painted over the margins.
    assert (sheet[:, :20] == sheet[0, 0]).all()
    assert (sheet[:, -20:] == sheet[0, 0]).all()
    assert (sheet[-10:] == sheet[0, 0]).all()


def test_attention_that_is_looked_up_is_drawn_where_it_is():
    """A patch that gets all attention shines in its own place, and no other one does."""
    seen = inspect_person(make(SMALL), noise(), BOX)
    even = np.full_like(seen.look, 1 / 64)
    sharp = even.copy()
    sharp[:, 5, 2, 6] = 1
    sheets = [
        draw_inspection(replace(seen, look=look), title="a", subtitle="b").astype(int)
        for look in (even, sharp)
    ]
    rows, columns, _ = np.nonzero(sheets[1] - sheets[0])
    table = rows > 500
    left = 28 + 104 + 5 * 84  # column of the sixth keypoint
    assert columns[table].min() == pytest.approx(left + 78 * 6 / 8, abs=1.5)
    assert columns[table].max() == pytest.approx(left + 78 * 7 / 8 - 1, abs=1.5)


def test_patches_that_are_gone_are_blank():
    seen = inspect_person(make(VARIANTS["removed"]), noise(), BOX)
    assert [int((links > 0).sum()) for links in seen.links] == [64, 64, 32, 32, 16]
    gone = np.isnan(seen.look[-1, 0])
    assert (gone == (seen.links[-1] == 0)).all()
    assert gone.sum() == 48


def test_even_attention_among_the_patches_left_has_no_colour():
    """Else every tile would glow once patches have left, whatever the network looks at."""
    seen = inspect_person(make(VARIANTS["removed"]), noise(), BOX)
    left = np.isfinite(seen.look).sum((-2, -1), keepdims=True)
    even = np.where(np.isnan(seen.look), np.nan, 1 / left).astype(np.float32)
    sheets = [
        draw_inspection(replace(seen, look=look), title="a", subtitle="b")
        for look in (even, even * 0, even * 2)
    ]
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert (sheets[0] != sheets[2]).any()


def test_command_writes_a_picture_and_says_that_weights_are_random(picture, tmp_path):
    out = tmp_path / "sheet.png"
    done = call("inspect", "tokenpose", picture, "--box", "30,20,90,110", "-o", out)
    assert done.exit_code == 0, done.output
    assert "weights are random" in done.output
    assert "60 % of its links at layers 3, 6, 9" in done.output
    assert cv2.imread(str(out)).shape[1] > 1000


def test_command_with_weights_does_not_speak_of_chance(picture, tmp_path):
    weights, out = tmp_path / "mine.safetensors", tmp_path / "sheet.jpg"
    save_tokenpose(weights, make(SMALL).state_dict(), SMALL)
    done = call(
        "inspect", "tokenpose", picture, "--box", "30,20,90,110", "-o", out, "--weights", weights
    )
    assert done.exit_code == 0, done.output
    assert "random" not in done.output
    assert "mine" in done.output
    assert out.is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--box", "1,2,3"], 2, "is no box"),
        (["--box", "a,b,c,d"], 2, "is no box"),
        (["--box", "1,2,nan,4"], 2, "is no box"),
        (["--box", "500,500,600,600"], 2, "no area inside the picture of 160x140 px"),
        (["--box", "90,20,30,110"], 2, "no area"),
        (["--configuration", "tokenpose-x"], 2, "Choose one of: tokenpose-b"),
        (["--configuration", "tokenpose-s", "--weights", "a.safetensors"], 2, "exclude"),
        (["--weights", "nowhere.safetensors"], 1, "nowhere.safetensors is missing"),
        (["--style", "pink"], 2, "no style named 'pink'"),
        (["-o", "sheet.txt"], 2, "is no picture"),
        (["--box", "30,20,90,110", "-o", "no/such/folder/a.png"], 2, "cannot be written"),
    ],
)
def test_bad_words_are_refused(picture, words, code, message):
    done = call("inspect", "tokenpose", picture, *words)
    assert done.exit_code == code, done.output
    assert message in " ".join(done.stderr.split())


def test_bad_pictures_are_refused(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    done = call("inspect", "tokenpose", text, "--box", "1,1,9,9")
    assert done.exit_code == 1
    assert "is not an image that can be read" in done.stderr
    done = call("inspect", "tokenpose", tmp_path / "absent.png", "--box", "1,1,9,9")
    assert "cannot be read (No such file" in done.stderr
