"""The page: everything that it needs in one HTML file, no request to anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from pose3d.arguments import checked
from pose3d.body.skeletons import H36M17, Skeleton
from pose3d.errors import UsageError
from pose3d.files import write_whole
from pose3d.render import body
from pose3d.render.overlay import UNCERTAIN
from pose3d.render.style import STYLES, person_colour, side_colours
from pose3d.result.record import PoseSequence
from pose3d.version import __version__
from pose3d.viewer.clip import choose_video
from pose3d.viewer.packing import pack
from pose3d.viewer.tracks import ANGLES, Track, read_tracks

SCRIPTS = (
    "three.min.js",
    "data.js",
    "measures.js",
    "bodies.js",
    "traces.js",
    "scene.js",
    "picture.js",
    "player.js",
    "timeline.js",
    "curves.js",
    "app.js",
)
"""In the order in which they use each other."""

# Rounding: half a step at most. A joint stays within 0.6 mm.
_JOINT_M, _ORIGIN_M, _KEYPOINT_PX, _SCORE = 5e-4, 1e-4, 0.5, 0.02
_ANGLE_DEG = 0.2
_TIME_S = 1e-5


_MARK = '<meta name="pose3d-page" content="'


class HtmlExporter:
    """Writes ``.html``: one page with video, 3D and curves that a browser opens by itself."""

    suffix = ".html"
    description = "A page to look at it from all sides: any browser, without a network"
    axes = ""
    away = "is not drawn"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the page to ``path``, with the video that the result names."""
        _write(pose, None, path.parent, _describe(pose), path)


@checked
def write_page(pose: PoseSequence, path: str | Path, *, video: str | Path | None = None) -> Path:
    """Writes the page, unless the very same is there already; returns its path.

    ``video`` None is ``pose.video.path``; the page says so where that is gone. A UsageError for a
    result without 3D joints, and for a ``path`` that is another file.
    """
    path = Path(path)
    header = _describe(pose)
    mark = _mark(header, video or pose.video.path)
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(2000)
        if _MARK not in start:
            raise UsageError(f"{path} is no page of pose3d", "Move it away")
        if mark in start:
            return path
    with write_whole(path) as part:
        _write(pose, video, path.parent, header, part)
    return path


def _mark(header: dict[str, Any], video: str | Path) -> str:
    """Returns what a page begins with that holds just this: the data, the video, the program."""
    digest = hashlib.sha256(json.dumps(header).encode())
    for name in ("viewer.html", "viewer.css", *SCRIPTS):
        digest.update(_asset(name).encode())
    source = Path(video)
    if source.exists():
        state = source.stat()
        digest.update(
            f"{source.absolute()} {state.st_size} {state.st_mtime_ns}".encode("utf-8", "replace")
        )
    return f'{_MARK}{digest.hexdigest()}">'


def _write(
    pose: PoseSequence, video: str | Path | None, folder: Path, header: dict[str, Any], path: Path
) -> None:
    clip = choose_video(pose, video, folder)
    shown = {"mime": clip.mime, "link": clip.link, "first_s": clip.first_s, "note": clip.note}
    embedded = "" if clip.data is None else base64.b64encode(clip.data).decode()
    pieces = {
        "title": html.escape(header["name"]),
        "mark": _mark(header, video or pose.video.path),
        "css": _style_sheet() + _asset("viewer.css"),
        "scripts": "\n".join(f"<script>\n{_asset(name)}</script>" for name in SCRIPTS),
        # A name with </script> in it must not end the element.
        "record": json.dumps(header | {"clip": shown}).replace("<", "\\u003c"),
        "clip": embedded,
    }
    parts = re.split(r"\{\{(\w+)\}\}", _asset("viewer.html"))
    parts[1::2] = [pieces[name] for name in parts[1::2]]
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(parts)


def _asset(name: str) -> str:
    return files("pose3d.viewer").joinpath(name).read_text(encoding="utf-8")


def _style_sheet() -> str:
    """Returns the colours of both styles as CSS variables, those of the drawings."""
    rules = []
    for name, style in STYLES.items():
        colours = {
            f: getattr(style, f)
            for f in ("page", "sky", "floor", "grid", "text", "faint", "line", "halo")
        }
        lines = "".join(f"--{key}:rgb{value};" for key, value in colours.items())
        rules.append(f"[data-theme={name}]{{{lines}--shadow:{style.shadow};color-scheme:{name}}}\n")
    return "".join(rules)


def _describe(pose: PoseSequence) -> dict[str, Any]:
    """Returns all that the page knows of a result, as JSON values; ``data.js`` reads it."""
    tracks, place = read_tracks(pose)
    camera, video = pose.camera, pose.video
    start_s = float(pose.time_s[0]) if pose.n_frames else 0.0
    span_s = float(pose.time_s[-1]) - start_s if pose.n_frames else 0.0
    return {
        "version": __version__,
        "name": Path(video.path).name,
        "size_wh": video.size_wh,
        "rate": float(video.rate),
        "n_frames": pose.n_frames,
        "start_s": start_s,
        # Coarser for days of video, so that 32 bits hold it.
        "time": pack(pose.time_s - start_s, max(_TIME_S, span_s / 2**31)),
        "world_from_cam": place.world_from_cam.ravel().tolist(),
        "camera_height_m": place.camera_height_m,
        "focal_px": None if camera is None else camera.focal_px,
        "focal_source": None if camera is None else camera.focal_source,
        "uncertain": UNCERTAIN,
        "joints": pose.skeleton.joints,
        "bones": pose.skeleton.bones,
        "sides": pose.skeleton.side,
        "plan": _plan(pose.skeleton),
        "angles": ANGLES if pose.skeleton.name == H36M17.name else (),
        "people": [_person(track) for track in tracks],
        "stages": [[s.stage, s.weights or s.name] for s in pose.made_by],
    }


def _plan(skeleton: Skeleton) -> dict[str, Any]:
    """Returns what is drawn of a body: that of the other drawings."""
    plan = body.plan(skeleton)
    return {
        "limbs": plan.ends.tolist(),
        "radii_m": plan.radius_m.tolist(),
        "sides": plan.side,
        "trunk": plan.trunk,
        "head": plan.head,
        "head_top": plan.head_top,
        "root": plan.root,
    }


def _person(track: Track) -> dict[str, Any]:
    others = track.hypotheses_cam_m
    return {
        "id": track.person_id,
        "start": track.start,
        "colours": side_colours(person_colour(track.person_id)),
        "state": pack(track.state, 1),
        "origin": pack(track.origin_m, _ORIGIN_M),
        "joints": pack(track.joints_cam_m, _JOINT_M),
        "n_hypotheses": 0 if others is None else others.shape[1],
        "hypotheses": None if others is None else pack(others, 2 * _JOINT_M),
        "keypoints": None if track.keypoints_px is None else pack(track.keypoints_px, _KEYPOINT_PX),
        "score": None if track.score is None else pack(track.score, _SCORE),
        "angles": None if track.angles_deg is None else pack(track.angles_deg, _ANGLE_DEG),
    }
