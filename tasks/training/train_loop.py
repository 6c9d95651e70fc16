"""The loop that every worker of a diffusion stage runs, in this process or in Ray's: steps, checkpoints, the curve."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.pipeline import load_pipeline
from storage.atomic import written_aside
from tasks.training.image import ImageRun, ImageTraining

Report = Callable[[dict[str, float], Path | None], None]


@dataclass(frozen=True)
class FitJob:
    """What a worker needs to know; plain values only, so that it travels."""

    start: str
    files: tuple[str, ...]
    run: dict[str, Any]
    out: str
    device: str = "cpu"
    threads: int = 0
    checkpoint_every: int = 200
    log_every: int = 10
    extra: dict[str, Any] = field(default_factory=dict)


def train_loop(job: FitJob, rank: int, world: int, resume: Path | None, report: Report) -> None:
    """Train to the end of the schedule; the same code in this process and in a Ray worker.

    Args:
        resume: folder of a checkpoint to go on from.
        report: called by every worker with the metrics and, on rank 0, the folder of a new checkpoint (else None).
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    run = ImageRun(**job.run)
    pipeline = load_pipeline(job.start)
    training = ImageTraining(pipeline, [Path(file) for file in job.files], run, job.device, rank)
    if resume is not None:
        state = torch.load(resume / "state.pt", map_location=job.device, weights_only=True)
        training.load_state_dict(state)
    if world > 1:
        from ray.train.torch import prepare_model

        # a batch may drop a condition in every sample, and then its branch gets no gradient
        training.network = prepare_model(training.denoiser, parallel_strategy_kwargs={"find_unused_parameters": True})
    with _curve(job, training.step) if rank == 0 else contextlib.nullcontext(lambda metrics: None) as note:
        noted, since = training.step, time.perf_counter()
        while training.step < run.steps:
            metrics = training.train_step()
            done = training.step == run.steps
            if training.step % job.log_every == 0 or done:
                rate = (training.step - noted) / max(time.perf_counter() - since, 1e-9)
                note(metrics | {"steps_per_second": rate})
                noted, since = training.step, time.perf_counter()
            if training.step % job.checkpoint_every == 0 or done:
                with _checkpoint(training, rank, done) as saved:
                    report(metrics, saved)


@contextlib.contextmanager
def _checkpoint(training: ImageTraining, rank: int, done: bool) -> Iterator[Path | None]:
    """A folder with the state (and, at the end, the pipeline) on rank 0; None elsewhere."""
    if rank != 0:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dubwright-checkpoint-") as aside:
        torch.save(training.state_dict(), Path(aside) / "state.pt")
        if done:
            training.save_pipeline(Path(aside) / "pipeline")
        yield Path(aside)


@contextlib.contextmanager
def _curve(job: FitJob, step: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """Writes metrics to dvclive's folder and to curve.jsonl, which is first cut back to the step resumed from."""
    from dvclive import Live  # takes two seconds to import

    path = Path(job.out) / "curve.jsonl"
    kept = [entry for entry in read_curve(Path(job.out)) if entry["step"] <= step]
    with written_aside(path) as partial:
        partial.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    folder = str(Path(job.out) / "dvclive")
    with (
        Live(folder, save_dvc_exp=False, dvcyaml=None, report=None, resume=bool(kept)) as live,
        path.open("a") as lines,
    ):

        def note(metrics: dict[str, float]) -> None:
            lines.write(json.dumps(metrics) + "\n")
            lines.flush()
            for name, value in metrics.items():
                if name != "step":
                    live.log_metric(name, value)
            live.step = int(metrics["step"])
            live.make_summary()

        yield note


def read_curve(out: Path) -> list[dict[str, float]]:
    """The metrics noted so far, in order of steps; a torn last line is left out."""
    path, entries = Path(out) / "curve.jsonl", []
    if path.is_file():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
    return entries
