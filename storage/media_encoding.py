"""How a picture is to be encoded so that it comes out as it came in, or why it cannot be.

H.264 for 8 bits, HEVC for 10 and 12: 10-bit H.264 is decoded by next to no device, and is used only for interlaced
pictures, which HEVC cannot hold as such. Depth, chroma sampling, size, colour tags, range, field order and static HDR
metadata are the source's; what H.264 and HEVC have no place for is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from av.codec.context import Flags
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from storage.errors import InputRejected
from storage.media_frames import decoded
from storage.media_hdr import light_level, mastering_display, per_scene
from storage.media_open import opened, video_stream
from storage.media_planes import Converter
from storage.media_siting import chroma_location

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import OutputContainer

MOST_BITS = 12
_RE_ENCODE = "convert it first, for example with ffmpeg"
_SCANNED_IN_FIELDS, _BOTTOM_FIRST = (2, 3, 4, 5), (3, 4)  # AVFieldOrder
_RGB, _NOT_SPECIFIED, _PQ = 0, 2, 16
_USUAL_CHROMA = "left"  # what is meant where nothing is said
_DOLBY_VISION = ("dvh1", "dvhe", "dav1")
_MATRIX_NAMES = {
    8: "YCgCo", 11: "YDzDx", 12: "chroma-derived", 13: "chroma-derived", 14: "ICtCp", 15: "IPT-PQ-C2", 16: "YCgCo-Re",
    17: "YCgCo-Ro",
}  # fmt: skip
# Measured in RGB against the decoded input: with these bounds even pure noise keeps 40 dB and ordinary footage about
# 46. Chroma errors weigh double in RGB, so chroma is quantised more finely than the encoders do on their own.
_X264_PARAMS = {"chroma-qp-offset": "-8", "aq-mode": "0"}
_X265_PARAMS = {
    "cbqpoffs": "-8", "crqpoffs": "-8", "aq-mode": "0", "log-level": "none", "info": "0", "frame-threads": "1",
    "open-gop": "0",
}  # fmt: skip
# x265's ultrafast takes twice as long as x264's veryfast and writes less; its veryfast takes six times as long.
_FAST = ("ultrafast", "superfast", "veryfast")
_MOST_QUANTISED, _MOST_QUANTISED_FINE, _MOST_QUANTISED_TWICE = 18, 16, 14  # of 8 bits; of HEVC and 4:4:4; of RGB


@dataclass(frozen=True)
class Encoding:
    """What `encoding_of` decided.

    Attributes:
        codec: ``libx264`` or ``libx265``.
        pix_fmt: what frames are given to the encoder in.
        interlaced: the frames are two fields each.
        most_quantised: greatest quantiser.
        params: options of the encoder itself.
        chroma: where colour samples lie, as `storage.media_siting` tells.
        notes: what differs from the source, for people; empty for ordinary footage.
    """

    codec: str
    pix_fmt: str
    interlaced: bool
    most_quantised: int
    params: dict[str, str]
    chroma: str | None = None
    notes: tuple[str, ...] = ()


def encoding_of(name: str, stream: VideoStream, frame: VideoFrame) -> Encoding:
    """The encoding for a track, from its first frame.

    Raises:
        InputRejected: more than 12 bits a channel (10 where interlaced), a colour matrix that cannot be read, or
            transparency that its decoder does not give. Other transparency is looked for with `check_opaque`.
    """
    stored, bits = frame.format, bits_of(frame.format)
    interlaced = bool(frame.interlaced_frame) or stream.codec_context.field_order in _SCANNED_IN_FIELDS
    most = 10 if interlaced else MOST_BITS
    if bits > most:
        kind = "interlaced picture" if interlaced else "picture"
        raise InputRejected(
            "decode", "bits", bits, most, "bit", f"{_RE_ENCODE}, to at most {most} bits", path=name,
            reason=f"its {kind} has {bits} bits a channel ({stored.name}), which no output coding keeps",
        )  # fmt: skip
    matrix = int(frame.colorspace)
    if not stored.is_rgb and matrix in _MATRIX_NAMES:
        raise InputRejected(
            "decode", "color_space", matrix, 1, "", f"{_RE_ENCODE}, to BT.709 or BT.2020", path=name,
            reason=f"its colours are coded as {_MATRIX_NAMES[matrix]}, which cannot be read as a picture",
        )  # fmt: skip
    if stream.codec_context.codec_tag in _DOLBY_VISION and int(frame.color_trc) == _NOT_SPECIFIED:
        raise InputRejected(
            "decode", "color_trc", _NOT_SPECIFIED, _PQ, "", "make an HDR10 version of it first", path=name,
            reason="its Dolby Vision picture has no colours without metadata that no encoder here writes",
        )  # fmt: skip
    if stream.metadata.get("alpha_mode") == "1":
        raise transparent(name)
    pix_fmt = encodable(stored.name, frame.width, frame.height)
    hevc = bits > 8 and not interlaced
    params = dict(_X265_PARAMS if hevc else _X264_PARAMS)
    if interlaced:
        order = stream.codec_context.field_order
        # DV of standard definition has no place to say so.
        bottom_first = order in _BOTTOM_FIRST or (order == 0 and stream.codec_context.name == "dvvideo")
        params["bff" if bottom_first else "tff"] = "1"
    mastering, light = mastering_display(frame), light_level(frame)
    if mastering:
        params["master-display" if hevc else "mastering-display"] = mastering
    if light:
        params["max-cll" if hevc else "cll"] = light
    siting = chroma_location(name, frame) if "420" in pix_fmt else None
    most = _MOST_QUANTISED_FINE if hevc or "444" in pix_fmt else _MOST_QUANTISED
    notes = [f"not carried over: {kind}" for kind in per_scene(frame)]
    if stored.is_rgb or stored.has_palette:
        notes.append(f"its RGB picture is stored as {pix_fmt}")
        most = _MOST_QUANTISED_TWICE
    elif _sampling(VideoFormat(pix_fmt)) != _sampling(stored) and len(stored.components) >= 3:
        why = " because of its odd size" if (frame.width % 2 or frame.height % 2) else ""
        notes.append(f"its {stored.name} picture is stored as {pix_fmt}{why}")
        most = _MOST_QUANTISED_TWICE
    return Encoding("libx265" if hevc else "libx264", pix_fmt, interlaced, most, params, siting, tuple(notes))


def check_encodable(path: str | os.PathLike[str]) -> None:
    """Refuse a video whose picture cannot come out as it is, by its first frame: before any work is put into it.

    Raises:
        InputRejected: as `encoding_of` and `check_opaque` do.
        InputFailed: it breaks at its first frame.
    """
    name = os.fspath(path)
    with opened(name) as container:
        stream = video_stream(container)
        frame = None if stream is None else next(decoded(name, container, stream, 1), None)
        if stream is not None and frame is not None:
            encoding_of(name, stream, frame[0])
            check_opaque(name, frame[0], 0.0)


def add_picture(
    output: OutputContainer,
    source: VideoStream,
    frame: VideoFrame,
    encoding: Encoding,
    base: Fraction,
    rate: Fraction,
    *,
    crf: float,
    preset: str,
    threads: int,
) -> VideoStream:
    """Add the encoder's track to a container, tagged as `frame` of `source` is.

    Args:
        base: time base of the timestamps that will be given.
        rate: nominal frame rate.
        crf, preset: of x264; x265's nearest in time is taken.
    """
    hevc = encoding.codec == "libx265"
    params, most = dict(encoding.params), str(encoding.most_quantised)
    options = {"preset": preset, "crf": f"{crf:g}"}
    if hevc:
        options["preset"] = "ultrafast" if preset in _FAST else preset
        params |= {"qpmax": most, "pools": str(threads)}
        options |= {"a53cc": "1", "x265-params": _joined(params)}
    else:
        options |= {"qmax": most, "x264-params": _joined(params)}
    if encoding.chroma is not None and encoding.chroma != _USUAL_CHROMA:
        options["chroma_sample_location"] = encoding.chroma
    stream = output.add_stream(encoding.codec, rate=rate, time_base=base, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = frame.width, frame.height
    stream.pix_fmt = encoding.pix_fmt
    context = stream.codec_context
    context.time_base, context.thread_count = base, threads
    if hevc and output.format.name != "matroska":
        context.codec_tag = "hvc1"  # players of one maker take no other
    if encoding.interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    if source.sample_aspect_ratio:
        context.sample_aspect_ratio = source.sample_aspect_ratio
    sample = Converter().planar(frame, encoding.pix_fmt)
    from_rgb = frame.format.is_rgb or int(frame.colorspace) == _RGB
    context.color_range = int(sample.color_range)
    context.colorspace = int(sample.colorspace if from_rgb else frame.colorspace)
    context.color_primaries, context.color_trc = int(frame.color_primaries), int(frame.color_trc)
    return stream


def encodable(pix_fmt: str, width: int, height: int) -> str:
    """The planar format to encode a track of `pix_fmt` in: the same sampling and depth, or the nearest above.

    RGB becomes 4:4:4; so does what is subsampled where its side is odd, because H.264 and HEVC cannot crop to an odd
    size there.
    """
    stored, bits = VideoFormat(pix_fmt), bits_of(VideoFormat(pix_fmt))
    wide, high = _sampling(stored)
    if stored.is_rgb or stored.has_palette or wide == 1:
        chosen = "444"
    else:
        chosen = "422" if high == 1 else "420"
    if (width % 2 and chosen != "444") or (height % 2 and chosen == "420"):
        chosen = "444"
    full = "j" if pix_fmt.startswith("yuvj") else ""
    return f"yuv{full}{chosen}p" + ("" if bits <= 8 else "10le" if bits <= 10 else "12le")


def bits_of(stored: VideoFormat) -> int:
    """Bits of the deepest channel."""
    return max((component.bits for component in stored.components), default=8)


def has_alpha(stored: VideoFormat) -> bool:
    """Whether the format has a channel for transparency."""
    return any(component.is_alpha for component in stored.components)


def check_opaque(name: str, frame: VideoFrame, time_s: float) -> None:
    """Refuse a frame that one can see through; the channel alone does no harm.

    Raises:
        InputRejected: it is not opaque everywhere.
    """
    if has_alpha(frame.format) and int(frame.reformat(format="rgba", threads=1).to_ndarray()[..., 3].min()) < 255:
        raise transparent(name, time_s)


def transparent(name: str, time_s: float = 0.0) -> InputRejected:
    """The refusal of a picture with transparency."""
    return InputRejected(
        "decode", "alpha", 1, 0, "", "put it on a background first", path=name,
        reason=f"its picture is transparent in places (at {time_s:g} s), which no output coding keeps",
    )  # fmt: skip


def _sampling(stored: VideoFormat) -> tuple[int, int]:
    """How many luma pixels share a chroma pixel, across and down; without chroma as in 4:2:0, where grey costs
    least."""
    if sum(not component.is_alpha for component in stored.components) < 3 and not stored.has_palette:
        return 2, 2
    return 64 // stored.chroma_width(64), 64 // stored.chroma_height(64)


def _joined(params: dict[str, str]) -> str:
    return ":".join(f"{key}={value}" for key, value in params.items())
