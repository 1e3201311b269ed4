"""What a bug report needs to say about an installation, and what is wrong with it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pose3d.errors import WeightsError
from pose3d.plugins import DISTRIBUTION, EXTRAS, install_command, installed_version, name_of
from pose3d.version import __version__
from pose3d.weights import finding

PACKAGES = (
    "ai-edge-litert>=1.2",
    "av>=17.1",
    "jaxtyping>=0.2.34",
    "matplotlib>=3.10.7",
    "numpy>=2",
    "opencv-python-headless>=4.13",
    "pillow>=10",
    "pip>=23",
    "platformdirs>=4",
    "rich>=13.8",
    "safetensors>=0.4.3",
    "scipy>=1.13",
    "torch>=2.4,<2.14",
    "typer>=0.26",
)
"""The dependencies of ``pyproject.toml``."""
DECODERS = {
    "H.264": ("h264",),
    "HEVC": ("hevc",),
    # FFmpeg's own "av1" only drives hardware decoders and fails without one.
    "AV1": ("libdav1d", "libaom-av1"),
    "VP9": ("vp9", "libvpx-vp9"),
}
_MIN_FREE_GB = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; ``level`` is ``ok``, ``warn`` or ``fail``."""

    level: str
    name: str
    text: str


def examine(output: Path = Path("out")) -> Iterator[Check]:
    """Yields the lines of the report, in order; ``output`` is where results would go."""
    yield Check("ok", "pose3d", f"{__version__} in {Path(__file__).parents[1]}")
    yield from _namesakes()
    python = f"{platform.python_version()} ({platform.python_implementation()}) {sys.executable}"
    yield Check("ok", "python", python)
    yield Check("ok", "system", f"{platform.platform()}, {platform.machine()}")
    yield Check("ok", "processor", _processor())
    yield from _packages()
    yield from _extras()
    yield from _devices()
    yield from _codecs()
    yield from _weights()
    yield _folder("cache folder", finding.cache_dir())
    yield _folder("output folder", output)


def _processor() -> str:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = f", {total / 2**30:.0f} GiB memory"
    return f"{name}, {cores} cores ({usable} usable){memory}"


def _namesakes() -> Iterator[Check]:
    """Other packages that install a module ``pose3d``: the one on the package index does."""
    others = set(importlib.metadata.packages_distributions().get("pose3d", ())) - {DISTRIBUTION}
    for other in sorted(others):
        todo = f"python -m pip uninstall {other} {DISTRIBUTION}, then install this one again"
        text = (
            f"the package {other!r} of another project lies in the same folder as this one; {todo}"
        )
        yield Check("fail", "pose3d", text)


def _packages() -> Iterator[Check]:
    versions = {needed: installed_version(name_of(needed)) for needed in PACKAGES}
    missing = [needed for needed, version in versions.items() if version is None]
    found = (f"{name_of(n)} {v}" for n, v in versions.items() if v)
    yield Check("ok", "packages", ", ".join(found))
    if missing:
        names = ", ".join(map(name_of, missing))
        yield Check("fail", "missing packages", f"{names}; {install_command(*missing)}")
    # The two wheels install the same module over each other.
    for other in ("opencv-python", "opencv-contrib-python"):
        if installed_version(other):
            yield _opencv(other)


def _install_again(package: str) -> str:
    needed = next(n for n in PACKAGES if name_of(n) == package)
    return install_command("--force-reinstall", "--no-deps", needed)


def _opencv(other: str) -> Check:
    """A second wheel of OpenCV, which other packages ask for by name."""
    again = _install_again("opencv-python-headless")
    try:
        import cv2
    except ImportError as error:
        return Check("fail", "opencv", f"{other} lies over the headless one: {error}; {again}")
    needed = [p for p in ("ultralytics", "mmengine") if installed_version(p) is not None]
    if needed and installed_version(other) == installed_version("opencv-python-headless"):
        text = f"{other} lies beside the headless one, for {' and '.join(needed)}; it works"
        return Check("ok", "opencv", f"{text} (cv2 {cv2.__version__})")
    text = f"{other} is installed as well and may hide it; one of them is enough: {again}"
    return Check("warn", "opencv", text)


def _extras() -> Iterator[Check]:
    """The extras that are installed, and the commands that install the others."""
    from pose3d.networks2d.estimators.mmpose_imports import missing_commands

    onnx = installed_version("onnxruntime") or installed_version("onnxruntime-gpu")
    missing = f"not installed; {install_command(*EXTRAS['rtmpose'])}"
    yield Check("ok", "extra rtmpose", f"onnxruntime {onnx}" if onnx else missing)
    absent = " and then ".join(missing_commands())
    text = f"not installed; {absent}" if absent else f"mmpose {installed_version('mmpose')}"
    yield Check("ok", "extra mmpose", text)
    yield _yolo()
    for extra, package, use in (
        ("tokenpose", "timm", "for TokenPose-B"),
        ("deeplabcut", "h5py", "for DeepLabCut's .h5 files"),
        ("c3d", "ezc3d", "to write C3D"),
        ("opensim", "opensim", "for joint angles by OpenSim's inverse kinematics"),
        ("rerun", "rerun-sdk", "to write files of Rerun"),
        ("ray", "ray", "for --engine ray"),
        ("remote", "s3fs", "for clips and results in stores"),
        ("live", "python-osc", "for packets and WebSockets of 'pose3d live'"),
        ("film", "anny", "for 'pose3d data film'"),
    ):
        found = installed_version(package)
        absent = f"not installed; {install_command(*EXTRAS[extra])} ({use})"
        yield Check("ok", f"extra {extra}", f"{package} {found}" if found else absent)


