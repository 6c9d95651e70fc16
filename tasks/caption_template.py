"""The pattern that captions are written by: a sentence with named gaps, `captions.template` of the configuration.

A gap that has nothing to say is left out together with the comma and the space that belong to it, so one pattern serves
a clip of which everything is known and one of which little is.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping

FIELDS: dict[str, str] = {
    "subject": "A person; A woman or A man where the corpus says so",
    "emotion": "the emotion's name: angry",
    "intensity": "its intensity: 0 to 3",
    "degree": "how it is spoken, in one adverb: angrily",
    "feeling": "with what feeling, and whether it grows: with rising anger",
    "manner": "how much the face moves: hardly moving the face",
    "face": "brows, eyes and mouth: brows lowered",
    "head": "the head's posture or movement: head tilted",
    "voice": "what stands out in the voice: quickly",
}
DEFAULT_TEMPLATE = "{subject} speaks {voice} {feeling}, {manner}, {face}, {head}."
_TELLING = ("emotion", "degree", "feeling")


def check_template(template: str) -> str:
    """`template`, if a caption can be written by it.

    Raises:
        ValueError: a gap is none of FIELDS or has a format, braces do not match, or no gap names the feeling.
    """
    known = ", ".join(f"{{{name}}}" for name in FIELDS)
    try:
        parts = [(name, form, conversion) for _, name, form, conversion in string.Formatter().parse(template)]
    except ValueError as error:
        raise ValueError(f"the template {template!r} cannot be read: {error}; write gaps as {known}") from error
    names = [name for name, _, _ in parts if name is not None]
    for name, form, conversion in parts:
        if name is not None and (name not in FIELDS or form or conversion):
            raise ValueError(f"the template has no gap {{{name}{':' + form if form else ''}}}; there are {known}")
    if not any(name in _TELLING for name in names):
        told = ", ".join(f"{{{name}}}" for name in _TELLING)
        raise ValueError(f"the template says nothing about the emotion; use one of {told}")
    return template


def fill_template(template: str, words: Mapping[str, str]) -> str:
    """The sentence: gaps filled with `words` (missing ones are empty), what stood round an empty gap tidied away."""
    text = template.format_map({name: words.get(name, "") for name in FIELDS})
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+(?=[,;.!?])", "", text)
    text = re.sub(r"([,;])(?:\s*[,;])+", r"\1", text)  # of several commas in a row the first stays
    text = re.sub(r"[,;]+(?=[.!?]|$)", "", text).strip(" ,;")
    return text[:1].upper() + text[1:]
