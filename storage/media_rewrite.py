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
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import av
import numpy as np
from av.video.frame import VideoFrame

from storage.atomic import written_aside
from storage.errors import InputFailed, InputRejected, UsageError
from storage.media_encoding import check_opaque, encoding_of
from storage.media_frames import decoded
from storage.media_open import matrix_of, opened, video_stream
from storage.media_output import Clock, Coding, Output
from storage.media_planes import Converter, Orientation, apply_change
from storage.media_report import RewriteReport
from storage.media_write import ENCODE_THREADS, SealFunction, container_options, format_of, sealed

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

FrameFunction = Callable[[int, float, np.ndarray], np.ndarray | None]
WhenLonger = Literal["cut", "hold"]

_MAX_TIMESCALE = (1 << 31) - 1


def rewrite_video(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    frame_fn: FrameFunction | None,
    *,
    audio: np.ndarray | str | os.PathLike[str] | None = None,
    audio_rate: int = 16000,
    metadata: Mapping[str, str] | None = None,
    audio_language: str | None = None,
    when_longer: WhenLonger = "cut",
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
        when_longer=when_longer, crf=crf, preset=preset, threads=threads,
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
            first sound track, with its zero at timeline zero. Where it is shorter than the film (the picture and the
            sound that it replaces), silence follows. None keeps the sound that is there.
        metadata: tags to add to those of `source`.
        audio_language: three-letter code for the new sound; None keeps the replaced track's.
        when_longer: what gives way where the new sound is longer than the film. ``cut``: the sound, which ends with the
            film. ``hold``: the picture, whose last frame is shown again, at the film's own rate, until the sound ends;
            nothing else changes, so sound and picture never drift apart.
        crf, preset: of x264; x265's nearest in time is taken.
        seal: signs the file before it appears, e.g. `storage.signing.Seal.seal`.

    Raises:
        InputRejected, InputFailed: `source` has no video, breaks, or is something that does not come out as it went in
            (see `storage.media_encoding`); the error says where.
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
        when_longer: WhenLonger = "cut",
        crf: float = 18,
        preset: str = "veryfast",
        threads: int = ENCODE_THREADS,
        seal: SealFunction | None = None,
    ) -> None:
        self._name, self._out = os.fspath(source), Path(out)
        if self._out.exists() and self._out.samefile(self._name):
            raise UsageError(f"{self._out}: is the input itself", "name another output: inputs are never changed")
        format_of(self._out)
        self._sound = (audio, audio_rate, audio_language)
        self._metadata, self._hold = dict(metadata or {}), when_longer == "hold"
        self._coding = Coding(crf, preset, threads)
        self._seal = seal
        self._stack = contextlib.ExitStack()
        self._pending: deque[tuple[int, VideoFrame, int, np.ndarray | None]] = deque()
        self._boxes: list[tuple[int, int, int, int]] = []
        self._output: Output | None = None
        self._converter = Converter()
        self.report = RewriteReport(path=self._out)

    def __enter__(self) -> VideoRewriter:
        try:
            self._input: InputContainer = self._stack.enter_context(opened(self._name))
            stream = video_stream(self._input)
            if stream is None or stream.time_base is None:
                raise InputRejected("decode", "video_tracks", 0, 1, path=self._name, reason="no video track")
            self._stream = stream
            self._clock = Clock.of(self._input, stream)
            partial = self._stack.enter_context(written_aside(self._out))
            self._stack.enter_context(sealed(partial, self._out, self._seal))
            timescale = self._clock.base.denominator
            while timescale < 1000:
                timescale *= 2
            options = container_options(
                self._out,
                **({"video_track_timescale": str(timescale), "movie_timescale": str(timescale)}
                   if timescale <= _MAX_TIMESCALE else {}),
            )  # fmt: skip
            self._target: OutputContainer = self._stack.enter_context(
                av.open(str(partial), "w", format=format_of(self._out), container_options=options)
            )
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
            yield index, self._clock.timeline_s(stamp), rgb

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
        for index, (frame, ticks) in enumerate(decoded(self._name, self._input, self._stream, others=others)):
            stamp = ticks * self._clock.scale
            if self._output is None:
                self._output = self._start(frame)
            if (frame.width, frame.height) != self._size:
                raise InputFailed(
                    self._name, f"its picture changes size from {self._size} to {(frame.width, frame.height)}",
                    "cut or re-encode it to one size", stage="decode", time_s=self._clock.timeline_s(stamp),
                    error_type="SizeChange",
                )  # fmt: skip
            check_opaque(self._name, frame, self._clock.timeline_s(stamp))
            while others:
                self._output.carry(others.popleft())
            yield index, frame, stamp
        if self._output is None:
            raise InputFailed(self._name, "the video track has no frame", error_type="NoFrames")
        while others:
            self._output.carry(others.popleft())

    def _start(self, frame: VideoFrame) -> Output:
        """Lay out the output from what the first frame shows."""
        matrix = matrix_of(frame)
        self._orientation, self._size = Orientation(matrix), (frame.width, frame.height)
        encoding = encoding_of(self._name, self._stream, frame)
        self._pix_fmt, self.report.notes = encoding.pix_fmt, encoding.notes
        output = Output(
            self._name, self._input, self._target, self._stream, frame, self._clock, encoding, self._coding,
            self._metadata, self.report,
        )  # fmt: skip
        if matrix is not None:
            output.stream.set_display_matrix(matrix)
        output.add_tracks(*self._sound)
        return output

    def _encode(self, frame: VideoFrame, stamp: int, before: np.ndarray | None, after: np.ndarray | None) -> None:
        assert self._output is not None
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
        self._output.write(stored, stamp, (frame.duration or 0) * self._clock.scale)

    def _finish(self) -> None:
        while self._pending:
            self.write(self._pending[-1][0], None)
        for _, frame, stamp in self._source:
            self._encode(frame, stamp, None, None)
        assert self._output is not None
        self._output.finish(self._hold)
        self._target.close()
        self._boxes += self._boxes[-1:] * self.report.held
        self.report.boxes = np.array(self._boxes, dtype=np.int32).reshape(-1, 4)
