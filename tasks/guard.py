"""Ends a process that gets nowhere: a call into a library cannot be stopped from outside, its process can."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_TICK_S = 0.2


class Guard:
    """Takes this process down when `alive` was not called for `limit_s` seconds while it was at work; 0: never.

    Args:
        last_words: called before the process goes, so that its successor knows why.
    """

    def __init__(self, limit_s: float, last_words: Callable[[], object] = bool) -> None:
        self._limit_s, self._last_words = limit_s, last_words
        self._deadline = float("inf")
        self._lock, self._ended = threading.Lock(), threading.Event()
        if limit_s > 0:
            threading.Thread(target=self._watch, daemon=True).start()

    def alive(self) -> None:
        """The work gets on: its time begins anew."""
        with self._lock:
            self._deadline = time.monotonic() + self._limit_s if self._limit_s > 0 else float("inf")

    def rest(self) -> None:
        """The work is done."""
        with self._lock:
            self._deadline = float("inf")

    def end(self) -> None:
        """There will be no more work."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_TICK_S):
            with self._lock:
                late = time.monotonic() > self._deadline
            if late:
                self._last_words()
                os._exit(1)
