"""The denoising step: it learns, it repeats itself exactly, it resumes exactly."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.emotion import load_face_emotion
from models.emotion_control import EmotionSpace
from models.pipeline import DubPipeline, add_parts, build_scheduler, load_pipeline
from models.text import load_text
from tasks.training.image import ImageRun, ImageTraining, draw

RUN = ImageRun(steps=40, batch_size=4, rate=2e-3, warmup=2, precision="fp32", ema_decay=0.9)


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


def test_two_workers_with_half_a_batch_take_the_steps_of_one(tiny_models: dict[str, Path], files: list[Path]) -> None:
    """Gradients averaged over the workers, as DDP does, are those of the whole batch."""
    whole, *halves = (
        ImageTraining(load_pipeline(tiny_models["pipeline"]), files, replace(RUN, batch_size=count), rank=rank)
        for count, rank in ((4, 0), (2, 0), (2, 1))
    )
    batch, draws, _ = whole.batch()
    parts = [half.batch() for half in halves]
    assert torch.equal(torch.cat([part.latents for part, _, _ in parts]), batch.latents)
    assert torch.equal(torch.cat([drawn.noise for _, drawn, _ in parts]), draws.noise)
    losses = [float(each.losses(*each.batch())[0].detach()) for each in (whole, *halves)]
    assert (losses[1] + losses[2]) / 2 == pytest.approx(losses[0], abs=1e-6)


@pytest.fixture(scope="module")
def full(tiny_models: dict[str, Path]) -> DubPipeline:
    """The tiny pipeline with untrained branches for emotion, action units and fusion."""
    recogniser = load_face_emotion()
    space = EmotionSpace(load_text("studio").width, image_dim=512 + recogniser.config.width)
    return add_parts(
        load_pipeline(tiny_models["pipeline"]), ("emotion", "action_units", "fusion", "temporal"),
        emotion_space=space, face_emotion=recogniser, control_share=0.5,
    )  # fmt: skip


def test_fresh_branches_change_neither_loss_nor_prediction(
    tiny_models: dict[str, Path], files: list[Path], full: DubPipeline
) -> None:
    """Zero start: with everything added, the first loss is that of the base."""
    base, more = (ImageTraining(copy.deepcopy(pipeline), files, RUN) for pipeline in (
        load_pipeline(tiny_models["pipeline"]), full))  # fmt: skip
    first, second = (state.losses(*state.batch())[0].detach() for state in (base, more))
    assert torch.equal(first, second)


def test_every_branch_learns_and_the_aligned_space_stays(files: list[Path], full: DubPipeline) -> None:
    changes = {"emotion_weight": 0.1, "drop_emotion": 0.0, "drop_action_units": 0.0, "noise_bias": 4.0}
    state = ImageTraining(copy.deepcopy(full), files, replace(RUN, **changes))
    before = {name: value.clone() for name, value in state.denoiser.state_dict().items()}
    metrics = [state.train_step() for _ in range(3)]
    after = state.denoiser.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    fixed = ("emotion_space.text", "emotion_space.image", "emotion_space.log_scale")
    assert not any(name.startswith(fixed) for name in moved)
    for part in ("unet", "emotion_space.mix", "emotion_control.controlnet", "emotion_control.widen", "level_fusion",
                 "action_unit_encoder", "identity_projection"):  # fmt: skip
        assert any(name.startswith(part) for name in moved), part
    assert not any(name.startswith("motion_adapter") for name in moved), "single frames have no neighbours"
    assert any(entry["emotion"] > 0 for entry in metrics)
    assert all(entry["denoising"] <= entry["loss"] for entry in metrics)


def test_windows_are_frames_that_follow_each_other(files: list[Path], full: DubPipeline) -> None:
    state = ImageTraining(copy.deepcopy(full), files, replace(RUN, batch_size=2, window=6))
    batch, draws, texts = state.batch()
    assert len(batch.latents) == len(draws.timesteps) == len(texts) == 12
    for start in (0, 6):
        window = slice(start, start + 6)
        assert draws.timesteps[window].unique().numel() == 1
        assert batch.clip[window].unique().numel() == 1
        assert torch.equal(draws.noise[start], draws.noise[start + 5])
        assert batch.latents[window].std(0).max() > 0, "they are not one frame"
    state.train_step()
    state.train_step()
    grown = [value.abs().max() for name, value in state.denoiser.named_parameters()
             if name.startswith("motion_adapter") and name.endswith("proj_out.weight")]  # fmt: skip
    assert min(grown) > 0


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


def test_identity_is_used_only_where_the_clip_has_one(
    tiny_models: dict[str, Path], files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = training(tiny_models, files, drop=0.0)
    torch.nn.init.normal_(state.denoiser.identity_projection.attention.to_out[0].weight)
    batch, draws, texts = state.batch()
    batch.has_identity.zero_()
    monkeypatch.setattr(state, "batch", lambda: (batch, draws, texts))
    state.train_step()
    assert float(state.optimizer.state[state.denoiser.identity_projection.tokens.weight]["exp_avg"].abs().sum()) == 0


def test_timesteps_lean_towards_noise_and_reach_the_end() -> None:
    draws = draw([np.random.default_rng(n) for n in range(4000)], (1,), 1000, ImageRun())
    steps = draws.timesteps
    assert 0.90 < draws.keep[:2].mean() < 0.94, "sound and identity"
    assert draws.keep[2:].mean(1).tolist() == pytest.approx([0.85, 0.3], abs=0.03)
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
