"""The work of a library, dealt out: whose turn it is, what is ready, what came back busy, what took a worker down."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from storage.errors import WorkersFailed
from tasks.config import Config
from tasks.dubbing.rendering import runs_of
from tasks.dubbing.spent import FINISH, LOOK, RENDER
from tasks.dubbing.stretches import Stretch
from tasks.dubbing.worker import ANIMATE, BUSY, DONE, ENDED, MISSING, Work
from tasks.jobs import Planned

_AGAIN_S = 0.5
"""Work that somebody else is at is asked for again after this time."""
_RUN = 4
"""Stretches of one segment that a worker takes at a time: the picture before them is decoded once for all."""
_ORDER = {FINISH: 0, RENDER: 1, ANIMATE: 1, LOOK: 2}
WORKER_DIED = "WorkerDied"

Works = Sequence[tuple[Planned, Work]]
OnStretch = Callable[[int, int, int], None]
"""Told (number of the job, stretches done, stretches in all)."""


class Answer(NamedTuple):
    """What came of works. answers: None where the worker died; blameless: for the loss of its node."""

    works: Works
    answers: list[dict[str, Any]] | None
    blameless: bool = False


class Pool(Protocol):
    """Workers of one machine or many."""

    def free(self, kind: str) -> bool:
        """Whether some worker waits for work of this kind."""

    def give(self, kind: str, works: Works) -> None:
        """To one that waits."""

    def wait(self, timeout_s: float) -> list[Answer]:
        """What came back."""


@dataclass
class _State:
    """A job under way. open: pieces of work that are given out or ready."""

    open: int = 0
    stretches: int = 0
    rendered: int = 0
    made: int = 0
    ended: bool = False


@dataclass
class Queue:
    """Deals the work on `tasks` out to a pool, the more urgent job first, of one job what brings it nearest to its end.

    lost: jobs that took their workers down too often, and at what. made: stretches rendered in this run, by job.
    """

    tasks: Mapping[int, Planned]
    pool: Pool
    config: Config
    on_stretch: OnStretch | None = None
    lost: dict[int, str] = field(default_factory=dict)
    made: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._ready: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _ORDER}
        self._later: list[tuple[float, int, Work]] = []
        self._states = {number: _State() for number in self.tasks}
        self._deaths: Counter[Work] = Counter()
        self._count = self._in_a_row = 0

    def run(self) -> Iterator[int]:
        """Numbers of jobs as they end; their rows are in the ledger, except of those that are `lost`.

        Raises:
            WorkersFailed: workers die whatever they are given.
        """
        for number, task in self.tasks.items():
            self._add(Work(number, ANIMATE if task.kind == ANIMATE else LOOK))
        while not all(state.ended for state in self._states.values()):
            self._deal()
            for answer in self.pool.wait(_AGAIN_S):
                yield from self._came_back(*answer)
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                self._add(heapq.heappop(self._later)[2], counted=True)

    def _deal(self) -> None:
        for kind in sorted(self._ready, key=lambda kind: _ORDER[kind]):
            while self._ready[kind] and self.pool.free(kind):
                works: list[Work] = []
                widest = self.config.runtime.batch_windows if kind == RENDER else 1
                while self._ready[kind] and len(works) < widest:
                    work: Work = heapq.heappop(self._ready[kind])[-1]
                    if self._states[work.number].ended:
                        continue
                    if self._deaths[work] and works:
                        self._push(work)
                        break
                    works.append(work)
                    if self._deaths[work]:
                        break  # one that is under suspicion goes alone
                if works:
                    self.pool.give(kind, [(self.tasks[work.number], work) for work in works])

    def _add(self, work: Work, counted: bool = False) -> None:
        if not counted:
            self._states[work.number].open += 1
        self._push(work)

    def _push(self, work: Work) -> None:
        self._count += 1
        task = self.tasks[work.number]
        heapq.heappush(self._ready[work.kind], (-task.job.priority, work.number, self._count, work))

    def _came_back(self, works: Works, answers: list[dict[str, Any]] | None, blameless: bool) -> Iterator[int]:
        if answers is None and blameless:
            for _, work in works:
                self._push(work)  # a machine taken away says nothing against what it was at
            return
        if answers is None:
            yield from self._died([work for _, work in works])
            return
        self._in_a_row = 0
        for (_, work), answer in zip(works, answers, strict=True):
            yield from self._answered(work, answer)

    def _answered(self, work: Work, answer: dict[str, Any]) -> Iterator[int]:
        state = self._states[work.number]
        if state.ended:
            return
        if answer["state"] == BUSY:
            self._count += 1
            heapq.heappush(self._later, (time.monotonic() + _AGAIN_S, self._count, work))
            return
        state.open -= 1
        if answer["state"] == ENDED:
            state.ended = True
            yield work.number
            return
        if work.kind == LOOK:
            stretches = [Stretch(**one) for one in answer["stretches"]]
            state.stretches, state.rendered = answer["all"], answer["all"] - len(stretches)
            self._add_runs(work.number, stretches)
        elif answer["state"] == MISSING:
            # Somebody else is at these now, or was and died: they are tried again, the file after them.
            stretches = [Stretch(**one) for one in answer["stretches"]]
            state.open += 1
            self._count += 1
            again = Work(work.number, RENDER, tuple(stretches[:_RUN]))
            heapq.heappush(self._later, (time.monotonic() + _AGAIN_S, self._count, again))
        elif answer["state"] == DONE and work.kind == RENDER:
            self.made[work.number] += answer["made"]
            state.rendered = min(state.stretches, state.rendered + len(work.run))
            if self.on_stretch is not None:
                self.on_stretch(work.number, state.rendered, state.stretches)
        if state.open == 0:
            self._add(Work(work.number, FINISH))

    def _add_runs(self, number: int, stretches: Sequence[Stretch]) -> None:
        for run in runs_of(stretches, _RUN):
            self._add(Work(number, RENDER, tuple(run)))

    def _died(self, works: Sequence[Work]) -> Iterator[int]:
        """A worker died: its work is tried again, alone, until it has taken too many down."""
        self._in_a_row += 1
        if self._in_a_row > 2 * len(self.tasks) + 4:
            raise WorkersFailed(
                f"{self._in_a_row} workers died one after the other (killed, crashed or out of memory)",
                "give them memory or fewer runtime.actors; the same command goes on",
            )
        for work in works:
            self._deaths[work] += 1
            state = self._states[work.number]
            if state.ended:
                continue
            if self._deaths[work] >= self.config.runtime.max_attempts:
                self.lost[work.number] = work.kind
                state.ended = True
                yield work.number
            else:
                self._push(work)


def plain(works: Works) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What a worker is told: plain values."""
    return [(asdict(task), asdict(work)) for task, work in works]
