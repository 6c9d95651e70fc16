"""What is under way, so that a step that kills its worker, or never ends, is known and left out.

Before a step touches a clip, a line says so in the ledger. Whoever takes the source up again in the same run finds the
line without an end: that clip at that step took its worker down. A thread ends the process when a step takes too long.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from storage.errors import InputFailed
from storage.ledger import Ledger
from tasks.guard import Guard

DIED, TIMED_OUT = "WorkerDied", "TimeLimit"
"""Classes of error of a step that took its worker down, and of one that took too long."""


class Watch:
    """Watches over one worker's work on one source after the other.

    Args:
        journal: the run's own file: what another run left unfinished says nothing against a clip.
        limit_s: longest that one step may take for one clip; 0: no limit.
        tries: how often a step may take its worker down before the clip is left out.
        node: where this worker runs.
        died_with: whether a worker that died did so because the node went on which it ran: nothing is held against
            what it was at.
    """

    def __init__(
        self, journal: Path, limit_s: float, tries: int, node: str = "",
        died_with: Callable[[str], bool] = lambda node: False,
    ) -> None:  # fmt: skip
        self._ledger = Ledger(journal)
        self._limit_s, self._tries, self._node, self._died_with = limit_s, tries, node, died_with
        self._source = ""
        self._now: dict[str, Any] = {}
        self._guard = Guard(limit_s, self._note_timeout)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._guard.end()

    def open(self, source_key: str) -> None:
        """A source is taken up; what an earlier try of this run was at when its worker died is noted against it."""
        self._source = source_key
        last = self._ledger.last(source_key)
        began = last is not None and last["status"] in ("started", "timeout")
        if last is not None and began and not (last["status"] == "started" and self._died_with(last.get("node", ""))):
            name = _place(source_key, last.get("step"), last.get("clip"))
            self._ledger.record(name, "failed", error_type=_error_type(last), durable=False)
        self._ledger.record(source_key, "opened", durable=False)

    def begin(self, step: str, clip: int | None = None) -> int:
        """A step takes up a clip (None: the whole film). Returns how often it was tried in this run, now included.

        Raises:
            InputFailed: it took its worker down, or beyond the limit, too often: it is not tried again.
        """
        name = _place(self._source, step, clip)
        last, deaths = self._ledger.last(name), self._ledger.attempts(name)
        if last is not None and (last["error_type"] == TIMED_OUT or deaths >= self._tries):
            raise self._left_out(last["error_type"], step, deaths)
        self._ledger.record(self._source, "started", step=step, clip=clip, node=self._node, durable=False)
        self._now = {"step": step, "clip": clip}
        self.alive()
        return deaths + 1

    def alive(self) -> None:
        """The step gets on: its time begins anew."""
        self._guard.alive()

    def close(self, status: str) -> None:
        """The source has come to its end."""
        self._guard.rest()
        self._ledger.record(self._source, status, durable=False)

    def _left_out(self, error_type: str, step: str, deaths: int) -> InputFailed:
        again = "preprocess with --retry failed tries it again"
        cause = f"took more than {self._limit_s:g} s" if error_type == TIMED_OUT else "crash or out of memory"
        tries = "" if error_type == TIMED_OUT else f" in {deaths} tries"
        return InputFailed(
            self._source, f"quarantined: the step took its worker down ({cause}){tries}", again, stage=step,
            error_type=error_type,
        )  # fmt: skip

    def _note_timeout(self) -> None:
        self._ledger.record(self._source, "timeout", **self._now)


def _error_type(entry: dict[str, Any]) -> str:
    return TIMED_OUT if entry["status"] == "timeout" else DIED


def _place(source_key: str, step: Any, clip: Any) -> str:
    return f"{source_key}/{step}/{'film' if clip is None else clip}"
