"""A training as the flow runs it: a diverging one fails loudly and leaves a report, and changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from flows.options import Options
from flows.train import register_model, train
from models.autoencoder import build_autoencoder
from models.speech import SpeechEncoder
from storage.catalog import Catalog
from storage.layout import Root
from storage.registry import Registry
from storage.schema import CLIPS
from storage.shards import ShardWriter
from storage.versions import commit_version
from tasks.training.curve import summarise
from tasks.training.divergence import TrainingDiverged
from tests.tasks.training.conftest import SIZE, drawn_clip


@pytest.fixture
def settings(root: Root, tmp_path: Path) -> tuple[str, ...]:
    """`--set` of a tiny model; the dataset "drawn" is there."""
    with ShardWriter(tmp_path / "rows", CLIPS) as shards:
        shards.write([drawn_clip(seed, split="train" if seed else "val") for seed in range(3)])
    commit_version(root, "drawn", tmp_path / "rows", "drawn faces")
    torch.manual_seed(0)
    build_autoencoder("studio", block_out_channels=(8, 8, 16, 16)).save_pretrained(str(tmp_path / "vae"))
    SpeechEncoder(width=16, dilations=(1, 2)).save_pretrained(str(tmp_path / "speech"))
    tiny = {
        "audio.speech": tmp_path / "speech", "model.size": SIZE, "model.unet_channels": [16, 32, 32],
        "model.cross_attention_dim": 32, "train.batch_size": 4, "train.steps": 200, "train.checkpoint_every": 2,
        "train.workers": 0, "train.device": "cpu", "train.precision": "fp32", "train.warmup_steps": 40,
        "train.samples_every": 2,
    }  # fmt: skip
    return tuple(f"{name}={value}" for name, value in tiny.items())


@pytest.mark.slow
def test_a_training_that_diverges_fails_and_leaves_the_champion(
    prefect_url: str, root: Root, settings: tuple[str, ...], tmp_path: Path
) -> None:
    options = Options(root=str(root), settings=(*settings, "train.learning_rate=3.0"))
    state = train(options, dataset="drawn", autoencoder=str(tmp_path / "vae"), return_state=True)
    assert state.is_failed()
    with pytest.raises(TrainingDiverged, match="last good checkpoint is"):
        state.result()
    assert Registry(root).models() == []
    (run,) = Catalog(root).rows("runs")
    assert run["status"] == "failed" and json.loads(run["counts"])["failed"] == 1
    page = root.resolve(run["report"]).read_text()
    assert "training diverged at step" in page and "polyline" in page and "steps into the training" in page


def test_the_catalog_lists_how_a_model_was_trained(root: Root, tmp_path: Path) -> None:
    build_autoencoder("studio", block_out_channels=(8, 8, 16, 16)).save_pretrained(str(tmp_path / "model"))
    curve = [{"step": step, "loss": 1 / step, "steps_per_second": 2.0} for step in range(1, 21)]
    trained = {"path": str(tmp_path / "model"), "loss": 0.05, "samples": None, **summarise(curve)}
    config = Options(root=str(root)).config()
    register_model.fn(trained, None, "drawn@1", config, "image", "run-1")
    (row,) = Catalog(root).rows("models", "train_loss < 0.06")
    assert (row["train_steps"], row["train_rate"]) == (20, 2.0)
    assert row["train_loss"] == pytest.approx((1 / 19 + 1 / 20) / 2)
    assert row["train_loss_start"] == pytest.approx(0.75)
