"""Crops cut anew for another base: where things lie in them, and what the stored crops do not show."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.autoencoder import encode, to_images
from models.conventions import Conventions
from models.landmarks106 import LIPS_OUTER, MEAN_SHAPE
from models.pipeline import load_pipeline
from models.speech import load_speech_encoder
from tasks.alignments import LATENTSYNC, MUSETALK, STUDIO, landmark_matrices
from tasks.crops import transform_points
from tasks.masks import LIPS, eye_region, model_mask
from tasks.training.batches import LatentFiles
from tasks.training.data import TrainingClip, decode_clip
from tasks.training.latents import LatentCache
from tasks.training.placement import Placement, in_our_alignment, region_in
from tests.tasks.training.conftest import SIZE, drawn_clip

OTHERS = (LATENTSYNC, MUSETALK)


@pytest.fixture(scope="module")
def clip() -> TrainingClip:
    return decode_clip(drawn_clip(0, frames=6))


@pytest.mark.parametrize("alignment", OTHERS)
def test_what_is_labelled_goes_where_the_landmarks_go(alignment: str, clip: TrainingClip) -> None:
    placement = Placement(clip, alignment, 96)
    assert placement.matrices is not None
    lips = transform_points(placement.matrices[2], clip.landmarks[2][list(LIPS_OUTER)])
    y, x = np.nonzero(placement.labelled(LIPS)[2] > 0.5)
    assert np.array([x.mean(), y.mean()]) == pytest.approx((lips.min(0) + lips.max(0)) / 2, abs=2)
    assert placement.frames(slice(1, 3)).shape == (2, 96, 96, 3)
    assert placement.enlarged > 1


def test_our_own_alignment_is_left_alone_or_resized(clip: TrainingClip) -> None:
    same = Placement(clip, STUDIO, SIZE)
    assert same.matrices is None and same.frames(slice(0, 2)) is not None
    assert np.array_equal(same.frames(slice(0, 2)), clip.frames[:2])
    half = Placement(clip, STUDIO, SIZE // 2)
    assert half.enlarged == pytest.approx(0.5)
    blocks = clip.frames[:1].reshape(1, SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4))
    assert np.abs(half.frames(slice(0, 1)) - blocks)[:, 2:-2, 2:-2].mean() < 3


def test_what_the_stored_crop_does_not_show_does_not_count(
    clip: TrainingClip, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """A face at the crop's lower edge: the other crop reaches beyond it."""
    low = TrainingClip(**vars(clip) | {"landmarks": clip.landmarks + np.float32([0, 14])})
    covered = Placement(low, LATENTSYNC, SIZE).covered()
    assert covered[:, : SIZE // 2].min() > 0.99 and covered[:, -2:].max() < 0.01
    vae, speech = load_pipeline(tiny_models["pipeline"]).vae, load_speech_encoder(tiny_models["speech"])
    base = Conventions(kind="latentsync", alignment=LATENTSYNC)
    file = LatentCache(tmp_path, vae, speech, base=base, size=SIZE).add(low)
    own = load_file(file)["own"]
    assert own.dtype == torch.uint8 and own.shape == (6, 1, 8, 8)
    assert own[:, :, :3].all() and not own[:, :, -1].any()
    batch = LatentFiles([file], size=SIZE, whole_face=1.0, base=base).draw([np.random.default_rng(0)], window=3)
    assert torch.equal(batch.own[0], own[0].float())
    assert torch.equal(batch.mask[0, 0], torch.from_numpy(model_mask(LATENTSYNC, SIZE, whole_face=True)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_latents_are_those_of_the_base_s_crop_hidden_as_it_wants(
    mirrored: bool, clip: TrainingClip, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    pipeline, speech = load_pipeline(tiny_models["pipeline"]), load_speech_encoder(tiny_models["speech"])
    base = Conventions(kind="musetalk", alignment=MUSETALK, masked_fill=-1.0)
    cache = LatentCache(tmp_path, pipeline.vae, speech, base=base, size=SIZE)
    kept = load_file(cache.add(clip, mirrored))
    frames = Placement(clip, MUSETALK, SIZE).frames(slice(0, 1))
    seen = to_images(np.ascontiguousarray(frames[:, :, ::-1] if mirrored else frames))
    hidden = seen.clone()
    hidden[:, :, SIZE // 2 :] = -1
    with torch.no_grad():
        for name, picture in (("latents", seen), ("masked", hidden)):
            expected = encode(pipeline.vae, picture)
            assert torch.allclose(kept[name][:1].float(), expected, atol=0.2 * float(expected.std())), name
    ours = load_file(LatentCache(tmp_path, pipeline.vae, speech, size=SIZE).add(clip, mirrored))
    assert torch.equal(kept["small"], ours["small"]), "the recogniser's crops are the clip's own"
    assert "own" not in ours


def test_files_of_our_own_alignment_keep_their_names(
    clip: TrainingClip, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    vae, speech = load_pipeline(tiny_models["pipeline"]).vae, load_speech_encoder(tiny_models["speech"])
    paths = {
        LatentCache(tmp_path, vae, speech, base=base, size=size).path(clip)
        for base, size in ((None, None), (Conventions(), SIZE), (Conventions(kind="latentsync"), SIZE))
    }
    assert len(paths) == 1
    other = [
        LatentCache(tmp_path, vae, speech, base=Conventions(alignment=name), size=size).path(clip)
        for name, size in ((LATENTSYNC, SIZE), (MUSETALK, SIZE), (STUDIO, 32))
    ]
    assert len({*other, *paths}) == 4


@pytest.mark.parametrize("alignment", OTHERS)
def test_regions_of_our_crop_lie_over_the_same_features(alignment: str) -> None:
    face = (MEAN_SHAPE * 128 + 128)[None]
    eyes = region_in(alignment, eye_region, 128)
    points = transform_points(landmark_matrices(alignment, 128, face, np.zeros(1))[0], face[0])
    brows_and_eyes = [*range(33, 52), *range(87, 106)]
    inside = [eyes[int(np.clip(y, 0, 127)), int(np.clip(x, 0, 127))] for x, y in points]
    assert min(inside[i] for i in brows_and_eyes) > 0.5
    assert max(inside[i] for i in LIPS_OUTER) == 0


@pytest.mark.parametrize("alignment", OTHERS)
def test_decoded_frames_are_judged_in_our_alignment(alignment: str) -> None:
    """There and back a smooth picture is the same, and gradients come through."""
    y, x = np.mgrid[:64, :64] / 64
    ours = torch.from_numpy(np.stack([x, y, (x + y) / 2]).astype(np.float32))[None]
    theirs = torch.from_numpy(
        np.stack([region_in(alignment, lambda size, c=c: ours[0, c].numpy(), 64) for c in range(3)])
    )
    theirs.requires_grad_(True)
    back = in_our_alignment(theirs[None], alignment)
    middle = (slice(None), slice(None), slice(24, 48), slice(16, 48))
    assert (back[middle] - ours[middle]).abs().max() < 0.02
    back[middle].sum().backward()
    assert float(theirs.grad.abs().sum()) > 0
    assert in_our_alignment(ours, STUDIO) is ours


def test_too_few_pixels_are_told_once(
    clip: TrainingClip, tiny_models: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vae, speech = load_pipeline(tiny_models["pipeline"]).vae, load_speech_encoder(tiny_models["speech"])
    cache = LatentCache(tmp_path, vae, speech, base=Conventions(alignment=LATENTSYNC), size=128)
    with caplog.at_level(logging.WARNING, logger="tasks.training.placement"):
        cache.add(clip)
        cache.add(clip, mirrored=True)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "preprocess.crop_size=" in told and "64 px" in told
