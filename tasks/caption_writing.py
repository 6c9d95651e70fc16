"""The caption of a clip: from its label, from a vision-language model, or from what was measured; in this order.

Who wrote it is recorded (`caption_source`: label, model or measured). Whatever is written is read back by the text
encoder that the model trains with: a caption whose words make it read as another feeling loses those words, and a
model's answer that tells no feeling gives way to the measurements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.text import TextEncoder
from tasks.caption_template import fill_template
from tasks.captions import (
    DEGREES,
    FACES,
    FEELINGS,
    MANNERS,
    PACES,
    POSTURES,
    TRENDS,
    face_of,
    head_of,
    manner_of,
    trend_of,
    voice_of,
)
from tasks.config_sections import Captions
from tasks.experts import Experts
from tasks.speech import Prosody
from tasks.studio.controls import EMOTIONS
from tasks.training import phrases

LABELLED, MODELLED, MEASURED = "label", "model", "measured"
WOMAN, MAN = ("female", "woman", "f", "w"), ("male", "man", "m")
KNOWN_INTENSITY = 2
"""Of a label that gives none and that the face does not agree with: clear."""
_REFUSALS = ("sorry", "i cannot", "i can't", "i can not", "unable to", "as an ai", "no image", "not able to")
_SPECIAL = re.compile(r"<[^<>]{1,40}>|\[/?INST\]|</?s>")
_SPEAKER = re.compile(r"^\s*(assistant|answer|caption|response)\s*[:\-]\s*", re.IGNORECASE)


def write_caption(
    reading: Mapping[str, Any] | None,
    prosody: Prosody | Sequence[float] | None,
    pose: NDArray[Any],
    pts: NDArray[Any],
    opening: NDArray[Any],
    action_units: NDArray[Any] | None,
    labels: Mapping[str, Any],
    config: Captions,
    experts: Experts,
    pictures: Sequence[NDArray[np.uint8]] = (),
) -> dict[str, Any]:
    """The columns emotion, intensity, caption, caption_source, caption_embedding of a CLIPS row.

    Args:
        reading: of `tasks.feelings.read_emotion`; None or empty where nothing could be read.
        prosody: of the clip's sound (or the column's ten values); None where there is none.
        pose: float [T,3] yaw, pitch, roll in rad; pts: [T] s; opening: [T] of the mouth, NaN where not measured.
        action_units: float [T,20] in 0..1, or None.
        labels: what corpus or manifest say: emotion (of EMOTIONS, or free words), intensity, caption, gender.
        pictures: aligned crops uint8 [S,S,3] for a vision-language model; only asked for where one is configured.
    Returns:
        nothing where neither a label nor a reading is there. `reason` is added where a model's answer was of no use.
    """
    measured = prosody if prosody is None or isinstance(prosody, Prosody) else Prosody(*map(float, prosody))
    given, told = labels.get("emotion"), labels.get("caption")
    feeling = _feeling(reading, labels, experts.text)
    if feeling is None and not told:
        return {}
    words = {
        "subject": _subject(labels.get("gender")),
        "manner": MANNERS[manner_of(opening)][0],
        "head": POSTURES[head_of(pose, pts)],
        "voice": PACES["even" if measured is None else voice_of(measured)],
        "face": ", ".join(face_of(action_units)) if action_units is not None else "",
    }
    found: dict[str, Any] = {} if feeling is None else {"emotion": feeling[0], "intensity": feeling[1]}
    if told or (given and given not in EMOTIONS):
        found |= {"caption": told or str(given), "caption_source": LABELLED}
    else:
        assert feeling is not None
        trend = trend_of(feeling[0], action_units, measured)
        if not given and experts.captioner is not None and len(pictures):
            answer = experts.captioner.describe(pictures[len(pictures) // 2], config.prompt)
            found |= judge_answer(answer, reading, config.min_score, experts.text)
        if "caption" not in found:
            text = compose(config.template, *feeling, words, trend, experts.text)
            found |= {"caption": text, "caption_source": LABELLED if given else MEASURED}
    if experts.text is not None:
        found["caption_embedding"] = experts.text.encode([found["caption"]])[1][0].numpy()
    return found


def compose(
    template: str,
    emotion: str,
    intensity: int,
    words: Mapping[str, str],
    trend: str = "steady",
    encoder: TextEncoder | None = None,
) -> str:
    """The sentence of these attributes that says the most and still reads as this emotion at this intensity.

    Tried in order, with every phrase that means the same: all that is known; without the trend; without face, then
    manner, then head; the feeling alone. Where the encoder reads none of them as meant, all that is known.

    Raises:
        ValueError: no emotion, intensity or trend of that name.
    """
    if emotion not in EMOTIONS or not 0 <= intensity <= 3 or (intensity == 0) != (emotion == "neutral"):
        raise ValueError(f"no caption for emotion {emotion!r} at intensity {intensity}")
    if trend not in TRENDS:
        raise ValueError(f"{trend!r} is none of {TRENDS}")
    tried = list(_wordings(template, emotion, intensity, words, trend))
    if encoder is None:
        return tried[0]
    for some in (tried[:1], tried[1:]):
        for text, read in zip(some, encoder.emotions_of(some) if some else [], strict=True):
            if (read.emotion, read.intensity) == (emotion, intensity):
                return text
    return tried[0]


def _wordings(template: str, emotion: str, intensity: int, words: Mapping[str, str], trend: str) -> Iterator[str]:
    always = {"emotion": emotion, "intensity": str(intensity), "degree": DEGREES[emotion][intensity]}
    kept = {name: text for name, text in words.items() if text}
    stages = [(trend, kept), ("steady", kept)] if trend != "steady" else [("steady", kept)]
    for name in ("face", "manner", "head", "voice"):
        if name in kept:
            kept = {other: text for other, text in kept.items() if other != name}
            stages.append(("steady", kept))
    seen = set()
    for change, said in stages:
        for phrase in feelings(emotion, intensity, change, bool(said.get("voice"))):
            text = fill_template(template, {**always, **said, "feeling": phrase})
            if text not in seen:
                seen.add(text)
                yield text


def feelings(emotion: str, intensity: int, trend: str = "steady", after_voice: bool = False) -> list[str]:
    """What somebody speaks with, the best phrase first: "with rising anger", "with slight but fading annoyance".

    after_voice: a word about the voice stands before it.
    """
    if emotion == "neutral":
        return ["without emotion", "calmly"] if after_voice else ["calmly"]
    found = []
    for phrase in FEELINGS[emotion][intensity]:
        size, _, noun = phrase.rpartition(" ")
        if trend == "steady":
            found.append(f"with {phrase}")
        elif size:
            found.append(f"with {size} {'but' if intensity == 1 else 'and'} {trend} {noun}")
        else:
            found.append(f"with {trend} {noun}")
    return found


def _subject(gender: Any) -> str:
    """Somebody is a woman or a man where a label says so; it is never guessed."""
    said = str(gender or "").strip().lower()
    return "A woman" if said in WOMAN else "A man" if said in MAN else "A person"


def _feeling(
    reading: Mapping[str, Any] | None, labels: Mapping[str, Any], encoder: TextEncoder | None
) -> tuple[str, int] | None:
    """Emotion and intensity: as labelled, as the label's words read, else as read from face and voice."""
    read = (str(reading["emotion"]), int(reading["intensity"])) if reading and reading.get("emotion") else None
    given, level, told = labels.get("emotion"), labels.get("intensity"), labels.get("caption")
    if given in EMOTIONS:
        if given == "neutral":
            return "neutral", 0
        seen = read[1] if read is not None and read[0] == given else KNOWN_INTENSITY
        return str(given), min(3, max(1, seen if level is None else int(level)))
    if given or told:
        if encoder is None:
            return None if told else read
        said = encoder.emotion_of(str(given or told))
        return said.emotion, said.intensity
    return read


