"""`train_loop` in the workers of Ray Train.

Ray starts the workers, joins them and starts them anew when one dies; what they resume from they find themselves (see
`tasks.training.checkpoints`), so Ray's own record of a run is thrown away with it.

A run outlives the nodes that it runs on: with notice (a spot instance that is taken back, a pod that is moved) it keeps
a checkpoint at once, without notice it goes back to its last one; then it waits for a node in the place of the lost.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from storage.errors import DubwrightError, WorkersFailed
from tasks.config import Config
from tasks.training.checkpoints import Checkpoints
from tasks.training.divergence import TrainingDiverged
from tasks.training.train_loop import FitJob, train_loop

log = logging.getLogger(__name__)

FRUITLESS = 3
"""Times in a row that a run may lose its workers without getting to a new checkpoint."""
_NEWS_S = 30.0
"""Ray misses a node that died without a word after about seventeen seconds."""
_START_S = 60.0
"""Ray's patience with workers that do not start; then it asks again."""


def _worker(settings: dict[str, Any]) -> Any:
    """Returns None, or the `TrainingDiverged` that ended the run (which, raised, would be tried again)."""
    from ray import train
    from ray.train.torch import get_device

    from tasks.cluster_nodes import Expected, take_part

    context, job = train.get_context(), FitJob(**settings["job"])
    take_part(Expected(**settings["wanted"]) if settings["wanted"] else None)
    if job.device.startswith("cuda"):
        torch.cuda.set_device(get_device())  # Ray shows every worker of a machine all its GPUs
    try:
        train_loop(
            job, context.get_world_rank(), context.get_world_size(), train.report,
            lambda: train.get_preemption_info() is not None,
        )  # fmt: skip
    except TrainingDiverged as error:
        return error
    return None


def fit_with_ray(job: FitJob, workers: int, config: Config) -> None:
    """Train in Ray's workers, from the last checkpoint under `job.out` to the end of the schedule.

    Raises:
        TrainingDiverged: see `tasks.training.divergence`.
        WorkersFailed: workers die again and again, or no node comes for them.
        DubwrightError: what a worker raised.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")  # the default costs a short run ten seconds
    os.environ.setdefault("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "2")  # some clouds give half a minute's notice
    from ray.exceptions import RayActorError
    from ray.train import WorkerGroupError
    from ray.train.v2.api.exceptions import ControllerError

    from tasks.cluster import expectation, start
    from tasks.cluster_nodes import any_lost, node_ids
    from tasks.cluster_room import await_room, needs_of, no_room

    start(config, [job.start, *job.files[:1], *job.shown[:1], os.path.join(job.out, "model")])
    needs = needs_of(config, "train", on_gpu=job.device.startswith("cuda"))
    await_room(needs, config)
    wanted = expectation(config)
    settings = {"job": asdict(job), "wanted": asdict(wanted) if wanted else None}
    fruitless, reached = 0, _reached(job)
    while True:
        nodes = node_ids()
        try:
            ended = _fit_once(settings, job, workers, needs, config)
            break
        except WorkerGroupError as error:
            causes = [getattr(failure, "_base_exc", failure) for failure in error.worker_failures.values()]
            for cause in causes:
                if isinstance(cause, DubwrightError):
                    raise cause from error
            # Who is left of a group often fails before Ray knows why: at the broken connection to a node that is gone.
            if not any(isinstance(cause, RayActorError) for cause in causes) and not any_lost(nodes, _NEWS_S):
                raise
            fruitless, before, reached = fruitless + 1, reached, _reached(job)
            if reached > before:
                fruitless = 0
            if fruitless >= FRUITLESS:
                raise WorkersFailed(
                    f"the workers of the training died {fruitless} times without getting to a new checkpoint (killed, "
                    "crashed or out of memory)", "give them memory, or train.checkpoint_every a smaller number",
                ) from error  # fmt: skip
            log.warning("workers were lost; training goes on from step %d", reached)
        except ControllerError as error:
            raise no_room(needs, config) from error
    if isinstance(ended, TrainingDiverged):
        raise ended


def _fit_once(settings: dict[str, Any], job: FitJob, workers: int, needs: dict[str, Any], config: Config) -> Any:
    """What the first worker returned."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpu = job.device.startswith("cuda")
    records = Path(job.out) / "ray"
    # What the types of Ray do not tell of: they are those of its first Train.
    where: dict[str, Any] = {"label_selector": needs.get("label_selector")}
    patience: dict[str, Any] = {"controller_failure_limit": max(1, int(config.runtime.node_wait_s / _START_S))}
    trainer = TorchTrainer(
        _worker,
        train_loop_config=settings,
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpu,
            resources_per_worker=_per_worker(needs, workers, config),
            **where,
        ),
        run_config=RunConfig(
            name=secrets.token_hex(6),
            storage_path=str(records),
            failure_config=FailureConfig(max_failures=1, **patience),
        ),
    )
    try:
        return getattr(trainer.fit(), "return_value", None)
    finally:
        shutil.rmtree(records, ignore_errors=True)


def _per_worker(needs: dict[str, Any], workers: int, config: Config) -> dict[str, float]:
    """What each takes, in the words of Ray Train."""
    import ray

    from tasks.cluster import address

    cpus, available = needs["num_cpus"], ray.cluster_resources().get("CPU", 1)
    if address(config) is None and available < workers * cpus + 1:
        # One logical CPU stays free: with every one taken, Ray's own tasks could not run and the fit would hang.
        cpus = max(0.1, round(0.9 * available / (workers + 1), 2))
    found = {"CPU": cpus, "GPU": needs["num_gpus"], "memory": needs.get("memory", 0)} | needs.get("resources", {})
    return {name: amount for name, amount in found.items() if amount}


def _reached(job: FitJob) -> int:
    """The step of the last checkpoint; 0 before the first."""
    last = Checkpoints(job.out).last
    return 0 if last is None else int(last.name.removeprefix("step-"))
