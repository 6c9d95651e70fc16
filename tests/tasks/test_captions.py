"""Captions: one natural sentence; labels win; posture, manner and voice come from measures."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tasks.captions import (
    HEADS,
    MANNERS,
    VOICES,
    caption_label,
    caption_measured,
    head_of,
    manner_of,
    sentence,
    voice_of,
)
from tasks.emotion import Feeling
from tasks.speech import Prosody
from tasks.studio.controls import EMOTIONS

CALM = Prosody(-24, 19, 150, 5, -3, 4.9, 0.7, 0.1, 0.15, -4)


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


def test_random_wording_keeps_the_emotion() -> None:
    rng = np.random.default_rng(0)
    texts = {sentence("sad", 2, "restrained", "lowered", "soft", rng) for _ in range(30)}
    assert len(texts) > 10
    assert all("sadly" in text for text in texts)


def test_unknown_attributes_are_refused() -> None:
    for arguments in (("joy", 1), ("happy", 0), ("neutral", 2), ("happy", 4), ("happy", 1, "wild")):
        with pytest.raises(ValueError):
            sentence(*arguments)


def test_a_label_is_kept_and_named_as_the_source() -> None:
    caption = caption_label("angry", None, head="lowered")
    assert (caption.source, caption.emotion, caption.intensity) == ("label", "angry", 2)
    assert caption.text == "A person speaks angrily, with the head lowered."
    assert caption_label("neutral", 3).intensity == 0


def test_a_measured_feeling_is_named_as_such() -> None:
    feeling = Feeling("fearful", 3, np.eye(8, dtype=np.float32)[5], "face")
    caption = caption_measured(feeling, voice="fast")
    assert caption.source == "measured"
    assert caption.text == "A person speaks terrified, speaking fast."


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
