"""The latent cache: found by content, read frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.action_units import AUS
from models.autoencoder import encode, to_images
from models.pipeline import DubPipeline, load_pipeline
from models.speech import load_speech_encoder
from tasks.masks import dub_mask, face_middle
from tasks.training.batches import OTHER_TAKE, LatentFiles, forth_and_back
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
    assert np.mean(crossed) == pytest.approx(OTHER_TAKE, abs=0.15)
    assert np.mean(crossed) > 0.5


def test_some_samples_repaint_the_whole_face(cache: LatentCache, rows: list[dict[str, Any]]) -> None:
    files = cache_clips([decode_clip(rows[0])], cache, mirror=False)
    rngs = [np.random.default_rng(n) for n in range(40)]
    batch = LatentFiles(files, size=64, whole_face=0.5).draw(rngs)
    whole = batch.mask.flatten(1).sum(1) > 1.2 * float(dub_mask(64).sum())
    assert 0.3 < whole.float().mean() < 0.7
    stored = load_file(files[0])
    for wide, masked in zip(whole, batch.masked, strict=True):
        assert len(_same(stored["masked_face" if wide else "masked"], masked))


def _leaning(clip_row: Callable[..., dict[str, Any]], seed: int, degrees: float, **changes: Any) -> dict[str, Any]:
    """A clip whose head leans on from `degrees` by one degree a frame; no two of its pictures are the same."""
    pictures = np.random.default_rng(seed).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    changes["crops"] = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    upright = np.asarray(clip_row(seed)["landmarks"], np.float64).reshape(20, -1, 2)
    angles = np.radians(degrees + np.arange(20))
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], -1).reshape(20, 2, 2)
    leaning = np.einsum("fij,fnj->fni", turns, upright - 32) + 32
    return clip_row(seed, landmarks=leaning.astype(np.float32).reshape(-1), **changes)


@pytest.mark.parametrize("window", [1, 5])
def test_exchanged_surroundings_are_those_of_another_person_turned_alike(
    window: int, cache: LatentCache, clip_row: Callable[..., dict[str, Any]]
) -> None:
    takes = [_leaning(clip_row, seed, degrees) for seed, degrees in enumerate((0.0, 8.5, -12.5))]
    files = cache_clips((decode_clip(row) for row in takes), cache, mirror=True)
    kept = [load_file(file) for file in files]
    rngs = [np.random.default_rng(n) for n in range(12)]
    batch = LatentFiles(files, size=64, whole_face=1.0, exchange=1.0).draw(rngs, window)
    middle = torch.nn.functional.interpolate(torch.from_numpy(face_middle(64))[None, None], size=(8, 8), mode="area")
    assert torch.equal(batch.own, middle.expand_as(batch.own))
    assert middle[0, 0, 4, 4] == 1 and middle[0, 0, 0].max() == middle[0, 0, :, 0].max() == 0
    for start in range(0, len(batch.own), window):
        number = int(batch.clip[start])
        shown = [int(_same(kept[number]["latents"], latents)[0]) for latents in batch.latents[start : start + window]]
        pose = kept[number]["pose"][shown].mean(0)
        strangers = [other for other in range(6) if other // 2 != number // 2]  # two files each, one of them mirrored
        away = {
            (other, frame): float((of_frame - pose).norm())
            for other in strangers
            for frame, of_frame in enumerate(kept[other]["pose"])
        }
        other, frame = min(away, key=lambda place: away[place])
        for place, at in enumerate(forth_and_back(frame, window, 20)):
            assert torch.equal(batch.masked[start + place], kept[other]["masked_face"][at].float())


@pytest.mark.parametrize(
    ("whole_face", "exchange", "same_person"), [(1.0, 0.0, False), (0.0, 1.0, False), (1.0, 1.0, True)]
)
def test_without_an_exchange_all_of_the_face_is_its_own(
    whole_face: float, exchange: float, same_person: bool, cache: LatentCache, clip_row: Callable[..., dict[str, Any]]
) -> None:
    """None is asked for, or it is no whole face, or there is nobody else: other takes and mirror images are nobody."""
    identity = {"identity": np.eye(512, dtype=np.float32)[0]} if same_person else {}
    takes = [_leaning(clip_row, seed, 5.0 * seed, **identity) for seed in range(2)]
    files = cache_clips((decode_clip(row) for row in takes), cache, mirror=True)
    kept = [load_file(file) for file in files]
    rngs = [np.random.default_rng(n) for n in range(12)]
    batch = LatentFiles(files, size=64, whole_face=whole_face, exchange=exchange).draw(rngs)
    assert bool((batch.own == 1).all())
    for number, latents, masked in zip(batch.clip.tolist(), batch.latents, batch.masked, strict=True):
        frame = int(_same(kept[number]["latents"], latents)[0])
        assert torch.equal(masked, kept[number]["masked_face" if whole_face else "masked"][frame].float())


def test_one_scene_alone_exchanges_nothing(cache: LatentCache, clip_row: Callable[..., dict[str, Any]]) -> None:
    """Whoever it may be: these takes come without identities."""
    scene = {"source_id": "one shoot", "speaker": "a", "identity": np.zeros(512, np.float32)}
    takes = [clip_row(seed, **scene) for seed in range(2)]
    files = cache_clips((decode_clip(row) for row in takes), cache, mirror=False)
    stored = [load_file(file)["masked_face"] for file in files]
    batch = LatentFiles(files, size=64, whole_face=1.0, exchange=1.0).draw([np.random.default_rng(n) for n in range(8)])
    assert bool((batch.own == 1).all())
    for number, masked in zip(batch.clip.tolist(), batch.masked, strict=True):
        assert len(_same(stored[number], masked))
