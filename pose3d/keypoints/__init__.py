"""2D keypoint estimators: one file each, found by name."""

from __future__ import annotations

from typing import Any

from pose3d.errors import UsageError
from pose3d.types import KeypointEstimator
from pose3d.variants import load_variant

KEYPOINTS: dict[str, str] = {
    "blazepose": "pose3d.keypoints.blazepose:BlazePoseKeypoints",
    "tokenpose": "pose3d.keypoints.tokenpose:TokenPoseKeypoints",
}
"""Built-in estimators, name -> ``"module:Class"``.

A class that takes more than its name says so in ``ARGUMENT``, e.g. ``"FILE.safetensors"``: the words
that stand behind the colon in ``--keypoints NAME:FILE.safetensors``. It gets them as ``argument``
(None where there is no colon).
"""


def make_keypoints(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> KeypointEstimator:
    """Makes the 2D keypoint estimator called ``name``, fetching its weights when they are not here.

    Args:
        name: in :data:`KEYPOINTS` or an entry point ``keypoints.NAME`` of the group ``pose3d``;
            ``NAME:ARGUMENT`` where the estimator takes an argument.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: all cores.
        offline: never use the network.

    Raises:
        UsageError: there is no estimator of that name, or it takes no argument.
        MissingExtraError: it needs a package that is not installed.
        DeviceError: it cannot run on ``device``.
        WeightsError: its weights cannot be had.
    """
    base, colon, argument = name.partition(":")
    made_by = load_variant("keypoints", base, KEYPOINTS)
    more: dict[str, Any] = {}
    wanted: str | None = getattr(made_by, "ARGUMENT", None)
    if wanted is not None:
        if colon and not argument:
            raise UsageError(f"--keypoints {name!r} ends after the colon", f"Write {base}:{wanted}")
        more["argument"] = argument or None
    elif colon:
        raise UsageError(
            f"The 2D estimator {base!r} takes nothing behind a colon, but got {argument!r}",
            f"Write --keypoints {base}",
        )
    estimator: KeypointEstimator = made_by(device=device, threads=threads, offline=offline, **more)
    return estimator
