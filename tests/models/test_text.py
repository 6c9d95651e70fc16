"""Emotion texts: the shipped encoder reads free text; any CLIP text folder takes its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

from models.text import ANCHORS, EMOTIONS, MissingText, TextEncoder, load_text


@pytest.fixture(scope="module")
def studio() -> TextEncoder:
    return load_text("studio")


def test_tokens_and_pooled_have_the_promised_shapes(studio: TextEncoder) -> None:
    tokens, pooled = studio.encode(["happy", "A woman speaks sadly, looking down, in a soft voice." * 5, ""])
    assert tokens.shape == (3, studio.length, studio.width)
    assert tokens.dtype == torch.float32
    torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(3))
    alone = studio.encode(["happy"])
    torch.testing.assert_close(alone[1][0], pooled[0], atol=1e-4, rtol=0)
    assert studio.encode([])[0].shape == (0, studio.length, studio.width)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_plain_names_are_read(studio: TextEncoder, emotion: str) -> None:
    reading = studio.emotion_of(emotion)
    assert reading.emotion == emotion
    assert reading.score > 0.5
    assert (reading.intensity == 0) == (emotion == "neutral")


# Texts as a user may type them.
FREE_TEXTS = [
    ("she is absolutely thrilled about the award", "happy"),
    ("smiling and cheerful, like a kindergarten teacher", "happy"),
    ("barely holding back tears", "sad"),
    ("very sad and quiet", "sad"),
    ("like someone who has just lost his mother, crying", "sad"),
    ("he is furious and yells at everyone", "angry"),
    ("a bit annoyed with the delay", "angry"),
    ("shocked by what she has just heard", "surprised"),
    ("amazed, eyes wide open", "surprised"),
    ("scared and trembling, as if someone was behind the door", "fearful"),
    ("nervous before the exam", "fearful"),
    ("revolted by the smell of the rotten food", "disgusted"),
    ("with a scornful sneer", "contempt"),
    ("looking down on the poor fool, arrogant", "contempt"),
    ("calm and neutral, like a news anchor", "neutral"),
    ("delighted to see you", "happy"),
]


def test_free_texts_are_read(studio: TextEncoder) -> None:
    wrong = [
        (text, studio.emotion_of(text)) for text, emotion in FREE_TEXTS if studio.emotion_of(text).emotion != emotion
    ]
    assert not wrong


def test_degree_is_read(studio: TextEncoder) -> None:
    for word in ("sad", "angry", "afraid"):
        slight, extreme = studio.emotion_of(f"slightly {word}"), studio.emotion_of(f"extremely {word}")
        assert slight.emotion == extreme.emotion
        assert slight.intensity < extreme.intensity


def test_how_much_is_asked_for_is_a_number(studio: TextEncoder) -> None:
    texts = ["calm", "slightly sad", "sad", "extremely sad"]
    asked = studio.intensities(studio.encode(texts)[1]).tolist()
    assert asked[0] == 0
    assert 1 <= asked[1] < asked[2] < asked[3] <= 3


def test_same_meaning_lies_closer_than_another_emotion(studio: TextEncoder) -> None:
    _, pooled = studio.encode(
        ["He speaks angrily, with the head lowered.", "mad with rage, looking down", "cheerful and gay"]
    )
    assert pooled[0] @ pooled[1] > pooled[0] @ pooled[2] + 0.3


def test_nothing_asked_is_neutral(studio: TextEncoder) -> None:
    assert studio.emotion_of("  ").emotion == "neutral"


def test_any_clip_folder_loads_with_computed_anchors(tmp_path: Path, studio: TextEncoder) -> None:
    """Stable Diffusion's layout: text_encoder/ and tokenizer/, no anchors."""
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(studio.tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=1,
        num_attention_heads=4, max_position_embeddings=77,
        bos_token_id=1, eos_token_id=studio.tokenizer.eos_token_id, pad_token_id=0,
    )  # fmt: skip
    CLIPTextModel(config).save_pretrained(tmp_path / "text_encoder")
    studio.tokenizer.save_pretrained(tmp_path / "tokenizer")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "tokenizer")("hello").input_ids) > 2
    encoder = load_text(tmp_path)
    assert encoder.encode(["hello"])[0].shape == (1, 77, 48)
    assert encoder.anchors.shape == (len(ANCHORS), 48)
    assert encoder.emotion_of("hello").emotion in EMOTIONS


def test_missing_encoder_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingText) as caught:
        load_text(tmp_path / "nothing")
    assert "studio" in caught.value.remedy
