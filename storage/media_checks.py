"""Is a media file whole? Found out from its index and two frames, not by decoding all of it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from storage.errors import InputFailed
from storage.media_limits import check_packets
from storage.media_open import BROKEN, COPY_AGAIN, opened, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer


def has_full_index(container: InputContainer) -> bool:
    """The container lists all packets up front, so that nothing has to be read to count them."""
    return "mp4" in container.format.name.split(",")


def check_index(name: str, container: InputContainer, size: int) -> None:
    """Does everything that the file announces lie within it?"""
    if has_full_index(container):
        for stream in container.streams:
            entries = stream.index_entries
            check_packets(name, len(entries))
            if len(entries) and entries[-1].pos + entries[-1].size > size and stream.type in ("video", "audio"):
                first = next(entry for entry in entries if entry.pos + entry.size > size)
                raise _truncated(name, float(first.timestamp * (stream.time_base or Fraction(0))))
        return
    if not container.duration or container.format.name in ("mpegts", "mpeg"):
        return  # these state no duration: what libav reports is measured from the packets that are there
    end = 0.0
    with opened(name) as again:
        try:
            for packet in again.demux():
                if packet.size and packet.pts is not None and packet.time_base is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except BROKEN as error:
            raise InputFailed(
                name, f"cannot be read on: {error}", COPY_AGAIN, time_s=end, error_type=type(error).__name__
            ) from error
    stated = ((container.start_time or 0) + container.duration) / 1e6
    if end < stated - max(0.5, 0.01 * stated):
        raise _truncated(name, end)


def _truncated(name: str, time_s: float) -> InputFailed:
    return InputFailed(
        name, "truncated: its data end here", COPY_AGAIN, time_s=max(0.0, time_s), error_type="Truncated"
    )


def check_last_keyframe(name: str) -> None:
    """Decode the frame at the last keyframe: data can be missing or wrong where the index is right."""
    at = 0.0
    with opened(name) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            return
        end = (stream.start_time or 0) + (stream.duration or 0)
        if not stream.duration and container.duration:
            end = int(((container.start_time or 0) + container.duration) / 1_000_000 / stream.time_base)
        at = float(end * stream.time_base)
        stream.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY"
        try:
            container.seek(max(0, end - 1), stream=stream, backward=True)
            if next(iter(container.decode(stream)), None) is not None:
                return
        except EOFError:
            return  # nothing after the seek: some demuxers cannot seek, and the first frame was good
        except BROKEN as error:
            raise InputFailed(
                name, f"does not decode near its end: {error}", COPY_AGAIN, time_s=at, error_type=type(error).__name__
            ) from error
