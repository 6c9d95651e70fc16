"""The speech encoder's training: what it hears is what was said, and it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.speech import load_speech_encoder, log_mel
from tasks.training.augment import add_noise, equalise, record, reverberate, stretch

pytest.importorskip("espeakng_loader", reason="the studio's voice is an extra")

from tasks.training.speech import (
    HELD_OUT_VOICES,
    Utterance,
    draw,
    evaluate_speech,
    make_utterances,
    sample_speech,
    train_speech,
)


def _click(at_s: float = 0.5) -> np.ndarray:
    audio = np.zeros(16000, np.float32)
    start = int(at_s * 16000)
    audio[start : start + 200] = np.hanning(200) * np.sin(np.arange(200))
    return audio


def test_recordings_keep_time_and_length() -> None:
    click, rng = _click(), np.random.default_rng(0)
    for change in (equalise, reverberate, add_noise, record):
        for _ in range(5):
            heard = change(click, rng)
            assert heard.shape == click.shape
            loudest = int(np.argmax(np.convolve(heard.astype(np.float64) ** 2, np.ones(200), mode="same")))
            assert abs(loudest - 8100) < 250, change.__name__


def test_stretch_moves_the_click() -> None:
    fast = stretch(_click(), 1.25)
    assert len(fast) == pytest.approx(12800, abs=2)
    assert int(np.argmax(np.abs(fast))) == pytest.approx(8100 / 1.25, abs=120)


def test_held_out_voices_and_sentences_stay_apart() -> None:
    rng = np.random.default_rng(0)
    train, test = (sample_speech(rng, split, 1.0) for split in ("train", "test"))
    assert train.voice.variant not in HELD_OUT_VOICES
    assert test.voice.variant in HELD_OUT_VOICES
    assert train.text != test.text


def test_curves_follow_the_stretched_sound() -> None:
    """A sound that is loud exactly while the jaw is open stays so through every change of speed."""
    rng = np.random.default_rng(1)
    gate = (np.sin(2 * np.pi * 1.3 * np.arange(800) / 100) > 0).astype(np.float16)
    audio = np.repeat(gate, 160) * rng.normal(0, 0.2, 128000)
    made = Utterance((audio * 32767).astype(np.int16), np.repeat(gate[:, None], 6, axis=1))
    for _ in range(6):
        sound, curves = draw([made, made], rng, 2.0)
        assert sound.shape == (32000,)
        assert curves.shape == (100, 6)
        level = log_mel(sound).mean(axis=0)[::2]
        fit = [np.corrcoef(np.roll(level, shift)[8:-8], curves[8:-8, 0])[0, 1] for shift in range(-6, 7)]
        assert max(fit) > 0.75  # rooms and noise of the augmentation blur the level
        assert abs(int(np.argmax(fit)) - 6) <= 2  # 20 ms each: in step, whatever the speed


@pytest.mark.slow
def test_training_learns_and_saves_what_loads(tmp_path: Path) -> None:
    metrics = train_speech(tmp_path, steps=40, hours=0.02, batch_size=4, width=48)
    assert metrics["steps"] == 40
    assert metrics["r_jaw"] > 0.4
    assert load_speech_encoder(tmp_path).width == 48


def test_the_shipped_encoder_hears_people_it_never_heard() -> None:
    metrics = evaluate_speech(load_speech_encoder("studio"), make_utterances(40, "test", seed=11))
    assert metrics["r_jaw"] > 0.9
    assert metrics["r_press"] > 0.9
