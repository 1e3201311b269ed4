"""Running networks of ultralytics (YOLO), which are under the AGPL-3.0 (extra ``[yolo]``).
Left alone, ultralytics looks for a network, reports its use, installs packages, downloads
weights into the current folder and executes what a checkpoint holds. All of that is off here
(unless somebody else imported it before); :func:`find_weights` fetches only what was named,
after saying so.
Reference: ``ultralytics/ultralytics`` 8.4.190: ``utils/__init__.py`` (the environment
variables), ``utils/downloads.py`` (the names and where they are fetched), ``nn/tasks.py``
(restricted loading)."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pose3d.device import pick_device
from pose3d.errors import DeviceError, MissingExtraError, Pose3DError, UsageError, WeightsError
from pose3d.networks2d.part import Part, first_line, own_file
from pose3d.networks2d.runtimes.onnxrt import import_onnxruntime
from pose3d.plugins import EXTRAS, install_command
from pose3d.video.picture import Image
from pose3d.weights.fetching import ChosenFile
from pose3d.weights.finding import sha256_of, storing, user_weights_dir
from pose3d.weights.info import ModelInfo

LICENCE = "AGPL-3.0"
INSTALL = install_command(*EXTRAS["yolo"])
SOURCE = "github.com/ultralytics/assets"
MIN_SCORE = 0.1  # least score of boxes; ByteTrack links doubtful ones down to this
_BATCH_CPU, _BATCH_GPU = 4, 16
_BATCH_BYTES = 1 << 28  # memory of the pictures that wait for one run of the network
_PERSON = "person"

Say = Callable[[str], None]


def import_ultralytics() -> ModuleType:
    """Imports ultralytics with everything off that nobody asked it for."""
    wanted = {
        "YOLO_OFFLINE": "true",  # no look for a network, no report of its use
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
    }
    config = user_weights_dir().parent / "ultralytics"
    if "YOLO_CONFIG_DIR" not in os.environ:
        with storing("Settings of ultralytics"):
            config.mkdir(parents=True, exist_ok=True)  # else it falls back to /tmp with a warning
        wanted["YOLO_CONFIG_DIR"] = str(config)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)  # read once, while it is imported
    try:
        import ultralytics
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"YOLO needs the package {error.name!r}", f"{INSTALL} (ultralytics, {LICENCE})"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    if not hasattr(importlib.import_module("ultralytics.nn.tasks"), "SAFE_LOAD"):
        raise MissingExtraError(
            f"ultralytics {ultralytics.__version__} executes what checkpoints hold", INSTALL
        )
    return ultralytics


def find_weights(named: str, *, offline: bool = False, say: Say | None = None) -> Path:
    """Returns the file behind a path or one of ultralytics' names, fetched when it is not here.
    ``say`` is called with one sentence before something is fetched; None: printed to stderr."""
    path = Path(named).expanduser()
    if path.suffix.lower() in (".yaml", ".yml"):
        raise UsageError(
            f"{named} describes a network without weights", "Give weights, e.g. yolo11n-pose.pt"
        )
    if path.exists():
        return path
    import_ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    name = named if path.suffix else f"{named}.pt"
    if name not in GITHUB_ASSETS_NAMES:
        raise UsageError(
            f"{named} is no file and no name of ultralytics", "Give e.g. yolo11n-pose.pt"
        )
    target = user_weights_dir() / name
    if not target.is_file():
        if offline:
            raise WeightsError(
                f"Weights {name!r} are not on this machine", f"Put {name} of {SOURCE} at {target}"
            )
        notice = f"Fetching {name} from {SOURCE}: licence {LICENCE}, not part of pose3d; unverified"
        if say is None:
            print(f"pose3d: {notice}", file=sys.stderr, flush=True)
        else:
            say(notice)
        _download(name, target)
    return target


def _download(name: str, target: Path) -> None:
    """Lets ultralytics fetch one of its files; it is renamed into place once it is whole."""
    from ultralytics.utils.downloads import attempt_download_asset

    with storing(f"Weights {name!r}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(dir=target.parent, prefix=".yolo-")
    with work as folder:
        part = Path(folder) / name
        reason = "nothing arrived"
        try:
            attempt_download_asset(part, progress=False)
        except Exception as error:  # ultralytics raises whatever its parts raise
            reason = _first_line(error)
        if not part.is_file():
            raise WeightsError(
                f"Weights {name!r} could not be fetched from {SOURCE}: {reason}",
                f"Connect to the network, or put the file at {target}",
            )
        os.replace(part, target)


class YoloPart(Part):
    """A detector or estimator that is one network of ultralytics: one of its names, or a file."""

    ARGUMENT = "WEIGHTS"
    LICENCE = LICENCE
    _DEFAULT: str
    _TASKS: tuple[str, ...]  # what the network may have been trained for

    @classmethod
    def find_weights(
        cls, argument: str | None, *, offline: bool, say: Say | None = None
    ) -> ChosenFile:
        """Returns a file, or one of ultralytics' networks by name."""
        import_ultralytics()
        return own_file(find_weights(argument or cls._DEFAULT, offline=offline, say=say))

    def _load(self) -> ModelInfo:
        ultralytics = import_ultralytics()
        path = self.find_weights(self.argument, offline=self.offline).path
        self.device, reason = pick_device(self.device)
        if path.suffix.lower() == ".onnx":
            import_onnxruntime()
        try:
            with _nothing_executed():
                self._model = ultralytics.YOLO(str(path))
            task, names = self._model.task, self._model.names
        except Pose3DError:
            raise
        except Exception as error:  # ultralytics raises whatever its parts raise
            raise WeightsError(
                f"ultralytics cannot load {path}: {_first_line(error)}", "Give whole weights of it"
            ) from error
        if task not in self._TASKS:
            raise WeightsError(
                f"{path} was trained for {task!r}, needed is {' or '.join(map(repr, self._TASKS))}",
                "Give e.g. yolo11n-pose.pt for keypoints or yolo11n.pt for boxes",
            )
        self._person, changes = _find_person(names, path)
        self._path = path
        self._input_size: dict[str, Any] = {}
        return ModelInfo(
            name="yolo",
            licence=LICENCE,
            weights=(path.name,),
            sha256=(sha256_of(path),) if path.is_file() else (),
            device=self.device,
            device_reason=reason,
            changes=(f"{path.name} by ultralytics {ultralytics.__version__}", *changes),
        )

    def keypoint_shape(self) -> tuple[int, ...]:
        """Returns keypoints of a person and numbers of each, as a pose network states them."""
        inner = getattr(self._model.model, "kpt_shape", None)
        if inner is None:  # an exported file: only its runner has read what it holds
            self.look([np.zeros((64, 64, 3), np.uint8)])
            inner = getattr(self._model.predictor.model, "kpt_shape", None)
        return tuple(int(n) for n in inner or ())

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        most = _BATCH_CPU if self.device == "cpu" else _BATCH_GPU
        return max(1, min(most, _BATCH_BYTES // max(image.nbytes, 1)))

    def look(self, images: Sequence[Image]) -> list[Any]:
        """Returns ultralytics' ``Results`` on the CPU for each of some RGB pictures of any sizes.
        People only, best first, from ``MIN_SCORE``, in pixels of the picture."""
        import torch

        # ultralytics takes what OpenCV reads: blue first.
        pictures = [np.ascontiguousarray(image[:, :, ::-1]) for image in images]
        before = torch.get_num_threads()
        try:
            if self._model.predictor is None:
                # Setting up sets torch's threads to its own number; ours are set after it.
                self._predict([np.zeros((64, 64, 3), np.uint8)])
                self._input_size = self._exported_size()
            torch.set_num_threads(self.threads or before)
            results = self._predict(pictures)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(
                f"{self._path.name} does not fit into the memory of {self.device}",
                "Give smaller weights, or --device cpu",
            ) from error
        finally:
            torch.set_num_threads(before)
        found = [result.cpu().numpy() for result in results]
        return [f[np.argsort(-f.boxes.conf, kind="stable")] for f in found]

    def _exported_size(self) -> dict[str, Any]:
        """Returns the input size of exported networks that take any: ultralytics would use 640."""
        size = getattr(self._model.predictor.model, "imgsz", None)
        return {"imgsz": size} if self._path.suffix.lower() != ".pt" and size else {}

    def _predict(self, pictures: list[Image]) -> list[Any]:
        found: list[Any] = self._model.predict(
            pictures,
            **self._input_size,
            conf=MIN_SCORE,
            classes=[self._person],
            device=self.device,
            verbose=False,
            save=False,
        )
        return found


@contextmanager
def _nothing_executed() -> Iterator[None]:
    """Lets ultralytics build only classes that it knows while it reads a checkpoint (a pickle)."""
    tasks = importlib.import_module("ultralytics.nn.tasks")
    before, tasks.SAFE_LOAD = tasks.SAFE_LOAD, True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        tasks.SAFE_LOAD = before  # type: ignore[attr-defined]


def _find_person(names: dict[int, str], path: Path) -> tuple[int, tuple[str, ...]]:
    """Returns the number of the class of people, and what is to be said about the choice."""
    for number, name in names.items():
        if name.strip().lower() == _PERSON:
            return int(number), ()
    if len(names) == 1:
        number, name = next(iter(names.items()))
        return int(number), (f"its only class, {name!r}, is taken for people",)
    shown = ", ".join(list(names.values())[:8]) + (", ..." if len(names) > 8 else "")
    raise WeightsError(
        f"{path} knows no class 'person', only {shown}", "Give weights trained on people"
    )


def _first_line(error: BaseException) -> str:
    """Returns what an error of ultralytics says, without the pictures it puts there."""
    line = first_line(error).encode("ascii", "ignore").decode()
    return line.removeprefix("ERROR").strip(" :")
