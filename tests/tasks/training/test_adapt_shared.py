"""Two workers adapt an imported base: in copies and in shards the run of one process, resumed exactly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.imported import build_imported
from models.latentsync import load_latentsync
from models.pipeline import DubPipeline
from models.speech import load_speech_encoder
from tasks.training.checkpoints import Checkpoints
from tasks.training.data import decode_clip
from tasks.training.denoiser_stages import ready_for
from tasks.training.image import ImageRun
from tasks.training.latents import LatentCache, cache_clips
from tasks.training.train_loop import FitJob, train_loop
from tests.conftest import PROJECT
from tests.models.narrow_releases import narrow_vae
from tests.tasks.public_bases import SIZE, write_base, write_whisper
from tests.tasks.training.test_sharing import losses

STEPS, WINDOW = 4, 4


@pytest.fixture(scope="module")
def job(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> FitJob:
    """A run on windows of LatentSync's narrow base, temporal layers and all; activations are computed anew."""
    folder = tmp_path_factory.mktemp("adapt")
    torch.manual_seed(0)
    pipeline = build_imported(load_latentsync(write_base("latentsync", folder)), narrow_vae(), SIZE)
    pipeline = DubPipeline(**pipeline.components, **(pipeline.settings | {"window": WINDOW, "window_overlap": 1}))
    pipeline = ready_for("adapt", pipeline, ("identity", "action_units"))
    pipeline.save_pretrained(str(folder / "start"))
    speech = load_speech_encoder(write_whisper(folder))
    cache = LatentCache(folder / "latents", pipeline.vae, speech, base=pipeline.base, size=SIZE)
    files = cache_clips(map(decode_clip, rows[:2]), cache, mirror=False)
    run = ImageRun(
        steps=STEPS, batch_size=2, window=WINDOW, rate=2e-4, warmup=1, precision="fp32", whole_face=0.0, lora_rank=2,
        recompute=True,
    )  # fmt: skip
    return FitJob(
        start=str(folder / "start"), files=tuple(map(str, files)), out=str(folder / "one"), threads=1,
        run=asdict(run), checkpoint_every=2, log_every=1, stage="adapt",
    )  # fmt: skip


@pytest.fixture(scope="module")
def one(job: FitJob) -> Path:
    """The folder of the run in one process."""
    train_loop(job, 0, 1, lambda metrics: None)
    return Path(job.out)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_workers_give_the_run_of_one(parallel: str, job: FitJob, one: Path, tmp_path: Path) -> None:
    def by_two() -> Path:
        shared = replace(job, out=str(tmp_path / "two"), run=job.run | {"batch_size": 1}, parallel=parallel)
        subprocess.run(
            [sys.executable, "-m", "tests.tasks.training.run_shared", json.dumps(asdict(shared))],
            cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=280,
        )  # fmt: skip
        return tmp_path / "two"

    two = by_two()
    (_, loss, norm), (_, loss_alone, norm_alone) = losses(two).T, losses(one).T
    assert loss == pytest.approx(loss_alone, abs=1e-4)
    assert norm == pytest.approx(norm_alone, rel=5e-3)
    alone, together = (Checkpoints(out).read() for out in (one, two))
    assert alone is not None and together is not None
    assert set(alone["denoiser"]) == set(together["denoiser"])
    assert not any(name.startswith("motion_adapter.") for name in alone["denoiser"])
    # Adam divides by the gradient's size: where that is next to nothing, how sums are rounded decides its sign
    apart = [(value - together["denoiser"][name]).abs().flatten() for name, value in alone["denoiser"].items()]
    assert (torch.cat(apart) > 2e-4).float().mean() < 0.01
    final = "pipeline/unet/diffusion_pytorch_model.safetensors"
    found, expected = (load_file(Checkpoints(out).all()[-1] / final) for out in (two, one))
    assert set(found) == set(expected)
    assert all(torch.allclose(found[name], expected[name], atol=2e-3) for name in expected)

    whole = losses(two)
    shutil.rmtree(Checkpoints(two).all()[-1])  # as if it had been killed after step 2
    assert losses(by_two()) == pytest.approx(whole, abs=1e-6)
