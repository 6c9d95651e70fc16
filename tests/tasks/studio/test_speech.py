"""The studio's speech: phoneme times that fit the sound, the same samples every time, moods that can be heard."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tasks.studio.controls import EMOTIONS
from tasks.studio.sentences import SPLITS, sample_sentence, split_of
from tasks.studio.speech import (
    ACCENTS,
    FEMININE,
    LANGUAGES,
    MASCULINE,
    SAMPLE_RATE,
    MissingSpeech,
    Speech,
    Voice,
    join,
    sample_voice,
    speak,
)

TEXT = "Bob moved the big box."


@pytest.fixture
def spoken() -> Speech:
    pytest.importorskip("espeakng_loader")
    return speak(TEXT, "en-us+m3")


def test_phonemes_cover_the_sound_in_order_without_gaps(spoken: Speech) -> None:
    assert spoken.phonemes[0].start_s == 0
    assert spoken.phonemes[-1].end_s == pytest.approx(spoken.duration_s)
    for before, after in zip(spoken.phonemes, spoken.phonemes[1:], strict=False):
        assert before.end_s == after.start_s
        assert before.end_s > before.start_s


def test_phoneme_times_fit_the_sound(spoken: Speech) -> None:
    def power(symbols: str) -> float:
        parts = [
            spoken.audio[round(p.start_s * SAMPLE_RATE) : round(p.end_s * SAMPLE_RATE)]
            for p in spoken.phonemes
            if (p.symbol.strip("ˈː") in symbols.split() if symbols else not p.symbol)
        ]
        return float((np.concatenate(parts) ** 2).mean())

    assert power("ɑ ɪ uː u") > 10 * power("b k d") > 0
    assert power("") < 1e-4 * power("ɑ ɪ uː u")


def test_words_are_those_of_the_text(spoken: Speech) -> None:
    assert [word.text for word in spoken.words] == ["Bob", "moved", "the", "big", "box"]
    assert all(word.end_s > word.start_s for word in spoken.words)


def test_the_same_words_sound_the_same_whatever_was_said_before(spoken: Speech) -> None:
    speak("Ganz etwas anderes.", "de+f2")
    again = speak(TEXT, "en-us+m3")
    np.testing.assert_array_equal(again.audio, spoken.audio)
    assert again.phonemes == spoken.phonemes


def test_sadness_is_slow_and_quiet_and_anger_quick_and_loud(spoken: Speech) -> None:
    sad, angry = (speak(TEXT, "en-us+m3", emotion=name, intensity=3) for name in ("sad", "angry"))
    assert angry.duration_s < spoken.duration_s < sad.duration_s
    assert np.abs(angry.audio).max() > np.abs(spoken.audio).max() > np.abs(sad.audio).max()


def test_every_voice_speaks() -> None:
    pytest.importorskip("espeakng_loader")
    for accents in ACCENTS.values():
        for accent in set(accents):
            assert speak("Ma", f"{accent}+m1").duration_s > 0.1
    for variant in (*FEMININE, *MASCULINE):
        assert np.abs(speak("Ma", f"en-us+{variant}").audio).max() > 0.1


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_speaks_its_sentences(language: str) -> None:
    pytest.importorskip("espeakng_loader")
    rng = np.random.default_rng(3)
    speech = speak(sample_sentence(rng, language), sample_voice(rng, language), emotion="happy", intensity=1)
    assert speech.audio.dtype == np.float32
    assert len([p for p in speech.phonemes if p.symbol]) >= 6


def test_unknown_voice_and_emotion_are_refused() -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(ValueError, match="no voice 'xx"):
        speak(TEXT, "xx+m1")
    with pytest.raises(ValueError, match="unknown emotion 'bored'"):
        speak(TEXT, emotion="bored")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingSpeech, match=r"pip install 'dubwright\[studio\]'"):
        speak(TEXT)


def test_a_window_keeps_sound_and_phonemes_together(spoken: Speech) -> None:
    window = spoken.window(-0.5, 3.0)
    assert len(window.audio) == round(3.5 * SAMPLE_RATE)
    assert window.phonemes[0].symbol == ""
    assert window.phonemes[0].end_s == pytest.approx(0.5)
    first, shifted = (next(p for p in speech.phonemes if p.symbol) for speech in (spoken, window))
    assert shifted.start_s == pytest.approx(first.start_s + 0.5)
    np.testing.assert_array_equal(window.audio[8000 : 8000 + 1000], spoken.audio[:1000])
    assert window.phonemes[-1].end_s == pytest.approx(3.5)


def test_joined_passages_follow_each_other(spoken: Speech) -> None:
    both = join([spoken, spoken], pause_s=0.25)
    assert both.duration_s == pytest.approx(2 * spoken.duration_s + 0.25)
    assert both.phonemes[-1].end_s == pytest.approx(both.duration_s)
    assert [w.text for w in both.words] == 2 * [w.text for w in spoken.words]


def test_sentences_belong_to_one_split_and_are_many() -> None:
    rng = np.random.default_rng(0)
    for language in LANGUAGES:
        found = {split: {sample_sentence(rng, language, split) for _ in range(120)} for split in SPLITS}
        assert not found["train"] & found["test"]
        assert not found["train"] & found["val"]
        assert not found["val"] & found["test"]
        assert len(found["train"]) > 80
        assert all(split_of(text) == split for split, texts in found.items() for text in texts)


def test_emotions_have_a_prosody_each() -> None:
    from tasks.studio.acting import POSTURES
    from tasks.studio.speech import PROSODY

    assert tuple(PROSODY) == EMOTIONS == tuple(POSTURES)
    assert Voice().name == "en-us+m1"
