"""The estimator ``tokenpose``: from picture and boxes to keypoints, with weights made on the spot."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pose3d.errors import MissingExtraError, UsageError, WeightsError
from pose3d.networks2d.crops import IMAGENET_MEAN, IMAGENET_STD
from pose3d.networks2d.estimators import tokenpose
from pose3d.networks2d.estimators.tokenpose import decode_answer
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.loading import make_keypoints
from pose3d.networks2d.tokenpose import backbones
from pose3d.networks2d.tokenpose.files import save_tokenpose
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from tests.support.tokenpose import SMALL

OPTIONS = replace(SMALL, dim=64, skeleton="lsp14")


def spots() -> np.ndarray:
    """Where the dots are in a crop, ``(14, 2)`` pixels counted from the first pixel's centre."""
    return np.random.default_rng(3).uniform((24, 24), (72, 104), (14, 2))


def gaussians(points: np.ndarray, options: TokenPoseOptions) -> torch.Tensor:
    """Heatmaps ``(n, joint, h, w)`` of points in crop pixels, at their true sub-cell place."""
    (width, height), crop_wh = options.heatmap_wh, np.array(options.size_wh)
    cells = points * np.array((width, height)) / crop_wh
    x = np.exp(-0.5 * ((np.arange(width) - cells[..., :1]) / options.sigma) ** 2)
    y = np.exp(-0.5 * ((np.arange(height) - cells[..., 1:]) / options.sigma) ** 2)
    return torch.from_numpy(y[..., :, None] * x[..., None, :]).float()


def test_dark_finds_the_gaussian_between_the_cells():
    points = spots()[None]
    found, score = decode_answer(gaussians(points, OPTIONS), OPTIONS)
    np.testing.assert_allclose(found, points, atol=0.1)  # a cell is 4 px
    assert (score > 0.85).all()


def test_simcc_finds_the_bin_and_is_sure_when_as_narrow_as_its_targets():
    options = replace(OPTIONS, head="simcc", sigma=4.0)
    points = spots()[None]
    logits = [
        torch.from_numpy(-0.5 * ((np.arange(2 * n) - 2 * points[..., axis, None]) / 4.0) ** 2)
        for axis, n in enumerate(options.size_wh)
    ]
    found, score = decode_answer((logits[0], logits[1]), options)
    np.testing.assert_allclose(found, points, atol=0.26)  # half a bin
    np.testing.assert_allclose(score, 1, atol=0.02)
    vague = decode_answer((logits[0] / 16, logits[1] / 16), options)[1]
    assert (vague < 0.5).all()


class Beacon(nn.Module):
    """Stands in for a network: every keypoint is where the picture is brightest."""

    options = OPTIONS

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1:] == (3, 128, 96)
        std, mean = (torch.tensor(v)[:, None, None] for v in (IMAGENET_STD, IMAGENET_MEAN))
        colours = (images * std + mean) / 255
        assert colours.min() > -1e-3
        assert colours.max() < 1 + 1e-3
        return colours[:, :1, ::4, ::4].expand(-1, 14, -1, -1)


def glow(size_wh: tuple[int, int], centres: np.ndarray, spread_px: float) -> np.ndarray:
    """A picture with a red Gaussian at each centre (0.5: the centre of the first pixel)."""
    x, y = np.arange(size_wh[0]) + 0.5, np.arange(size_wh[1])[:, None] + 0.5
    light = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread_px**2)) for cx, cy in centres)
    picture = np.zeros((*size_wh[::-1], 3), np.uint8)
    picture[..., 0] = np.clip(255 * light, 0, 255).round()
    return picture


