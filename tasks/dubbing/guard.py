"""Ends a worker that gets nowhere: a call into a library cannot be stopped from outside, its process can."""

from __future__ import annotations

import os
import threading
import time

_TICK_S = 0.5


class Guard:
    """Takes this process down when `alive` was not called for `limit_s` seconds while it was at work; 0: never."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._deadline = limit_s, float("inf")
        if limit_s > 0:
            threading.Thread(target=self._watch, daemon=True).start()

    def alive(self) -> None:
        """The work gets on."""
        self._deadline = time.monotonic() + self._limit_s if self._limit_s > 0 else float("inf")

    def rest(self) -> None:
        """The work is done."""
        self._deadline = float("inf")

    def _watch(self) -> None:
        while True:
            time.sleep(_TICK_S)
            if time.monotonic() > self._deadline:
                os._exit(1)
