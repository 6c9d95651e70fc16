"""What a media file is, found out cheaply and told exactly: its tracks, sizes, rates and times, or what is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from storage.errors import InputFailed, InputRejected
from storage.media_checks import check_index, check_last_keyframe, has_full_index
from storage.media_limits import LIMITS, Limits, check_rate, check_size, check_sound, check_times
from storage.media_open import BROKEN, COPY_AGAIN, file_size, frame_times, matrix_of, opened, origin_of, video_stream
from storage.media_stills import ONE_FRAME, is_still, read_still, still_size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


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
    """An audio track; `start_s` and `duration_s` in timeline seconds.

    sample_format: how samples are stored where they are stored as such (``s16``, ``s24``, ``u8``, ``f32``), else how
    they come out of the decoder (``flt``).
    """

    index: int
    codec: str
    rate: int
    channels: int
    layout: str
    sample_format: str
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
        still: a picture, read as a film of one frame without sound; its rate and duration are none in truth.
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
    still: bool = False


def probe(
    path: str | os.PathLike[str], *, need_video: bool = True, need_audio: bool = False, limits: Limits = LIMITS
) -> MediaInfo:
    """Open a file, read what its tracks are and check that it is whole.

    Whole means: the index points inside the file (mp4, mov) or the packets reach the stated duration (others), and the
    first frame and the one at the last keyframe decode. A video without sound is fine unless `need_audio`.

    Raises:
        InputRejected: empty; no video track though `need_video`; no audio track though `need_audio`; beyond `limits`.
        InputFailed: missing, unreadable, not media, truncated, not decodable, or with times that cannot be.
    """
    name = os.fspath(path)
    size = file_size(name)
    if is_still(name):
        return _still_info(name, size, need_audio, limits)
    with opened(name) as container:
        stream = video_stream(container)
        audio = [track for track in container.streams.audio if track.codec_context is not None]
        if stream is None and not audio:
            cover = " but a cover picture" if container.streams.video else ""
            raise InputFailed(name, f"no video and no audio in it{cover}", "give a video file", error_type="NoTracks")
        if stream is None and need_video:
            raise InputRejected(
                "probe", "video_tracks", 0, 1, "", "give a video file", path=name, reason="sound only, no video track"
            )
        if not audio and need_audio:
            raise InputRejected(
                "probe", "audio_tracks", 0, 1, "", "give the sound as a file of its own", path=name,
                reason="no audio track",
            )  # fmt: skip
        for track in audio:
            check_sound(name, track.codec_context.sample_rate, track.codec_context.layout.nb_channels)
        if stream is not None and stream.codec_context.width and stream.codec_context.height:
            check_size(name, stream.codec_context.width, stream.codec_context.height, limits)
        check_index(name, container, size)
        origin = origin_of(container)
        start = Fraction(container.start_time or 0, 1_000_000) - origin
        info = MediaInfo(
            path=name,
            container=container.format.name,
            bytes=size,
            origin=origin,
            start_s=float(start),
            duration_s=(container.duration or 0) / 1e6,
            video=None if stream is None else _video_info(name, container, stream, origin, limits),
            audio=tuple(_audio_info(track, origin) for track in audio),
            subtitles=tuple(track.codec_context.name for track in container.streams.subtitles),
            chapters=len(container.chapters()),
            metadata=dict(container.metadata),
        )
    if info.duration_s > limits.max_s:
        raise InputRejected(
            "probe", "duration_s", info.duration_s, limits.max_s, "s",
            "raise preprocess.max_source_s or cut the file", path=name,
        )  # fmt: skip
    if stream is not None:
        check_last_keyframe(name)
    return info


def _still_info(name: str, size: int, need_audio: bool, limits: Limits) -> MediaInfo:
    """A picture as a film of one frame. It is decoded once, to know that it is whole."""
    width, height, rotation, bits, kind, mode = still_size(name, limits)
    if need_audio:
        raise InputRejected(
            "probe", "audio_tracks", 0, 1, "", "give the sound as a file of its own", path=name, reason="no audio track"
        )
    read_still(name, limits)
    turned = rotation in (90, 270)
    video = VideoInfo(
        index=0, codec=kind, width=width, height=height, coded_width=height if turned else width,
        coded_height=width if turned else height, fps=ONE_FRAME, variable=False, frames=1, start_s=0.0,
        duration_s=float(1 / ONE_FRAME), time_base=1 / ONE_FRAME, pix_fmt=f"{mode.lower()}:{bits}", sar=Fraction(1),
        rotation=rotation, matrix=None, color_space=2, color_range=2, color_primaries=2, color_trc=2,
    )  # fmt: skip
    return MediaInfo(
        path=name, container=kind, bytes=size, origin=Fraction(0), start_s=0.0, duration_s=video.duration_s,
        video=video, still=True,
    )  # fmt: skip


def _video_info(
    name: str, container: InputContainer, stream: VideoStream, origin: Fraction, limits: Limits
) -> VideoInfo:
    base = stream.time_base or Fraction(1, 90_000)
    stream.thread_count = 1  # one frame is wanted: frame threads would only add delay
    frame = _first_frame(name, container, stream)
    check_size(name, frame.width, frame.height, limits)
    matrix = matrix_of(frame)
    transposed = matrix is not None and matrix[0] == 0 == matrix[4]
    times, end_s, variable = _timing(name, container, stream, base, origin, limits)
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    start = float(stream.start_time * base - origin) if stream.start_time is not None else 0.0
    duration = float(stream.duration * base) if stream.duration else max(0.0, end_s - start)
    if not rate and duration > 0:
        rate = Fraction(times / duration).limit_denominator(1001)
    if times > 1:
        check_rate(name, float(rate), limits)
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
    except BROKEN as error:
        raise InputFailed(
            name, f"the first frame does not decode: {error}", COPY_AGAIN, time_s=0.0, error_type=type(error).__name__
        ) from error
    raise InputFailed(name, "the video track has no frame", COPY_AGAIN, error_type="NoFrames")


def _timing(
    name: str, container: InputContainer, stream: VideoStream, base: Fraction, origin: Fraction, limits: Limits
) -> tuple[int, float, bool]:
    """Number of frames, end (s), and whether the rate varies."""
    if has_full_index(container):
        stamps = np.array([e.timestamp for e in stream.index_entries if not e.is_discard], dtype=np.int64)
        end = float(stamps[-1] * base - origin) if len(stamps) else 0.0
        check_times(name, np.sort(stamps.astype(np.float64)) * float(base) - float(origin), limits)
        return len(stamps), end, _varies(np.diff(stamps))
    times = frame_times(name)
    check_times(name, times, limits)
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
        sample_format=_sample_format(context) if context is not None else "",
        start_s=float(stream.start_time * base - origin) if stream.start_time is not None else 0.0,
        duration_s=float(stream.duration * base) if stream.duration else 0.0,
        language=stream.metadata.get("language", ""),
        default=bool(int(stream.disposition) & 1),
    )


def _sample_format(context: Any) -> str:
    """``pcm_s24le`` → ``s24``; of other codecs what they decode to, whether planar or not."""
    if context.name.startswith("pcm_"):
        return str(context.name.removeprefix("pcm_").removesuffix("le").removesuffix("be"))
    return str(context.format.packed.name) if context.format is not None else ""
