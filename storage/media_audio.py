"""Sound on the timeline: sample 0 is a moment, and every later sample keeps its distance to it.

A track that starts late is padded with silence, gaps and overlaps between its packets are closed the same way, and
resampling is done on the joined signal, so that sound never drifts against the picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame

from storage.errors import InputFailed, InputRejected
from storage.media_limits import MAX_SILENCE_S, check_sound
from storage.media_open import BROKEN, file_size, opened, origin_of
from storage.media_stills import is_still

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
"""Layouts of the sound that is written, by number of channels."""
_CENTRE = 2  # of 5.1
_BLOCK = 1 << 15
_GAP_S = 0.010  # timestamps of containers with coarse clocks (mkv, flv: 1 ms) jitter; only real gaps are filled
_PREROLL_S = 0.3  # decoders of overlapped transforms need a packet or two before the sound is right


def read_audio(
    path: str | os.PathLike[str],
    rate: int = 16000,
    start_s: float | None = None,
    end_s: float | None = None,
    track: int = 0,
) -> np.ndarray:
    """Mono sound, float32 [n] in [-1, 1]; sample i is at ``(start_s or 0) + i / rate`` timeline seconds.

    Without `start_s` sample 0 is at 0, where the timeline of the file's frames has its zero too: a track that starts at
    0.5 s begins with half a second of silence. With `end_s` the length is exactly ``round((end_s - start_s) * rate)``,
    with silence after the track's end.

    Args:
        rate: samples per second wanted.
        track: which audio track.

    Raises:
        InputRejected: there is no such audio track.
        InputFailed: the sound does not decode; the error says where.
    """
    blocks = list(iter_audio(path, rate, start_s, end_s, track))
    sound = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    if end_s is None:
        return sound
    wanted = max(0, round((end_s - (start_s or 0.0)) * rate))
    return np.pad(sound[:wanted], (0, max(0, wanted - len(sound))))


def iter_audio(
    path: str | os.PathLike[str],
    rate: int = 16000,
    start_s: float | None = None,
    end_s: float | None = None,
    track: int = 0,
    channels: int = 1,
) -> Iterator[np.ndarray]:
    """The same as `read_audio` in blocks of any length, float32 [n], or [channels,n] for `channels` above 1."""
    name = os.fspath(path)
    resampler = Resampler(rate, channels)
    for block, source_rate in _joined(name, start_s or 0.0, end_s, track, channels):
        for at in range(0, block.shape[1], _BLOCK):
            yield from resampler.push(block[:, at : at + _BLOCK], source_rate)
    yield from resampler.finish()


def resample(sound: np.ndarray, source_rate: int, rate: int) -> np.ndarray:
    """Mono float32 [n] at `source_rate` → float32 [round(n * rate / source_rate)], without delay."""
    if source_rate == rate:
        return np.asarray(sound, dtype=np.float32)
    resampler = Resampler(rate, 1)
    blocks = list(resampler.push(np.asarray(sound, dtype=np.float32)[None], source_rate)) + list(resampler.finish())
    joined = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    wanted = round(len(sound) * rate / source_rate)
    return np.pad(joined[:wanted], (0, max(0, wanted - len(joined))))


def write_audio(path: str | os.PathLike[str], sound: np.ndarray, rate: int = 16000) -> Path:
    """Write mono float32 [n] as 16-bit PCM WAV, whole or not at all."""
    from storage.atomic import written_aside

    target = Path(path)
    with written_aside(target) as partial, av.open(str(partial), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        samples = np.rint(np.clip(np.asarray(sound, dtype=np.float32), -1, 1) * 32767).astype(np.int16)
        for at in range(0, max(1, len(samples)), _BLOCK):
            frame = audio_frame(samples[None, at : at + _BLOCK], rate, "s16")
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def audio_frame(block: np.ndarray, rate: int, kind: str = "fltp") -> AudioFrame:
    """[channels,n] → an audio frame in one of the `LAYOUTS`, without a timestamp."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format=kind, layout=LAYOUTS[block.shape[0]])
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    return frame


