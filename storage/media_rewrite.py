"""A video again with some of its pixels and its sound changed, and everything else as it was.

Every frame of the input comes out once, at its own timestamp. Frames that are not changed go from the decoder to the
encoder untouched; changed ones keep their planes outside the change (see `storage.media_planes`). The other sound
tracks, subtitles, chapters, tags, rotation, pixel shape and colour tags are carried over.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from storage.atomic import written_aside
from storage.errors import InputFailed, InputRejected, UsageError
from storage.media_carry import Carrier
from storage.media_frames import broken_at, decoded
from storage.media_open import has_free_clock, matrix_of, opened, origin_of, video_stream
from storage.media_planes import Converter, Orientation, apply_change, encodable
from storage.media_write import ENCODE_THREADS, AudioTrack, SealFunction, container_options, format_of, sealed

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

FrameFunction = Callable[[int, float, np.ndarray], np.ndarray | None]

_MAX_TIMESCALE = (1 << 31) - 1
_TAGS_OF_THE_MUXER = {"major_brand", "minor_version", "compatible_brands", "encoder"}
_SOUND_AHEAD_S = 0.5
# Measured in RGB against the decoded input: with this bound even pure noise keeps 40 dB and ordinary footage about 46.
# Chroma errors weigh double in RGB, so chroma is quantised more finely than x264 does on its own.
_X264 = {"qmax": "18", "x264-params": "chroma-qp-offset=-8:aq-mode=0"}


@dataclass
class RewriteReport:
    """What was written.

    Attributes:
        frames: frames in = frames out.
        changed: how many of them were changed.
        boxes: int32 [frames,4], the changed box of each (x0, y0, x1, y1, upright pixels, exclusive); zeros if none.
        retimed: frames whose timestamp repeated the one before and was moved on by one tick.
        dropped: tracks that the output's container cannot hold, in words.
        audio_cut_s: seconds of the given sound after the end of the picture, which were left out.
    """

    path: Path
    frames: int = 0
    changed: int = 0
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int32))
    retimed: int = 0
    dropped: tuple[str, ...] = ()
    audio_cut_s: float = 0.0


def rewrite_video(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    frame_fn: FrameFunction | None,
    *,
    audio: np.ndarray | str | os.PathLike[str] | None = None,
    audio_rate: int = 16000,
    metadata: Mapping[str, str] | None = None,
    audio_language: str | None = None,
    crf: float = 18,
    preset: str = "veryfast",
    threads: int = ENCODE_THREADS,
) -> RewriteReport:
    """Write `source` to `out` with the frames that `frame_fn` changes; see `VideoRewriter` for the arguments.

    Args:
        frame_fn: (index, pts_s, rgb uint8 [H,W,3] upright, read-only) → a changed picture of the same shape, or None
            for "as it is". Without a function only the sound and the tags change.
    """
    with VideoRewriter(
        source, out, audio=audio, audio_rate=audio_rate, metadata=metadata, audio_language=audio_language,
        crf=crf, preset=preset, threads=threads,
    ) as rewriter:  # fmt: skip
        if frame_fn is not None:
            for index, pts_s, rgb in rewriter.frames():
                rewriter.write(index, frame_fn(index, pts_s, rgb))
    return rewriter.report


class VideoRewriter:
    """The same, for callers that look ahead: read some frames, then write them back in order.

    ::

        with VideoRewriter(source, out, audio=track) as rewriter:
            for index, pts_s, rgb in rewriter.frames():
                ...                                   # any number of frames may be read ahead; they are kept in memory
                rewriter.write(index, changed)        # frames skipped over, and those never written, stay as they are

    The output appears, whole, when the block ends without an error; frames not read by then pass through.

    Args:
        source: the video.
        out: .mp4, .m4v, .mov or .mkv.
        audio: the new sound (mono [n] or stereo [2,n] float32 at `audio_rate`, or a file): it takes the place of the
            first sound track, with its zero at timeline zero, cut or padded with silence to the end of `source`. None
            keeps the sound that is there.
        metadata: tags to add to those of `source`.
        audio_language: three-letter code for the new sound; None keeps the replaced track's.
        crf, preset: of x264.
        seal: signs the file before it appears, e.g. `storage.signing.Seal.seal`.

    Raises:
        InputRejected, InputFailed: `source` has no video, or breaks; the error says where.
        UsageError: `out` is `source`, or has a suffix that is not written.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        audio: np.ndarray | str | os.PathLike[str] | None = None,
        audio_rate: int = 16000,
        metadata: Mapping[str, str] | None = None,
        audio_language: str | None = None,
        crf: float = 18,
        preset: str = "veryfast",
        threads: int = ENCODE_THREADS,
        seal: SealFunction | None = None,
    ) -> None:
        self._name, self._out = os.fspath(source), Path(out)
        if self._out.exists() and self._out.samefile(self._name):
            raise UsageError(f"{self._out}: is the input itself", "name another output: inputs are never changed")
        format_of(self._out)
        self._audio, self._audio_rate, self._language = audio, audio_rate, audio_language
        self._metadata = dict(metadata or {})
        self._crf, self._preset, self._threads = crf, preset, threads
        self._seal = seal
        self._stack = contextlib.ExitStack()
        self._pending: deque[tuple[int, VideoFrame, int, np.ndarray | None]] = deque()
        self._boxes: list[tuple[int, int, int, int]] = []
        self._durations: dict[int, int] = {}
        self._encoder: VideoStream | None = None
        self._sounds: list[AudioTrack] = []
        self._last_stamp: int | None = None
        self._converter = Converter()
        self.report = RewriteReport(path=self._out)

    def __enter__(self) -> VideoRewriter:
        try:
            self._input: InputContainer = self._stack.enter_context(opened(self._name))
            stream = video_stream(self._input)
            if stream is None or stream.time_base is None:
                raise InputRejected("decode", "video_tracks", 0, 1, path=self._name, reason="no video track")
            self._stream = stream
            self._origin = origin_of(self._input)
            # A free-running clock starts anywhere; written out as it is, the file would begin with hours of nothing.
            self._shift = self._origin if has_free_clock(self._input) else Fraction(0)
            self._base = Fraction(1, stream.time_base.denominator)
            self._scale = stream.time_base.numerator
            partial = self._stack.enter_context(written_aside(self._out))
            self._stack.enter_context(sealed(partial, self._out, self._seal))
            timescale = self._base.denominator
            while timescale < 1000:
                timescale *= 2
            options = container_options(
                self._out,
                **({"video_track_timescale": str(timescale), "movie_timescale": str(timescale)}
                   if timescale <= _MAX_TIMESCALE else {}),
            )  # fmt: skip
            self._output: OutputContainer = self._stack.enter_context(
                av.open(str(partial), "w", format=format_of(self._out), container_options=options)
            )
            self._output_open = True
            self._source = self._read()
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)

    def frames(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, pts_s, rgb): as `storage.media.iter_frames` over the whole file; rgb is read-only."""
        for index, frame, stamp in self._source:
            rgb = np.ascontiguousarray(self._orientation.upright(self._converter.rgb(frame)))
            rgb.flags.writeable = False
            self._pending.append((index, frame, stamp, rgb))
            yield index, float(stamp * self._base - self._origin), rgb

    def write(self, index: int, rgb: np.ndarray | None) -> None:
        """Give back frame `index` (None: as it is). Frames before it that were not given back pass through.

        Raises:
            ValueError: the frame was not read yet or is already written, or the picture has another shape.
        """
        if not self._pending or not self._pending[0][0] <= index <= self._pending[-1][0]:
            raise ValueError(f"frame {index} is not among those read and not yet written")
        while self._pending:
            at, frame, stamp, before = self._pending.popleft()
            self._encode(frame, stamp, before, rgb if at == index else None)
            if at == index:
                return

    def _read(self) -> Iterator[tuple[int, VideoFrame, int]]:
        """Decode the picture; on the way the packets of all other tracks go straight to the output."""
        others: deque[Packet] = deque()
        for index, (frame, stamp) in enumerate(decoded(self._name, self._input, self._stream, others=others)):
            if self._encoder is None:
                self._start(frame)
            if (frame.width, frame.height) != self._size:
                time_s = float(stamp * self._scale * self._base - self._origin)
                raise InputFailed(
                    self._name, f"its picture changes size from {self._size} to {(frame.width, frame.height)}",
                    "cut or re-encode it to one size", stage="decode", time_s=time_s, error_type="SizeChange",
                )  # fmt: skip
            self._carry(others)
            yield index, frame, stamp * self._scale
        if self._encoder is None:
            raise InputFailed(self._name, "the video track has no frame", error_type="NoFrames")
        self._carry(others)

    def _start(self, frame: VideoFrame) -> None:
        """Lay out the output from what the first frame shows: the picture, the sound, then the other tracks."""
        matrix = matrix_of(frame)
        self._orientation = Orientation(matrix)
        self._size = (frame.width, frame.height)
        self._pix_fmt = encodable(frame.format.name, frame.width, frame.height)
        source, out = self._stream, self._output
        out.metadata.update({k: v for k, v in self._input.metadata.items() if k not in _TAGS_OF_THE_MUXER})
        out.metadata.update(self._metadata)

        stream = out.add_stream(
            "libx264", rate=source.average_rate or Fraction(25), time_base=self._base,
            options={"preset": self._preset, "crf": str(self._crf), **_X264},
        )  # fmt: skip
        stream.width, stream.height = self._size
        stream.pix_fmt = self._pix_fmt
        stream.codec_context.time_base = self._base
        stream.codec_context.thread_count = self._threads
        if source.sample_aspect_ratio:
            stream.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
        sample = self._converter.planar(frame, self._pix_fmt)
        stream.codec_context.color_range = int(sample.color_range)
        from_rgb = frame.format.is_rgb or int(frame.colorspace) == 0
        stream.codec_context.colorspace = int(sample.colorspace if from_rgb else frame.colorspace)
        stream.codec_context.color_primaries = int(frame.color_primaries)
        stream.codec_context.color_trc = int(frame.color_trc)
        if matrix is not None:
            if format_of(self._out) == "matroska":
                raise UsageError(f"{self._out}: mkv output cannot hold the picture's rotation", "write .mp4 or .mov")
            stream.set_display_matrix(matrix)
        self._encoder = stream

        replaced = next(iter(self._input.streams.audio), None) if self._audio is not None else None
        start = self._origin - self._shift
        if self._audio is not None:
            end = Fraction((self._input.start_time or 0) + (self._input.duration or 0), 1_000_000) - self._origin
            track = AudioTrack(out, self._audio, self._audio_rate, start_s=start, duration_s=float(end))
            if replaced is not None:
                track.stream.metadata.update(replaced.metadata)
            if self._language:
                track.stream.metadata["language"] = self._language
            self._sounds.append(track)
        self._carrier = Carrier(self._input, out, skip={source.index} | ({replaced.index} if replaced else set()))
        self._carrier.metadata(source, stream)
        for sound in self._carrier.recoded_sounds:
            number = [track.index for track in self._input.streams.audio].index(sound.index)
            again = AudioTrack(out, self._name, start_s=start, track=number)
            self._carrier.metadata(sound, again.stream)
            self._sounds.append(again)
        if self._input.chapters():
            self._carrier.chapters(self._shift)
        self.report.dropped = tuple(self._carrier.dropped)

    def _carry(self, packets: deque[Packet]) -> None:
        while packets:
            self._carrier.packet(packets.popleft(), self._shift)

    def _encode(self, frame: VideoFrame, stamp: int, before: np.ndarray | None, after: np.ndarray | None) -> None:
        assert self._encoder is not None
        stored = self._converter.planar(frame, self._pix_fmt)
        box = (0, 0, 0, 0)
        if after is not None and before is not None and after is not before:
            if after.shape != before.shape or after.dtype != np.uint8:
                raise ValueError(f"the changed frame is {after.dtype}{after.shape}, not uint8{before.shape}")
            turn = self._orientation
            found = apply_change(
                stored, np.ascontiguousarray(turn.stored(before)), np.ascontiguousarray(turn.stored(after))
            )
            if found is not None:
                box = turn.upright_box(found, self._size)
                self.report.changed += 1
        self._boxes.append(box)

        stamp -= round(self._shift / self._base)
        if self._last_stamp is not None and stamp <= self._last_stamp:
            stamp = self._last_stamp + 1
            self.report.retimed += 1
        self._last_stamp = stamp
        stored.pts, stored.time_base = stamp, self._base
        stored.pict_type = 0  # otherwise x264 repeats the input's choice of frame types
        if frame.duration:
            self._durations[stamp] = frame.duration * self._scale
        try:
            self._mux(self._encoder.encode(stored))
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise broken_at(self._name, float(stamp * self._base), error) from error
        self.report.frames += 1
        for track in self._sounds:
            track.advance(float(stamp * self._base) + _SOUND_AHEAD_S)

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0) if packet.pts is not None else 0
            if duration:
                packet.duration = duration
            self._output.mux(packet)

    def _finish(self) -> None:
        while self._pending:
            self.write(self._pending[-1][0], None)
        for _, frame, stamp in self._source:
            self._encode(frame, stamp, None, None)
        assert self._encoder is not None
        self._mux(self._encoder.encode(None))
        for track in self._sounds:
            track.finish()
            self.report.audio_cut_s += track.cut_s
        self._output.close()
        self.report.boxes = np.array(self._boxes, dtype=np.int32).reshape(-1, 4)
