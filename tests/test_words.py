"""What is written is true: commands parse, links lead somewhere, weights have cards and hashes."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest
import typer

from pose3d.cli.app import app
from pose3d.lift.models import load_network
from tests.support import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "pose3d/docs").glob("*.md"))
CARDS = sorted((ROOT / "weights").glob("*.md"))
PAGES = [README, *DOCS, *CARDS, *(ROOT / "samples").glob("*.md")]
WEIGHTS = sorted((ROOT / "weights").glob("*.safetensors"))


def blocks(page: Path, language: str = r"\w*") -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def commands() -> list[str]:
    """Every line of a code block that starts with pose3d; \\ at its end joins it to the next."""
    text = "\n".join(block for page in PAGES for block in blocks(page)).replace("\\\n", " ")
    found = {line.strip() for line in text.splitlines() if line.strip().startswith("pose3d ")}
    return sorted(line for line in found if "COMMAND" not in line)


def test_pages_show_commands() -> None:
    assert len(commands()) >= 20


def parse(line: str) -> None:
    """Lets the command line read a command without running it (as completion does)."""
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    context = command.make_context("pose3d", [], resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        name, inner, words = command.resolve_command(context, words)
        assert inner is not None, line
        command, parent = inner, context
        context = inner.make_context(name, [], parent=parent, resilient_parsing=True)
    command.make_context(command.name, words, parent=parent)


@pytest.mark.parametrize("line", commands())
def test_command_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", ["pose3d run video.mp4 --no-such-flag", "pose3d no-such-command"])
def test_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match="no-such"):
        parse(line)


def test_python_examples_are_python() -> None:
    assert blocks(README, "python")
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_pages_are_short() -> None:
    """A newcomer reads them in minutes."""
    assert README.stat().st_size <= 9_000
    for page in DOCS:
        assert page.stat().st_size <= 16_000, page
    for page in CARDS:
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 60, page


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda p: p.stem)
def test_weights_have_card_licence_and_hash(path: Path) -> None:
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    sums = dict(
        reversed(line.split("  "))
        for line in (ROOT / "weights/SHA256SUMS").read_text().splitlines()
    )
    assert sums[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    _, options, _ = load_network(path)
    assert re.search(rf"^Licence: {re.escape(options.licence)}", card, re.M)


def test_some_weights_are_shipped() -> None:
    assert WEIGHTS
