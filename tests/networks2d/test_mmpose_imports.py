"""Stand-ins for what MMPose cannot have, and the commands that install it: without MMPose itself."""

from __future__ import annotations

import pytest

from pose3d.errors import MissingExtraError
from pose3d.networks2d.estimators import mmpose_imports
from pose3d.networks2d.estimators.mmpose_imports import missing_commands, stand_ins


def test_a_stand_in_raises_when_it_is_used():
    with stand_ins():
        from xtcocotools.coco import COCO

        class Derived(COCO):
            pass

    for use in (lambda: COCO("file"), Derived, lambda: COCO.loadRes):
        with pytest.raises(MissingExtraError, match="xtcocotools"):
            use()


def test_the_missing_commands_are_exact(monkeypatch):
    there = {"json-tricks", "mmengine", "munkres", "six", "torchvision"}
    monkeypatch.setattr(mmpose_imports, "installed_version", dict.fromkeys(there, "1.0").get)
    assert missing_commands() == [
        "python -m pip install 'mmcv-lite>=2.1'",
        "python -m pip install --no-deps mmpose==1.3.2",
    ]
