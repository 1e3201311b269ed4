"""A lifter: a network with the normalisation that its weights expect, windows to joints."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose3d.body.skeletons import H36M17
from pose3d.device import pick_device
from pose3d.errors import UsageError
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import LifterOptions, load_network
from pose3d.lift.normalise import (
    person_normalise,
    scale_to_stature,
    screen_normalise,
    short_side_normalise,
    to_camera,
)
from pose3d.lift.tracks import CROP_WH, fill_unseen
from pose3d.weights.info import ModelInfo

Array = NDArray[np.floating]

BATCH = 32  # windows per forward pass
SHARED_WINDOWS = 512  # windows whose per-frame features are held in memory together

MIDDLE_MISSING = "Only kept frames have an answer, and the middle may not be among them"

Answer = tuple[Tensor, Tensor | None]  # joints, and hypotheses where they are wanted
Ask = Callable[[Tensor], Answer]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifter:
    """Lifts windows of H36M17 keypoints to root-relative joints."""

    network: Hourglass  # in evaluation mode, on ``info.device``
    options: LifterOptions
    info: ModelInfo
    pipeline: str = "seq2seq"  # ``seq2seq``: see lift_windows; ``seq2frame``: see lift_centres
    precision: str = "fp32"  # of the network: ``fp32``, ``bf16`` or ``fp16``; all else is float32

    @property
    def frames(self) -> int:
        """Window length."""
        return self.network.frames

    @property
    def n_hypotheses(self) -> int:
        """Hypotheses that :meth:`lift_hypotheses` gives beside the final pose; 0: none."""
        return self.network.n_hypotheses

    def lift_windows(
        self,
        keypoints_px: Array,
        score: Array,
        size_wh: tuple[int, int],
        focal_px: float,
        *,
        flip_test: bool = True,
    ) -> Array:
        """Lifts windows of one picture size: ``(window, frame, 17, 3)``, metres from the pelvis.
        Pixels ``(window, frame, 17, 2)``, NaN where unseen; ``score`` ``(window, frame, 17)`` 0..1.
        Answers are in camera axes; ``flip_test`` averages with those for the mirrored keypoints.
        UsageError: the network has no answer for whole windows."""

        def answer(inputs: Tensor) -> Answer:
            return self.network(inputs), None

        return self._lift_all(keypoints_px, score, size_wh, focal_px, flip_test, answer)

    def lift_hypotheses(
        self,
        keypoints_px: Array,
        score: Array,
        size_wh: tuple[int, int],
        focal_px: float,
        *,
        flip_test: bool = True,
    ) -> tuple[Array, Array]:
        """Lifts as :meth:`lift_windows`, and ``(window, frame, hypothesis, 17, 3)`` besides.
        The flip test averages each hypothesis with its partner (:func:`match_hypotheses`).
        ValueError: the network gives no hypotheses."""
        if not self.n_hypotheses:
            raise ValueError(f"{self.info.name} gives no hypotheses")
        answer = self.network.forward_with_hypotheses
        windows, frames, joints = keypoints_px.shape[:3]
        others = np.empty((windows, frames, self.n_hypotheses, joints, 3), np.float32)
        out = self._lift_all(keypoints_px, score, size_wh, focal_px, flip_test, answer, others)
        return out, others

    def lift_centres(
        self,
        keypoints_px: Array,
        score: Array,
        rows: NDArray[np.integer],
        size_wh: tuple[int, int],
        focal_px: float,
        *,
        flip_test: bool = True,
    ) -> Array:
        """Lifts the middle frame of each window: ``(window, 17, 3)``, metres from the pelvis.
        As :meth:`lift_windows`, but of pixels ``(row, 17, 2)``, ``score`` ``(row, 17)`` and the
        ``rows`` ``(window, frame)`` of each window. Where it is exact (no normalisation ``person``),
        what a frame gives by itself is computed once for all windows."""
        check_pipeline(self.options, "seq2frame")
        sharing = self.options.normalisation != "person" and self.network.shares_frames
        ask = self._ask_sharing if sharing else self._ask_alone
        centre = self.network.forward_centre
        if flip_test and self.network.mirrors_choice:
            centre = partial(centre, mirrored=True)
        step = SHARED_WINDOWS if sharing else BATCH
        joints = keypoints_px.shape[1]
        out = np.empty((len(rows), joints, 3), np.float32)
        for start in range(0, len(rows), step):
            used, answer = ask(rows[start : start + step], centre)
            lifted, _ = self._lift_batch(
                keypoints_px[used], score[used], size_wh, focal_px, flip_test, answer
            )
            out[start : start + step] = lifted.reshape(-1, joints, 3)  # window joint 3
        return out

    def _ask_alone(
        self, rows: NDArray[np.integer], centre: Callable[..., Tensor]
    ) -> tuple[NDArray[np.integer], Ask]:
        """Returns the rows to ask for, ``(window, frame)``, and how: each window by itself."""

        def answer(inputs: Tensor) -> Answer:
            return centre(inputs)[:, None], None  # window 1 joint 3

        return rows, answer

    def _ask_sharing(
        self, rows: NDArray[np.integer], centre: Callable[..., Tensor]
    ) -> tuple[NDArray[np.integer], Ask]:
        """Returns the rows to ask for, ``(1, row)``, and how: windows share features of frames."""
        used, place = np.unique(rows, return_inverse=True)
        windows = torch.from_numpy(place.reshape(rows.shape)).to(self.info.device)

        def answer(inputs: Tensor) -> Answer:
            """Maps all frames in use ``(1 or 2, row, 17, c)`` to ``(1 or 2, window, 17, 3)``."""
            features = torch.cat(
                [self.network.frame_features(part) for part in inputs.split(BATCH * 27, 1)], 1
            )
            joints = [
                centre(inputs[:, part].flatten(0, 1), features[:, part].flatten(0, 1)).unflatten(
                    0, (len(inputs), -1)
                )
                for part in windows.split(BATCH)
            ]
            return torch.cat(joints, 1), None

        return used[None], answer

    def _lift_all(
        self,
        points: Array,
        score: Array,
        size_wh: tuple[int, int],
        focal: float,
        flip_test: bool,
        answer: Ask,
        others: Array | None = None,
    ) -> Array:
        """Returns the joints that :meth:`_lift_batch` gives; hypotheses go into ``others``."""
        check_pipeline(self.options, "seq2seq")
        out = np.empty((*points.shape[:3], 3), np.float32)
        for start in range(0, len(points), BATCH):
            part = slice(start, start + BATCH)
            batch = points[part], score[part], size_wh, focal, flip_test, answer
            out[part], hypotheses = self._lift_batch(*batch)
            if others is not None:
                others[part] = hypotheses
        return out

    def _lift_batch(
        self,
        points: Array,
        score: Array,
        size_wh: tuple[int, int],
        focal: float,
        flip_test: bool,
        answer: Ask,
    ) -> tuple[Array, Array | None]:
        """Normalises ``(window, frame, 17, 2)`` pixels, asks, undoes mirror and camera."""
        with torch.inference_mode():
            inputs, view_from_cam = self.network_inputs(points, score, size_wh, focal)
            both = torch.cat([inputs, mirror_joints(inputs)]) if flip_test else inputs
            with self._autocast():
                joints, others = answer(both)
            joints, others = joints.float(), None if others is None else others.float()
            if flip_test:
                straight, mirrored = joints.chunk(2)
                joints = (straight + mirror_joints(mirrored)) / 2
                others = None if others is None else _average_mirrored(*others.chunk(2))
            joints = self._finish(joints, view_from_cam)
            if others is not None:
                each = [self._finish(pose, view_from_cam) for pose in others.unbind(2)]
                others = torch.stack(each, 2)  # batch frame hypothesis joint 3
        return joints.cpu().numpy(), None if others is None else others.cpu().numpy()

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.info.device.split(":")[0], _DTYPES[self.precision])

    def _finish(self, joints: Tensor, view_from_cam: Tensor | None) -> Tensor:
        """Turns answers ``(batch, frame, 17, 3)`` into metres from the pelvis in camera axes."""
        joints = joints - joints[:, :, :1]
        if self.options.units == "picture":
            joints = scale_to_stature(joints)
        return joints if view_from_cam is None else to_camera(joints, view_from_cam)

    def network_inputs(
        self, points: Array, score: Array, size_wh: tuple[int, int], focal_px: float
    ) -> tuple[Tensor, Tensor | None]:
        """Returns what :meth:`normalise` makes of pixels ``(batch, frame, 17, 2)``, NaN where unseen.
        Unseen joints are (0, 0) for ``person``; for others they get a place, see
        :func:`~pose3d.lift.tracks.prepare_tracks`, which knows more than a window."""
        seen = np.asarray(np.isfinite(points).all(-1))
        missing: Array = np.zeros(2)
        if self.options.normalisation != "person" and not seen.all():
            points = np.stack([fill_unseen(window) for window in points])
            missing = np.array(size_wh) / 2  # nobody in the whole window
        xy = np.where(np.isfinite(points).all(-1, keepdims=True), points, missing)
        arrays = xy.astype(np.float32), np.where(seen, score, 0).astype(np.float32)
        xy_px, confidence = (torch.from_numpy(a).to(self.info.device) for a in arrays)
        return self.normalise(xy_px, confidence, size_wh, focal_px)

    def normalise(
        self, keypoints_px: Tensor, score: Tensor, size_wh: tuple[int, int], focal_px: float
    ) -> tuple[Tensor, Tensor | None]:
        """Turns pixels into inputs ``(batch, frame, 17, channels_in)`` and ``view_from_cam``.
        Finite pixels ``(batch, frame, 17, 2)``, ``score`` ``(batch, frame, 17)``, 0 where unseen.
        ``view_from_cam`` ``(batch, 3, 3)`` is None where the camera's axes are kept."""
        n = len(keypoints_px)
        size = keypoints_px.new_tensor(size_wh).expand(n, 2)
        view: Tensor | None = None
        if self.options.normalisation == "person":
            focal = keypoints_px.new_full((n,), focal_px)
            inputs, view = person_normalise(keypoints_px, score, size, focal)
        else:
            if self.options.normalisation == "crop" and size_wh != CROP_WH:
                raise ValueError("Whole tracks are cropped, by prepare_tracks, not windows")
            short = self.options.normalisation == "short-side"
            xy = (short_side_normalise if short else screen_normalise)(keypoints_px, size)
            inputs = torch.cat([xy, score[..., None]], -1)
        return inputs[..., : self.options.sizes.get("channels_in", 2)], view


