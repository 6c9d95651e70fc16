"""Writing video: new files from frames and sound."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from storage.atomic import written_aside
from storage.errors import UsageError
from storage.media_audio import Resampler, audio_frame, iter_audio
from storage.media_open import opened

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
ENCODE_THREADS = 2
SealFunction = Callable[[Path, Path], None]
"""(the finished file that has not appeared yet, the name it will have): signs it, in place."""
_AAC_RATES = (32000, 44100, 48000)
_FINE_CLOCK = Fraction(1, 90_000)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    audio: np.ndarray | str | os.PathLike[str] | None = None,
    rate: int = 16000,
    *,
    pts: Iterable[float] | None = None,
    metadata: Mapping[str, str] | None = None,
    crf: float = 14,
    preset: str = "veryfast",
    threads: int = ENCODE_THREADS,
    seal: SealFunction | None = None,
) -> Path:
    """Encode frames to H.264 (BT.709, tagged) and sound to AAC; the file appears whole or not at all.

    Args:
        path: .mp4, .m4v, .mov or .mkv.
        frames: uint8 RGB [H,W,3] each, all of one size; 4:4:4 is used where a side is odd.
        fps: frame rate; 29.97 and 23.976 are taken as 30000/1001 and 24000/1001.
        audio: mono float32 [n] or stereo [2,n] in [-1, 1] at `rate`, or a file; its zero is put at time 0.
        pts: presentation times in seconds, one per frame, rising, for a variable rate; `fps` is then only nominal.
        metadata: tags, e.g. those of `storage.provenance.stamp`.
        crf: x264 quality, lower is better.
        seal: signs the file before it appears, e.g. `storage.signing.Seal.seal`.

    Raises:
        UsageError: the suffix is not one of the formats.
        ValueError: there are no frames, or their sizes differ.
    """
    target = Path(path)
    exact = exact_rate(fps)
    with (
        written_aside(target) as partial,
        sealed(partial, target, seal),
        av.open(str(partial), "w", format=format_of(target), container_options=container_options(target)) as container,
    ):
        container.metadata.update(dict(metadata or {}))
        iterator = iter(frames)
        first = next(iterator, None)
        if first is None:
            raise ValueError(f"{target}: no frames to write")
        height, width = first.shape[:2]
        base = 1 / exact if pts is None else _FINE_CLOCK
        stream = container.add_stream(
            "libx264", rate=exact, time_base=base, options={"preset": preset, "crf": str(crf)}
        )
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        context = stream.codec_context
        context.time_base, context.thread_count = base, threads
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1
        track = None if audio is None else AudioTrack(container, audio, rate)
        reformatter = VideoReformatter()
        times = iter(pts) if pts is not None else None
        stamp = -1
        for count, rgb in enumerate(_chain(first, iterator)):
            if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
                raise ValueError(f"frame {count} is {rgb.dtype}{rgb.shape}, the first was uint8{(height, width, 3)}")
            frame = reformatter.reformat(
                VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"), format=stream.pix_fmt,
                dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1,
            )  # fmt: skip
            stamp = count if times is None else max(stamp + 1, round(next(times) / base))
            frame.pts, frame.time_base = stamp, base
            container.mux(stream.encode(frame))
            if track is not None:
                track.advance(float(stamp * base) + 0.5)
        container.mux(stream.encode(None))
        if track is not None:
            track.finish()
    return target


@contextlib.contextmanager
def sealed(partial: Path, target: Path, seal: SealFunction | None) -> Iterator[None]:
    """On leaving without an error the file, by then closed, is signed."""
    yield
    if seal is not None:
        seal(partial, target)


class AudioTrack:
    """A sound track that is encoded (AAC) alongside a picture, block by block.

    Args:
        container: the output, before its header is written.
        source: mono float32 [n], stereo [2,n] at `rate`, or a file, of which `track` is taken.
        start_s: container time of the sound's zero.
        duration_s: length of the track: silence follows shorter sound, longer sound is cut; None keeps its own.
    """

    def __init__(
        self,
        container: OutputContainer,
        source: np.ndarray | str | os.PathLike[str],
        rate: int = 16000,
        *,
        start_s: Fraction = Fraction(0),
        duration_s: float | None = None,
        track: int = 0,
    ) -> None:
        self._container = container
        channels, source_rate = _shape_of(source, rate, track)
        # A player on every device takes these rates; speech at 16 kHz goes up, nothing is lost.
        self.rate = source_rate if source_rate in _AAC_RATES else 48000
        self.channels = channels
        self.stream: AudioStream = container.add_stream(
            "aac", rate=self.rate, layout="mono" if channels == 1 else "stereo"
        )
        self.stream.bit_rate = 128_000 if channels == 1 else 192_000
        self._first = round(start_s * self.rate)
        self._given = 0
        self._limit = None if duration_s is None else round(duration_s * self.rate)
        self._blocks = self._source(source, rate, track)
        self.cut_s = 0.0

    def advance(self, until_s: float) -> None:
        """Encode the sound up to `until_s` container seconds."""
        while (self._first + self._given) / self.rate < until_s:
            block = next(self._blocks, None)
            if block is None:
                return
            self._encode(block)

    def finish(self) -> None:
        """Encode the rest, pad to the length asked for, and flush."""
        for block in self._blocks:
            self._encode(block)
        while self._limit is not None and self._given < self._limit:
            self._encode(np.zeros((self.channels, min(1 << 15, self._limit - self._given)), dtype=np.float32))
        self._container.mux(self.stream.encode(None))

    def _encode(self, block: np.ndarray) -> None:
        if self._limit is not None:
            room = max(0, self._limit - self._given)
            self.cut_s += max(0, block.shape[1] - room) / self.rate
            block = block[:, :room]
        if block.shape[1] == 0:
            return
        frame = audio_frame(block, self.rate)
        frame.pts = self._first + self._given
        self._given += block.shape[1]
        self._container.mux(self.stream.encode(frame))

    def _source(self, source: np.ndarray | str | os.PathLike[str], rate: int, track: int) -> Iterator[np.ndarray]:
        if isinstance(source, np.ndarray):
            sound = np.atleast_2d(np.asarray(source, dtype=np.float32))
            resampler = Resampler(self.rate, self.channels)
            blocks: Iterator[np.ndarray] = (
                made
                for at in range(0, sound.shape[1], 1 << 15)
                for made in resampler.push(sound[:, at : at + (1 << 15)], rate)
            )
            blocks = _then(blocks, resampler.finish)
        else:
            blocks = iter_audio(source, self.rate, track=track, channels=self.channels)
        for block in blocks:
            yield np.atleast_2d(block)


def exact_rate(fps: float | Fraction) -> Fraction:
    """29.97 → 30000/1001, 23.976 → 24000/1001, 25.0 → 25, 12.5 → 25/2."""
    if isinstance(fps, Fraction):
        return fps
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole * 1000 / 1001) < 0.005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def format_of(path: Path) -> str:
    """Container format for an output's suffix.

    Raises:
        UsageError: for a suffix that is not written.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}", f"use {', '.join(FORMATS)}"
        ) from None


def container_options(path: Path, **more: str) -> dict[str, str]:
    """Options of the muxer for an output: mp4 and mov get their index in front, so that they play while loading."""
    return {} if format_of(path) == "matroska" else {"movflags": "+faststart", **more}


def _shape_of(source: np.ndarray | str | os.PathLike[str], rate: int, track: int) -> tuple[int, int]:
    if isinstance(source, np.ndarray):
        if source.ndim > 2 or (source.ndim == 2 and source.shape[0] not in (1, 2)):
            raise ValueError(f"sound has shape {source.shape}, not [n], [1,n] or [2,n]")
        return (1 if source.ndim == 1 else source.shape[0]), rate
    with opened(source) as container:
        if track >= len(container.streams.audio):
            return 1, rate  # iter_audio then says what is wrong
        context = container.streams.audio[track].codec_context
        return min(2, max(1, context.layout.nb_channels)), context.sample_rate


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _then(blocks: Iterator[np.ndarray], after: Any) -> Iterator[np.ndarray]:
    yield from blocks
    yield from after()
