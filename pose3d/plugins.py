"""Exchangeable parts by name: those of pose3d, and those that other packages add.

A package adds a part through the entry-point group ``pose3d``, under ``<kind>.<name>``, e.g.
``detector.mine = "mypackage.mine:MyDetector"``. Built-in names cannot be replaced.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
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
        "bvh": "pose3d.result.bvh:BvhExporter",
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

EXTRAS = {"onnxruntime": "rtmpose", "ultralytics": "yolo", "timm": "tokenpose"}
"""Package that built-in parts need -> the extra of pose3d that brings it."""


def find_parts(kind: str) -> dict[str, str]:
    """Returns every part of a kind of :data:`PARTS`, added ones included: name -> ``"module:Class"``."""
    prefix = f"{kind}."
    added = {
        point.name[len(prefix) :]: point.value
        for point in entry_points(group=GROUP)
        if point.name.startswith(prefix)
    }
    return {**added, **PARTS[kind]}


def load_part(kind: str, name: str) -> Any:
    """Imports and returns the class behind a name.

    Raises:
        UsageError: there is no part of that name, or its entry names nothing.
        MissingExtraError: the module needs a package that is not installed.
    """
    known = find_parts(kind)
    if name not in known:
        raise unknown_name(kind, name, known)
    module_name, _, class_name = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        how = f"pip install 'pose3d[{EXTRAS[package]}]'" if package in EXTRAS else ""
        raise MissingExtraError(
            f"The {kind} {name!r} needs the package {error.name!r}",
            f"Run {how or f'pip install {package}'}",
        ) from error
    except AttributeError as error:
        raise UsageError(
            f"The {kind} {name!r} is entered as {known[name]!r}, which does not exist",
            "Fix the entry point of the package that adds it",
        ) from error


def make_part(kind: str, name: str, **options: Any) -> Any:
    """Makes the part that ``--<kind> NAME`` or ``--<kind> NAME:ARGUMENT`` asks for.

    A class that takes more than its name says so in ``ARGUMENT``, e.g. ``"FILE.onnx"``: what stands
    behind the colon. It gets that as ``argument`` (None where there is no colon).

    Raises:
        UsageError: there is no part of that name, or it takes no argument, or none is given.
        MissingExtraError: it needs a package that is not installed.
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
