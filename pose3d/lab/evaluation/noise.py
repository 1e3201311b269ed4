"""Measured 2D noise beside generated 2D noise: does training see what real detectors do?

Measured are BlazePose on rendered people with exact truth (``rendered/tracks.npz``) and a COCO
detector on a dancer in nine views (``aist/aist_break.npz``); generated are the parametric noise, the
residuals of real tracks, and the mixture that recipes train with, on motions of people who were
never trained on. Generators may be fitted to the ``fit`` parts only; the ``val`` parts are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pose3d.errors import DataError
from pose3d.lab.datasets.multiview import load_multiview_bank
from pose3d.lab.datasets.noise import ResidualBank, load_tracks
from pose3d.lab.evaluation.noise_sources import (
    RATE,
    Detections,
    generate_noise,
    read_multiview_noise,
    read_rendered_noise,
)
from pose3d.lab.evaluation.noise_statistics import (
    KINDS,
    LAGS,
    SCORE_EDGES,
    measure_noise,
)
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.recipe import SAMPLE_TRIALS

OnStep = Callable[[str, int, int], None]
"""Called with what is being done, the sources done and the sources in all."""

TRACK_FILE, MULTIVIEW_FILE = "rendered/tracks.npz", "aist/aist_break.npz"
MOTION_FILES = ("mocap/cmu.npz", "mocap/accad.npz")
FITTED = ("BlazePose fit", "COCO fit")
"""Measured sources that a generator may be fitted to, and is compared with."""
CLEARLY = 1.5
"""A generated figure this many times outside of the range of the measured ones differs clearly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseOptions:
    """What is generated.

    Args:
        rounds: how often each piece of motion is filmed.
        seed: of everything random.
    """

    rounds: int = 8
    seed: int = 0


def evaluate_noise(
    data: Path, options: NoiseOptions | None = None, *, on_step: OnStep | None = None
) -> dict[str, Any]:
    """Measures the noise of every source below ``data`` and of the generators.

    Args:
        data: folder with ``rendered/``, ``aist/`` and ``mocap/``.
        options: default :class:`NoiseOptions`.
        on_step: called while it goes on.

    Returns:
        ``sources``: name -> statistics (:func:`~pose3d.lab.evaluation.noise_statistics.measure_noise`) with
        ``generated``. ``compared``: rows of :func:`compare_noise`. ``axes``: what the lists of the
        statistics run over. ``options``: what was asked for.

    Raises:
        DataError: a file is missing or of another layout.
    """
    options = options or NoiseOptions()
    sources = _sources(data, options)
    measured: dict[str, Any] = {}
    for done, (name, read) in enumerate(sources.items()):
        if on_step is not None:
            on_step(name, done, len(sources))
        found = read()
        measured[name] = {"generated": found.generated, **measure_noise(found)}
    if on_step is not None:
        on_step("", len(sources), len(sources))
    return {
        "sources": measured,
        "compared": compare_noise(measured),
        "axes": {
            "by_joint": list(KINDS),
            "persists, all, moving": [f"{lag / RATE:.3f} s" for lag in LAGS],
            "score": list(SCORE_EDGES),
        },
        "options": asdict(options),
    }


def _sources(data: Path, options: NoiseOptions) -> dict[str, Callable[[], Detections]]:
    """Returns how each source is read, in the order in which they are shown."""
    if not data.is_dir():
        raise DataError(f"There is no folder {data}", "Check --data")
    tracks, views = data / TRACK_FILE, data / MULTIVIEW_FILE
    motions = [data / name for name in MOTION_FILES]
    for path in (tracks, views, *motions):
        if not path.is_file():
            raise DataError(f"{path} is missing", "Give the folder of the reference data by --data")

    def generated(share: float) -> Callable[[], Detections]:
        return lambda: generate_noise(
            motions, bank(), share, rounds=options.rounds, seed=options.seed
        )

    def bank() -> ResidualBank:
        mine, _ = load_tracks(tracks, "fit", leave_out=SAMPLE_TRIALS)
        return ResidualBank.join([mine, load_multiview_bank(views, "fit")])

    return {
        "BlazePose fit": lambda: read_rendered_noise(tracks, "fit"),
        "BlazePose val": lambda: read_rendered_noise(tracks, "val"),
        "COCO fit": lambda: read_multiview_noise(views, "fit"),
        "COCO val": lambda: read_multiview_noise(views, "val"),
        "parametric": generated(0.0),
        "residuals": generated(1.0),
        "mixture": generated(BatchOptions().residual_share),
    }


