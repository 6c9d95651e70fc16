"""The denoising step: it learns, it repeats itself exactly, it resumes exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.pipeline import build_scheduler, load_pipeline
from models.speech import load_speech_encoder
from tasks.training.data import decode_clip
from tasks.training.image import ImageRun, ImageTraining, denoising_loss, draw
from tasks.training.latents import LatentCache, cache_clips

RUN = ImageRun(steps=40, batch_size=4, rate=2e-3, warmup=2, precision="fp32", ema_decay=0.9)


@pytest.fixture(scope="module")
def files(
    tiny_models: dict[str, Path], rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    vae, speech = load_pipeline(tiny_models["pipeline"]).vae, load_speech_encoder(tiny_models["speech"])
    vae.register_to_config(scaling_factor=20.0)
    cache = LatentCache(tmp_path_factory.mktemp("latents"), vae, speech)
    return cache_clips((decode_clip(row) for row in rows[:3]), cache, mirror=False)


def training(tiny_models: dict[str, Path], files: list[Path], **changes: Any) -> ImageTraining:
    run = ImageRun(**(vars(RUN) | changes))
    return ImageTraining(load_pipeline(tiny_models["pipeline"]), files, run)


def test_it_learns(tiny_models: dict[str, Path], files: list[Path]) -> None:
    state = training(tiny_models, files)
    losses = [state.train_step()["loss"] for _ in range(40)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    tiny_models: dict[str, Path], files: list[Path]
) -> None:
    first, second, other = (training(tiny_models, files, seed=seed) for seed in (0, 0, 1))
    expected = [first.train_step()["loss"] for _ in range(3)]
    assert [second.train_step()["loss"] for _ in range(3)] == expected
    assert other.train_step()["loss"] != expected[0]


def test_a_resumed_run_goes_on_exactly(tiny_models: dict[str, Path], files: list[Path], tmp_path: Path) -> None:
    straight = training(tiny_models, files)
    expected = [straight.train_step() for _ in range(5)]
    stopped = training(tiny_models, files)
    for _ in range(2):
        stopped.train_step()
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    resumed = training(tiny_models, files)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_step() for _ in range(3)] == expected[2:]
    for kept, wanted in zip(resumed.ema.shadow_params, straight.ema.shadow_params, strict=True):
        assert torch.equal(kept, wanted)


def test_two_workers_with_half_a_batch_take_the_steps_of_one(
    tiny_models: dict[str, Path], files: list[Path]
) -> None:
    """Gradients averaged over the workers, as DDP does, are those of the whole batch."""
    whole, *halves = (
        ImageTraining(load_pipeline(tiny_models["pipeline"]), files, replace(RUN, batch_size=count), rank=rank)
        for count, rank in ((4, 0), (2, 0), (2, 1))
    )
    batch, draws = whole.batch()
    parts = [half.batch() for half in halves]
    assert torch.equal(torch.cat([part.latents for part, _ in parts]), batch.latents)
    assert torch.equal(torch.cat([drawn.noise for _, drawn in parts]), draws.noise)
    losses = []
    for each in (whole, *halves):
        seen, drawn = each.batch()
        scheduler = each.pipeline.scheduler
        loss = denoising_loss(each.network, scheduler, seen, each._mask, each.run, drawn, torch.float32)
        losses.append(float(loss.detach()))
    assert (losses[1] + losses[2]) / 2 == pytest.approx(losses[0], abs=1e-6)


def test_workers_draw_different_samples(tiny_models: dict[str, Path], files: list[Path]) -> None:
    pipeline = load_pipeline(tiny_models["pipeline"])
    batches = [ImageTraining(pipeline, files, RUN, rank=rank).batch()[0] for rank in (0, 1)]
    assert not torch.equal(batches[0].latents, batches[1].latents)


def test_the_saved_pipeline_has_the_averaged_weights(
    tiny_models: dict[str, Path], files: list[Path], tmp_path: Path
) -> None:
    state = training(tiny_models, files)
    for _ in range(3):
        state.train_step()
    before = {name: value.clone() for name, value in state.denoiser.state_dict().items()}
    vae = {name: value.clone() for name, value in state.pipeline.vae.state_dict().items()}
    state.save_pipeline(tmp_path)
    for name, value in state.denoiser.state_dict().items():
        assert torch.equal(value, before[name]), "the run goes on with its own weights"
    assert all(torch.equal(value, vae[name]) for name, value in state.pipeline.vae.state_dict().items())
    saved = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    names = [name for name, _ in state.denoiser.named_parameters()]
    averaged = dict(zip(names, state.ema.shadow_params, strict=True))
    for name, value in saved.items():
        assert value.dtype == torch.float16
        assert torch.allclose(value.float(), averaged[f"unet.{name}"], atol=2e-3)
    assert load_pipeline(tmp_path).config.crop_size == 64


def test_identity_is_used_only_where_the_clip_has_one(tiny_models: dict[str, Path], files: list[Path]) -> None:
    state = training(tiny_models, files, drop=0.0)
    torch.nn.init.normal_(state.denoiser.identity_projection.attention.to_out[0].weight)
    batch, draws = state.batch()
    batch.has_identity.zero_()
    state.batch = lambda: (batch, draws)  # type: ignore[method-assign]
    state.train_step()
    assert float(state.optimizer.state[state.denoiser.identity_projection.tokens.weight]["exp_avg"].abs().sum()) == 0


def test_timesteps_lean_towards_noise_and_reach_the_end() -> None:
    draws = draw([np.random.default_rng(n) for n in range(4000)], (1,), 1000, ImageRun())
    steps = draws.timesteps
    assert 0.90 < draws.keep.mean() < 0.94
    assert steps.min() >= 0
    assert steps.max() == 999
    assert 0.06 < (steps == 999).float().mean() < 0.11
    assert steps.float().mean() > 550


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_type_can_be_trained(kind: str, tiny_models: dict[str, Path], files: list[Path]) -> None:
    pipeline = load_pipeline(tiny_models["pipeline"])
    rescale = kind == "v_prediction"
    pipeline.scheduler = build_scheduler("studio", prediction_type=kind, rescale_betas_zero_snr=rescale)
    assert np.isfinite(ImageTraining(pipeline, files, RUN).train_step()["loss"])


def test_the_rate_rises_and_falls() -> None:
    rates = [RUN.learning_rate(step) for step in range(41)]
    assert rates[0] < rates[2] == max(rates)
    assert rates[40] == pytest.approx(RUN.rate * RUN.final_rate)


def test_without_latents_there_is_nothing_to_train_on(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="no latents"):
        training(tiny_models, [])
