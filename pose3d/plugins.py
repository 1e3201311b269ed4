"""Exchangeable parts by name: those of pose3d, and those that other packages add; what they need.

A package adds a part through the entry-point group ``pose3d``, under ``<kind>.<name>``, e.g.
``detector.mine = "mypackage.mine:MyDetector"``. Built-in names cannot be replaced.
"""

from __future__ import annotations

import importlib
import re
import shlex
from functools import cache
from importlib.metadata import EntryPoints, PackageNotFoundError, entry_points, version
from types import ModuleType
from typing import Any

from pose3d.errors import MissingExtraError, UsageError, unknown_name

GROUP = "pose3d"

PARTS: dict[str, dict[str, str]] = {
    "detector": {
        "blazepose": "pose3d.networks2d.detectors.blazepose:BlazePoseDetector",
        "rtmdet": "pose3d.networks2d.detectors.rtmdet:RTMDetDetector",
        "yolo": "pose3d.networks2d.detectors.yolo:YoloDetector",
        "yolox": "pose3d.networks2d.detectors.rtmdet:YOLOXDetector",
    },
    "keypoints": {
        "blazepose": "pose3d.networks2d.estimators.blazepose:BlazePoseKeypoints",
        "blazepose-heavy": "pose3d.networks2d.estimators.blazepose:BlazePoseHeavyKeypoints",
        "mmpose": "pose3d.networks2d.estimators.mmpose:MMPoseKeypoints",
        "rtmpose": "pose3d.networks2d.estimators.rtmpose:RTMPoseKeypoints",
        "tokenpose": "pose3d.networks2d.estimators.tokenpose:TokenPoseKeypoints",
        "yolo": "pose3d.networks2d.estimators.yolo:YoloKeypoints",
    },
    "lifter": {},
    "backbone": {
        "mhformer": "pose3d.lift.backbones.mhformer:MHFormer",
        "mixste": "pose3d.lift.backbones.mixste:MixSTE",
        "motionagformer": "pose3d.lift.backbones.motionagformer:MotionAGFormer",
        "motionbert": "pose3d.lift.backbones.motionbert:MotionBERT",
        "residual": "pose3d.lift.backbones.residual:Residual",
    },
    "exporter": {
        "npz": "pose3d.result.npz:NpzExporter",
        "json": "pose3d.result.json:JsonExporter",
        "csv": "pose3d.result.csv:CsvExporter",
        "trc": "pose3d.result.trc:TrcExporter",
        "mot": "pose3d.result.mot:MotExporter",
        "c3d": "pose3d.result.c3d:C3dExporter",
        "bvh": "pose3d.result.bvh:BvhExporter",
        "glb": "pose3d.render.glb:GlbExporter",
        "vrma": "pose3d.result.vrma:VrmaExporter",
        "openpose": "pose3d.result.openpose:OpenPoseExporter",
        "mmpose": "pose3d.result.mmpose:MMPoseExporter",
        "coco": "pose3d.result.coco:CocoExporter",
        "rrd": "pose3d.render.rrd:RerunExporter",
        "html": "pose3d.viewer.page:HtmlExporter",
    },
    "reader": {
        "pose3d": "pose3d.keypoint_files.arrays:ArraysReader",
        "csv": "pose3d.keypoint_files.table:TableReader",
        "openpose": "pose3d.keypoint_files.openpose:OpenPoseReader",
        "mmpose": "pose3d.keypoint_files.mmpose:MMPoseReader",
        "alphapose": "pose3d.keypoint_files.alphapose:AlphaPoseReader",
        "coco": "pose3d.keypoint_files.coco:CocoReader",
        "ultralytics": "pose3d.keypoint_files.ultralytics:UltralyticsReader",
        "mediapipe": "pose3d.keypoint_files.mediapipe:MediaPipeReader",
        "deeplabcut": "pose3d.keypoint_files.deeplabcut:DeepLabCutReader",
    },
}
"""Kind -> name -> ``"module:Class"``. Lifters of pose3d are files of weights, not classes."""

