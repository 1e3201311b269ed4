"""ASF/AMC: the Acclaim skeleton and its motion, as CMU published its recordings.

A bone turns by ``C R C^-1`` about its own axes ``C`` and points along ``direction`` times
``length``. Angles are as ``:units angle`` of the skeleton says, or ``:RADIANS`` of the motion.
Reference: Lander, "Working with Motion Capture File Formats", Game Developer 1998.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.source import Array, SourceMotion
from pose3d.lab.datasets.npz_files import blame_file

ROOT = "root"
AMC_RATE = 120.0  # fps of CMU; the format states none
_INCH_M = 0.0254
_DEGREES = {"deg": 1.0, "rad": 180 / math.pi}
_DOF = ("tx", "ty", "tz", "rx", "ry", "rz")


_Entry = dict[str, list[str]]  # lines of a part: first word -> others


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bone:
    name: str
    parent: int
    offset: Array
    axis: Array
    dof: tuple[str, ...]


def read_amc(amc: Path) -> SourceMotion:
    """Reads a motion with its skeleton. Joints are the END points of the bones, named as these."""
    bones, unit_m, angle = _read_asf(_find_asf(amc))
    channels = {b.name: b.dof for b in bones}
    frames, angle = _read_frames(amc, channels, angle)
    n = len(frames)
    positions, rotations = np.zeros((n, len(bones), 3)), np.zeros((n, len(bones), 3, 3))
    rest = np.zeros((len(bones), 3))
    for i, bone in enumerate(bones):
        angles, shift = np.zeros((n, 3)), np.zeros((n, 3))
        values = np.array([frame[bone.name] for frame in frames if bone.name in frame])
        for k, name in enumerate(bone.dof if len(values) == n else ()):
            into = angles if name.startswith("r") else shift
            into[:, "xyz".index(name[1])] = values[:, k]
        # Lower-case letters: turns about fixed axes, x first.
        turn = Rotation.from_euler("xyz", angles * _DEGREES[angle], degrees=True).as_matrix()
        own = Rotation.from_euler("xyz", bone.axis, degrees=True).as_matrix()
        local = own @ turn @ own.T
        if bone.parent < 0:
            positions[:, i], rotations[:, i] = shift, local
            continue
        rotations[:, i] = rotations[:, bone.parent] @ local
        along = np.einsum("fij,j->fi", rotations[:, i], bone.offset)
        positions[:, i] = positions[:, bone.parent] + along
        rest[i] = rest[bone.parent] + bone.offset
    return SourceMotion(
        joints=tuple(b.name for b in bones),
        parents=tuple(b.parent for b in bones),
        positions=positions,
        rest=rest,
        rotations=rotations,
        fps=AMC_RATE,
        unit_m=unit_m,
    )


def _find_asf(amc: Path) -> Path:
    """Returns the skeleton of the same subject in the motion's folder, or the only one."""
    there = sorted(amc.parent.glob("*.asf"))
    mine = [p for p in there if amc.stem == p.stem or amc.stem.startswith(f"{p.stem}_")]
    best = sorted(mine, key=lambda p: -len(p.stem)) or there
    if not best or (not mine and len(there) > 1):
        raise DataError(
            f"{amc} has no skeleton: {len(there)} .asf files lie beside it, none with its name",
            "Put SUBJECT.asf beside SUBJECT_TRIAL.amc",
        )
    return best[0]


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    with blame_file(path, "Acclaim file", "Check it"):
        text = path.read_text(encoding="utf-8", errors="replace")
    split = ((i, line.split("#")[0].split()) for i, line in enumerate(text.splitlines(), 1))
    return [(i, words) for i, words in split if words]


def _read_asf(path: Path) -> tuple[list[_Bone], float, str]:
    """Returns the bones, parents first, axes in degrees; metres a unit; the unit of angles."""
    todo = "Fetch it again"
    with blame_file(path, "complete ASF skeleton", todo):
        units, root, raw, parents = _read_sections(path)
        length, angle = float(units.get("length", ["1"])[0]), units.get("angle", ["deg"])[0].lower()
        if not raw or not parents:
            raise DataError(f"{path} is cut off or no ASF skeleton", todo)
        if angle not in _DEGREES:
            raise DataError(f"{path}: the unit of angles is {angle!r}", "Export it in degrees")
        if not 0 < length < math.inf:
            raise DataError(f"{path}: the unit of lengths is {length}", todo)
        axis = [*root.get("orientation", ["0"] * 3), *root.get("axis", [])]
        bones = [
            _Bone(
                name=ROOT,
                parent=-1,
                offset=np.zeros(3),
                axis=_read_axis(axis, angle, ROOT),
                dof=_read_dof(root["order"], ROOT),
            )
        ]
        place = {ROOT: 0}
        while waiting := [name for name in parents if name not in place]:
            ready = [name for name in waiting if parents[name] in place]
            if not ready:
                raise DataError(f"{path}: bones {waiting} have no parent", todo)
            for name in ready:
                entry = raw[name]
                length_along = _numbers(entry["length"], name)[0]
                place[name] = len(bones)
                bones.append(
                    _Bone(
                        name=name,
                        parent=place[parents[name]],
                        offset=_three(entry["direction"], name) * length_along,
                        axis=_read_axis(entry["axis"], angle, name),
                        dof=_read_dof(entry.get("dof", []), name),
                    )
                )
    return bones, _INCH_M / length, angle


