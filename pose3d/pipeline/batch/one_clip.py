"""The work on one clip of a batch, under the lock of its folder."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pose3d.errors import (
    FolderBusyError,
    Pose3DError,
    ResultFileError,
    caught,
    naming_memory,
    raise_all,
)
from pose3d.files import how_to_write
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline import estimate as pipeline
from pose3d.pipeline.batch.overview import forget_failure, note_failure
from pose3d.pipeline.batch.state import (
    RECORDING_NAME,
    FolderState,
    Plan,
    SourceMark,
    folder_of,
    make_plan,
    options_for,
    read_state,
    remove_leftovers,
    result_options,
    write_state,
)
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.pipeline.outputs import draw_result, write_formats
from pose3d.result.record import PoseSequence, load
from pose3d.result.spread import summarise_spread
from pose3d.stores.folders import hold, make_folder, remove
from pose3d.stores.places import hide_secrets
from pose3d.stores.staging import Publish, fetch_into, working_folder
from pose3d.video.reader import open_video
from pose3d.video.remote import local_copy
from pose3d.video.sources import Source
from pose3d.video.writer import write_video

if TYPE_CHECKING:
    from pose3d.pipeline.estimate import Models

RECORDING_CRF = 18
"""Quality of a camera's recording: its compression must not disturb the networks."""


def run_one(
    number: int,
    source: Source,
    options: RunOptions,
    outputs: OutputOptions,
    *,
    models: Models | None,
    watcher: Watcher,
    load_models: Callable[[RunOptions], Models],
) -> Outcome:
    """Works on one clip; errors become its outcome, KeyboardInterrupt passes.

    Args:
        number: position in the batch, for the watcher.
        models: the networks; None: made by ``load_models`` when they turn out to be needed.
    """
    began = time.perf_counter()
    options = options_for(source, options)
    folder = folder_of(source, outputs)
    warnings: list[str] = []
    copy: list[str] = []  # of a clip in a store: its place on this machine, meanwhile

    def warn(text: str) -> None:
        text = text.replace(copy[0], source.shown) if copy else text
        warnings.append(text)
        watcher.warn(number, text)

    watcher.started(number)
    try:
        make_folder(folder)
        with naming_memory(), hold(folder):
            # Again, now that nobody else can write here: another run may have done it meanwhile.
            plan = make_plan(source, options, outputs)
            remove_leftovers(folder)
            forget_failure(folder)
            if plan.is_done:
                outcome = kept(source, folder)
            else:
                if plan.estimate and models is None:
                    models = load_models(options)
                with _opened(source, plan) as video:
                    copy += [video] if video != source.path else []
                    step = _Step(source, video, options, outputs, models, number, watcher, warn)
                    pose = step.carry_out(plan)
                outcome = Outcome(
                    source=source,
                    status="done" if plan.estimate else "updated",
                    folder=folder,
                    people=pose.n_people,
                    frames=pose.n_frames,
                    spread_mm=summarise_spread(pose),
                )
    except FolderBusyError as error:
        outcome = Outcome(source=source, status="busy", folder=folder, error=error)
    except Pose3DError as error:
        outcome = failed(source, folder, _renamed(error, copy, source.shown))
    except OSError as error:
        unwritable = ResultFileError(
            f"{hide_secrets(str(folder))} cannot be written to ({error.strerror or error})",
            how_to_write(error),
        )
        outcome = failed(source, folder, unwritable)
    except Exception as error:  # A mistake of ours must not cost the other clips.
        outcome = failed(source, folder, _internal(source, error), traceback.format_exc())
    outcome = replace(outcome, seconds=time.perf_counter() - began, warnings=tuple(warnings))
    note_failure(outcome)
    watcher.finished(number, outcome)
    return outcome


