"""The interpolator's stage: triplets within clips, and a network that is saved and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.interpolator import load_interpolator
from models.speech import load_speech_encoder
from storage.errors import NotFound, UsageError
from tasks.training.interpolator import InterpolatorRun, collect, sample_batch, train_interpolator
from tasks.training.stages import STAGES, train_expert


def test_triplets_do_not_cross_clips(rows: list[dict[str, Any]]) -> None:
    data = collect(rows, "train", load_speech_encoder("studio"))
    assert len(data.frames) == len(data.lips) == len(data.cues) == 60
    assert data.starts.tolist() == [*range(18), *range(20, 38), *range(40, 58)]
    assert data.frames.shape[1:3] == data.mask.shape
    assert (data.change > 0).any()


def test_batches_keep_the_order_of_frames_and_weigh_the_lips(rows: list[dict[str, Any]]) -> None:
    data = collect(rows, "train", load_speech_encoder("studio"))
    run = InterpolatorRun(batch=5)
    images, weight, cue = sample_batch(data, run, np.random.default_rng(0))
    assert images.shape == (5, 3, 3, *data.mask.shape) and cue.shape == (5, 3, 2, 6)
    assert images.abs().max() <= 1
    assert set(weight.unique().tolist()) == {0, 1, 1 + run.lips}
    still = InterpolatorRun(batch=5, still=1.0)
    images, _, cue = sample_batch(data, still, np.random.default_rng(0))
    assert (images[:, 0] == images[:, 2]).all() and (cue[:, 0] == cue[:, 2]).all()


def test_a_short_run_saves_a_network_and_measures_it_on_held_out_people(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    told: list[dict[str, float]] = []
    measures = train_interpolator(rows, tmp_path / "net", steps=50, run=InterpolatorRun(batch=1), report=told.append)
    assert measures["steps"] == 50 and measures["triplets"] == 18
    assert measures["gain_lips"] == pytest.approx(measures["psnr_lips"] - measures["psnr_lips_mean"])
    assert measures["psnr_region"] > 20
    assert told and np.isfinite(told[-1]["loss"])
    model = load_interpolator(tmp_path / "net")
    assert model.config.crop_size == 64


def test_without_clips_it_says_so(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        train_interpolator([], tmp_path, steps=1)
    assert "interpolator" in STAGES
    with pytest.raises(UsageError, match="needs --corpus"):
        train_expert("interpolator", tmp_path, say=print)
