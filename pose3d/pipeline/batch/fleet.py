"""Clips on the machines of a Ray cluster, or of a Ray that is started here: one clip a task.

Ray starts the workers, places them, starts one again when it dies, and finds out when it does. The
clip that it was working on goes back to the queue, for whichever worker is free: one that waits for
a machine to come back must not keep a clip. Locks and states of the folders are those of any run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pose3d.device import pick_device
from pose3d.errors import DeviceError, Pose3DError, UsageError
from pose3d.files import LOCK_OUTLIVES_S
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch.one_clip import failed, run_one
from pose3d.pipeline.batch.overview import note_failure
from pose3d.pipeline.batch.state import folder_of
from pose3d.pipeline.batch.watch import Outcome, Watcher
from pose3d.pipeline.batch.workers import GRACE_S, Reporter, limit_threads
from pose3d.plugins import import_extra
from pose3d.video.sources import Source
from pose3d.weights.info import ModelInfo

if TYPE_CHECKING:
    from pose3d.pipeline.estimate import Models

RETRIES = 3
"""How often a clip is tried again whose worker died."""
TELL_EVERY_S = 1.0
POLL_S = 0.2
LOOK_AGAIN_S = 5.0


def run_on_ray(
    tasks: dict[int, Source],
    options: RunOptions,
    outputs: OutputOptions,
    *,
    jobs: int | None,
    address: str | None,
    watcher: Watcher,
    load: Callable[[RunOptions], Models],
    needed: bool,
) -> dict[int, Outcome]:
    """Works on clips with Ray; see :func:`pose3d.pipeline.batch.clips.run_batch`.

    Args:
        tasks: number -> clip.
        jobs: workers; None: as many as the cluster has room for.
        address: of the cluster; None: Ray's own rule (RAY_ADDRESS, a cluster on this machine, else
            Ray is started here and stopped at the end).
        needed: some clip needs the networks, so each worker loads them before its first one.
    """
    ray = import_extra("ray", "ray", "--engine ray")
    with _connected(ray, address):
        room = _find_room(ray, options, jobs)
        setup = _Setup(
            options=replace(options, threads=room.cores),
            outputs=outputs,
            load=load,
            needed=needed,
            folder=os.getcwd(),
            hide_gpus=not room.gpus and options.device == "auto",
        )
        watcher.say(f"{'ray':10} {room.describe()}")
        return _Fleet(ray, tasks, setup, room, watcher).run()


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connects to a cluster or starts one, unless the caller has; what was started here is stopped."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        where = f"The Ray cluster {address}" if address else "Ray"
        raise UsageError(
            f"{where} cannot be reached or started ({_first_line(error)})",
            "Check --ray-address and RAY_ADDRESS, or leave them out to start Ray on this machine",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What each worker gets, and how many there are."""

    workers: int
    cores: int
    gpus: int
    machines: int

    def describe(self) -> str:
        what = f"{self.cores} core{'s' if self.cores > 1 else ''}{' and a GPU' * self.gpus} each"
        machines = f"{self.machines} machine{'s' if self.machines > 1 else ''}"
        return f"{self.workers} worker{'s' if self.workers > 1 else ''}, {what}, on {machines}"


