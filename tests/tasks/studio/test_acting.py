"""Acting: moods in face, head and eyes, lips that stay readable, blinks, and the same performance every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.studio.acting import MAX_YAW, Style, act, sample_style
from tasks.studio.controls import AUS, EMOTIONS
from tasks.studio.speech import SAMPLE_RATE, Phoneme, Speech, Voice
from tasks.studio.visemes import articulation

STILL = Style(sway=0.0, blink_every_s=1e6)


def talk(emotion: str = "neutral", intensity: int = 0, seconds: float = 4.0) -> Speech:
    """Ma-ma-ma with a stressed vowel every half second."""
    phonemes = []
    for start in np.arange(0.2, seconds - 0.5, 0.5):
        phonemes += [
            Phoneme("m", start, start + 0.1),
            Phoneme("ˈɑ", start + 0.1, start + 0.3),
            Phoneme("", start + 0.3, start + 0.5),
        ]
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    audio = (0.2 * np.sin(2 * np.pi * 140 * times)).astype(np.float32)
    return Speech(audio, phonemes, [], "", Voice(), emotion, intensity)


TIMES = np.arange(100) / 25


def au(name: str) -> int:
    return AUS.index(name)


def test_the_same_seed_gives_the_same_performance_and_another_another() -> None:
    first, again, other = (act(talk("happy", 2), TIMES, seed) for seed in (7, 7, 8))
    for name in ("aus", "articulation", "pose", "gaze"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.allclose(first.pose, other.pose)
    np.testing.assert_array_equal(first.articulation, other.articulation)


def test_times_may_be_any() -> None:
    speech = talk("angry", 3)
    whole, film = act(speech, TIMES, 3), act(speech, TIMES[10:60:7], 3)
    np.testing.assert_allclose(film.pose, whole.pose[10:60:7], atol=1e-6)
    np.testing.assert_allclose(film.aus, whole.aus[10:60:7], atol=1e-6)


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_a_stronger_emotion_shows_more(emotion: str) -> None:
    shown = [act(talk(emotion, intensity), TIMES, 1, STILL).aus.sum() for intensity in (1, 2, 3)]
    assert shown[0] < shown[1] < shown[2]


def test_controls_stay_in_range() -> None:
    for emotion in EMOTIONS:
        for seed in range(6):
            controls = act(talk(emotion, 0 if emotion == "neutral" else 3), TIMES, seed)
            assert controls.aus.min() >= 0
            assert controls.aus.max() <= 1
            assert np.abs(controls.pose[:, 0]).max() <= MAX_YAW + 1e-6
            assert np.abs(np.diff(controls.pose[:, :3], axis=0)).max() < 0.12


def test_lips_are_those_of_the_sound_whatever_the_mood() -> None:
    expected = articulation(talk(), TIMES)
    for emotion in EMOTIONS:
        speech = talk(emotion, 0 if emotion == "neutral" else 3)
        np.testing.assert_array_equal(act(speech, TIMES, 5).articulation, expected)


def test_moods_do_not_open_a_pressed_mouth() -> None:
    for emotion in ("surprised", "fearful", "happy"):
        controls = act(talk(emotion, 3), TIMES, 2, STILL)
        pressed = controls.articulation[:, 3] == 1
        assert pressed.any()
        assert controls.aus[pressed][:, [au("AU25"), au("AU26")]].max() == 0


def test_people_blink_and_close_both_eyes() -> None:
    long = np.arange(0, 20, 0.04)
    closed = act(talk(seconds=20), long, 4, Style(blink_every_s=3.0)).aus[:, [au("AU43L"), au("AU43R")]]
    np.testing.assert_array_equal(closed[:, 0], closed[:, 1])
    blinks = int((np.diff((closed[:, 0] > 0.5).astype(int)) == 1).sum())
    assert 3 <= blinks <= 14
    assert (closed[:, 0] > 0.5).mean() < 0.15


def test_the_head_nods_with_stress() -> None:
    speech = talk()
    plain = replace(speech, phonemes=[Phoneme(p.symbol.strip("ˈ"), p.start_s, p.end_s) for p in speech.phonemes])
    lively = Style(sway=1.0, blink_every_s=1e6)
    nodding, calm = act(speech, TIMES, 9, lively).pose[:, 1], act(plain, TIMES, 9, lively).pose[:, 1]
    assert np.abs(nodding - calm).max() > 0.01


def test_sadness_lowers_the_head_and_contempt_raises_it() -> None:
    sad, contempt = (act(talk(name, 3), TIMES, 3, STILL).pose[:, 1].mean() for name in ("sad", "contempt"))
    assert sad < -0.08 < 0.05 < contempt


def test_eyes_look_at_the_camera_when_the_head_is_turned() -> None:
    controls = act(talk("angry", 3), TIMES, 6, Style(yaw=0.3, sway=0.0, blink_every_s=1e6))
    assert np.median(np.abs(controls.gaze[:, 0] + controls.pose[:, 0])) < 0.05


def test_styles_reach_far_but_not_too_far() -> None:
    yaws = np.array([sample_style(np.random.default_rng(seed)).yaw for seed in range(300)])
    assert np.abs(yaws).max() <= MAX_YAW
    assert 0.08 < (np.abs(yaws) > 0.3).mean() < 0.3
