"""Data sets of photographs in which keypoints are labelled: one file a format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from pose3d.errors import unknown_name
from pose3d.lab.datasets.people.labelled import LabelledPeople

DATASETS: dict[str, str] = {  # "module:function", which takes folder and split
    "coco": "pose3d.lab.datasets.people.coco:load_coco",
    "mpii": "pose3d.lab.datasets.people.mpii:load_mpii",
    "lsp": "pose3d.lab.datasets.people.lsp:load_lsp",
    "lsp-extended": "pose3d.lab.datasets.people.lsp:load_lsp_extended",
    "lspet": "pose3d.lab.datasets.people.lspet:load_lspet",
}


def load_people(name: str, folder: Path, split: str) -> LabelledPeople:
    """Reads the labels of a data set in :data:`DATASETS`; pictures are read when asked for."""
    if name not in DATASETS:
        raise unknown_name("data set of people", name, DATASETS)
    module, function = DATASETS[name].split(":")
    return cast(LabelledPeople, getattr(import_module(module), function)(folder, split))