def check_pipeline(options: LifterOptions, pipeline: str) -> None:
    """Refuses a pipeline without answers: with no recovery only kept frames have them."""
    hourglass = options.hourglass
    if hourglass is None or hourglass.recover is not None:
        return
    if pipeline == "seq2seq":
        raise UsageError(
            "This lifter has no answer for whole windows",
            "Use --pipeline seq2frame, or --recover linear",
        )
    if not hourglass.keep_centre:
        raise UsageError(MIDDLE_MISSING, "Use --keep-centre, or --recover linear")


def own_pipeline(options: LifterOptions) -> str:
    """Returns the pipeline that weights were made for; without a recovery there is only one."""
    hourglass = options.hourglass
    alone = hourglass is not None and hourglass.recover is None
    return "seq2frame" if alone else options.pipeline


def _average_mirrored(straight: Tensor, mirrored: Tensor) -> Tensor:
    """Averages hypotheses ``(batch, frame, hypothesis, 17, 3)`` with those of mirrored windows."""
    back = mirror_joints(mirrored.flatten(1, 2)).view(straight.shape)
    index = match_hypotheses(straight, back)[:, None, :, None, None].expand(straight.shape)
    return (straight + back.gather(2, index)) / 2


def match_hypotheses(first: Tensor, second: Tensor) -> Tensor:
    """Pairs hypotheses of two answers ``(batch, frame, hypothesis, joint, 3)``, one to one.
    ``(batch, hypothesis)``: for each of ``first`` its partner in ``second``, by the least sum of
    squared distances over the window."""
    n = first.shape[2]
    gaps = first[:, :, :, None] - second[:, :, None]  # batch frame first second joint 3
    cost = gaps.square().sum((1, 4, 5))  # batch first second
    orders = torch.tensor(list(itertools.permutations(range(n))), device=first.device)
    sums = cost[:, torch.arange(n, device=first.device), orders].sum(-1)  # batch order
    return orders[sums.argmin(1)]


def mirror_joints(points: Tensor) -> Tensor:
    """Mirrors inputs or joints ``(batch, frame, 17, x y ...)``: x = -x, left and right exchanged."""
    out = points[:, :, list(H36M17.mirror)].clone()
    out[..., 0] = -out[..., 0]
    return out


def load_lifter(
    path: Path, name: str, *, sha256: str = "", licence: str = "", device: str = "auto"
) -> Lifter:
    """Loads a lifter from a weights file of pose3d; name and hash are for records."""
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
    return Lifter(
        network=network.to(chosen), options=options, info=info, pipeline=own_pipeline(options)
    )
