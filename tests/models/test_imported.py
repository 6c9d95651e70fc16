"""A public base in our pipeline: what it renders stays what it was when our branches come beside it, saved or not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.autoencoder import build_autoencoder
from models.dub_pipeline import DubPipeline
from models.imported import build_imported
from models.latentsync import LATENTSYNC, LatentSyncCheckpoint, load_latentsync
from models.musetalk import MUSETALK, MuseTalkCheckpoint, load_musetalk
from models.pipeline import PARTS, add_parts, load_pipeline
from models.speech import frame_tokens
from tests.models.narrow_releases import (
    CONTEXT,
    DATA,
    THIN,
    context,
    narrow_latentsync,
    narrow_musetalk,
    narrow_vae,
    values,
)

SIZE, FRAMES = 64, 3
ROUNDING = 1e-3
"""Of whole calls: the autoencoder computes channels last, where torch's GroupNorm rounds at 1e-4. Another mask channel,
fill, norm or guidance, or no positions, put the latents more than 1 apart."""
BASES = ("latentsync", "musetalk")


def checkpoint(kind: str, folder: Path) -> LatentSyncCheckpoint | MuseTalkCheckpoint:
    if kind == "musetalk":
        torch.save(narrow_musetalk(THIN), folder / "unet.pth")
        return load_musetalk(folder / "unet.pth")
    torch.save(narrow_latentsync("full", THIN), folder / "latentsync_unet.pt")
    return load_latentsync(folder / "latentsync_unet.pt")


@pytest.fixture(scope="module", params=BASES)
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DubPipeline:
    base = checkpoint(request.param, tmp_path_factory.mktemp(request.param))
    built = build_imported(base, narrow_vae(), SIZE)
    built.compute_dtype = torch.float32
    return built


def given(frames: int = FRAMES, **changes: Any) -> dict[str, Any]:
    """Arguments of a call: noisy frames, their lower half to be repainted, each its own reference."""
    rng = np.random.default_rng(0)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[SIZE // 2 :] = 1
    crops = rng.integers(0, 255, (frames, SIZE, SIZE, 3), dtype=np.uint8)
    return {
        "frames": crops, "mask": mask, "reference": crops,
        "audio_tokens": rng.standard_normal((frames, 50, CONTEXT)).astype(np.float32),
        "initial_noise": torch.randn((4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(0)),
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def rendered(pipeline: DubPipeline) -> np.ndarray:
    return pipeline(**given(), num_inference_steps=2)


def latents_of(pipeline: DubPipeline, **call: Any) -> torch.Tensor:
    """The latents that a call decodes, [F,4,h,w]."""
    seen: list[torch.Tensor] = []
    hook = pipeline.vae.post_quant_conv.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    pipeline(**call)
    hook.remove()
    return torch.cat(seen) * pipeline.vae.config.scaling_factor


def test_a_whole_call_of_latentsync_gives_what_its_own_pipeline_gives(tmp_path: Path) -> None:
    built = build_imported(checkpoint("latentsync", tmp_path), narrow_vae(), SIZE)
    built.compute_dtype = torch.float32
    frames = np.random.RandomState(5).randint(0, 256, (16, SIZE, SIZE, 3)).astype(np.uint8)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[27:61, 5:58] = 1  # edges beside the grid of latents
    features = torch.from_numpy(values("features", (28, 5, CONTEXT)).astype(np.float32))
    noise = torch.from_numpy(values("noise", (4, SIZE // 8, SIZE // 8)).astype(np.float32))
    made = latents_of(
        built, frames=frames, mask=mask, reference=frames, audio_tokens=frame_tokens(features, np.arange(16) / 25),
        initial_noise=noise, num_inference_steps=4,
    )  # fmt: skip
    recorded = load_file(DATA / "latentsync.safetensors")["rendered_16"]
    assert recorded.std() > 1
    assert (made - recorded).abs().max() < ROUNDING


def test_a_whole_call_of_musetalk_gives_what_its_own_code_gives(tmp_path: Path) -> None:
    built = build_imported(checkpoint("musetalk", tmp_path), narrow_vae(), 128)
    built.compute_dtype = torch.float32
    frames = np.random.RandomState(6).randint(0, 256, (2, 128, 128, 3)).astype(np.uint8)
    lower = np.zeros((128, 128), np.float32)
    lower[64:] = 1
    made = latents_of(built, frames=frames, mask=lower, reference=frames, audio_tokens=context(2))
    assert (made - load_file(DATA / "musetalk.safetensors")["rendered"]).abs().max() < ROUNDING


def test_fresh_branches_change_nothing(pipeline: DubPipeline, rendered: np.ndarray) -> None:
    grown = add_parts(pipeline, PARTS)
    assert grown.emotion_control is not None and grown.identity_projection is not None
    assert grown.action_unit_encoder is not None and grown.mask_encoder is not None
    steered = grown(
        **given(), num_inference_steps=2, emotion="barely holding back tears", guidance_emotion=2.0,
        identity=np.eye(512, dtype=np.float32)[0], action_units=np.full((FRAMES, 20), 0.5, np.float32),
    )  # fmt: skip
    assert np.array_equal(steered, rendered)


def test_branches_that_learned_have_a_say(pipeline: DubPipeline, rendered: np.ndarray) -> None:
    grown = add_parts(pipeline, ("action_units",))
    torch.nn.init.normal_(grown.action_unit_encoder.reader.attention.to_out[0].weight, std=0.5)
    units = np.full((FRAMES, 20), 0.5, np.float32)
    assert not np.array_equal(grown(**given(), num_inference_steps=2, action_units=units), rendered)


def test_saved_and_loaded_it_renders_the_same(pipeline: DubPipeline, rendered: np.ndarray, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".json", ".safetensors"}
    loaded = load_pipeline(tmp_path)
    loaded.compute_dtype = torch.float32
    assert loaded.base == pipeline.base
    assert dict(loaded.config.base) == asdict(pipeline.base)
    assert loaded.settings == pipeline.settings
    for name, module in pipeline.components.items():
        if isinstance(module, torch.nn.Module):
            again = loaded.components[name].state_dict()
            assert all(torch.equal(again[key], value) for key, value in module.state_dict().items()), name
    # weights that lie elsewhere in memory may round otherwise
    assert np.abs(loaded(**given(), num_inference_steps=2).astype(int) - rendered).max() <= 1


def test_it_knows_how_its_project_calls_it(pipeline: DubPipeline) -> None:
    assert pipeline.base in (LATENTSYNC, MUSETALK)
    assert pipeline.base.alignment == pipeline.base.kind
    assert pipeline.config.crop_size == SIZE
    assert pipeline.scheduler.config.prediction_type == "epsilon"
    assert pipeline.scheduler.config.steps_offset == 1


def test_the_default_is_the_published_way(pipeline: DubPipeline, rendered: np.ndarray) -> None:
    counted: list[tuple[int, int]] = []
    pipeline(**given(2), callback=lambda done, total: counted.append((done, total)))
    steps = 1 if pipeline.base.direct else 20
    assert counted == [(done, steps) for done in range(1, steps + 1)]
    scale = 1.0 if pipeline.base.direct else 1.5
    assert np.array_equal(pipeline(**given(), num_inference_steps=2, guidance_audio=scale), rendered)


def test_a_direct_base_knows_neither_noise_nor_steps(pipeline: DubPipeline, rendered: np.ndarray) -> None:
    other = pipeline(**given(initial_noise=torch.zeros(4, SIZE // 8, SIZE // 8)), num_inference_steps=3)
    assert np.array_equal(other, rendered) is pipeline.base.direct


def test_the_sound_is_heard(pipeline: DubPipeline, rendered: np.ndarray) -> None:
    silent = pipeline(**given(audio_tokens=np.zeros((FRAMES, 50, CONTEXT), np.float32)), num_inference_steps=2)
    assert not np.array_equal(silent, rendered)


def test_frames_of_a_window_are_normalised_together(pipeline: DubPipeline, rendered: np.ndarray) -> None:
    everything = given()
    fewer = {name: everything[name][:2] for name in ("frames", "reference", "audio_tokens")}
    first = pipeline(**(everything | fewer), num_inference_steps=2)
    apart = np.abs(first[0].astype(int) - rendered[0]).max()
    assert apart > 1 if pipeline.base.norm_over_window else apart <= 1


def test_without_temporal_layers_latentsync_still_gets_windows(tmp_path: Path) -> None:
    torch.save(narrow_latentsync("plain", THIN), tmp_path / "plain.pt")
    built = build_imported(load_latentsync(tmp_path / "plain.pt"), narrow_vae(), SIZE)
    built.compute_dtype = torch.float32
    built.register_to_config(window=2, window_overlap=1)
    seen: list[int] = []
    hook = built.unet.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    built(**given(), num_inference_steps=1, guidance_audio=1.0, batch_size=1)
    hook.remove()
    assert seen == [2, 2]


def test_what_does_not_fit_is_refused(pipeline: DubPipeline, tmp_path: Path) -> None:
    base = checkpoint("musetalk", tmp_path)
    with pytest.raises(ValueError, match="no multiple of 8"):
        build_imported(base, narrow_vae(), 60)
    wide = build_autoencoder(
        "sd15", block_out_channels=(8,) * 4, layers_per_block=1, norm_num_groups=4, latent_channels=8
    )
    with pytest.raises(ValueError, match="8 latent channels"):
        build_imported(base, wide, SIZE)
