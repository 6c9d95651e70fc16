"""Writing video: new files from frames and sound."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from storage.atomic import written_aside
from storage.errors import UsageError
from storage.media_planes import Converter
from storage.media_track import AudioTrack

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
ENCODE_THREADS = 2
SealFunction = Callable[[Path, Path], None]
"""(the finished file that has not appeared yet, the name it will have): signs it, in place."""
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
        stream.pix_fmt = _format(width, height)
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
            frame = _sampled(reformatter, rgb, stream.pix_fmt)
            stamp = count if times is None else max(stamp + 1, round(next(times) / base))
            frame.pts, frame.time_base = stamp, base
            container.mux(stream.encode(frame))
            if track is not None:
                track.advance(float(stamp * base) + 0.5)
        container.mux(stream.encode(None))
        if track is not None:
            track.finish()
    return target


def as_held(rgb: np.ndarray) -> np.ndarray:
    """A picture uint8 RGB [H,W,3] as a file of `write_video` would hold it if encoding lost nothing: colours are kept
    at half the resolution where both sides are even."""
    frame = _sampled(VideoReformatter(), rgb, _format(rgb.shape[1], rgb.shape[0]))
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    return Converter().rgb(frame)


def _format(width: int, height: int) -> str:
    return "yuv444p" if width % 2 or height % 2 else "yuv420p"


def _sampled(reformatter: VideoReformatter, rgb: np.ndarray, pix_fmt: str) -> VideoFrame:
    """A frame in the pixel format that is written, BT.709."""
    return reformatter.reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"), format=pix_fmt,
        dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1,
    )  # fmt: skip


@contextlib.contextmanager
def sealed(partial: Path, target: Path, seal: SealFunction | None) -> Iterator[None]:
    """On leaving without an error the file, by then closed, is signed."""
    yield
    if seal is not None:
        seal(partial, target)


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
    """Options of the muxer for an output: mp4 and mov get their index in front, so that they play while loading; mkv
    gets no random numbers, so that the same work gives the same bytes."""
    return {"fflags": "+bitexact"} if format_of(path) == "matroska" else {"movflags": "+faststart", **more}


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest
