"""Lips: closed where people close them, at rest in silence, ahead of the sound, the same for the same sound."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.studio.controls import ARTICULATION
from tasks.studio.speech import SAMPLE_RATE, Phoneme, Speech, Voice, speak
from tasks.studio.visemes import articulation, loudness, segments

JAW, WIDE, ROUND, PRESS, TUCK, TONGUE = range(len(ARTICULATION))


def toned(*phonemes: tuple[str, float]) -> Speech:
    """Phonemes of given lengths with an even tone under them; "" is silent."""
    spans, at = [], 0.0
    for symbol, seconds in phonemes:
        spans.append(Phoneme(symbol, at, at + seconds))
        at += seconds
    times = np.arange(round(at * SAMPLE_RATE)) / SAMPLE_RATE
    audio = (0.2 * np.sin(2 * np.pi * 150 * times)).astype(np.float32)
    for span in spans:
        if not span.symbol:
            audio[round(span.start_s * SAMPLE_RATE) : round(span.end_s * SAMPLE_RATE)] = 0
    return Speech(audio, spans, [], "", Voice())


@pytest.mark.parametrize("letter", ["p", "b", "m"])
@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97])
@pytest.mark.parametrize("shift", [0.0, 0.013, 0.027])
def test_a_bilabial_is_closed_in_some_frame_of_any_rate(letter: str, fps: float, shift: float) -> None:
    speech = toned(("", 0.3), ("ˈɑː", 0.15), (letter, 0.05), ("ɑ", 0.2), ("", 0.3))
    closed = speech.phonemes[2]
    times = np.arange(shift, speech.duration_s, 1 / fps)
    curve = articulation(speech, times)
    near = np.abs(times - (closed.start_s + closed.end_s) / 2) <= 1 / fps
    assert curve[near, PRESS].max() == 1.0
    assert curve[near, JAW].min() < 0.08


def test_vowels_round_a_bilabial_open() -> None:
    speech = toned(("", 0.2), ("ˈɑː", 0.2), ("m", 0.08), ("ɑ", 0.2), ("", 0.2))
    opened = articulation(speech, [0.3, 0.58])
    assert (opened[:, JAW] > 0.5).all()
    assert (opened[:, PRESS] < 0.05).all()


def test_silence_closes_the_mouth() -> None:
    speech = toned(("", 0.6), ("ɑ", 0.3), ("", 0.8))
    quiet = articulation(speech, [0.0, 0.2, 0.4, 1.15, 1.3, 1.6])
    assert quiet[:, [JAW, WIDE, ROUND, TUCK, TONGUE]].max() < 0.02


def test_the_lips_are_ahead_of_the_sound() -> None:
    speech = toned(("", 0.5), ("u", 0.3), ("", 0.5))
    before = articulation(speech, [0.46])[0]
    assert before[ROUND] > 0.1


def test_sounds_have_their_shapes() -> None:
    def shape(symbol: str) -> np.ndarray:
        return articulation(toned(("", 0.2), (symbol, 0.2), ("", 0.2)), [0.3])[0]

    assert shape("ɑ")[JAW] > shape("ɛ")[JAW] > shape("i")[JAW] > shape("s")[JAW]
    assert shape("i")[WIDE] > 0.7
    assert shape("u")[ROUND] > 0.7
    assert shape("u")[WIDE] < 0.1
    assert shape("f")[TUCK] == 1.0
    assert shape("θ")[TONGUE] == 1.0


def test_diphthongs_move_and_affricates_have_two_parts() -> None:
    speech = toned(("", 0.2), ("ˈaʊ", 0.3), ("", 0.2))
    start, end = articulation(speech, [0.27, 0.46])
    assert start[JAW] > end[JAW]
    assert end[ROUND] > start[ROUND]
    assert len(segments([Phoneme("tʃ", 0.0, 0.1)])) == 2


def test_a_louder_voice_opens_wider_but_stays_in_range() -> None:
    speech = toned(("", 0.2), ("ɑ", 0.3), ("", 0.2))
    quiet = Speech(speech.audio * 0.05, speech.phonemes, [], "", Voice())
    assert articulation(quiet, [0.35])[0, JAW] < 0.9 * articulation(speech, [0.35])[0, JAW]
    curve = articulation(speech, np.arange(0, 0.7, 0.01))
    assert curve.min() >= 0
    assert curve.max() <= 1


def test_loudness_is_zero_in_silence_and_near_one_for_a_full_voice() -> None:
    speech = toned(("", 0.5), ("ɑ", 0.5))
    silent, full = loudness(speech.audio, [0.2, 0.75])
    assert silent == 0
    assert full == pytest.approx(0.93, abs=0.1)


def test_curves_depend_on_time_not_on_the_frame_grid() -> None:
    speech = toned(("", 0.1), ("m", 0.1), ("ɛ", 0.2), ("s", 0.1), ("u", 0.2), ("", 0.2))
    fine = articulation(speech, np.arange(0, 0.9, 0.01))
    np.testing.assert_allclose(articulation(speech, np.arange(0, 0.9, 0.04)), fine[::4][:23], atol=1e-6)


def test_lips_follow_real_speech() -> None:
    pytest.importorskip("espeakng_loader")
    speech = speak("Everybody in my family bought a beautiful apple, but nobody wanted it.", "en-us+f2")
    times = np.arange(0, speech.duration_s, 0.04)
    curve = articulation(speech, times)
    assert np.corrcoef(curve[:, JAW], loudness(speech.audio, times))[0, 1] > 0.4
    for phoneme in speech.phonemes:
        if phoneme.symbol in ("p", "b", "m"):
            assert curve[np.abs(times - (phoneme.start_s + phoneme.end_s) / 2) <= 0.04, PRESS].max() > 0.99


def test_nothing_said_is_a_mouth_at_rest() -> None:
    still = articulation(Speech(np.zeros(1600, np.float32), [], [], "", Voice()), [0.0, 0.05])
    assert still.shape == (2, 6)
    assert not still.any()
