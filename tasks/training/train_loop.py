"""The loop that every worker of a diffusion stage runs, in this process or in Ray's: steps, checkpoints, the curve."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from models.pipeline import load_pipeline
from storage.atomic import FileLock
from tasks.training.checkpoints import Checkpoints
from tasks.training.curve import curve_from
from tasks.training.denoiser_stages import TRAININGS
from tasks.training.divergence import LossWatch, diverged
from tasks.training.image import ImageRun, ImageTraining
from tasks.training.samples import write_samples
from tasks.training.sharing import is_sharded, share, whole_state, whole_training

Report = Callable[[dict[str, float]], None]

LOCK_S = 120.0
"""How long a run waits for another one in its folder: the worker of a killed run needs a moment to notice, and a file
server up to its lease (90 s for NFS) to give up the lock of a node that is gone."""


@dataclass(frozen=True)
class FitJob:
    """What a worker needs to know; plain values only, so that it travels.

    start: folder of the pipeline to start from. files: latents to train on. run: settings of `ImageRun`. shown: latents
    of what is rendered at every `samples_every`th step and at the end, in `render_steps` steps. The rest as in
    `tasks.config.Train` and `fit`.
    """

    start: str
    files: tuple[str, ...]
    run: dict[str, Any]
    out: str
    device: str = "cpu"
    threads: int = 0
    checkpoint_every: int = 200
    log_every: int = 10
    max_loss_ratio: float = 4.0
    loss_window: int = 50
    samples_every: int = 0
    shown: tuple[str, ...] = ()
    render_steps: int = 6
    parallel: str = "ddp"
    stage: str = "image"
    extra: dict[str, Any] = field(default_factory=dict)


def train_loop(job: FitJob, rank: int, world: int, report: Report, leaving: Callable[[], bool] = lambda: False) -> None:
    """Train to the end of the schedule, from the last checkpoint under `job.out`, where the checkpoints go.

    Args:
        rank, world: this worker's number, and how many there are; several need an initialised process group.
        report: called by every worker with the metrics at each checkpoint.
        leaving: asked by every worker now and then, at the same steps: whether one of them will lose its node soon (the
            same answer for all). At the first yes there is a checkpoint out of turn.
    Raises:
        LockHeld: another process trains in this folder.
        TrainingDiverged: see `tasks.training.divergence`; raised by all workers at the same step.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    checkpoints = Checkpoints(job.out)
    with contextlib.ExitStack() as stack:
        if rank == 0:
            stack.enter_context(FileLock(Path(job.out) / ".lock", LOCK_S))
        if world > 1:
            dist.barrier()  # nobody looks for the last checkpoint before all who might write one are gone
        run = ImageRun(**job.run)

        def build() -> ImageTraining:
            files = [Path(file) for file in job.files]
            return TRAININGS[job.stage](load_pipeline(job.start), files, run, job.device, rank)

        training, watch = build(), LossWatch(job.max_loss_ratio, job.loss_window)
        state = checkpoints.read(job.device)
        if state is not None:
            training.load_state_dict(state)
            watch.load_state_dict(state.get("watch", watch.state_dict()))
            del state  # a whole copy of everything
        if world > 1:
            share(training, job.parallel)
        note = stack.enter_context(curve_from(job.out, training.step)) if rank == 0 else lambda metrics: None
        noted, since = training.step, time.perf_counter()
        warned = False
        while training.step < run.steps:
            metrics = training.train_step()
            wrong, done = watch.see(metrics), training.step == run.steps
            if training.step % job.log_every == 0 or done or wrong:
                rate = (training.step - noted) / max(time.perf_counter() - since, 1e-9)
                note(metrics | {"steps_per_second": rate})
                noted, since = training.step, time.perf_counter()
            if wrong:
                good = checkpoints.back_to_good() if rank == 0 else None
                raise diverged(wrong, metrics, run.rate, job.out, good)
            keeps = done or training.step % job.checkpoint_every == 0
            if not warned and training.step % job.log_every == 0:
                warned = leaving()
                keeps = keeps or warned
            shows = bool(job.shown and job.samples_every) and (done or training.step % job.samples_every == 0)
            if keeps or shows:
                _keep_and_show(job, training, build, watch, rank, keeps, shows)
            if keeps:
                report(metrics)


def _keep_and_show(
    job: FitJob,
    training: ImageTraining,
    build: Callable[[], ImageTraining],
    watch: LossWatch,
    rank: int,
    keeps: bool,
    shows: bool,
) -> None:
    """Write a checkpoint, a picture, or both; on rank 0, but where the weights are in shards all must come together."""
    sharded = is_sharded(training)
    state = whole_state(training) if keeps or sharded else {}
    if rank != 0:
        return
    done = training.step == training.run.steps
    whole = whole_training(training, state, build) if shows or done else training
    if shows:
        write_samples(whole, [Path(file) for file in job.shown], job.out, job.render_steps)
    if keeps:
        everything = state | {"watch": watch.state_dict()}
        save = whole.save_pipeline if done else None
        Checkpoints(job.out).write(training.step, everything, save, good=watch.calm)
