"""What speaks for a track being a person, other than the detector's score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.networks2d.interfaces import Keypoints
from pose3d.tracking.likeness import body_joints

Array = NDArray[np.floating]

MIN_TRUST = 0.75  # below it nobody is believed in
SURE_TRUST = 0.9  # above it a track needs no other proof
_MIN_BODY = 0.1
_VISIBLE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Means over the frames of a track."""

    frames: int = 0
    presence: float = 0.0  # probability of a person, says the network of the keypoints
    on_mask: float | None = None  # share of the visible limbs in the outline that it draws
    body: float = 1.0  # share of frames with more in view than head and shoulders

    def __add__(self, other: Evidence) -> Evidence:
        n = self.frames + other.frames
        share = other.frames / max(n, 1)
        known = self.on_mask if other.on_mask is None else other.on_mask
        if self.on_mask is not None and other.on_mask is not None:
            known = self.on_mask + share * (other.on_mask - self.on_mask)
        return Evidence(
            frames=n,
            presence=self.presence + share * (other.presence - self.presence),
            on_mask=known,
            body=self.body + share * (other.body - self.body),
        )

    @property
    def trust(self) -> float | None:
        """How far the network agrees with itself: a thing is given a pose, but its outline is not
        that of the pose, or it is not always taken for a person. None: it draws no outline."""
        return None if self.on_mask is None else self.presence * self.on_mask

    @property
    def believed(self) -> bool:
        """Whether enough speaks for a person."""
        return self.trust is None or self.trust >= MIN_TRUST

    @property
    def partial(self) -> bool:
        """Whether only head and shoulders were seen: the joints below them are inventions."""
        return self.body < _MIN_BODY


def evidence_of(seen: Keypoints, size_wh: tuple[int, int], skeleton: Skeleton) -> Evidence:
    """Returns what one person's keypoints in one picture say."""
    points, score = seen.keypoints_px[0], seen.score[0]
    weight = score * ((points >= 0) & (points < size_wh)).all(-1)
    on_mask = None
    if seen.on_mask is not None:
        limbs = body_joints(skeleton)
        weights = np.maximum(weight[limbs], 1e-6)
        on_mask = float((weights * seen.on_mask[0, limbs]).sum() / weights.sum())
    body = float(_shows_body(weight, skeleton))
    return Evidence(frames=1, presence=float(seen.presence[0]), on_mask=on_mask, body=body)


def _shows_body(score: Array, skeleton: Skeleton) -> bool:
    """Tells whether a hip, or elbow and wrist of an arm, are visible, or the skeleton has none."""
    seen = {name: bool(score[i] >= _VISIBLE) for name, i in skeleton.index.items()}
    groups: list[tuple[str, ...]] = [(f"{side}_hip",) for side in ("left", "right")]
    groups += [(f"{side}_elbow", f"{side}_wrist") for side in ("left", "right")]
    known = [group for group in groups if group[0] in seen and group[-1] in seen]
    return not known or any(all(seen[name] for name in group) for group in known)
