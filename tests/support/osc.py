"""Who receives OSC: packets from a socket, decoded; and a figure of Unity that VMC moves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

# Unity's HumanBodyBones that are needed, with the bone above each.
UNITY_PARENTS = {
    "Hips": None,
    "Spine": "Hips",
    "Chest": "Spine",
    "UpperChest": "Chest",
    "Neck": "UpperChest",
    "Head": "Neck",
    **{f"{side}UpperLeg": "Hips" for side in ("Left", "Right")},
    **{f"{side}LowerLeg": f"{side}UpperLeg" for side in ("Left", "Right")},
    **{f"{side}Foot": f"{side}LowerLeg" for side in ("Left", "Right")},
    **{f"{side}Shoulder": "UpperChest" for side in ("Left", "Right")},
    **{f"{side}UpperArm": f"{side}Shoulder" for side in ("Left", "Right")},
    **{f"{side}LowerArm": f"{side}UpperArm" for side in ("Left", "Right")},
    **{f"{side}Hand": f"{side}LowerArm" for side in ("Left", "Right")},
}
# Which joint of Human3.6M each lies on.
UNITY_JOINTS = {
    "Chest": "spine",
    "UpperChest": "thorax",
    "Neck": "thorax",
    "Head": "neck_nose",
    **{
        f"{side.title()}{bone}": f"{side}_{joint}"
        for side in ("left", "right")
        for bone, joint in (
            ("UpperLeg", "hip"),
            ("LowerLeg", "knee"),
            ("Foot", "ankle"),
            ("UpperArm", "shoulder"),
            ("LowerArm", "elbow"),
            ("Hand", "wrist"),
        )
    },
}


@contextmanager
def listen() -> Iterator[socket.socket]:
    """Opens a UDP socket on this machine at a free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        yield receiver


def address_of(receiver: socket.socket) -> str:
    return f"127.0.0.1:{receiver.getsockname()[1]}"


def receive(receiver: socket.socket) -> list[tuple[str, list]]:
    """Takes all packets that have arrived, at least one, and returns their messages in order."""
    bundles = pytest.importorskip("pythonosc.osc_bundle", reason="needs the extra live")
    messages, size = [], 0
    receiver.settimeout(30.0)
    while True:
        try:
            packet = receiver.recv(65536)
        except TimeoutError:
            assert messages, "nothing arrived"
            return messages
        size = max(size, len(packet))
        assert size <= 1472, "cut into pieces by Ethernet"
        messages += [(m.address, list(m.params)) for m in bundles.OscBundle(packet)]
        receiver.settimeout(0.05)


def unity_joints(messages: list[tuple[str, list]]) -> dict[str, np.ndarray]:
    """Moves a figure as a program made with Unity does; where its bones are then, Unity's axes."""
    bones = {a[0]: np.array(a[1:]) for address, a in messages if address == "/VMC/Ext/Bone/Pos"}
    (root,) = [np.array(a[1:]) for address, a in messages if address == "/VMC/Ext/Root/Pos"]
    at: dict[str | None, np.ndarray] = {None: root[:3]}
    turned = {None: root[3:7]}
    for name, parent in UNITY_PARENTS.items():
        place, turn = bones[name][:3], bones[name][3:]
        assert abs(np.linalg.norm(turn) - 1) < 1e-5
        at[name] = at[parent] + rotate(turned[parent], place)
        turned[name] = multiply(turned[parent], turn)
    return {str(name): point for name, point in at.items() if name is not None}


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton's product of quaternions x, y, z, w; the same in left-handed axes."""
    xyz = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(xyz, a[3] * b[3] - a[:3] @ b[:3])


def rotate(turn: np.ndarray, vector: np.ndarray) -> np.ndarray:
    back = turn * (-1, -1, -1, 1)
    return multiply(multiply(turn, np.append(vector, 0.0)), back)[:3]
