"""Speech with exact phoneme times, from espeak-ng: the voice of the studio.

What is said comes with its phonemes and words, in seconds; an emotion changes rate, pitch, range and loudness as it
does in people. espeak-ng is an optional extra: `MissingSpeech` says how to get it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import soxr

from tasks.studio.controls import EMOTIONS
from tasks.studio.espeak import PHONEME, WORD, Heard, MissingSpeech, Settings, synthesise

__all__ = [
    "ACCENTS",
    "LANGUAGES",
    "SAMPLE_RATE",
    "MissingSpeech",
    "Phoneme",
    "Speech",
    "Voice",
    "Word",
    "join",
    "sample_voice",
    "speak",
]

FloatArray = npt.NDArray[np.float32]
SAMPLE_RATE = 16_000

FEMININE = (
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "Annie",
    "Alicia",
    "Andrea",
    "linda",
    "belinda",
    "steph",
    "aunty",
    "anika",
    "shelby",
)
MASCULINE = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Alex", "Andy", "Denis", "Diogo", "Gene", "Henrique", "Lee",
    "Marco", "Mario",
    "Michael", "Reed", "benjamin", "edward", "ed", "gustave", "john", "marcelo", "max", "miguel", "norbert",
    "pablo", "robert",
)  # fmt: skip
# A language of the sentence grammar → the espeak voices that speak it.
ACCENTS: dict[str, tuple[str, ...]] = {
    "en": ("en-us", "en-us", "en", "en-gb-scotland", "en-gb-x-rp"),
    "de": ("de",),
    "fr": ("fr", "fr-ch"),
    "es": ("es", "es-419"),
    "it": ("it",),
    "pt": ("pt-br", "pt"),
    "nl": ("nl",),
}
LANGUAGES = tuple(ACCENTS)


class Phoneme(NamedTuple):
    """One sounded phoneme: IPA symbol with stress and length marks, start and end in seconds. "" is a pause."""

    symbol: str
    start_s: float
    end_s: float


class Word(NamedTuple):
    """One spoken word with its start and end in seconds."""

    text: str
    start_s: float
    end_s: float


Timed = TypeVar("Timed", Phoneme, Word)


@dataclass(frozen=True)
class Voice:
    """Who speaks: a language of LANGUAGES, an espeak voice and variant, words a minute, pitch and pitch range 0..99."""

    language: str = "en"
    accent: str = "en-us"
    variant: str = "m1"
    rate: int = 160
    pitch: int = 50
    range: int = 50
    volume: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.accent}+{self.variant}"


@dataclass(frozen=True)
class Prosody:
    """What an emotion does to a voice at full intensity (after Murray and Arnott, 1993): factors, and pitch in espeak
    steps.
    """

    rate: float = 1.0
    pitch: float = 0.0
    range: float = 1.0
    volume: float = 1.0
    pause: float = 1.0


PROSODY: dict[str, Prosody] = {
    "neutral": Prosody(),
    "happy": Prosody(rate=1.14, pitch=14, range=1.6, volume=1.15),
    "sad": Prosody(rate=0.78, pitch=-12, range=0.45, volume=0.62, pause=1.8),
    "angry": Prosody(rate=1.18, pitch=6, range=1.45, volume=1.5, pause=0.7),
    "surprised": Prosody(rate=1.06, pitch=22, range=1.9, volume=1.2),
    "fearful": Prosody(rate=1.26, pitch=20, range=0.8, volume=0.8, pause=0.8),
    "disgusted": Prosody(rate=0.86, pitch=-8, range=1.1, volume=0.95, pause=1.3),
    "contempt": Prosody(rate=0.88, pitch=-6, range=0.7, volume=0.9, pause=1.2),
}


@dataclass
class Speech:
    """A spoken passage.

    audio: float32 mono [-1,1] at 16 kHz. phonemes and words cover it in order, in seconds; pauses are phonemes named
    "".
    """

    audio: FloatArray
    phonemes: list[Phoneme]
    words: list[Word]
    text: str
    voice: Voice
    emotion: str = "neutral"
    intensity: int = 0

    @property
    def duration_s(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    def window(self, start_s: float, end_s: float) -> Speech:
        """The part from start_s to end_s, its times from 0; silence before 0 and after the end. Cut edges fade over
        10 ms.
        """
        first, last = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        audio = np.zeros(last - first, np.float32)
        have = self.audio[max(first, 0) : max(last, 0)]
        fade = np.linspace(0, 1, SAMPLE_RATE // 100, dtype=np.float32)
        if first > 0 and len(have) > len(fade):
            have = np.concatenate([have[: len(fade)] * fade, have[len(fade) :]])
        if last < len(self.audio) and len(have) > len(fade):
            have = np.concatenate([have[: -len(fade)], have[-len(fade) :] * fade[::-1]])
        audio[max(-first, 0) : max(-first, 0) + len(have)] = have
        return replace(
            self,
            audio=audio,
            phonemes=_cut(
                [Phoneme("", start_s, 0.0), *self.phonemes, Phoneme("", self.duration_s, end_s)], start_s, end_s
            ),
            words=_cut(self.words, start_s, end_s),
        )


def _cut(items: Sequence[Timed], start_s: float, end_s: float) -> list[Timed]:
    inside = [(item, max(item[1], start_s) - start_s, min(item[2], end_s) - start_s) for item in items]
    return [type(item)(item[0], start, end) for item, start, end in inside if end - start > 1e-6]


def join(parts: Sequence[Speech], pause_s: float = 0.0) -> Speech:
    """One passage after another by the same voice, `pause_s` of silence between them."""
    audio: list[FloatArray] = []
    phonemes: list[Phoneme] = []
    words: list[Word] = []
    at = 0
    for index, part in enumerate(parts):
        if index and pause_s > 0:
            silence = np.zeros(round(pause_s * SAMPLE_RATE), np.float32)
            audio.append(silence)
            phonemes.append(Phoneme("", at / SAMPLE_RATE, (at + len(silence)) / SAMPLE_RATE))
            at += len(silence)
        shift = at / SAMPLE_RATE
        phonemes += [Phoneme(p.symbol, p.start_s + shift, p.end_s + shift) for p in part.phonemes]
        words += [Word(w.text, w.start_s + shift, w.end_s + shift) for w in part.words]
        audio.append(part.audio)
        at += len(part.audio)
    text = " ".join(part.text for part in parts)
    return replace(parts[0], audio=np.concatenate(audio), phonemes=phonemes, words=words, text=text)


def sample_voice(rng: np.random.Generator, language: str = "en", feminine: bool | None = None) -> Voice:
    """A voice of `language`, drawn from `rng`; of either sex where `feminine` is None."""
    if feminine is None:
        feminine = bool(rng.random() < 0.5)
    variants = FEMININE if feminine else MASCULINE
    return Voice(
        language=language,
        accent=str(rng.choice(ACCENTS[language])),
        variant=str(rng.choice(variants)),
        rate=int(rng.normal(158, 16)),
        pitch=int(np.clip(rng.normal(50, 11), 15, 85)),
        range=int(np.clip(rng.normal(50, 14), 15, 90)),
        volume=float(rng.uniform(0.6, 1.0)),
    )


def speak(
    text: str,
    voice: Voice | str = "en-us+m1",
    rate: int | None = None,
    pitch: int | None = None,
    emotion: str = "neutral",
    intensity: int = 2,
) -> Speech:
    """Speak `text`; the emotion (one of EMOTIONS, at `intensity` 0..3) changes rate, pitch, range and loudness.

    voice: a Voice, or an espeak voice name such as "de+f2". Raises MissingSpeech without the extra, ValueError for an
    unknown voice or emotion.
    """
    if emotion not in EMOTIONS:
        raise ValueError(f"unknown emotion {emotion!r}: one of {', '.join(EMOTIONS)}")
    if isinstance(voice, str):
        accent, _, variant = voice.partition("+")
        voice = Voice(language=accent.split("-")[0], accent=accent, variant=variant or "m1")
    voice = replace(voice, rate=rate or voice.rate, pitch=voice.pitch if pitch is None else pitch)
    share = min(max(intensity, 0), 3) / 3
    mood = PROSODY[emotion]
    settings = Settings(
        rate=int(np.clip(voice.rate * mood.rate**share, 90, 260)),
        pitch=int(np.clip(voice.pitch + mood.pitch * share, 0, 99)),
        range=int(np.clip(voice.range * mood.range**share, 0, 99)),
        word_gap=round(max(mood.pause**share - 1, 0) * 3),
    )
    samples, events, sample_rate = synthesise(text, voice.name, settings)
    audio = samples.astype(np.float32) / 32768
    if sample_rate != SAMPLE_RATE:
        audio = soxr.resample(audio, sample_rate, SAMPLE_RATE).astype(np.float32)
    peak = float(np.abs(audio).max(initial=1e-6))
    # Variants differ by 12 dB in level for no reason of speech; the level that stays is the speaker's and the mood's.
    audio = np.clip(audio / peak * min(0.5 * voice.volume * mood.volume**share, 0.95), -1, 1).astype(np.float32)
    end_s = len(audio) / SAMPLE_RATE
    return Speech(audio, _phonemes(events, end_s), _words(events, text, end_s), text, voice, emotion, intensity)


def _phonemes(events: list[Heard], end_s: float) -> list[Phoneme]:
    """Phonemes that cover [0, end_s] without gaps; neighbouring pauses are one."""
    starts = [(event.symbol.strip(), min(event.at_s, end_s)) for event in events if event.kind == PHONEME]
    spans = [("", 0.0), *starts]
    ends = [start for _, start in starts] + [end_s]
    phonemes: list[Phoneme] = []
    for (symbol, start), end in zip(spans, ends, strict=True):
        if end <= start:
            continue
        if phonemes and not symbol and not phonemes[-1].symbol:
            phonemes[-1] = Phoneme("", phonemes[-1].start_s, end)
        else:
            phonemes.append(Phoneme(symbol, start, end))
    return phonemes


def _words(events: list[Heard], text: str, end_s: float) -> list[Word]:
    """espeak counts characters from 1."""
    marks = [event for event in events if event.kind == WORD]
    ends = [event.at_s for event in marks[1:]] + [end_s]
    words = [
        Word(text[mark.position - 1 : mark.position - 1 + mark.length].strip(" .,;:!?¿¡"), mark.at_s, end)
        for mark, end in zip(marks, ends, strict=True)
    ]
    return [word for word in words if word.text]
