"""The dub track in pieces: the same tokens as of the whole, at any time, and silence beyond the ends."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.speech import SpeechEncoder, encode_speech, frame_tokens, load_speech_encoder
from storage import media
from tasks.voice import VoiceTrack, read_padded, sound_power


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return load_speech_encoder("studio")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 seconds of something that changes all the time."""
    rng = np.random.default_rng(0)
    t = np.arange(24 * 16000) / 16000
    tone = np.sin(2 * np.pi * (150 + 60 * np.sin(t)) * t) * (0.2 + 0.2 * np.sin(7 * t))
    sound = (tone + rng.normal(0, 0.02, len(t))).astype(np.float32)
    return media.write_audio(tmp_path_factory.mktemp("voice") / "speech.wav", sound)


def test_pieces_agree_with_the_whole(encoder: SpeechEncoder, speech: Path) -> None:
    pts = np.arange(0, 23.5, 1 / 25)
    whole = frame_tokens(encode_speech(encoder, media.read_audio(speech)), pts)
    voice = VoiceTrack(speech, encoder)
    pieces = torch.cat([voice.tokens(pts[start : start + 16]) for start in range(0, len(pts), 16)])
    # Within its field of view (0.34 s) of the ends the whole sees padding where the pieces hear silence.
    inner = slice(15, -15)
    assert torch.allclose(pieces[inner], whole[inner], atol=1e-3)


def test_few_blocks_are_held(encoder: SpeechEncoder, speech: Path) -> None:
    voice = VoiceTrack(speech, encoder)
    for start in np.arange(0, 23, 0.5):
        voice.tokens(start + np.arange(4) / 25)
        assert len(voice._blocks) <= 3


def test_frames_after_the_track_hear_silence(encoder: SpeechEncoder, speech: Path) -> None:
    voice = VoiceTrack(speech, encoder)
    after = voice.tokens(60 + np.arange(3) / 25)
    assert after.shape == (3, 10, encoder.width)
    assert torch.allclose(after[0], after[2], atol=1e-4)


def test_reading_beyond_both_ends_pads_with_silence(speech: Path) -> None:
    sound = read_padded(speech, -0.5, 25.0)
    assert len(sound) == round(25.5 * 16000)
    assert np.abs(sound[:8000]).max() == 0
    assert np.abs(sound[round(24.6 * 16000) :]).max() == 0
    assert np.allclose(sound[8000:9000], media.read_audio(speech)[:1000])
    assert np.abs(read_padded(speech, -3.0, -1.0)).max() == 0


def test_power_follows_the_sound(tmp_path: Path) -> None:
    sound = np.zeros(32000, np.float32)
    sound[16000:] = 0.5
    power = sound_power(media.write_audio(tmp_path / "step.wav", sound))
    assert len(power) == 100
    assert power[:45].max() < 1e-4
    assert power[55:95].min() == pytest.approx(0.25, rel=0.1)
