"""The four cameras of Human3.6M for the seven subjects with published 3D poses.

Source: facebookresearch/VideoPose3D ``common/h36m_dataset.py`` (translations in millimetres).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import rotate_by_quaternion

Array = NDArray[np.floating]

RATE = 50  # frames per second


@dataclass(frozen=True, slots=True, kw_only=True)
class H36MCamera:
    """One camera in one subject's session."""

    name: str  # serial number
    size_wh: tuple[int, int]
    focal_xy_px: tuple[float, ...]
    centre_px: tuple[float, ...]
    radial: tuple[float, ...]  # coefficients of r^2, r^4, r^6
    tangential: tuple[float, ...]
    world_from_cam: tuple[float, ...]  # unit quaternion w, x, y, z
    position_world_m: tuple[float, ...]

    @property
    def focal_px(self) -> float:
        """Mean of both focal lengths."""
        return sum(self.focal_xy_px) / 2

    def to_camera(self, points_world_m: Array) -> Array:
        """Moves ``(..., 3)`` world points, metres, into the camera's axes (x right, y down)."""
        w, x, y, z = self.world_from_cam
        away = np.asarray(points_world_m, np.float64) - self.position_world_m
        return rotate_by_quaternion(np.array([w, -x, -y, -z]), away)

    def project(self, points_cam_m: Array) -> Array:
        """Projects ``(..., 3)`` camera points, metres, with the lens' distortion to pixels.
        Reference: VideoPose3D ``common/camera.py``, ``project_to_2d``."""
        points = np.asarray(points_cam_m, np.float64)
        # Clamped as published: points far outside the picture would come back into it.
        xy = np.clip(points[..., :2] / points[..., 2:], -1, 1)
        r2 = (xy**2).sum(-1, keepdims=True)
        radial = 1 + (r2 ** np.arange(1, 4) * self.radial).sum(-1, keepdims=True)
        tangential = (xy * self.tangential).sum(-1, keepdims=True)
        bent = xy * (radial + tangential) + r2 * np.asarray(self.tangential)
        return bent * self.focal_xy_px + self.centre_px


# Serial number, size, focal lengths, principal point; radial distortion; tangential distortion.
_LENSES = """
54138969 1000 1002 1145.0494384765625 1143.7811279296875 512.54150390625 515.4514770507812
  -0.20709891617298126 0.24777518212795258 -0.0030751503072679043
  -0.0009756988729350269 -0.00142447161488235
55011271 1000 1000 1149.6756591796875 1147.5916748046875 508.8486328125 508.0649108886719
  -0.1942136287689209 0.2404085397720337 0.006819975562393665
  -0.0016190266469493508 -0.0027408944442868233
58860488 1000 1000 1149.1407470703125 1148.7989501953125 519.8158569335938 501.40264892578125
  -0.2083381861448288 0.25548800826072693 -0.0024604974314570427
  0.0014843869721516967 -0.0007599993259645998
60457274 1000 1002 1145.5113525390625 1144.77392578125 514.9682006835938 501.88201904296875
  -0.198384091258049 0.21832367777824402 -0.008947807364165783
  -0.0005872055771760643 -0.0018133620033040643
"""

