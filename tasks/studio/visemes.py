"""From phonemes to lips: articulation curves with coarticulation, at any times.

Vowels and loose consonants blend by dominance functions (Cohen and Massaro, "Modeling coarticulation in synthetic
visual speech", 1993), with the lips ahead of the sound as people's are; lip closures (p b m), lip to teeth (f v) and
tongue to teeth are gestures of their own that always reach their aim. Everything follows from the sound alone: the
same phonemes and loudness give the same lips, on every face.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.studio.controls import ARTICULATION
from tasks.studio.speech import SAMPLE_RATE, Phoneme, Speech

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


class Target(NamedTuple):
    """Where the mouth goes for a sound, 0..1, and how much it insists: `hold` weighs it against its neighbours."""

    jaw: float
    wide: float = 0.0
    round: float = 0.0
    press: float = 0.0
    tuck: float = 0.0
    tongue: float = 0.0
    hold: float = 1.0


REST = Target(0.0, hold=0.9)
_CONSONANT, _LOOSE = 0.55, 0.3
TARGETS: dict[str, Target] = {
    "a": Target(0.92, 0.25), "ɑ": Target(0.95, 0.1), "ɐ": Target(0.75, 0.2), "æ": Target(0.85, 0.55),
    "ʌ": Target(0.62, 0.15),
    "ɒ": Target(0.8, 0.0, 0.4), "ɛ": Target(0.62, 0.5), "e": Target(0.45, 0.65), "ɪ": Target(0.32, 0.55),
    "i": Target(0.2, 0.95),
    "ɨ": Target(0.28, 0.5), "ə": Target(0.36, 0.15, hold=0.6), "ɜ": Target(0.42, 0.1, 0.2),
    "ɚ": Target(0.36, 0.0, 0.35, hold=0.7),
    "ɝ": Target(0.38, 0.0, 0.35), "ɔ": Target(0.68, 0.0, 0.6), "o": Target(0.48, 0.0, 0.85),
    "ʊ": Target(0.32, 0.0, 0.75),
    "ᵻ": Target(0.3, 0.4, hold=0.6), "ʉ": Target(0.22, 0.0, 0.9), "ʝ": Target(0.18, 0.6, hold=0.8),
    "u": Target(0.22, 0.0, 1.0), "ɯ": Target(0.25, 0.3), "ɵ": Target(0.4, 0.0, 0.6), "y": Target(0.2, 0.0, 0.95),
    "ʏ": Target(0.3, 0.0, 0.8), "ø": Target(0.4, 0.0, 0.8), "œ": Target(0.55, 0.0, 0.6),
    "p": Target(0.06, press=1.0, hold=0.6), "b": Target(0.06, press=1.0, hold=0.6),
    "m": Target(0.06, press=1.0, hold=0.6),
    "f": Target(0.14, tuck=1.0, hold=0.8), "v": Target(0.14, tuck=1.0, hold=0.8), "ɱ": Target(0.14, tuck=1.0, hold=0.8),
    "ʋ": Target(0.18, tuck=0.7, hold=0.7), "β": Target(0.14, press=0.6, hold=0.6),
    "w": Target(0.14, 0.0, 1.0, hold=1.1), "ʍ": Target(0.14, 0.0, 1.0, hold=1.1), "ɥ": Target(0.16, 0.0, 0.9, hold=1.0),
    "j": Target(0.18, 0.7, hold=0.8), "ʎ": Target(0.22, 0.55, tongue=0.5, hold=0.7),
    "ɲ": Target(0.18, 0.5, tongue=0.3, hold=0.7),
    "l": Target(0.3, 0.15, tongue=0.75, hold=_CONSONANT), "ɫ": Target(0.32, 0.0, 0.15, tongue=0.6, hold=_CONSONANT),
    "θ": Target(0.2, 0.2, tongue=1.0, hold=0.9), "ð": Target(0.2, 0.2, tongue=1.0, hold=0.8),
    "t": Target(0.16, 0.25, tongue=0.35, hold=_CONSONANT), "d": Target(0.18, 0.2, tongue=0.35, hold=_CONSONANT),
    "n": Target(0.2, 0.2, tongue=0.4, hold=_CONSONANT), "ɾ": Target(0.26, 0.15, tongue=0.45, hold=_CONSONANT),
    "r": Target(0.28, 0.1, tongue=0.45, hold=_CONSONANT), "ɹ": Target(0.22, 0.0, 0.55, hold=0.7),
    "ɻ": Target(0.22, 0.0, 0.5, hold=0.7),
    "ʁ": Target(0.34, 0.05, hold=_LOOSE), "ʀ": Target(0.34, 0.05, hold=_LOOSE),
    "s": Target(0.06, 0.55, hold=1.0), "z": Target(0.07, 0.5, hold=0.9), "ɕ": Target(0.1, 0.5, hold=0.9),
    "ʃ": Target(0.1, 0.0, 0.75, hold=1.0), "ʒ": Target(0.11, 0.0, 0.7, hold=0.9), "ç": Target(0.16, 0.6, hold=0.8),
    "k": Target(0.26, 0.1, hold=_LOOSE), "ɡ": Target(0.26, 0.1, hold=_LOOSE), "g": Target(0.26, 0.1, hold=_LOOSE),
    "ŋ": Target(0.26, 0.1, hold=_LOOSE), "x": Target(0.3, 0.1, hold=_LOOSE), "ɣ": Target(0.3, 0.1, hold=_LOOSE),
    "h": Target(0.35, 0.1, hold=0.12), "ɦ": Target(0.35, 0.1, hold=0.12), "ʔ": Target(0.3, hold=0.1),
}  # fmt: skip
_UNKNOWN = Target(0.35, 0.15, hold=0.3)
_STOPS = "tdpbkɡ"

AHEAD_S = 0.07  # how far vowels' lips run ahead of their sound
BEHIND_S = 0.05
CLOSURE_S = 0.064  # a closure lasts at least so long: no frame interval down to 16 fps can step over it
GESTURE_IN_S, GESTURE_OUT_S = 0.045, 0.035
SHORT_PAUSE_S = 0.07


class Segment(NamedTuple):
    """A stretch of sound with one mouth target."""

    target: Target
    start_s: float
    end_s: float
    stress: float


def segments(phonemes: list[Phoneme]) -> list[Segment]:
    """Mouth targets in order: diphthongs and affricates in two parts, pauses as rest, glottal gaps without a target."""
    parts: list[Segment] = []
    for phoneme in phonemes:
        span = phoneme.end_s - phoneme.start_s
        letters = [letter for letter in phoneme.symbol if letter in TARGETS]
        stress = 1.0 if "ˈ" in phoneme.symbol else 0.5 if "ˌ" in phoneme.symbol else 0.0
        if not phoneme.symbol:
            if span > SHORT_PAUSE_S:
                parts.append(Segment(REST, phoneme.start_s, phoneme.end_s, 0.0))
            continue
        targets = [TARGETS[letter] for letter in letters] or [_UNKNOWN]
        first = 0.4 if letters and letters[0] in _STOPS else 0.55
        shares = [1.0] if len(targets) == 1 else [first, *[(1 - first) / (len(targets) - 1)] * (len(targets) - 1)]
        start = phoneme.start_s
        for target, share in zip(targets, shares, strict=True):
            parts.append(Segment(target, start, start + share * span, stress))
            start += share * span
    return parts


def loudness(audio: FloatArray, times: npt.ArrayLike, window_s: float = 0.09) -> FloatArray:
    """Loudness float32 [T], about 0 in silence and 1 for a full voice: decibels of the RMS round each time, -50 → 0,
    -14 dBFS → 1.
    """
    power = np.concatenate([[0.0], np.cumsum(audio.astype(np.float64) ** 2)])
    at = np.asarray(times, np.float64)
    first = np.clip(np.round((at - window_s / 2) * SAMPLE_RATE), 0, len(audio)).astype(int)
    last = np.clip(np.round((at + window_s / 2) * SAMPLE_RATE), 0, len(audio)).astype(int)
    mean = np.where(last > first, (power[last] - power[first]) / np.maximum(last - first, 1), 0.0)
    return np.clip((10 * np.log10(mean + 1e-10) + 50) / 36, 0, 1.2).astype(np.float32)


def articulation(speech: Speech, times: npt.ArrayLike) -> FloatArray:
    """Articulation float32 [T,6] 0..1 (order of controls.ARTICULATION) of `speech` at `times` (seconds)."""
    at = np.asarray(times, np.float64)
    parts = segments(speech.phonemes)
    if not parts:
        return np.zeros((len(at), len(ARTICULATION)), np.float32)
    blend = _dominance(parts, at)
    jaw, wide, rounding = blend.T
    press = _gesture(parts, at, "press", hold_s=CLOSURE_S)
    tuck = _gesture(parts, at, "tuck", hold_s=0.05)
    tongue = _gesture(parts, at, "tongue", hold_s=0.03)
    # A louder voice opens wider: smoothed over a syllable so that the jaw stays a slow thing.
    smooth = np.mean([loudness(speech.audio, at + shift) for shift in (-0.06, -0.02, 0.02, 0.06)], axis=0)
    jaw = jaw * (0.72 + 0.42 * smooth)
    shut = np.maximum(press, 0.75 * tuck)
    jaw = jaw * (1 - 0.9 * shut)
    wide = wide * (1 - 0.5 * shut)
    tongue = tongue * (1 - press)
    return np.clip(np.stack([jaw, wide, rounding, press, tuck, tongue], -1), 0, 1).astype(np.float32)


def _dominance(parts: list[Segment], at: Float64Array) -> Float64Array:
    """Jaw, spread and rounding [T,3]: the targets' mean weighted by their dominance at each time."""
    total = np.full(len(at), 1e-4)
    value = np.zeros((len(at), 3))
    for part in parts:
        half = (part.end_s - part.start_s) / 2
        offset = at - (part.start_s + part.end_s) / 2
        rest = part.target is REST
        # A pause reaches no further than 30 ms into speech; speech reaches into a pause as far as into anything.
        reach = np.where(offset < 0, half + (0.03 if rest else AHEAD_S), half + (0.03 if rest else BEHIND_S))
        near = np.abs(offset) < 3 * reach
        weight = (
            part.target.hold
            * (1 + 0.25 * part.stress)
            * np.exp(-2.2 * (np.abs(offset[near]) / reach[near]) ** (4 if rest else 2))
        )
        open_more = 1 + 0.08 * (part.stress - 0.5) * (part.target.jaw > 0.3)
        total[near] += weight
        value[near] += weight[:, None] * np.array([part.target.jaw * open_more, part.target.wide, part.target.round])
    return value / total[:, None]


def _gesture(parts: list[Segment], at: Float64Array, name: str, hold_s: float) -> Float64Array:
    """One gesture [T]: for each sound that needs it a smooth rise, a plateau of at least `hold_s`, a smooth fall."""
    curve = np.zeros(len(at))
    for part in parts:
        aim = getattr(part.target, name)
        if aim <= 0:
            continue
        short = max(hold_s - (part.end_s - part.start_s), 0.0)
        start, end = part.start_s - 0.65 * short, part.end_s + 0.35 * short
        rise = np.clip((at - start + GESTURE_IN_S) / GESTURE_IN_S, 0, 1)
        fall = np.clip((end + GESTURE_OUT_S - at) / GESTURE_OUT_S, 0, 1)
        ramp = np.minimum(rise, fall)
        curve = np.maximum(curve, aim * ramp * ramp * (3 - 2 * ramp))
    return curve
