"""A sound track that is encoded beside a picture, block by block, never ahead of where the picture is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from storage.media_audio import LAYOUTS, Resampler, audio_frame, iter_audio
from storage.media_open import opened

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

_AAC_RATES = (32000, 44100, 48000)
_BIT_RATES = {1: 128_000, 2: 192_000, 6: 384_000}
_BLOCK = 1 << 15


class AudioTrack:
    """Encodes sound (AAC) into a container.

    Args:
        container: the output, before its header is written.
        source: mono float32 [n], stereo [2,n] at `rate`, or a file, of which `track` is taken: mono, stereo and 5.1
            stay what they are, other layouts become stereo.
        start_s: container time of the sound's zero.

    Attributes:
        cut_s, silent_s: seconds left out at the end, and seconds of silence added there; known after `finish`.
    """

    def __init__(
        self,
        container: OutputContainer,
        source: np.ndarray | str | os.PathLike[str],
        rate: int = 16000,
        *,
        start_s: Fraction = Fraction(0),
        track: int = 0,
    ) -> None:
        self._container = container
        channels, source_rate = _shape_of(source, rate, track)
        # A player on every device takes these rates; speech at 16 kHz goes up, nothing is lost.
        self.rate = source_rate if source_rate in _AAC_RATES else 48000
        self.channels = channels
        self.stream: AudioStream = container.add_stream("aac", rate=self.rate, layout=LAYOUTS[channels])
        self.stream.bit_rate = _BIT_RATES[channels]
        self._first = round(start_s * self.rate)
        self._given = 0
        self._blocks = self._source(source, rate, track)
        self._held: np.ndarray | None = None
        self.cut_s = self.silent_s = 0.0

    def reaches(self, time_s: float) -> bool:
        """Whether there is sound after `time_s` container seconds; what lies before it is encoded on the way."""
        self.advance(time_s)
        return self._next() is not None

    def advance(self, until_s: float) -> None:
        """Encode the sound up to `until_s` container seconds, exactly."""
        until = round(until_s * self.rate) - self._first
        while self._given < until:
            block = self._next()
            if block is None:
                return
            now, later = np.split(block, [until - self._given], axis=1)
            self._held = later if later.shape[1] else None
            self._encode(now)

    def finish(self, end_s: float | None = None) -> None:
        """Encode the rest and flush; with `end_s` (container seconds) silence follows shorter sound up to there, and
        what is longer is left out."""
        if end_s is not None:
            self.advance(end_s)
        while (block := self._next()) is not None:
            self._held = None
            if end_s is None:
                self._encode(block)
            else:
                self.cut_s += block.shape[1] / self.rate
        missing = 0 if end_s is None else max(0, round(end_s * self.rate) - self._first - self._given)
        self.silent_s = missing / self.rate
        for at in range(0, missing, _BLOCK):
            self._encode(np.zeros((self.channels, min(_BLOCK, missing - at)), dtype=np.float32))
        self._container.mux(self.stream.encode(None))

    def _next(self) -> np.ndarray | None:
        """The block that comes next, which stays until `_held` is changed; None at the end."""
        while self._held is None or self._held.shape[1] == 0:
            self._held = next(self._blocks, None)
            if self._held is None:
                return None
        return self._held

    def _encode(self, block: np.ndarray) -> None:
        frame = audio_frame(block, self.rate)
        frame.pts = self._first + self._given
        self._given += block.shape[1]
        self._container.mux(self.stream.encode(frame))

    def _source(self, source: np.ndarray | str | os.PathLike[str], rate: int, track: int) -> Iterator[np.ndarray]:
        if isinstance(source, np.ndarray):
            sound = np.atleast_2d(np.asarray(source, dtype=np.float32))
            resampler = Resampler(self.rate, self.channels)
            pushed: Iterator[np.ndarray] = (
                made
                for at in range(0, sound.shape[1], _BLOCK)
                for made in resampler.push(sound[:, at : at + _BLOCK], rate)
            )
            blocks = _then(pushed, resampler.finish)
        else:
            blocks = iter_audio(source, self.rate, track=track, channels=self.channels)
        for block in blocks:
            yield np.atleast_2d(block)


def _shape_of(source: np.ndarray | str | os.PathLike[str], rate: int, track: int) -> tuple[int, int]:
    """Channels to write, and the source's samples a second."""
    if isinstance(source, np.ndarray):
        if source.ndim > 2 or (source.ndim == 2 and source.shape[0] not in (1, 2)):
            raise ValueError(f"sound has shape {source.shape}, not [n], [1,n] or [2,n]")
        return (1 if source.ndim == 1 else source.shape[0]), rate
    with opened(source) as container:
        tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
        if track >= len(tracks):
            return 1, rate  # iter_audio then says what is wrong
        context = tracks[track].codec_context
        surround = context.layout.nb_channels == 6 and context.layout.name.startswith("5.1")
        return 6 if surround else min(2, max(1, context.layout.nb_channels)), context.sample_rate


def _then(blocks: Iterator[np.ndarray], after: Callable[[], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    yield from blocks
    yield from after()
