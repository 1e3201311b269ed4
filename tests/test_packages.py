"""The packages that hints, README and documents tell people to install are the ones meant."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pose3d import plugins
from pose3d.errors import MissingExtraError
from pose3d.networks2d.estimators.mmpose_imports import MMPOSE
from pose3d.parts import doctor
from pose3d.plugins import DISTRIBUTION, EXTRAS, install_command
from tests.support import ROOT

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_TESTS = {"test", "dev"}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "pose3d" / "docs").glob("*.md"))]


def test_the_tables_are_those_of_pyproject() -> None:
    declared = {name: tuple(needs) for name, needs in PROJECT["optional-dependencies"].items()}
    assert {name: declared[name] for name in declared.keys() - OF_TESTS} == EXTRAS
    assert [n for n in PROJECT["dependencies"] if ";" not in n] == list(doctor.PACKAGES)
    assert PROJECT["name"] == DISTRIBUTION
    assert PROJECT["scripts"].keys() == {"pose3d"}


def test_code_writes_no_command_of_pip_by_hand() -> None:
    by_hand = []
    for path in (ROOT / "pose3d").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and re.search(
                r"pip install\b|pose3d\[", str(node.value)
            ):
                by_hand.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert by_hand == []
    assert install_command("timm>=1.0", "torchvision") == (
        "python -m pip install 'timm>=1.0' torchvision"
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_install_the_checkout_or_what_the_table_names(path: Path) -> None:
    known = {f".[{name}]" for name in PROJECT["optional-dependencies"]} | {".", ".[...]"}
    known |= {MMPOSE, *(need for needs in EXTRAS.values() for need in needs)}
    text = path.read_text(encoding="utf-8")
    assert "pose3d[" not in text
    for line in re.findall(r"pip install ([^`\n]+)", text):
        asked = shlex.split(line, comments=True)
        assert {word for word in asked if not word.startswith("--")} <= known


def test_a_part_of_pose3d_names_the_packages_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        "built-in": "onnxruntime.absent:Part",
        "added": "somebodys_module:Part",  # a module's name need not be its package's
    }
    monkeypatch.setitem(plugins.PARTS, "detector", parts)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as caught:
        plugins.load_part("detector", "built-in")
    assert caught.value.todo == "Run python -m pip install 'onnxruntime>=1.17'"
    with pytest.raises(MissingExtraError, match="'somebodys_module'") as caught:
        plugins.load_part("detector", "added")
    assert "pip" not in caught.value.todo


@pytest.mark.parametrize(
    ("installed", "named"),
    [
        ([DISTRIBUTION], []),
        ([], []),
        ([DISTRIBUTION, "pose3d"], ["pose3d"]),
        (["pose3d"], ["pose3d"]),  # an editable installation of ours lists no files
    ],
)
def test_doctor_notices_another_package_in_the_same_folder(
    monkeypatch: pytest.MonkeyPatch, installed: list[str], named: list[str]
) -> None:
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: {"pose3d": installed, "numpy": ["n"]}
    )
    checks = list(doctor._namesakes())
    assert [check.level for check in checks] == ["fail"] * len(named)
    for check, name in zip(checks, named, strict=True):
        assert f"python -m pip uninstall {name} {DISTRIBUTION}" in check.text


@pytest.mark.network
@pytest.mark.parametrize("extra", [*EXTRAS, "mmpose itself", "dependencies"])
def test_what_hints_name_is_on_the_package_index(extra: str) -> None:
    needs = EXTRAS.get(extra) or ((MMPOSE,) if extra == "mmpose itself" else doctor.PACKAGES)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, "--ignore-installed", *needs], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
