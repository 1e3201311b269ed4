"""MMPose's models behind our crops, and RTMPose from ONNX: both against ``mmpose.apis``.

The models are those of MMPose's shipped configurations with random weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import WHOLEBODY133
from pose3d.errors import UsageError, WeightsError
from pose3d.networks2d.crops import crop_matrices, cut_crops
from pose3d.networks2d.estimators.mmpose_imports import missing_commands, stand_ins
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.loading import make_keypoints
from pose3d.video.reader import open_video
from tests.support import ROOT

pytestmark = [
    pytest.mark.extra_mmpose,
    pytest.mark.skipif(bool(missing_commands()), reason="needs MMPose, see 'pose3d doctor'"),
    # MMPose's and MMEngine's own; ours are seen in all other tests.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

HEADS = {
    "simcc": "rtmpose-t_8xb256-420e_coco-256x192",
    "heatmap-udp": "cspnext-tiny_udp_8xb256-210e_coco-256x192",
    "heatmap": "td-hm_mobilenetv2_8xb64-210e_mpii-256x256",
    "regression": "td-reg_mobilenetv2_rle-pretrained-8xb64-210e_coco-256x192",
}
BOXES = np.array([[160, 60, 420, 460], [10, 200, 630, 330], [-20, -10, 90, 140]], np.float32)


@pytest.fixture(scope="module")
def frames(samples: Path) -> list[np.ndarray]:
    """Two pictures of a sample clip."""
    with open_video(samples / "walk_turn.mp4") as video:
        pictures = [frame.image for _, frame in zip(range(30), video, strict=False)]
    return [pictures[0], pictures[-1]]


@pytest.fixture(scope="module")
def clip_frames(shared: Path) -> list[np.ndarray]:
    """Pictures of real footage, none of the size of another."""
    pictures = []
    for name in ("juggle_ball.mp4", "office_sit_stand.mp4", "squats_5fps.mp4"):
        with open_video(shared / "clips" / name) as video:
            pictures.append(next(iter(video)).image)
    return pictures


def save_random(folder: Path, name: str) -> Path:
    """Saves random weights of a shipped configuration as a checkpoint."""
    with stand_ins():
        import mmpose.apis
        from mmengine.config import Config

        from pose3d.networks2d.estimators.mmpose_files import find_config

        torch.manual_seed(3)
        model = mmpose.apis.init_model(Config.fromfile(str(find_config(name)[0])), device="cpu")
    path = folder / f"{name}.pth"
    # As MMEngine writes them: counters of the training are Python objects.
    from mmengine.logging import HistoryBuffer

    hub = {"log_scalars": {"loss": HistoryBuffer([1.0, 2.0], [1, 1])}}
    content = {"state_dict": model.state_dict(), "meta": {"epoch": 1}, "message_hub": hub}
    torch.save(content, path)
    return path


def make_plain(name: str, checkpoint: Path) -> Any:
    """Makes a model as a user of MMPose would."""
    with stand_ins():
        import mmpose.apis
        from mmengine.config import Config

        from pose3d.networks2d.estimators.mmpose_files import find_config

        model = mmpose.apis.init_model(Config.fromfile(str(find_config(name)[0])), device="cpu")
    model.load_state_dict(torch.load(checkpoint, weights_only=False)["state_dict"])
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mmpose")


@pytest.fixture(scope="module")
def rtmpose(folder: Path) -> Any:
    checkpoint = save_random(folder, HEADS["simcc"])
    return make_keypoints(f"mmpose:{HEADS['simcc']}:{checkpoint}", device="cpu")


def people_at(boxes: np.ndarray) -> Detections:
    return Detections(boxes_xyxy_px=boxes, score=np.ones(len(boxes), np.float32))


def ask_api(model: Any, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What MMPose itself answers: points that count 0 in the first pixel's centre, scores."""
    from mmpose.apis import inference_topdown

    answers = inference_topdown(model, np.ascontiguousarray(image[..., ::-1]), boxes)
    points = np.concatenate([a.pred_instances.keypoints for a in answers])
    return points, np.concatenate([a.pred_instances.keypoint_scores for a in answers])


@pytest.mark.parametrize("kind", HEADS)
def test_every_kind_of_head_answers_as_the_api(folder, frames, kind):
    checkpoint = folder / f"{HEADS[kind]}.pth"
    if not checkpoint.is_file():
        save_random(folder, HEADS[kind])
    made = make_keypoints(f"mmpose:{HEADS[kind]}:{checkpoint}", device="cpu")
    plain = make_plain(HEADS[kind], checkpoint)
    for image in frames:
        seen = made.estimate(image, people_at(BOXES))
        points, score = ask_api(plain, image, BOXES)
        # Crops differ by one in a few pixels; with random weights that may move a maximum that is
        # hardly one from here to there.
        difference = np.abs(seen.keypoints_px - 0.5 - points).max(-1)
        assert (difference <= 0.5).mean() >= 0.98
        assert np.percentile(difference, 90) < 0.002
        np.testing.assert_allclose(seen.score, np.clip(score, 0, 1), atol=1e-2)
        # Random weights give no constant answer: the comparison means something.
        assert np.ptp(points.reshape(-1, 2), axis=0).min() > 30


