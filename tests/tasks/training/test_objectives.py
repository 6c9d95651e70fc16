"""The losses of the diffusion stages: what they judge, and what weighs more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.pipeline import build_scheduler, load_pipeline
from tasks.training.batches import LatentBatch, LatentFiles
from tasks.training.image import ImageRun, draw
from tasks.training.objectives import decoded, denoising_loss, region_of
from tasks.training.schedule import Draws

RUN = ImageRun(lip_weight=4.0, eye_weight=2.0)
COUNT = 3


@pytest.fixture
def exchanged(files: list[Path]) -> LatentBatch:
    """Whole faces in other people's surroundings."""
    rngs = [np.random.default_rng(n) for n in range(COUNT)]
    return LatentFiles(files, size=64, whole_face=1.0, exchange=1.0).draw(rngs)


@pytest.fixture
def draws() -> Draws:
    return draw([np.random.default_rng(n) for n in range(COUNT)], (4, 8, 8), 1000, RUN)


def loss(error: Tensor, batch: LatentBatch, draws: Draws, run: ImageRun = RUN) -> float:
    """The loss of a prediction that is off by `error` [B,4,h,w]."""
    scheduler = build_scheduler("studio")
    right = scheduler.get_velocity(batch.latents, draws.noise, draws.timesteps)
    return float(denoising_loss(right + error, scheduler, batch, draws, run))


def at(row: int, column: int) -> Tensor:
    error = torch.zeros(COUNT, 4, 8, 8)
    error[..., row, column] = 1
    return error


def test_what_is_not_its_own_is_not_judged(exchanged: LatentBatch, draws: Draws) -> None:
    beyond = (exchanged.own == 0).expand(-1, 4, -1, -1).float()
    assert 0.2 < beyond.mean() < 0.8
    assert (region_of(exchanged) * beyond).any(), "some of it is repainted"
    assert loss(torch.zeros_like(beyond), exchanged, draws) == 0
    assert loss(5 * beyond, exchanged, draws) == 0
    assert loss(0.1 * (1 - beyond), exchanged, draws) > 0
    exchanged.own = torch.ones_like(exchanged.own)
    assert loss(5 * beyond, exchanged, draws) > 0


def test_eyes_weigh_more_where_they_are_repainted(exchanged: LatentBatch, draws: Draws) -> None:
    exchanged.own = torch.ones_like(exchanged.own)
    exchanged.lips = torch.zeros_like(exchanged.lips)
    eye, chin = at(2, 2), at(6, 3)
    assert float(exchanged.eyes[0, 0, 2, 2]) == 1 and float(exchanged.eyes[0, 0, 6, 3]) == 0
    assert loss(eye, exchanged, draws) == pytest.approx(
        loss(chin, exchanged, draws) * (1 + RUN.eye_weight + RUN.outside) / (1 + RUN.outside)
    )
    plain = replace(RUN, eye_weight=0.0)
    assert loss(eye, exchanged, draws, plain) == pytest.approx(loss(chin, exchanged, draws, plain))


def test_eyes_of_a_dubbed_face_weigh_no_more_than_all_that_is_pasted_over(files: list[Path], draws: Draws) -> None:
    dubbed = LatentFiles(files, size=64).draw([np.random.default_rng(n) for n in range(COUNT)])
    assert loss(at(2, 2), dubbed, draws) == pytest.approx(loss(at(0, 0), dubbed, draws))


def test_a_decoded_face_in_other_surroundings_has_its_own_back(
    exchanged: LatentBatch, tiny_models: dict[str, Path]
) -> None:
    """What is judged as a picture shows no seam to what nobody asked for."""
    vae, rows = load_pipeline(tiny_models["pipeline"]).vae, torch.tensor([0, 2])
    made = exchanged.latents + 3 * (exchanged.own == 0).float()
    with torch.no_grad():
        own, seen, other = (
            decoded(vae, clean, exchanged, rows) for clean in (exchanged.latents, made, exchanged.latents + 3)
        )
    assert seen.shape == (2, 3, 64, 64)
    assert torch.equal(seen, own)
    assert not torch.equal(other, own)