def _joined(
    name: str, start_s: float, end_s: float | None, track: int, channels: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks float32 [channels,n] at the source's rate that together begin exactly at `start_s` and have no gaps."""
    file_size(name)
    if is_still(name):
        raise InputRejected("audio", "audio_tracks", 0, 1, path=name, reason="no audio track: a still picture")
    with opened(name) as container:
        tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
        if track >= len(tracks):
            raise InputRejected(
                "audio", "audio_tracks", len(tracks), track + 1, "", "give the sound as a file of its own", path=name,
                reason="no audio track" if not tracks else f"no audio track {track}",
            )  # fmt: skip
        stream = tracks[track]
        base, origin = stream.time_base or Fraction(1, 90_000), origin_of(container)
        late = float((stream.start_time or 0) * base - origin)
        if start_s - _PREROLL_S > max(0.0, late):
            container.seek(int((Fraction(start_s - _PREROLL_S) + origin) / base), stream=stream, backward=True)
        rate, done, filled = 0, 0, 0  # done: source samples given so far; sample 0 is at start_s
        stop: int | None = None
        stamp_s = start_s
        packer = Packer()
        try:
            for frame in container.decode(stream):
                if rate == 0:
                    rate = frame.sample_rate
                    check_sound(name, rate, frame.layout.nb_channels)
                    stop = None if end_s is None else max(0, int(np.ceil((end_s - start_s) * rate)))
                if frame.sample_rate != rate:
                    raise InputFailed(
                        name, f"its sampling rate changes from {rate} to {frame.sample_rate} Hz",
                        "convert the sound to one rate", stage="audio", time_s=stamp_s, error_type="RateChange",
                    )  # fmt: skip
                block = _mix(packer.packed(frame), channels)
                at = done
                if frame.pts is not None:
                    stamp_s = float(frame.pts * (frame.time_base or base) - origin)
                    at = round((stamp_s - start_s) * rate)
                    # Within the jitter of timestamps the samples are contiguous; past it there is a real gap.
                    if done and abs(at - done) <= _GAP_S * rate:
                        at = done
                if at > done:
                    quiet = at - done if stop is None else min(at, stop) - done
                    filled += max(0, quiet)
                    if filled > MAX_SILENCE_S * rate:
                        raise InputFailed(
                            name, f"its sound leaps by {(at - done) / rate:.0f} s", "re-encode the sound",
                            stage="audio", time_s=stamp_s, error_type="Timestamps",
                        )  # fmt: skip
                    yield from _silence(quiet, channels, rate)
                    done += max(0, quiet)
                block = block[:, max(0, done - at) :]
                if stop is not None:
                    block = block[:, : max(0, stop - done)]
                if block.shape[1]:
                    yield block, rate
                    done += block.shape[1]
                if stop is not None and done >= stop:
                    return
        except BROKEN as error:
            raise InputFailed(
                name, f"its sound does not decode: {error}", "re-encode the sound", stage="audio", time_s=stamp_s,
                error_type=type(error).__name__,
            ) from error  # fmt: skip


def _silence(samples: int, channels: int, rate: int) -> Iterator[tuple[np.ndarray, int]]:
    while samples > 0:
        count = min(samples, _BLOCK)
        yield np.zeros((channels, count), dtype=np.float32), rate
        samples -= count


def _mix(frame: AudioFrame, channels: int) -> np.ndarray:
    """float32 [channels,n] in [-1, 1] of a decoded frame, weighted so that it cannot clip."""
    raw = frame.to_ndarray()
    names = [channel.name for channel in frame.layout.channels]
    if frame.format.is_planar:
        planes = raw
    else:
        planes = raw.reshape(-1, len(names)).T
    sound: np.ndarray
    if planes.dtype.kind == "u":
        sound = planes.astype(np.float32) / 128 - 1
    elif planes.dtype.kind == "i":
        sound = planes.astype(np.float32) / float(1 << (8 * planes.dtype.itemsize - 1))
    else:
        sound = planes.astype(np.float32)
    if sound.shape[0] == channels:
        return sound
    if channels == 2:
        left = _weighted(sound, names, quiet=("FR", "SR", "BR", "FRC"))
        right = _weighted(sound, names, quiet=("FL", "SL", "BL", "FLC"))
        return np.stack([left, right])
    mono = _weighted(sound, names, quiet=())[None]
    if channels == 1:
        return mono
    surround = np.zeros((channels, sound.shape[1]), dtype=np.float32)
    surround[_CENTRE] = mono  # a film whose layout changes on the way
    return surround


def _weighted(sound: np.ndarray, names: list[str], quiet: tuple[str, ...]) -> np.ndarray:
    if sound.shape[0] == 1:
        return sound[0]
    # Speech sits in the centre; the effects channel carries none.
    weights = np.array(
        [0.0 if n in quiet or n == "LFE" else 1.0 if n == "FC" else 0.7 for n in names], dtype=np.float32
    )
    if not weights.any():
        weights[:] = 1
    return (weights / weights.sum()) @ sound


class Packer:
    """Frames with their samples in one piece where PyAV cannot take them channel by channel.

    It looks for the end of a frame's list of channels by a null that is only there for fewer than eight of them, and
    takes whatever lies behind the list for one more: the process dies on any film with 7.1 sound.
    """

    _SAFE = 7

    def __init__(self) -> None:
        self._resampler: Any = None

    def packed(self, frame: AudioFrame) -> AudioFrame:
        """The frame itself, or its samples interleaved; raises ValueError where the layout changes on the way."""
        if not frame.format.is_planar or frame.layout.nb_channels <= self._SAFE:
            return frame
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
        (whole,) = self._resampler.resample(frame)
        return whole


class Resampler:
    """Blocks [channels,n] at one rate → blocks at another; swresample keeps the signal in place (no delay)."""

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self.channels = rate, channels
        self._resampler: Any = None
        self._given = 0

    def push(self, block: np.ndarray, source_rate: int) -> Iterator[np.ndarray]:
        if source_rate == self.rate:
            yield block[0] if self.channels == 1 else block
            return
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp", layout=LAYOUTS[self.channels], rate=self.rate)
        frame = audio_frame(block, source_rate)
        frame.pts = self._given
        self._given += block.shape[1]
        yield from self._take(frame)

    def finish(self) -> Iterator[np.ndarray]:
        if self._resampler is not None:
            yield from self._take(None)

    def _take(self, frame: AudioFrame | None) -> Iterator[np.ndarray]:
        for made in self._resampler.resample(frame):
            block = made.to_ndarray()
            if block.shape[1]:
                yield block[0] if self.channels == 1 else block
