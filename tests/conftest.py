"""What every test shares: where data lies, and runtime checks of the array shapes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests.support import ROOT

# One process a core already fills the machine.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

# No test is about time: on a busy machine, or at a first import, anything takes half a second.
settings.register_profile("pose3d", deadline=None)
settings.load_profile("pose3d")

# Before any module of pose3d is imported: shape annotations are checked by beartype.
_hook = install_import_hook(
    ["pose3d.result.record", "pose3d.networks2d.interfaces"], "beartype.beartype"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-files", default="240", help="broken files that tests/test_fuzz.py tries"
    )


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample clips with exact truth."""
    return ROOT / "samples"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The workplace's folder of reference data; tests that need it skip without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (reference data that users do not have)")
    return folder
