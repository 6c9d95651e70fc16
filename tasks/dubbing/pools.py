"""Workers for a queue: this very process, or Ray actors, some of them with a GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from tasks import cluster
from tasks.config import Config
from tasks.dubbing.queue import plain
from tasks.dubbing.spent import FINISH, LOOK, RENDER
from tasks.dubbing.worker import ANIMATE, DubWorker, Work
from tasks.jobs import Planned

Works = Sequence[tuple[Planned, Work]]
Answer = tuple[Works, list[dict[str, Any]] | None]
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
        self._answers.append((works, self._worker.do(plain(works))))

    def wait(self, timeout_s: float) -> list[Answer]:
        answers, self._answers = self._answers, []
        if not answers:
            time.sleep(timeout_s)
        return answers

    def close(self) -> None:
        """Nothing to end."""


class Actors:
    """Ray actors. One that died is followed by another.

    Args:
        arguments: of `DubWorker`, without the device.
        device: "cpu", or the device of the workers that have GPUs.
        count: most workers of each kind that are of use.
    """

    def __init__(self, arguments: tuple[Any, ...], device: str, config: Config, count: int) -> None:
        cluster.start(config)
        self._arguments, self._config = arguments, config
        self._waiting: list[tuple[frozenset[str], str, Any]] = []
        self._busy: dict[Any, tuple[tuple[frozenset[str], str, Any], Works]] = {}
        wide = cluster.actors(config, count)
        if device == "cpu":
            kinds = [(ALL, "cpu")] * wide
        else:
            drawing = max(1, int(ray.cluster_resources().get("GPU", 1) / (config.runtime.gpus or 1.0)))
            kinds = [(DRAWING, device)] * min(drawing, count) + [(READING, "cpu")] * max(1, wide - drawing)
        self._waiting = [(takes, where, self._actor(where)) for takes, where in kinds]

    def _actor(self, device: str) -> Any:
        gpus = 0.0 if device == "cpu" else self._config.runtime.gpus or 1.0
        # A call that failed is the queue's affair: Ray does not repeat it.
        made: Any = ray.remote(DubWorker).options(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)
        return made.remote(*self._arguments, device)

    def free(self, kind: str) -> bool:
        return any(kind in takes for takes, _, _ in self._waiting)

    def give(self, kind: str, works: Works) -> None:
        at = next(number for number, (takes, _, _) in enumerate(self._waiting) if kind in takes)
        worker = self._waiting.pop(at)
        self._busy[worker[2].do.remote(plain(works))] = (worker, works)

    def wait(self, timeout_s: float) -> list[Answer]:
        if not self._busy:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._busy), num_returns=1, timeout=timeout_s)
        answers: list[Answer] = []
        for future in ready:
            (takes, device, actor), works = self._busy.pop(future)
            try:
                answers.append((works, ray.get(future)))
            except RayError:
                answers.append((works, None))
                actor = self._actor(device)
            self._waiting.append((takes, device, actor))
        return answers

    def close(self) -> None:
        """The workers go."""
        for _, _, actor in [*self._waiting, *(worker for worker, _ in self._busy.values())]:
            ray.kill(actor)
