"""Two workers without Ray, in processes of their own: a `FitJob` as JSON, trained by gloo on this machine."""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from tasks.training.train_loop import FitJob, train_loop

WORLD = 2


def work(rank: int, meeting: str, job: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    train_loop(FitJob(**job), rank, WORLD, lambda metrics: None)
    dist.destroy_process_group()


def main(job: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        fork = multiprocessing.get_context("fork")  # the imports are there already
        workers = [
            fork.Process(target=work, args=(rank, str(Path(folder) / "meeting"), json.loads(job)))
            for rank in range(WORLD)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return max(abs(worker.exitcode or 0) for worker in workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
