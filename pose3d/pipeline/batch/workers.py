"""Several clips at once, each in a worker process of its own.

Every worker has its own pipe. A process that dies (out of memory, a crash in native code) breaks only
its own pipe: the clip it was working on fails, the others go on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from pose3d.errors import Pose3DError
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch.one_clip import failed, run_one
from pose3d.pipeline.batch.overview import note_failure
from pose3d.pipeline.batch.state import folder_of
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.video.sources import Source

if TYPE_CHECKING:
    from pose3d.pipeline.estimate import Models

TELL_EVERY_S = 0.1
GRACE_S = 10.0
"""Time that workers get to put down their work after Ctrl-C."""


@dataclass(slots=True)
class _Worker:
    """A process, our end of its pipe, and the clip it works on."""

    process: SpawnProcess
    pipe: Connection
    task: int | None = None
    ready: bool = False


def default_jobs() -> int:
    """Returns how many clips ``pose3d run`` works on at once: each keeps about two cores busy."""
    return max(1, (os.cpu_count() or 1) // 2)


def run_in_processes(
    tasks: dict[int, Source],
    options: RunOptions,
    outputs: OutputOptions,
    *,
    jobs: int,
    watcher: Watcher,
    load: Callable[[RunOptions], Models],
    needed: bool,
) -> dict[int, Outcome]:
    """Works on clips in ``jobs`` processes; see :func:`pose3d.pipeline.batch.clips.run_batch`.

    The networks are loaded once per process, the cores are shared out among them.

    Args:
        tasks: number -> clip.
        needed: some clip needs the networks, so they are loaded before the first one.
    """
    jobs = min(jobs, len(tasks))
    threads = options.threads or max(1, (os.cpu_count() or 1) // jobs)
    setup = (replace(options, threads=threads), outputs, load, needed)
    return _Batch(tasks, setup, watcher, jobs).run()


class _Batch:
    """Hands out clips to workers and collects what they say."""

    def __init__(
        self, tasks: dict[int, Source], setup: tuple[Any, ...], watcher: Watcher, jobs: int
    ) -> None:
        self._tasks = tasks
        self._queue = list(tasks)
        self._setup = setup
        self._watcher = watcher
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._outcomes: dict[int, Outcome] = {}
        self._told_models = False

    def run(self) -> dict[int, Outcome]:
        try:
            while len(self._outcomes) < len(self._tasks):
                busy = sum(worker.task is not None for worker in self._workers)
                wanted = min(self._jobs, busy + len(self._queue))
                while len(self._workers) < wanted:
                    self._workers.append(_start(self._setup))
                pipes = {worker.pipe: worker for worker in self._workers}
                for pipe in wait(list(pipes), timeout=1.0):
                    self._listen(pipes[pipe])  # type: ignore[index]
            return self._outcomes
        except BaseException:
            for worker in self._workers:
                _interrupt(worker.process)
            raise
        finally:
            for worker in self._workers:
                worker.pipe.close()
            _end([worker.process for worker in self._workers])

    def _listen(self, worker: _Worker) -> None:
        try:
            kind, *values = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if kind == "ready":
            worker.ready = True
            if values[0] is not None and not self._told_models:
                self._watcher.loaded(*values)
                self._told_models = True
            self._give(worker)
        elif kind == "broken":
            raise values[0]
        elif kind == "finished":
            number, outcome = values
            self._outcomes[number] = outcome
            self._watcher.finished(number, outcome)
            self._give(worker)
        else:
            getattr(self._watcher, kind)(*values)

    def _give(self, worker: _Worker) -> None:
        """Gives a worker its next clip, or sends it home."""
        worker.task = self._queue.pop(0) if self._queue else None
        order = None if worker.task is None else (worker.task, self._tasks[worker.task])
        with contextlib.suppress(OSError):  # it has died; the next recv will tell
            worker.pipe.send(order)

    def _bury(self, worker: _Worker) -> None:
        """Deals with a worker whose pipe has ended: sent home, or dead."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join(GRACE_S)
        code = worker.process.exitcode
        if worker.task is None and worker.ready:
            return
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        error = Pose3DError(
            f"A worker process died ({how})",
            "The machine may be out of memory: try again with fewer --jobs",
        )
        if not worker.ready:
            raise error
        assert worker.task is not None
        source = self._tasks[worker.task]
        outcome = failed(source, folder_of(source, self._setup[1]), error)
        note_failure(outcome)
        self._outcomes[worker.task] = outcome
        self._watcher.finished(worker.task, outcome)


def _start(setup: tuple[Any, ...]) -> _Worker:
    # Spawned everywhere: a fork would copy the locks of running threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, *setup), name="pose3d-job")
    with _sigint_held():
        process.start()
    theirs.close()  # else the pipe would not end with the process
    return _Worker(process, ours)


@contextlib.contextmanager
def _sigint_held() -> Iterator[None]:
    """Holds Ctrl-C back: processes started meanwhile hold it back as well until they are set up.

    Python would print a traceback for one that comes while a new process is importing modules.
    """
    if sys.platform == "win32":
        yield
        return
    # Started here, for starting it lets Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interrupt(process: SpawnProcess) -> None:
    """Asks a process to stop the way Ctrl-C does, so that it leaves nothing half-written."""
    if process.pid is None or process.exitcode is not None:
        return
    if sys.platform == "win32":
        return  # Ctrl-C has reached it already: all processes of a console get it
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGINT)


def _end(processes: Sequence[SpawnProcess]) -> None:
    """Waits for processes, and ends those that do not end."""
    until = time.monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.exitcode is None:
            process.terminate()
            process.join()


# -- in the worker process -------------------------------------------------------------------------


class Reporter(Watcher):
    """The watcher of a worker: sends what it is told, progress not too often.

    What became of the clip is the worker's answer and not sent.
    """

    def __init__(self, send: Callable[[tuple[Any, ...]], None], every_s: float) -> None:
        self._send = send
        self._every_s = every_s
        self._told: tuple[str, float] = ("", 0.0)

    def started(self, number: int) -> None:
        self._send(("started", number))

    def progress(self, number: int, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._told[0] or now - self._told[1] > self._every_s or done == total:
            self._told = (stage, now)
            self._send(("progress", number, stage, done, total))

    def tell(self, number: int, text: str) -> None:
        self._send(("tell", number, text))

    def warn(self, number: int, text: str) -> None:
        self._send(("warn", number, text))


def _work(
    pipe: Connection,
    options: RunOptions,
    outputs: OutputOptions,
    load: Callable[[RunOptions], Models],
    needed: bool,
) -> None:
    """Body of a worker process; ends quietly on Ctrl-C, and when the parent is gone."""
    reporter = Reporter(pipe.send, TELL_EVERY_S)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        models = None
        began = time.perf_counter()
        if needed:
            try:
                models = load(options)
            except Pose3DError as error:
                pipe.send(("broken", error))
                return
        assert options.threads is not None
        limit_threads(options.threads)
        infos = None if models is None else models.infos
        pipe.send(("ready", infos, time.perf_counter() - began))
        while (order := pipe.recv()) is not None:
            number, source = order
            outcome = run_one(
                number,
                source,
                options,
                outputs,
                models=models,
                watcher=reporter,
                load_models=load,
            )
            pipe.send(("finished", number, outcome))
    pipe.close()


def limit_threads(threads: int) -> None:
    """Keeps the libraries of this process to its share of the cores."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
