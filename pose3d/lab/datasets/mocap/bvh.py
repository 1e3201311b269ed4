"""BVH: a hierarchy with offsets and channels, then a line of numbers a frame.
Reference: Meredith and Maddock, "Motion Capture File Formats Explained", 2001, section 3."""

from __future__ import annotations

import math
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
    """Reads a BVH file; position channels of a joint replace its offset."""
    text = path.read_text(encoding="utf-8", errors="replace")
    head, found, motion = text.partition("MOTION")
    if not found or "HIERARCHY" not in head:
        raise DataError(f"{path} is no BVH file (no HIERARCHY and MOTION)", "Export it again")
    nodes = _read_hierarchy(_Words(path, head))
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


class _Words:
    """The words of a hierarchy, one by one."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.line = path, 0
        lines = enumerate(text.splitlines(), 1)
        self._rest = iter([(number, word) for number, line in lines for word in line.split()])

    def next(self) -> str | None:
        self.line, word = next(self._rest, (self.line, None))
        return word

    def take(self, what: str) -> str:
        word = self.next()
        if word is None:
            raise self.wrong(f"the file ends where {what} should be")
        return word

    def number(self, what: str) -> float:
        word = self.take(what)
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.wrong(f"{word!r} is no number ({what})")
        return value

    def channels(self) -> list[str]:
        count = self.number("CHANNELS")
        if count not in range(len(_CHANNELS) + 1):
            raise self.wrong(f"a joint with {count:g} channels")
        names = [self.take("a channel") for _ in range(int(count))]
        for name in names:
            if name not in _CHANNELS:
                raise self.wrong(f"channel {name!r} is none of {', '.join(_CHANNELS)}")
        if len(set(names)) < len(names):
            raise self.wrong(f"a channel is named twice ({' '.join(names)})")
        return names

    def wrong(self, what: str) -> DataError:
        return DataError(f"{self.path}, line {self.line}: {what}", "Export it again")


def _read_hierarchy(words: _Words) -> list[_Node]:
    nodes: list[_Node] = []
    stack: list[int] = []

    def enter(name: str) -> None:
        word = words.take("{")
        if word != "{":
            raise words.wrong(f"{word!r} where the {{ of {name} should be")
        nodes.append(_Node(name, stack[-1] if stack else -1))
        stack.append(len(nodes) - 1)

    words.take("HIERARCHY")
    while (word := words.next()) is not None:
        if word in ("ROOT", "JOINT"):
            name = words.take("a name")
            if nodes and (word == "ROOT" or not stack):
                raise words.wrong("a second ROOT: a file holds one person")
            enter(name)
        elif word == "End" and stack:
            words.take("Site")
            enter(f"{nodes[stack[-1]].name}_end")
        elif word == "}":
            if not stack:
                raise words.wrong("one } too many")
            stack.pop()
        elif word == "OFFSET" and stack:
            x, y, z = (words.number("OFFSET") for _ in range(3))
            nodes[stack[-1]].offset = (x, y, z)
        elif word == "CHANNELS" and stack:
            nodes[stack[-1]].channels = words.channels()
        else:
            raise words.wrong(f"{word!r} is not understood")
    if stack or not nodes:
        raise words.wrong(f"the hierarchy ends, {len(stack)} }} are missing")
    return nodes


def _read_motion(path: Path, text: str, first_line: int, nodes: list[_Node]) -> tuple[float, Array]:
    """Returns frames per second and ``(frame, channel)`` values."""

    def wrong(what: str) -> DataError:
        return DataError(f"{path}{what}", "Export it again")

    lines = [(first_line + i, line) for i, line in enumerate(text.split("\n")) if line.strip()]
    stated: dict[str, float] = {}
    for word in ("Frames:", "Frame Time:"):
        at, line = lines.pop(0) if lines else (first_line, "")
        try:
            if not line.strip().startswith(word):
                raise ValueError
            stated[word] = float(line.strip()[len(word) :])
        except ValueError as error:
            raise wrong(f", line {at}: {word!r} is missing") from error
    if not 0 < stated["Frame Time:"] < math.inf:
        raise wrong(f" has a frame time of {stated['Frame Time:']} s")
    if not (stated["Frames:"] >= 1 and stated["Frames:"].is_integer()):
        raise wrong(f" has {stated['Frames:']:g} frames")
    channels = sum(len(n.channels) for n in nodes)
    frames = int(stated["Frames:"])
    if len(lines) < frames:
        raise wrong(f" is cut off: {len(lines)} of {frames} frames are there")
    values = np.empty((frames, channels))
    for row, (at, line) in enumerate(lines[:frames]):
        numbers = line.split()
        if len(numbers) != channels:
            raise wrong(f", line {at}: {len(numbers)} numbers for {channels} channels")
        try:
            values[row] = [float(n) for n in numbers]
        except ValueError as error:
            raise wrong(f", line {at}: {error}") from error
    if not np.isfinite(values).all():
        raise wrong(" has numbers that are not finite")
    return 1 / stated["Frame Time:"], values


def _forward(nodes: list[_Node], values: Array, *, channels: bool = True) -> tuple[Array, Array]:
    """Returns positions ``(frame, node, 3)`` and world rotations ``(frame, node, 3, 3)``."""
    n = len(values)
    positions = np.zeros((n, len(nodes), 3))
    rotations = np.zeros((n, len(nodes), 3, 3))
    column = 0
    for i, node in enumerate(nodes):
        offset = np.tile(np.array(node.offset, float), (n, 1))
        mine = dict(zip(node.channels, values[:, column:].T, strict=False)) if channels else {}
        column += len(node.channels)
        for name in mine:
            if name.endswith("position"):
                offset[:, "XYZ".index(name[0])] = mine[name]
        turns = [name for name in mine if name.endswith("rotation")]
        local = np.tile(np.eye(3), (n, 1, 1))
        if turns:  # capital letters: about the joint's own axes, in the order of the channels
            order, angles = "".join(name[0] for name in turns), [mine[name] for name in turns]
            local = Rotation.from_euler(order, np.stack(angles, -1), degrees=True).as_matrix()
        if node.parent < 0:
            positions[:, i], rotations[:, i] = offset, local
        else:
            above = rotations[:, node.parent]
            positions[:, i] = positions[:, node.parent] + np.einsum("fij,fj->fi", above, offset)
            rotations[:, i] = above @ local
    return positions, rotations
