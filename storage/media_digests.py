"""What a file shows and what it sounds like, each as a hash of its own: new sound leaves the picture's as it was."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import DubwrightError, InputFailed
from storage.ids import content_id, file_sha256, remembered
from storage.media_limits import check_packets
from storage.media_open import BROKEN, file_size, matrix_of, opened, origin_of, video_stream
from storage.media_stills import is_still

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

NO_TRACK = "0" * 20


def track_digests(path: str | os.PathLike[str], cache: Path | None = None) -> tuple[str, str]:
    """(picture, sound): hashes of the two tracks that are read, 20 hex digits; `NO_TRACK` where there is none.

    They cover all that decides what is decoded and when it is shown: the packets and their presentation times on the
    file's timeline, codec and its header, rotation, shape of pixels, colours. What else is in the file (the other
    track, titles, order in which the tracks are interleaved) does not matter. Only the first frame is decoded.

    Both are made from the file's bytes where it cannot be read to its end. Remembered as by `storage.ids.remembered`.

    Raises:
        InputRejected, InputFailed: empty, missing, or no file.
    """
    file_size(path)
    both = remembered(path, "tracks", _digests, cache)
    return both[:20], both[20:]


def _digests(file: Path) -> str:
    name = os.fspath(file)
    try:
        if is_still(name):
            return content_id("still", file_sha256(file)) + NO_TRACK
        return _of_packets(name)
    except (DubwrightError, *BROKEN):
        whole = file_sha256(file)
        return content_id("picture", whole) + content_id("sound", whole)


def _of_packets(name: str) -> str:
    with opened(name) as container:
        stream = video_stream(container)
        shown = None if stream is None else _shown(container, stream)
    with opened(name) as container:
        picture = video_stream(container)
        sound = next((track for track in container.streams.audio if track.codec_context is not None), None)
        origin = origin_of(container)
        tracks: dict[int, Any] = {}
        if picture is not None:
            tracks[picture.index] = _begun(shown, picture)
        if sound is not None:
            tracks[sound.index] = _begun((sound.codec_context.sample_rate, sound.codec_context.layout.name), sound)
        if not tracks:
            raise InputFailed(name, "no video and no audio in it", error_type="NoTracks")
        counts = dict.fromkeys(tracks, 0)
        for packet in container.demux([stream for stream in (picture, sound) if stream is not None]):
            if packet.size == 0:
                continue
            index = packet.stream_index
            counts[index] += 1
            check_packets(name, counts[index])
            time = None if packet.pts is None else packet.pts * (packet.time_base or Fraction(0)) - origin
            tracks[index].update(f"{time} {int(packet.is_discard)} {packet.size} ".encode())
            tracks[index].update(bytes(packet))
        return "".join(NO_TRACK if one is None else tracks[one.index].hexdigest() for one in (picture, sound))


def _shown(container: InputContainer, stream: VideoStream) -> tuple[Any, ...]:
    """How the packets of the picture are to be seen."""
    stream.thread_count = 1
    frame = next(container.decode(stream), None)
    if frame is None:
        raise InputFailed("", "the video track has no frame", error_type="NoFrames")
    return (
        matrix_of(frame), str(stream.sample_aspect_ratio), str(stream.average_rate), frame.format.name,
        int(frame.colorspace), int(frame.color_range), int(frame.color_primaries), int(frame.color_trc),
    )  # fmt: skip


def _begun(facts: Any, stream: Any) -> Any:
    digest = hashlib.blake2b(digest_size=10)
    header = stream.codec_context.extradata or b""
    digest.update(repr((stream.codec_context.name, facts, len(header))).encode())
    digest.update(header)
    return digest