def _read_sections(path: Path) -> tuple[_Entry, _Entry, dict[str, _Entry], dict[str, str]]:
    """Returns the units, the root, the bones by name, and the parent of each bone."""
    section = ""
    units: _Entry = {}
    root: _Entry = {}
    bone: _Entry = {}
    bones: dict[str, _Entry] = {}
    parents: dict[str, str] = {}
    for _, (word, *rest) in _lines(path):
        if word.startswith(":"):
            section = word[1:].lower()
        elif section == "units":
            units[word] = rest
        elif section == "root":
            root[word] = rest
        elif section == "bonedata" and word == "begin":
            bone = {}
        elif section == "bonedata" and word == "end":
            bones[bone["name"][0]], bone = bone, {}
        elif section == "bonedata":
            bone[word] = rest
        elif section == "hierarchy" and word not in ("begin", "end"):
            parents.update(dict.fromkeys(rest, word))
    return units, root, bones, parents


def _numbers(words: Sequence[str], bone: str) -> list[float]:
    values = [float(word) for word in words]
    if not all(map(math.isfinite, values)):
        raise ValueError(f"bone {bone!r} has numbers that are not finite")
    return values


def _three(words: Sequence[str], bone: str) -> Array:
    values = _numbers(words, bone)
    if len(values) != 3:
        raise ValueError(f"bone {bone!r} has {len(values)} numbers where three should be")
    return np.array(values)


def _read_axis(words: Sequence[str], angle: str, bone: str) -> Array:
    """Returns the turns of a bone's own axes in degrees, from three numbers and ``XYZ``."""
    order = "".join(words[3:]).upper() or "XYZ"
    if order != "XYZ":
        raise ValueError(f"bone {bone!r} turns in the order {order}, only XYZ can be read")
    return _three(words[:3], bone) * _DEGREES[angle]


def _read_dof(words: Sequence[str], bone: str) -> tuple[str, ...]:
    dof = tuple(word.lower() for word in words)
    unknown = [word for word in dof if word not in _DOF]
    if unknown or len(set(dof)) < len(dof):
        raise ValueError(
            f"bone {bone!r} has the dof {' '.join(dof)}; only {', '.join(_DOF)}, once each, can be read"
        )
    return dof


def _read_frames(
    path: Path, channels: dict[str, tuple[str, ...]], angle: str
) -> tuple[list[dict[str, list[float]]], str]:
    """Returns each bone's numbers by frame, and the unit of angles, ``angle`` if none is stated."""
    frames: list[dict[str, list[float]]] = []
    for at, words in _lines(path):
        if words[0].startswith(":"):
            stated = words[0][1:4].lower()
            angle = stated if stated in _DEGREES else angle
            continue
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
            continue
        name, numbers = words[0], words[1:]
        if not frames or name not in channels:
            raise DataError(
                f"{path}, line {at}: bone {name!r} is not in the skeleton",
                "The file is cut off, or belongs to another .asf",
            )
        if len(numbers) != len(channels[name]):
            raise DataError(
                f"{path}, line {at}: {len(numbers)} numbers for the {len(channels[name])} channels of "
                f"{name!r}",
                "The file is cut off or belongs to another skeleton",
            )
        try:
            frames[-1][name] = _numbers(numbers, name)
        except ValueError as error:
            raise DataError(f"{path}, line {at}: {error}", "Fetch it again") from error
    if not frames:
        raise DataError(f"{path} has no frames", "Fetch it again")
    for number, frame in enumerate(frames, 1):
        if set(frame) != set(frames[0]):
            missing = sorted(set(frames[0]) ^ set(frame))
            raise DataError(
                f"{path} is cut off: frame {number} has no {', '.join(missing)}", "Fetch it again"
            )
    return frames, angle
