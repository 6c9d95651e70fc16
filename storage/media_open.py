"""Opening media files, and the timeline that all times refer to.

Time in the project is **timeline seconds**: presentation timestamps of the container, as ffprobe prints them, so a
picture that starts 0.852 s late starts at 0.852. Only where the container as a whole starts a second or more after its
zero (a free-running clock as in MPEG transport streams, or a piece cut out of something longer) its start is subtracted
(`MediaInfo.origin`). A dub track's own zero is put at timeline zero: that is where an ordinary player begins.
"""

from __future__ import annotations

import functools
import os
import stat
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
from storage.media_limits import MAX_STREAMS, MOST_PIXELS, Limits, check_packets, check_size
from storage.media_stills import is_still

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

av.logging.set_level(None)  # libav writes its warnings to standard error past Python; errors arrive as exceptions

COPY_AGAIN = "copy or download the file again"
ANIMATE = "make it speak with `dubwright animate`"
BROKEN = (av.error.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError, RuntimeError, EOFError)
"""What libav's troubles with a file come out of PyAV as."""
_FREE_CLOCK = {"mpegts", "mpeg", "vob", "svcd"}
_CUT_OUT_S = 1
_ATTACHED_PICTURE = 1 << 10
_MATRIX_IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_QUARTER_TURNS = (
    None, (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30), (-(1 << 16), 0, 0, 0, -(1 << 16), 0, 0, 0, 1 << 30),
    (0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 0, 1 << 30),
)  # fmt: skip
_SILENT_FOR_S = 60.0  # a disk or share that gives nothing for so long is gone
# Only what holds films and sound: lists that lead to other files or hosts (HLS, concat) and formats that are guessed
# from next to nothing are none.
_DEMUXERS = (
    "mov", "matroska", "avi", "flv", "mpegts", "mpeg", "mpegvideo", "m4v", "asf", "mxf", "dv", "ivf", "nut", "rm",
    "yuv4mpegpipe", "gif", "wav", "w64", "mp3", "flac", "aac", "ogg", "aiff", "caf", "au", "ac3", "eac3", "amr",
)  # fmt: skip
_OPTIONS = {
    "format_whitelist": ",".join(_DEMUXERS), "protocol_whitelist": "file", "max_streams": str(MAX_STREAMS),
    "max_pixels": str(MOST_PIXELS),
}  # fmt: skip


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open for reading and close again, with errors that name file, cause and remedy.

    Raises:
        InputRejected: empty, a still picture, or a picture of too many pixels.
        InputFailed: it cannot be opened as media.
    """
    name = os.fspath(path)
    file_size(name)
    if is_still(name):
        raise InputRejected(
            "probe", "frames", 1, 2, "", ANIMATE, path=name, reason="a still picture has no motion and no sound"
        )
    _check_riff(name)
    try:
        # A track's tags may be in any encoding; a wrong letter in a title is no reason to refuse the picture. The
        # scheme keeps names with a colon from being taken for addresses.
        container = av.open(
            f"file:{name}", metadata_errors="replace", options=_OPTIONS, timeout=(_SILENT_FOR_S, _SILENT_FOR_S)
        )
    except BROKEN as error:
        cause, remedy = _why_not_opened(Path(name), error)
        raise InputFailed(name, cause, remedy, error_type=type(error).__name__) from error
    with container:
        for stream in container.streams.video:
            context = stream.codec_context
            if context is not None:
                if context.width > 0 and context.height > 0:
                    check_size(name, context.width, context.height, Limits(MOST_PIXELS))
                context.options = {"max_pixels": _OPTIONS["max_pixels"]}
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
    name = os.fspath(path)
    file_size(name)
    if is_still(name):
        return np.zeros(1)
    found = os.stat(name)
    return _frame_times(name, found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _frame_times(name: str, inode: int, size: int, mtime: int) -> np.ndarray:
    with opened(name) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            return np.zeros(0)
        origin, base = origin_of(container), stream.time_base
        rate = stream.average_rate or Fraction(25)
        times: list[float] = []
        try:
            for number, packet in enumerate(container.demux(stream)):
                if packet.size == 0 or packet.is_discard:
                    continue
                stamp = packet.pts if packet.pts is not None else packet.dts
                times.append(float(stamp * base - origin) if stamp is not None else float(number / rate))
                check_packets(name, len(times))
        except BROKEN as error:
            raise InputFailed(
                name, f"cannot be read on: {error}", COPY_AGAIN, time_s=times[-1] if times else 0.0,
                error_type=type(error).__name__,
            ) from error  # fmt: skip
    result = np.sort(np.array(times, dtype=np.float64))
    result.flags.writeable = False
    return result


def matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Display matrix of a decoded frame, None where it is the identity or missing."""
    try:
        entry = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # a kind of side data that PyAV does not know (EXIF): it then gives none of the others either
        turns = round(-frame.rotation / 90) % 4
        return _QUARTER_TURNS[turns]
    if not isinstance(entry, SideData):
        return None
    matrix = tuple(int(value) for value in np.frombuffer(bytes(entry), dtype=np.int32)[:9])
    return None if matrix == _MATRIX_IDENTITY else matrix


def file_size(path: str | os.PathLike[str]) -> int:
    """Size of a file in bytes. Never blocks: what is no regular file (a pipe, a device) is not opened.

    Raises:
        InputRejected: empty.
        InputFailed: missing, a folder, no regular file, or not readable.
    """
    name = os.fspath(path)
    try:
        found = os.stat(name)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or f"cannot be read ({error})"
        raise InputFailed(name, cause, "check the path", error_type=type(error).__name__) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputFailed(name, "is a folder", "name a file in it", error_type="IsADirectoryError")
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise InputFailed(name, f"is no file but {kind}", "copy what it gives into a file", error_type="NotAFile")
    if not os.access(name, os.R_OK):
        raise InputFailed(name, "may not be read", "change its permissions", error_type="PermissionError")
    if found.st_size == 0:
        raise InputRejected("probe", "bytes", 0, 1, "byte", COPY_AGAIN, path=name, reason="the file is empty")
    return found.st_size


_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def _why_not_opened(path: Path, error: BaseException) -> tuple[str, str]:
    if isinstance(error, PermissionError):
        return "may not be read", "change its permissions"
    if isinstance(error, MemoryError):
        return f"has more than {MAX_STREAMS} tracks, or asks for more memory than there is", "re-encode the file"
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


def _check_riff(name: str) -> None:
    """Refuse WAV and AVI files with a header that claims to be longer than the file: libav makes room for it first,
    up to two gigabytes."""
    with open(name, "rb") as stream:
        size, at = os.fstat(stream.fileno()).st_size, 12
        if stream.read(4) not in (b"RIFF", b"RIFX", b"RF64"):
            return
        for _ in range(_MOST_CHUNKS):
            stream.seek(at)
            kind, claim, inside = stream.read(4), int.from_bytes(stream.read(4), "little"), stream.read(4)
            named = kind.strip().isalnum()  # no name: a writer that does not fill up odd chunks; libav finds its way
            if len(inside) < 4 or kind == b"data" or inside == b"movi" or not named:
                return
            if kind != b"LIST" and claim > _LARGE_HEADER and at + claim > size:
                raise InputFailed(name, "truncated, or broken in its header", COPY_AGAIN, error_type="Truncated")
            at += 12 if kind == b"LIST" else 8 + claim + claim % 2


_MOST_CHUNKS, _LARGE_HEADER = 1000, 1 << 24


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
