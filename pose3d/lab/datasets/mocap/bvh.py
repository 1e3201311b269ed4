"""BVH: a hierarchy with offsets and channels, then a line of numbers a frame.

Reference: the Biovision format as described by Meredith and Maddock, "Motion Capture File Formats
Explained", 2001, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.source import Array, SourceMotion

_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")


@dataclass(slots=True)
class _Node:
    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


def read_bvh(path: Path) -> SourceMotion:
    """Reads a BVH file.

    Position channels of a joint replace its offset, as every program that writes them means it.

    Raises:
        DataError: the file cannot be read, is cut off, or its numbers do not fit its channels; the
            message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "Check it") from error
    head, found, motion = text.partition("MOTION")
    if not found or "HIERARCHY" not in head:
        raise DataError(f"{path} is no BVH file (no HIERARCHY and MOTION)", "Export it again")
    nodes = _read_hierarchy(path, _words(head))
    fps, values = _read_motion(path, motion, head.count("\n") + 1, nodes)
    positions, rotations = _forward(nodes, values)
    zero, _ = _forward(nodes, np.zeros((1, values.shape[1])), channels=False)
    return SourceMotion(
        joints=tuple(n.name for n in nodes),
        parents=tuple(n.parent for n in nodes),
        positions=positions,
        rest=zero[0],
        rotations=rotations,
        fps=fps,
    )


def _words(text: str) -> Iterator[tuple[int, str]]:
    """Yields (line number, word)."""
    for number, line in enumerate(text.splitlines(), 1):
        for word in line.split():
            yield number, word


def _read_hierarchy(path: Path, words: Iterator[tuple[int, str]]) -> list[_Node]:
    nodes: list[_Node] = []
    stack: list[int] = []
    line = 0

    def take(what: str) -> str:
        nonlocal line
        found = next(words, None)
        if found is None:
            raise DataError(
                f"{path} ends inside its hierarchy, where {what} should be", "Export it again"
            )
        line = found[0]
        return found[1]

    def number(what: str) -> float:
        word = take(what)
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                f"{path}, line {line}: {word!r} is no number ({what})", "Export it again"
            )
        return value

    def enter(name: str) -> None:
        word = take("{")
        if word != "{":
            raise DataError(
                f"{path}, line {line}: {word!r} where the {{ of {name} should be", "Export it again"
            )
        nodes.append(_Node(name, stack[-1] if stack else -1))
        stack.append(len(nodes) - 1)

    def channels() -> list[str]:
        count = number("CHANNELS")
        if count not in range(len(_CHANNELS) + 1):
            raise DataError(
                f"{path}, line {line}: a joint with {count:g} channels", "Export it again"
            )
        names = [take("a channel") for _ in range(int(count))]
        for name in names:
            if name not in _CHANNELS:
                raise DataError(
                    f"{path}, line {line}: channel {name!r} is unknown",
                    f"Channels are {', '.join(_CHANNELS)}",
                )
        if len(set(names)) < len(names):
            raise DataError(
                f"{path}, line {line}: a channel is named twice ({' '.join(names)})",
                "Export it again, with three different axes of rotation",
            )
        return names

    take("HIERARCHY")
    for line, word in words:
        if word in ("ROOT", "JOINT"):
            name = take("a name")
            if nodes and (word == "ROOT" or not stack):
                raise DataError(f"{path}, line {line}: a second ROOT", "Give one person a file")
            enter(name)
        elif word == "End" and stack:
            take("Site")
            enter(f"{nodes[stack[-1]].name}_end")
        elif word == "}":
            if not stack:
                raise DataError(f"{path}, line {line}: one }} too many", "Export it again")
            stack.pop()
        elif word == "OFFSET" and stack:
            nodes[stack[-1]].offset = (number("OFFSET"), number("OFFSET"), number("OFFSET"))
        elif word == "CHANNELS" and stack:
            nodes[stack[-1]].channels = channels()
        else:
            raise DataError(f"{path}, line {line}: {word!r} is not understood", "Export it again")
    if stack or not nodes:
        raise DataError(
            f"{path} ends inside its hierarchy ({len(stack)} }} missing)", "Export it again"
        )
    return nodes


def _read_motion(path: Path, text: str, first_line: int, nodes: list[_Node]) -> tuple[float, Array]:
    """Returns frames per second and ``(frame, channel)`` values."""
    lines = [(first_line + i, line) for i, line in enumerate(text.split("\n")) if line.strip()]
    stated: dict[str, float] = {}
    for word in ("Frames:", "Frame Time:"):
        at, line = lines.pop(0) if lines else (first_line, "")
        try:
            if not line.strip().startswith(word):
                raise ValueError
            stated[word] = float(line.strip()[len(word) :])
        except ValueError as error:
            raise DataError(f"{path}, line {at}: {word!r} is missing", "Export it again") from error
    if not 0 < stated["Frame Time:"] < math.inf:
        raise DataError(f"{path} has a frame time of {stated['Frame Time:']} s", "Export it again")
    if not (stated["Frames:"] >= 1 and stated["Frames:"].is_integer()):
        raise DataError(f"{path} has {stated['Frames:']:g} frames", "Export it again")
    channels = sum(len(n.channels) for n in nodes)
    frames = int(stated["Frames:"])
    if len(lines) < frames:
        raise DataError(
            f"{path} is cut off: {len(lines)} of {frames} frames are there", "Fetch it again"
        )
    values = np.empty((frames, channels))
    for row, (at, line) in enumerate(lines[:frames]):
        numbers = line.split()
        if len(numbers) != channels:
            raise DataError(
                f"{path}, line {at}: {len(numbers)} numbers for {channels} channels",
                "Export it again",
            )
        try:
            values[row] = [float(n) for n in numbers]
        except ValueError as error:
            raise DataError(f"{path}, line {at}: {error}", "Export it again") from error
    if not np.isfinite(values).all():
        raise DataError(f"{path} has numbers that are not finite", "Export it again")
    return 1 / stated["Frame Time:"], values


def _forward(nodes: list[_Node], values: Array, *, channels: bool = True) -> tuple[Array, Array]:
    """Returns positions ``(frame, node, 3)`` and world rotations ``(frame, node, 3, 3)``."""
    n = len(values)
    positions = np.zeros((n, len(nodes), 3))
    rotations = np.zeros((n, len(nodes), 3, 3))
    column = 0
    for i, node in enumerate(nodes):
        offset = np.tile(np.array(node.offset, float), (n, 1))
        mine = values[:, column : column + len(node.channels)]
        column += len(node.channels)
        turns = ""
        angles = []
        for k, name in enumerate(node.channels if channels else []):
            if name.endswith("position"):
                offset[:, "XYZ".index(name[0])] = mine[:, k]
            else:
                turns += name[0]
                angles.append(mine[:, k])
        # Capital letters: turns about the joint's own axes, in the order of the channels.
        local = np.tile(np.eye(3), (n, 1, 1))
        if turns:
            local = Rotation.from_euler(turns, np.stack(angles, -1), degrees=True).as_matrix()
        if node.parent < 0:
            positions[:, i], rotations[:, i] = offset, local
        else:
            above = rotations[:, node.parent]
            positions[:, i] = positions[:, node.parent] + np.einsum("fij,fj->fi", above, offset)
            rotations[:, i] = above @ local
    return positions, rotations
