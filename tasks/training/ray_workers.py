"""`train_loop` in the workers of Ray Train.

Ray starts the workers, joins them and starts them anew when one dies; what they resume from they find themselves (see
`tasks.training.checkpoints`), so Ray's own record of a run is thrown away with it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from storage.errors import DubwrightError
from tasks.config import Config
from tasks.training.divergence import TrainingDiverged
from tasks.training.train_loop import FitJob, train_loop


def _worker(settings: dict[str, Any]) -> Any:
    """Returns None, or the `TrainingDiverged` that ended the run (which, raised, would be tried again)."""
    from ray import train
    from ray.train.torch import get_device

    context = train.get_context()
    if settings["device"].startswith("cuda"):
        torch.cuda.set_device(get_device())  # Ray shows every worker of a machine all its GPUs
    try:
        train_loop(FitJob(**settings), context.get_world_rank(), context.get_world_size(), train.report)
    except TrainingDiverged as error:
        return error
    return None


def fit_with_ray(job: FitJob, workers: int, config: Config) -> None:
    """Train in Ray's workers, from the last checkpoint under `job.out` to the end of the schedule.

    Raises:
        TrainingDiverged: see `tasks.training.divergence`.
        DubwrightError: what a worker raised.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")  # the default costs a short run ten seconds
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer

    if not ray.is_initialized():
        from tasks.cluster import start

        start(config)
    gpu = job.device.startswith("cuda")
    available = ray.cluster_resources().get("CPU", 1)
    # One logical CPU stays free: with every one taken, Ray's own tasks could not run and the fit would hang.
    share = 1.0 if available >= workers + 1 else max(0.1, round(0.9 * available / (workers + 1), 2))
    records = Path(job.out) / "ray"
    trainer = TorchTrainer(
        _worker,
        train_loop_config=asdict(job),
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": share} | ({"GPU": 1} if gpu else {})
        ),
        run_config=RunConfig(
            name=secrets.token_hex(6), storage_path=str(records), failure_config=FailureConfig(max_failures=1)
        ),
    )
    try:
        ended = getattr(trainer.fit(), "return_value", None)
    except WorkerGroupError as error:
        for failure in error.worker_failures.values():
            cause = getattr(failure, "_base_exc", failure)
            if isinstance(cause, DubwrightError):
                raise cause from error
        raise
    finally:
        shutil.rmtree(records, ignore_errors=True)
    if isinstance(ended, TrainingDiverged):
        raise ended
