"""Detector tracks with exact truth: made people, filmed and looked at by BlazePose.

Every clip depends on the seed and its number alone, so that a run can be interrupted, taken up again
and shared out among processes.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.errors import DataError
from pose3d.lab.datasets.motions import MOCAP_JOINTS, read_motion_file
from pose3d.lab.datasets.noise import DETECTED
from pose3d.lab.datasets.npz_files import write_arrays
from pose3d.lab.datasets.poses import PoseOptions, vary_poses
from pose3d.lab.synthesis.bodies import draw_body, prepare_bodies
from pose3d.lab.synthesis.pictures import Painter, develop, draw_look
from pose3d.lab.synthesis.places import draw_place
from pose3d.lab.synthesis.posing import pose_body, put_on_floor
from pose3d.lab.synthesis.views import draw_view
from pose3d.lab.synthesis.wardrobe import dress
from pose3d.networks2d.interfaces import Detections
from pose3d.video.picture import Image

Array = NDArray[np.float64]

RATES = (25.0, 30.0)
UNRECORDED = PoseOptions(exchange=0.5, bend=0.6, tumble=0.4)
"""How often bodies change in a varied film (:mod:`pose3d.lab.datasets.poses`); every second exchange is one with
the same motion."""
_LEAST_PRESENCE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmOptions:
    """What is filmed.

    Args:
        clips: how many.
        frames: of a clip.
        seed: of everything random.
        leave_out: recordings never used.
        split: of the motion files whose people are filmed: ``train``, ``val`` or ``test``. Clips of the
            last two become split ``val``, which training never reads.
        vary: most people take poses that nobody recorded (``UNRECORDED``).
    """

    clips: int
    frames: int = 64
    seed: int = 0
    leave_out: tuple[str, ...] = ()
    split: str = "train"
    vary: bool = False


@dataclass(frozen=True, slots=True)
class _Recording:
    points_m: Array
    fps: float
    name: str
    subject: str
    action: str


class Recordings:
    """The takes of one split of motion files; a subject counts by the root of its length.

    Args:
        files: motion files (``mocap/README.md``).
        leave_out: names never used.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: a file is missing, damaged or laid out differently, or no take is left.
    """

    def __init__(
        self, files: list[Path], leave_out: tuple[str, ...] = (), split: str = "train"
    ) -> None:
        self._all: list[_Recording] = []
        for path in files:
            data = read_motion_file(path, {"action": "text clip"})
            points = data["positions_mm"]
            for c in np.flatnonzero(data["split"] == split):
                rows = slice(data["starts"][c], data["starts"][c + 1])
                if str(data["names"][c]).split("#")[0] not in leave_out:
                    text = [str(data[k][c]) for k in ("names", "subject", "action")]
                    self._all.append(_Recording(points[rows], float(data["fps"][c]), *text))
        if not self._all:
            raise DataError(
                f"No take of split {split!r} to film",
                "Give files of 'pose3d data prepare' with --motions",
            )
        length = np.array([len(r.points_m) / r.fps for r in self._all])
        subject = np.array([r.subject for r in self._all])
        total = {s: length[subject == s].sum() for s in set(subject)}
        weight = length / np.sqrt([total[s] for s in subject])
        self._weight = weight / weight.sum()

    def draw(self, frames: int, rng: np.random.Generator) -> tuple[_Recording, float, float, Array]:
        """Returns a take, its rate and start in seconds, and points ``(frame, 23, 3)`` in metres."""
        take = self._all[rng.choice(len(self._all), p=self._weight)]
        rate = float(rng.choice(RATES))
        last = (len(take.points_m) - 1) / take.fps
        n = min(frames, int(last * rate) + 1)
        start = float(rng.uniform(0, last - (n - 1) / rate))
        at = (start + np.arange(n) / rate) * take.fps
        low = np.minimum(at.astype(int), len(take.points_m) - 2)
        w = (at - low)[:, None, None]
        points = (take.points_m[low] * (1 - w) + take.points_m[low + 1] * w) / 1000
        if rng.random() < 0.5:
            points = _mirror(points)
        return take, rate, start, points


def vary_motion(points_m: Array, other_m: Array, rng: np.random.Generator) -> Array:
    """Makes poses that nobody recorded of one motion, with the upper body of another one now and then.

    Args:
        points_m: ``(frame, 23, 3)`` metres, Z up.
        other_m: as many frames or more.
        rng: random numbers.

    Returns:
        ``(frame, 23, 3)``; bones keep their lengths.
    """
    import torch

    pair = torch.from_numpy(np.stack([points_m, other_m[: len(points_m)]])).float()
    drawn = torch.Generator().manual_seed(int(rng.integers(2**31)))
    return vary_poses(pair, UNRECORDED, drawn)[0].double().numpy()


def _mirror(points_m: Array) -> Array:
    swap = {"left": "right", "right": "left"}
    order = []
    for name in MOCAP_JOINTS:
        side, _, rest = name.partition("_")
        order.append(MOCAP_JOINTS.index(f"{swap[side]}_{rest}" if side in swap else name))
    return points_m[:, order] * [-1, 1, 1]


class Watcher:
    """BlazePose as it runs on a video of one person: found once, then followed."""

    def __init__(self) -> None:
        from pose3d.networks2d.detectors.blazepose import BlazePoseDetector
        from pose3d.networks2d.estimators.blazepose import BlazePoseKeypoints

        self._detector = BlazePoseDetector(threads=1)
        self._keypoints = BlazePoseKeypoints(threads=1)

    def watch(self, pictures: Iterable[Image]) -> dict[str, Array]:
        """Returns what is seen in each picture, NaN where nobody is.

        Args:
            pictures: RGB.

        Returns:
            ``lm_px (frame, 33, 2)``, ``visibility (frame, 33)``, ``world_m (frame, 33, 3)`` and
            ``detected (frame,)``.
        """
        points = len(BLAZEPOSE33)
        nobody = (
            np.full((points, 2), np.nan),
            np.zeros(points),
            np.full((points, 3), np.nan),
            False,
        )
        seen: list[tuple[Any, Any, Any, bool]] = []
        region = None
        for picture in pictures:
            if region is None:
                people = self._detector.detect(picture)
                assert people.regions is not None
                region = people.regions[:1]
            if not len(region):
                region = None
                seen.append(nobody)
                continue
            where = Detections(
                boxes_xyxy_px=np.zeros((1, 4), np.float32),
                score=np.ones(1, np.float32),
                regions=region,
            )
            found = self._keypoints.estimate(picture, where)
            assert found.world_m is not None
            there = bool(found.presence[0] >= _LEAST_PRESENCE)
            region = found.regions if there else None
            answer = (found.keypoints_px[0], found.score[0], found.world_m[0], True)
            seen.append(answer if there else nobody)
        columns = [np.array(column) for column in zip(*seen, strict=True)]
        return dict(zip(("lm_px", "visibility", "world_m", "detected"), columns, strict=True))


def film_clip(
    number: int,
    options: FilmOptions,
    recordings: Recordings,
    painter: Painter,
    watcher: Watcher,
    shown: list[Image] | None = None,
) -> dict[str, Any]:
    """Films one clip and looks at it.

    Args:
        number: of the clip; with ``options.seed`` it decides everything.
        options: what is filmed.
        recordings: what people do.
        painter: draws.
        watcher: sees.
        shown: gets the pictures.

    Returns:
        The arrays of one clip, named as in ``rendered/README.md``.
    """
    rng = np.random.default_rng([options.seed, number])
    take, rate, start, points = recordings.draw(options.frames, rng)
    if options.vary:  # numbers of its own: without it the same seed films the same as ever
        points = _vary(points, recordings, np.random.default_rng([options.seed, number, 1]))
    body = draw_body(rng)
    posed = pose_body(body, points)
    if options.vary:
        posed = put_on_floor(body, posed)
    layers = dress(body, rng)
    view = draw_view(posed.joints_m, rng)
    place = draw_place(posed.joints_m[:, 0], view.centre_m, rng)
    look = draw_look(rng)
    drawn = painter.draw(body, layers, posed, place, view)
    pictures = (develop(picture, look, rng) for picture in drawn)
    seen = watcher.watch(pictures if shown is None else _note(pictures, shown))
    joints_cam = view.see(posed.joints_m)
    f, (width, height) = view.focal_px, view.size_wh
    return seen | {
        "joints_cam_m": joints_cam.astype(np.float32),
        "joints_px": view.project(joints_cam).astype(np.float32),
        "lm_px": seen["lm_px"].astype(np.float32),
        "visibility": seen["visibility"].astype(np.float16),
        "world_m": seen["world_m"].astype(np.float16),
        "heading": np.rad2deg(view.heading_rad).astype(np.float16),
        "elevation_deg": view.elevation_deg(posed.joints_m[:, 0]).astype(np.float16),
        "K": np.array([[[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]]], np.float32),
        "size_wh": np.array([view.size_wh], np.int16),
        "fps": np.array([rate], np.float32),
        "start_s": np.array([start], np.float32),
        "name": np.array([take.name]),
        "subject": np.array([take.subject]),
        "action": np.array([take.action]),
        "split": np.array(["fit" if options.split == "train" else "val"]),
        "body": np.array([body.name]),
        "occluder": np.array([place.front]),
        "jpeg_quality": np.array([look["quality"]], np.int16),
    }


def _vary(points_m: Array, recordings: Recordings, rng: np.random.Generator) -> Array:
    """Varies a motion with another one of at least its length."""
    *_, other = recordings.draw(len(points_m), rng)
    while len(other) < len(points_m):
        *_, other = recordings.draw(len(points_m), rng)
    return vary_motion(points_m, other, rng)


def _note(pictures: Iterable[Image], shown: list[Image]) -> Iterator[Image]:
    for picture in pictures:
        shown.append(picture)
        yield picture


def clip_path(folder: Path, seed: int, frames: int, number: int) -> Path:
    """Returns where a clip waits until all are done."""
    return folder / f"{seed}-{frames}-{number:06d}.npz"


def film(
    files: list[Path],
    out: Path,
    options: FilmOptions,
    *,
    workers: int = 1,
    slim: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> int:
    """Films clips and writes them as one track file; what an interrupted run has done is kept.

    Args:
        files: motion files.
        out: track file (NPZ) to write; the clips wait in ``OUT.clips`` beside it until all are done.
        options: what is filmed.
        workers: processes; one thread each.
        slim: write only what training reads, see :func:`slim_down`.
        progress: told what is counted, how many are done, of how many.

    Returns:
        Frames in which a person was seen.

    Raises:
        DataError: the motion files cannot be used, an interrupted run used others, the outcome
            cannot be written, or a process has died.
        UsageError: a package or the OpenGL driver is missing.
        WeightsError: BlazePose cannot be had.
    """
    Recordings(files, options.leave_out, options.split)
    prepare_bodies()
    folder = out.with_name(out.name + ".clips")
    try:
        folder.mkdir(exist_ok=True)
        _claim(folder, files, options)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror})", "Give another --out"
        ) from error
    paths = [clip_path(folder, options.seed, options.frames, n) for n in range(options.clips)]
    todo = [n for n, path in enumerate(paths) if not path.is_file()]
    done = len(paths) - len(todo)
    # What is missing is told here, and the weights are fetched once.
    Painter(threads=1)
    Watcher()
    # Each process has its own OpenGL; none of it survives a fork.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin, (files, options, folder)
    )
    try:
        for clip in as_completed([pool.submit(_film_to_file, number) for number in todo]):
            clip.result()
            done += 1
            if progress is not None:
                progress("clips", done, len(paths))
    except BrokenProcessPool as error:
        raise DataError(
            "A process that filmed has died",
            "Run the command again, with fewer --workers if memory is short: what is done is kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    seen = _join(paths, out, slim)
    shutil.rmtree(folder)
    return seen


def _claim(folder: Path, files: list[Path], options: FilmOptions) -> None:
    """Notes what a folder of clips is made of, and refuses one that is made of something else."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    made_of = json.dumps(
        {
            "motions": hashes,
            "leave_out": list(options.leave_out),
            "split": options.split,
            "vary": options.vary,
        }
    )
    note = folder / "made_of.json"
    if note.is_file() and note.read_text() != made_of:
        raise DataError(
            f"{folder} holds clips of other motions or of another --split or --vary",
            "Give another --out, or delete that folder",
        )
    note.write_text(made_of)


