"""What is said and how: where there is speech, how loud it is, and its prosody."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfilt, sosfiltfilt
from silero_vad import get_speech_timestamps, load_silero_vad

RATE = 16_000
HOP_S = 0.01
_FRAME = 640  # 40 ms: two periods of the lowest voice
_PITCH_HZ = (60.0, 500.0)
_SILENCE_DBFS = -90.0

SILENCE_LUFS = -70.0
"""What BS.1770 leaves out as silence: the least that `loudness_lufs` tells."""

Sound = NDArray[Any]
_one_at_a_time = Lock()  # the detector holds the state of the sound it listens to


@lru_cache(maxsize=1)
def _detector() -> Any:
    """silero-vad's network by onnxruntime; its weights are in the package."""
    return load_silero_vad(onnx=True)


def voice_activity(audio: Sound, min_speech_s: float = 0.15, min_silence_s: float = 0.1) -> list[tuple[float, float]]:
    """Stretches of speech (start, end) in seconds, in order, by silero-vad; audio float [N] at 16 kHz.

    The network is loaded once per process, runs on one thread, and is used by one caller at a time.
    """
    if len(audio) < 512 or not np.any(audio):
        return []
    samples = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))
    with _one_at_a_time:
        spans = get_speech_timestamps(
            samples,
            _detector(),
            sampling_rate=RATE,
            min_speech_duration_ms=int(min_speech_s * 1000),
            min_silence_duration_ms=int(min_silence_s * 1000),
        )
    return [(span["start"] / RATE, span["end"] / RATE) for span in spans]


def share_of(spans: list[tuple[float, float]], length_s: float) -> float:
    """The share of `length_s` that is covered by stretches (start, end) in seconds; 0..1."""
    return float(min(1.0, sum(end - start for start, end in spans) / length_s)) if length_s > 0 else 0.0


