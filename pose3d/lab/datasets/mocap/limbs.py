"""Which joint of a foreign skeleton is which limb: a table of names, tried in order."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.source import SourceMotion

_PARTS: dict[str, tuple[str, ...]] = {
    # Names of the left side with "@" for the side. Programs in which a name means something else
    # come later: LeftShoulder is the collar bone wherever there is a LeftArm.
    "hip": ("@upleg", "upperleg@", "@upperleg", "@thigh", "thigh@", "@hip", "hip@"),
    "knee": (
        *("@leg", "lowerleg@", "@lowerleg", "@shin", "shin@", "@calf", "calf@", "@knee", "knee@"),
    ),
    "ankle": ("@ankle", "ankle@", "@foot", "foot@"),
    "shoulder": ("@arm", "upperarm@", "@upperarm", "@uparm", "@shldr", "@shoulder", "shoulder@"),
    "elbow": ("@forearm", "forearm@", "lowerarm@", "@lowerarm", "@elbow", "elbow@"),
    "wrist": ("@wrist", "wrist@", "@hand", "hand@"),
    "toe": (
        *("@toebase", "@toe", "@toe0", "toe@", "toes@", "@toes"),
        *("@ball", "ball@", "@foot", "foot@"),
    ),
}
_MIDDLE: dict[str, tuple[str, ...]] = {
    "head": ("head", "headtop", "skull"),
    "neck": ("neck", "neck1", "neck01", "lowerneck", "spineneck"),
}
_ASF: dict[str, tuple[str, ...]] = {  # a bone of an ASF skeleton ends in the joint
    "hip": ("@hipjoint",),
    "knee": ("@femur",),
    "ankle": ("@tibia",),
    "shoulder": ("@clavicle",),
    "elbow": ("@humerus",),
    "wrist": ("@wrist",),
    "toe": ("@toes",),
}
_ASF_MIDDLE: dict[str, tuple[str, ...]] = {"head": ("upperneck",), "neck": ("thorax",)}
NEEDED = tuple(p for p in _PARTS if p != "toe")
SIDES = {"left": ("left", "l"), "right": ("right", "r")}


def _bare_name(name: str) -> str:
    """Returns a name without prefixes and separators: ``mixamorig:LeftUpLeg`` -> ``leftupleg``."""
    name = name.rsplit(":", 1)[-1].rsplit("|", 1)[-1]
    name = re.sub(r"^(bip\d+|character\d*|mixamorig\d*|valvebiped)[ _.]*", "", name, flags=re.I)
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_limbs(motion: SourceMotion, where: str) -> dict[str, int]:
    """Finds limb joints by name, ``left_hip`` ... ``right_wrist``; toes, head and neck if any."""
    place: dict[str, int] = {}
    for i, name in enumerate(motion.joints):
        place.setdefault(_bare_name(name), i)
    is_asf = "lfemur" in place and "lhipjoint" in place
    parts, middle = (_ASF, _ASF_MIDDLE) if is_asf else (_PARTS, _MIDDLE)
    tried: dict[str, Sequence[str]] = {
        f"{side}_{part}": [name.replace("@", word) for name in names for word in words]
        for side, words in SIDES.items()
        for part, names in parts.items()
    }
    found: dict[str, int] = {}
    for role, names in (tried | middle).items():
        free = (place[n] for n in names if n in place and place[n] not in found.values())
        if (hit := next(free, None)) is not None:
            found[role] = hit
    missing = [f"{s}_{p}" for s in SIDES for p in NEEDED if f"{s}_{p}" not in found]
    if missing:
        raise DataError(
            f"{where} has no joint for {', '.join(missing)}; its joints are {', '.join(motion.joints)}",
            "Rename its joints, e.g. to LeftUpLeg, LeftLeg, LeftFoot, LeftArm, LeftForeArm, LeftHand",
        )
    return found
