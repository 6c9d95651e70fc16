"""Takes: who says what, how, before which camera. A take is planned from seeds alone, so it can be made again
anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tasks.captions import SUBJECTS, sentence
from tasks.studio.acting import MAX_YAW, Style, act, sample_style
from tasks.studio.controls import EMOTIONS, Controls
from tasks.studio.identity import Identity, sample_identity
from tasks.studio.render import Scene, sample_scene
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import LANGUAGES, PROSODY, SAMPLE_RATE, Speech, Voice, join, sample_voice, speak

FIRST_LIBRARY_SEED = 900_000
"""Identity seeds below are for corpora to learn from; those from here on are the shipped library's, never trained
on.
"""

MOODS: tuple[tuple[str, int], ...] = tuple(
    (emotion, intensity)
    for emotion in EMOTIONS
    for intensity in ((0, 0, 0) if emotion == "neutral" else (1, 2, 3))
)  # fmt: skip
_FAST, _SLOW, _SOFT, _LOUD, _HIGH, _LOW = 188, 132, 0.3, 0.62, 66, 33


@dataclass(frozen=True)
class Take:
    """One person, one passage of speech, one scene and manner.

    shown: emotion and intensity of the face; those of the voice are the speech's own, mostly the same.
    """

    identity: Identity
    scene: Scene
    speech: Speech
    style: Style
    seed: int
    split: str
    shown: tuple[str, int]

    def controls(self, times: npt.ArrayLike) -> Controls:
        """Controls [T] at `times` seconds of the take."""
        emotion, intensity = self.shown
        return act(replace(self.speech, emotion=emotion, intensity=intensity), times, self.seed, self.style)


def voice_of(identity: Identity, language: str) -> Voice:
    """The voice of a person in a language: always the same one, high or low as the head is small or large."""
    rng = np.random.default_rng([identity.seed, 0x701CE])
    voice = sample_voice(rng, language, feminine=identity.masculine < 0.5)
    # espeak's 50 is a variant's own pitch; a person's hint moves it by up to 15 steps.
    typical = 110.0 if identity.masculine >= 0.5 else 193.0
    shift = float(np.clip(30 * np.log2(identity.voice_pitch / typical), -15, 15))
    slower = 1.0 - 0.12 * max(identity.age - 0.6, 0.0)
    return replace(voice, pitch=int(np.clip(voice.pitch + shift, 10, 90)), rate=int(voice.rate * slower))


def passage(
    rng: np.random.Generator, voice: Voice, emotion: str, intensity: int, seconds: float, split: str | None = None
) -> Speech:
    """Sentences of `split` that fill `seconds`, with a short lead and pauses; exactly `seconds` long."""
    lead = float(rng.uniform(0.08, 0.45))
    parts: list[Speech] = []
    spoken = 0.0
    while not parts or spoken < seconds - lead - 0.6:
        text = sample_sentence(rng, voice.language, split)
        parts.append(speak(text, voice, emotion=emotion, intensity=intensity))
        spoken += parts[-1].duration_s
    return join(parts, float(rng.uniform(0.0, 0.2))).window(-lead, seconds - lead)


def plan_take(
    identity_seed: int,
    number: int,
    mood: tuple[str, int],
    seconds: float,
    split: str,
    framing: tuple[float, float],
    language: str | None = None,
    max_yaw: float = MAX_YAW,
    voice_mood: tuple[str, int] | None = None,
    scene_seed: int | None = None,
) -> Take:
    """Take `number` of a person: speech of `mood` (emotion, intensity) that lasts `seconds`, scene and manner drawn.

    Args:
        voice_mood: what the voice alone feels, where it is not the face's mood.
        scene_seed: takes of a person with the same one are in the same light, before the same camera.
    """
    rng = np.random.default_rng([identity_seed, number, 0x7A3E])
    identity = sample_identity(identity_seed)
    spoken = language or ("en" if rng.random() < 0.5 else str(rng.choice(LANGUAGES)))
    speech = passage(rng, voice_of(identity, spoken), *(voice_mood or mood), seconds, split)
    drawn = int(rng.integers(1 << 30))
    scene = sample_scene(identity, drawn if scene_seed is None else scene_seed, framing=framing)
    return Take(identity, scene, speech, sample_style(rng, max_yaw), int(rng.integers(1 << 30)), split, mood)


def room_sound(speech: Speech, seed: int) -> npt.NDArray[np.float32]:
    """The speech float32 [N] at 16 kHz as a microphone hears it: in half of the takes with a quiet room's noise.

    Without it a model would learn that digital zero is what silence sounds like.
    """
    rng = np.random.default_rng([seed, 0x800])
    if rng.random() < 0.5:
        return speech.audio
    count = len(speech.audio)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 60) ** rng.uniform(0.3, 0.8), count)
    level = 10 ** (rng.uniform(-62, -44) / 20) / max(float(np.sqrt((noise**2).mean())), 1e-9)
    return np.clip(speech.audio + level * noise, -1, 1).astype(np.float32)


def describe(take: Take, controls: Controls) -> str:
    """The take in one sentence, in the captions' vocabulary: emotion, manner, what head and voice do."""
    speech, rng = take.speech, np.random.default_rng([take.seed, 0xCA9])
    text = sentence(*take.shown, _manner(take), _head(take, controls), _voice(speech), rng)
    subjects = ("A man", "He") if take.identity.masculine >= 0.5 else ("A woman", "She")
    spoken = str(rng.choice(subjects if rng.random() < 0.7 else SUBJECTS[:3]))
    for subject in SUBJECTS:
        if text.startswith(f"{subject} "):
            return spoken + text[len(subject) :]
    return text


def _manner(take: Take) -> str:
    if take.style.onset_s == 0 and take.style.sway >= 1.6 and take.shown[1] >= 2:
        return "expressive"
    return "restrained" if take.style.sway < 0.4 and take.shown[1] == 1 else "plain"


def _head(take: Take, controls: Controls) -> str:
    yaw, pitch, roll = (float(controls.pose[:, i].mean()) for i in range(3))
    if abs(yaw) > 0.28:
        return "turned"
    if pitch < -0.12:
        return "lowered"
    if pitch > 0.11:
        return "raised"
    if abs(roll) > 0.10:
        return "tilted"
    return "still" if take.style.sway < 0.4 else "lively" if take.style.sway > 1.5 else "steady"


def _voice(speech: Speech) -> str:
    mood, share, voice = PROSODY[speech.emotion], speech.intensity / 3, speech.voice
    rate, pitch = voice.rate * mood.rate**share, voice.pitch + mood.pitch * share
    volume, melody = 0.5 * voice.volume * mood.volume**share, voice.range * mood.range**share
    extremes = {
        "fast": rate / _FAST - 1, "slow": _SLOW / rate - 1, "soft": (_SOFT / volume - 1) / 2, "loud": (volume / _LOUD
        - 1) / 2, "high": (pitch - _HIGH) / 100, "low": (_LOW - pitch) / 100, "flat": (22 - melody) / 100, "melodic":
        (melody - 85) / 100,
    }  # fmt: skip
    name = max(extremes, key=lambda key: extremes[key])
    return name if extremes[name] > 0 else "even"
