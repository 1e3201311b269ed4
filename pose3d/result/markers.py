"""Joints as markers: the names that models of biomechanics programs know."""

from __future__ import annotations

from pose3d.body.skeletons import H36M17, Skeleton

_OF_POSE2SIM = {
    "pelvis": "Hip",
    "thorax": "Neck",
    "head_top": "Head",
    **{
        f"{side}_{part}": side[0].upper() + part.capitalize()
        for side in ("left", "right")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    },
}


def marker_names(skeleton: Skeleton) -> list[str]:
    """Returns a name for each joint: those of Pose2Sim's OpenSim models, else the joint's own.

    Spine and neck_nose have none there. Reference: ``Pose2Sim/OpenSim_Setup/Markers_Halpe26.xml``
    of perfanalytics/pose2sim.
    """
    known = _OF_POSE2SIM if skeleton.name == H36M17.name else {}
    return [known.get(joint, joint) for joint in skeleton.joints]
