"""MOT: joint angles for OpenSim by its own inverse kinematics, one file a person, and the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17
from pose3d.result.angles import (
    ARM,
    SIDES,
    ball_angles,
    joint_angles,
    limb_directions,
    segment_frames,
)
from pose3d.result.gait_model import (
    TRANSLATIONS,
    ModelExporter,
    build_model,
    known_joints,
    measure,
    name_of,
    quiet_opensim,
)
from pose3d.result.markers import marker_names
from pose3d.result.numbers import fill_template
from pose3d.result.record import PoseSequence
from pose3d.result.rig import euler_zxy_deg

Array = NDArray[np.float64]

ACCURACY = 1e-5
"""Of the solver, as OpenSim's own tool has it; angles are then within 0.1 degrees of the optimum."""
TWISTS = tuple(f"{turn}_{side}" for turn in ("hip_rotation", "arm_rot") for side in "rl")
"""Turns about a bone, which nothing but the bend below it tells."""
TWIST_WEIGHT = 5e-5
"""Metres squared for a radian: against the markers' square distances, weak where a limb is bent."""


class MotExporter:
    """Writes ``.mot``: degrees and metres of the model that :mod:`~pose3d.result.gait_model` makes.

    A row for each frame in which the person is there; all markers weigh the same. The first
    lines say how far the markers of the model are from the joints. A turn about a limb that is
    straight, which no marker tells, goes straight between the frames in which it is bent over
    :data:`~pose3d.result.angles.BENT_DEG`.

    Reference: OpenSim documentation, "Motion (.mot) Files" and "How Inverse Kinematics Works".
    """

    suffix = ".mot"
    description = "Joint angles by OpenSim's inverse kinematics, and the model; needs opensim"
    axes = "Y up, x right, z to the camera; degrees, metres"
    away = "has no row"
    per_person = True
    beside = ModelExporter()

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the only person of ``pose`` to ``path``."""
        known, joints = known_joints(pose)
        time_s, name = pose.time_s[known], name_of(pose)
        places = measure(joints, name)
        with quiet_opensim() as osim:
            model = build_model(osim, places, name)
            names, values, apart_m = solve(osim, model, joints, time_s, guess(joints, time_s))
        turns = [name not in TRANSLATIONS for name in names]
        values[:, turns] = np.rad2deg(values[:, turns])
        rms_mm, most_mm = np.sqrt(np.square(apart_m).mean()) * 1000, apart_m.max() * 1000
        head = (
            f"Coordinates\nversion=1\nnRows={len(values)}\nnColumns={len(names) + 1}\n"
            f"inDegrees=yes\n\n"
            f"Of the model {name} of pose3d; metres, degrees.\n"
            f"Its markers are {rms_mm:.1f} mm RMS and at most {most_mm:.1f} mm from the joints.\n\n"
            "endheader\n" + "\t".join(["time", *names]) + "\n"
        )
        table = np.concatenate([time_s[:, None], values], 1)
        decimals = [6, *(4 if turn else 6 for turn in turns)]
        pieces = ["", *["\t"] * len(names), "\n"]
        with path.open("wb") as file:
            file.writelines([head.encode(), fill_template(table, decimals, pieces, missing="")])


def guess(joints: Array, time_s: Array) -> dict[str, Array]:
    """Returns coordinate -> ``(frame,)`` radians and metres, straight from the joints.

    Each is near the answer, so that no frame depends on another; without jumps of whole turns.
    """
    with np.errstate(invalid="ignore"):
        at, pelvis, torso = segment_frames(joints)
        known = joint_angles(joints)
        tilt, tip, heading = euler_zxy_deg(pelvis).T
        out = {"pelvis_tilt": tilt, "pelvis_list": tip, "pelvis_rotation": heading}
        out["lumbar_extension"] = -known["trunk_flexion"]
        out["lumbar_bending"] = known["trunk_side_bend"]
        out["lumbar_rotation"] = known["trunk_rotation"]
        out |= {"neck_flexion": known["neck_flexion"], "neck_bending": known["neck_side_bend"]}
        for side in SIDES:
            s = side[0]
            out[f"hip_flexion_{s}"] = known[f"{side}_hip_flexion"]
            out[f"hip_adduction_{s}"] = -known[f"{side}_hip_abduction"]
            out[f"hip_rotation_{s}"] = known[f"{side}_hip_rotation"]
            out[f"knee_angle_{s}"] = known[f"{side}_knee_flexion"]
            upper, fore = limb_directions(at, torso, side, ARM)
            bent = out[f"elbow_flex_{s}"] = known[f"{side}_elbow_flexion"]
            turns = ball_angles(upper, np.cross(upper, fore), bent)
            out |= zip((f"arm_flex_{s}", f"arm_add_{s}", f"arm_rot_{s}"), turns, strict=True)
    filled = {name: np.deg2rad(_without_gaps(angle, time_s)) for name, angle in out.items()}
    return filled | dict(zip(TRANSLATIONS, at["pelvis"].T, strict=True))


def _without_gaps(angle: Array, time_s: Array) -> Array:
    """Returns degrees without jumps, straight over where they are not defined; 0 if they never are."""
    known = np.isfinite(angle)
    if not known.any():
        return np.zeros(len(angle))
    return np.interp(time_s, time_s[known], np.unwrap(angle[known], period=360))


def solve(
    osim: Any, model: Any, joints: Array, time_s: Array, start: dict[str, Array]
) -> tuple[list[str], Array, Array]:
    """Moves the model to the joints in each frame.

    Returns:
        The coordinates, their values ``(frame, coordinate)`` in radians and metres, and how far
        each marker is from its joint, ``(frame, joint)`` metres.
    """
    labels = marker_names(H36M17)
    table = osim.TimeSeriesTableVec3()
    table.setColumnLabels(labels)  # no StdVectorString: SWIG shares that type with ezc3d
    for time, points in zip(time_s.tolist(), joints.tolist(), strict=True):
        row = osim.RowVectorVec3(len(labels))
        for k, point in enumerate(points):
            row[k] = osim.Vec3(*point)
        table.appendRow(time, row)
    twists = osim.SimTKArrayCoordinateReference()
    for name in TWISTS:
        line = osim.PiecewiseLinearFunction()
        for time, angle in zip(time_s.tolist(), start[name].tolist(), strict=True):
            line.addPoint(time, angle)
        twist = osim.CoordinateReference(name, line)
        twist.setWeight(TWIST_WEIGHT)
        twists.push_back(twist)
    state = model.initSystem()
    markers = osim.MarkersReference(table, osim.SetMarkerWeights())
    solver = osim.InverseKinematicsSolver(model, markers, twists)
    solver.setAccuracy(ACCURACY)
    coordinates = [model.getCoordinateSet().get(i) for i in range(model.getNumCoordinates())]
    found = np.empty((len(time_s), len(coordinates)))
    apart_m = np.empty(joints.shape[:2])
    for i, time in enumerate(time_s.tolist()):
        state.setTime(time)
        for coordinate in coordinates:
            coordinate.setValue(state, float(start[coordinate.getName()][i]), False)
        solver.assemble(state)
        found[i] = [coordinate.getValue(state) for coordinate in coordinates]
        apart_m[i] = [solver.computeCurrentMarkerError(label) for label in labels]
    return [coordinate.getName() for coordinate in coordinates], found, apart_m
