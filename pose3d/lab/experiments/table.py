"""Experiments: the same training many times, one thing changed in each row, repeated with other seeds."""

from __future__ import annotations

from pose3d.errors import unknown_name
from pose3d.lab.experiments.hourglass import HOURGLASS
from pose3d.lab.experiments.rows import Experiment
from pose3d.lab.experiments.sparsity import SPARSITY

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in (HOURGLASS, SPARSITY)}


def get_experiment(name: str) -> Experiment:
    """Returns the experiment called ``name``; UsageError: there is none."""
    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
