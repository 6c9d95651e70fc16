"""What somebody feels: frames vote, silence is neutral, face and voice are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.emotion import EMOTIONS, FaceEmotion, MissingEmotion, VoiceEmotion, load_face_emotion, load_voice_emotion
from tasks.emotion import Feeling, face_emotion, join_feelings, units_emotion, voice_emotion, voice_inputs
from tasks.studio.controls import emotion_aus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained recognisers as a pack would hold them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("emotion")
    FaceEmotion().save_pretrained(path / "face")
    VoiceEmotion().save_pretrained(path / "voice")
    return path


def _feeling(name: str, share: float, intensity: int, source: str) -> Feeling:
    probabilities = np.full(8, (1 - share) / 7, np.float32)
    probabilities[EMOTIONS.index(name)] = share
    return Feeling(name, intensity, probabilities, source)


def test_crops_of_any_size_give_one_feeling(folder: Path) -> None:
    recogniser = load_face_emotion(folder)
    for size in (64, 128, 256):
        crops = [np.full((size, size, 3), level, np.uint8) for level in range(40, 80)]
        feeling = face_emotion(crops, recogniser)
        assert feeling.source == "face"
        assert feeling.probabilities.shape == (8,)
        assert feeling.probabilities.sum() == pytest.approx(1, abs=1e-4)
        assert feeling.score == feeling.probabilities.max()
        assert (feeling.intensity == 0) == (feeling.emotion == "neutral")
    with pytest.raises(ValueError, match="no crops"):
        face_emotion([], recogniser)


def test_the_face_recogniser_carries_gradients() -> None:
    crops = torch.rand(2, 3, 128, 128, requires_grad=True)
    logits, intensity = FaceEmotion()(crops)
    (logits.sum() + intensity.sum()).backward()
    assert crops.grad is not None
    assert crops.grad.abs().sum() > 0


def test_silence_is_neutral(folder: Path) -> None:
    feeling = voice_emotion(np.zeros(32000, np.float32), load_voice_emotion(folder))
    assert (feeling.emotion, feeling.intensity, feeling.source) == ("neutral", 0, "voice")


def test_voice_inputs_have_fixed_shapes() -> None:
    for audio in (np.zeros(0), np.zeros(8000), np.random.default_rng(0).normal(0, 0.1, 16000)):
        vector, spectrum, _ = voice_inputs(audio)
        assert vector.shape == (10,)
        assert spectrum.shape == (160,)
        assert np.isfinite(vector).all()
        assert np.isfinite(spectrum).all()


def test_the_face_outweighs_the_voice() -> None:
    face, voice = _feeling("happy", 0.9, 3, "face"), _feeling("sad", 0.9, 1, "voice")
    joined = join_feelings(face, voice)
    assert joined is not None
    assert (joined.emotion, joined.source) == ("happy", "face+voice")
    unsure = join_feelings(_feeling("happy", 0.2, 1, "face"), voice)
    assert unsure is not None
    assert unsure.emotion == "sad"
    assert join_feelings(None, voice) is voice
    assert join_feelings(face, None) is face
    assert join_feelings(None, None) is None


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_action_units_name_the_emotion_they_are_the_prototype_of(emotion: str) -> None:
    level = 0 if emotion == "neutral" else 3
    shown = np.tile(emotion_aus(emotion, level), (20, 1))
    shown[::4] = 0  # a blink of the detector is no change of mind
    read = units_emotion(shown)
    assert (read.emotion, read.source) == (emotion, "units")
    assert read.probabilities.sum() == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match="no action units"):
        units_emotion(np.zeros((0, 20)))


def test_action_units_decide_where_face_and_voice_hesitate() -> None:
    face, voice = _feeling("happy", 0.3, 3, "face"), _feeling("sad", 0.3, 1, "voice")
    joined = join_feelings(face, voice, units_emotion(np.tile(emotion_aus("contempt", 2), (20, 1))))
    assert joined is not None
    assert (joined.emotion, joined.source) == ("contempt", "face+voice+units")
    assert joined.intensity == 2  # of face and voice, 3 to 1
    sure = join_feelings(_feeling("happy", 0.97, 3, "face"), voice, units_emotion(np.zeros((20, 20))))
    assert sure is not None and sure.emotion == "happy"


def test_missing_recogniser_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingEmotion) as caught:
        load_face_emotion(tmp_path)
    assert "emotion" in caught.value.remedy
