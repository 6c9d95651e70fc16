"""Opening media files, and the timeline that all times refer to.

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

COPY_AGAIN = "copy or download the file again"
_FREE_CLOCK = {"mpegts", "mpeg", "vob", "svcd"}
_CUT_OUT_S = 1
_ATTACHED_PICTURE = 1 << 10
_MATRIX_IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open for reading and close again, with errors that name file, cause and remedy.

    Raises:
        InputFailed: it cannot be opened as media.
    """
    name = os.fspath(path)
    size_of(name)
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


def size_of(name: str) -> int:
    """Size of a file in bytes; refuses what is missing, a folder or empty."""
    try:
        stat = os.stat(name)
    except OSError as error:
        raise InputFailed(
            name, error.strerror or "cannot be read", "check the path", error_type=type(error).__name__
        ) from error
    if Path(name).is_dir():
        raise InputFailed(name, "is a folder", "name a file in it", error_type="IsADirectoryError")
    if stat.st_size == 0:
        raise InputRejected("probe", "bytes", 0, 1, "byte", COPY_AGAIN, path=name, reason="the file is empty")
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
        return "truncated: its index (moov) is missing", COPY_AGAIN
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
