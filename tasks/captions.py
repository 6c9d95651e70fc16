"""Captions: one natural sentence that says how somebody speaks.

A caption names the emotion with its intensity, the manner, the head and the voice, in that order. Its source is
recorded: "label" where the footage came with its emotion (a manifest, MEAD, CREMA-D …), "measured" where face and
voice had to be read. Labels win. The same vocabulary teaches the text encoder (tasks/training/text.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.studio.controls import EMOTIONS

DEGREES: dict[str, tuple[str, str, str, str]] = {
    "neutral": ("calmly", "calmly", "calmly", "calmly"),
    "happy": ("", "a little happily", "happily", "overjoyed"),
    "sad": ("", "a little sadly", "sadly", "heartbroken"),
    "angry": ("", "with slight annoyance", "angrily", "furiously"),
    "surprised": ("", "a little surprised", "with surprise", "utterly astonished"),
    "fearful": ("", "a little anxiously", "fearfully", "terrified"),
    "disgusted": ("", "with slight disgust", "with disgust", "utterly revolted"),
    "contempt": ("", "a little scornfully", "with contempt", "with utter contempt"),
}
"""How an emotion is written at intensity 0..3."""

MANNERS: dict[str, tuple[str, ...]] = {
    "plain": ("",),
    "restrained": (
        "hardly moving the face", "holding it back", "with restraint", "keeping it in", "trying to hide it",
        "with small movements of the lips", "understated",
    ),
    "expressive": (
        "with a lively face", "with big expressions", "openly", "very expressively", "articulating clearly",
        "with wide movements of the mouth", "theatrically",
    ),
}  # fmt: skip
HEADS: dict[str, tuple[str, ...]] = {
    "steady": ("",),
    "still": ("the head held still", "with a still head", "without moving the head", "motionless"),
    "lively": ("moving the head a lot", "with a lively head", "nodding along", "with many head movements"),
    "lowered": ("with the head lowered", "looking down", "the chin lowered", "head bowed"),
    "raised": ("with the chin raised", "looking up", "the head held high", "head tilted back"),
    "tilted": ("with the head tilted", "the head to one side", "tilting the head"),
    "turned": ("with the head turned aside", "looking to the side", "half in profile", "facing away a little"),
}
VOICES: dict[str, tuple[str, ...]] = {
    "even": ("",),
    "soft": ("in a soft voice", "quietly", "almost whispering", "in a hushed voice", "speaking softly"),
    "loud": ("in a loud voice", "loudly", "with a strong voice", "at full volume", "speaking up"),
    "fast": ("speaking fast", "quickly", "in a hurried voice", "at a fast pace", "rushing the words"),
    "slow": ("speaking slowly", "slowly", "in a slow voice", "drawing out the words", "at a slow pace"),
    "high": ("in a high voice", "with a high-pitched voice", "in a raised pitch"),
    "low": ("in a low voice", "with a deep voice", "in a dark voice"),
    "flat": ("in a monotone voice", "with little melody in the voice", "in a flat voice"),
    "melodic": ("with much melody in the voice", "in a singing tone", "the voice rising and falling"),
    "trembling": ("with a trembling voice", "in a shaky voice", "the voice quivering", "with an unsteady voice"),
}
"""The first phrase of each is the one that captions use; the others teach the text encoder what means the same."""

SUBJECTS = ("A person", "Someone", "A speaker", "A woman", "A man", "She", "He")


@dataclass(frozen=True)
class Caption:
    """A caption and what it was made of; `source` is "label" or "measured"."""

    text: str
    source: str
    emotion: str
    intensity: int
    manner: str = "plain"
    head: str = "steady"
    voice: str = "even"


def sentence(
    emotion: str,
    intensity: int,
    manner: str = "plain",
    head: str = "steady",
    voice: str = "even",
    rng: np.random.Generator | None = None,
) -> str:
    """The caption of these attributes; with `rng`, any of the phrases that mean the same.

    Raises:
        ValueError: an attribute is none of the vocabulary.
    """
    if emotion not in EMOTIONS or not 0 <= intensity <= 3 or (intensity == 0) != (emotion == "neutral"):
        raise ValueError(f"no caption for emotion {emotion!r} at intensity {intensity}")
    for name, vocabulary in ((manner, MANNERS), (head, HEADS), (voice, VOICES)):
        if name not in vocabulary:
            raise ValueError(f"{name!r} is none of {sorted(vocabulary)}")

    def choose(phrases: tuple[str, ...]) -> str:
        return phrases[0] if rng is None else phrases[int(rng.integers(len(phrases)))]

    parts = [f"{choose(SUBJECTS)} speaks {DEGREES[emotion][intensity]}"]
    parts += [phrase for phrase in (choose(MANNERS[manner]), choose(HEADS[head]), choose(VOICES[voice])) if phrase]
    return ", ".join(parts) + "."
