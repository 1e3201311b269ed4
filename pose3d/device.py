"""Choice of the device that networks run on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pose3d.errors import DeviceError, UsageError, unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(wanted: str = "auto") -> tuple[str, str]:
    """Returns the torch device (``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``) and why.

    A UsageError for an unknown name, a DeviceError where it is not there: nothing is substituted.
    """
    if wanted == "cpu":
        return "cpu", "asked for"
    kind, colon, number = wanted.partition(":")
    if kind not in DEVICES or (colon and kind != "cuda"):
        raise unknown_name("device", wanted, DEVICES)
    import torch

    has_mps = torch.backends.mps.is_available()
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda", f"first CUDA device: {torch.cuda.get_device_name(0)}"
        if has_mps:
            return "mps", "Apple GPU found"
        return "cpu", "no GPU found"
    if wanted == "mps":
        if not has_mps:
            raise DeviceError("No Apple GPU (mps) was found", "Use --device cpu or auto")
        return "mps", "asked for"
    if colon and not number.isdigit():
        raise UsageError(f"{wanted!r} is not a device", "Write cuda or cuda:0")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise DeviceError(
            f"Device {wanted} was asked for and {count} CUDA devices were found",
            "Use --device cpu or auto, or install a CUDA build of torch",
        )
    return wanted, "asked for"


def has_bf16(device: str) -> bool:
    """Tells whether matrix products in bfloat16 are faster than in float32 on this device."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        # Older versions of torch cannot tell; they stay with float32.
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False


def check_precision(precision: str, device: str) -> None:
    """Refuses a precision that torch does not compute in on this device (it might only warn)."""
    if precision == "fp32":
        return
    import torch

    kind = device.split(":")[0]
    wanted = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stays in float32; said below
            with torch.autocast(kind, wanted):
                works = torch.is_autocast_enabled(kind)
    except RuntimeError:
        works = False
    if not works:
        what = f"torch {torch.__version__} does not compute in {precision} on {kind}"
        raise UsageError(what, "Use --precision fp32, or a newer torch")


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Lets torch use so many CPU threads for a ``with`` block; None: as many as it does."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
