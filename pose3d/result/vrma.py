"""VRMA: a moving VRM humanoid without a figure, for VRM avatars, one file a person."""

from __future__ import annotations

from pathlib import Path

from pose3d.result.gltf import Gltf, Motion, add_skeleton
from pose3d.result.record import PoseSequence
from pose3d.result.rig import rig_joints, whole_frames


class VrmaExporter:
    """Writes ``.vrma``: the humanoid bones in T-pose and how they turn; feet and hands do not.

    Each bone has its median length over the clip. The animation has a key at the time of each
    frame in which the person is there. Reference: ``VRMC_vrm_animation-1.0`` of vrm-c/vrm-specification.
    """

    suffix = ".vrma"
    description = "Motion for VRM avatars: VRoid, three-vrm, UniVRM"
    axes = "Y up, x right, z to the camera; metres"
    away = "moves straight to the next pose"
    per_person = True

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the only person of ``pose`` to ``path``."""
        joints = rig_joints(pose, "vrm", "VRMA")
        present = whole_frames(joints, pose)
        gltf = Gltf()
        motion = Motion(gltf)
        nodes, first, _ = add_skeleton(
            gltf, motion, joints[present], pose.time_s[present], "vrm", stretch=False
        )
        motion.finish("motion")
        bones = {node.name: {"node": first + i} for i, node in enumerate(nodes)}
        gltf.extensions["VRMC_vrm_animation"] = {
            "specVersion": "1.0",
            "humanoid": {"humanBones": bones},
        }
        gltf.write(path, [first], Path(pose.video.path).stem)
