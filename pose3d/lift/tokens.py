"""Frame tokens averaged over all places in a window (describes each frame), and who was kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose3d.body.mappings import map_to_h36m
from pose3d.errors import UsageError
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.lifter import BATCH, Lifter
from pose3d.lift.sequence import present_parts
from pose3d.lift.tracks import prepare_tracks
from pose3d.lift.windows import RatePlan, apply_rate, cut_windows, plan_rate
from pose3d.result.camera import assumed_camera
from pose3d.result.record import PoseSequence

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChoice:
    """The frames of the clip in one window, ``[start, stop)``, and those the deep blocks saw."""

    start: int
    stop: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonTokens:
    """What the tokens say about one person."""

    features: NDArray[np.float32]  # (frame of the span, channel), NaN where absent
    windows: tuple[WindowChoice, ...]  # those that lifting uses; empty where nothing is pruned


def pruning_block(network: Hourglass) -> int:
    """Returns before which block the tokens are read: where pruning happens first, else half-way."""
    if network.options is not None:
        return network.options.at[0]
    return max(1, int(network.backbone.n_blocks) // 2)


def pool_tokens(network: Hourglass, inputs: Tensor) -> Tensor:
    """Returns what is clustered, ``(batch, frame, channel)``, before the first pruning."""
    tokens = network.backbone.embed(inputs)
    for i in range(pruning_block(network)):
        tokens = network.backbone.block(i, tokens)
    return network.pooled(tokens)


def read_tokens(pose: PoseSequence, lifter: Lifter) -> list[PersonTokens]:
    """Asks the lifter about every frame of a clip; one entry a person, in order.

    The camera is ``pose.camera``, else an assumed one. UsageError: no keypoints or tokens.
    """
    if pose.keypoints_px is None or pose.score is None:
        raise UsageError(
            f"The result of {pose.video.path} has no 2D keypoints", "Give one that has them"
        )
    if not isinstance(getattr(lifter, "network", None), Hourglass):
        raise UsageError(
            f"The lifter {lifter.info.name!r} has no frame tokens to cluster",
            "Choose a transformer of pose3d with --lifter, e.g. hot-mixste",
        )
    points, score = map_to_h36m(
        lifter.options.mapping, pose.keypoints_px, pose.score, pose.skeleton
    )
    camera = pose.camera or assumed_camera(pose.video.size_wh)
    points = camera.straighten(points, pose.video.size_wh)
    plan = plan_rate(float(pose.video.rate), lifter.options.rate_range)
    people = {
        span.person_id: _Person(len(pose.frame[span.rows]), int(pose.frame[span.rows.start]))
        for span in pose.spans
    }
    for part in present_parts(points, pose):
        track = np.concatenate([points[part], score[part, :, None]], -1)
        (track,), size_wh = prepare_tracks(
            [track], lifter.options.normalisation, pose.video.size_wh
        )
        reader = _Reader(lifter, size_wh, camera.focal_px)
        person = people[int(pose.person_id[part.start])]
        number = pose.frame[part].astype(np.float64)
        for rows, frames in zip(apply_rate(track, plan), apply_rate(number, plan), strict=True):
            own, at = _own_rows(frames, plan)
            person.note(reader.describe(rows)[own], at)
            person.windows += reader.choices(rows, frames)
    return [
        PersonTokens(features=person.features, windows=tuple(person.windows))
        for person in people.values()
    ]


class _Person:
    """Collects what is known of one person."""

    def __init__(self, length: int, first: int) -> None:
        self.features = np.full((length, 1), np.nan, np.float32)
        self.windows: list[WindowChoice] = []
        self._first = first

    def note(self, answers: Array, frames: NDArray[np.intp]) -> None:
        """Keeps ``(frame, channel)`` of frames of the clip."""
        if self.features.shape[1] != answers.shape[1]:
            self.features = np.full((len(self.features), answers.shape[1]), np.nan, np.float32)
        self.features[frames - self._first] = answers


def _own_rows(frames: Array, plan: RatePlan) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns which rows are frames of the clip (not put between two), and which frames they are."""
    own = np.arange(0, len(frames), plan.between + 1)
    return own, np.rint(frames[own]).astype(np.intp)


@dataclass(frozen=True, slots=True)
class _Reader:
    """A lifter with the camera of one clip."""

    lifter: Lifter
    size_wh: tuple[int, int]
    focal_px: float

    def describe(self, track: Array) -> NDArray[np.float32]:
        """Averages the tokens of ``(row, 17, x y score)``, reflected at the ends, over places."""
        frames, n = self.lifter.frames, len(track)
        padded = np.pad(np.arange(n), frames - 1, mode="reflect" if n > 1 else "edge")
        total: Array | None = None
        starts = np.arange(n + frames - 1)
        for inputs, part in self._inputs(track, padded, starts):
            with torch.inference_mode():
                pooled = pool_tokens(self.lifter.network, inputs).float().cpu().numpy()
            if total is None:
                total = np.zeros((n + 2 * (frames - 1), pooled.shape[-1]))
            for begin, window in zip(part, pooled, strict=True):
                total[begin : begin + frames] += window
        assert total is not None
        return (total[frames - 1 : frames - 1 + n] / frames).astype(np.float32)

    def choices(self, track: Array, frames: Array) -> list[WindowChoice]:
        """Lets the network prune the windows of lifting; ``frames``: that of each row, a float."""
        network = self.lifter.network
        if network.options is None:
            return []
        out = []
        cut = cut_windows(len(track), self.lifter.frames)
        starts = np.array([int(w.rows[0]) for w in cut])
        order = np.arange(len(track)) if len(cut) > 1 else cut[0].rows
        for inputs, part in self._inputs(track, order, starts):
            with torch.inference_mode():
                index = network.forward_with_index(inputs)[1].cpu().numpy()
            for begin, chosen in zip(part, index, strict=True):
                kept = order[begin + chosen]
                here = order[begin : begin + self.lifter.frames]
                # A frame put between two stands for the nearer one; reflected ones for themselves.
                numbers = np.unique(np.rint(frames[kept]).astype(int)).tolist()
                first, last = round(float(frames[here].min())), round(float(frames[here].max()))
                out.append(WindowChoice(start=first, stop=last + 1, kept=tuple(numbers)))
        return out

    def _inputs(
        self, track: Array, order: NDArray[np.intp], starts: NDArray[np.intp]
    ) -> Iterator[tuple[Tensor, NDArray[np.intp]]]:
        """Yields normalised windows ``(batch, frame, 17, channel)`` and where they start."""
        place = np.arange(self.lifter.frames)
        for first in range(0, len(starts), BATCH):
            part = starts[first : first + BATCH]
            window = track[order[part[:, None] + place]]
            inputs, _ = self.lifter.network_inputs(
                window[..., :2], window[..., 2], self.size_wh, self.focal_px
            )
            yield inputs, part
