"""Overlap of stages: producers in a thread, behind a bounded queue."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

WAKE_UP_S = 0.5  # Windows: a wait without end ignores Ctrl-C, so waits are repeated
JOIN_S = 5.0


class _Channel(Generic[T]):
    """A bounded queue between one producer and one consumer, with an end and a stop."""

    def __init__(self, depth: int, *, drop: bool = False) -> None:
        self.dropped = 0
        self._items: deque[T] = deque()
        self._drop = drop
        self._depth = depth
        self._changed = threading.Condition()
        self._ended = False
        self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Adds an item when there is room; returns False when nobody wants any more.

        Where items may be dropped the oldest one makes room, and nobody waits.
        """
        with self._changed:
            while self._drop and len(self._items) >= self._depth:
                self._items.popleft()
                self.dropped += 1
            while len(self._items) >= self._depth and not self._stopped:
                self._changed.wait(WAKE_UP_S)
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None) -> None:
        """Tells the consumer that nothing follows, or why."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Tells the producer to give up; what lies in the queue is dropped."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def get(self) -> T:
        """Takes the oldest item, or raises StopIteration or what the producer raised after it."""
        with self._changed:
            while not self._items and not self._ended and not self._stopped:
                self._changed.wait(WAKE_UP_S)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration


def _produce(iterable: Iterable[T], channel: _Channel[T]) -> None:
    """Body of the thread. It knows the channel only, so that an abandoned consumer is collected."""
    error: BaseException | None = None
    try:
        iterator = iter(iterable)
        try:
            for item in iterator:
                wanted = channel.put(item)
                del item  # Else the thread keeps one more picture than the queue.
                if not wanted:
                    break
        finally:
            # A generator's own clean-up belongs to the thread that ran it.
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    except BaseException as caught:
        error = caught
    channel.end(error)


class in_background(Generic[T]):
    """Iterates ``iterable`` in a thread of its own, at most ``depth`` items ahead.

    What it raises is raised here, after the items before it. Leaving the ``with`` block, or
    dropping the iterator, stops the thread; only that thread reads and closes ``iterable``.
    ``drop``: the thread never waits; of more than ``depth`` items the oldest are dropped.
    """

    def __init__(self, iterable: Iterable[T], depth: int = 8, *, drop: bool = False) -> None:
        self._channel: _Channel[T] = _Channel(depth, drop=drop)
        self._thread = threading.Thread(
            target=_produce, args=(iterable, self._channel), name="pose3d-producer", daemon=True
        )
        # Runs when this object is dropped without close(), e.g. after a break out of a for loop.
        self._stop = weakref.finalize(self, self._channel.stop)
        self._thread.start()

    def __iter__(self) -> in_background[T]:
        return self

    def __next__(self) -> T:
        return self._channel.get()

    def __enter__(self) -> in_background[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """How many items were dropped up to now."""
        return self._channel.dropped

    def stop(self) -> None:
        """Ends the iteration, whatever thread waits in it; the producer stops after its item."""
        self._stop()

    def close(self) -> None:
        """Stops the producer after its item; one that hangs is left to its daemon thread (5 s)."""
        self._stop()
        self._thread.join(JOIN_S)
