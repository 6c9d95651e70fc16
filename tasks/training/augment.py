"""What rooms, microphones and speakers do to a recording: random but repeatable changes of sound.

The studio's voices are clean and few. Everything trained on them hears them through these changes, so that what it
learns is the speech and not the synthesiser.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import fftconvolve

RATE = 16_000
Sound = NDArray[Any]


def stretch(audio: Sound, factor: float) -> Sound:
    """Play faster (factor > 1: shorter, higher, smaller vocal tract) or slower, by resampling float [N]."""
    return np.asarray(soxr.resample(audio, RATE * factor, RATE, quality="LQ"), dtype=np.float32)


def equalise(audio: Sound, rng: np.random.Generator, decibel: float = 8.0) -> Sound:
    """A smooth random frequency response of about ± `decibel`, and now and then the narrow band of a telephone."""
    spectrum = np.fft.rfft(audio)
    hertz = np.linspace(0, RATE / 2, len(spectrum))
    knots = np.array([0, 150, 400, 900, 1800, 3200, 5000, 8000])
    gain = np.interp(hertz, knots, rng.normal(0, decibel / 2, len(knots)))
    if rng.random() < 0.25:
        low, high = rng.uniform(50, 300), rng.uniform(3400, 7500)
        gain -= 30 * ((hertz < low) | (hertz > high))
    return np.fft.irfft(spectrum * 10 ** (gain / 20), len(audio)).astype(np.float32)


def reverberate(audio: Sound, rng: np.random.Generator) -> Sound:
    """A room: noise that decays over 0.08–0.5 s behind the direct sound, which keeps its time."""
    decay = rng.uniform(0.08, 0.5)
    time = np.arange(int(decay * RATE)) / RATE
    room = rng.normal(0, 1, len(time)) * np.exp(-6.9 * time / decay)
    room *= rng.uniform(0.1, 0.7) / (np.sqrt((room**2).sum()) + 1e-9)
    room[: int(0.002 * RATE)] = 0
    room[0] = 1.0
    return np.asarray(fftconvolve(audio, room)[: len(audio)], dtype=np.float32)


def add_noise(audio: Sound, rng: np.random.Generator, other: Sound | None = None) -> Sound:
    """Noise of a random colour, or another voice far behind, at 5–45 dB below the speech."""
    level = float(np.sqrt(np.mean(audio**2))) + 1e-5
    if other is not None and rng.random() < 0.3:
        noise = np.resize(other, len(audio)).astype(np.float64)
        below = rng.uniform(12, 30)
    else:
        spectrum = np.fft.rfft(rng.normal(0, 1, len(audio)))
        tilt = rng.uniform(0, 1.2)
        noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20) ** tilt, len(audio))
        below = rng.uniform(5, 45)
    noise = noise / (np.sqrt(np.mean(noise**2)) + 1e-9)
    return np.asarray(audio + noise * level * 10 ** (-below / 20), dtype=np.float32)


def record(audio: Sound, rng: np.random.Generator, other: Sound | None = None) -> Sound:
    """A random recording of float [N]: equaliser, room, noise, level; same length and timing."""
    if rng.random() < 0.7:
        audio = equalise(audio, rng)
    if rng.random() < 0.4:
        audio = reverberate(audio, rng)
    if rng.random() < 0.7:
        audio = add_noise(audio, rng, other)
    # half of the time the level stays: how loud a voice is says how wide it opens the mouth
    gain = 1.0 if rng.random() < 0.5 else 10 ** (rng.uniform(-20, 6) / 20)
    return np.clip(audio * gain, -1, 1).astype(np.float32)
