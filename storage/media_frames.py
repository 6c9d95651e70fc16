"""Frames with their presentation times: exact after a seek, upright, with memory that does not grow with length."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame

from storage.errors import InputFailed, InputRejected
from storage.media_limits import MOST_PIXELS, Limits
from storage.media_open import BROKEN, file_size, frame_times, matrix_of, opened, origin_of, video_stream
from storage.media_planes import Converter, Orientation
from storage.media_stills import is_still, read_still

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

DECODE_THREADS = 2
_JITTER_S = Fraction(1, 5)


def iter_frames(
    path: str | os.PathLike[str],
    start_s: float | None = None,
    end_s: float | None = None,
    threads: int = DECODE_THREADS,
) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frames whose presentation time lies in [start_s, end_s), in order.

    Args:
        start_s, end_s: timeline seconds (see `storage.media_open`); None for the file's own start and end. A time
            taken from a frame selects exactly that frame, in spite of floating point.
        threads: decoder threads.

    Yields:
        (index, pts_s, rgb): index of the frame in the whole file; its presentation time (timeline seconds, float64);
        uint8 [H,W,3], upright.

    A still picture is a film of one frame, at 0.

    Raises:
        InputRejected: no video track, or a picture too large to hold.
        InputFailed: the file is broken at a place, its picture changes size, or its times run backwards; the error
            says where.
    """
    name = os.fspath(path)
    file_size(name)
    if is_still(name):
        if (start_s or 0.0) <= 0 and (end_s is None or end_s > 0):
            yield 0, 0.0, read_still(name, Limits(MOST_PIXELS))
        return
    with opened(name) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            raise InputRejected("decode", "video_tracks", 0, 1, path=name, reason="no video track")
        base, origin = stream.time_base, origin_of(container)
        first = None if start_s is None else _ticks(start_s, base, origin)
        last = None if end_s is None else _ticks(end_s, base, origin)
        index = 0
        if first is not None and start_s is not None:
            index = int(np.searchsorted(frame_times(name), start_s - float(base) / 2))
        converter, orientation, size = Converter(), None, (0, 0)
        frames = decoded(name, container, stream, threads) if first is None else _from(name, first, threads)
        for frame, stamp in _in_order(name, frames, base, origin):
            if first is not None and stamp < first:
                continue
            if last is not None and stamp >= last:
                return
            time_s = float(stamp * base - origin)
            if orientation is None:
                orientation, size = Orientation(matrix_of(frame)), (frame.width, frame.height)
            if size != (frame.width, frame.height):
                raise InputFailed(
                    name, f"its picture changes from {size[0]}x{size[1]} to {frame.width}x{frame.height} pixels",
                    "cut it there, or re-encode it in one size", stage="decode", time_s=time_s, error_type="SizeChange",
                )  # fmt: skip
            try:
                rgb = orientation.upright(converter.rgb(frame))
            except BROKEN as error:
                raise broken_at(name, time_s, error) from error
            yield index, time_s, np.ascontiguousarray(rgb)
            index += 1


def _in_order(
    name: str, frames: Iterator[tuple[VideoFrame, int]], base: Fraction, origin: Fraction
) -> Iterator[tuple[VideoFrame, int]]:
    """The same with times that always grow: what is out of order by a moment is moved behind the frame before it."""
    before: int | None = None
    for frame, stamp in frames:
        if before is not None and stamp <= before:
            if (before - stamp) * base > _JITTER_S:
                raise InputFailed(
                    name, f"its time stamps run backwards by {float((before - stamp) * base):g} s",
                    "re-encode the file", stage="decode", time_s=float(before * base - origin), error_type="Timestamps",
                )  # fmt: skip
            stamp = before + 1
        before = stamp
        yield frame, stamp


def decoded(
    name: str,
    container: InputContainer,
    stream: VideoStream,
    threads: int = DECODE_THREADS,
    others: deque[Packet] | None = None,
) -> Iterator[tuple[VideoFrame, int]]:
    """Decode a stream from where the container stands: (frame, pts in the stream's time base).

    Frames without a timestamp follow the one before them by one average frame interval. Packets of all other tracks
    are appended to `others` as they are met; take them out after each frame.
    """
    stream.thread_count = threads
    stream.thread_type = "AUTO"
    base = stream.time_base or Fraction(1, 90_000)
    step = max(1, round(1 / ((stream.average_rate or Fraction(25)) * base)))
    expected = stream.start_time or 0
    try:
        for packet in _packets(container, stream, others):
            for frame in stream.codec_context.decode(packet):
                stamp = frame.pts if frame.pts is not None else expected
                expected = stamp + (frame.duration or step)
                yield frame, stamp
    except BROKEN as error:
        raise broken_at(name, float(expected * base - origin_of(container)), error) from error


def _packets(container: InputContainer, stream: VideoStream, others: deque[Packet] | None) -> Iterator[Packet | None]:
    """The packets of `stream`, then None, which flushes its decoder."""
    for packet in container.demux(stream) if others is None else container.demux():
        if packet.size == 0:
            continue
        if packet.stream_index == stream.index:
            yield packet
        elif others is not None:
            others.append(packet)
    yield None


def broken_at(name: str, time_s: float, error: BaseException) -> InputFailed:
    """The error for a file that stops decoding at `time_s`."""
    return InputFailed(
        name, f"does not decode from here on: {error}", "copy or download the file again, or re-encode it",
        stage="decode", time_s=time_s, error_type=type(error).__name__,
    )  # fmt: skip


def _from(name: str, first: int, threads: int) -> Iterator[tuple[VideoFrame, int]]:
    """Decode so that no frame from `first` (ticks) on is missed.

    A seek lands on a keyframe by decoding time; frames shown before that keyframe are lost, so when the first frame
    that comes out is later than asked, the seek is repeated further back, in the end from the very start.
    """
    margin_s = 0.0
    while True:
        with opened(name) as container:
            stream = video_stream(container)
            if stream is None or stream.time_base is None:
                return
            target = first - round(margin_s / stream.time_base)
            from_start = target <= (stream.start_time or 0)
            if not from_start:
                try:
                    container.seek(target, stream=stream, backward=True)
                except BROKEN:
                    margin_s = margin_s * 8 + 1.0
                    continue
            frames = decoded(name, container, stream, threads)
            try:
                opening = next(frames, None)
            except InputFailed:
                if from_start:
                    raise
                opening = None
            if from_start or (opening is not None and opening[1] <= first):
                if opening is not None:
                    yield opening
                    yield from frames
                return
        margin_s = margin_s * 8 + 1.0


def _ticks(seconds: float, base: Fraction, origin: Fraction) -> int:
    """The first tick at or after `seconds`, where a time within half a tick counts as that tick."""
    exact = (Fraction(seconds) + origin) / base - Fraction(1, 2)
    return -((-exact.numerator) // exact.denominator)
