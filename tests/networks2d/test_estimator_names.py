"""``--keypoints NAME:ARGUMENT``: who gets what stands behind the colon."""

from __future__ import annotations

import sys
import types

import pytest

from pose3d.errors import UsageError
from pose3d.networks2d.loading import make_keypoints
from pose3d.plugins import PARTS


class TakesFile:
    """Remembers how it was made."""

    ARGUMENT = "FILE.safetensors"

    def __init__(self, **given: object) -> None:
        self.given = given


@pytest.fixture
def _file_taker(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("taker")
    module.TakesFile = TakesFile
    monkeypatch.setitem(sys.modules, "taker", module)
    monkeypatch.setitem(PARTS["keypoints"], "taker", "taker:TakesFile")


@pytest.mark.usefixtures("_file_taker")
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("taker", None),
        ("taker:a.safetensors", "a.safetensors"),
        ("taker:C:\\runs\\a.onnx", "C:\\runs\\a.onnx"),
        ("taker:config.py:checkpoint.pth", "config.py:checkpoint.pth"),
    ],
)
def test_argument_reaches_the_estimator(name: str, argument: str | None) -> None:
    made = make_keypoints(name, threads=3, offline=True)
    assert made.given == {
        "argument": argument,
        "device": "auto",
        "threads": 3,
        "offline": True,
    }


@pytest.mark.usefixtures("_file_taker")
def test_nothing_behind_the_colon_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Write taker:FILE\.safetensors"):
        make_keypoints("taker:")


def test_argument_for_an_estimator_without_one_is_refused() -> None:
    with pytest.raises(UsageError, match="--keypoints blazepose"):
        make_keypoints("blazepose:file")


def test_unknown_name_is_named_without_its_argument() -> None:
    with pytest.raises(UsageError, match="blasepose"):
        make_keypoints("blasepose:file")
