"""The text encoder's training: texts are what they are labelled as, and a short run already reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.text import ANCHORS, EMOTIONS, build_tokenizer, load_text
from tasks.training.phrases import ADJECTIVES, IDIOMS
from tasks.training.text import Example, Weaver, _targets, train_text


def test_woven_texts_carry_their_attributes() -> None:
    weaver = Weaver(seed=3)
    examples = next(weaver.batches(400))
    assert {e.emotion for e in examples} == set(EMOTIONS)
    assert all((e.intensity == 0) == (e.emotion == "neutral") for e in examples)
    assert all(e.text for e in examples)
    assert len({e.text for e in examples}) > 350


def test_held_out_idioms_never_appear() -> None:
    weaver = Weaver(seed=0, held_out=0.2)
    assert len(weaver.unseen) > 60
    woven = " | ".join(e.text for e in next(weaver.batches(1500)))
    long = [e.text for e in weaver.unseen if len(e.text) > 14]
    assert not [text for text in long if text in woven]


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


@pytest.mark.slow
def test_a_short_run_reads_emotions(tmp_path: Path) -> None:
    metrics = train_text(tmp_path, steps=90, batch_size=64, width=64)
    assert metrics["emotion_accuracy"] > 0.4
    assert load_text(tmp_path).width == 64
