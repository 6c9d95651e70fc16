"""How right the measures of sound are: speech against the true phonemes, loudness, pitch and rate of speech."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tasks.config import Config
from tasks.exams.footage import person_seed
from tasks.exams.registry import Finding
from tasks.exams.talking import CLOSE_UP, RATE, Sound, sounded
from tasks.experts import Experts
from tasks.speech import HOP_S, loudness_lufs, pitch_track, prosody, voice_activity
from tasks.studio.speech import Phoneme
from tasks.studio.takes import MOODS, plan_take, room_sound
from tasks.training.augment import stretch

NOISY_DB = 15.0
VOWELS = frozenset("aeiouyæøœɐɑɒɔəɚɛɜɝɞɨɪɯɵɶʉʊʌʏɤɘ")


def exam(config: Config, experts: Experts, quick: bool = False, seed: int = 0) -> list[Finding]:
    """Voice activity on takes in many voices, languages and moods; loudness on the standard's tones; a made-up voice
    of known pitch; syllables counted in the phonemes.
    """
    rng = np.random.default_rng([seed, 0x50D])
    takes = [_take(seed, person) for person in range(4 if quick else 40)]
    findings = _activity(takes, rng) + _tones()
    return findings + _pitch(rng, 4 if quick else 24) + _moved_pitch(takes, rng) + _rate(takes)


def _take(seed: int, person: int) -> tuple[Sound, list[Phoneme]]:
    """Six seconds of talk, in every other take with a long pause, as a microphone in a room hears it."""
    take = plan_take(person_seed(seed, person), 1, MOODS[(5 * person) % len(MOODS)], 6.0, "test", CLOSE_UP)
    speech = take.speech
    if person % 2:
        speech = speech.window(-1.0, 5.0)
    return room_sound(speech, take.seed), speech.phonemes


def _activity(takes: list[tuple[Sound, list[Phoneme]]], rng: np.random.Generator) -> list[Finding]:
    """Precision and recall over frames of 10 ms, clean and with noise; false alarms; cost."""
    counts = {"": np.zeros(3), f", noise {NOISY_DB:.0f} dB below": np.zeros(3)}
    spent = length = 0.0
    for sound, phonemes in takes:
        times = (np.arange(int(len(sound) / RATE / HOP_S)) + 0.5) * HOP_S
        truth = _within(sounded(phonemes), times)
        noise = rng.standard_normal(len(sound)) * np.sqrt(np.mean(sound**2)) * 10 ** (-NOISY_DB / 20)
        for name, heard in zip(counts, (sound, (sound + noise).astype(np.float32)), strict=True):
            began = time.process_time()
            found = _within(voice_activity(heard), times)
            spent, length = spent + time.process_time() - began, length + len(sound) / RATE
            counts[name] += [(found & truth).sum(), found.sum(), truth.sum()]
    findings = []
    for name, totals in counts.items():
        both, found_in_all, true_in_all = (float(total) for total in totals)
        for measure, cases in (("precision", found_in_all), ("recall", true_in_all)):
            share, asked = both / max(cases, 1.0), None if name else 0.9
            findings.append(
                Finding(f"voice activity, {measure}{name}", share, asked, "share of 10 ms", cases=int(cases))
            )
    moments = np.arange(6 * RATE) / RATE
    quiet = [
        0 * moments, rng.normal(0, 0.003, len(moments)), rng.normal(0, 0.1, len(moments)),
        0.3 * np.sin(2 * np.pi * 440 * moments), sum(0.1 * np.sin(2 * np.pi * hz * moments) for hz in (262, 330, 392)),
        0.2 * np.sign(np.sin(2 * np.pi * 50 * moments)),
    ]  # fmt: skip
    alarms = [sum(end - start for start, end in voice_activity(np.asarray(each, np.float32))) / 6 for each in quiet]
    return [
        *findings,
        Finding("voice activity, where nobody speaks", float(np.mean(alarms)), 0.02, "share", False, len(quiet),
                "silence, noise, a tone, a chord, hum"),
        Finding("voice activity, time", 1000 * spent / max(length, 1e-9), None, "ms/s", False,
                note="CPU, per second of sound"),
    ]  # fmt: skip


def _tones() -> list[Finding]:
    """Known values of BS.1770-4 and EBU Tech 3341 (whose stereo tones read 3.01 LU more than one channel of them)."""

    def tone(levels: list[tuple[float, float]], rate: int, hertz: float = 1000.0) -> NDArray[np.float64]:
        parts = [10 ** (level / 20) * np.ones(round(seconds * rate)) for level, seconds in levels]
        gain = np.concatenate(parts)
        return np.asarray(gain * np.sin(2 * np.pi * hertz * np.arange(len(gain)) / rate))

    cases = [
        (tone([(0, 5)], 48_000, 997.0), 48_000, -3.01), (tone([(0, 5)], RATE, 997.0), RATE, -3.01),
        (tone([(-23, 20)], RATE), RATE, -26.01), (tone([(-33, 20)], RATE), RATE, -36.01),
        (tone([(-36, 10), (-23, 60), (-36, 10)], RATE), RATE, -26.01),
        (tone([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], RATE), RATE, -26.01),
        (tone([(-26, 20), (-20, 20.1), (-26, 20)], RATE), RATE, -26.01),
    ]  # fmt: skip
    errors = [abs(loudness_lufs(sound, rate) - told) for sound, rate, told in cases]
    note = "the worst of the standard's tones"
    return [Finding("loudness, error", float(max(errors)), 0.1, "LU", False, len(cases), note)]


def _pitch(rng: np.random.Generator, voices: int) -> list[Finding]:
    """A made-up voice of known pitch: pulses through the resonances of a vocal tract, in breath noise."""
    errors, medians = [], []
    for _ in range(voices):
        base = float(np.exp(rng.uniform(np.log(80), np.log(320))))
        moments = np.arange(3 * RATE) / RATE
        melody = rng.uniform(1, 4) * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * moments + rng.uniform(0, 6))
        hertz = base * 2 ** (melody / 12)
        phase = np.cumsum(hertz) / RATE
        pulses = np.diff(np.floor(phase), prepend=0.0)
        voice = lfilter([1.0], [1.0, -1.9, 0.9025], pulses)
        for centre, width in zip(rng.uniform((300, 900, 2300), (800, 2000, 3000)), (80, 110, 160), strict=True):
            radius = np.exp(-np.pi * width / RATE)
            voice = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], voice)
        voice = 0.2 * voice / np.abs(voice).max() + rng.normal(0, 0.002, len(voice))
        found, strength, _ = pitch_track(voice)
        true = hertz[np.clip(np.arange(len(found)) * 160 + 320, 0, len(hertz) - 1)]
        sure = strength > 0.5
        errors.append(12 * np.abs(np.log2(found[sure] / true[sure])))
        medians.append(abs(12 * np.log2(prosody(voice).pitch_hz / float(np.median(hertz)))))
    every = np.concatenate(errors)
    return [
        Finding("pitch, median error", float(np.median(every)), 0.5, "semitones", False, len(every)),
        Finding("pitch, errors above a semitone", float(np.mean(every > 1)), 0.05, "share of 10 ms", False, len(every)),
        Finding("pitch of a passage, mean error", float(np.mean(medians)), 0.5, "semitones", False, len(medians)),
    ]


def _moved_pitch(takes: list[tuple[Sound, list[Phoneme]]], rng: np.random.Generator) -> list[Finding]:
    """The studio's voices, played faster or slower: their pitch must move by just that factor."""
    errors = []
    for sound, _ in takes:
        factor = float(2 ** rng.uniform(-0.4, 0.4))
        before, after = prosody(sound).pitch_hz, prosody(stretch(sound, factor)).pitch_hz
        if before > 0 and after > 0:
            errors.append(abs(12 * np.log2(after / before / factor)))
    note = "studio voices played up to 32 % faster or slower"
    return [Finding("pitch moved, mean error", float(np.mean(errors)), 0.5, "semitones", False, len(errors), note)]


def _rate(takes: list[tuple[Sound, list[Phoneme]]]) -> list[Finding]:
    """Syllables a second of speech against the vowels among the phonemes."""
    found, true = [], []
    for sound, phonemes in takes:
        spoken = sum(end - start for start, end in sounded(phonemes, 0.3))
        true.append(sum(bool(VOWELS & set(phoneme.symbol)) for phoneme in phonemes) / max(spoken, 0.1))
        found.append(prosody(sound).rate_hz)
    error = np.abs(np.array(found) / np.maximum(true, 1e-6) - 1)
    findings = [Finding("rate of speech, median error", float(np.median(error)), 0.2, "share", False, len(error))]
    if len(found) > 5:
        agree = float(np.corrcoef(found, true)[0, 1])
        findings.append(Finding("rate of speech, correlation", agree, cases=len(error)))
    return findings


def _within(spans: list[tuple[float, float]], times: NDArray[np.floating]) -> NDArray[np.bool_]:
    inside = np.zeros(len(times), bool)
    for start, end in spans:
        inside |= (times >= start) & (times < end)
    return inside