# -- headline figures --------------------------------------------------------------------------

Figure = tuple[str, str, Callable[[Mapping[str, Any]], float]]
"""Words, unit (``%`` of the person's size or of frames, ``s``, or nothing) and how to get it."""


def _mean(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


FIGURES: tuple[Figure, ...] = (
    ("error, median", "%", lambda s: s["median"]),
    ("error, 90th percentile", "%", lambda s: s["p90"]),
    ("bias over views, mean of joints", "%", lambda s: _mean(s["bias"]["over_views"])),
    ("spread, mean of joints", "%", lambda s: _mean(s["spread"]["by_joint"])),
    ("- constant over 3 s", "%", lambda s: _mean(s["spread"]["constant"])),
    ("- moving", "%", lambda s: _mean(s["spread"]["moving"])),
    ("jitter from frame to frame", "%", lambda s: s["jitter"]["all"]),
    ("gross errors", "%", lambda s: s["gross"]["share"]),
    ("- one follows after 1/30 s", "", lambda s: s["gross"]["persists"][0]),
    ("- after 1/10 s", "", lambda s: s["gross"]["persists"][1]),
    ("- after 1/3 s", "", lambda s: s["gross"]["persists"][2]),
    ("- length of a burst", "s", lambda s: s["gross"]["run_s"]),
    ("autocorrelation at 1/30 s", "", lambda s: s["autocorrelation"]["all"][0]),
    ("- at 1/10 s", "", lambda s: s["autocorrelation"]["all"][1]),
    ("- at 1/3 s", "", lambda s: s["autocorrelation"]["all"][2]),
    ("arms exchanged", "%", lambda s: s["swaps"]["arms"]["share"]),
    ("- seen from behind", "%", lambda s: s["swaps"]["arms"]["by_heading"]["back"]),
    ("legs exchanged", "%", lambda s: s["swaps"]["legs"]["share"]),
    ("- seen from the side", "%", lambda s: s["swaps"]["legs"]["by_heading"]["side"]),
    ("- one follows after 1/30 s", "", lambda s: s["swaps"]["legs"]["persists"]),
    ("wrist on the other wrist", "%", lambda s: s["swaps"]["on_partner"][2]),
    ("ankle on the other ankle", "%", lambda s: s["swaps"]["on_partner"][5]),
    ("elbow and wrist together", "", lambda s: s["neighbours"]["elbow-wrist"]),
    ("hips together", "", lambda s: s["neighbours"]["hips"]),
    ("shoulder and hip together", "", lambda s: s["neighbours"]["shoulder-hip"]),
    ("score below 0.3", "%", lambda s: s["score"]["low"]),
    ("- of wrists", "%", lambda s: s["score"]["low_by_joint"][2]),
    ("- of gross errors", "%", lambda s: s["score"]["gross_low"]),
    ("error at a score below 0.1", "%", lambda s: s["score"]["mean_error"][0]),
    ("- of 0.5 to 0.7", "%", lambda s: s["score"]["mean_error"][3]),
    ("outside the picture: error", "%", lambda s: s["outside"]["median"]),
    ("- score", "", lambda s: s["outside"]["score_median"]),
)


def compare_noise(sources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Puts headline figures of all sources side by side.

    Args:
        sources: name -> statistics.

    Returns:
        Rows with ``what``, ``unit``, ``values`` (by source) and ``off`` (by generated source): how many
        times the figure lies above (> 1) or below (< 1) the range of the measured sources in
        ``FITTED``; 1 inside of it, NaN where nothing was measured.
    """
    rows = []
    for what, unit, get in FIGURES:
        values = {name: float(get(source)) for name, source in sources.items()}
        range_ = [values[n] for n in FITTED if n in values and not math.isnan(values[n])]
        rows.append(
            {
                "what": what,
                "unit": unit,
                "values": values,
                "off": {
                    name: _times_outside(values[name], range_)
                    for name, source in sources.items()
                    if source["generated"]
                },
            }
        )
    return rows


def _times_outside(value: float, measured: list[float]) -> float:
    if not measured or math.isnan(value):
        return math.nan
    low, high = min(measured), max(measured)
    if low <= value <= high:
        return 1.0
    edge = high if value > high else low
    return value / edge if edge > 0 else math.inf
