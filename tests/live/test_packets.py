"""What is sent: decoded by a receiver, it is the pose; in Unity's axes and by its names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose3d.body.skeletons import H36M17
from pose3d.errors import MissingExtraError, UsageError
from pose3d.live.osc import OscJoints, make_packets, parse_address
from pose3d.live.vmc import SOLE_M, Vmc, make_bones
from pose3d.result.rig import rest_directions
from tests.support.moments import moment_of
from tests.support.osc import UNITY_JOINTS, UNITY_PARENTS, address_of, listen, receive, unity_joints
from tests.support.samples import sample_pose

pytestmark = pytest.mark.extra_live
UNITY = np.array([-1.0, -1.0, -1.0])
"""Camera axes (x right, y down, z away) to Unity's for who looks at the camera: x to the left of
the picture, y up, z to the camera."""


@pytest.fixture(autouse=True)
def _needs_the_extra() -> None:
    pytest.importorskip("pythonosc", reason="needs the extra live")


def t_pose() -> np.ndarray:
    """Stands in T-pose and looks at the camera; camera axes."""
    joints, rest = np.zeros((17, 3)), rest_directions()
    for joint, parent in enumerate(H36M17.parents):
        if parent >= 0:
            joints[joint] = joints[parent] + 0.3 * rest[joint]
    return joints * (1.0, -1.0, -1.0)


@pytest.mark.parametrize("name", ["walk_turn", "dance", "two_people", "portrait_phone"])
def test_a_receiver_rebuilds_the_joints(samples: Path, name: str) -> None:
    pose = sample_pose(samples, name)
    with listen() as receiver:
        sender = Vmc(address_of(receiver))
        for frame in range(0, pose.n_frames, 17):
            moment = moment_of(pose, frame)
            person = next(p for p in moment.people if p.person_id == 1)
            sender.send(replace(moment, people=(person,)))
            at = unity_joints(receive(receiver))
            truth = person.joints_cam_m * UNITY
            hips = truth[[H36M17.index["left_hip"], H36M17.index["right_hip"]]].mean(0)
            for bone, joint in UNITY_JOINTS.items():
                expected = truth[H36M17.index[joint]] - hips
                assert np.linalg.norm(at[bone] - at["Hips"] - expected) < 0.001, bone
            # On the spot, the lower foot on the floor.
            assert at["Hips"][[0, 2]] == pytest.approx([0, 0])
            feet = min(at["LeftFoot"][1], at["RightFoot"][1])
            assert feet == pytest.approx(SOLE_M, abs=1e-5)
        sender.close()


def test_messages_are_those_of_the_protocol(samples: Path) -> None:
    pose = sample_pose(samples, "two_people")
    with listen() as receiver:
        sender = Vmc(address_of(receiver))
        sender.send(moment_of(pose, 30))
        messages = receive(receiver)
        sender.close()
    addresses = [address for address, _ in messages]
    assert addresses[:3] == ["/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Root/Pos"]
    assert set(addresses[3:]) == {"/VMC/Ext/Bone/Pos"}
    assert messages[0][1] == [1, 3, 0, 1]
    assert messages[1][1] == [pytest.approx(1.0)]
    assert messages[2][1] == ["root", 0, 0, 0, 0, 0, 0, 1]
    assert {a[0] for _, a in messages[3:]} == set(UNITY_PARENTS)
    for _, arguments in messages[2:]:
        assert [type(a) for a in arguments] == [str] + 7 * [float]


def test_t_pose_is_no_turn() -> None:
    for name, place, turn in make_bones(t_pose()):
        np.testing.assert_allclose(turn, [0, 0, 0, 1], atol=1e-9, err_msg=name)
        if name.startswith(("Left", "Right")) and not name.endswith("Shoulder"):
            sideways = place[0] * (-1 if name.startswith("Left") else 1)
            assert sideways > -1e-9, name  # the left side is at negative x in Unity


def test_turns_are_left_handed() -> None:
    """The left arm forward is ``Quaternion.Euler(0, 90, 0)``, the right knee bent ``Euler(90, 0, 0)``."""
    joints = t_pose()
    shoulder, elbow, wrist = (H36M17.index[f"left_{n}"] for n in ("shoulder", "elbow", "wrist"))
    joints[elbow] = joints[shoulder] + (0, 0, -0.3)  # towards the camera
    joints[wrist] = joints[shoulder] + (0, 0, -0.6)
    knee, ankle = H36M17.index["right_knee"], H36M17.index["right_ankle"]
    joints[ankle] = joints[knee] + (0, 0, 0.3)  # the shank backwards
    bones = {name: turn for name, _, turn in make_bones(joints)}
    half = np.sqrt(0.5)
    np.testing.assert_allclose(bones["LeftUpperArm"], [0, half, 0, half], atol=1e-6)
    np.testing.assert_allclose(bones["LeftLowerArm"], [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(bones["RightLowerLeg"], [half, 0, 0, half], atol=1e-6)


def test_one_person_is_followed_until_gone(samples: Path) -> None:
    pose = sample_pose(samples, "two_people")
    both = moment_of(pose, 30)
    one, other = both.people

    def arms(people: tuple) -> np.ndarray:
        sender.send(replace(both, people=people))
        messages = receive(receiver)
        (state,) = [a for address, a in messages if address == "/VMC/Ext/OK"]
        if not people:
            assert state == [1, 3, 0, 0]
            assert len(messages) == 2
            return np.zeros(3)
        return unity_joints(messages)["LeftHand"] - unity_joints(messages)["Hips"]

    with listen() as receiver:
        sender = Vmc(address_of(receiver))
        first = arms((one,))
        np.testing.assert_allclose(arms((other, one)), first)
        second = arms((other,))
        assert np.linalg.norm(second - first) > 0.05
        np.testing.assert_allclose(arms((one, other)), second)
        arms(())
        sender.close()


def test_plain_joints(samples: Path) -> None:
    pose = sample_pose(samples, "two_people")
    moment = moment_of(pose, 30)
    with listen() as receiver:
        sender = OscJoints(address_of(receiver))
        sender.send(moment)
        messages = receive(receiver)
        sender.close()
    assert messages[0] == ("/pose3d/frame", [30, pytest.approx(1.0), 2])
    assert len(messages) == 1 + 2 * 17
    for k, (address, arguments) in enumerate(messages[1:]):
        person, joint = moment.people[k // 17], k % 17
        assert address == "/pose3d/joint"
        assert arguments[:2] == [person.person_id, H36M17.joints[joint]]
        expected = [*person.joints_cam_m[joint], person.score[joint]]
        np.testing.assert_allclose(arguments[2:], expected, atol=1e-6)


def test_nothing_to_send_is_no_packet() -> None:
    assert make_packets([]) == []


@pytest.mark.parametrize("text", ["", "39539", ":39539", "host:", "host:0", "host:65536", "host:x"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address("--vmc", text)


def test_addresses() -> None:
    assert parse_address("--vmc", "localhost:39539") == ("localhost", 39539)
    assert parse_address("--vmc", "[::1]:39539") == ("::1", 39539)
    with pytest.raises(UsageError, match=r"no\.such\.host"):
        Vmc("no.such.host.invalid:39539")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pythonosc", None)
    with pytest.raises(MissingExtraError, match=r"--vmc needs .*python-osc.*pip install"):
        Vmc("127.0.0.1:39539")
