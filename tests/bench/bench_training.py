"""What Ray Train costs a training step, as a ratio to the same step in a bare loop. Run by `make bench`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch

from models.faces import PACKS
from models.landmarks106 import MEAN_SHAPE
from models.pipeline import load_pipeline
from models.speech import load_speech_encoder
from tasks.config import load_config
from tasks.training.curve import read_curve
from tasks.training.data import TrainingClip
from tasks.training.image import ImageRun, ImageTraining
from tasks.training.latents import LatentCache, cache_clips
from tasks.training.ray_workers import fit_with_ray
from tasks.training.train_loop import FitJob

CHAMPION = PACKS / "studio" / "champion"
STEPS, LOG_EVERY, BATCH, TURNS = 40, 5, 8, 3
WARM_UP = 2
"""Entries left out at the start, while Ray still starts helpers of its own."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    rng = np.random.default_rng(0)
    landmarks = np.repeat((MEAN_SHAPE * 40 + 64)[None].astype(np.float32), 32, axis=0)
    clip = TrainingClip(
        clip_id="noise", speaker="", split="train", frames=rng.integers(0, 256, (32, 128, 128, 3), dtype=np.uint8),
        labels=np.zeros((32, 128, 128), np.uint8), landmarks=landmarks, pts=np.arange(32) / 25,
        audio=rng.standard_normal(32000).astype(np.float32) * 0.1, identity=None,
        mouth_opening=np.zeros(32, np.float32), emotion="neutral", intensity=0,
    )  # fmt: skip
    cache = LatentCache(tmp_path_factory.mktemp("latents"), load_pipeline(CHAMPION).vae, load_speech_encoder("studio"))
    return cache_clips([clip], cache, mirror=False)


@pytest.fixture(scope="module", autouse=True)
def ray_stopped() -> Iterator[None]:
    """What training started is stopped with the last benchmark of this file."""
    import ray

    yield
    ray.shutdown()


def bare(files: list[Path], run: ImageRun) -> list[float]:
    """Steps per second of a loop that does nothing else, each over LOG_EVERY steps."""
    torch.set_num_threads(1)
    training = ImageTraining(load_pipeline(CHAMPION), files, run)
    rates = []
    for _ in range(run.steps // LOG_EVERY):
        began = time.perf_counter()
        for _ in range(LOG_EVERY):
            training.train_step()
        rates.append(LOG_EVERY / (time.perf_counter() - began))
    return rates[WARM_UP:]


def by_ray(files: list[Path], run: ImageRun, out: Path) -> list[float]:
    """The same of a worker of Ray Train with all that a training does besides: curve, dvclive, watch over the loss."""
    job = FitJob(
        start=str(CHAMPION), files=tuple(map(str, files)), run=vars(run), out=str(out), threads=1,
        checkpoint_every=run.steps, log_every=LOG_EVERY,
    )  # fmt: skip
    fit_with_ray(job, 1, load_config(root=out))
    return [entry["steps_per_second"] for entry in read_curve(out)][WARM_UP:]


def test_ray_train_against_a_bare_loop(files: list[Path], tmp_path: Path) -> None:
    run = ImageRun(steps=STEPS, batch_size=BATCH)
    loops, workers = bare(files, run), []
    for turn in range(TURNS):  # in turns, so that what else the machine does falls on both
        workers += by_ray(files, run, tmp_path / str(turn))
        loops += bare(files, run)
    ratio = median(workers) / median(loops)
    print(  # noqa: T201
        f"\nRay Train against a bare loop: {ratio:.3f} of its step rate (at least 0.95); "
        f"{median(workers):.2f} and {median(loops):.2f} steps/s"
    )
    assert ratio >= 0.95
