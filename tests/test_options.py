"""options.py and device.py: what is asked for is checked before anything is opened."""

from __future__ import annotations

import sys
import warnings

import pytest
import torch

from pose3d.device import (
    DEVICES,
    check_precision,
    has_bf16,
    pick_device,
)
from pose3d.errors import (
    DeviceError,
    Pose3DError,
    UsageError,
    unknown_name,
)
from pose3d.options import RunOptions, parse_person
from pose3d.parts.presets import change_options, make_options


def test_defaults_are_allowed():
    assert RunOptions() == make_options({})


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("detect_every", [1, 1000], [0, -1]),
        ("smooth_strength", [0, 0.5, 1], [-0.01, 1.01, float("nan")]),
        ("max_gap", [0, 10.0], [-1.0, float("nan"), float("inf")]),
        ("start", [0.0, 5.0], [-0.1, float("nan"), float("inf")]),
        ("end", [0.1], [0.0, -1.0, float("nan"), float("inf")]),
        ("duration", [0.1], [0.0, -1.0, float("nan"), float("inf")]),
        ("rotate", [None, 0, 90, 180, 270], [45, 360, -90]),
        ("stream", [None, 0, 7], [-1]),
        ("rate", [None, 0.1, 1000], [0, -1, 1e-7, 1e19, float("nan"), float("inf")]),
        ("focal_px", [1.0, None], [0.0, -3.0, 1e300, float("nan"), float("inf")]),
        ("height", [0.4, 1.7, 2.6], [0.3, 2.7, float("nan")]),
        ("threads", [None, 1], [0, -2]),
    ],
)
def test_ranges(name, allowed, refused):
    for value in allowed:
        assert getattr(RunOptions(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
            RunOptions(**{name: value})


def test_the_end_comes_after_the_start():
    RunOptions(start=2.0, end=2.5)
    with pytest.raises(UsageError, match=r"--end 1\.0 is not after --start"):
        RunOptions(start=2.0, end=1.0)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("all", "all"), ("largest", "largest"), ("longest", "longest"), ("3", (3,)), ("1, 4", (1, 4))],
)
def test_person(text, meaning):
    assert parse_person(text) == meaning
    assert RunOptions(person=text).person == text


@pytest.mark.parametrize("text", ["", "everyone", "0", "-1", "1,", "1;2", "1.5", "1,x"])
def test_person_that_is_nobody(text):
    with pytest.raises(UsageError, match=r"--person.*all, largest, longest or track ids"):
        RunOptions(person=text)


def test_unknown_options_are_answered_with_a_guess():
    with pytest.raises(UsageError, match=r"no option named 'smoth'.*Did you mean 'smooth'"):
        make_options({"smoth": True})
    with pytest.raises(UsageError, match="'focal'"):
        change_options(RunOptions(), {"focal": 3})
    assert UsageError("x").exit_code == 2
    assert Pose3DError("x").exit_code == 1


def test_single_options_are_changed_and_the_rest_stays():
    base = RunOptions(person="largest", smooth=False)
    merged = change_options(base, {"height": 1.8})
    assert (merged.person, merged.smooth, merged.height) == ("largest", False, 1.8)
    assert change_options(base, {}) is base
    assert change_options(base, {"preset": None}) == base
    with pytest.raises(UsageError, match="--height"):
        change_options(base, {"height": 5.0})
    # A change that only contradicts the others is refused as well.
    with pytest.raises(UsageError, match="--end"):
        change_options(RunOptions(start=5.0), {"end": 4.0})


def test_changes_are_judged_together_with_the_options_they_change():
    assert change_options(RunOptions(start=1.0), {"start": 9.0, "end": 10.0}).end == 10.0


def test_errors_say_what_and_what_to_do():
    assert str(Pose3DError("It broke.", "Mend it. ")) == "It broke. Mend it."
    assert str(Pose3DError("It broke")) == "It broke."
    assert "(none)" in str(unknown_name("thing", "x", []))


# -- devices --------------------------------------------------------------------------------------------


def test_the_cpu_needs_no_torch(monkeypatch):
    """``pose3d --help`` and the 2D stage must not wait for torch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    assert pick_device("cpu") == ("cpu", "asked for")


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "cuda:-1", "cpu:0", "mps:1"])
def test_devices_that_do_not_exist(name):
    with pytest.raises(UsageError):
        pick_device(name)


@pytest.mark.parametrize(
    ("devices", "mps", "wanted", "expected"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda"),
        (2, False, "cuda", "cuda"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
        (2, False, "cuda:2", None),
        (0, False, "cuda", None),
        (0, False, "mps", None),
    ],
)
def test_devices_are_never_substituted(monkeypatch, devices, mps, wanted, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if expected is None:
        with pytest.raises(DeviceError, match="--device cpu"):
            pick_device(wanted)
    else:
        device, reason = pick_device(wanted)
        assert device == expected
        assert reason
    assert wanted.split(":")[0] in DEVICES


def test_bfloat16_is_asked_of_the_machine():
    assert has_bf16("mps") is False
    assert isinstance(has_bf16("cpu"), bool)


def test_precisions_of_this_machine():
    for precision in ("fp32", "bf16", "fp16"):
        check_precision(precision, "cpu")
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("way", ["gives up with a warning", "raises"])
def test_a_precision_that_torch_lacks_is_refused(way, monkeypatch):
    """Older versions of torch: nothing is substituted silently."""
    real = torch.autocast

    def older(kind, dtype):
        if way == "raises":
            raise RuntimeError("User specified an unsupported autocast device_type 'mps'")
        warnings.warn("In CPU autocast, but the target dtype is not supported.", stacklevel=2)
        return real(kind, dtype, enabled=False)

    monkeypatch.setattr(torch, "autocast", older)
    check_precision("fp32", "cpu")
    with pytest.raises(UsageError, match=r"does not compute in fp16 on cpu.*--precision fp32"):
        check_precision("fp16", "cpu")