# subject -> of each camera: quaternion, then position in millimetres
_PLACES: dict[str, tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]] = {
    "S1": (
        ((0.14070565, -0.15007018, -0.7552408, 0.62232804), (1841.107, 4955.2847, 1563.4454)),
        ((0.6157188, -0.7648363, -0.14833826, 0.11794741), (1761.2786, -5078.007, 1606.265)),
        ((0.14651473, -0.14647852, 0.76530236, -0.60941756), (-1846.7777, 5215.0464, 1491.9724)),
        ((0.58340085, -0.7853162, 0.14548823, -0.14749594), (-1794.7897, -3722.699, 1574.8927)),
    ),
    "S5": (
        ((0.14673772, -0.16237096, -0.7551893, 0.6178939), (2097.3916, 4880.945, 1605.7324)),
        ((0.61597586, -0.7626792, -0.15728192, 0.1189815), (2031.7008, -5167.933, 1612.9231)),
        ((0.14291371, -0.12907842, 0.7678385, -0.6110143), (-1620.5948, 5171.6587, 1496.437)),
        ((0.592048, -0.7814218, 0.12747486, -0.15036418), (-1637.1737, -3867.3174, 1547.0332)),
    ),
    "S6": (
        ((0.13378978, -0.15692396, -0.75710905, 0.61988795), (1935.4518, 4950.2456, 1618.0839)),
        ((0.61471975, -0.7628813, -0.16174768, 0.11819245), (1969.804, -5128.739, 1632.7788)),
        ((0.15299481, -0.13529131, 0.76460963, -0.6112781), (-1769.5964, 5185.3613, 1476.9934)),
        ((0.59161013, -0.7804774, 0.1283227, -0.15615939), (-1721.6687, -3884.1313, 1540.4879)),
    ),
    "S7": (
        ((0.14352418, -0.16313368, -0.75483286, 0.6188825), (1974.513, 4926.3545, 1597.8326)),
        ((0.6141673, -0.76382625, -0.15966456, 0.117792994), (1937.0585, -5119.79, 1631.5665)),
        ((0.1455006, -0.12874816, 0.76605165, -0.61271393), (-1741.8112, 5208.2495, 1464.8246)),
        ((0.5912848, -0.78217643, 0.12445474, -0.15196487), (-1734.7106, -3832.4214, 1548.583)),
    ),
    "S8": (
        ((0.14110588, -0.15589868, -0.75619173, 0.61964405), (2150.6519, 4896.161, 1611.9047)),
        ((0.61696017, -0.7647668, -0.1484635, 0.11158158), (2219.9656, -5148.453, 1613.0441)),
        ((0.1471444, -0.1337712, 0.76701283, -0.61003697), (-1571.2216, 5137.0186, 1498.1761)),
        ((0.59278244, -0.78258705, 0.12147816, -0.14631996), (-1476.9133, -3896.7412, 1547.9722)),
    ),
    "S9": (
        ((0.15540588, -0.15548216, -0.75320953, 0.6199595), (2044.4585, 4935.117, 1481.2275)),
        ((0.6187845, -0.7634735, -0.14132239, 0.11933968), (1990.9597, -5123.8105, 1568.8048)),
        ((0.13357827, -0.13671005, 0.76894546, -0.61007386), (-1670.9922, 5211.986, 1528.388)),
        ((0.5879399, -0.7823407, 0.14276144, -0.1479487), (-1696.0435, -3827.0999, 1591.4127)),
    ),
    "S11": (
        ((0.15232472, -0.1544232, -0.75475633, 0.619107), (2098.4402, 4926.5547, 1500.2786)),
        ((0.61894494, -0.7600917, -0.15300633, 0.12552583), (2083.1824, -4912.173, 1561.0786)),
        ((0.14943229, -0.15650228, 0.7681234, -0.60263044), (-1609.8153, 5177.336, 1537.8967)),
        ((0.58942515, -0.7818877, 0.13991211, -0.14715362), (-1590.738, -3854.169, 1578.0176)),
    ),
}


def _make_camera(lens: list[str], turn: tuple[float, ...], place: tuple[float, ...]) -> H36MCamera:
    values = [float(word) for word in lens[3:]]
    return H36MCamera(
        name=lens[0],
        size_wh=(int(lens[1]), int(lens[2])),
        focal_xy_px=tuple(values[:2]),
        centre_px=tuple(values[2:4]),
        radial=tuple(values[4:7]),
        tangential=tuple(values[7:]),
        world_from_cam=turn,
        position_world_m=tuple(v / 1000 for v in place),
    )


_LENS_WORDS = _LENSES.split()
H36M_CAMERAS: dict[str, tuple[H36MCamera, ...]] = {  # subject -> cameras in the order of the files
    subject: tuple(
        _make_camera(_LENS_WORDS[12 * k : 12 * k + 12], turn, place)
        for k, (turn, place) in enumerate(places)
    )
    for subject, places in _PLACES.items()
}
