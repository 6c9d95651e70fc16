"""Workers for a queue: this very process, or Ray actors, some of them with a GPU."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from storage.errors import WorkersFailed
from tasks import cluster
from tasks.cluster_nodes import Expected, died_with_its_node, node_id, take_part
from tasks.cluster_room import await_room, has_gpus, needs_of, no_room, workers_for
from tasks.config import Config
from tasks.dubbing.queue import Answer, Works, plain
from tasks.dubbing.spent import FINISH, LOOK, RENDER
from tasks.dubbing.worker import ANIMATE, DubWorker

ALL = frozenset({LOOK, RENDER, FINISH, ANIMATE})
DRAWING, READING = frozenset({RENDER, ANIMATE}), frozenset({LOOK, FINISH})
"""What is done on a GPU where there is one, and what beside it on a CPU."""


class OwnProcess:
    """One worker, here: for one short file, and to debug."""

    def __init__(self, worker: DubWorker) -> None:
        self._worker = worker
        self._answers: list[Answer] = []

    def free(self, kind: str) -> bool:
        return not self._answers

    def give(self, kind: str, works: Works) -> None:
        self._answers.append(Answer(works, self._worker.do(plain(works))))

    def wait(self, timeout_s: float) -> list[Answer]:
        answers, self._answers = self._answers, []
        if not answers:
            time.sleep(timeout_s)
        return answers

    def close(self) -> None:
        """Nothing to end."""


class Settled:
    """A worker on a node that may take part."""

    def __init__(self, wanted: Expected | None, worker: Any, arguments: tuple[Any, ...]) -> None:
        take_part(wanted)
        self._worker = worker(*arguments)

    def where(self) -> str:
        """The node."""
        return node_id()

    def do(self, works: Any) -> list[dict[str, Any]]:
        """See `DubWorker`."""
        answers: list[dict[str, Any]] = self._worker.do(works)
        return answers


@dataclass(eq=False)
class _Hand:
    """A worker. takes: kinds of work; node: where it is, empty until it has started."""

    takes: frozenset[str]
    device: str
    needs: dict[str, Any]
    actor: Any = None
    node: str = ""


class Actors:
    """Ray actors. One that died is followed by another; only one that has started is given work, so that a node which
    is yet to come, or will never come again, holds nothing up.

    Args:
        arguments: of `DubWorker`, without the device.
        device: "cpu", or the device of the workers that have GPUs.
        count: most workers of each kind that are of use.

    Raises:
        WorkersFailed: no node can hold a worker.
    """

    def __init__(self, arguments: tuple[Any, ...], device: str, config: Config, count: int) -> None:
        cluster.start(config)
        self._arguments, self._config = arguments, config
        self._wanted = cluster.expectation(config)
        self._starting: dict[Any, _Hand] = {}
        self._idle: list[_Hand] = []
        self._busy: dict[Any, tuple[_Hand, Works]] = {}
        self._stillborn, self._alone_since = 0, time.monotonic()
        drawing = needs_of(config, "render", on_gpu=device != "cpu")
        await_room(drawing, config)
        wide = workers_for(count, "render", drawing, config, spare=1)
        hands = [_Hand(ALL if device == "cpu" else DRAWING, device, drawing) for _ in range(wide)]
        if device != "cpu":
            reading = needs_of(config, "read")
            others = 1 + int(wide * drawing["num_cpus"])
            beside = workers_for(count, "read", reading, config, spare=others)
            hands += [_Hand(READING, "cpu", reading) for _ in range(beside)]
        self._most_stillborn = 2 * len(hands) + 4
        for hand in hands:
            self._start(hand)

    def _start(self, hand: _Hand) -> None:
        # A call that failed is the queue's affair: Ray does not repeat it.
        made: Any = ray.remote(Settled).options(**hand.needs, max_restarts=0, max_task_retries=0)
        hand.actor = made.remote(self._wanted, DubWorker, (*self._arguments, hand.device))
        hand.node = ""
        self._starting[hand.actor.where.remote()] = hand

    def free(self, kind: str) -> bool:
        return any(kind in hand.takes for hand in self._idle)

    def give(self, kind: str, works: Works) -> None:
        hand = next(hand for hand in self._idle if kind in hand.takes)
        self._idle.remove(hand)
        self._busy[hand.actor.do.remote(plain(works))] = (hand, works)

    def wait(self, timeout_s: float) -> list[Answer]:
        """What came back.

        Raises:
            WorkersFailed: workers die as they start, or no node takes one for `runtime.node_wait_s`.
        """
        asked = [*self._busy, *self._starting]
        if not asked:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(asked, num_returns=1, timeout=timeout_s)
        answers = []
        for future in ready:
            if future in self._starting:
                self._started(future)
            else:
                answers.append(self._answered(future))
        if self._idle or self._busy:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > self._config.runtime.node_wait_s:
            raise no_room(next(iter(self._starting.values())).needs, self._config)
        return answers

    def _started(self, future: Any) -> None:
        hand = self._starting.pop(future)
        try:
            hand.node = ray.get(future)
        except RayError as error:
            self._stillborn += 1
            if self._stillborn > self._most_stillborn:
                raise WorkersFailed(
                    f"the workers of Ray cannot work: {cluster.cause(error)}",
                    "give them memory or fewer runtime.actors; the same command goes on",
                ) from error
            self._start(hand)
            return
        self._stillborn = 0
        self._idle.append(hand)

    def _answered(self, future: Any) -> Answer:
        hand, works = self._busy.pop(future)
        try:
            answers = ray.get(future)
        except RayError:
            lost = died_with_its_node(hand.node)
            with suppress(RayError):
                ray.kill(hand.actor)  # it may be out of reach only: two must not do one's work
            self._start(hand)
            return Answer(works, None, lost)
        self._idle.append(hand)
        return Answer(works, answers)

    def close(self) -> None:
        """The workers go."""
        for hand in [*self._idle, *self._starting.values(), *(hand for hand, _ in self._busy.values())]:
            with suppress(RayError):
                ray.kill(hand.actor)


def device_of_workers(config: Config, wanted: str) -> str:
    """Where Ray's workers render: as wanted; where that is "auto", on GPUs if the cluster has or is to bring them.

    Of a Ray of this process's own, what torch sees here counts.
    """
    if wanted != "auto":
        return wanted
    told = config.runtime.resources.render.gpus
    if told is not None:
        return "cuda" if told else "cpu"
    if cluster.address(config) is None:
        return device_here("auto")
    cluster.start(config)
    return "cuda" if has_gpus() else "cpu"


def device_here(wanted: str) -> str:
    """Where this process renders."""
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
