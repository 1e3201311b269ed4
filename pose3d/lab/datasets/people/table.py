"""Data sets of photographs in which people's keypoints are labelled: one file a format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from pose3d.errors import unknown_name
from pose3d.lab.datasets.people.labelled import Images as Images
from pose3d.lab.datasets.people.labelled import LabelledPeople as LabelledPeople

DATASETS: dict[str, str] = {
    "coco": "pose3d.lab.datasets.people.coco:load_coco",
    "mpii": "pose3d.lab.datasets.people.mpii:load_mpii",
    "lsp": "pose3d.lab.datasets.people.lsp:load_lsp",
    "lsp-extended": "pose3d.lab.datasets.people.lsp:load_lsp_extended",
    "lspet": "pose3d.lab.datasets.people.lspet:load_lspet",
}
"""Data set -> ``"module:function"``; each takes the folder and the split."""


def load_people(name: str, folder: Path, split: str) -> LabelledPeople:
    """Reads the labels of a data set in :data:`DATASETS`; pictures are read when they are asked for.

    ``folder`` holds its files as they are published; which splits there are depends on the data set.

    Raises:
        UsageError: there is no such data set or split.
        DataError: a file is missing or of another layout.
    """
    if name not in DATASETS:
        raise unknown_name("data set of people", name, DATASETS)
    module, function = DATASETS[name].split(":")
    return cast(LabelledPeople, getattr(import_module(module), function)(folder, split))