def judge_answer(
    answer: str, reading: Mapping[str, Any] | None, min_score: float, encoder: TextEncoder | None
) -> dict[str, Any]:
    """Columns emotion, intensity, caption, caption_source of a model's answer; of a useless one only the `reason`.

    It must be a sentence that reads as one emotion with `min_score` or more, has a word for that emotion (a text
    encoder reads a feeling into anything), and is not neutral where face and voice (`reading`) are not.
    """
    text = one_sentence(answer)
    fault = fault_of(text)
    if not fault and encoder is None:
        return {"caption": text, "caption_source": MODELLED}
    if not fault and encoder is not None:
        said = encoder.emotion_of(text)
        scores = reading.get("emotion_scores") if reading else None
        if said.score < min_score:
            fault = f"it reads as {said.emotion} with {said.score:.2f} only, captions.min_score is {min_score:g}"
        elif not any(word in feeling_words(said.emotion) for word in _words(text)):
            fault = "it has no word for a feeling"
        elif said.emotion == "neutral" and scores is not None and float(scores[0]) < 0.25:
            fault = "it tells no feeling where face and voice do"
        else:
            found = {"emotion": said.emotion, "intensity": said.intensity}
            return found | {"caption": text, "caption_source": MODELLED}
    return {"reason": f"the caption model's answer was of no use: {fault}; the caption is measured"}


