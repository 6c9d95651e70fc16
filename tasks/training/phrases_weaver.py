"""Weaves texts whose attributes are known out of the lexicon and the sentences round it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.text import EMOTIONS
from tasks.captions import HEADS, MANNERS, VOICES, sentence
from tasks.training import phrases
from tasks.training import phrases_patterns as patterns
from tasks.training.phrases_lexicon import Entry, fill, lexicon
from tasks.training.phrases_words import verb_form


@dataclass(frozen=True)
class Example:
    """A text with the attributes it asks for."""

    text: str
    emotion: str
    intensity: int
    manner: str = "plain"
    head: str = "steady"
    voice: str = "even"


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator)] if text else []


class Weaver:
    """Writes random texts whose attributes are known.

    Args:
        seed: of the random choices.
        held_out: share of the lexicon's entries of each kind, emotion and intensity that is never used; see `unseen`.
    """

    def __init__(self, seed: int = 0, held_out: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        groups: dict[tuple[str, str, int], list[Entry]] = {}
        for entry in lexicon():
            groups.setdefault((entry.kind, entry.emotion, entry.level), []).append(entry)
        self.entries: dict[tuple[str, str, int], list[str]] = {}
        self._weights: dict[tuple[str, str, int], NDArray[np.float64]] = {}
        self.unseen: list[Example] = []
        for key, group in groups.items():
            order = np.random.default_rng(len(group)).permutation(len(group))
            kept = len(group) - round(held_out * len(group))
            self.entries[key] = [group[i].text for i in order[:kept]]
            self._weights[key] = np.cumsum([group[i].weight for i in order[:kept]])
            self.unseen += [self._plain(group[i]) for i in order[kept:]]

    def _plain(self, entry: Entry) -> Example:
        text = verb_form(entry.text, "ing") if entry.kind == "verb" else entry.text
        intensity = 0 if entry.emotion == "neutral" else entry.level + 1
        return Example(fill(text, np.random.default_rng(len(entry.text))), entry.emotion, intensity)

    def _pick(self, choices: list[str] | tuple[str, ...]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def _entry(self, kind: str, emotion: str, level: int) -> str:
        sums = self._weights[kind, emotion, level]
        at = int(np.searchsorted(sums, self.rng.random() * sums[-1], side="right"))
        return self.entries[kind, emotion, level][min(at, len(sums) - 1)]

    def _write(self, patterns: tuple[str, ...], phrase: str) -> str:
        """One of `patterns` with its "#" replaced, and all choices and slots filled."""
        return fill(self._pick(patterns).replace("#", phrase), self.rng)

    def _graded(self, word: str, level: int) -> tuple[str, int]:
        """A word with an adverb of degree, and the intensity (1..3) that both ask for together."""
        degree = int(self.rng.choice(4, p=[0.2, 0.15, 0.2, 0.45]))
        if degree == 3:
            return word, level + 1
        text = f"{self._pick(_split(phrases.DEGREES[degree], ';'))} {word}".strip()
        return text, (max(1, level), level + 1, 3)[degree]

    def _feeling(self, emotion: str) -> tuple[str, int]:
        """A phrase for an emotion, and its intensity 1..3 (of neutral it is ignored)."""
        level = 0 if emotion == "neutral" else int(self.rng.integers(3))
        kind = self.rng.random()
        if kind < 0.22:
            word, intensity = self._graded(self._entry("adjective", emotion, level), level)
            return self._write(patterns.ADJECTIVE, word), intensity
        if kind < 0.28:
            word, intensity = self._graded(self._entry("adverb", emotion, level), level)
            return self._write(patterns.ADVERB, word), intensity
        if kind < 0.37:
            return self._write(patterns.NOUN[level], self._entry("noun", emotion, 1)), level + 1
        if kind < 0.48:
            verb, form = self._entry("verb", emotion, level), self._pick(tuple(patterns.VERB))
            return self._write(patterns.VERB[form], verb_form(verb, form)), level + 1
        if kind < 0.50:
            return self._pick(_split(phrases.OTHER_LANGUAGES[emotion], ";")), 2
        if kind < 0.55 and emotion == "neutral":
            word = self._entry("adjective", self._pick(EMOTIONS[1:]), 1)
            return self._write(patterns.DENIED, word), 0
        return self._write(patterns.SCENE, self._entry("scene", emotion, level)), level + 1

    def example(self) -> Example:
        """The next random text."""
        emotion = self._pick(EMOTIONS)
        detailed = 0.4 if self.rng.random() < 0.7 else 0.0
        manner, head, voice = (
            self._pick(tuple(names)) if self.rng.random() < detailed else plain
            for names, plain in ((MANNERS, "plain"), (HEADS, "steady"), (VOICES, "even"))
        )
        if self.rng.random() < 0.25:
            intensity = 0 if emotion == "neutral" else int(self.rng.integers(1, 4))
            text = sentence(emotion, intensity, manner, head, voice, self.rng)
            return Example(self._untidy(text), emotion, intensity, manner, head, voice)
        text, intensity = self._feeling(emotion)
        if self.rng.random() < 0.25:
            text = self._write(patterns.BESIDE, text)
        if self.rng.random() < 0.2:  # two phrases for the same feeling; the stronger one counts
            more, other = self._feeling(emotion)
            text, intensity = f"{text}{self._pick((', ', ' and ', '; '))}{more}", max(intensity, other)
        details = [self._pick(MANNERS[manner]), self._pick(HEADS[head]), self._pick(VOICES[voice])]
        self.rng.shuffle(details)
        text = ", ".join([text, *filter(None, details)])
        if emotion != "neutral":  # where the one word may be a "not"
            text = self._shortened(text)
        return Example(self._untidy(text), emotion, 0 if emotion == "neutral" else intensity, manner, head, voice)

    def _shortened(self, text: str) -> str:
        """Now and then a longer text without one of its words, so that a feeling hangs on no single word."""
        words = text.split(" ")
        if len(words) > 4 and self.rng.random() < 0.2:
            del words[int(self.rng.integers(len(words)))]
        return " ".join(words)

    def _untidy(self, text: str) -> str:
        """Now and then a slip of the keyboard, so that a typing error does not change a feeling."""
        if len(text) > 6 and self.rng.random() < 0.08:
            at = int(self.rng.integers(1, len(text) - 1))
            text = self._pick((text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]))
        return text

    def batches(self, size: int, pool: int = 1) -> Iterator[list[Example]]:
        """Batches of `size`. From a `pool` of several batches, texts of like length share one: little is padded."""
        while True:
            drawn = [self.example() for _ in range(size * pool)]
            if pool > 1:
                drawn.sort(key=lambda example: len(example.text))
            for i in self.rng.permutation(pool):
                yield drawn[i * size : (i + 1) * size]
