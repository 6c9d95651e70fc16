"""Two workers with the narrow sd15 model, its weights in shards (FSDP2): the run of one process, resumed exactly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.autoencoder import build_autoencoder
from models.pipeline import build_pipeline, load_pipeline
from models.speech import load_speech_encoder
from tasks.training.checkpoints import Checkpoints
from tasks.training.curve import read_curve
from tasks.training.data import decode_clip
from tasks.training.image import ImageRun
from tasks.training.latents import LatentCache, cache_clips
from tasks.training.train_loop import FitJob, train_loop
from tests.conftest import PROJECT
from tests.tasks.training.conftest import SIZE

STEPS = 6


@pytest.fixture(scope="module")
def job(tiny_models: dict[str, Path], rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> FitJob:
    """A run of the sd15 profile with narrow blocks and the branches of single frames: batch 4, a checkpoint every
    second step.
    """
    folder = tmp_path_factory.mktemp("sd15")
    torch.manual_seed(0)
    pipeline = build_pipeline(
        "sd15", vae=build_autoencoder("sd15", block_out_channels=(8, 8, 16, 16), norm_num_groups=8), crop_size=SIZE,
        audio_dim=16, unet={
            "block_out_channels": (16, 32, 32, 32), "cross_attention_dim": 16, "attention_head_dim": 2,
            "norm_num_groups": 8, "sample_size": SIZE // 8,
        }, parts=("emotion", "action_units", "fusion"),
    )  # fmt: skip
    pipeline.save_pretrained(str(folder / "start"))
    cache = LatentCache(folder / "latents", pipeline.vae, load_speech_encoder(str(tiny_models["speech"])))
    files = cache_clips(map(decode_clip, rows), cache, mirror=False)
    return FitJob(
        start=str(folder / "start"), files=tuple(map(str, files)), out=str(folder / "one"), threads=1,
        run=asdict(ImageRun(steps=STEPS, batch_size=4, rate=1e-3, warmup=1, precision="fp32")),
        checkpoint_every=2, log_every=1, samples_every=STEPS, shown=(str(files[0]),), render_steps=2,
    )  # fmt: skip


def by_two(job: FitJob, out: Path) -> Path:
    shared = replace(job, out=str(out), run=job.run | {"batch_size": 2}, parallel="fsdp")
    subprocess.run(
        [sys.executable, "-m", "tests.tasks.training.run_shared", json.dumps(asdict(shared))],
        cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=280,
    )  # fmt: skip
    return out


def losses(out: Path) -> np.ndarray:
    return np.array([(entry["step"], entry["loss"], entry["grad_norm"]) for entry in read_curve(out)])


@pytest.fixture(scope="module")
def one(job: FitJob) -> Path:
    """The folder of the run in one process."""
    train_loop(job, 0, 1, lambda metrics: None)
    return Path(job.out)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shards_of_two_workers_give_the_run_of_one(job: FitJob, one: Path, tmp_path: Path) -> None:
    shards = by_two(job, tmp_path / "shards")
    assert losses(shards) == pytest.approx(losses(one), abs=1e-4)
    alone, together = (Checkpoints(out).read() for out in (one, shards))
    assert alone is not None and together is not None
    for name, value in alone["denoiser"].items():
        assert torch.allclose(value, together["denoiser"][name], atol=1e-4), name
    final = "pipeline/unet/diffusion_pytorch_model.safetensors"
    found, expected = (load_file(Checkpoints(out).all()[-1] / final) for out in (shards, one))
    assert all(torch.allclose(found[name], expected[name], atol=2e-3) for name in expected)
    assert load_pipeline(Checkpoints(shards).all()[-1] / "pipeline").config.crop_size == SIZE
    assert [path.name for path in (shards / "samples").iterdir()] == ["step-00000006.jpg"]

    shutil.rmtree(Checkpoints(shards).all()[-1])  # as if it had been killed after step 4
    changed_hands = shutil.copytree(shards, tmp_path / "changed hands")
    whole = losses(shards)
    assert np.abs(losses(by_two(job, shards)) - whole).max() <= 1e-6
    train_loop(replace(job, out=str(changed_hands)), 0, 1, lambda metrics: None)
    assert np.abs(losses(changed_hands) - whole).max() <= 1e-4
