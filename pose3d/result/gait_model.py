"""An OpenSim model of one person: what 17 joint centres define, with the names of gait models.

Eleven bodies and 27 coordinates. Lower trunk and pelvis are one body, hinged to the upper trunk
half-way up, since nothing tells the pelvis's own tilt. Left out for the same reason: ankles and
feet, turns of forearm and head, hands. Masses are not known: each body has 1 kg, to be scaled.

Coordinates, their order and signs are those of Rajagopal's model (a bent knee is positive), the
neck's those of ``pose3d angles``.

Reference: Rajagopal et al., IEEE Trans. Biomed. Eng. 63 (2016) 2068, ``Rajagopal2016.osim`` of
opensim-org/opensim-models; class ``CustomJoint`` of OpenSim's API.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.plugins import import_extra
from pose3d.result.angles import ARM, LEG, SIDES, joint_angles, segment_frames, turn
from pose3d.result.markers import marker_names
from pose3d.result.record import PoseSequence
from pose3d.result.rig import rig_joints, whole_frames

Array = NDArray[np.float64]
Axis = tuple[float, float, float]

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)  # forward, up, right
TRANSLATIONS = ("pelvis_tx", "pelvis_ty", "pelvis_tz")
_THICK_M = 0.035  # of a bone as it is drawn


@dataclass(frozen=True, slots=True)
class Hinge:
    """A joint of the model: which body turns on which, where, and about what axes in turn."""

    name: str
    parent: str
    child: str
    joint: str  # of the record, where it lies
    turns: tuple[tuple[str, Axis], ...]  # coordinate, axis


def _minus(axis: Axis) -> Axis:
    return -axis[0], -axis[1], -axis[2]


# Side, its letter, and the axes of its limbs: adduction and turning inwards are positive.
_SIDED = (("right", "r", X, Y), ("left", "l", _minus(X), _minus(Y)))


def _hinges() -> Iterator[Hinge]:
    pelvis = (("pelvis_tilt", Z), ("pelvis_list", X), ("pelvis_rotation", Y))
    yield Hinge("ground_pelvis", "ground", "pelvis", "pelvis", pelvis)
    for side, s, x, y in _SIDED:
        hip = ((f"hip_flexion_{s}", Z), (f"hip_adduction_{s}", x), (f"hip_rotation_{s}", y))
        yield Hinge(f"hip_{s}", "pelvis", f"femur_{s}", f"{side}_hip", hip)
        knee = ((f"knee_angle_{s}", _minus(Z)),)
        yield Hinge(f"knee_{s}", f"femur_{s}", f"tibia_{s}", f"{side}_knee", knee)
    back = (("lumbar_extension", Z), ("lumbar_bending", X), ("lumbar_rotation", Y))
    yield Hinge("back", "pelvis", "torso", "spine", back)
    neck = (("neck_flexion", _minus(Z)), ("neck_bending", X))
    yield Hinge("neck", "torso", "head", "thorax", neck)
    for side, s, x, y in _SIDED:
        arm = ((f"arm_flex_{s}", Z), (f"arm_add_{s}", x), (f"arm_rot_{s}", y))
        yield Hinge(f"acromial_{s}", "torso", f"humerus_{s}", f"{side}_shoulder", arm)
        elbow = ((f"elbow_flex_{s}", Z),)
        yield Hinge(f"elbow_{s}", f"humerus_{s}", f"ulna_{s}", f"{side}_elbow", elbow)


HINGES = tuple(_hinges())
_BODY_OF = {"pelvis": "pelvis", "right_hip": "pelvis", "left_hip": "pelvis", "spine": "pelvis"}
_BODY_OF |= {"thorax": "torso", "right_shoulder": "torso", "left_shoulder": "torso"}
_BODY_OF |= {"neck_nose": "head", "head_top": "head"}
for _side in SIDES:
    _BODY_OF |= {f"{_side}_knee": f"femur_{_side[0]}", f"{_side}_ankle": f"tibia_{_side[0]}"}
    _BODY_OF |= {f"{_side}_elbow": f"humerus_{_side[0]}", f"{_side}_wrist": f"ulna_{_side[0]}"}
"""Which body each joint of the record is a marker of."""


@contextmanager
def quiet_opensim() -> Iterator[Any]:
    """Gives the module opensim, which does not print or leave a log in the ``with`` block."""
    used = "opensim" in sys.modules
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of SWIG
        osim = import_extra("opensim", "opensim", "The format mot")
    level = osim.Logger.getLevel()
    osim.Logger.setLevel(osim.Logger.Level_Off)
    try:
        yield osim
    finally:
        if used:  # setting it says so, on the screen and in a file
            osim.Logger.setLevel(level)


def known_joints(pose: PoseSequence) -> tuple[NDArray[np.bool_], Array]:
    """Returns in which frames every joint of the only person is known, and these joints, y up.

    A UsageError for other skeletons, and where there is no such frame.
    """
    joints = rig_joints(pose, "pose3d", "MOT")
    known = whole_frames(joints, pose)
    return known, joints[known]


def measure(joints: Array, who: str) -> dict[str, Array]:
    """Returns where each joint lies in its body, metres: the median over ``(frame, joint, 3)``.

    A UsageError about ``who`` where that has no size.
    """
    with np.errstate(invalid="ignore"):
        at, pelvis, torso = segment_frames(joints)
        angles = joint_angles(joints)
        nod, bend = (np.deg2rad(angles[name]) for name in ("neck_flexion", "neck_side_bend"))
        head = torso @ turn(2, -nod) @ turn(0, bend)
    from_joint = {"pelvis": (pelvis, "pelvis"), "torso": (torso, "spine"), "head": (head, "thorax")}
    places = {"pelvis": np.zeros(3)}
    for joint, body in _BODY_OF.items():
        if body in from_joint and joint != "pelvis":
            axes, origin = from_joint[body]
            inside = np.einsum("fji,fj->fi", axes, at[joint] - at[origin])
            whole = np.isfinite(inside).all(-1)
            places[joint] = np.median(inside[whole], 0) if whole.any() else np.full(3, np.nan)
    for side in SIDES:
        for upper, lower in (*pairwise(LEG), *pairwise(ARM)):
            bone = np.linalg.norm(at[f"{side}_{lower}"] - at[f"{side}_{upper}"], axis=-1)
            places[f"{side}_{lower}"] = np.array([0.0, -np.median(bone), 0.0])
    if not np.isfinite(list(places.values())).all():
        raise UsageError(f"The trunk of {who} has no extent", "Export json, npz or csv")
    return places


def build_model(osim: Any, places: dict[str, Array], name: str) -> Any:
    """Makes the ``osim.Model`` of a person who was measured."""
    model = osim.Model()
    model.setName(name)
    model.set_credits(
        "Made by pose3d. Bones have the person's median lengths. Masses are not known: each body "
        "has 1 kg. Pelvis and lower trunk are one body."
    )
    bodies = {"ground": model.getGround()}
    zero = osim.Vec3(0)
    for hinge in HINGES:
        body = osim.Body(hinge.child, 1.0, zero, osim.Inertia(0.01, 0.01, 0.01, 0, 0, 0))
        bodies[hinge.child] = body
        model.addBody(body)
        place = osim.Vec3(*places[hinge.joint].tolist())
        frames = bodies[hinge.parent], place, zero, body, zero, zero
        model.addJoint(osim.CustomJoint(hinge.name, *frames, _motion(osim, hinge)))
    for joint, label in zip(H36M17.joints, marker_names(H36M17), strict=True):
        place = osim.Vec3(*places[joint].tolist())
        model.addMarker(osim.Marker(label, bodies[_BODY_OF[joint]], place))
    for number, (body, start, end) in enumerate(_bones(places)):
        bodies[body].addComponent(_drawn(osim, f"bone{number}", bodies[body], start, end))
    model.finalizeConnections()
    for name in (name for hinge in HINGES for name, _ in hinge.turns):
        coordinate = model.updCoordinateSet().get(name)
        coordinate.setRangeMin(-np.pi)
        coordinate.setRangeMax(np.pi)
    return model


def _motion(osim: Any, hinge: Hinge) -> Any:
    """Returns the ``SpatialTransform`` of a joint: its turns, and where the pelvis is."""
    motion = osim.SpatialTransform()
    turns = [*hinge.turns, *(("", axis) for axis in (X, Y)[len(hinge.turns) - 1 :])]
    moves = TRANSLATIONS if hinge.parent == "ground" else ("", "", "")
    for kind, parts in (("rotation", turns), ("translation", zip(moves, (X, Y, Z), strict=True))):
        for k, (name, axis) in enumerate(parts):
            transform = getattr(motion, f"upd_{kind}{k + 1}")()
            transform.setAxis(osim.Vec3(*axis))
            if name:
                transform.setCoordinateNames(osim.ArrayStr(name, 1))
            # Not setFunction, which would free the function that Python frees as well.
            transform.set_function(osim.LinearFunction(1, 0) if name else osim.Constant(0))
    return motion


def _bones(places: dict[str, Array]) -> Iterator[tuple[str, Array, Array]]:
    """Lists what is drawn: the body, from where, to where."""
    zero = np.zeros(3)
    yield "pelvis", places["left_hip"], places["right_hip"]
    yield "pelvis", zero, places["spine"]
    yield "torso", places["left_shoulder"], places["right_shoulder"]
    yield "torso", zero, places["thorax"]
    yield "head", zero, places["head_top"]
    for hinge in HINGES:
        ends = [joint for joint, body in _BODY_OF.items() if body == hinge.child]
        if len(ends) == 1:  # of a limb
            yield hinge.child, zero, places[ends[0]]


def _drawn(osim: Any, name: str, body: Any, start: Array, end: Array) -> Any:
    """Returns a frame with an ellipsoid from one place of a body to another."""
    x, y, z = (end - start).tolist()
    length = max(float(np.linalg.norm(end - start)), 1e-6)
    frame = osim.PhysicalOffsetFrame(name, body, osim.Transform())
    frame.set_translation(osim.Vec3(*((start + end) / 2).tolist()))
    # Turns that take Y along it: about X, then about the new Z.
    frame.set_orientation(osim.Vec3(float(np.arctan2(z, y)), 0.0, -float(np.arcsin(x / length))))
    frame.attachGeometry(osim.Ellipsoid(_THICK_M, length / 2, _THICK_M))
    return frame


class ModelExporter:
    """Writes ``.osim``: the model that the angles of a ``.mot`` are of."""

    suffix = ".osim"
    description = "The person's OpenSim model"
    per_person = True

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the model of the only person of ``pose`` to ``path``."""
        joints = known_joints(pose)[1]
        with quiet_opensim() as osim:
            build_model(osim, measure(joints, name_of(pose)), name_of(pose)).printToXML(str(path))


def name_of(pose: PoseSequence) -> str:
    """Returns what the model of the only person is called."""
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in Path(pose.video.path).stem)
    return f"{words}_person{pose.person_ids[0]}"
