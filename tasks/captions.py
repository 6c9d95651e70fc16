"""Captions: one natural sentence that says how somebody speaks.

A caption names the emotion with its intensity, the manner, the head and the voice, in that order. Its source is
recorded: "label" where the footage came with its emotion (a manifest, MEAD, CREMA-D …), "measured" where face and
voice had to be read. Labels win. The same vocabulary teaches the text encoder (tasks/training/text.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.emotion import Feeling
from tasks.speech import Prosody
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

TURNED_RAD, TILTED_RAD, LOWERED_RAD, RAISED_RAD = 0.45, 0.12, 0.41, 0.10
"""Bounds of the posture in the units of `tasks.quality.head_pose`. Against the studio's truth that pose turns 1.6
times as far and sees an upright head 0.25 rad down, so these mean 0.28 of yaw and 0.12 of roll and pitch."""
STILL_RAD, LIVELY_RAD = 0.032, 0.13
"""A head that swings less (standard deviation over yaw, pitch and roll) is still, one that swings more is lively."""
RESTRAINED, EXPRESSIVE = 0.12, 0.30
"""Reach of the mouth opening (10th to 90th percentile, eye distances): less is restrained, more is expressive."""

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


def caption_label(
    emotion: str, intensity: int | None, manner: str = "plain", head: str = "steady", voice: str = "even"
) -> Caption:
    """The caption of footage that came with its emotion (of EMOTIONS; free words belong to `models.text`).

    An intensity that is not known counts as 2, clear.
    """
    level = 0 if emotion == "neutral" else min(3, max(1, 2 if intensity is None else intensity))
    return Caption(sentence(emotion, level, manner, head, voice), "label", emotion, level, manner, head, voice)


def caption_measured(feeling: Feeling, manner: str = "plain", head: str = "steady", voice: str = "even") -> Caption:
    """The caption of footage whose emotion was read from face and voice (tasks/emotion.py)."""
    text = sentence(feeling.emotion, feeling.intensity, manner, head, voice)
    return Caption(text, "measured", feeling.emotion, feeling.intensity, manner, head, voice)


def head_of(pose: NDArray[Any], pts: NDArray[Any]) -> str:
    """What the head does: one of HEADS, from pose float [T, 3] (`tasks.quality.head_pose`: yaw, pitch down, roll; rad).

    Posture comes before movement: a head that is turned on average is "turned", however still it is held.
    """
    if len(pose) < 2:
        return "steady"
    yaw, pitch, roll = np.median(pose, axis=0)
    if abs(yaw) > TURNED_RAD:
        return "turned"
    if abs(roll) > TILTED_RAD:
        return "tilted"
    if pitch > LOWERED_RAD:
        return "lowered"
    if pitch < RAISED_RAD:
        return "raised"
    window = max(1, round(len(pts) * 0.2 / max(float(pts[-1] - pts[0]), 0.2)))
    kernel = np.ones(window) / window  # a detector's tremble is not a movement
    smooth = np.stack([np.convolve(column, kernel, mode="valid") for column in pose.T], axis=-1)
    swing = float(np.linalg.norm(smooth.std(axis=0)))
    return "still" if swing < STILL_RAD else "lively" if swing > LIVELY_RAD else "steady"


def manner_of(mouth_opening: NDArray[Any]) -> str:
    """How much the face shows: one of MANNERS, from the mouth opening float [T] in eye distances while speaking."""
    valid = np.asarray(mouth_opening, np.float64)
    valid = valid[np.isfinite(valid)]
    if len(valid) < 10:
        return "plain"
    reach = float(np.percentile(valid, 90) - np.percentile(valid, 10))
    return "restrained" if reach < RESTRAINED else "expressive" if reach > EXPRESSIVE else "plain"


def voice_of(measured: Prosody) -> str:
    """What stands out in a voice: the one of VOICES that lies furthest beyond its limit, else "even"."""
    if measured.voiced == 0:
        return "even"
    beyond = {
        "fast": (measured.rate_hz - 6.0) / 0.9,
        "slow": (3.7 - measured.rate_hz) / 0.9,
        "loud": (measured.level_db + 17.0) / 5,
        "soft": (-31.0 - measured.level_db) / 5,
        "melodic": (measured.pitch_range - 8.0) / 2.5,
        "flat": (2.2 - measured.pitch_range) / 2.5,
        "high": (measured.pitch_hz - 260.0) / 60,
        "low": (85.0 - measured.pitch_hz) / 25,
        "trembling": (measured.tremble - 0.4) / 0.15,
    }
    name = max(beyond, key=lambda key: beyond[key])
    return name if beyond[name] > 0 else "even"
