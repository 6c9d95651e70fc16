"""The dub track in pieces: the same tokens as of the whole, at any time, and silence beyond the ends."""

from pathlib import Path

import numpy as np
import pytest
import torch
import whisper

from models.speech import Ends, SpeechEncoder, encode_speech, frame_tokens, load_speech_encoder
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


@pytest.fixture(scope="module")
def narrow_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whisper checkpoint with an encoder of 5 states, 16 wide, and one for the length of whisper's own context."""
    torch.manual_seed(0)
    dims = whisper.model.ModelDimensions(80, 1500, 16, 2, 4, 64, 16, 16, 2, 1)
    model = whisper.model.Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    path = tmp_path_factory.mktemp("whisper") / "narrow.pt"
    torch.save({"dims": vars(dims), "model_state_dict": model.state_dict()}, path)
    return path


@pytest.mark.parametrize("ends", ["repeat", "zeros"])
def test_the_ends_of_a_track_are_heard_as_a_public_base_was_given_them(
    ends: Ends, narrow_whisper: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, 2 * 16000).astype(np.float32)
    path = media.write_audio(tmp_path / "two.wav", sound)
    encoder = load_speech_encoder(narrow_whisper, normed_last=ends == "zeros")
    pts = np.arange(50) / 25
    whole = frame_tokens(encode_speech(encoder, media.read_audio(path)), pts, ends=ends)
    voice = VoiceTrack(path, encoder, ends=ends)
    pieces = torch.cat([voice.tokens(pts[start : start + 16]) for start in range(0, len(pts), 16)])
    assert pieces.shape == (50, 50, 16)
    # the last features see whether the sound breaks off or fades into silence
    assert torch.allclose(pieces[:45], whole[:45], atol=2e-2)
    first, last = pieces[0].reshape(10, 5, 16), pieces[-1].reshape(10, 5, 16)
    if ends == "zeros":
        assert not first[:4].any() and first[4:].any(1).all()
        assert not last[6:].any()
    else:
        assert torch.equal(first[0], first[4]) and torch.equal(last[5], last[9])
    after = voice.tokens(np.array([10.0]))
    assert after.any(-1).all() and not torch.equal(after[0, :5], after[0, 5:10]), "long after the end silence is heard"


def test_a_long_track_is_heard_in_blocks_that_fill_whisper_s_context(narrow_whisper: Path, speech: Path) -> None:
    encoder = load_speech_encoder(narrow_whisper)
    voice = VoiceTrack(speech, encoder, ends="repeat")
    assert voice._length + 2 * voice._margin == 1500
    pts = np.arange(22, 23.9, 1 / 25)
    whole = frame_tokens(encode_speech(encoder, media.read_audio(speech)), pts)
    assert torch.allclose(voice.tokens(pts)[:-5], whole[:-5], atol=2e-2)
    assert len(voice._blocks) == 1
