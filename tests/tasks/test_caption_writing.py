"""Captions of clips: sources in their order, a template that is configuration, every text read back as it was meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.text import TextEncoder, load_text
from storage.errors import ConfigError
from tasks.caption_template import DEFAULT_TEMPLATE, fill_template
from tasks.caption_writing import compose, fault_of, judge_answer, one_sentence, vocabulary, write_caption
from tasks.config import load_config
from tasks.config_sections import Captions
from tasks.experts import Experts
from tasks.speech import Prosody
from tasks.studio.controls import AUS, EMOTIONS, emotion_aus

T = 50
PTS = np.arange(T) / 25
TILTED = np.tile([0.0, 0.25, -0.3], (T, 1))
UPRIGHT = np.stack([0.08 * np.sin(4 * PTS), 0.25 + 0 * PTS, 0 * PTS], axis=-1)
SILENT = np.full(T, np.nan)
FAST = Prosody(-24, 19, 150, 5, -3, 7.5, 0.7, 0.1, 0.15, -4)
CALM = Prosody(-24, 19, 150, 5, -3, 4.9, 0.7, 0.1, 0.15, -4)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text("studio")


@pytest.fixture(scope="module")
def experts(encoder: TextEncoder) -> Experts:
    from models.faces import FaceAnalyzer

    return Experts(faces=FaceAnalyzer("studio"), text=encoder)


def reading(emotion: str, intensity: int) -> dict[str, Any]:
    scores = np.full(8, 0.02, np.float32)
    scores[EMOTIONS.index(emotion)] = 0.86
    return {"emotion": emotion, "intensity": intensity, "emotion_scores": scores, "source": "face+voice"}


def written(experts: Experts, read: dict[str, Any] | None, labels: dict[str, Any] | None = None, **given: Any) -> Any:
    config = given.pop("config", Captions())
    values = {"prosody": CALM, "pose": UPRIGHT, "pts": PTS, "opening": SILENT, "action_units": None} | given
    return write_caption(read, labels=labels or {}, config=config, experts=experts, **values)


def test_the_caption_of_the_issue_is_written_from_its_measures(experts: Experts) -> None:
    growing = np.linspace(0.15, 1.0, T)[:, None] * emotion_aus("angry", 3)
    growing[:, AUS.index("AU23")] = 0
    found = written(experts, reading("angry", 2), {"gender": "female"}, prosody=FAST, pose=TILTED, action_units=growing)
    assert found["caption"] == "A woman speaks quickly with rising anger, brows lowered, head tilted."
    assert (found["caption_source"], found["emotion"], found["intensity"]) == ("measured", "angry", 2)
    assert found["caption_embedding"].shape == (128,)
    assert np.linalg.norm(found["caption_embedding"]) == pytest.approx(1, abs=1e-4)


def test_captions_of_the_whole_vocabulary_read_as_they_were_meant(encoder: TextEncoder) -> None:
    asked = list(vocabulary())[::2]
    asked += [
        ("angry", 2, {"subject": "A man", "face": "brows lowered, lips pressed", "head": "head tilted"}, "rising"),
        ("sad", 3, {"face": "inner brows raised, mouth corners down", "voice": "slowly"}, "fading"),
    ]
    texts = [compose(DEFAULT_TEMPLATE, *attributes, encoder) for attributes in asked]
    for (emotion, intensity, *_), text, read in zip(asked, texts, encoder.emotions_of(texts), strict=True):
        assert (read.emotion, read.intensity) == (emotion, intensity), text
        assert text[0].isupper() and text.endswith(".") and ", ," not in text and " ," not in text


def test_a_label_wins_and_is_named_as_the_source(experts: Experts) -> None:
    found = written(experts, reading("sad", 3), {"emotion": "angry", "intensity": 1})
    assert (found["emotion"], found["intensity"], found["caption_source"]) == ("angry", 1, "label")
    assert "annoyance" in found["caption"]
    assert written(experts, reading("sad", 3), {"emotion": "neutral", "intensity": 3})["intensity"] == 0
    # an intensity that no label gives is the measured one where the face agrees, else clear
    assert written(experts, reading("sad", 3), {"emotion": "sad"})["intensity"] == 3
    assert written(experts, reading("sad", 3), {"emotion": "angry"})["intensity"] == 2


def test_a_caption_of_the_corpus_stays_word_for_word(experts: Experts) -> None:
    found = written(experts, reading("sad", 1), {"caption": "she is furious about the delay"})
    assert (found["caption"], found["caption_source"]) == ("she is furious about the delay", "label")
    assert found["emotion"] == "angry"
    free = written(experts, None, {"emotion": "over the moon"})
    assert (free["caption"], free["emotion"], free["intensity"]) == ("over the moon", "happy", 3)


def test_nothing_known_nothing_said(experts: Experts) -> None:
    assert written(experts, None) == {}
    assert written(experts, {}, {"emotion": None, "caption": None}) == {}


@pytest.mark.parametrize(("gender", "subject"), [("F", "A woman"), ("male", "A man"), (None, "A person"), ("x", "A p")])
def test_nobody_s_gender_is_guessed(experts: Experts, gender: str | None, subject: str) -> None:
    assert written(experts, reading("happy", 2), {"gender": gender})["caption"].startswith(subject)


def test_prosody_may_be_the_column(experts: Experts) -> None:
    column = [getattr(FAST, name) for name in FAST.__dataclass_fields__]
    assert "quickly" in written(experts, reading("happy", 2), prosody=column)["caption"]
    assert "quickly" not in written(experts, reading("happy", 2), prosody=None)["caption"]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "no sentence"), ("face face face face face face", "repeats"),
        ("I'm sorry, I cannot see this.", "declined"), ("@@ 12 33 #### 0x12 22 11 a b c 1111111", "not made of words"),
        ("The man wears a grey coat.", "no word for a feeling"), ("A close-up of a face.", "no word for a feeling"),
        ("A calm woman speaks to the camera.", "where face and voice do"),
        ("word " + " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60)), "61 words"),
    ],
)  # fmt: skip
def test_useless_answers_are_told_from_captions(encoder: TextEncoder, answer: str, fault: str) -> None:
    found = judge_answer(answer, reading("angry", 2), 0.5, encoder)
    assert set(found) == {"reason"}
    assert fault in found["reason"]


@pytest.mark.parametrize(
    ("answer", "emotion", "intensity"),
    [
        ('Assistant: "She looks furious\n and shouts. It rains."', "angry", 3),
        ("The person looks slightly annoyed.", "angry", 1), ("The woman appears very happy and excited.", "happy", 3),
        ("The person's expression is one of mild sadness.", "sad", 1),
    ],
)  # fmt: skip
def test_an_answer_that_tells_a_feeling_is_taken(
    encoder: TextEncoder, answer: str, emotion: str, intensity: int
) -> None:
    found = judge_answer(answer, reading("sad", 1), 0.5, encoder)
    assert (found["emotion"], found["intensity"], found["caption_source"]) == (emotion, intensity, "model")
    assert found["caption"] == one_sentence(answer)
    assert judge_answer("A person.", None, 0.5, None)["reason"]
    assert judge_answer(answer, None, 1.0, encoder).get("reason")


def test_cleaning() -> None:
    assert one_sentence("<|im_end|> a man\nsmiles broadly") == "A man smiles broadly."
    assert one_sentence("Caption: *He frowns!* Then more.") == "He frowns!"
    assert one_sentence("  ") == ""
    assert fault_of("A calm woman speaks to the camera.") == ""


def test_the_template_is_configuration(experts: Experts) -> None:
    short = load_config(overrides={"captions.template": "{emotion} {intensity}/3; {degree}, {voice}"}).captions
    assert (
        written(experts, reading("angry", 3), prosody=FAST, config=short)["caption"] == "Angry 3/3; furiously, quickly"
    )
    assert load_config().captions.template == DEFAULT_TEMPLATE


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{subject} speaks {mood}.", "no gap {mood}"), ("{subject speaks.", "cannot be read"),
        ("A person.", "nothing about"),
        ("{feeling:>9}", "no gap {feeling:>9}"), ("{0} {feeling}", "no gap {0}"), ("{feeling!r}", "no gap"),
    ],
)  # fmt: skip
def test_a_template_with_a_mistake_is_named(template: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides={"captions.template": template})
    assert named in str(caught.value)


def test_empty_gaps_take_their_commas_along() -> None:
    assert fill_template(DEFAULT_TEMPLATE, {"subject": "She", "feeling": "calmly"}) == "She speaks calmly."
    assert fill_template("{voice}, {head}; {feeling}!", {"feeling": "with joy"}) == "With joy!"
    assert fill_template("{subject}: {feeling} ({head})", {"subject": "he", "feeling": "sadly"}) == "He: sadly ()"


def test_impossible_attributes_are_refused() -> None:
    for arguments in (("joy", 1, {}), ("happy", 0, {}), ("neutral", 2, {}), ("happy", 1, {}, "wild")):
        with pytest.raises(ValueError):
            compose(DEFAULT_TEMPLATE, *arguments)
