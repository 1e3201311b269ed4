"""HDR pictures for networks and screens that know SDR (EETF of ITU-R BT.2390-8, section 5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PEAK_NITS = 1000.0  # of the source: HLG is defined for it (BT.2100), most PQ graded to it
WHITE_NITS = 100.0  # of a reference screen for SDR (BT.2035)
LEVELS = 4096
# ITU-R BT.2087, linear light.
BT709_FROM_BT2020 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def nits_from_pq(signal: Array) -> Array:
    """Returns luminance for PQ signals 0..1 (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = np.clip(signal, 0, 1) ** (1 / m2)
    return 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def pq_from_nits(nits: Array) -> Array:
    """Returns the PQ signal 0..1 of a luminance."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (np.clip(nits, 0, 10000) / 10000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def nits_from_hlg(signal: Array) -> Array:
    """Returns the light of a 1000-nit screen for HLG signals 0..1, each channel by itself (BT.2100)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return PEAK_NITS * scene**1.2


def roll_off(nits: Array) -> Array:
    """Maps 0 to the source's peak to 0 to SDR's white, both in nits (BT.2390, EETF)."""
    peak = pq_from_nits(np.array(PEAK_NITS))
    level, top = pq_from_nits(nits) / peak, pq_from_nits(np.array(WHITE_NITS)) / peak
    knee = 1.5 * top - 0.5
    t = np.clip((level - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * top
    )
    return nits_from_pq(np.where(level < knee, level, spline) * peak)


@dataclass(frozen=True)
class Transfer:
    """One HDR signal."""

    name: str
    is_pq: bool  # else HLG

    @cached_property
    def _light(self) -> NDArray[np.float32]:
        """Signal level -> linear light, 1 at the peak."""
        signal = np.linspace(0, 1, LEVELS)
        nits = nits_from_pq(signal) if self.is_pq else nits_from_hlg(signal)
        return np.minimum(nits / PEAK_NITS, 1).astype(np.float32)

    @cached_property
    def _shown(self) -> NDArray[np.uint8]:
        """Square root of linear light in levels -> 8 bits with the gamma of sRGB's screens."""
        light = np.linspace(0, 1, LEVELS) ** 2
        shown = (roll_off(light * PEAK_NITS) / WHITE_NITS).clip(0, 1) ** (1 / 2.2)
        return np.round(255 * shown).astype(np.uint8)

    def to_sdr(self, rgb48: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Returns ``(h, w, 3)`` RGB 8 bits for BT.2020 pictures of 16 bits a channel."""
        light = self._light[rgb48 >> 4]
        light = cv2.transform(light, BT709_FROM_BT2020.astype(np.float32))
        np.clip(light, 0, 1, out=light)
        cv2.sqrt(light, light)
        return self._shown[(light * (LEVELS - 1) + 0.5).astype(np.uint16)]


# Transfer characteristics of ITU-T H.273 -> how they are shown.
SDR_FROM_HDR = {16: Transfer("PQ", True), 18: Transfer("HLG", False)}
