"""The newest of what one thread gives and others wait for."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Keeps one item and its number; who waits too long misses those in between."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._number = self._waiting = 0
        self._closed = False

    def give(self, item: T) -> None:
        """Replaces the item."""
        with self._changed:
            self._item, self._number = item, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, number: int) -> tuple[T, int] | None:
        """Waits for an item after ``number`` (from 1); returns it and its number, None at the end."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._closed or self._number > number)
            finally:
                self._waiting -= 1
            return None if self._closed or self._item is None else (self._item, self._number)

    def wait_for_waiting(self) -> bool:
        """Waits until somebody waits for an item; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting > 0)
            return not self._closed
