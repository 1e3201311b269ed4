"""What ``import pose3d`` promises: light to import, and every name what it says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

import pose3d


@pytest.mark.parametrize("name", pose3d.__all__)
def test_public_name_is_no_module(name: str) -> None:
    """A module of the same name would replace the function as soon as it is imported."""
    assert getattr(pose3d, name) is not None
    assert importlib.util.find_spec(f"pose3d.{name}") is None


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = pose3d.nothing


def test_import_is_light() -> None:
    code = "import sys, pose3d; print(*(m for m in ('torch', 'av', 'cv2', 'matplotlib') if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
