"""From what a user typed to the list of clips to work on."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pose3d.arguments import check_value, checked
from pose3d.errors import UsageError, VideoError
from pose3d.stores.places import hide_secrets, insist, is_address, store_of, to_place

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
Entries: TypeAlias = tuple[list[str], list[str]]
"""Paths of the files and of the folders in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One clip to work on."""

    path: str  # what to open, as the user named it (a camera: its number), or an address in a store
    kind: Kind
    stem: str  # name of its outputs, unique in the list also where case does not count
    # As typed, or its path in the folder that was: alike on every machine.
    name: str = field(default="", compare=False)

    @property
    def shown(self) -> str:
        """The path without what is secret in an address: for messages, and to know the clip again."""
        return hide_secrets(self.path)

    @property
    def is_remote(self) -> bool:
        return self.kind != "camera" and is_address(self.path)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a sort key that counts: img2 before img10, case ignored at first."""
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), p) if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts if p]
    return (*key, (2, 0, name))


@checked
def find_inputs(
    paths: str | Path | int | Iterable[str | Path | int], *, recursive: bool = True
) -> list[Source]:
    """Lists the clips that files, folders, patterns, addresses and camera numbers stand for, each once.

    A folder gives its videos in natural order; one with images and no videos is one clip; hidden
    files and results of pose3d are passed over. A UsageError when nothing is given or a pattern
    matches nothing, a VideoError when a file is missing or a folder holds no clip.
    """
    found: dict[str, tuple[str, Kind, str]] = {}
    for path in [paths] if isinstance(paths, (str, Path, int)) else paths:
        text = str(check_value("paths", path, str | Path | int))
        for item, kind in _expand(text, recursive):
            remote = is_address(item)
            identity = item if kind == "camera" or remote else os.path.realpath(item)
            inside = os.path.isdir(os.path.expanduser(text)) and item != text
            named = os.path.relpath(item, os.path.expanduser(text)) if inside else item
            if remote:
                named = hide_secrets(item).removeprefix(hide_secrets(text).rstrip("/") + "/")
            found.setdefault(f"{kind}:{os.path.normcase(identity)}", (item, kind, named))
    if not found:
        raise UsageError("No input was given", "Give video files, folders, or a camera number")
    taken: set[str] = set()
    sources = []
    for path, kind, named in found.values():
        # abspath: "." and ".." have a name too. Windows drops spaces and dots at the end of a name.
        place = Path(hide_secrets(path) if is_address(path) else os.path.abspath(path))
        name = place.name if kind == "images" else place.stem
        stem = f"camera-{path}" if kind == "camera" else shorten(name).rstrip(" .") or "clip"
        stem = _unique(stem, taken)
        sources.append(Source(path=path, kind=kind, stem=stem, name=Path(named).as_posix()))
    return sources


def is_network_camera(path: str | Path | int) -> bool:
    """Tells whether ``path`` is the address of a camera in the network."""
    return str(path).lower().startswith(("rtsp://", "rtsps://"))


def _expand(path: str, recursive: bool) -> Iterator[Clip]:
    """Yields path and kind of each clip that one argument stands for."""
    if is_network_camera(path):
        what = f"{hide_secrets(path)} is a camera in the network"
        raise UsageError(what, "Watch it with 'pose3d live', which records it with --record")
    if is_address(path):
        yield from _expand_address(path, recursive)
        return
    path = os.path.expanduser(path.removeprefix("file://"))
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


def _expand_address(address: str, recursive: bool) -> Iterator[Clip]:
    """The same of something in a store; web servers only list what ends in a slash."""
    store, path = store_of(to_place(address))
    shown = hide_secrets(address)
    is_web = address.lower().startswith(("http://", "https://"))
    if not is_web and glob.has_magic(path):
        found = insist(address, lambda: store.glob(path))
        matches = sorted((m for m in found if not _name(m).startswith(".")), key=natural_key)
        videos = [match for match in matches if _suffix(match) in VIDEO_SUFFIXES]
        if not matches:
            raise UsageError(f"Nothing matches {shown}", "Check the pattern and the bucket")
        yield from ((_address(store, match), "file") for match in videos or matches)
        return
    try:
        entry = {"type": "directory" if address.endswith("/") else "file"}
        entry = entry if is_web else insist(address, lambda: store.info(path))
    except FileNotFoundError as error:
        raise VideoError(f"There is no {shown}", "Check the spelling and the bucket") from error
    if entry["type"] != "directory":
        yield address if is_web else _address(store, path), "file"
        return
    clips = list(_walk(path, recursive, look=lambda folder: _look_into_store(store, folder)))
    if not clips:
        raise VideoError(f"There are no videos or images in {shown}", "Name the file itself")
    yield from ((_address(store, path), kind) for path, kind in clips)


def _address(store: Any, path: str) -> str:
    return str(store.unstrip_protocol(path))


def _look_into_store(store: Any, folder: str) -> Entries:
    try:
        entries = insist(_address(store, folder), lambda: store.ls(folder, detail=True))
    except FileNotFoundError:
        entries = []
    # Some stores have a file of no bytes that stands for the folder itself.
    paths = {entry["name"].rstrip("/"): entry["type"] for entry in entries}
    paths.pop(folder.rstrip("/"), None)
    files = [path for path, kind in paths.items() if kind != "directory"]
    return files, [path for path, kind in paths.items() if kind == "directory"]


def _look_into(folder: str) -> Entries:
    try:
        paths = [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError as error:
        what = f"The folder {folder} cannot be read ({error.strerror})"
        raise VideoError(what, "Check its permissions") from error
    files = [path for path in paths if os.path.isfile(path)]
    # Links are not followed: they may lead round in a circle.
    return files, [p for p in paths if os.path.isdir(p) and not os.path.islink(p)]


def _walk(
    folder: str,
    recursive: bool,
    *,
    is_top: bool = True,
    look: Callable[[str], Entries] = _look_into,
) -> Iterator[Clip]:
    """Yields the clips of one folder and, if asked, of those in it; ``look`` lists a folder."""
    files, folders = (sorted(paths, key=_key_of) for paths in look(folder))
    if not is_top and any(_name(file) in RESULT_NAMES for file in files):
        return
    files = [file for file in files if not _name(file).startswith(".")]
    clips: list[Clip] = [(file, "file") for file in files if _suffix(file) in VIDEO_SUFFIXES]
    if recursive:
        for entry in folders:
            if not _name(entry).startswith("."):
                clips += _walk(entry, recursive, is_top=False, look=look)
    # Beside videos, images are thumbnails and notes, not a clip.
    has_videos = any(kind == "file" for _, kind in clips)
    if not has_videos and any(_suffix(file) in IMAGE_SUFFIXES for file in files):
        yield folder, "images"
    yield from clips


def _name(path: str) -> str:
    return os.path.basename(path.rstrip("/"))


def _key_of(path: str) -> tuple[tuple[int, int, str], ...]:
    return natural_key(_name(path))


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
