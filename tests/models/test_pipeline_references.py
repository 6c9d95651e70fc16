"""What rendering is spared: repeated references, and weights that lie otherwise than the processor wants them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.autoencoder import build_autoencoder, channels_last, decode, encode
from models.dub_pipeline import DubPipeline
from models.emotion import FaceEmotion
from models.emotion_control import EmotionSpace
from models.pipeline import add_parts, build_pipeline
from models.shot import distinct

SIZE, FRAMES = 32, 6
VAE = {"block_out_channels": (8, 8, 16, 16), "norm_num_groups": 8, "sample_size": SIZE}
UNET = {
    "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
    "projection_class_embeddings_input_dim": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> DubPipeline:
    """One that follows what its reference shows, in latents and in feeling."""
    torch.manual_seed(0)
    bare = build_pipeline("studio", build_autoencoder("studio", **VAE), SIZE, 8, audio_dim=24, unet=UNET)
    recogniser = FaceEmotion().eval()
    space = EmotionSpace(128, 8 + recogniser.config.width)
    built = add_parts(bare, ["emotion"], emotion_space=space, face_emotion=recogniser)
    for parameter in built.denoiser.parameters():
        if parameter.numel() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    built.compute_dtype = torch.float32
    return built


def given(pipeline: DubPipeline, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[8:30, 4:28] = 1
    pictures = rng.integers(0, 255, (2, SIZE, SIZE, 3), dtype=np.uint8)
    everything = {
        "frames": rng.integers(0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8),
        "mask": mask,
        "reference": pictures[[0, 0, 1, 1, 0, 1]],
        "audio_tokens": rng.standard_normal((FRAMES, 10, 24)).astype(np.float32),
        "identity": np.eye(8, dtype=np.float32)[0],
        "emotion": "barely holding back tears",
        "num_inference_steps": 2,
        "initial_noise": pipeline.sample_noise(torch.Generator().manual_seed(0)),
    }
    return everything | changes


@pytest.mark.parametrize("each", [False, True], ids=["one identity", "one a frame"])
def test_a_reference_that_repeats_is_looked_at_once_and_counts_for_each_of_its_frames(
    each: bool, pipeline: DubPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = np.eye(8, dtype=np.float32)[:FRAMES] if each else np.eye(8, dtype=np.float32)[0]
    call = given(pipeline, identity=identity)
    alone = []
    for number in range(FRAMES):
        own = {name: call[name][[number]] for name in ("frames", "reference", "audio_tokens")}
        own["identity"] = identity[number] if each else identity
        alone.append(pipeline(**(call | own))[0])
    encoded: list[int] = []
    read: list[int] = []
    vae_encode, read_features = pipeline.vae.encode, pipeline.face_emotion.features

    def counting(images: Tensor) -> Any:
        encoded.append(len(images))
        return vae_encode(images)

    def reading(crops: Tensor) -> Tensor:
        read.append(len(crops))
        return read_features(crops)

    monkeypatch.setattr(pipeline.vae, "encode", counting)
    monkeypatch.setattr(pipeline.face_emotion, "features", reading)
    for batch_size in (16, 2):
        encoded.clear(), read.clear()
        together = pipeline(**call, batch_size=batch_size)
        assert sum(encoded) == FRAMES + 2, "each masked frame, and each of two references"
        assert read == [2]
        assert np.abs(together.astype(int) - np.stack(alone)).max() <= 1
    encoded.clear()
    pipeline(**(call | {"reference": call["reference"][0]}), batch_size=2)
    assert sum(encoded) == FRAMES + 1
    other = pipeline(**(call | {"reference": call["reference"][::-1]}))
    assert np.abs(other.astype(int) - np.stack(alone)).max() > 1, "references matter"


def test_distinct_pictures_in_their_order() -> None:
    first, second, third = np.random.default_rng(0).integers(0, 255, (3, 4, 4, 3), dtype=np.uint8)
    third = first.copy()
    third[-1, -1, -1] ^= 1
    pictures, which = distinct(np.stack([second, first, second, third, first]))
    assert which == [0, 1, 0, 2, 1]
    assert np.array_equal(pictures, np.stack([second, first, third]))
    seen_twice, of_it = distinct(np.broadcast_to(first, (2, 4, 4, 3)))
    assert np.array_equal(seen_twice, first[None]) and of_it == [0, 0]


def test_the_autoencoder_lies_channels_last_and_says_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = build_autoencoder("studio", **VAE).eval()
    laid = copy.deepcopy(plain)
    pipeline = build_pipeline("studio", laid, SIZE, 8, audio_dim=24, unet=UNET)
    weight = pipeline.vae.encoder.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert channels_last(pipeline.vae).encoder.conv_in.weight.data_ptr() == weight.data_ptr(), "not laid out again"
    images = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        latents, again = encode(plain, images), encode(laid, images)
        made, remade = decode(plain, latents), decode(laid, latents)
    assert again.is_contiguous() and remade.is_contiguous()
    assert torch.allclose(again, latents, atol=1e-5)
    assert torch.allclose(remade, made, atol=1e-4)
    plain.save_pretrained(tmp_path / "plain")
    laid.save_pretrained(tmp_path / "laid")
    name = "diffusion_pytorch_model.safetensors"
    assert (tmp_path / "laid" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
