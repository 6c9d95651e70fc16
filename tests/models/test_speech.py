"""Speech features: whisper's mel with a fixed floor, the studio's encoder, whisper checkpoints, frame windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from whisper.audio import log_mel_spectrogram

from models.speech import (
    MEL_FLOOR,
    MissingWeights,
    SpeechEncoder,
    WhisperEncoder,
    encode_speech,
    frame_tokens,
    load_speech_encoder,
    log_mel,
)


def _speechlike(seconds: float, seed: int = 0) -> np.ndarray:
    """Voiced bursts: a gliding harmonic tone, gated four times a second."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time)) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 20)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time))
    return (0.1 * voice + 0.002 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def whisper_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised checkpoint with whisper-tiny's encoder, in whisper's own file format."""
    torch.manual_seed(0)
    dims = whisper.ModelDimensions(80, 1500, 384, 6, 4, 64, 16, 384, 6, 1)
    path = tmp_path_factory.mktemp("whisper") / "tiny.pt"
    model = whisper.model.Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, path)
    return path


def test_log_mel_is_whispers_above_the_floor() -> None:
    audio = _speechlike(2.0)
    theirs = log_mel_spectrogram(torch.from_numpy(audio)).numpy()
    ours = log_mel(audio)
    assert ours.shape == (80, 200)
    assert ours.dtype == np.float32
    heard = theirs > MEL_FLOOR + 0.01
    heard[:, :2] = heard[:, -2:] = False  # whisper reflects at the ends, silence lies there here
    assert heard.mean() > 0.3
    np.testing.assert_allclose(ours[heard], theirs[heard], atol=1e-5)


def test_log_mel_does_not_depend_on_the_rest_of_the_file() -> None:
    audio = _speechlike(3.0)
    shout = np.sign(np.sin(2 * np.pi * 520 * np.arange(16000) / 16000)).astype(np.float32)
    alone = log_mel(audio)
    within = log_mel(np.concatenate([audio, np.zeros(1600, np.float32), shout]))
    np.testing.assert_allclose(within[:, : alone.shape[1] - 2], alone[:, :-2], atol=1e-5)
    cut = log_mel(audio[16000:32000])
    np.testing.assert_allclose(cut[:, 2:-2], alone[:, 102:198], atol=1e-4)


def test_log_mel_of_edge_cases() -> None:
    assert log_mel(np.zeros(0, np.float32)).shape == (80, 0)
    assert log_mel(np.zeros(1, np.float32)).shape == (80, 1)
    assert np.allclose(log_mel(np.zeros(1601, np.float32)), MEL_FLOOR)
    with pytest.raises(ValueError, match="mono"):
        log_mel(np.zeros((2, 160), np.float32))


def test_encoder_saves_loads_and_reads_in_pieces(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = SpeechEncoder(width=32, dilations=(1, 2)).eval()
    encoder.save_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").is_file()
    loaded = load_speech_encoder(tmp_path)
    audio = _speechlike(3.0)
    whole = encode_speech(loaded, audio)
    assert whole.shape == (150, 32)
    torch.testing.assert_close(whole, encode_speech(encoder, audio))
    piece = encode_speech(loaded, audio[16000:])
    edge = int(np.ceil(loaded.margin_s * 50)) + 1
    torch.testing.assert_close(piece[edge:], whole[50 + edge :], atol=1e-4, rtol=1e-4)
    curves = loaded.articulation(whole)
    assert curves.shape == (150, 6)
    assert curves.min() >= 0
    assert curves.max() <= 1


def test_whisper_tiny_gives_fifty_tokens_of_384_a_frame(whisper_tiny: Path) -> None:
    encoder = load_speech_encoder(whisper_tiny)
    assert isinstance(encoder, WhisperEncoder)
    features = encode_speech(encoder, _speechlike(1.0))
    assert features.shape == (50, 5, 384)
    tokens = frame_tokens(features, np.arange(25) / 25)
    assert tokens.shape == (25, 50, 384)
    torch.testing.assert_close(tokens[10], features[16:26].flatten(0, 1))


def test_whisper_hidden_states_are_those_of_its_own_forward(whisper_tiny: Path) -> None:
    encoder = load_speech_encoder(whisper_tiny)
    mel = torch.from_numpy(log_mel(_speechlike(30.0)))[None]
    states = encoder(mel)
    model = whisper.load_model(str(whisper_tiny), device="cpu")
    with torch.no_grad():
        last = model.encoder.ln_post(states[:, :, -1])
        torch.testing.assert_close(last, model.encoder(mel), atol=1e-4, rtol=1e-4)


def test_the_last_state_can_be_normalised_as_transformers_gives_it() -> None:
    torch.manual_seed(0)
    model = whisper.model.Whisper(whisper.ModelDimensions(80, 1500, 16, 2, 4, 64, 16, 16, 2, 1)).eval()
    torch.nn.init.normal_(model.encoder.ln_post.weight)
    mel = torch.from_numpy(log_mel(_speechlike(30.0)))[None]
    with torch.no_grad():
        plain, normed = WhisperEncoder(model)(mel), WhisperEncoder(model, normed_last=True)(mel)
        torch.testing.assert_close(normed[:, :, :-1], plain[:, :, :-1], atol=0, rtol=0)
        torch.testing.assert_close(normed[:, :, -1], model.encoder(mel), atol=1e-5, rtol=1e-5)


def test_whisper_reads_beyond_thirty_seconds(whisper_tiny: Path) -> None:
    features = encode_speech(load_speech_encoder(whisper_tiny), _speechlike(41.0))
    assert features.shape == (2050, 5, 384)
    assert torch.isfinite(features).all()


def test_frame_tokens_follow_time_not_frame_numbers() -> None:
    features = torch.arange(100, dtype=torch.float32)[:, None]
    tokens = frame_tokens(features, np.array([0.0, 0.4, 0.41, 5.0]))
    assert tokens.shape == (4, 10, 1)
    assert tokens[1, :, 0].tolist() == list(range(16, 26))
    assert tokens[2, 0, 0] == pytest.approx(16.5)
    assert tokens[0, :5, 0].tolist() == [0, 0, 0, 0, 0]
    assert tokens[3, 0, 0] == 99
    late = frame_tokens(features, np.array([10.4]), start_s=10.0)
    torch.testing.assert_close(late[0], tokens[1], atol=1e-4, rtol=0)
    ntsc = frame_tokens(features, np.arange(30) * 1001 / 30000)
    assert ntsc[29, 4, 0] == pytest.approx(29 * 1001 / 30000 * 50, abs=1e-4)
    with pytest.raises(ValueError, match="empty"):
        frame_tokens(torch.zeros(0, 4), np.zeros(3))


def test_beyond_the_ends_there_may_be_zeros() -> None:
    features = torch.arange(1.0, 51.0)[:, None, None].expand(50, 2, 3)
    tokens = frame_tokens(features, np.array([0.0, 0.48, 0.96, 3.0]), ends="zeros").reshape(4, 10, 2, 3)[..., 0, 0]
    assert tokens[0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert torch.allclose(tokens[1], torch.arange(21.0, 31.0))
    assert torch.allclose(tokens[2], torch.tensor([45.0, 46, 47, 48, 49, 50, 0, 0, 0, 0]), atol=1e-4)
    assert not tokens[3].any()


def test_missing_encoder_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights) as caught:
        load_speech_encoder(tmp_path / "nothing.pt")
    assert "studio" in caught.value.remedy
