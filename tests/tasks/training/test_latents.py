"""The latent cache: found by content, read frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.action_units import AUS
from models.autoencoder import encode, to_images
from models.pipeline import DubPipeline, load_pipeline
from models.speech import load_speech_encoder
from tasks.masks import dub_mask
from tasks.training.batches import LatentFiles, forth_and_back
from tasks.training.data import decode_clip
from tasks.training.latents import LatentCache, cache_clips, mirror_units, weights_id


@pytest.fixture
def pipeline(tiny_models: dict[str, Path]) -> DubPipeline:
    return load_pipeline(tiny_models["pipeline"])


@pytest.fixture
def cache(tiny_models: dict[str, Path], pipeline: DubPipeline, tmp_path: Path) -> LatentCache:
    return LatentCache(tmp_path, pipeline.vae, load_speech_encoder(tiny_models["speech"]), batch=8)


def test_what_is_kept_is_what_the_autoencoder_says(cache: LatentCache, rows: list[dict[str, Any]]) -> None:
    clip = decode_clip(rows[0])
    kept = load_file(cache.add(clip))
    with torch.no_grad():
        images = to_images(clip.frames[:1])
        expected = encode(cache.vae, images)
        hidden = encode(cache.vae, images * (1 - torch.from_numpy(dub_mask(64))))
    assert kept["latents"].shape == (20, 4, 8, 8)
    tolerance = 0.2 * float(expected.std())
    assert torch.allclose(kept["latents"][0].float(), expected[0], atol=tolerance)
    assert torch.allclose(kept["masked"][0].float(), hidden[0], atol=tolerance)
    assert kept["speech"].shape == (40, 16)
    assert kept["lips"].max() > 0


def test_a_file_is_made_once_and_named_by_content(
    cache: LatentCache, rows: list[dict[str, Any]], pipeline: DubPipeline, tmp_path: Path
) -> None:
    clip = decode_clip(rows[0])
    first = cache.add(clip)
    stamp = first.stat().st_mtime_ns
    assert cache.add(clip) == first
    assert first.stat().st_mtime_ns == stamp
    assert cache.path(clip, mirrored=True) != first
    assert cache.path(decode_clip(rows[1])) != first
    assert cache.path(decode_clip(rows[0], every=2)) != first
    with torch.no_grad():
        pipeline.vae.decoder.conv_out.bias += 0.01
    assert LatentCache(tmp_path, pipeline.vae, cache.speech).path(clip) == first, "latents do not know the decoder"
    before = weights_id(pipeline.vae)
    with torch.no_grad():
        pipeline.vae.encoder.conv_out.bias += 0.01
    assert weights_id(pipeline.vae) != before
    assert LatentCache(tmp_path, pipeline.vae, cache.speech).path(clip) != first


def test_a_mirrored_clip_is_the_clip_of_the_mirrored_picture(cache: LatentCache, rows: list[dict[str, Any]]) -> None:
    clip = decode_clip(rows[0])
    mirrored = load_file(cache.add(clip, mirrored=True))
    with torch.no_grad():
        expected = encode(cache.vae, to_images(clip.frames[:1, :, ::-1]))
    assert torch.allclose(mirrored["latents"][0].float(), expected[0], atol=0.2 * float(expected.std()))
    assert torch.equal(mirrored["lips"], load_file(cache.add(clip))["lips"].flip(-1))


def test_a_batch_pairs_frames_with_distant_frames_of_the_same_clip(
    cache: LatentCache, rows: list[dict[str, Any]]
) -> None:
    files = cache_clips((decode_clip(row) for row in rows[:2]), cache, mirror=False)
    kept = [load_file(file) for file in files]
    batch = LatentFiles(files, size=64).draw([np.random.default_rng(n) for n in range(12)])
    assert batch.latents.shape == batch.masked.shape == batch.reference.shape == (12, 4, 8, 8)
    assert batch.audio_tokens.shape == (12, 10, 16)
    assert batch.has_identity.tolist() == [1.0] * 12
    for sample in range(12):
        found = [(c, int(i)) for c, k in enumerate(kept) for i in _same(k["latents"], batch.latents[sample])]
        other = [(c, int(i)) for c, k in enumerate(kept) for i in _same(k["latents"], batch.reference[sample])]
        gaps = [abs(i - j) / 25 for c, i in found for d, j in other if c == d]
        assert gaps
        assert max(gaps) >= 0.4 - 1e-6


def _same(kept: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    return (kept.float() - latents).abs().amax((1, 2, 3)).lt(1e-6).nonzero().flatten()


def test_action_units_of_a_mirror_image_change_sides() -> None:
    units = torch.arange(20.0)
    turned = mirror_units(units)
    left, right = AUS.index("AU12L"), AUS.index("AU12R")
    assert turned[left] == right
    assert turned[right] == left
    assert torch.equal(mirror_units(turned), units)


def test_a_short_clip_is_walked_forth_and_back() -> None:
    assert forth_and_back(1, 6, 3) == [1, 2, 1, 0, 1, 2]
    assert forth_and_back(2, 3, 9) == [2, 3, 4]
    assert forth_and_back(0, 2, 1) == [0, 0]


def test_the_reference_may_be_another_expression_of_the_same_scene(
    cache: LatentCache, rows: list[dict[str, Any]]
) -> None:
    """Of a scene with several takes, most references are from another take than the frame."""
    taken = [row | {"source_id": "one shoot", "speaker": "a", "clip_id": f"take {n}"} for n, row in enumerate(rows[:2])]
    files = cache_clips((decode_clip(row) for row in taken), cache, mirror=False)
    kept = [load_file(file)["latents"] for file in files]
    batch = LatentFiles(files, size=64).draw([np.random.default_rng(n) for n in range(40)])
    crossed = [
        not len(_same(kept[int(clip)], reference)) for clip, reference in zip(batch.clip, batch.reference, strict=True)
    ]
    assert 0.4 < np.mean(crossed) < 0.8


def test_some_samples_repaint_the_whole_face(cache: LatentCache, rows: list[dict[str, Any]]) -> None:
    files = cache_clips([decode_clip(rows[0])], cache, mirror=False)
    rngs = [np.random.default_rng(n) for n in range(40)]
    batch = LatentFiles(files, size=64, whole_face=0.5).draw(rngs)
    whole = batch.mask.flatten(1).sum(1) > 1.2 * float(dub_mask(64).sum())
    assert 0.3 < whole.float().mean() < 0.7
    stored = load_file(files[0])
    for wide, masked in zip(whole, batch.masked, strict=True):
        assert len(_same(stored["masked_face" if wide else "masked"], masked))
