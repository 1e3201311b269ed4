"""A lifter: a network with the normalisation that its weights expect, windows to joints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose3d.device import pick_device
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import LifterOptions, load_network
from pose3d.lift.normalise import person_normalise, scale_to_stature, screen_normalise, to_camera
from pose3d.skeletons import H36M17
from pose3d.types import ModelInfo

Array = NDArray[np.floating]

BATCH = 32
"""Windows per forward pass: enough to fill the cores, small in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifter:
    """Lifts windows of H36M17 keypoints to root-relative joints.

    Args:
        network: in evaluation mode, on ``info.device``.
        options: what the weights expect.
        info: what a user wants to know.
    """

    network: Hourglass
    options: LifterOptions
    info: ModelInfo

    @property
    def frames(self) -> int:
        """Window length."""
        return self.network.frames

    def lift_windows(
        self,
        keypoints_px: Array,
        score: Array,
        size_wh: tuple[int, int],
        focal_px: float,
        *,
        flip_test: bool = True,
    ) -> Array:
        """Lifts windows of one picture size.

        Args:
            keypoints_px: ``(window, frame, 17, 2)`` pixels; NaN where a joint was not seen.
            score: ``(window, frame, 17)`` 0..1.
            size_wh: of the picture in pixels.
            focal_px: known or assumed.
            flip_test: also lift the mirrored keypoints, in the same batch, and average.

        Returns:
            ``(window, frame, 17, 3)`` float32, metres relative to the pelvis, camera axes.
        """
        out = np.empty((*keypoints_px.shape[:3], 3), np.float32)
        for start in range(0, len(keypoints_px), BATCH):
            part = slice(start, start + BATCH)
            out[part] = self._lift_batch(
                keypoints_px[part], score[part], size_wh, focal_px, flip_test
            )
        return out

    def _lift_batch(
        self, points: Array, score: Array, size_wh: tuple[int, int], focal: float, flip_test: bool
    ) -> Array:
        device = self.info.device
        seen = np.asarray(np.isfinite(points).all(-1))
        xy = torch.from_numpy(np.where(seen[..., None], points, 0).astype(np.float32)).to(device)
        confidence = torch.from_numpy(np.where(seen, score, 0).astype(np.float32)).to(device)
        with torch.inference_mode():
            inputs, view_from_cam = self.normalise(xy, confidence, size_wh, focal)
            if flip_test:
                joints = self.network(torch.cat([inputs, mirror_inputs(inputs)]))
                straight, mirrored = joints.chunk(2)
                joints = (straight + mirror_joints(mirrored)) / 2
            else:
                joints = self.network(inputs)
            joints = joints - joints[:, :, :1]
            if self.options.units == "picture":
                joints = scale_to_stature(joints)
            if view_from_cam is not None:
                joints = to_camera(joints, view_from_cam)
        return joints.float().cpu().numpy()

    def normalise(
        self, keypoints_px: Tensor, score: Tensor, size_wh: tuple[int, int], focal_px: float
    ) -> tuple[Tensor, Tensor | None]:
        """Turns pixels into the network's inputs.

        Args:
            keypoints_px: ``(batch, frame, 17, 2)`` finite.
            score: ``(batch, frame, 17)``; 0 where a joint was not seen.
            size_wh: picture size in pixels.
            focal_px: focal length in pixels.

        Returns:
            ``(batch, frame, 17, channels_in)`` and ``view_from_cam`` ``(batch, 3, 3)``, None where
            the normalisation keeps the camera's axes.
        """
        n = len(keypoints_px)
        size = keypoints_px.new_tensor(size_wh).expand(n, 2)
        view: Tensor | None = None
        if self.options.normalisation == "person":
            focal = keypoints_px.new_full((n,), focal_px)
            inputs, view = person_normalise(keypoints_px, score, size, focal)
        else:
            xy = screen_normalise(keypoints_px, size)
            inputs = torch.cat([xy, score[..., None]], -1)
        return inputs[..., : self.options.sizes.get("channels_in", 2)], view


def mirror_inputs(inputs: Tensor) -> Tensor:
    """Mirrors ``(batch, frame, 17, x y ...)`` about x = 0 and exchanges left and right."""
    out = inputs[:, :, list(H36M17.mirror)].clone()
    out[..., 0] = -out[..., 0]
    return out


def mirror_joints(joints: Tensor) -> Tensor:
    """Mirrors ``(batch, frame, 17, 3)`` about x = 0 and exchanges left and right."""
    return mirror_inputs(joints)


def load_lifter(
    path: Path, name: str, *, sha256: str = "", licence: str = "", device: str = "auto"
) -> Lifter:
    """Loads a lifter from a weights file of pose3d.

    Args:
        path: safetensors file.
        name: what it is called in records.
        sha256: of the file, for records.
        licence: of the weights; empty: what the file says.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        WeightsError: see :func:`pose3d.lift.models.load_network`.
        DeviceError: the device is not there.
    """
    chosen, reason = pick_device(device)
    network, options, _ = load_network(path)
    info = ModelInfo(
        name=name,
        licence=licence or options.licence,
        weights=(name,),
        sha256=(sha256,) if sha256 else (),
        device=chosen,
        device_reason=reason,
    )
    return Lifter(network=network.to(chosen), options=options, info=info)
