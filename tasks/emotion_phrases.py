"""Forty texts that are no labels, each with the emotion that people mean by it, and how many a text encoder reads so.

Written down before the model that listens to them was trained, and no part of any training: the templates of
tasks/training/phrases.py hold none of them. A text that is read wrongly stays here as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.text import TextEncoder

FREE_TEXTS: dict[str, tuple[str, ...]] = {
    "neutral": (
        "giving a status update in a meeting",
        "announcing the next stop on the bus",
        "reading the instruction manual aloud",
        "calmly going through the agenda",
        "spelling his name for the receptionist",
    ),
    "happy": (
        "thrilled to have you on board",
        "can't stop smiling about the good news",
        "so pleased that everything worked out",
        "greeting her grandchildren with open arms",
        "he has passed his driving test at last and is proud of it",
    ),
    "sad": (
        "he has just buried his father",
        "her voice breaks as she talks about the divorce",
        "feeling terribly alone tonight",
        "sorry that it had to end like this",
        "close to weeping",
    ),
    "angry": (
        "sick and tired of being lied to",
        "about to lose it with the noisy neighbours",
        "snapping at everyone in the room",
        "enraged by the verdict",
        "this is the last time that you cheat me",
    ),
    "surprised": (
        "you did what?",
        "completely caught off guard by the question",
        "his jaw drops when he hears the price",
        "stunned by the sudden announcement",
        "she had no idea that he was a prince",
    ),
    "fearful": (
        "someone is breaking into the house",
        "terribly nervous before the surgery",
        "scared that the plane will crash",
        "hiding under the bed from the intruder",
        "dreading what is behind the door",
    ),
    "disgusted": (
        "there is mould all over the bread",
        "the reek from the drain makes him gag",
        "repelled by the dirty kitchen",
        "grossed out by the slug on his plate",
        "nauseated by the greasy hair in the sink",
    ),
    "contempt": (
        "looking down his nose at the beginners",
        "she thinks they are all beneath her",
        "with a mocking little laugh at their failure",
        "so superior, so smug",
        "dismissing the rival with a scornful wave",
    ),
}
"""Emotion → five texts."""


@dataclass(frozen=True)
class PhraseReport:
    """How free texts were read: the share read as meant, the same per emotion, and (text, meant, read) of the rest."""

    accuracy: float
    by_emotion: dict[str, float]
    misread: tuple[tuple[str, str, str], ...]


def read_free_texts(encoder: TextEncoder, texts: dict[str, tuple[str, ...]] = FREE_TEXTS) -> PhraseReport:
    """Have `encoder` read `texts` (emotion → texts) and compare."""
    pairs = [(text, emotion) for emotion, group in texts.items() for text in group]
    read = encoder.emotions_of([text for text, _ in pairs])
    misread = tuple(
        (text, meant, reading.emotion)
        for (text, meant), reading in zip(pairs, read, strict=True)
        if reading.emotion != meant
    )
    shares = {emotion: 1 - sum(m == emotion for _, m, _ in misread) / len(group) for emotion, group in texts.items()}
    return PhraseReport(1 - len(misread) / len(pairs), shares, misread)
