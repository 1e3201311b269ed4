"""Any top-down model of MMPose: its own network, head and codec, behind our batched crops.
All people go through ``test_step`` together, which ``inference_topdown`` does one by one.
Reference: MMPose 1.3.2, ``mmpose/apis/inference.py``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pose3d.body.joint_names import plain_name
from pose3d.body.skeletons import HALPE136, SKELETONS, WHOLEBODY133, Skeleton
from pose3d.device import pick_device
from pose3d.errors import MissingExtraError, UsageError
from pose3d.networks2d.crops import crop_matrices, cut_crops
from pose3d.networks2d.estimators.mmpose_files import find_checkpoint, find_config, load_checkpoint
from pose3d.networks2d.estimators.mmpose_imports import require_mmpose, stand_ins
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.part import describe_model, own_file
from pose3d.networks2d.top_down import TopDown
from pose3d.video.picture import Image
from pose3d.weights.fetching import ChosenFile
from pose3d.weights.info import ModelInfo

_STEPS = ("LoadImage", "GetBBoxCenterScale", "TopdownAffine", "PackPoseInputs")
_BATCH = 16  # people in one forward pass: enough to fill the cores, small in memory
# What MMPose calls joints of ours, in whole skeletons.
_HALPE = {"head": "head_top", "hip": "pelvis"}
_H36M = {
    "root": "pelvis",
    "left_foot": "left_ankle",
    "right_foot": "right_ankle",
    "neck_base": "neck_nose",
    "head": "head_top",
}
_KNOWN_JOINTS = {joint for skeleton in SKELETONS.values() for joint in skeleton.joints}
_FACE_AND_HANDS = 110


class MMPoseKeypoints(TopDown):
    """Finds keypoints with a top-down model of MMPose; ``threads`` has no effect.
    ``argument``: ``CONFIG.py:CHECKPOINT``, ``NAME`` or ``NAME:CHECKPOINT`` with MMPose's aliases
    and names of configurations; without a checkpoint the published one. None: ``human``,
    RTMPose-m."""

    ARGUMENT = "CONFIG.py:CHECKPOINT"
    LICENCE = "Apache-2.0 (MMPose); weights: as their source says"

    @classmethod
    def find_weights(
        cls, argument: str | None, *, offline: bool, say: Callable[[str], None] | None = None
    ) -> ChosenFile:
        """Returns the checkpoint of a configuration."""
        require_mmpose()
        name, checkpoint = split_argument(argument or "human")
        with stand_ins():
            _, published = find_config(name)
            return own_file(find_checkpoint(checkpoint, published, name, offline=offline))

    def _load(self) -> ModelInfo:
        require_mmpose()
        where = pick_device(self.device)
        name, checkpoint_name = split_argument(self.argument or "human")
        with stand_ins():
            import mmpose.apis
            from mmengine.config import Config

            config_path, published = find_config(name)
            config = Config.fromfile(str(config_path))
            _check_config(config, name)
            checkpoint = find_checkpoint(checkpoint_name, published, name, offline=self.offline)
            try:
                self.model = mmpose.apis.init_model(config, None, device=where[0])
            except (ImportError, KeyError) as error:  # a part of another package of OpenMMLab
                raise MissingExtraError(
                    f"{name} needs more than is installed: {error}", "Choose another model"
                ) from error
            meta = load_checkpoint(self.model, checkpoint)
        # The same network, laid out as convolutions on current processors like it.
        self.model = self.model.to(memory_format=torch.channels_last)
        if meta is not None:
            self.model.dataset_meta = meta
        self.skeleton = skeleton_of(self.model.dataset_meta)
        steps = {step["type"]: step for step in config.test_dataloader.dataset.pipeline}
        affine = steps["TopdownAffine"]
        self.size_wh = (int(affine["input_size"][0]), int(affine["input_size"][1]))
        self._unbiased = bool(affine.get("use_udp", False))
        self._padding = float(steps["GetBBoxCenterScale"].get("padding", 1.25))
        return describe_model("mmpose", checkpoint, self.LICENCE, where)

    def _look_at(
        self, images: Sequence[Image], people: Sequence[Detections]
    ) -> tuple[np.ndarray, np.ndarray]:
        inputs: list[torch.Tensor] = []
        samples: list[Any] = []
        for image, found in zip(images, people, strict=True):
            boxes = found.boxes_xyxy_px
            matrices = crop_matrices(
                boxes, self.size_wh, padding=self._padding, unbiased=self._unbiased
            )
            # MMPose's models expect blue first and turn it round themselves.
            crops = cut_crops(image, matrices, self.size_wh)[..., ::-1].transpose(0, 3, 1, 2)
            inputs += list(torch.from_numpy(np.ascontiguousarray(crops)))
            samples += map(self._sample, boxes, matrices)
        joints = len(self.skeleton)
        if not samples:
            return np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32)
        answers: list[Any] = []
        with torch.inference_mode(), warnings.catch_warnings():
            # How MMPose asks for single precision is no matter of the reader.
            warnings.filterwarnings("ignore", r"`torch\.cuda\.amp\.autocast", FutureWarning)
            for start in range(0, len(samples), _BATCH):
                part = slice(start, start + _BATCH)
                answers += self.model.test_step(
                    {"inputs": inputs[part], "data_samples": samples[part]}
                )
        points = np.concatenate([a.pred_instances.keypoints[..., :2] for a in answers])
        score = np.concatenate([a.pred_instances.keypoint_scores for a in answers])
        # MMPose counts from the centre of the first pixel.
        return (points + 0.5).astype(np.float32), np.clip(score, 0, 1).astype(np.float32)

    def _sample(self, box_xyxy_px: np.ndarray, matrix: np.ndarray) -> Any:
        """Returns what MMPose's model wants to know about a crop to map its answer back."""
        from mmengine.structures import InstanceData
        from mmpose.structures import PoseDataSample

        size = np.array(self.size_wh, np.float64)
        target = size - 1 if self._unbiased else size
        scale = target / np.array([matrix[0, 0], matrix[1, 1]])
        box = np.asarray(box_xyxy_px, np.float32)
        sample = PoseDataSample(
            metainfo={
                "input_size": self.size_wh,
                "input_center": (box[:2] + box[2:]) / 2,
                "input_scale": scale.astype(np.float32),
                "flip_indices": self.model.dataset_meta["flip_indices"],
                "img_shape": self.size_wh[::-1],
            }
        )
        sample.gt_instances = InstanceData(bboxes=box[None], bbox_scores=np.ones(1, np.float32))
        return sample


