"""Choosing devices and threads."""

from __future__ import annotations

import pytest
import torch

from pose3d.device import torch_threads


def test_threads_are_given_back():
    before = torch.get_num_threads()

    def fail_inside() -> None:
        with torch_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError):
        fail_inside()
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before
