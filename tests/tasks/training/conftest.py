"""Drawn faces whose mouths follow a tone (clips with exact truth that cost nothing), and small models to train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.autoencoder import build_autoencoder
from models.landmarks106 import MEAN_SHAPE
from models.pipeline import build_pipeline, load_pipeline
from models.speech import SpeechEncoder, load_speech_encoder
from storage.schema import CLIPS, row
from tasks.config import Config, load_config
from tasks.masks import label_mask
from tasks.training.data import decode_clip
from tasks.training.image import ImageTraining
from tasks.training.latents import LatentCache, cache_clips

SIZE, FPS = 64, 25.0
StoppedAt = Callable[[int], AbstractContextManager[None]]


def draw_face(opening: float, skin: tuple[int, int, int]) -> np.ndarray:
    """uint8 RGB [SIZE,SIZE,3]: eyes, nose, and a mouth that is `opening` crop sides high."""
    canvas = np.full((SIZE, SIZE, 3), 90, np.uint8)
    cv2.ellipse(canvas, (32, 34), (22, 30), 0, 0, 360, skin, -1)
    for x in (22, 42):
        cv2.circle(canvas, (x, 26), 3, (30, 30, 60), -1)
    cv2.line(canvas, (32, 28), (32, 37), (120, 80, 70), 1)
    cv2.ellipse(canvas, (32, 48), (9, max(1, round(opening * SIZE / 2))), 0, 0, 360, (110, 20, 30), -1)
    return canvas


def drawn_clip(seed: int, frames: int = 20, split: str = "train", **changes: Any) -> dict[str, Any]:
    """A CLIPS row."""
    rng = np.random.default_rng(seed)
    pts = 3.0 + np.arange(frames) / FPS
    opening = 0.09 + 0.08 * np.sin(np.arange(frames) * rng.uniform(0.5, 0.9) + rng.uniform(0, 6))
    skin = tuple(int(value) for value in rng.integers((150, 100, 80), (240, 200, 180)))
    samples = np.arange(int(frames / FPS * 16000)) / 16000
    loudness = np.interp(samples, pts - 3.0, opening) * 4
    sound = loudness * np.sin(2 * np.pi * 220 * samples)
    shape = (MEAN_SHAPE - MEAN_SHAPE.mean(0)) / np.ptp(MEAN_SHAPE[:, 1]) * 45 + (32, 36)
    landmarks = np.repeat(shape[None].astype(np.float32), frames, 0)
    pictures = [draw_face(value, skin) for value in opening]
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, 95]
    values = {
        "clip_id": f"clip{seed}", "dataset": "drawn", "source_id": f"source{seed}", "speaker": f"speaker{seed}",
        "split": split, "status": "ok", "start_s": 3.0, "end_s": 3.0 + frames / FPS, "fps": FPS,
        "num_frames": frames, "crop_size": SIZE,
        "crops": [cv2.imencode(".jpg", picture[..., ::-1], jpeg)[1].tobytes() for picture in pictures],
        "masks": [cv2.imencode(".png", label_mask(points, SIZE))[1].tobytes() for points in landmarks],
        "landmarks": landmarks.reshape(-1), "pts": pts, "audio": (sound * 20000).astype("<i2").tobytes(),
        "identity": np.eye(512, dtype=np.float32)[seed % 512], "emotion": "neutral", "intensity": 0,
        "mouth_opening": opening.astype(np.float32),
    }  # fmt: skip
    return row(CLIPS, **(values | changes))


@pytest.fixture(scope="session")
def clip_row() -> Callable[..., dict[str, Any]]:
    return drawn_clip


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    return [drawn_clip(seed, split="train" if seed < 3 else "val") for seed in range(4)]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a small pipeline and a small speech encoder, untrained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    speech = SpeechEncoder(width=16, dilations=(1, 2))
    speech.save_pretrained(str(folder / "speech"))
    pipeline = build_pipeline(
        "studio",
        vae=build_autoencoder("studio", block_out_channels=(8, 8, 16, 16)),
        crop_size=SIZE,
        audio_dim=16,
        unet={
            "block_out_channels": (16, 32, 32),
            "cross_attention_dim": 32,
            "sample_size": SIZE // 8,
            "projection_class_embeddings_input_dim": 16,
        },
    )
    pipeline.save_pretrained(str(folder / "pipeline"))
    return {"pipeline": folder / "pipeline", "speech": folder / "speech"}


@pytest.fixture(scope="session")
def files(
    tiny_models: dict[str, Path], rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Latents of the first three clips."""
    vae, speech = load_pipeline(tiny_models["pipeline"]).vae, load_speech_encoder(tiny_models["speech"])
    vae.register_to_config(scaling_factor=20.0)
    cache = LatentCache(tmp_path_factory.mktemp("latents"), vae, speech)
    return cache_clips((decode_clip(row) for row in rows[:3]), cache, mirror=False)


@pytest.fixture
def tiny_config(tiny_models: dict[str, Path], tmp_path: Path) -> Config:
    return load_config(
        "studio",
        tmp_path / "root",
        {
            "audio.speech": str(tiny_models["speech"]),
            "model.size": SIZE,
            "train.batch_size": 4,
            "train.steps": 6,
            "train.checkpoint_every": 2,
            "train.warmup_steps": 1,
            "train.workers": 0,
            "train.device": "cpu",
            "train.precision": "fp32",
        },
    )


@pytest.fixture
def stopped_at(monkeypatch: pytest.MonkeyPatch) -> StoppedAt:
    """Inside `stopped_at(step)` a training in this process is interrupted when it comes to that step."""

    @contextmanager
    def until(last: int) -> Iterator[None]:
        step = ImageTraining.train_step

        def dies(training: ImageTraining) -> dict[str, float]:
            if training.step == last:
                raise KeyboardInterrupt
            return step(training)

        with monkeypatch.context() as patch:
            patch.setattr(ImageTraining, "train_step", dies)
            with pytest.raises(KeyboardInterrupt):
                yield

    return until
