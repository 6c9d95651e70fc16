"""The vocabulary of captions; posture, manner, face, voice and trend come from measures."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tasks.captions import (
    FACES,
    FEELINGS,
    HEADS,
    MANNERS,
    PACES,
    POSTURES,
    VOICES,
    face_of,
    head_of,
    manner_of,
    sentence,
    trend_of,
    voice_of,
)
from tasks.speech import Prosody
from tasks.studio.controls import AUS, EMOTIONS, emotion_aus

CALM = Prosody(-24, 19, 150, 5, -3, 4.9, 0.7, 0.1, 0.15, -4)


def units(frames: int = 30, **values: float) -> np.ndarray:
    """Action units [frames, 20] with the given ones at a constant intensity."""
    found = np.zeros((frames, len(AUS)), np.float32)
    for name, value in values.items():
        found[:, AUS.index(name)] = value
    return found


def test_every_caption_is_a_sentence_of_its_own() -> None:
    seen = set()
    for emotion, manner, head, voice in itertools.product(EMOTIONS, MANNERS, HEADS, VOICES):
        for intensity in (0,) if emotion == "neutral" else (1, 2, 3):
            text = sentence(emotion, intensity, manner, head, voice)
            assert text.endswith(".")
            assert "  " not in text
            assert ", ," not in text
            seen.add(text)
    assert len(seen) == 22 * len(MANNERS) * len(HEADS) * len(VOICES)


def test_every_attribute_has_words_of_both_kinds() -> None:
    assert set(PACES) == set(VOICES)
    assert set(POSTURES) == set(HEADS)
    assert set(FEELINGS) == set(EMOTIONS)
    assert all(len(phrases[level]) for phrases in FEELINGS.values() for level in (1, 2, 3))


def test_random_wording_keeps_the_emotion() -> None:
    rng = np.random.default_rng(0)
    texts = {sentence("sad", 2, "restrained", "lowered", "soft", rng) for _ in range(30)}
    assert len(texts) > 10
    assert all("sadly" in text for text in texts)


def test_unknown_attributes_are_refused() -> None:
    for arguments in (("joy", 1), ("happy", 0), ("neutral", 2), ("happy", 4), ("happy", 1, "wild")):
        with pytest.raises(ValueError):
            sentence(*arguments)


@pytest.mark.parametrize(
    ("pose", "name"),
    [((0.6, 0.25, 0), "turned"), ((0, 0.5, 0), "lowered"), ((0, 0, 0), "raised"), ((0, 0.25, -0.3), "tilted")],
)
def test_posture(pose: tuple[float, float, float], name: str) -> None:
    assert head_of(np.tile(np.array(pose), (50, 1)), np.arange(50) / 25) == name


def test_movement_of_the_head() -> None:
    pts = np.arange(100) / 25
    upright = np.array([0, 0.25, 0])
    swing = np.stack([0.25 * np.sin(3 * pts), 0.1 * np.sin(5 * pts), 0 * pts], axis=-1)
    tremble = np.random.default_rng(0).normal(0, 0.02, (100, 3))
    assert head_of(upright + swing, pts) == "lively"
    assert head_of(upright + swing / 3, pts) == "steady"
    assert head_of(upright + tremble, pts) == "still"
    assert head_of(np.zeros((0, 3)), np.zeros(0)) == "steady"


def test_manner_follows_the_mouth() -> None:
    time = np.arange(100) / 25
    assert manner_of(0.05 * np.abs(np.sin(9 * time))) == "restrained"
    assert manner_of(0.4 * np.abs(np.sin(9 * time))) == "expressive"
    assert manner_of(0.25 * np.abs(np.sin(9 * time))) == "plain"
    assert manner_of(np.full(100, np.nan)) == "plain"


def test_voice_names_what_stands_out() -> None:
    assert voice_of(CALM) == "even"
    assert voice_of(replace(CALM, rate_hz=7.5)) == "fast"
    assert voice_of(replace(CALM, rate_hz=2.5)) == "slow"
    assert voice_of(replace(CALM, level_db=-10)) == "loud"
    assert voice_of(replace(CALM, level_db=-40)) == "soft"
    assert voice_of(replace(CALM, pitch_range=0.5)) == "flat"
    assert voice_of(replace(CALM, voiced=0)) == "even"


def test_the_face_is_told_by_the_plainest_sign_of_brows_and_mouth() -> None:
    assert face_of(units()) == ()
    assert face_of(units(AU4=0.8, AU7=0.6, AU23=0.5)) == ("brows lowered", "lips pressed")
    assert face_of(units(AU1=0.9, AU2=0.9)) == ("brows raised",)
    assert face_of(units(AU1=0.9, AU4=0.5, AU15=0.8)) == ("inner brows raised", "mouth corners down")
    assert face_of(units(AU12L=0.6, AU14L=0.9)) == ("one mouth corner up",)
    assert face_of(units(AU12L=0.9, AU12R=0.9)) == ("mouth corners up",)
    assert face_of(np.zeros((0, 20))) == ()
    spoken = units()
    spoken[::5, AUS.index("AU4")] = 1.0  # one frame in five: an accent, no expression
    assert face_of(spoken) == ()
    for emotion in EMOTIONS:
        assert set(face_of(np.tile(emotion_aus(emotion, 3), (9, 1)))) <= set(FACES)


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_a_feeling_grows_or_fades_with_its_own_expression(emotion: str) -> None:
    grown = np.linspace(0.1, 1.0, 30)[:, None] * emotion_aus(emotion, 3)
    assert trend_of(emotion, grown, None) == "rising"
    assert trend_of(emotion, grown[::-1], None) == "fading"
    assert trend_of(emotion, np.tile(grown[15], (30, 1)), None) == "steady"
    assert trend_of("neutral", grown, None) == "steady"


def test_without_a_face_the_rising_voice_tells() -> None:
    assert trend_of("angry", None, replace(CALM, pitch_slope=5.0)) == "rising"
    assert trend_of("angry", None, CALM) == "steady"
    assert trend_of("angry", None, None) == "steady"
