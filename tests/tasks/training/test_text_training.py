"""The text encoder's training: texts are what they are labelled as, and a short run already reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import ANCHORS, EMOTIONS, build_tokenizer, load_text
from tasks.emotion_phrases import FREE_TEXTS
from tasks.training.phrases import ADJECTIVES, IDIOMS
from tasks.training.phrases_lexicon import KINDS, fill, lexicon, variants
from tasks.training.phrases_validation import VALIDATION
from tasks.training.phrases_weaver import Example, Weaver
from tasks.training.phrases_words import verb_form
from tasks.training.text import _moved, _targets, train_text


def test_woven_texts_carry_their_attributes() -> None:
    weaver = Weaver(seed=3)
    examples = next(weaver.batches(400))
    assert {e.emotion for e in examples} == set(EMOTIONS)
    assert all((e.intensity == 0) == (e.emotion == "neutral") for e in examples)
    assert all(e.text for e in examples)
    assert len({e.text for e in examples}) > 350


def test_held_out_entries_are_kept_apart() -> None:
    weaver = Weaver(seed=0, held_out=0.2)
    assert len(weaver.unseen) > 500
    used = set(chain.from_iterable(weaver.entries.values()))
    whole = set(chain.from_iterable(Weaver(seed=0).entries.values()))
    assert len(whole) - len(used) > 500
    woven = " | ".join(e.text for e in next(weaver.batches(1000)))
    told = [text for text in whole - used if len(text) > 18 and "(" not in text and "{" not in text]
    assert len(told) > 60
    assert not [text for text in told if text in woven]


def test_the_lexicon_is_a_thesaurus_of_every_emotion_in_every_kind() -> None:
    entries = lexicon()
    assert {(e.kind, e.emotion) for e in entries} == {(kind, emotion) for kind in KINDS for emotion in EMOTIONS}
    for emotion in EMOTIONS:
        assert sum(variants(e.text) for e in entries if e.emotion == emotion) > 700
    rng = np.random.default_rng(0)
    assert not [e for e in entries if set("(){}|") & set(fill(e.text, rng))]


def test_verbs_are_inflected() -> None:
    forms = {"sob+": "sobbing", "smile": "smiling", "cry bitterly": "crying bitterly", "flee": "fleeing"}
    assert {verb: verb_form(verb, "ing") for verb in forms} == forms
    assert [verb_form(verb, "s") for verb in ("hiss", "cry out", "be sick")] == ["hisses", "cries out", "is sick"]


@pytest.mark.parametrize("texts", [FREE_TEXTS, VALIDATION], ids=["judging", "validation"])
def test_no_five_words_of_the_texts_that_judge_it_are_taught(texts: dict[str, Sequence[str]]) -> None:
    taught = " | ".join(_every_choice())
    judged = [text.lower().split() for text in chain.from_iterable(texts.values())]
    runs = [" ".join(words[i : i + 5]) for words in judged for i in range(max(1, len(words) - 4))]
    assert not [run for run in runs if run in taught]


def _every_choice() -> list[str]:
    """Many fillings of every entry, in lower case."""
    rng = np.random.default_rng(1)
    return [fill(e.text, rng).lower() for e in lexicon() for _ in range(min(40, variants(e.text)))]


def test_validation_judges_every_emotion_alike() -> None:
    assert {emotion: len(set(texts)) for emotion, texts in VALIDATION.items()} == dict.fromkeys(EMOTIONS, 20)


def test_what_is_left_out_is_one_word_of_a_longer_text() -> None:
    weaver = Weaver(seed=1)
    whole = "his voice gives way at the grave"
    short = {weaver._shortened(whole) for _ in range(200)}
    assert whole in short
    assert all(len(text.split()) >= 6 for text in short)
    assert len(short) == 8  # the whole, and without each of its seven words
    assert {weaver._shortened("not very happy now") for _ in range(50)} == {"not very happy now"}


def test_hundreds_of_phrases_in_every_emotion() -> None:
    for emotion in EMOTIONS:
        assert sum(len(level.split(",")) for level in ADJECTIVES[emotion]) >= 35
        assert sum(len(level.split(";")) for level in IDIOMS[emotion]) >= 35


def test_targets_prefer_the_same_emotion_then_the_same_intensity() -> None:
    batch = [Example("", "sad", 3), Example("", "sad", 3), Example("", "sad", 1), Example("", "happy", 3)]
    among, over = _targets(batch)
    assert among[0, 1] > among[0, 2] > among[0, 3]
    assert among[0, 0] == 0
    torch.testing.assert_close(over.sum(-1), torch.ones(4))
    assert ANCHORS[int(over[0].argmax())] == ("sad", 3)


def test_tokenizer_takes_any_text() -> None:
    tokenizer = build_tokenizer([e.text for e in next(Weaver(0).batches(300))], vocabulary=600)
    ids = tokenizer(["überglücklich 😀 \t", "HAPPY", "happy"])["input_ids"]
    assert all(row[0] == tokenizer.bos_token_id and row[-1] == tokenizer.eos_token_id for row in ids)
    assert ids[1] == ids[2]
    assert tokenizer.unk_token_id not in ids[0]


def test_a_warm_start_stays_where_it_read_right(tmp_path: Path) -> None:
    before = load_text("studio")
    metrics = train_text(tmp_path, steps=2, batch_size=8, init="studio")
    assert metrics["kept_captions"] > 0.99
    assert metrics["kept_woven"] > 0.97
    after = load_text(tmp_path)
    assert len(after.tokenizer) == len(before.tokenizer)
    assert after.temperature == pytest.approx(before.temperature)
    assert not torch.equal(after.anchors, before.anchors)


def test_only_texts_that_were_read_right_are_kept_in_place() -> None:
    before = load_text("studio")
    batch = [Example("a furious man", "angry", 3), Example("a furious man", "happy", 3)]
    there = before.encode([e.text for e in batch])[1]
    torch.testing.assert_close(_moved(before, batch, there), torch.tensor(0.0), atol=1e-5, rtol=0)
    away = torch.stack([there[0], -there[1]])
    assert float(_moved(before, batch, away)) < 1e-5
    assert float(_moved(before, batch, -there)) == pytest.approx(2.0, abs=1e-4)
    assert float(_moved(before, batch[1:], -there[1:])) == 0


@pytest.mark.slow
def test_a_short_run_reads_emotions(tmp_path: Path) -> None:
    metrics = train_text(tmp_path, steps=90, batch_size=64, width=64)
    assert metrics["emotion_accuracy"] > 0.4
    assert load_text(tmp_path).width == 64
