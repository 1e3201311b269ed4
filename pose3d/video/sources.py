"""From what a user typed to the list of clips to work on."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pose3d.arguments import check_value, checked
from pose3d.errors import UsageError, VideoError

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".m2v", ".ts",
    ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf",
    ".y4m", ".h264", ".264", ".h265", ".hevc", ".265", ".ivf", ".obu", ".divx", ".rm",
    ".rmvb", ".dv", ".mjpeg", ".mjpg", ".apng",
))
# fmt: on
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"))
# A folder that holds one of these is an output of pose3d; its video is not an input.
RESULT_NAMES = ("pose.npz", "pose.json", ".pose3d.json")
LONGEST_STEM = 240  # bytes of the 255 that a file's name may have

Kind: TypeAlias = Literal["file", "images", "camera"]
Clip: TypeAlias = tuple[str, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One clip to work on."""

    path: str  # what to open, as the user named it (a camera: its number)
    kind: Kind
    stem: str  # name of its outputs, unique in the list also where case does not count
    # As typed, or its path in the folder that was: alike on every machine.
    name: str = field(default="", compare=False)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a sort key that counts: img2 before img10, case ignored at first."""
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), p) if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts if p]
    return (*key, (2, 0, name))


@checked
def find_inputs(
    paths: str | Path | int | Iterable[str | Path | int], *, recursive: bool = True
) -> list[Source]:
    """Lists the clips that files, folders, patterns and camera numbers stand for, each once.

    A folder gives its videos in natural order; one with images and no videos is one clip; hidden
    files and results of pose3d are passed over. A UsageError when nothing is given or a pattern
    matches nothing, a VideoError when a file is missing or a folder holds no clip.
    """
    found: dict[str, tuple[str, Kind, str]] = {}
    for path in [paths] if isinstance(paths, (str, Path, int)) else paths:
        text = str(check_value("paths", path, str | Path | int))
        for item, kind in _expand(text, recursive):
            identity = item if kind == "camera" else os.path.realpath(item)
            inside = os.path.isdir(os.path.expanduser(text)) and item != text
            named = os.path.relpath(item, os.path.expanduser(text)) if inside else item
            found.setdefault(f"{kind}:{os.path.normcase(identity)}", (item, kind, named))
    if not found:
        raise UsageError("No input was given", "Give video files, folders, or a camera number")
    taken: set[str] = set()
    sources = []
    for path, kind, named in found.values():
        # abspath: "." and ".." have a name too. Windows drops spaces and dots at the end of a name.
        name = Path(os.path.abspath(path)).name if kind == "images" else Path(path).stem
        stem = f"camera-{path}" if kind == "camera" else shorten(name).rstrip(" .") or "clip"
        stem = _unique(stem, taken)
        sources.append(Source(path=path, kind=kind, stem=stem, name=Path(named).as_posix()))
    return sources


def _expand(path: str, recursive: bool) -> Iterator[Clip]:
    """Yields path and kind of each clip that one argument stands for."""
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        clips = list(_walk(path, recursive))
        if not clips:
            deeper = "" if recursive else " (folders in it were not looked into)"
            raise VideoError(
                f"There are no videos or images in the folder {path}{deeper}",
                "Give a folder with videos, or name the file itself, whatever its suffix",
            )
        yield from clips
    elif os.path.exists(path):
        yield path, "file"
    elif path.isascii() and path.isdigit():
        yield path, "camera"
    elif glob.has_magic(path):
        yield from _expand_pattern(path, recursive)
    else:
        raise VideoError(f"There is no file or folder {path}", "Check the spelling and the folder")


def _expand_pattern(pattern: str, recursive: bool) -> Iterator[Clip]:
    matches = sorted(glob.glob(pattern, recursive=True), key=natural_key)
    if not matches:
        raise UsageError(f"Nothing matches {pattern}", "Check the pattern and the folder")
    clips: list[Clip] = []
    for match in matches:
        if os.path.isdir(match):
            clips += _walk(match, recursive)
        elif _suffix(match) in VIDEO_SUFFIXES:
            clips.append((match, "file"))
    if not clips and any(_suffix(match) in IMAGE_SUFFIXES for match in matches):
        raise UsageError(f"{pattern} matches images", "Give the folder: its images are one clip")
    # Nothing known among them: then the pattern says which files are meant.
    clips = clips or [(match, "file") for match in matches if os.path.isfile(match)]
    if not clips:
        raise UsageError(f"{pattern} matches folders without videos", "Check the pattern")
    yield from clips


def _walk(folder: str, recursive: bool, *, is_top: bool = True) -> Iterator[Clip]:
    """Yields the clips of one folder and, if asked, of those in it."""
    try:
        names = sorted(os.listdir(folder), key=natural_key)
    except OSError as error:
        what = f"The folder {folder} cannot be read ({error.strerror})"
        raise VideoError(what, "Check its permissions") from error
    if not is_top and any(name in RESULT_NAMES for name in names):
        return
    entries = [os.path.join(folder, name) for name in names if not name.startswith(".")]
    files = [entry for entry in entries if os.path.isfile(entry)]
    clips: list[Clip] = [(file, "file") for file in files if _suffix(file) in VIDEO_SUFFIXES]
    if recursive:
        for entry in entries:
            # Links are not followed: they may lead round in a circle.
            if os.path.isdir(entry) and not os.path.islink(entry):
                clips += _walk(entry, recursive, is_top=False)
    # Beside videos, images are thumbnails and notes, not a clip.
    has_videos = any(kind == "file" for _, kind in clips)
    if not has_videos and any(_suffix(file) in IMAGE_SUFFIXES for file in files):
        yield folder, "images"
    yield from clips


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def shorten(name: str) -> str:
    """Returns a name that has room for an ending and a number, even where it was as long as may be."""
    while len(os.fsencode(name)) > LONGEST_STEM:
        name = name[:-1]
    return name


def _unique(stem: str, taken: set[str]) -> str:
    """Returns the stem, numbered if it is taken, and takes it."""
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    free = next(name for name in names if name.casefold() not in taken)
    taken.add(free.casefold())
    return free
