"""glTF 2.0 in one binary file: accessors, moving skeletons, the container.

Reference: Khronos glTF 2.0 specification, *Animations*, *Skins* and *GLB File Format*.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pose3d.result.rig import Array, Node, make_nodes, rest_offsets, turn_nodes
from pose3d.version import __version__

_FLOAT, _UINT8, _UINT16 = 5126, 5121, 5123
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_CODES = {"f": _FLOAT, "B": _UINT8, "H": _UINT16}
_STRETCH_M = 2e-4  # a node that moves less from its parent is not moved


class Gltf:
    """A document that grows: lists of the JSON part by name, and the bytes."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Any]] = {}
        self.extensions: dict[str, Any] = {}
        self._blob: list[bytes] = []
        self._size = 0

    def add(self, kind: str, **values: Any) -> int:
        """Appends an entry to a list of the document (``nodes``, ...) and returns its index."""
        entries = self.lists.setdefault(kind, [])
        entries.append(values)
        return len(entries) - 1

    def add_array(self, array: NDArray, *, bounds: bool = False, **more: Any) -> int:
        """Appends an array as an accessor; ``bounds``: with its least and largest values."""
        code = array.dtype.char
        data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()
        view = self.add("bufferViews", buffer=0, byteOffset=self._size, byteLength=len(data))
        data += bytes(-len(data) % 4)
        self._blob.append(data)
        self._size += len(data)
        if bounds:
            low, high = np.atleast_1d(array.min(0)), np.atleast_1d(array.max(0))
            more |= {"min": low.tolist(), "max": high.tolist()}
        return self.add(
            "accessors",
            bufferView=view,
            componentType=_CODES[code],
            count=len(array),
            type=_TYPES[array.shape[1:]],
            **more,
        )

    def write(self, path: Path, roots: list[int], name: str) -> None:
        """Writes the file, with one scene that shows the nodes ``roots``."""
        self.add("scenes", name=name, **({"nodes": roots} if roots else {}))
        document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"pose3d {__version__}"},
            "scene": 0,
            **self.lists,
        }
        if self._size:
            document["buffers"] = [{"byteLength": self._size}]
        if self.extensions:
            document |= {"extensionsUsed": [*self.extensions], "extensions": self.extensions}
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")
        text += b" " * (-len(text) % 4)
        chunks = [struct.pack("<I4s", len(text), b"JSON"), text]
        if self._size:
            chunks += [struct.pack("<I4s", self._size, b"BIN\0"), *self._blob]
        total = 12 + sum(map(len, chunks))
        with path.open("wb") as file:
            file.writelines([struct.pack("<4sII", b"glTF", 2, total), *chunks])


class Motion:
    """An animation that grows: one channel a call, all at the same times unless said otherwise."""

    def __init__(self, gltf: Gltf) -> None:
        self.gltf = gltf
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []

    def add(self, node: int, path: str, times: int, values: Array, how: str = "LINEAR") -> None:
        """Adds a channel; ``times`` is the accessor of its keys."""
        output = self.gltf.add_array(values.astype(np.float32))
        self.samplers.append({"input": times, "output": output, "interpolation": how})
        target = {"node": node, "path": path}
        self.channels.append({"sampler": len(self.samplers) - 1, "target": target})

    def add_times(self, time_s: Array) -> int:
        """Adds the times of keys, in seconds, and returns their accessor."""
        return self.gltf.add_array(time_s.astype(np.float32), bounds=True)

    def finish(self, name: str) -> None:
        """Adds the animation to the document, unless nothing moves."""
        if self.channels:
            self.gltf.add("animations", name=name, channels=self.channels, samplers=self.samplers)


def add_skeleton(
    gltf: Gltf, motion: Motion, joints: Array, time_s: Array, bones: str, *, stretch: bool
) -> tuple[list[Node], int, Array]:
    """Adds nodes in T-pose and their motion; returns the rig, its first node and ``(node, 3)``
    metres where they rest.

    Args:
        joints: ``(frame, joint, 3)`` metres, y up, without NaN.
        time_s: ``(frame,)`` of these frames.
        stretch: bones whose length is not constant change it.
    """
    nodes = make_nodes(bones)
    offsets = rest_offsets(joints, nodes)
    rest = offsets.copy()
    for i, node in enumerate(nodes[1:], 1):
        rest[i] += rest[node.parent]
    offsets[0] = rest[0] = (0.0, -rest[:, 1].min(), 0.0)  # the lowest node rests on the floor
    rest[1:] += rest[0]
    first = len(gltf.lists.get("nodes", ()))
    for i, node in enumerate(nodes):
        below = [first + k for k, other in enumerate(nodes) if other.parent == i]
        more = {"children": below} if below else {}
        gltf.add("nodes", name=node.name, translation=offsets[i].tolist(), **more)
    times = motion.add_times(time_s)
    world: list[Array] = []
    for i, (node, (turned, local)) in enumerate(zip(nodes, turn_nodes(joints, nodes), strict=True)):
        world.append(turned)
        if node.bone >= 0 or node.across:
            motion.add(first + i, "rotation", times, _quaternions(local))
        if i == 0:
            motion.add(first, "translation", times, joints[:, node.joint])
        elif stretch and not node.toe:
            apart = joints[:, node.joint] - joints[:, nodes[node.parent].joint]
            away = np.einsum("...ji,...j->...i", world[node.parent], apart)
            if np.abs(away - offsets[i]).max() > _STRETCH_M:
                motion.add(first + i, "translation", times, away)
    return nodes, first, rest


def _quaternions(rotation: Array) -> Array:
    """Returns ``(frame, 4)`` x, y, z, w; neighbours on the same half of the sphere."""
    turns = Rotation.from_matrix(rotation).as_quat()
    flips = np.where((turns[1:] * turns[:-1]).sum(-1) < 0, -1.0, 1.0)
    return turns * np.concatenate([[1.0], np.cumprod(flips)])[:, None]
