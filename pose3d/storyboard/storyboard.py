"""Storyboards: the key frames of a clip as one picture and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from pose3d.arguments import checked
from pose3d.errors import UsageError
from pose3d.files import write_whole
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import choose_people
from pose3d.render.paint import Picture
from pose3d.render.style import Style, get_style
from pose3d.render.video import video_frames
from pose3d.result.record import PoseSequence
from pose3d.storyboard.key_frames import KeyFrames, choose_key_frames
from pose3d.storyboard.sheet import Crop, cut_picture, draw_sheet, plan_crop
from pose3d.version import __version__

if TYPE_CHECKING:
    from pose3d.lift.lifter import Lifter

DIALECT = "pose3d-storyboard"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Storyboard:
    """What :func:`make_storyboard` made."""

    picture: Path  # the contact sheet
    listing: Path  # the JSON beside it
    people: tuple[KeyFrames, ...]  # the key frames of each person


@checked
def make_storyboard(
    pose: PoseSequence,
    path: str | Path,
    *,
    video: str | Path | None = None,
    frames: int = 12,
    person: str | int | Sequence[int] = "longest",
    lifter: str | Lifter | None = None,
    style: str = "light",
    device: str = "auto",
    offline: bool = False,
    on_warning: Callable[[str], None] | None = None,
) -> Storyboard:
    """Chooses the key frames of a result and writes them as a contact sheet and as JSON.

    Args:
        pose: the result, with keypoints and 3D.
        path: the PNG file to write; the JSON has its name with the suffix ``.json``.
        video: path (never pictures in memory) of the clip that the result was made from; None:
            ``pose.video.path``, or panels in 3D alone when that is not there any more.
        frames: key frames of each person, at most.
        person: ``all``, ``largest``, ``longest`` or track ids separated by commas.
        lifter: whose tokens are clustered; None: the one that made the result.
        on_warning: called with what a user should know and that stops nothing.
    """
    from pose3d.lift.sequence import make_lifter_for

    look, path = get_style(style), Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no name for a storyboard", "Give a file that ends in .png")
    chosen = choose_people(pose, person)
    if not chosen.present.any():
        raise UsageError(f"Nobody was found in {pose.video.path}", "There is no motion to show")
    if lifter is None or isinstance(lifter, str):
        made = lifter_of(pose) if lifter is None else RunOptions(lifter=lifter)
        lifter = make_lifter_for(replace(made, device=device, offline=offline))
    people = [k for k in choose_key_frames(chosen, lifter, count=frames) if k.frames]
    if not people:
        raise UsageError(
            f"Nobody in {pose.video.path} has a pose in 3D", "There is nothing to show"
        )
    source = _find_video(chosen, video, on_warning)
    pictures = {} if source is None else _collect_pictures(chosen, people, source, look)
    image = draw_sheet(chosen, people, pictures, look, title=Path(pose.video.path).name)
    listing = path.with_suffix(".json")
    values = describe(chosen, people, lifter, picture=path.name, pictures_from=source)
    _write(path, cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    _write(listing, to_json(values).encode("utf-8", "backslashreplace"))
    return Storyboard(picture=path, listing=listing, people=tuple(people))


def lifter_of(pose: PoseSequence) -> RunOptions:
    """Returns the options of a run that make the lifter of a result (or the default one) again."""
    records = [record for record in pose.made_by if record.stage == "lift" and record.weights]
    if not records:
        return RunOptions()
    options = records[-1].options
    name = str(records[-1].weights)
    if not options.get("changes"):
        return RunOptions(lifter=name)
    if options["prune"] == "none":
        return RunOptions(lifter=name, prune="none")
    return RunOptions(
        lifter=name,
        prune=options["prune"],
        keep=",".join(map(str, options["keep"])),
        at=",".join(map(str, options["at"])),
        recover=options["recover"],
        keep_centre=options["keep_centre"],
    )


def _find_video(
    pose: PoseSequence, video: str | Path | None, on_warning: Callable[[str], None] | None
) -> Path | None:
    """Returns where pictures come from; None, with a warning, where the clip is gone."""
    if video is not None:
        return Path(video)
    path = Path(pose.video.path)
    if path.exists():
        return path
    if on_warning is not None:
        on_warning(f"{path} is not there any more, so the storyboard shows the people in 3D only")
    return None


def _collect_pictures(
    pose: PoseSequence, people: Sequence[KeyFrames], source: Path, style: Style
) -> dict[tuple[int, int], Picture]:
    """Reads the video once and keeps the cut-outs of the key frames, nothing else."""
    wanted: dict[int, list[tuple[int, int, Crop]]] = {}  # frame: people with their rows
    for person in people:
        span = pose.span_of(person.person_id)
        rows = {key.frame: span.row(key.frame) for key in person.frames}
        crop = plan_crop(pose, list(rows.values()))
        for frame, row in rows.items():
            wanted.setdefault(frame, []).append((person.person_id, row, crop))
    pictures = {}
    for image, frame in video_frames(pose, source):
        if image is not None:
            for person_id, row, crop in wanted.get(frame, []):
                pictures[person_id, frame] = cut_picture(image, pose, row, crop, style)
    return pictures


def describe(
    pose: PoseSequence,
    people: Sequence[KeyFrames],
    lifter: Lifter,
    *,
    picture: str,
    pictures_from: Path | None,
) -> dict[str, Any]:
    """Returns what the JSON of a storyboard holds; described by ``storyboard.schema.json``."""
    from pose3d.lift.tokens import pruning_block

    hourglass = lifter.options.hourglass
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "made_by": f"pose3d {__version__}",
        "video": pose.video.path,
        "n_frames": pose.n_frames,
        "rate": float(pose.video.rate),
        "picture": picture,
        "pictures_from": None if pictures_from is None else str(pictures_from),
        "lifter": {
            "weights": lifter.info.name,
            "sha256": lifter.info.sha256[0] if lifter.info.sha256 else None,
            "window": lifter.frames,
            "block": pruning_block(lifter.network),
            "prune": hourglass.prune if hourglass else None,
            "keep": list(hourglass.keep) if hourglass else None,
        },
        "people": [_person(pose, person) for person in people],
    }


def _person(pose: PoseSequence, person: KeyFrames) -> dict[str, Any]:
    return {
        "person_id": person.person_id,
        "frames_present": int(pose.present[pose.span_of(person.person_id).rows].sum()),
        "key_frames": [
            {
                "frame": key.frame,
                "time_s": round(key.time_s, 6),
                "rank": key.rank,
                "stands_for": key.size,
                "ranges": [list(r) for r in key.ranges],
            }
            for key in person.frames
        ],
        "windows": [asdict(window) for window in person.windows],
    }


def to_json(values: dict[str, Any]) -> str:
    """Writes the JSON so that people can read it: one line a key frame, one line a window."""
    people = []
    for person in values["people"]:
        rows = {
            name: ",\n".join(f"   {json.dumps(row)}" for row in person[name])
            for name in ("key_frames", "windows")
        }
        people.append(
            f' {{"person_id": {person["person_id"]}, "frames_present": {person["frames_present"]},\n'
            f'  "key_frames": [\n{rows["key_frames"]}\n  ],\n'
            f'  "windows": [\n{rows["windows"]}\n  ]}}'
        )
    head = [
        f'"{name}": {json.dumps(value, ensure_ascii=False)}'
        for name, value in values.items()
        if name != "people"
    ]
    return "{\n" + ",\n".join(head) + ',\n"people": [\n' + ",\n".join(people) + "\n]}\n"


def _write(path: Path, data: bytes) -> None:
    with write_whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