def loudness_lufs(audio: Sound, rate: int = RATE) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4) of mono float [N]; -70 for silence.

    K-weighting, mean power of blocks of 0.4 s every 0.1 s, gates at -70 LUFS and 10 LU below what passes the first.
    A 997 Hz sine of full scale reads -3.01. Sound shorter than a block is one block.
    """
    if len(audio) == 0:
        return SILENCE_LUFS
    weighted = sosfilt(_k_weighting(rate), np.asarray(audio, np.float64))
    length, step = round(0.4 * rate), round(0.1 * rate)
    sums = np.concatenate([[0.0], np.cumsum(np.square(weighted))])
    starts = np.arange(0, max(1, len(weighted) - length + 1), step)
    ends = np.minimum(starts + length, len(weighted))
    power = np.maximum((sums[ends] - sums[starts]) / (ends - starts), 0.0)
    power = power[_lufs(power) > SILENCE_LUFS]
    if len(power):
        power = power[_lufs(power) > _lufs(power.mean()) - 10]
    return max(SILENCE_LUFS, float(_lufs(power.mean()))) if len(power) else SILENCE_LUFS


def _lufs(power: Any) -> Any:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))


@lru_cache(maxsize=4)
def _k_weighting(rate: int) -> NDArray[np.float64]:
    """The standard's two filters as second-order sections [2,6] for any rate; at 48 kHz its tabled coefficients.

    Their analogue prototypes after B. De Man, Evaluation of implementations of the EBU R128 loudness measurement, 2018.
    """
    k = np.tan(np.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band, norm = high**0.4996667741545416, 1 + k / q + k * k
    shelf = [(high + band * k / q + k * k) / norm, 2 * (k * k - high) / norm, (high - band * k / q + k * k) / norm,
             1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm]  # fmt: skip
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    norm = 1 + k / q + k * k
    return np.array([shelf, [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm]])


def loudness(audio: Sound) -> float:
    """Level of the sound in dBFS (RMS; a full-scale sine is -3), silence -90."""
    if len(audio) == 0:
        return _SILENCE_DBFS
    power = float(np.mean(np.square(audio, dtype=np.float64)))
    return max(_SILENCE_DBFS, 10 * np.log10(power + 1e-12))


@dataclass(frozen=True)
class Prosody:
    """How something is said.

    level_db: RMS of the voiced parts, dBFS. level_range_db: spread of the level while speaking (10th to 90th
    percentile). pitch_hz: median; pitch_range: 10th to 90th percentile in semitones; pitch_slope: semitones a second
    over a voiced stretch. rate_hz: syllable nuclei a second of speech. voiced, pause: shares of the time. tremble:
    unsteadiness of the pitch from one 10 ms to the next in semitones. brightness: level above 1 kHz against below, dB.
    """

    level_db: float
    level_range_db: float
    pitch_hz: float
    pitch_range: float
    pitch_slope: float
    rate_hz: float
    voiced: float
    pause: float
    tremble: float
    brightness: float

    def vector(self) -> NDArray[np.float32]:
        """float32 [10] in the order of the fields, the pitch in octaves; of about unit spread, within ± 4."""
        values = np.array(astuple(self), np.float64)
        values[2] = np.log2(max(self.pitch_hz, 30.0) / 100.0)
        centre = np.array([-24, 19.5, 0.6, 5, -3, 4.9, 0.7, 0.12, 0.15, -4.5])
        spread = np.array([5, 3, 0.6, 2.5, 3, 0.9, 0.1, 0.08, 0.07, 4])
        return np.clip((values - centre) / spread, -4, 4).astype(np.float32)


def prosody(audio: Sound) -> Prosody:
    """Prosody of float [N] at 16 kHz, half a second or more; of silence everything is 0 and the level -90."""
    audio = np.asarray(audio, dtype=np.float64)
    pitch, strength, level = pitch_track(audio)
    loud = level > max(level.max(initial=_SILENCE_DBFS) - 35, -60)
    voiced = (strength > 0.5) & loud
    if voiced.sum() < 10:
        return Prosody(loudness(audio), 0, 0, 0, 0, 0, 0, float(1 - loud.mean()) if len(loud) else 0, 0, 0)
    semitones = 12 * np.log2(pitch[voiced] / 100)
    middle = float(np.median(semitones))
    # octave errors of the tracker would look like a wild melody
    sane = np.abs(semitones - middle) < 10
    low, high = np.percentile(semitones[sane], (10, 90))
    track = np.where(voiced, 12 * np.log2(np.maximum(pitch, 1) / 100), np.nan)
    steps = np.diff(track)
    steps = steps[np.isfinite(steps) & (np.abs(steps) < 3)]
    slopes = [_slope(track[start:end]) for start, end in _runs(np.isfinite(track)) if end - start >= 15]
    quiet, peak = np.percentile(level[loud], (10, 90))
    bright = sosfiltfilt(butter(4, 1000, "high", fs=RATE, output="sos"), audio)
    dark = sosfiltfilt(butter(4, 1000, "low", fs=RATE, output="sos"), audio)
    return Prosody(
        level_db=float(10 * np.log10(np.mean(10 ** (level[voiced] / 10)))),
        level_range_db=float(peak - quiet),
        pitch_hz=float(100 * 2 ** (middle / 12)),
        pitch_range=float(high - low),
        pitch_slope=float(np.median(slopes)) if slopes else 0.0,
        rate_hz=_syllable_rate(level, loud),
        voiced=float(voiced.mean()),
        pause=float(1 - loud.mean()),
        tremble=float(np.mean(np.abs(np.diff(steps)))) if len(steps) > 2 else 0.0,
        brightness=loudness(bright) - loudness(dark),
    )


def pitch_track(audio: Sound) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pitch in Hz, its strength 0..1 and the level in dBFS every 10 ms: three float64 [N / 160].

    Normalised autocorrelation of 40 ms, divided by that of its window (Boersma, 1993); the shortest lag within 10 %
    of the best one wins, so that a voice is not heard an octave too low.
    """
    count = max(0, (len(audio) - _FRAME) // 160 + 1)
    if count == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(audio, np.float64), _FRAME)[::160][:count]
    window = np.hanning(_FRAME)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-9)
    shaped = (frames - frames.mean(axis=1, keepdims=True)) * window
    auto = np.fft.irfft(np.abs(np.fft.rfft(shaped, 2 * _FRAME)) ** 2)[:, :_FRAME]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * _FRAME)) ** 2)[:_FRAME]
    shortest, longest = int(RATE / _PITCH_HZ[1]), int(RATE / _PITCH_HZ[0])
    lags = np.arange(shortest, longest)
    correlation = auto[:, lags] / (auto[:, :1] + 1e-12) / (of_window[lags] / of_window[0])
    best = correlation.max(axis=1)
    peak = np.zeros_like(correlation, dtype=bool)
    peak[:, 1:-1] = (correlation[:, 1:-1] >= correlation[:, :-2]) & (correlation[:, 1:-1] >= correlation[:, 2:])
    good = peak & (correlation >= 0.9 * best[:, None])
    chosen = np.where(good.any(axis=1), good.argmax(axis=1), correlation.argmax(axis=1))
    return RATE / lags[chosen], np.clip(best, 0, 1), level


def _syllable_rate(level: NDArray[np.float64], loud: NDArray[np.bool_]) -> float:
    """Peaks of the smoothed level a second of speech: vowels stand out of their neighbours by 2 dB or more."""
    smooth = np.convolve(np.maximum(level, -60), np.hanning(9) / np.hanning(9).sum(), mode="same")
    peaks, _ = find_peaks(smooth, prominence=2.0, distance=8)
    spoken = float(loud.sum()) * HOP_S
    return float(loud[peaks].sum() / spoken) if spoken > 0.1 else 0.0


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _slope(values: NDArray[np.float64]) -> float:
    return float(np.polyfit(np.arange(len(values)) * HOP_S, values, 1)[0])
