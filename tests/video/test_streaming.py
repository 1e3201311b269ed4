"""Threads: order, bounds, errors and ends."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pose3d.video.reader import open_video
from pose3d.video.streaming import in_background
from tests.support.clips import make_clip


def producers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("pose3d-")]


def wait_until_no_thread(limit_s: float = 2.0) -> None:
    deadline = time.monotonic() + limit_s
    while producers() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not producers()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until_no_thread()


@pytest.mark.parametrize("depth", [1, 2, 8, 1000])
def test_gives_everything_in_order(depth: int) -> None:
    assert list(in_background(range(500), depth)) == list(range(500))


def test_empty() -> None:
    with in_background([]) as items:
        assert list(items) == []
        assert list(items) == []


def test_runs_ahead_by_depth_and_no_more() -> None:
    made: list[int] = []

    def produce() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    with in_background(produce(), depth=4) as items:
        next(items)
        deadline = time.monotonic() + 5
        while len(made) < 6 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        # One taken, four wait, one is in the producer's hand.
        assert len(made) == 6


def test_what_was_not_taken_in_time_is_dropped_oldest_first() -> None:
    taken = threading.Event()

    def produce() -> Iterator[int]:
        yield 0
        taken.wait(5)
        yield from range(1, 100)

    with in_background(produce(), depth=1, drop=True) as items:
        got = [next(items)]
        taken.set()
        deadline = time.monotonic() + 5
        while items.dropped < 98 and time.monotonic() < deadline:
            time.sleep(0.005)
        got += items
    assert got == [0, 99]
    assert items.dropped == 98


def test_stopping_ends_who_waits() -> None:
    release = threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        release.wait(5)
        yield 1

    with in_background(slow()) as items:
        threading.Timer(0.1, items.stop).start()
        assert list(items) == [0]
        release.set()


def test_works_at_the_same_time() -> None:
    """The second item is made while the consumer is still busy with the first."""
    second_is_made = threading.Event()

    def produce() -> Iterator[int]:
        yield 1
        second_is_made.set()
        yield 2

    with in_background(produce()) as items:
        next(items)
        assert second_is_made.wait(5)


def test_an_error_comes_after_the_items_before_it_with_its_traceback() -> None:
    def fails_here() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no such thing")

    with in_background(fails_here()) as items:
        got = [next(items), next(items)]
        with pytest.raises(LookupError) as caught:
            next(items)
        assert list(items) == []
    assert got == [1, 2]
    assert "fails_here" in "".join(traceback.format_tb(caught.value.__traceback__))


def test_an_error_while_making_the_iterator_travels_too() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise RuntimeError("cannot begin")

    with in_background(Broken()) as items, pytest.raises(RuntimeError):
        next(items)


def test_closing_early_stops_the_producer_in_its_own_thread() -> None:
    ended_in: list[str] = []

    def produce() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            ended_in.append(threading.current_thread().name)

    with in_background(produce(), depth=2) as items:
        assert next(items) == 0
    assert ended_in == ["pose3d-producer"]
    assert not producers()
    with pytest.raises(StopIteration):
        next(items)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_consumer_stops_the_producer(error: type[BaseException]) -> None:
    def consume() -> None:
        with in_background(itertools.count()) as items:
            for item in items:
                if item == 3:
                    raise error

    with pytest.raises(error):
        consume()
    assert not producers()


def test_dropping_the_iterator_stops_the_producer() -> None:
    for item in in_background(itertools.count()):
        if item == 3:
            break
    gc.collect()
    wait_until_no_thread()


def test_ctrl_c_while_waiting_gets_through() -> None:
    """The consumer waits for a slow producer when the signal comes."""
    import _thread

    release = threading.Event()

    def slow() -> Iterator[int]:
        release.wait(5)
        yield 1

    timer = threading.Timer(0.1, _thread.interrupt_main)
    began = time.monotonic()

    def consume() -> None:
        items = in_background(slow())
        timer.start()
        try:
            next(items)
        finally:
            release.set()
            items.close()

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert time.monotonic() - began < 2


def test_a_video_through_the_background_is_the_same(tmp_path: Path) -> None:
    """Twin: frames through the thread equal frames without it; few of them are alive at a time."""
    clip = make_clip(tmp_path / "a.mp4", n_frames=60)
    with open_video(clip.path) as video:
        direct = [(f.time_s, f.image.sum(dtype=np.int64)) for f in video]
    alive: list[weakref.ref[np.ndarray]] = []
    most, threaded = 0, []
    with open_video(clip.path) as video, in_background(video, depth=3) as frames:
        for frame in frames:
            alive.append(weakref.ref(frame.image))
            threaded.append((frame.time_s, frame.image.sum(dtype=np.int64)))
            most = max(most, sum(ref() is not None for ref in alive))
            del frame
    assert threaded == direct
    assert most == 1


def test_leaving_in_the_middle_of_a_video(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", n_frames=60)
    with open_video(clip.path) as video, in_background(video, depth=3) as frames:
        assert next(frames).index == 0
    assert not producers()
