"""The autoencoder stage: it learns to give the picture back, and its latents come out scaled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import autoencoder as models_autoencoder
from models.autoencoder import AutoencoderKL, build_autoencoder, decode, encode, to_frames, to_images
from tasks.masks import LIPS
from tasks.training.autoencoder import (
    AutoencoderRun,
    Pictures,
    collect,
    sample_batch,
    train_autoencoder,
    with_expressions,
)
from tasks.training.expressions import read_expressions, render_expressions

RUN = AutoencoderRun(batch=1, patch=32, rate=4e-3, every=2)


@pytest.fixture(scope="module")
def small_profile() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        profile = dict(models_autoencoder.AUTOENCODERS["studio"], block_out_channels=(8, 8, 16, 16))
        patch.setitem(models_autoencoder.AUTOENCODERS, "small", profile)
        yield "small"


@pytest.fixture(scope="module")
def trained(
    small_profile: str, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """Folder, last measures and notes of a run of 240 steps."""
    folder, notes = tmp_path_factory.mktemp("autoencoder") / "vae", []
    last = train_autoencoder(
        rows, folder, profile=small_profile, steps=240, run=RUN, report=notes.append, report_every=120
    )
    return folder, last, notes


def test_it_learns_and_its_latents_are_scaled(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]],
    small_profile: str,
    rows: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    folder, last, notes = trained
    first = train_autoencoder(rows, tmp_path, profile=small_profile, steps=2, run=RUN)
    assert last["psnr"] > first["psnr"] + 2
    assert [note["step"] for note in notes] == [120, 240]
    vae = AutoencoderKL.from_pretrained(str(folder), low_cpu_mem_usage=False)
    images = to_images(collect(rows, "val", 1).frames)
    with torch.no_grad():
        latents = encode(vae, images)
        again = decode(vae, latents)
    assert float(latents.std()) == pytest.approx(1, abs=0.1)
    assert float(latents.mean()) == pytest.approx(0, abs=0.1)
    assert again.shape == images.shape


def test_training_goes_on_from_a_saved_one(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]],
    small_profile: str,
    rows: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    folder, last, _ = trained
    more = train_autoencoder(rows, tmp_path, profile=small_profile, steps=1, run=RUN, init=folder)
    assert more["psnr"] == pytest.approx(last["psnr"], abs=1)
    scales = [AutoencoderKL.load_config(str(place))["scaling_factor"] for place in (folder, tmp_path)]
    assert scales[0] == scales[1], "latents of the old model still fit"


def test_a_decoder_trained_alone_leaves_the_latents_as_they_are(
    small_profile: str, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    train_autoencoder(rows, tmp_path / "a", profile=small_profile, steps=3, run=RUN)
    alone = replace(RUN, decoder_only=True)
    train_autoencoder(rows, tmp_path / "b", profile=small_profile, steps=3, run=alone, init=tmp_path / "a")
    before, after = (
        AutoencoderKL.from_pretrained(str(tmp_path / name), low_cpu_mem_usage=False).state_dict() for name in "ab"
    )
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_parts_lie_on_the_grid_and_lips_weigh_more(rows: list[dict[str, Any]]) -> None:
    pictures = collect(rows, "train", 1)
    images, weights = sample_batch(pictures, RUN, False, np.random.default_rng(0))
    assert images.shape == (4, 3, 32, 32)
    assert weights.shape == (4, 1, 32, 32)
    assert weights.max() >= 1 + RUN.lips
    whole, _ = sample_batch(pictures, RUN, True, np.random.default_rng(0))
    assert whole.shape == (1, 3, 64, 64)


def test_without_clips_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no usable clips"):
        train_autoencoder([], tmp_path, steps=1)


def test_the_sd15_autoencoder_has_stable_diffusions_shape() -> None:
    with torch.device("meta"):
        vae = build_autoencoder("sd15")
    assert len(vae.state_dict()) == 248
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
    assert vae.config.scaling_factor == 0.18215


def test_frames_and_images_are_the_same_picture() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(to_frames(to_images(frames)), frames)


def test_expressions_of_more_people_join_the_pictures(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    pictures = collect(rows, "train", 1)
    for _ in render_expressions(tmp_path, identities=1, size=96):
        pass
    shown = read_expressions(tmp_path)
    small = Pictures(np.zeros((2, *shown.crops.shape[1:]), np.uint8), np.zeros((2, *shown.crops.shape[1:3]), np.uint8))
    joined = with_expressions(small, tmp_path)
    assert len(joined.frames) == len(joined.labels) == 2 + len(shown)
    assert (joined.labels[2:] == LIPS).any(axis=(1, 2)).all()
    assert with_expressions(pictures, None) is pictures
