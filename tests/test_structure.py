"""The order of the packages: each imports only what stands before it, and there is no circle."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "pose3d"
LEVELS = (
    "errors version",
    "arguments files attention plugins device",
    "stores",
    "body",
    "result",
    "options",
    "video weights",
    "networks2d",
    "lift",
    "cleaning",
    "tracking scene",
    "render",
    "viewer",
    "parts",
    "pipeline",
    "keypoint_files storyboard live",
    "lab.datasets",
    "lab.synthesis",
    "lab.evaluation",
    "lab.training",
    "lab.benchmarks",
    "lab.experiments",
    "cli",
)
"""From the bottom to the top; what shares a line does not import each other."""
LEVEL = {name: i for i, line in enumerate(LEVELS) for name in line.split()}
ENTRY = {"pose3d", "pose3d.__main__"}
"""They hand out what users import, so they may name everything."""


def read_imports() -> dict[str, set[str]]:
    """Module -> modules of pose3d that it imports anywhere, also for types and inside of functions."""
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        found[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} imports relatively"
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in paths else str(node.module) for name in full]
            else:
                continue
            found[module] |= {name for name in names if name in paths} - {module}
    return found


def package_of(module: str) -> str:
    """``pose3d.lab.training.loop`` -> ``lab.training``, ``pose3d.lift.hourglass`` -> ``lift``."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[0] == "lab" else parts[0]


def wrong_imports(imports: dict[str, set[str]]) -> list[str]:
    """Imports that go up, or across between packages of one level."""
    wrong = []
    for module, targets in imports.items():
        if module in ENTRY or module == "pose3d.lab":
            continue
        own = package_of(module)
        for target in targets:
            if target in ENTRY or (
                package_of(target) != own and LEVEL[package_of(target)] >= LEVEL[own]
            ):
                wrong.append(f"{module} imports {target}")
    return sorted(wrong)


def find_circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty where there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for target in sorted(imports[module]):
            circle = visit(target, [*path, module])
            if circle:
                return circle
        done.add(module)
        return []

    for module in sorted(imports):
        circle = visit(module, [])
        if circle:
            return circle
    return []


def test_packages_import_only_what_stands_before_them() -> None:
    assert wrong_imports(read_imports()) == []


def test_no_module_imports_itself_through_others() -> None:
    assert find_circle(read_imports()) == []


def test_faults_are_noticed() -> None:
    assert wrong_imports(
        {"pose3d.body.geometry": {"pose3d.lift.hourglass"}, "pose3d.lift.hourglass": set()}
    )
    assert wrong_imports(
        {"pose3d.video.reader": {"pose3d.weights.table"}, "pose3d.weights.table": set()}
    )
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c"]


def test_few_modules_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_init_files_hold_no_logic() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent != PACKAGE:
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) <= 1, path  # a docstring


def test_files_and_functions_are_short() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < 80, f"{path}: {node.name}"


def test_every_test_folder_is_a_package_of_the_source() -> None:
    for folder in (ROOT / "tests").rglob("test_*.py"):
        place = folder.parent.relative_to(ROOT / "tests")
        assert (PACKAGE / place).is_dir(), place


def test_the_top_of_the_project_is_closed() -> None:
    known = {
        "pose3d",
        "weights",
        "samples",
        "tests",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    }
    seen = {p.name for p in Path(ROOT).iterdir() if not p.name.startswith(".")}
    assert seen - known <= {"out", "dist", "build"} or not (ROOT / ".git").exists()
