"""The table of weights that are fetched, and what is known about one file of weights.

Four kinds of entries:

* ``wheel``: a file inside a published Python wheel. ``pip download`` fetches the wheel by name and
  version (so a mirror, a proxy or an offline index configured for pip is respected, and no address
  is written here); wheel and member are checked against the hashes below and only the member is kept.
* ``mirror``: a file at one of several addresses, plain or alone in a zip. Of no use to the default
  chain, fetched only when asked for by name.
* ``packaged``: lifters that ship with pose3d, found by their file names.
* ``user``: files that the user imported or trained, found by their file names in the cache folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from pose3d.weights.openmmlab import OPENMMLAB_ONNX, PublishedOnnx


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """A file inside a wheel of the Python package index.

    Args:
        requirement: exact version, e.g. ``"mediapipe==0.10.21"``.
        sha256: of the wheel.
        size_bytes: of the wheel, to tell the user what is downloaded.
        path: of the file inside the wheel.
    """

    requirement: str
    sha256: str
    size_bytes: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One file of weights.

    Args:
        name: ``arch.tag``, what users type.
        file_name: name of the file on disk.
        kind: ``"wheel"``, ``"packaged"`` or ``"user"``.
        source: where it comes from, in words.
        licence: SPDX identifier, or what the model card says.
        sha256: of the file; None where nobody stated one (files of the user).
        size_bytes: of the file; None when it is not there and unknown.
        member: where to fetch it (kind ``"wheel"``).
        mirrors: addresses of the file, or of a zip with it, in the order in which they are tried
            (kind ``"mirror"``).
    """

    name: str
    file_name: str
    kind: str
    source: str
    licence: str
    sha256: str | None
    size_bytes: int | None
    member: WheelMember | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def is_fetched(self) -> bool:
        """It is fetched when needed, rather than shipped or placed by the user."""
        return self.member is not None or bool(self.mirrors)


def _mediapipe(path: str) -> WheelMember:
    return WheelMember(
        requirement="mediapipe==0.10.21",
        sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        size_bytes=35_622_638,
        path=path,
    )


def _onnx(published: PublishedOnnx) -> WeightsEntry:
    return WeightsEntry(
        name=published.name,
        file_name=f"{published.name}.onnx",
        kind="mirror",
        source=published.source,
        licence=f"Apache-2.0; trained on {published.data}: not for commercial use",
        sha256=published.sha256,
        size_bytes=published.size_bytes,
        mirrors=published.mirrors,
    )


WEIGHTS: dict[str, WeightsEntry] = {
    entry.name: entry
    for entry in (
        WeightsEntry(
            name="blazepose.detection",
            file_name="pose_detection.tflite",
            kind="wheel",
            source="MediaPipe 0.10.21, pose detector (BlazePose, 224x224)",
            licence="Apache-2.0",
            sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            size_bytes=2_959_046,
            member=_mediapipe("mediapipe/modules/pose_detection/pose_detection.tflite"),
        ),
        WeightsEntry(
            name="blazepose.landmark-full",
            file_name="pose_landmark_full.tflite",
            kind="wheel",
            source="MediaPipe 0.10.21, pose landmarks (BlazePose GHUM Full, 256x256)",
            licence="Apache-2.0",
            sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            size_bytes=6_440_512,
            member=_mediapipe("mediapipe/modules/pose_landmark/pose_landmark_full.tflite"),
        ),
        *map(_onnx, OPENMMLAB_ONNX),
    )
}
"""Weights that are fetched, by name. Packaged and imported lifters are found by
:func:`~pose3d.weights.finding.list_weights`."""
