"""Where there is speech, how loud it is, and its prosody."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.speech import loudness, loudness_lufs, pitch_track, prosody, share_of, voice_activity


def _voice(seconds: float, hz: float, syllables: float = 4.0, melody: float = 0.0, level: float = 0.1) -> np.ndarray:
    """A buzz at `hz` that swings by ± `melody` semitones, with so many syllables a second."""
    time = np.arange(int(seconds * 16000)) / 16000
    pitch = hz * 2 ** (melody / 12 * np.sin(2 * np.pi * 0.5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    buzz = sum(np.sin(k * phase) / k for k in range(1, 16))
    return (level * buzz * (0.55 - 0.45 * np.cos(2 * np.pi * syllables * time))).astype(np.float32)


@pytest.mark.parametrize("hz", [80.0, 125.0, 220.0, 380.0])
def test_pitch_is_found_without_octave_errors(hz: float) -> None:
    pitch, strength, level = pitch_track(_voice(1.0, hz))
    assert len(pitch) == len(strength) == len(level)
    assert np.median(pitch) == pytest.approx(hz, rel=0.02)
    assert np.mean(np.abs(pitch[strength > 0.5] / hz - 1) > 0.1) < 0.02


def test_noise_has_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    assert np.mean(pitch_track(noise)[1] > 0.5) < 0.05


def test_prosody_measures_melody_rate_and_level() -> None:
    calm = prosody(_voice(3, 120, syllables=3, melody=0.3))
    lively = prosody(_voice(3, 120, syllables=6, melody=4, level=0.3))
    assert calm.pitch_range < 1.5 < 5 < lively.pitch_range
    assert calm.rate_hz == pytest.approx(3, abs=0.6)
    assert lively.rate_hz == pytest.approx(6, abs=1.0)
    assert lively.level_db - calm.level_db == pytest.approx(9.5, abs=2)
    assert calm.vector().shape == (10,)
    assert np.isfinite(calm.vector()).all()


def test_prosody_of_silence_and_of_nothing() -> None:
    for audio in (np.zeros(16000), np.zeros(0), np.zeros(100)):
        silent = prosody(audio)
        assert silent.voiced == 0
        assert np.isfinite(silent.vector()).all()


def test_loudness_is_rms() -> None:
    sine = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert loudness(sine) == pytest.approx(-3.01, abs=0.05)
    assert loudness(np.zeros(100)) == -90
    assert loudness(np.zeros(0)) == -90


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_full_scale_sine_has_the_loudness_that_the_standard_says(rate: int) -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * rate) / rate)
    assert loudness_lufs(sine, rate) == pytest.approx(-3.01, abs=0.05)
    assert loudness_lufs(0.1 * sine, rate) == pytest.approx(-23.01, abs=0.05)


def test_loudness_leaves_pauses_out_and_knows_silence() -> None:
    sine = 0.1 * np.sin(2 * np.pi * 997 * np.arange(5 * 16000) / 16000)
    paused = np.concatenate([sine, np.zeros(10 * 16000), sine])
    assert loudness_lufs(paused) == pytest.approx(loudness_lufs(sine), abs=0.2)
    assert loudness_lufs(sine[:1600]) == pytest.approx(loudness_lufs(sine), abs=0.5)  # shorter than a block
    for silent in (np.zeros(16000), np.zeros(0), np.zeros(10)):
        assert loudness_lufs(silent) == -70.0


def test_share_of_spans() -> None:
    assert share_of([(0.0, 1.0), (2.0, 2.5)], 3.0) == pytest.approx(0.5)
    assert share_of([], 3.0) == 0 == share_of([], 0.0)


def test_voice_activity_finds_where_somebody_speaks() -> None:
    pytest.importorskip("espeakng_loader")
    from tasks.studio.speech import speak

    spoken = speak("My brother found the big blue boat behind the church.", "en-us+m3").audio
    audio = np.concatenate([np.zeros(16000, np.float32), spoken, np.zeros(16000, np.float32)])
    spans = voice_activity(audio)
    assert spans
    assert spans[0][0] == pytest.approx(1.0, abs=0.25)
    assert spans[-1][1] == pytest.approx(1.0 + len(spoken) / 16000, abs=0.35)
    assert voice_activity(np.zeros(32000, np.float32)) == []
    assert voice_activity(np.zeros(10, np.float32)) == []