def _find_room(ray: Any, options: RunOptions, jobs: int | None) -> _Room:
    """Finds how many workers the cluster has room for: one a GPU with ``--device cuda``, else by cores."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(options.device == "cuda")
    if options.device.startswith("cuda:"):
        raise UsageError(
            f"--device {options.device} is for one machine: Ray gives each worker its GPU",
            "Give --device cuda",
        )
    if not gpus and options.device != "auto":
        pick_device(options.device)
    cores = options.threads or 1
    if gpus and options.threads is None:
        shares = [node.get("CPU", 0) // node["GPU"] for node in nodes if node.get("GPU")]
        cores = max(1, int(min(shares, default=1)))
    fits = [node.get("CPU", 0) // cores for node in nodes]
    if gpus:
        fits = [min(f, node.get("GPU", 0)) for f, node in zip(fits, nodes, strict=True)]
    workers = jobs or int(sum(fits))
    if not workers:
        raise DeviceError(
            f"No machine of the Ray cluster has {cores} cores{' and a GPU' * gpus}",
            "Give fewer --threads or another --device, or --jobs to wait for machines that join",
        )
    return _Room(
        workers=workers, cores=cores, gpus=gpus, machines=max(1, sum(f >= 1 for f in fits))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """What a worker is made with."""

    options: RunOptions
    outputs: OutputOptions
    load: Callable[[RunOptions], Models]
    needed: bool
    folder: str  # where paths as typed begin
    hide_gpus: bool


class _Fleet:
    """Hands out clips to workers and collects what becomes of them."""

    def __init__(
        self, ray: Any, tasks: dict[int, Source], setup: _Setup, room: _Room, watcher: Watcher
    ) -> None:
        self._ray = ray
        self._tasks = tasks
        self._setup = setup
        self._watcher = watcher
        self._queue = list(tasks)
        self._deaths = dict.fromkeys(tasks, 0)
        self._outcomes: dict[int, Outcome] = {}
        self._idle: list[Any] = []
        self._told_models = False
        self._news = _open_news(ray)
        resources = {"num_cpus": room.cores, "num_gpus": room.gpus}
        worker = ray.remote(max_restarts=-1, max_task_retries=0, **resources)(_Worker)
        # What a worker is doing: reference of the answer -> the worker and its clip (None: it starts).
        self._doing: dict[Any, tuple[Any, int | None]] = {}
        for _ in range(min(room.workers, len(tasks))):
            self._prepare(worker.remote(setup))

    def run(self) -> dict[int, Outcome]:
        try:
            while len(self._outcomes) < len(self._tasks):
                ready, _ = self._ray.wait(list(self._doing), timeout=POLL_S)
                self._hear()
                for answer in ready:
                    self._take(answer)
                while self._idle and self._queue:
                    self._give(self._idle.pop())
            return self._outcomes
        except BaseException:
            self._interrupt()
            raise
        finally:
            for worker in (*self._idle, *(worker for worker, _ in self._doing.values())):
                self._ray.kill(worker)
            self._news.shutdown(force=True)

    def _prepare(self, worker: Any) -> None:
        """Lets a worker say when it is ready, however often it has to be started again until then."""
        self._doing[worker.prepare.options(max_task_retries=-1).remote()] = worker, None

    def _give(self, worker: Any) -> None:
        number = self._queue.pop(0)
        again = self._deaths[number] > 0
        answer = worker.work.remote(number, self._tasks[number], self._news, again)
        self._doing[answer] = worker, number

    def _take(self, answer: Any) -> None:
        """Takes what a worker answered, or what Ray says of its death."""
        worker, number = self._doing.pop(answer)
        try:
            value = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            if number is not None:
                self._bury(number, error)
                self._prepare(worker)
            else:
                self._dismiss(worker, error)
            return
        if number is not None:
            self._finish(number, value)
        elif value is not None and not self._told_models:
            self._watcher.loaded(*value)
            self._told_models = True
        self._idle.append(worker)

    def _bury(self, number: int, error: Exception) -> None:
        """Deals with the clip of a worker that died."""
        self._deaths[number] += 1
        if self._deaths[number] <= RETRIES:
            self._watcher.warn(number, "the worker died over it; it is done again")
            self._queue.insert(0, number)
            return
        source = self._tasks[number]
        died = Pose3DError(
            f"The worker died {self._deaths[number]} times over it ({type(error).__name__})",
            "The machines may be out of memory: try it without --engine ray",
        )
        outcome = failed(source, folder_of(source, self._setup.outputs), died)
        note_failure(outcome)
        self._finish(number, outcome)

    def _dismiss(self, worker: Any, error: Exception) -> None:
        """Goes on without a worker that cannot start; raises when none is left."""
        self._ray.kill(worker)
        cause = getattr(error, "cause", None)  # what the worker itself raised
        if not isinstance(cause, Pose3DError):
            cause = Pose3DError(
                f"A worker cannot start ({_last_line(error)})",
                "Check that all machines of the cluster have the same pose3d and Python",
            )
        if not self._doing and not self._idle:
            raise cause
        self._watcher.say(f"{cause} The fleet goes on without this worker.")

    def _finish(self, number: int, outcome: Outcome) -> None:
        self._outcomes[number] = outcome
        self._watcher.finished(number, outcome)

    def _hear(self) -> None:
        """Passes on what the workers told; without the one who collects it, nothing is told."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            working = {number for _, number in self._doing.values()}
            for kind, number, *values in self._news.get_nowait_batch(self._news.qsize()):
                if number in working:  # the last words of a dead worker may come late
                    getattr(self._watcher, kind)(number, *values)

    def _interrupt(self) -> None:
        """Asks all workers to stop the way Ctrl-C does, and waits a little."""
        working = [answer for answer, (_, number) in self._doing.items() if number is not None]
        with contextlib.suppress(self._ray.exceptions.RayError):
            for answer in working:
                self._ray.cancel(answer)
            if working:
                self._ray.wait(working, num_returns=len(working), timeout=GRACE_S)


def _open_news(ray: Any) -> Any:
    """Makes the queue of what workers tell, on this machine: no other one can take it along."""
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _last_line(error: Exception) -> str:
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__)


# -- in the worker process -------------------------------------------------------------------------


class _Worker:
    """Has the networks and works on one clip after the other."""

    def __init__(self, setup: _Setup) -> None:
        if os.path.isdir(setup.folder):
            os.chdir(setup.folder)
        if setup.hide_gpus:  # Ray gave it none, but does not hide them
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._setup = setup
        self._models: Models | None = None

    def prepare(self) -> tuple[Sequence[ModelInfo], float] | None:
        """Loads the networks, if they are needed; returns what they are and the seconds it took."""
        began = time.perf_counter()
        models = self._load(self._setup.options) if self._setup.needed else None
        limit_threads(self._setup.options.threads or 1)
        return None if models is None else (models.infos, time.perf_counter() - began)

    def work(self, number: int, source: Source, news: Any, again: bool) -> Outcome:
        """Works on one clip; ``again``: a worker has died over it, whose lock may outlive it."""
        until = time.monotonic() + (LOCK_OUTLIVES_S if again else 0)
        reporter = Reporter(_sender(news), TELL_EVERY_S)
        while True:
            outcome = run_one(
                number,
                source,
                self._setup.options,
                self._setup.outputs,
                models=self._models,
                watcher=reporter,
                load_models=self._load,
            )
            if outcome.status != "busy" or time.monotonic() > until:
                return outcome
            time.sleep(LOOK_AGAIN_S)

    def _load(self, options: RunOptions) -> Models:
        if self._models is None:
            self._models = self._setup.load(options)
        return self._models


def _sender(news: Any) -> Callable[[tuple[Any, ...]], None]:
    """Returns what sends news to the run, and stops the work when the run wants no more."""
    import ray

    context = ray.get_runtime_context()

    def send(event: tuple[Any, ...]) -> None:
        if context.is_canceled():
            raise KeyboardInterrupt
        with contextlib.suppress(ray.exceptions.RayError):
            news.put_nowait(event)

    return send
