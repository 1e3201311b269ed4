"""What is written is true: README commands parse, weights have cards, licences and hashes."""

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

README = (ROOT / "README.md").read_text(encoding="utf-8")
WEIGHTS = sorted((ROOT / "weights").glob("*.safetensors"))


def commands() -> list[str]:
    """Every line of README's code blocks (and of the cards) that starts with pose3d."""
    cards = [path.read_text(encoding="utf-8") for path in (ROOT / "weights").glob("*.md")]
    text = "\n".join(
        block for page in (README, *cards) for block in re.findall(r"```\w*\n(.*?)```", page, re.S)
    )
    found = [line.strip() for line in text.splitlines() if line.strip().startswith("pose3d ")]
    return [line for line in found if "COMMAND" not in line]


def test_readme_shows_commands() -> None:
    assert len(commands()) >= 8


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
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


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