DISTRIBUTION = "pose3d-video"
"""What pip calls this package; ``pose3d`` is somebody else's on the package index."""
EXTRAS: dict[str, tuple[str, ...]] = {
    "rtmpose": ("onnxruntime>=1.17",),
    "yolo": ("lap>=0.5.12", "torchvision", "ultralytics>=8.4.190"),
    "mmpose": (
        "json-tricks>=3.17",
        "mmcv-lite>=2.1",
        "mmengine>=0.10.4",
        "munkres>=1.1",
        "six>=1.16",
        "torchvision",
    ),
    "tokenpose": ("timm>=1.0",),
    "deeplabcut": ("h5py>=3.10",),
    "c3d": ("ezc3d>=1.7",),
    "opensim": ("opensim>=4.6",),
    "live": ("python-osc>=1.8", "websockets>=15"),
    "rerun": ("rerun-sdk>=0.41",),
    "ray": ("ray>=2.54",),
    "remote": (
        "adlfs>=2024.12",
        "aiohttp>=3.9",
        "fsspec>=2025.2",
        "gcsfs>=2025.2",
        "s3fs>=2025.2",
        "universal-pathlib>=0.3",
    ),
    "film": ("anny>=0.6.2", "moderngl>=5.11", "warp-lang>=1.19"),
}
"""What the extras of ``pyproject.toml`` install; hints name these, for not all install from a checkout."""


def install_command(*arguments: str) -> str:
    """Returns the command by which pip installs requirements; options of pip may stand before them."""
    return shlex.join(["python", "-m", "pip", "install", *arguments])


def import_extra(module: str, extra: str, what: str) -> ModuleType:
    """Imports a module of an extra; where it is missing, the error says ``what`` needs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        names = [name_of(need) for need in EXTRAS[extra]]
        name = module if module in names else names[0]
        raise MissingExtraError(
            f"{what} needs the package {name}",
            f"Run {install_command(*EXTRAS[extra])}",
        ) from error


def name_of(requirement: str) -> str:
    """``"timm>=1.0"`` -> ``"timm"``."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def installed_version(package: str) -> str | None:
    """Returns the version of an installed package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_parts(kind: str) -> dict[str, str]:
    """Returns every part of a kind of :data:`PARTS`, added ones included: name -> ``"module:Class"``."""
    prefix = f"{kind}."
    added = {
        point.name[len(prefix) :]: point.value
        for point in _entry_points()
        if point.name.startswith(prefix)
    }
    return {**added, **PARTS[kind]}


@cache
def _entry_points() -> EntryPoints:
    """Returns those of all installed packages; reading them takes some 10 ms."""
    return entry_points(group=GROUP)


def load_part(kind: str, name: str) -> Any:
    """Imports and returns the class behind a name; MissingExtraError: its package is missing."""
    known = find_parts(kind)
    if name not in known:
        raise unknown_name(kind, name, known)
    module_name, _, class_name = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        needs = next((n for n in EXTRAS.values() if package in map(name_of, n)), None)
        raise MissingExtraError(
            f"The {kind} {name!r} needs the module {error.name!r}",
            f"Run {install_command(*needs)}" if needs else "Install the package that brings it",
        ) from error
    except AttributeError as error:
        raise UsageError(
            f"The {kind} {name!r} is entered as {known[name]!r}, which does not exist",
            "Fix the entry point of the package that adds it",
        ) from error


def make_part(kind: str, name: str, **options: Any) -> Any:
    """Makes the part that ``--<kind> NAME`` or ``--<kind> NAME:ARGUMENT`` asks for.

    A class that takes more than its name says so in ``ARGUMENT``, e.g. ``"FILE.onnx"``, and gets
    what stands behind the colon as ``argument`` (None where there is no colon).
    """
    base, colon, argument = name.partition(":")
    made_by = load_part(kind, base)
    wanted: str | None = getattr(made_by, "ARGUMENT", None)
    if wanted is not None:
        if colon and not argument:
            raise UsageError(f"--{kind} {name!r} ends after the colon", f"Write {base}:{wanted}")
        options["argument"] = argument or None
    elif colon:
        raise UsageError(
            f"The {kind} {base!r} takes nothing behind a colon, but got {argument!r}",
            f"Write --{kind} {base}",
        )
    return made_by(**options)