def test_both_roads_cut_the_same_crops(rtmpose, frames):
    from mmengine.dataset import Compose

    with stand_ins():
        pipeline = Compose(rtmpose.model.cfg.test_dataloader.dataset.pipeline)
    for image in frames:
        ours = cut_crops(image, crop_matrices(BOXES, (192, 256)), (192, 256))
        for crop, box in zip(ours, BOXES, strict=True):
            theirs = pipeline(
                {
                    "img": np.ascontiguousarray(image[..., ::-1]),
                    "bbox": box[None],
                    "bbox_score": np.ones(1, np.float32),
                    **rtmpose.model.dataset_meta,
                }
            )["inputs"].numpy()
            difference = np.abs(crop[..., ::-1].transpose(2, 0, 1).astype(int) - theirs)
            # OpenCV works in steps of 1/32 pixel: the last bit of the matrix may move one.
            assert difference.mean() < 0.05
            assert np.percentile(difference, 99.9) <= 3


def test_onnx_gives_the_same_keypoints_as_the_api(rtmpose, folder, frames, request):
    pytest.importorskip("onnxruntime", reason="needs the extra rtmpose")
    pytest.importorskip("onnx", reason="needs the package onnx to export a network")
    path = folder / "rtmpose.onnx"
    export_simcc(rtmpose.model, path)
    onnx_road = make_keypoints(f"rtmpose:{path}", device="cpu")
    pictures = list(frames)
    if (ROOT.parent / "shared" / "clips").is_dir():
        pictures += request.getfixturevalue("clip_frames")
    flipped = rtmpose.model.test_cfg["flip_test"]
    rtmpose.model.test_cfg["flip_test"] = False  # a network alone does not look twice
    try:
        for image in pictures:
            seen = onnx_road.estimate(image, people_at(BOXES))
            points, score = ask_api(rtmpose.model, image, BOXES)
            np.testing.assert_allclose(seen.keypoints_px - 0.5, points, atol=0.5)
            np.testing.assert_allclose(seen.score, np.clip(score, 0, 1), atol=1e-3)
    finally:
        rtmpose.model.test_cfg["flip_test"] = flipped


def export_simcc(model: Any, path: Path) -> None:
    """Exports backbone and head as MMDeploy does: SimCC vectors, any number of people."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> Any:
            return model.head.forward(model.extract_feat(x))

    names = ["simcc_x", "simcc_y"]
    torch.onnx.export(
        Network().eval(),
        (torch.zeros(2, 3, 256, 192),),
        str(path),
        input_names=["input"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ["input", *names]},
        opset_version=17,
        dynamo=False,
    )


def test_people_and_pictures_together_are_as_alone(rtmpose, frames):
    people = [people_at(BOXES[:1]), people_at(BOXES[1:])]
    together = rtmpose.estimate_batch(frames, people)
    for image, where, seen in zip(frames, people, together, strict=True):
        alone = rtmpose.estimate(image, where)
        np.testing.assert_allclose(seen.keypoints_px, alone.keypoints_px, atol=1e-2)
    nobody = rtmpose.estimate(frames[0], people_at(np.zeros((0, 4), np.float32)))
    assert nobody.keypoints_px.shape == (0, 17, 2)


def test_stand_ins_are_gone_afterwards(rtmpose):
    assert "mmpose.apis" in sys.modules
    for name in ("mmdet", "xtcocotools", "mmcv.ops"):
        assert not [m for m in sys.modules if m == name or m.startswith(f"{name}.")]


def test_skeletons_and_their_mirrors_are_those_of_mmpose():
    from pose3d.networks2d.estimators.mmpose import skeleton_of

    with stand_ins():
        from mmpose.datasets.datasets.utils import parse_pose_metainfo
    for name, ours in (
        ("coco", "coco17"),
        ("halpe26", "halpe26"),
        ("mpii", "mpii16"),
        ("coco_wholebody", "wholebody133"),
        ("halpe", "halpe136"),
        ("coco_openpose", "openpose18"),
        ("h36m", "h36m17"),
        ("mhp", "mpii16"),
        ("crowdpose", "crowdpose"),
        ("posetrack18", "posetrack18"),
        ("aic", "aic"),
    ):
        with stand_ins():
            meta = parse_pose_metainfo({"from_file": f"configs/_base_/datasets/{name}.py"})
        skeleton = skeleton_of(meta)
        assert skeleton.name == ours
        assert skeleton.mirror == tuple(meta["flip_indices"])
    assert len(WHOLEBODY133) == 133


def test_mistakes_are_told(rtmpose, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    other = folder / f"{HEADS['heatmap']}.pth"
    if not other.is_file():
        save_random(folder, HEADS["heatmap"])
    with pytest.raises(WeightsError):
        make_keypoints(f"mmpose:{HEADS['simcc']}:{other}")
    with pytest.raises(UsageError, match="Did you mean 'rtmpose-t_8xb256"):
        make_keypoints("mmpose:rtmpose-t_8xb256-420e_coco-256x19")
    with pytest.raises(UsageError):
        make_keypoints(f"mmpose:rtmo-s_8xb32-600e_coco-640x640:{other}")
    with pytest.raises(WeightsError) as caught:
        make_keypoints("mmpose:human", offline=True)
    assert "https://download.openmmlab.com/" in caught.value.todo
    pickled = tmp_path / "evil.pth"
    torch.save({"state_dict": {}, "run": Path}, pickled)
    with pytest.raises(WeightsError, match=r"evil\.pth.*pathlib"):
        make_keypoints(f"mmpose:{HEADS['simcc']}:{pickled}")
