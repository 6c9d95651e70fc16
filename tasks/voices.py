"""Tracks of sound as a whole: where somebody speaks in one, and several put together into one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks.speaking import Span, inside
from tasks.speech import RATE, voice_activity
from tasks.voice import HOP_S, sound_power

_BLOCK_S, _OVERLAP_S = 60.0, 2.0
"""Speech is looked for in pieces of a minute, which begin before the last has ended: the detector needs a run-up."""
_MIX_BLOCK = 1 << 15


def speech_spans(path: str | os.PathLike[str]) -> list[Span]:
    """Stretches (start, end) of speech in seconds of the file's timeline, in order; memory does not grow with length.

    Raises:
        InputRejected: the file has no sound. InputFailed: it does not decode.
    """
    length, overlap = round(_BLOCK_S * RATE), round(_OVERLAP_S * RATE)
    held, done = np.zeros(0, np.float32), 0  # sample 0 of `held` is sample `done` of the file
    spans: list[Span] = []
    for block in media.iter_audio(path, RATE):
        held = np.concatenate([held, block])
        while len(held) >= length:
            spans = _continued(spans, held[:length], done)
            held, done = held[length - overlap :], done + length - overlap
    return _continued(spans, held, done)


def pauses(path: str | os.PathLike[str], spans: Sequence[Span], least_s: float = 0.08) -> list[Span]:
    """(start, end) in seconds of the time in which nobody speaks: between `spans` of speech, and within them where the
    sound drops by 25 dB for `least_s` or more, which is too short for a detector of speech; in order.

    Raises:
        InputRejected: the file has no sound. InputFailed: it does not decode.
    """
    power = sound_power(path, HOP_S)
    times = (np.arange(len(power)) + 0.5) * HOP_S
    quiet = np.zeros(len(power), bool)
    if len(power):
        level = 10 * np.log10(power + 1e-10)
        speech = inside(spans, times)
        quiet = level < (float(np.percentile(level[speech], 80)) - 25 if speech.any() else np.inf)
        quiet |= ~speech
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    found = [(float(a) * HOP_S, float(b) * HOP_S) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(a, b) for a, b in found if b - a >= least_s - 1e-9]


def _continued(spans: list[Span], sound: NDArray[np.float32], done: int) -> list[Span]:
    """`spans` and those of a further piece; what both heard is taken from the first up to the overlap's middle."""
    start_s = done / RATE
    border = start_s + (_OVERLAP_S / 2 if done else 0.0)
    kept = [(a, min(b, border)) for a, b in spans if a < border] if done else []
    for a, b in voice_activity(sound):
        a, b = a + start_s, b + start_s
        if b <= border:
            continue
        if kept and max(a, border) - kept[-1][1] < 1e-6:
            kept[-1] = (kept[-1][0], b)
        else:
            kept.append((max(a, border), b))
    return kept


def mix_tracks(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Path:
    """Writes the sum of the files' sound as WAV (16 bit), whole or not at all; memory does not grow with length.

    At the highest of their rates, in stereo if one of them has more than one channel, as long as the longest; where the
    sum is louder than can be written, all of it is made softer alike. Zeros of their timelines coincide.

    Raises:
        InputRejected: one has no sound. InputFailed: one does not decode.
    """
    found = [media.probe(path, need_video=False, need_audio=True).audio[0] for path in paths]
    rate, channels = max(one.rate for one in found), min(2, max(one.channels for one in found))
    peak = max((float(np.abs(block).max(initial=0.0)) for block in _sums(paths, rate, channels)), default=0.0)
    gain = np.float32(min(1.0, 1.0 / peak) if peak > 0 else 1.0)
    return media.write_sound(out, (block * gain for block in _sums(paths, rate, channels)), rate, channels)


def _sums(paths: Sequence[str | os.PathLike[str]], rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    """The sum, float32 [channels,n] a block."""
    for blocks in _abreast([media.iter_audio(path, rate, channels=channels) for path in paths], channels):
        yield np.asarray(np.sum(blocks, axis=0), np.float32)


def _abreast(tracks: Sequence[Iterator[NDArray[np.float32]]], channels: int) -> Iterator[list[NDArray[np.float32]]]:
    """Blocks [channels,n] of the same length from all tracks; those that have ended are silent."""
    held = [np.zeros((channels, 0), np.float32) for _ in tracks]
    ended = [False] * len(tracks)
    while True:
        for number, track in enumerate(tracks):
            while held[number].shape[1] < _MIX_BLOCK and not ended[number]:
                block = next(track, None)
                ended[number] = block is None
                if block is not None:
                    held[number] = np.concatenate([held[number], block.reshape(channels, -1)], axis=1)
        count = min(_MIX_BLOCK, max((one.shape[1] for one in held), default=0))
        if count == 0:
            return
        yield [np.pad(one[:, :count], ((0, 0), (0, max(0, count - one.shape[1])))) for one in held]
        held = [one[:, count:] for one in held]
