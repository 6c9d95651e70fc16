"""Free texts that judge a text encoder must not have taught it."""

from __future__ import annotations

from itertools import chain

import pytest

from models.text import EMOTIONS, load_text
from tasks.emotion_phrases import FREE_TEXTS, read_free_texts
from tasks.training import phrases


def test_five_texts_an_emotion_and_none_of_them_is_trained_on() -> None:
    assert tuple(FREE_TEXTS) == EMOTIONS
    texts = list(chain.from_iterable(FREE_TEXTS.values()))
    assert len(set(texts)) == 40
    assert all(len(group) == 5 for group in FREE_TEXTS.values())
    taught = " ; ".join(chain.from_iterable(phrases.IDIOMS.values())).lower()
    assert not [text for text in texts if text.lower() in taught]


def test_the_report_counts_what_is_misread() -> None:
    encoder = load_text("studio")
    report = read_free_texts(encoder)
    assert report.accuracy == pytest.approx(1 - len(report.misread) / 40)
    assert sum(report.by_emotion.values()) == pytest.approx(8 * report.accuracy)
    assert all(meant != read for _, meant, read in report.misread)
    assert report.accuracy >= 0.8, "chance is 0.125"
    plain = read_free_texts(encoder, {"happy": ("a happy person",), "angry": ("an angry man",)})
    assert plain.accuracy == 1
    assert plain.misread == ()
