"""The vocabulary of captions, and which of its words fit what was measured.

A caption names the emotion with its intensity, the manner, the face, the head and the voice. `sentence` writes what
the text encoder learns from (tasks/training/text.py) and what studio footage is described with; the captions of clips
are written by tasks/caption_writing.py, by a template, from the same attributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.speech import Prosody
from tasks.studio.controls import AUS, EMOTIONS, emotion_aus

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

FACES = (
    "brows lowered", "brows raised", "inner brows raised", "eyes wide", "eyes narrowed", "mouth corners up",
    "one mouth corner up", "mouth corners down", "lips stretched", "lips pressed",
)  # fmt: skip
"""What a face can show beside its emotion. Signs that are words for a feeling (smiling, nose wrinkled) are left out."""
TRENDS = ("steady", "rising", "fading")
FEELINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "neutral": (("calmly",),) * 4,
    "happy": (
        (), ("slight joy", "quiet contentment"), ("delight", "joy", "glee", "excitement"),
        ("overwhelming joy", "extreme happiness"),
    ),
    "sad": ((), ("slight sadness",), ("sorrow", "misery"), ("deep grief", "overwhelming grief")),
    "angry": ((), ("slight annoyance", "irritation"), ("anger", "clear anger", "hot anger"), ("extreme anger",)),
    "surprised": ((), ("slight surprise",), ("surprise", "amazement"), ("utter astonishment", "extreme surprise")),
    "fearful": ((), ("slight anxiety",), ("fear", "dread"), ("utter terror", "extreme fear")),
    "disgusted": ((), ("slight disgust",), ("disgust", "clear disgust", "loathing"), ("extreme disgust",)),
    "contempt": ((), ("slight contempt",), ("contempt", "disdain", "clear contempt"), ("extreme contempt",)),
}  # fmt: skip
"""What somebody speaks with at intensity 0..3, the best phrase first."""
PACES: dict[str, str] = {
    "even": "", "soft": "quietly", "loud": "loudly", "fast": "quickly", "slow": "slowly", "high": "in a high voice",
    "low": "in a low voice", "flat": "in a monotone voice", "melodic": "in a singing tone",
    "trembling": "in a trembling voice",
}  # fmt: skip
"""VOICES as they follow "speaks"."""
POSTURES: dict[str, str] = {
    "steady": "", "still": "head held still", "lively": "head moving a lot", "lowered": "head lowered",
    "raised": "chin raised", "tilted": "head tilted", "turned": "head turned aside",
}  # fmt: skip
"""HEADS in two or three words."""

TURNED_RAD, TILTED_RAD, LOWERED_RAD, RAISED_RAD = 0.45, 0.12, 0.41, 0.10
"""Bounds of the posture in the units of `tasks.quality.head_pose`. Against the studio's truth that pose turns 1.6
times as far and sees an upright head 0.25 rad down, so these mean 0.28 of yaw and 0.12 of roll and pitch."""
STILL_RAD, LIVELY_RAD = 0.032, 0.13
"""A head that swings less (standard deviation over yaw, pitch and roll) is still, one that swings more is lively."""
RESTRAINED, EXPRESSIVE = 0.12, 0.30
"""Reach of the mouth opening (10th to 90th percentile, eye distances): less is restrained, more is expressive."""

SHOWN = 0.3
"""A median action unit from here on is worth a word."""
RISING = 0.22
"""Change of an expression's strength (0..1) from the first to the last third of a clip that is worth a word."""
RISING_PITCH = 3.0
"""Pitch slope in semitones a second from which a voice rises: voices sink by 3 on average, with a spread of 3."""

SUBJECTS = ("A person", "Someone", "A speaker", "A woman", "A man", "She", "He")


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


def face_of(action_units: NDArray[Any]) -> tuple[str, ...]:
    """What brows or eyes and the mouth do: none to two of FACES, the plainest of each, from intensities float [T, 20].

    Medians over the clip, so that a blink or a vowel is no expression; what speech itself moves (AU25, AU26) is left
    out.
    """
    if len(action_units) == 0:
        return ()
    middle = dict(zip(AUS, np.median(np.asarray(action_units, np.float64), axis=0).tolist(), strict=True))
    smile = min(middle["AU12L"], middle["AU12R"])
    one_sided = max(middle["AU12L"] + middle["AU14L"], middle["AU12R"] + middle["AU14R"]) / 2 - smile
    raised = min(middle["AU1"], middle["AU2"])
    upper = {
        "brows lowered": middle["AU4"] - middle["AU1"],
        "brows raised": raised,
        "inner brows raised": middle["AU1"] - middle["AU2"],
        "eyes wide": middle["AU5"] - 0.2,
        "eyes narrowed": middle["AU7"] - 0.2,
    }
    lower = {
        "mouth corners up": smile,
        "one mouth corner up": one_sided,
        "mouth corners down": middle["AU15"],
        "lips stretched": middle["AU20"],
        "lips pressed": middle["AU23"],
    }
    found = [max(part, key=lambda name: part[name]) for part in (upper, lower)]
    return tuple(name for name, part in zip(found, (upper, lower), strict=True) if part[name] >= SHOWN)


def trend_of(emotion: str, action_units: NDArray[Any] | None, measured: Prosody | None) -> str:
    """Whether the feeling grows: one of TRENDS.

    How strongly the action units float [T, 20] show the emotion's own expression (the share of its prototype that fits
    them best) in the last third of the clip against the first; where there are none, whether the voice rises.
    """
    if emotion == "neutral":
        return "steady"
    if action_units is not None and len(action_units) >= 9:
        prototype = emotion_aus(emotion, 3).astype(np.float64)
        prototype[[AUS.index("AU25"), AUS.index("AU26")]] = 0
        strength = np.asarray(action_units, np.float64) @ prototype / (prototype @ prototype)
        third = len(strength) // 3
        change = float(np.median(strength[-third:]) - np.median(strength[:third]))
        return "rising" if change > RISING else "fading" if change < -RISING else "steady"
    return "rising" if measured is not None and measured.pitch_slope > RISING_PITCH else "steady"
