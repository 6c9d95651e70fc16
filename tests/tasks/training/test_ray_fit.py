"""Fitting: in this process and by Ray Train, stopped and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.pipeline import load_pipeline
from storage.errors import NotFound, UsageError
from tasks.config import Config
from tasks.training.curve import read_curve
from tasks.training.divergence import TrainingDiverged
from tasks.training.ray_fit import fit
from tests.tasks.training.conftest import StoppedAt

Rows = list[dict[str, Any]]


def test_a_run_in_this_process_leaves_a_pipeline_and_its_curve(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path
) -> None:
    seen: list[int] = []
    result = fit(
        "image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "run",
        on_progress=lambda step, steps, metrics: seen.append(step),
    )  # fmt: skip
    assert result["step"] == 6
    assert [step for step, _ in result["losses"]] == [1, 2, 3, 4, 5, 6]
    assert seen[-1] == 6
    assert load_pipeline(result["path"]).config.crop_size == 64
    summary = json.loads((tmp_path / "run" / "dvclive" / "metrics.json").read_text())
    assert summary["loss"] == pytest.approx(result["loss"])


def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    tiny_config: Config,
    tiny_models: dict[str, Path],
    rows: Rows,
    tmp_path: Path,
    stopped_at: StoppedAt,
) -> None:
    whole = fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "whole")
    with stopped_at(5):
        fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "stopped")
    assert read_curve(tmp_path / "stopped")[-1]["step"] == 5
    resumed = fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "stopped")
    assert resumed["losses"] == whole["losses"]
    for file in ("unet/diffusion_pytorch_model.safetensors", "audio_projection/diffusion_pytorch_model.safetensors"):
        assert (Path(resumed["path"]) / file).read_bytes() == (Path(whole["path"]) / file).read_bytes()


def test_a_finished_run_is_left_as_it_is(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path
) -> None:
    first = fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "run", steps=2)
    stamp = (Path(first["path"]) / "model_index.json").stat().st_mtime_ns
    again = fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "run", steps=2)
    assert again["losses"] == first["losses"]
    assert (Path(again["path"]) / "model_index.json").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_ray_train_gives_the_run_of_one_process(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path, ray_session: Callable[[], None]
) -> None:
    here = fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "here", steps=4)
    there = fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path / "there", steps=4, workers=1)
    assert [loss for _, loss in there["losses"]] == pytest.approx([loss for _, loss in here["losses"]])
    assert (Path(there["path"]) / "model_index.json").is_file()


@pytest.mark.slow
def test_two_workers_share_the_batch_of_one(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path, ray_session: Callable[[], None]
) -> None:
    exact = {"steps": 20, "precision": "fp32"}
    curves = [
        fit(
            "image", tiny_config, rows, tiny_models["pipeline"], tmp_path / str(workers), workers=workers,
            overrides=exact | {"batch_size": 4 // workers},
        )["losses"]
        for workers in (1, 2)
    ]  # fmt: skip
    one, two = (np.array(curve) for curve in curves)
    assert np.array_equal(one[:, 0], np.arange(1, 21))
    assert np.abs(one - two).max() < 1e-4


@pytest.mark.slow
def test_a_worker_that_diverges_tells_the_whole_story_once(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path, ray_session: Callable[[], None]
) -> None:
    absurd = {"steps": 200, "rate": 3.0, "warmup": 40}
    with pytest.raises(TrainingDiverged, match="last good checkpoint") as caught:
        fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path, workers=1, overrides=absurd)
    assert caught.value.folder == str(tmp_path)
    steps = [entry["step"] for entry in read_curve(tmp_path)]
    assert steps == sorted(set(steps)) and not (tmp_path / "ray").exists()


def test_what_cannot_be_trained_is_said(tiny_config: Config, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stage 'dreams'"):
        fit("dreams", tiny_config, [], None, tmp_path)
    with pytest.raises(UsageError, match="autoencoder"):
        fit("image", tiny_config, [], None, tmp_path)
    with pytest.raises(NotFound, match="no usable training clips"):
        fit("image", tiny_config, [], tiny_models["pipeline"], tmp_path)


def test_a_torn_line_in_the_curve_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "curve.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_curve(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_a_fresh_denoiser_has_the_shape_that_the_configuration_says(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path
) -> None:
    shape = {"unet_channels": [16, 32, 32], "cross_attention_dim": 48, "control_share": 1.0}
    small = tiny_config.with_({"model": shape, "train.parts": ["emotion"]})
    result = fit("image", small, rows, None, tmp_path, vae=tiny_models["pipeline"] / "vae", steps=1)
    trained = load_pipeline(result["path"])
    assert tuple(trained.unet.config.block_out_channels) == (16, 32, 32)
    assert trained.audio_projection.config.in_dim == 16, "the speech encoder's width"
    assert trained.audio_projection.config.out_dim == 48
    assert tuple(trained.emotion_control.controlnet.config.block_out_channels) == (16, 32, 32)
