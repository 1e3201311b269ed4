"""A clip of a synthetic person: drawn, looked at by BlazePose, with exact truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.errors import UsageError, unknown_name
from pose3d.lab.datasets.anatomy import ANATOMICAL
from pose3d.lab.datasets.noise import DETECTED
from pose3d.lab.synthesis.bodies import draw_body
from pose3d.lab.synthesis.pictures import Painter, develop, draw_look
from pose3d.lab.synthesis.places import draw_place
from pose3d.lab.synthesis.posing import nose_and_feet, pose_body, put_on_floor
from pose3d.lab.synthesis.recordings import Recordings
from pose3d.lab.synthesis.views import draw_view
from pose3d.lab.synthesis.wardrobe import dress
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.video.picture import Image

Array = NDArray[np.float64]

_LEAST_PRESENCE = 0.5
_SPLITS = ("train", "val", "test")
WATCHERS = ("blazepose", "blazepose-heavy")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmOptions:
    """What is filmed."""

    clips: int
    frames: int = 64  # of a clip
    seed: int = 0
    leave_out: tuple[str, ...] = ()  # recordings
    split: str = "train"  # of the motion files; ``val`` and ``test`` become ``val``
    vary: bool = False  # most people take poses that nobody recorded
    slim: bool = False  # keep only what training reads, see :func:`slim_down`
    keypoints: str = WATCHERS[0]  # which BlazePose looks

    def __post_init__(self) -> None:
        if self.split not in _SPLITS:
            raise unknown_name("split", self.split, _SPLITS)
        if self.keypoints not in WATCHERS:
            raise unknown_name("watcher", self.keypoints, WATCHERS)
        if self.slim and self.split != "train":
            raise UsageError(
                f"--slim keeps what training reads, and split {self.split!r} is not trained on",
                "Leave one of them out",
            )


class Watcher:
    """BlazePose as it runs on a video of one person: found once, then followed."""

    def __init__(self, keypoints: str = WATCHERS[0]) -> None:
        self._detector = make_detector(WATCHERS[0], threads=1)
        self._keypoints = make_keypoints(keypoints, threads=1)

    def watch(self, pictures: Iterable[Image]) -> dict[str, Array]:
        """Returns ``lm_px (frame, 33, 2)``, ``visibility (frame, 33)``, ``world_m (frame, 33, 3)``
        and ``detected (frame,)`` of each picture, NaN where nobody is."""
        n = len(BLAZEPOSE33)
        nobody = (np.full((n, 2), np.nan), np.zeros(n), np.full((n, 3), np.nan), False)
        seen: list[tuple[Any, Any, Any, bool]] = []
        region = None
        for picture in pictures:
            if region is None:
                people = self._detector.detect(picture)
                assert people.regions is not None
                region = people.regions[:1]
            if not len(region):
                region = None
                seen.append(nobody)
                continue
            where = Detections(
                boxes_xyxy_px=np.zeros((1, 4), np.float32),
                score=np.ones(1, np.float32),
                regions=region,
            )
            found = self._keypoints.estimate(picture, where)
            assert found.world_m is not None
            there = bool(found.presence[0] >= _LEAST_PRESENCE)
            region = found.regions if there else None
            answer = (found.keypoints_px[0], found.score[0], found.world_m[0], True)
            seen.append(answer if there else nobody)
        columns = [np.array(column) for column in zip(*seen, strict=True)]
        return dict(zip(("lm_px", "visibility", "world_m", "detected"), columns, strict=True))


def film_clip(
    number: int,
    options: FilmOptions,
    recordings: Recordings,
    painter: Painter,
    watcher: Watcher,
    shown: list[Image] | None = None,
) -> dict[str, Any]:
    """Films the clip that ``number`` and ``options.seed`` decide and looks at it; returns arrays
    named as in ``samples/README.md``; ``shown`` gets the pictures."""
    rng = np.random.default_rng([options.seed, number])
    take, rate, start, points = recordings.draw(options.frames, rng)
    if options.vary:  # random numbers of its own, so clips without it stay as they are
        points = recordings.draw_varied(points, np.random.default_rng([options.seed, number, 1]))
    body = draw_body(rng)
    posed = pose_body(body, points)
    if options.vary:
        posed = put_on_floor(body, posed)
    layers = dress(body, rng)
    view = draw_view(posed.joints_m, rng)
    place = draw_place(posed.joints_m[:, 0], view.centre_m, rng)
    look = draw_look(rng)
    drawn = painter.draw(body, layers, posed, place, view)
    pictures = (develop(picture, look, rng) for picture in drawn)
    seen = watcher.watch(pictures if shown is None else _note(pictures, shown))
    joints_cam = view.see(posed.joints_m)
    nose, feet = nose_and_feet(body, posed)
    f, (width, height) = view.focal_px, view.size_wh
    return seen | {
        "joints_cam_m": joints_cam.astype(np.float32),
        "joints_px": view.project(joints_cam).astype(np.float32),
        "nose_cam_m": view.see(nose[:, None])[:, 0].astype(np.float32),
        "feet_cam_m": view.see(feet).astype(np.float32),
        "lm_px": seen["lm_px"].astype(np.float32),
        "visibility": seen["visibility"].astype(np.float16),
        "world_m": seen["world_m"].astype(np.float16),
        "heading": np.rad2deg(view.heading_rad).astype(np.float16),
        "elevation_deg": view.elevation_deg(posed.joints_m[:, 0]).astype(np.float16),
        "K": np.array([[[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]]], np.float32),
        "size_wh": np.array([view.size_wh], np.int16),
        "fps": np.array([rate], np.float32),
        "start_s": np.array([start], np.float32),
        "name": np.array([take.name]),
        "subject": np.array([take.subject]),
        "action": np.array([take.action]),
        "split": np.array(["fit" if options.split == "train" else "val"]),
        "body": np.array([body.name]),
        "occluder": np.array([place.front]),
        "jpeg_quality": np.array([look["quality"]], np.int16),
        "definition": np.array([ANATOMICAL]),
    }


def _note(pictures: Iterable[Image], shown: list[Image]) -> Iterator[Image]:
    for picture in pictures:
        shown.append(picture)
        yield picture


def slim_down(tracks: dict[str, Any]) -> dict[str, Any]:
    """Returns a track file for training alone: without ``world_m``, landmarks that are not lifted NaN;
    pixels rounded to 1/16, metres to 1/1024, scores to 1/64."""
    out = {name: array for name, array in tracks.items() if name != "world_m"}
    used = [BLAZEPOSE33.index[name] for name in DETECTED]
    points = np.full_like(tracks["lm_px"], np.nan)
    points[:, used] = tracks["lm_px"][:, used]
    score = np.zeros_like(tracks["visibility"])
    score[:, used] = np.round(tracks["visibility"][:, used] * 64) / 64
    out |= {"lm_px": np.round(points * 16) / 16, "visibility": score}
    out["joints_px"] = np.round(tracks["joints_px"] * 16) / 16
    for name in {"joints_cam_m", "nose_cam_m", "feet_cam_m"} & set(tracks):
        out[name] = np.round(tracks[name] * 1024) / 1024
    return out
