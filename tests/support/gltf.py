"""A reader of binary glTF by its specification: nodes at a time of the animation."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation


class Reader:
    """Reads a GLB by the specification and moves its nodes."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, total = struct.unpack("<4sII", data[:12])
        assert (magic, version, total) == (b"glTF", 2, len(data))
        size, kind = struct.unpack("<I4s", data[12:20])
        assert kind == b"JSON"
        self.json = json.loads(data[20 : 20 + size])
        self.blob = data[28 + size :]

    def array(self, accessor: int) -> np.ndarray:
        a = self.json["accessors"][accessor]
        view = self.json["bufferViews"][a["bufferView"]]
        kind = {5126: "<f4", 5121: "u1", 5123: "<u2"}[a["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[a["type"]]
        values = np.frombuffer(self.blob, kind, a["count"] * width, view["byteOffset"])
        return values.reshape(-1, width)

    def at(self, seconds: float) -> dict[int, np.ndarray]:
        """Returns ``(4, 4)`` of every node in the world at the time of a key."""
        posed = [dict(node) for node in self.json["nodes"]]
        for animation in self.json.get("animations", ()):
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                times = self.array(sampler["input"])[:, 0]
                key = np.searchsorted(times, seconds + 1e-4) - 1
                if key >= 0:
                    value = self.array(sampler["output"])[key]
                    posed[channel["target"]["node"]][channel["target"]["path"]] = value
        world: dict[int, np.ndarray] = {}

        def walk(at: int, above: np.ndarray) -> None:
            node, local = posed[at], np.eye(4)
            turn = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            local[:3, :3] = turn * np.array(node.get("scale", [1, 1, 1]))
            local[:3, 3] = node.get("translation", 0)
            world[at] = above @ local
            for child in node.get("children", ()):
                walk(child, world[at])

        for root in self.json["scenes"][0].get("nodes", ()):
            walk(root, np.eye(4))
        return world

    def joints(self, seconds: float) -> dict[str, dict[str, np.ndarray]]:
        """Returns the place of each node by person and name."""
        world, out = self.at(seconds), {}
        for i, node in enumerate(self.json["nodes"]):
            if node["name"].startswith("person_"):
                found = {"": np.linalg.norm(world[i][:3, 0])}
                below = list(node["children"])
                while below:
                    child = below.pop()
                    found[self.json["nodes"][child]["name"]] = world[child][:3, 3]
                    below += self.json["nodes"][child].get("children", [])
                out[node["name"]] = found
        return out