def boxes_about(centres: np.ndarray, size_wh: tuple[float, float]) -> Detections:
    half = np.array(size_wh) / 2
    return Detections(
        boxes_xyxy_px=np.concatenate((centres - half, centres + half), -1).astype(np.float32),
        score=np.ones(len(centres), np.float32),
    )


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.3], ids=["enlarged", "as it is", "shrunk"])
def test_points_come_back_to_where_they_are_in_the_picture(monkeypatch, tmp_path, factor):
    """Crop, colours, decoding and the way back, against a light whose place is known."""
    file = tmp_path / "beacon.safetensors"
    file.write_bytes(b"")
    monkeypatch.setattr(tokenpose, "load_tokenpose", lambda _path: (Beacon(), {}))
    estimator = make_keypoints(f"tokenpose:{file}", device="cpu", threads=1)
    lights = np.array([[121.3, 130.8], [322.7, 204.1]])
    picture = glow((420, 340), lights, spread_px=8 * factor)
    # The light is not in the middle of the box, nor has the box the crop's proportions.
    away = np.array([[9.0, -12.0], [-8.0, 14.0]]) * factor
    people = boxes_about(lights + away, (40 * factor, 128 / 1.25 * factor))
    seen = estimator.estimate(picture, people)
    assert seen.keypoints_px.shape == (2, 14, 2)
    error = np.abs(seen.keypoints_px - lights[:, None])
    # OpenCV's integer pixel centres and the detector's box numbers differ by half a pixel at most.
    assert error.max() < 0.3 * max(1, factor)
    np.testing.assert_allclose(seen.score, 1, atol=0.08)


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    """Weights of no use, but weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tokenpose") / "random.safetensors"
    save_tokenpose(path, TokenPose(OPTIONS).state_dict(), replace(OPTIONS, licence="CC0-1.0"))
    return path


def test_batch_is_one_by_one(random_file):
    """More people than fit into one pass, and a picture without anybody in between."""
    estimator = make_keypoints(f"tokenpose:{random_file}", device="cpu")
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (120, 90 + i, 3)).astype(np.uint8) for i in range(3)]
    people = [boxes_about(draw.uniform(30, 60, (n, 2)), (30, 50)) for n in (9, 0, 9)]
    together = estimator.estimate_batch(images, people)
    assert [len(t) for t in together] == [9, 0, 9]
    for image, who, batch in zip(images, people, together, strict=True):
        alone = estimator.estimate(image, who)
        np.testing.assert_allclose(batch.keypoints_px, alone.keypoints_px, atol=1e-2)
        np.testing.assert_allclose(batch.score, alone.score, atol=1e-4)
        assert batch.keypoints_px.dtype == np.float32
        assert ((batch.score >= 0) & (batch.score <= 1)).all()
        assert ((batch.presence >= 0) & (batch.presence <= 1)).all()


def test_what_is_known_comes_from_the_file(random_file):
    estimator = make_keypoints(f"tokenpose:{random_file}", device="cpu")
    assert estimator.skeleton.name == "lsp14"
    assert estimator.info.licence == "CC0-1.0"
    assert estimator.info.weights == ("random.safetensors",)
    assert len(estimator.info.sha256[0]) == 64


def test_threads_of_others_stay(random_file):
    before = torch.get_num_threads()
    estimator = make_keypoints(f"tokenpose:{random_file}", device="cpu", threads=before + 1)
    estimator.estimate(
        np.zeros((90, 90, 3), np.uint8), boxes_about(np.full((1, 2), 45.0), (30, 60))
    )
    assert torch.get_num_threads() == before


def test_without_weights_it_says_where_they_come_from(tmp_path):
    with pytest.raises(UsageError, match=r"tokenpose:FILE\.safetensors"):
        make_keypoints("tokenpose")
    with pytest.raises(UsageError):
        make_keypoints("tokenpose:nowhere.safetensors")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with pytest.raises(WeightsError):
        make_keypoints(f"tokenpose:{bad}")


def test_hrnet_without_timm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"install .*timm"):
        backbones.HrnetW32()


@pytest.mark.extra_tokenpose
def test_hrnet_is_timms_up_to_its_third_stage():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    whole = timm.create_model("hrnet_w32", pretrained=False).eval()
    ours = backbones.HrnetW32().eval()
    ours.load_state_dict({k: v for k, v in whole.state_dict().items() if k in ours.state_dict()})
    images = torch.randn(1, 3, 128, 96)
    stage3 = []
    whole.stage3.register_forward_hook(lambda _m, _i, out: stage3.append(out[0]))
    with torch.no_grad():
        whole(images)
        torch.testing.assert_close(ours(images), stage3[0])


@pytest.mark.extra_tokenpose
def test_tokenpose_b_has_the_parameters_of_the_paper():
    """Li et al. 2021, table 1: 13.5 M; every one of them gets a gradient."""
    pytest.importorskip("timm")
    network = TokenPose(TokenPoseOptions(backbone="hrnet-w32")).train()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(13.5, abs=0.1)
    network(torch.randn(2, 3, 256, 192)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