def _yolo() -> Check:
    from pose3d.networks2d.runtimes.yolonet import INSTALL, LICENCE

    lacking = [p for p in ("ultralytics", "lap", "torchvision") if installed_version(p) is None]
    if "ultralytics" in lacking:
        return Check("ok", "extra yolo", f"not installed; {INSTALL} (ultralytics, {LICENCE})")
    text = f"ultralytics {installed_version('ultralytics')}, {LICENCE}: what uses it has to be open as well"
    if lacking:
        return Check("warn", "extra yolo", f"{text}; {' and '.join(lacking)} missing: {INSTALL}")
    return Check("ok", "extra yolo", text)


def _devices() -> Iterator[Check]:
    try:
        import torch

        from pose3d.device import pick_device

        device, reason = pick_device("auto")
    except Exception as error:  # a broken torch is a finding, not a crash
        yield Check("fail", "torch", f"does not work ({type(error).__name__}: {error})")
        return
    yield Check(
        "ok", "device", f"{device} ({reason}); torch uses {torch.get_num_threads()} threads"
    )
    if torch.version.cuda and not torch.cuda.is_available():
        text = f"torch was built for CUDA {torch.version.cuda} and finds no GPU: the CPU is used"
        yield Check("warn", "cuda", text)
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        gpu = torch.cuda.get_device_properties(number)
        yield Check("ok", f"cuda:{number}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")


def _codecs() -> Iterator[Check]:
    try:
        import av
    except ImportError as error:
        yield Check("fail", "video", f"PyAV does not work ({error}); {_install_again('av')}")
        return
    readable = [n for n, names in DECODERS.items() if any(_can_decode(c) for c in names)]
    unreadable = sorted(set(DECODERS) - set(readable))
    ffmpeg = getattr(av, "ffmpeg_version_info", "version unknown")
    yield Check("ok", "video decoders", f"{', '.join(readable)} (FFmpeg {ffmpeg})")
    if unreadable:
        text = f"this build of PyAV cannot read {', '.join(unreadable)}; {_install_again('av')}"
        yield Check("fail" if "H.264" in unreadable else "warn", "video decoders", text)
    yield _encoder()


def _can_decode(name: str) -> bool:
    import av
    from av.codec.codec import UnknownCodecError

    try:
        av.Codec(name, "r")
    except UnknownCodecError:
        return False
    return True


def _encoder() -> Check:
    """Writes a clip of two pictures: an encoder that is listed need not work."""
    import numpy as np

    from pose3d.errors import VideoError
    from pose3d.video.reader import open_video
    from pose3d.video.writer import write_video

    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "two.mp4"
            with write_video(path, (64, 48)) as writer:
                for time_s in (0.0, 0.04):
                    writer.write(np.full((48, 64, 3), 99, np.uint8), time_s)
            with open_video(path) as video:
                count = sum(1 for _ in video)
    except (VideoError, OSError) as error:
        return Check("fail", "video encoder", f"H.264 cannot be written: {error}")
    if count != 2:
        return Check("fail", "video encoder", f"wrote 2 pictures of H.264, read back {count}")
    return Check("ok", "video encoder", "H.264 (libx264), tried")


def _weights() -> Iterator[Check]:
    try:
        entries = finding.list_weights()
    except WeightsError as error:
        yield Check("fail", "weights", str(error))
        return
    for entry in entries:
        name = f"weights {entry.name}"
        path = finding.target_path(entry)
        if not path.is_file():
            if entry.only_by_name:
                continue  # optional: only those who ask for it by name need it
            level = "warn" if entry.kind == "wheel" else "fail"
            yield Check(level, name, f"not here; 'pose3d weights download {entry.name}' fetches it")
            continue
        try:
            finding.verify(entry.name)
        except WeightsError as error:
            yield Check("fail", name, str(error))
        else:
            checked = "verified" if entry.sha256 else "no hash stated"
            yield Check("ok", name, f"{checked}, {entry.licence}, {path}")
    if not any(entry.file_name.endswith(".safetensors") for entry in entries):
        yield Check("fail", "weights", "there is no lifter; install pose3d again")


def _folder(name: str, path: Path) -> Check:
    """Whether a folder can be written to and how much room it has, without making it."""
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free_gb = shutil.disk_usage(existing).free / 1e9
    except OSError as error:
        return Check("fail", name, f"{path} cannot be written to ({error.strerror or error})")
    text = f"{path}{'' if path.exists() else ' (made when needed)'}, {free_gb:.0f} GB free"
    return Check("ok" if free_gb >= _MIN_FREE_GB else "warn", name, text)
