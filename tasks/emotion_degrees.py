"""An emotion's intensity put into words that the text encoder reads as that intensity."""

from __future__ import annotations

from models.text import TextEncoder
from tasks.captions import DEGREES, sentence

LEAST, MOST = 0.0, 3.0
"""Intensities: 0 is neutral, 1 slight, 2 clear, 3 extreme."""
_BEFORE = ("", "a little ", "clearly ", "very ")
_PLAIN = ("calmly", "slightly ", "", "extremely ")


def in_degree(text: str, intensity: float, encoder: TextEncoder | None) -> str:
    """`text` at an intensity of 0 … 3 (rounded to whole ones), in as few more words as do.

    What the text says beside its emotion is kept where the encoder then still reads the emotion at that intensity; else
    the plain sentence for it stands in. A text that reads as neutral has no degrees and stays.

    Args:
        encoder: reads the text; None: a word is set before it unread.

    Raises:
        ValueError: the intensity is none of 0 … 3.
    """
    if not LEAST <= intensity <= MOST:
        raise ValueError(f"an intensity of {intensity} is none of {LEAST:g} … {MOST:g}")
    level = int(intensity + 0.5)
    if level == 0:
        return sentence("neutral", 0)
    if encoder is None:
        return f"{_PLAIN[level]}{text}"
    emotion = encoder.emotion_of(text).emotion
    if emotion == "neutral":
        return text
    degree = DEGREES[emotion][level]
    bare = text.rstrip(" .")
    ways = [text, f"{_BEFORE[level]}{bare}", f"{bare}, {degree}", f"speaks {degree}, {bare}"]
    for way, reading in zip(ways, encoder.emotions_of(ways), strict=True):
        if (reading.emotion, reading.intensity) == (emotion, level):
            return way
    return sentence(emotion, level)
