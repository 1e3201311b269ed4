"""One person for avatars: the Virtual Motion Capture protocol, of which VRM programs take a pose.

Reference: ``docs/marionette-spec.markdown`` and ``docs/english.markdown`` of
sh-akira/VirtualMotionCaptureProtocol (version 3.0), and its ``SampleBonesSendBundle.cs``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.live.moment import Moment
from pose3d.live.osc import Message, OscSender
from pose3d.pipeline.live import StreamPerson
from pose3d.result.rig import make_nodes, turn_nodes

Array = NDArray[np.floating]

SOLE_M = 0.08  # of a shoe, below the ankle joint
_HIPS = [H36M17.index["left_hip"], H36M17.index["right_hip"]]
_ANKLES = [H36M17.index["left_ankle"], H36M17.index["right_ankle"]]
_NODES = make_nodes("vrm")
_NAMES = [node.name[0].upper() + node.name[1:] for node in _NODES]
"""Unity's HumanBodyBones; VRM begins the same names with a small letter."""

Bone = tuple[str, Array, Array]  # name, place and turn (x, y, z, w), both against the bone above it


def make_bones(joints_cam_m: Array) -> list[Bone]:
    """Returns the bones of a pose, ``(17, 3)`` metres in camera axes, in Unity's left-handed axes.

    They rest in T-pose and face +z, y up. A place is that of the frame, so that the joints can be
    rebuilt; twist about a bone is not observed and kept least. The hips are above the origin, as
    high as a floor at 0 below the lower foot makes them: "up" is the camera's own. Toes, fingers,
    eyes and jaw have no joint and are left out.
    """
    joints = joints_cam_m.astype(np.float64) * (1.0, -1.0, -1.0)
    joints[0] = joints[_HIPS].mean(0)
    joints -= joints[0]
    turns = list(turn_nodes(joints[None], _NODES))
    places = np.zeros((len(_NODES), 3))
    places[0, 1] = SOLE_M - joints[_ANKLES, 1].min()
    for i, node in enumerate(_NODES[1:], 1):
        above = _NODES[node.parent]
        places[i] = (joints[node.joint] - joints[above.joint]) @ turns[node.parent][0][0]
    local = Rotation.from_matrix(np.concatenate([local for _, local in turns]))
    # The mirror x -> -x: what turns about x stays, what turns about y and z goes the other way.
    mirrored = local.as_quat(canonical=True) * (1.0, -1.0, -1.0, 1.0)
    return list(zip(_NAMES, places * (-1.0, 1.0, 1.0), mirrored, strict=True))


class Vmc(OscSender):
    """Sends one person: who was there first, and when they are gone the largest of the others."""

    def __init__(self, address: str) -> None:
        super().__init__("--vmc", address)
        self._followed: int | None = None

    def send(self, moment: Moment) -> None:
        """Sends one moment; without a person only that tracking is lost."""
        person = self._choose(moment.people)
        state = [("i", 1), ("i", 3), ("i", 0), ("i", int(person is not None))]
        messages: list[Message] = [
            ("/VMC/Ext/OK", state),  # loaded, calibrated, in normal mode, tracking or not
            ("/VMC/Ext/T", [("f", moment.time_s)]),
        ]
        if person is not None:
            origin = [("s", "root"), *(("f", value) for value in (0.0,) * 6 + (1.0,))]
            messages.append(("/VMC/Ext/Root/Pos", origin))
            for name, place, turn in make_bones(person.joints_cam_m):
                numbers = [("f", float(value)) for value in (*place, *turn)]
                messages.append(("/VMC/Ext/Bone/Pos", [("s", name), *numbers]))
        self.send_messages(messages)

    def _choose(self, people: tuple[StreamPerson, ...]) -> StreamPerson | None:
        for person in people:
            if person.person_id == self._followed:
                return person
        if not people:
            return None
        largest = max(people, key=lambda p: float(np.prod(p.box_xyxy_px[2:] - p.box_xyxy_px[:2])))
        self._followed = largest.person_id
        return largest
