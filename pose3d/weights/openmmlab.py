"""ONNX networks that OpenMMLab published, and where copies of them lie.

OpenMMLab states no hashes. Those given here are stated alike by many projects that pinned the files;
where there is none, what is fetched is said to be unverified.

Reference: MMPose 1.3.2, ``projects/rtmpose/README.md``; ``Tau-J/rtmlib``, ``tools/solution``.
"""

from __future__ import annotations

from dataclasses import dataclass

_OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects/"
_TAU_J = "https://huggingface.co/Tau-J/RTMPose/resolve/main/"
"""Copies by RTMPose's first author."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedOnnx:
    """One network.

    Args:
        name: ``arch.tag``.
        archive: path of the zip under the publisher's address.
        source: what it is, in words.
        data: what it was trained on that is not for commercial use.
        sha256: of the ``.onnx`` file in the zip; None where it is not known.
        size_bytes: of that file; None where it is not known.
    """

    name: str
    archive: str
    source: str
    data: str
    sha256: str | None = None
    size_bytes: int | None = None

    @property
    def mirrors(self) -> tuple[str, ...]:
        """Addresses of the zip: the publisher's, then copies that are known to exist."""
        copies = (f"{_TAU_J}{self.archive}",) if self.archive.startswith("rtmposev1/") else ()
        return (f"{_OPENMMLAB}{self.archive}", *copies)


OPENMMLAB_ONNX = (
    PublishedOnnx(
        name="rtmpose.body7-s",
        archive="rtmposev1/onnx_sdk/"
        "rtmpose-s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504.zip",
        source="OpenMMLab, RTMPose-s, COCO-17, 256x192",
        data="Body7",
        sha256="9aeb635b83f86aea45cf45d85798f7eba1a162de8e0d721c44e54fe5eebaf47d",
    ),
    PublishedOnnx(
        name="rtmpose.body7-m",
        archive="rtmposev1/onnx_sdk/"
        "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip",
        source="OpenMMLab, RTMPose-m, COCO-17, 256x192",
        data="Body7",
        sha256="5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
        size_bytes=54_330_655,
    ),
    PublishedOnnx(
        name="rtmpose.halpe26-m",
        archive="rtmposev1/onnx_sdk/"
        "rtmpose-m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605.zip",
        source="OpenMMLab, RTMPose-m, Halpe-26, 256x192",
        data="Body7 and Halpe",
        sha256="26f3a19e61304a600dfb82d1001d41d24343b89fc70a33ffc84657e0b0bf2ecf",
        size_bytes=55_685_444,
    ),
    PublishedOnnx(
        name="rtmpose.wholebody-l",
        archive="rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-256x192_20231122.zip",
        source="OpenMMLab, RTMW-l, whole body, 256x192",
        data="Cocktail14",
    ),
    PublishedOnnx(
        name="rtmdet.person-nano",
        archive="rtmposev1/onnx_sdk/rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.zip",
        source="OpenMMLab, RTMDet-nano, people, 320x320",
        data="Objects365",
    ),
    PublishedOnnx(
        name="rtmdet.person-m",
        archive="rtmposev1/onnx_sdk/rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.zip",
        source="OpenMMLab, RTMDet-m, people, 640x640",
        data="Objects365",
    ),
    PublishedOnnx(
        name="yolox.humanart-tiny",
        archive="rtmposev1/onnx_sdk/yolox_tiny_8xb8-300e_humanart-6f3252f9.zip",
        source="OpenMMLab, YOLOX-tiny, people, 416x416",
        data="Human-Art",
        sha256="ceb11c07298f95c50d7c5abeb906d03340c85f23aa79e3e66966e7fb6c307250",
    ),
    PublishedOnnx(
        name="yolox.humanart-m",
        archive="rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip",
        source="OpenMMLab, YOLOX-m, people, 640x640",
        data="Human-Art",
        sha256="3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
        size_bytes=101_400_344,
    ),
)