_Kit = tuple[FilmOptions, Recordings, Painter, Watcher, Path]
_kit: list[_Kit] = []
"""What a worker process films with."""


def _begin(files: list[Path], options: FilmOptions, folder: Path) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    torch.set_num_threads(1)
    recordings = Recordings(files, options.leave_out, options.split)
    _kit[:] = [(options, recordings, Painter(threads=1), Watcher(), folder)]


def _film_to_file(number: int) -> None:
    options, recordings, painter, watcher, folder = _kit[0]
    clip = film_clip(number, options, recordings, painter, watcher)
    write_arrays(clip_path(folder, options.seed, options.frames, number), clip)


def _join(paths: list[Path], out: Path, slim: bool) -> int:
    """Writes all clips into one file and returns in how many frames a person was seen."""
    clips = []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            clips.append({name: file[name] for name in file.files})
    joined: dict[str, Any] = {
        name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]
    }
    joined["starts"] = np.cumsum([0, *(len(clip["detected"]) for clip in clips)]).astype(np.int32)
    write_arrays(out, slim_down(joined) if slim else joined)
    return int(joined["detected"].sum())


def slim_down(tracks: dict[str, Any]) -> dict[str, Any]:
    """Returns the arrays of a track file that training reads, rounded: a third of the size.

    Pixels are rounded to a sixteenth, metres to 1/1024, scores to 1/64; of the landmarks those that are
    lifted stay, the others are NaN; BlazePose's own 3D is left out.
    """
    out = {name: array for name, array in tracks.items() if name != "world_m"}
    used = [BLAZEPOSE33.index[name] for name in DETECTED]
    points = np.full_like(tracks["lm_px"], np.nan)
    points[:, used] = tracks["lm_px"][:, used]
    score = np.zeros_like(tracks["visibility"])
    score[:, used] = np.round(tracks["visibility"][:, used] * 64) / 64
    out |= {"lm_px": np.round(points * 16) / 16, "visibility": score}
    out["joints_px"] = np.round(tracks["joints_px"] * 16) / 16
    out["joints_cam_m"] = np.round(tracks["joints_cam_m"] * 1024) / 1024
    return out
