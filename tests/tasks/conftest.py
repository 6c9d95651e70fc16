"""Real models and footage, as small as they come: what the tests of the steps share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.faces import PACKS
from models.pipeline import build_pipeline
from models.speech import load_speech_encoder
from storage import media
from tasks.config import Config, load_config
from tasks.dubber import Dubber, load_dubber

FRAMES = 30


@pytest.fixture(scope="session")
def face_pack(request: pytest.FixtureRequest) -> str:
    """The shipped pack; a lone detector of the shared weights where it was not trained yet."""
    if any((PACKS / "studio" / "faces").glob("*.onnx")):
        return "studio"
    shared: Path = request.getfixturevalue("shared_dir")
    return str(shared / "weights" / "scrfd_2.5g_bnkps.onnx")


@pytest.fixture(scope="session")
def talking(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of one speaking studio face, with sound: 30 frames at 25 fps."""
    episode = library / "welcome.mp4"
    frames = [frame for _, _, frame in media.iter_frames(episode, end_s=FRAMES / 25)][:FRAMES]
    sound = media.read_audio(episode, 16000, 0.0, FRAMES / 25)
    return media.write_video(tmp_path_factory.mktemp("footage") / "talking.mp4", frames, 25, sound)


@pytest.fixture(scope="session")
def track(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dub track as long as `talking`."""
    sound = media.read_audio(library / "welcome.dub.wav", 16000, 0.3, 0.3 + FRAMES / 25)
    return media.write_audio(tmp_path_factory.mktemp("footage") / "track.wav", sound)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained pipeline of the real classes for crops of 32 px, saved."""
    torch.manual_seed(0)
    small = {
        "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
        "projection_class_embeddings_input_dim": 16,
    }  # fmt: skip
    built = build_pipeline("studio", crop_size=32, audio_dim=load_speech_encoder("studio").width, unet=small)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    built.save_pretrained(folder)
    return folder


@pytest.fixture
def config(tmp_path: Path, face_pack: str) -> Config:
    """The studio profile with an empty root, quick to render; what an untrained model makes passes the gate."""
    quick = {"render.steps": 1, "render.guidance_audio": 1.0, "render.window_frames": 8, "runtime.in_process": True,
             "gate.keep_back": False}  # fmt: skip
    return load_config(root=tmp_path / "root", overrides={"faces.pack": face_pack, **quick})


@pytest.fixture(scope="session")
def dubber(tiny_model: Path, face_pack: str) -> Dubber:
    """All models of a dub, the pipeline untrained."""
    return load_dubber(tiny_model, load_config(overrides={"faces.pack": face_pack}), model_id="tiny")


def grey_noise(count: int, size: tuple[int, int] = (96, 128), seed: int = 0) -> list[np.ndarray]:
    """Frames without a face."""
    return list(np.random.default_rng(seed).integers(0, 255, (count, *size, 3), dtype=np.uint8))