@lru_cache(maxsize=len(EMOTIONS))
def feeling_words(emotion: str) -> frozenset[str]:
    """Single words for an emotion: adjectives, adverbs and nouns that the text encoder learned it from."""
    listed = [*phrases.ADJECTIVES[emotion], *phrases.ADVERBS[emotion], phrases.NOUNS[emotion]]
    entries = (entry.strip().lower() for text in listed for entry in re.split("[,;]", text))
    return frozenset(entry for entry in entries if entry and " " not in entry)


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[^\W\d_][\w'’-]*", text)]


def one_sentence(answer: str) -> str:
    """The first sentence of a model's answer: without special tokens, speaker names, quotes and line ends."""
    text = re.sub(r"\s+", " ", _SPECIAL.sub(" ", answer)).strip()
    text = _SPEAKER.sub("", text).strip(" \"'“”‘’*_#-")
    ended = re.match(r".*?[.!?](?=\s|$|[\"”’*])", text)
    text = (ended.group(0) if ended else text).strip(" \"'“”‘’*_")
    if text and text[-1] not in ".!?":
        text = text.rstrip(",;:-") + "."
    return text[:1].upper() + text[1:]


def fault_of(sentence: str) -> str:
    """Why a sentence is no caption, or an empty text."""
    words = _words(sentence)
    if len(words) < 3:
        return "it is empty or no sentence"
    if len(words) > 45:
        return f"its first sentence has {len(words)} words"
    if len(set(words)) < 0.55 * len(words):
        return "it repeats itself"
    if sum(map(len, words)) < 0.6 * len(sentence.replace(" ", "")):
        return "it is not made of words"
    if any(refusal in sentence.lower() for refusal in _REFUSALS):
        return "the model declined"
    return ""


def vocabulary() -> Iterator[tuple[str, int, dict[str, str], str]]:
    """Every emotion and intensity with each word beside it and each trend: (emotion, intensity, words, trend)."""
    beside: list[dict[str, str]] = [{}]
    beside += [{"subject": subject} for subject in ("A woman", "A man")]
    beside += [{"manner": phrases[0]} for phrases in MANNERS.values() if phrases[0]]
    beside += [{"face": name} for name in FACES]
    beside += [{"head": text} for text in POSTURES.values() if text]
    beside += [{"voice": text} for text in PACES.values() if text]
    for emotion in EMOTIONS:
        for intensity in (0,) if emotion == "neutral" else (1, 2, 3):
            for words in beside:
                for trend in TRENDS if emotion != "neutral" else TRENDS[:1]:
                    yield emotion, intensity, {"subject": "A person", **words}, trend
