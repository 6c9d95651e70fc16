"""The pipeline: what it promises about its output, before any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.pipeline import DubPipeline, build_pipeline, build_scheduler, compose, load_pipeline, match_surround

SIZE, TOKENS = 32, (10, 24)


@pytest.fixture(scope="module")
def pipeline() -> DubPipeline:
    torch.manual_seed(0)
    tiny = {
        "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
        "projection_class_embeddings_input_dim": 16,
    }  # fmt: skip
    built = build_pipeline("studio", crop_size=SIZE, identity_dim=8, audio_dim=TOKENS[1], unet=tiny)
    torch.nn.init.normal_(built.identity_projection.attention.to_out[0].weight, std=0.5)
    built.compute_dtype = torch.float32
    return built


@pytest.fixture(scope="module")
def window() -> dict:
    rng = np.random.default_rng(0)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[16:30, 4:28] = 1
    return {
        "frames": rng.integers(0, 255, (5, SIZE, SIZE, 3), dtype=np.uint8),
        "mask": mask,
        "reference": rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8),
        "audio_tokens": rng.standard_normal((5, *TOKENS)).astype(np.float32),
        "identity": np.eye(8, dtype=np.float32)[0],
        "num_inference_steps": 2,
    }


def noise(pipeline: DubPipeline) -> torch.Tensor:
    return pipeline.sample_noise(torch.Generator().manual_seed(0))


def test_outside_the_mask_nothing_changes(pipeline: DubPipeline, window: dict) -> None:
    out = pipeline(**window, initial_noise=noise(pipeline))
    outside = window["mask"] == 0
    assert out.shape == window["frames"].shape
    assert out.dtype == np.uint8
    assert np.array_equal(out[:, outside], window["frames"][:, outside])
    assert not np.array_equal(out[:, ~outside], window["frames"][:, ~outside])


@pytest.mark.parametrize("left_out", ["audio_tokens", "identity"])
def test_each_condition_matters_and_can_be_left_out(pipeline: DubPipeline, window: dict, left_out: str) -> None:
    whole = pipeline(**window, initial_noise=noise(pipeline))
    without = pipeline(**(window | {left_out: None}), initial_noise=noise(pipeline))
    assert without.shape == whole.shape
    assert not np.array_equal(without, whole)


@pytest.mark.parametrize("scale", ["guidance_audio", "guidance_identity"])
def test_guidance_of_zero_takes_a_condition_out(pipeline: DubPipeline, window: dict, scale: str) -> None:
    # For one condition alone, scale 0 is the prediction without it.
    alone = window | {"identity" if scale == "guidance_audio" else "audio_tokens": None, "guidance_audio": 1.0}
    named = "audio_tokens" if scale == "guidance_audio" else "identity"
    zero = pipeline(**(alone | {scale: 0.0}), initial_noise=noise(pipeline))
    without = pipeline(**(alone | {named: None}), initial_noise=noise(pipeline))
    assert np.abs(zero.astype(int) - without).max() <= 1


def test_a_frame_does_not_depend_on_the_frames_beside_it(pipeline: DubPipeline, window: dict) -> None:
    whole = pipeline(**window, initial_noise=noise(pipeline), batch_size=5)
    parts = pipeline(**window, initial_noise=noise(pipeline), batch_size=2)
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_progress_counts_to_the_end(pipeline: DubPipeline, window: dict) -> None:
    seen: list[tuple[int, int]] = []
    pipeline(**window, batch_size=2, callback=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]


def test_saved_and_loaded_it_renders_the_same(pipeline: DubPipeline, window: dict, tmp_path: Path) -> None:
    pipeline.save_pretrained(str(tmp_path))
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.rglob("*.pt"))
    loaded = load_pipeline(tmp_path)
    loaded.compute_dtype = torch.float32
    expected = pipeline(**window, initial_noise=noise(pipeline))
    assert np.array_equal(loaded(**window, initial_noise=noise(pipeline)), expected)
    assert loaded.config.crop_size == SIZE


def test_a_pipeline_without_optional_parts_runs(pipeline: DubPipeline, window: dict) -> None:
    bare = DubPipeline(pipeline.vae, pipeline.unet, pipeline.scheduler, crop_size=SIZE)
    out = bare(**(window | {"audio_tokens": None}), initial_noise=noise(pipeline))
    assert out.shape == window["frames"].shape


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", np.zeros((5, 16, 16, 3), np.uint8)),
        ("frames", np.zeros((5, SIZE, SIZE, 3), np.float32)),
        ("reference", np.zeros((3, SIZE, SIZE, 3), np.uint8)),
        ("audio_tokens", np.zeros((4, *TOKENS), np.float32)),
        ("mask", np.zeros((2, SIZE, SIZE), np.float32)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(pipeline: DubPipeline, window: dict, name: str, value: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"."):
        pipeline(**(window | {name: value}))


def test_loading_a_folder_without_a_pipeline_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model_index\.json"):
        load_pipeline(tmp_path)


def test_compose_blends_only_the_rim() -> None:
    frames, generated = np.full((1, 2, 2, 3), 10, np.uint8), np.full((1, 2, 2, 3), 20, np.uint8)
    mask = np.array([[0, 1], [0.5, 0]], np.float32)
    assert compose(frames, generated, mask)[0, ..., 0].tolist() == [[10, 20], [15, 10]]


def test_the_studio_schedule_ends_in_pure_noise() -> None:
    scheduler = build_scheduler("studio")
    scheduler.set_timesteps(8)
    assert scheduler.alphas_cumprod[-1] < 1e-6
    assert scheduler.timesteps[0] == 999


def test_a_broad_colour_error_is_taken_out_and_shapes_stay() -> None:
    images = torch.zeros(1, 3, 64, 64)
    images[:, 0] = torch.linspace(-0.5, 0.5, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 30:60, 8:56] = 1
    truth = images.clone()
    truth[..., 44:48, 28:36] += 0.4
    generated = truth + torch.tensor([0.2, -0.1, 0.05]).reshape(1, 3, 1, 1)
    matched = match_surround(images, generated, mask)
    assert float((matched - truth).abs().max()) < 1e-4
    tilted = truth + torch.linspace(-0.2, 0.2, 64)
    assert float((match_surround(images, tilted, mask) - truth).abs().mean()) < 0.02
