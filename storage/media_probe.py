"""What a media file is, found out cheaply and told exactly: tracks, sizes, rates, start times, what is wrong with it.

Time in the project is **timeline seconds**: presentation timestamps of the container, as ffprobe prints them, so a
picture that starts 0.852 s late starts at 0.852. Only where the container as a whole starts a second or more after its
zero (a free-running clock as in MPEG transport streams, or a piece cut out of something longer) its start is subtracted
(`MediaInfo.origin`). A dub track's own zero is put at timeline zero: that is where an ordinary player begins.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from av.sidedata.sidedata import SideData

from storage.errors import InputFailed, InputRejected

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

av.logging.set_level(None)  # libav writes its warnings to standard error past Python; errors arrive as exceptions

_FREE_CLOCK = {"mpegts", "mpeg", "vob", "svcd"}
_CUT_OUT_S = 1
_ATTACHED_PICTURE = 1 << 10
_MATRIX_IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_COPY_AGAIN = "copy or download the file again"


@dataclass(frozen=True)
class VideoInfo:
    """The video track. `width` and `height` are as shown (and as `iter_frames` gives them): after rotation.

    Attributes:
        fps: average frame rate (1/s), exact.
        variable: the intervals between frames differ by more than rounding.
        frames: number of frames.
        start_s, duration_s: timeline seconds.
        rotation: degrees clockwise by which the stored picture is turned for showing: 0, 90, 180, 270.
        matrix: the container's display matrix (9 integers), None where it is the identity.
        sar: shape of a pixel, width to height, of the stored picture.
        color_*: the numbers of ITU-T H.273, 2 = not specified; color_range 1 = limited, 2 = full.
    """

    index: int
    codec: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    fps: Fraction
    variable: bool
    frames: int
    start_s: float
    duration_s: float
    time_base: Fraction
    pix_fmt: str
    sar: Fraction
    rotation: int
    matrix: tuple[int, ...] | None
    color_space: int
    color_range: int
    color_primaries: int
    color_trc: int


@dataclass(frozen=True)
class AudioInfo:
    """An audio track; `start_s` and `duration_s` in timeline seconds."""

    index: int
    codec: str
    rate: int
    channels: int
    layout: str
    start_s: float
    duration_s: float
    language: str
    default: bool


@dataclass(frozen=True)
class MediaInfo:
    """What `probe` found.

    Attributes:
        container: format name, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
        origin: seconds subtracted from the container's timestamps to get timeline seconds; 0 for ordinary files.
        start_s: start of the earliest track; the moment at which players begin.
        duration_s: from there to the end of the last track.
    """

    path: str
    container: str
    bytes: int
    origin: Fraction
    start_s: float
    duration_s: float
    video: VideoInfo | None
    audio: tuple[AudioInfo, ...] = ()
    subtitles: tuple[str, ...] = ()
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


def probe(path: str | os.PathLike[str], *, need_video: bool = True, need_audio: bool = False) -> MediaInfo:
    """Open a file, read what its tracks are and check that it is whole.

    Whole means: the index points inside the file (mp4, mov) or the packets reach the stated duration (others), and the
    first frame and the one at the last keyframe decode. A video without sound is fine unless `need_audio`.

    Raises:
        InputRejected: empty; no video track though `need_video`; no audio track though `need_audio`.
        InputFailed: missing, unreadable, not media, truncated, or not decodable.
    """
    name = os.fspath(path)
    size = _size(name)
    with opened(name) as container:
        stream = video_stream(container)
        audio = list(container.streams.audio)
        if stream is None and not audio:
            raise InputFailed(name, "no video and no audio in it", "give a video file", error_type="NoTracks")
        if stream is None and need_video:
            raise InputRejected(
                "probe", "video_tracks", 0, 1, "", "give a video file", path=name, reason="sound only, no video track"
            )
        if not audio and need_audio:
            raise InputRejected(
                "probe", "audio_tracks", 0, 1, "", "give the sound as a file of its own", path=name,
                reason="no audio track",
            )  # fmt: skip
        _check_index(name, container, size)
        origin = origin_of(container)
        start = Fraction(container.start_time or 0, 1_000_000) - origin
        info = MediaInfo(
            path=name,
            container=container.format.name,
            bytes=size,
            origin=origin,
            start_s=float(start),
            duration_s=(container.duration or 0) / 1e6,
            video=None if stream is None else _video_info(name, container, stream, origin),
            audio=tuple(_audio_info(track, origin) for track in audio),
            subtitles=tuple(track.codec_context.name for track in container.streams.subtitles),
            chapters=len(container.chapters()),
            metadata=dict(container.metadata),
        )
    if stream is not None:
        _check_last_keyframe(name)
    return info


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open for reading and close again, with errors that name file, cause and remedy.

    Raises:
        InputFailed: it cannot be opened as media.
    """
    name = os.fspath(path)
    _size(name)
    try:
        # A track's tags may be in any encoding; a wrong letter in a title is no reason to refuse the picture.
        container = av.open(name, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        cause, remedy = _why_not_opened(Path(name), error)
        raise InputFailed(name, cause, remedy, error_type=type(error).__name__) from error
    with container:
        yield container


def video_stream(container: InputContainer) -> VideoStream | None:
    """The track that is the picture: the first that is no cover image."""
    for stream in container.streams.video:
        if not int(stream.disposition) & _ATTACHED_PICTURE and stream.codec_context is not None:
            return stream
    return None


def origin_of(container: InputContainer) -> Fraction:
    """Seconds to subtract from container timestamps to get timeline seconds."""
    start = Fraction(container.start_time or 0, 1_000_000)
    return start if start >= _CUT_OUT_S or has_free_clock(container) else Fraction(0)


def has_free_clock(container: InputContainer) -> bool:
    """Timestamps come from a clock that was running before the file began, so their zero means nothing."""
    return container.format.name in _FREE_CLOCK


def frame_times(path: str | os.PathLike[str]) -> np.ndarray:
    """Presentation times of all video frames, float64 [N], timeline seconds, sorted; nothing is decoded."""
    stat = os.stat(path)
    return _frame_times(os.fspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _frame_times(name: str, inode: int, size: int, mtime: int) -> np.ndarray:
    with opened(name) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            return np.zeros(0)
        origin, base = origin_of(container), stream.time_base
        rate = stream.average_rate or Fraction(25)
        times = []
        for number, packet in enumerate(container.demux(stream)):
            if packet.size == 0 or packet.is_discard:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            times.append(float(stamp * base - origin) if stamp is not None else float(number / rate))
    result = np.sort(np.array(times, dtype=np.float64))
    result.flags.writeable = False
    return result


def matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Display matrix of a decoded frame, None where it is the identity or missing."""
    entry = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(entry, SideData):
        return None
    matrix = tuple(int(value) for value in np.frombuffer(bytes(entry), dtype=np.int32)[:9])
    return None if matrix == _MATRIX_IDENTITY else matrix


def _video_info(name: str, container: InputContainer, stream: VideoStream, origin: Fraction) -> VideoInfo:
    base = stream.time_base or Fraction(1, 90_000)
    stream.thread_count = 1  # one frame is wanted: frame threads would only add delay
    frame = _first_frame(name, container, stream)
    matrix = matrix_of(frame)
    transposed = matrix is not None and matrix[0] == 0 == matrix[4]
    times, end_s, variable = _timing(name, container, stream, base, origin)
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    start = float(stream.start_time * base - origin) if stream.start_time is not None else 0.0
    duration = float(stream.duration * base) if stream.duration else max(0.0, end_s - start)
    if not rate and duration > 0:
        rate = Fraction(times / duration).limit_denominator(1001)
    return VideoInfo(
        index=stream.index,
        codec=stream.codec_context.name,
        width=frame.height if transposed else frame.width,
        height=frame.width if transposed else frame.height,
        coded_width=frame.width,
        coded_height=frame.height,
        fps=Fraction(rate),
        variable=variable,
        frames=times,
        start_s=start,
        duration_s=duration,
        time_base=base,
        pix_fmt=frame.format.name,
        sar=Fraction(stream.sample_aspect_ratio or 1),
        rotation=-frame.rotation % 360,
        matrix=matrix,
        color_space=int(frame.colorspace),
        color_range=int(frame.color_range),
        color_primaries=int(frame.color_primaries),
        color_trc=int(frame.color_trc),
    )


def _first_frame(name: str, container: InputContainer, stream: VideoStream) -> av.VideoFrame:
    try:
        for frame in container.decode(stream):
            return frame
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputFailed(
            name, f"the first frame does not decode: {error}", _COPY_AGAIN, time_s=0.0, error_type=type(error).__name__
        ) from error
    raise InputFailed(name, "the video track has no frame", _COPY_AGAIN, error_type="NoFrames")


def _timing(
    name: str, container: InputContainer, stream: VideoStream, base: Fraction, origin: Fraction
) -> tuple[int, float, bool]:
    """Number of frames, end (s), and whether the rate varies."""
    if _has_full_index(container):
        stamps = np.array([e.timestamp for e in stream.index_entries if not e.is_discard], dtype=np.int64)
        end = float(stamps[-1] * base - origin) if len(stamps) else 0.0
        return len(stamps), end, _varies(np.diff(stamps))
    times = frame_times(name)
    if len(times) == 0:
        return 0, 0.0, False
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return len(times), float(times[-1]) + step, _varies(np.round(np.diff(times) / float(base)))


def _varies(steps: np.ndarray) -> bool:
    steps = steps[:-1]  # the last interval of a file is often a remainder
    return len(steps) > 0 and int(steps.max() - steps.min()) > max(2, 0.1 * float(np.median(steps)))


def _audio_info(stream: Any, origin: Fraction) -> AudioInfo:
    base = stream.time_base
    context = stream.codec_context
    return AudioInfo(
        index=stream.index,
        codec=context.name if context is not None else "unknown",
        rate=context.sample_rate if context is not None else 0,
        channels=context.layout.nb_channels if context is not None else 0,
        layout=context.layout.name if context is not None else "",
        start_s=float(stream.start_time * base - origin) if stream.start_time is not None else 0.0,
        duration_s=float(stream.duration * base) if stream.duration else 0.0,
        language=stream.metadata.get("language", ""),
        default=bool(int(stream.disposition) & 1),
    )


def _has_full_index(container: InputContainer) -> bool:
    return "mp4" in container.format.name.split(",")


def _check_index(name: str, container: InputContainer, size: int) -> None:
    """Does everything that the file announces lie within it?"""
    if _has_full_index(container):
        for stream in container.streams:
            entries = stream.index_entries
            if len(entries) and entries[-1].pos + entries[-1].size > size and stream.type in ("video", "audio"):
                first = next(entry for entry in entries if entry.pos + entry.size > size)
                raise _truncated(name, float(first.timestamp * (stream.time_base or Fraction(0))))
        return
    if not container.duration or container.format.name in ("mpegts", "mpeg"):
        return  # these state no duration: what libav reports is measured from the packets that are there
    end = 0.0
    with opened(name) as again:
        for packet in again.demux():
            if packet.size and packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    stated = ((container.start_time or 0) + container.duration) / 1e6
    if end < stated - max(0.5, 0.01 * stated):
        raise _truncated(name, end)


def _truncated(name: str, time_s: float) -> InputFailed:
    return InputFailed(
        name, "truncated: its data end here", _COPY_AGAIN, time_s=max(0.0, time_s), error_type="Truncated"
    )


def _check_last_keyframe(name: str) -> None:
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
        except av.error.EOFError:
            return  # nothing after the seek: some demuxers cannot seek, and the first frame was good
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputFailed(
                name, f"does not decode near its end: {error}", _COPY_AGAIN, time_s=at, error_type=type(error).__name__
            ) from error


def _size(name: str) -> int:
    try:
        stat = os.stat(name)
    except OSError as error:
        raise InputFailed(
            name, error.strerror or "cannot be read", "check the path", error_type=type(error).__name__
        ) from error
    if Path(name).is_dir():
        raise InputFailed(name, "is a folder", "name a file in it", error_type="IsADirectoryError")
    if stat.st_size == 0:
        raise InputRejected("probe", "bytes", 0, 1, "byte", _COPY_AGAIN, path=name, reason="the file is empty")
    return stat.st_size


def _why_not_opened(path: Path, error: BaseException) -> tuple[str, str]:
    if isinstance(error, PermissionError):
        return "may not be read", "change its permissions"
    with path.open("rb") as stream:
        head = stream.read(4096)
        boxes = set()
        if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
            boxes = _mp4_boxes(stream, path.stat().st_size)
    if boxes and b"moov" not in boxes:
        return "truncated: its index (moov) is missing", _COPY_AGAIN
    if head and all(byte in b"\t\n\r\f\x1b" or 32 <= byte < 127 or byte >= 128 for byte in head):
        return "is text, not media", "give a video or audio file"
    return f"is not media that can be read ({error})", "check the file; ffprobe may say more"


def _mp4_boxes(stream: Any, size: int) -> set[bytes]:
    boxes, at = set(), 0
    while at + 8 <= size:
        stream.seek(at)
        header = stream.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        whole = length >= 8 and at + length <= size
        if header[4:8] != b"moov" or whole:
            boxes.add(header[4:8])
        if not whole:
            break
        at += length
    return boxes