@dataclass(frozen=True, slots=True)
class _Step:
    """The work on one clip, under the lock of its folder."""

    source: Source
    video: str  # what to open
    options: RunOptions
    outputs: OutputOptions
    models: Models | None
    number: int
    watcher: Watcher
    warn: Callable[[str], None]

    def carry_out(self, plan: Plan) -> PoseSequence:
        """Does what the plan says and returns the result."""
        with working_folder(plan.folder) as (local, publish):
            return self._carry_out(plan, local, publish)

    def _carry_out(self, plan: Plan, local: Path, publish: Publish) -> PoseSequence:
        """``local`` is where files are made, on this machine; ``publish`` puts them into the folder."""
        folder = plan.folder
        earlier = read_state(folder)
        if plan.estimate:
            pose, state = self._estimate(folder)
            write_state(folder, state)
        else:
            assert plan.reuse is not None
            assert earlier is not None
            pose, state = load(fetch_into(plan.reuse, local)), earlier
        finish_clip(
            pose,
            state,
            plan,
            self.outputs,
            stem=self.source.stem,
            local=local,
            publish=publish,
            video=self._video_of(folder),
            hypotheses=self.options.hypotheses,
            earlier=set(earlier.files if earlier else ()),
            on_frame=lambda done: self._tell("drawing", done, pose.n_frames),
            on_warning=self.warn,
        )
        return pose

    def _estimate(self, folder: Path) -> tuple[PoseSequence, FolderState]:
        """Runs the networks; the state is that of a folder without files of the result."""
        assert self.models is not None
        options, video = self.options, self.video
        fresh = FolderState(source=None, options=result_options(options))
        if self.source.kind == "camera":
            write_state(folder, fresh)
            video = str(self._record(folder))
            options = replace(options, rotate=None, duration=None)
        else:
            # Before the first frame: a clip that changes meanwhile must look changed afterwards.
            fresh = replace(fresh, source=SourceMark.of(self.source))
        began = time.perf_counter()
        # The two halves of pipeline.estimate, to be able to tell when the second begins.
        pose = pipeline.track(
            video,
            options,
            self.models,
            on_progress=self._tell,
            on_warning=self.warn,
            on_camera=lambda camera: self.watcher.tell(self.number, camera.describe()),
        )
        if self.source.is_remote:
            pose = replace(pose, video=replace(pose.video, path=self.source.shown))
        self._tell("3D", 0, pose.n_frames)
        pose = pipeline.lift_keypoints(pose, options, models=self.models, on_progress=self._tell)
        if pose.n_people == 0:
            self.warn(f"nobody was found in {self.source.shown}")
        seconds = round(time.perf_counter() - began, 2)
        return pose, replace(fresh, people=pose.n_people, frames=pose.n_frames, seconds=seconds)

    def _record(self, folder: Path) -> Path:
        """Records a camera first, at its own pace, whatever the networks' is."""
        path, options = folder / RECORDING_NAME, self.options
        with open_video(
            self.source.path, rotate=options.rotate, duration=options.duration
        ) as camera:
            info = camera.info
            total = round((options.duration or 0) * info.rate)
            with write_video(
                path, info.size_wh, rate=info.rate, crf=RECORDING_CRF, preset="superfast"
            ) as writer:
                for frame in camera:
                    writer.write(frame.image, frame.time_s)
                    self._tell("recording", frame.index + 1, max(total, frame.index + 1))
        return path

    def _video_of(self, folder: Path) -> str:
        """Returns the clip as it can be opened now, which may differ from then."""
        return str(folder / RECORDING_NAME) if self.source.kind == "camera" else self.video

    def _tell(self, stage: str, done: int, total: int) -> None:
        self.watcher.progress(self.number, stage, done, total)


def finish_clip(
    pose: PoseSequence,
    state: FolderState,
    plan: Plan,
    outputs: OutputOptions,
    *,
    stem: str,
    local: Path,
    publish: Publish,
    video: str,
    hypotheses: bool,
    earlier: set[str],
    on_frame: Callable[[int], None],
    on_warning: Callable[[str], None],
) -> None:
    """Makes the files of a result that the plan misses, and notes each in the folder's state.

    ``local`` and ``publish`` are those of :func:`working_folder`, ``stem`` names the drawing,
    ``video`` is what the result was made from, ``earlier`` the names of files of an earlier one.
    """
    folder, failures = plan.folder, list[Exception]()
    for name, paths in write_formats(pose, local, plan.formats, failures):
        state = state.with_files(local, name, paths)
        publish(paths)
        write_state(folder, state)
    for name in earlier - set(state.files):
        # Made with other options: beside the new result it would only mislead.
        remove(folder / name)
    if plan.draw:
        with caught(failures):
            drawing = draw_result(
                pose,
                video,
                local / f"{stem}.mp4",
                outputs,
                hypotheses=hypotheses,
                on_frame=on_frame,
                on_warning=on_warning,
            )
            state = state.with_video(local, drawing.name, outputs)
            publish((drawing,))
            write_state(folder, state)
    raise_all(failures)


@contextlib.contextmanager
def _opened(source: Source, plan: Plan) -> Iterator[str]:
    """Gives what to open of a clip; it is copied from a store where its pictures are needed."""
    if plan.estimate or plan.draw:
        with local_copy(source) as video:
            yield video
    else:
        yield source.path


def _renamed(error: Pose3DError, copy: list[str], shown: str) -> Pose3DError:
    """Names a clip in a store by its address, not by the place of its copy."""
    for place in copy:
        error.what = error.what.replace(place, shown)
        error.args = (error.what, error.todo)
    return error


def kept(source: Source, folder: Path) -> Outcome:
    """The outcome of a clip that was done before."""
    state = read_state(folder)
    people, frames = (state.people, state.frames) if state else (None, None)
    return Outcome(source=source, status="kept", folder=folder, people=people, frames=frames)


def failed(source: Source, folder: Path, error: Pose3DError, trace: str = "") -> Outcome:
    return Outcome(source=source, status="failed", folder=folder, error=error, trace=trace)


def _internal(source: Source, error: Exception) -> Pose3DError:
    """What is shown for a mistake in pose3d."""
    return Pose3DError(
        f"Internal error while working on {source.shown} ({type(error).__name__}: {error})",
        "Please report it with the output of 'pose3d doctor' and of the same command with "
        "POSE3D_DEBUG=1",
    )