def split_argument(argument: str) -> tuple[str, str | None]:
    """Splits ``CONFIG[:CHECKPOINT]``; a drive letter's colon is no separator."""
    match = re.fullmatch(r"(.*?\.py|[^:]*):(.+)", argument)
    return (match[1], match[2]) if match else (argument, None)


def _check_config(config: Any, name: str) -> None:
    """Refuses a configuration that the batched way does not carry out as MMPose does."""
    model = config.get("model", {})
    if model.get("type") != "TopdownPoseEstimator":
        raise UsageError(
            f"{name} is a model of the type {model.get('type')!r}", "Choose a top-down model"
        )
    steps = tuple(step["type"] for step in config.test_dataloader.dataset.pipeline)
    if steps != _STEPS:
        raise UsageError(
            f"{name} prepares pictures by {', '.join(steps)}", f"Needed is {', '.join(_STEPS)}"
        )


def skeleton_of(meta: dict[str, Any]) -> Skeleton:
    """Returns the skeleton that MMPose's description of a data set names.
    It is ours where names and order agree, else one named after the data set, its joints renamed
    as ours where they are the same (``top_head``, ``L_Shoulder``)."""
    names = tuple(name for _, name in sorted(meta["keypoint_id2name"].items()))
    for other in ({}, _HALPE, _H36M):
        ours = _find_skeleton(tuple(other.get(name, name) for name in names))
        if ours is not None:
            return ours
    return Skeleton(
        name=str(meta["dataset_name"]),
        joints=_in_our_words(names),
        parents=(-1,) * len(names),
        extra_bones=tuple((int(a), int(b)) for a, b in meta["skeleton_links"]),
    )


def _find_skeleton(names: tuple[str, ...]) -> Skeleton | None:
    for skeleton in SKELETONS.values():
        if skeleton.joints == names:
            return skeleton
    # The 110 points of face and hands have other names in MMPose and the same order.
    for skeleton in (WHOLEBODY133, HALPE136):
        body = skeleton.joints[:-_FACE_AND_HANDS]
        if len(names) == len(skeleton) and names[: len(body)] == body:
            return skeleton
    return None


def _in_our_words(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns names with those of our joints written as there; all as given if two were one."""
    plain = ((name, plain_name(name)) for name in names)
    ours = tuple(known if known in _KNOWN_JOINTS else name for name, known in plain)
    return ours if len(set(ours)) == len(ours) else names
