"""All phrases of tasks/training/phrases*.py as one lexicon of entries by kind, emotion and level, and their filling.

An entry is a word or a scene in a small notation: "(a|b)" chooses, "{person}" and the other names of SLOTS are filled
with words that say nothing about feelings.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from models.text import EMOTIONS
from tasks.training import phrases
from tasks.training.phrases_lives import LIVES
from tasks.training.phrases_moments import MOMENTS
from tasks.training.phrases_scenes import SCENES, SLOTS
from tasks.training.phrases_signs import SIGNS
from tasks.training.phrases_threats import THREATS
from tasks.training.phrases_turns import TURNS
from tasks.training.phrases_words import MORE_ADJECTIVES, MORE_ADVERBS, MORE_NOUNS, VERBS

KINDS = ("adjective", "adverb", "noun", "verb", "scene")
_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")
_FILLERS = {name: [word.strip() for word in words.split(",")] for name, words in SLOTS.items()}


@dataclass(frozen=True)
class Entry:
    """A word or scene, what it says, and how often it is drawn relative to the others of its emotion and level."""

    text: str
    kind: str
    emotion: str
    level: int
    weight: float


def fill(text: str, rng: np.random.Generator) -> str:
    """One of the texts that a notation such as "(his|her) voice in {place}" stands for."""
    text = _CHOICE.sub(lambda match: _pick(match.group(1).split("|"), rng), text)
    for _ in range(2):  # a deed names people and things of its own
        text = _SLOT.sub(lambda match: _pick(_FILLERS[match.group(1)], rng), text)
    return re.sub(r"\s+([,;]|$)", r"\1", re.sub(r"\s+", " ", text)).strip()


def _pick(choices: list[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def variants(text: str) -> int:
    """How many texts an entry stands for, slots not counted."""
    return math.prod(len(match.group(1).split("|")) for match in _CHOICE.finditer(text))


def _split(text: str, separator: str) -> list[str]:
    return [part for part in (" ".join(piece.split()) for piece in text.split(separator)) if part]


def lexicon() -> list[Entry]:
    """Every entry once, in a fixed order. A word that stands at two levels counts at the first."""
    entries: list[Entry] = []
    known: set[tuple[str, str]] = set()

    def add(kind: str, emotion: str, level: int, texts: list[str]) -> None:
        for text in texts:
            if (emotion, text) not in known:
                known.add((emotion, text))
                entries.append(Entry(text, kind, emotion, level, min(variants(text), 200) ** 0.6))

    for emotion in EMOTIONS:
        scenes = SCENES.get(emotion) or THREATS[emotion]
        moments = MOMENTS.get(emotion) or TURNS[emotion]
        for level in range(3):
            add("adjective", emotion, level, _split(phrases.ADJECTIVES[emotion][level], ","))
            add("adjective", emotion, level, _split(MORE_ADJECTIVES[emotion][level], ","))
            add("adverb", emotion, level, _split(phrases.ADVERBS[emotion][level], ","))
            add("adverb", emotion, level, _split(MORE_ADVERBS[emotion][level], ","))
            add("verb", emotion, level, _split(VERBS[emotion][level], ","))
            add("scene", emotion, level, _split(phrases.IDIOMS[emotion][level], ";"))
            add("scene", emotion, level, _split(scenes[level], ";"))
            for told in (moments, SIGNS[emotion], LIVES[emotion]):
                add("scene", emotion, level, _split(told[level], ";"))
        add("noun", emotion, 1, _split(phrases.NOUNS[emotion], ","))
        add("noun", emotion, 1, _split(MORE_NOUNS[emotion], ","))
    return entries
