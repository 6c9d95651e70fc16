"""The output of a rewritten video: its picture's encoder, its new sound, and every other track of the input."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error
import numpy as np
from av.video.frame import VideoFrame

from storage.media_carry import Carrier
from storage.media_encoding import Encoding, add_picture
from storage.media_frames import broken_at
from storage.media_open import has_free_clock, origin_of
from storage.media_report import RewriteReport
from storage.media_track import AudioTrack

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_NEVER_REORDERED = 2
_TAGS_OF_THE_MUXER = {"major_brand", "minor_version", "compatible_brands", "encoder"}


@dataclass(frozen=True)
class Clock:
    """How the picture's timestamps are counted.

    Attributes:
        base: seconds per tick of the output; 1 / n.
        scale: ticks of the output per tick of the input.
        origin: container seconds of timeline zero in the input (see `storage.media_open`).
        shift: container seconds by which everything moves back on its way to the output.
        rate: average frame rate.
    """

    base: Fraction
    scale: int
    origin: Fraction
    shift: Fraction
    rate: Fraction

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> Clock:
        """The clock of a track whose time base is known."""
        base, origin = Fraction(stream.time_base or 0), origin_of(container)
        # A free-running clock starts anywhere; written out as it is, the file would begin with hours of nothing.
        shift = origin if has_free_clock(container) else Fraction(0)
        return cls(
            Fraction(1, base.denominator), base.numerator, origin, shift, Fraction(stream.average_rate or 25)
        )  # fmt: skip

    def timeline_s(self, stamp: int) -> float:
        """Timeline seconds of a timestamp of the input, in ticks of the output."""
        return float(stamp * self.base - self.origin)


@dataclass(frozen=True)
class Coding:
    """Settings of the picture's encoder: quality (lower is better), preset, threads."""

    crf: float
    preset: str
    threads: int


class Output:
    """Encodes the picture frame by frame and keeps all other tracks beside it.

    Args:
        name: the input, for errors.
        source: the input, opened; its packets other than the picture's are to be handed to `carry` in order.
        target: the output, before its header is written.
        picture: the input's picture track, and `frame` its first frame.
        metadata: tags to add.
        report: is filled while writing.
    """

    def __init__(
        self,
        name: str,
        source: InputContainer,
        target: OutputContainer,
        picture: VideoStream,
        frame: VideoFrame,
        clock: Clock,
        encoding: Encoding,
        coding: Coding,
        metadata: Mapping[str, str],
        report: RewriteReport,
    ) -> None:
        self._name, self._source, self._target, self._clock = name, source, target, clock
        self._report = report
        target.metadata.update({k: v for k, v in source.metadata.items() if k not in _TAGS_OF_THE_MUXER})
        target.metadata.update(metadata)
        self.stream = add_picture(
            target, picture, frame, encoding, clock.base, clock.rate, crf=coding.crf, preset=coding.preset,
            threads=coding.threads,
        )  # fmt: skip
        self._picture = picture
        self._dub: AudioTrack | None = None
        self._replaced: int | None = None
        self._replaced_end = Fraction(0)
        self._recoded: list[AudioTrack] = []
        self._durations: dict[int, int] = {}
        self._last: VideoFrame | None = None
        self._first_stamp = self._last_stamp = self._last_duration = 0
        self._first_dts: int | None = None
        self._waiting: Packet | None = None

    def add_tracks(
        self, audio: np.ndarray | str | os.PathLike[str] | None, rate: int = 16000, language: str | None = None
    ) -> None:
        """Lay out the tracks beside the picture: the new sound, if any, in the place of the first, then the others."""
        skip, start = {self._picture.index}, self._clock.origin - self._clock.shift
        if audio is not None:
            self._dub = AudioTrack(self._target, audio, rate, start_s=start)
            replaced = next(iter(self._source.streams.audio), None)
            if replaced is not None:
                self._dub.stream.metadata.update(replaced.metadata)
                self._replaced = replaced.index
                skip.add(replaced.index)
            if language:
                self._dub.stream.metadata["language"] = language
        self._carrier = Carrier(self._source, self._target, skip)
        self._carrier.metadata(self._picture, self.stream)
        sounds = [track.index for track in self._source.streams.audio]
        for sound in self._carrier.recoded_sounds:
            again = AudioTrack(self._target, self._name, start_s=start, track=sounds.index(sound.index))
            self._carrier.metadata(sound, again.stream)
            self._recoded.append(again)
        if self._source.chapters():
            self._carrier.chapters(self._clock.shift)
        self._report.dropped = tuple(self._carrier.dropped)

    def carry(self, packet: Packet) -> None:
        """Take a packet of any track but the picture."""
        if packet.stream_index == self._replaced and packet.pts is not None and packet.time_base is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base - self._clock.shift
            self._replaced_end = max(self._replaced_end, end)
        self._carrier.packet(packet, self._clock.shift)

    def write(self, stored: VideoFrame, stamp: int, duration: int) -> None:
        """Encode a frame.

        Args:
            stored: in the format of the encoding; its timestamp is set.
            stamp: when it is shown, and `duration`, for how long (0: not known); ticks of the input's clock as scaled.
        """
        stamp -= round(self._clock.shift / self._clock.base)
        if self._last is not None and stamp <= self._last_stamp:
            stamp = self._last_stamp + 1
            self._report.retimed += 1
        self._send(stored, stamp, duration)

    def finish(self, hold: bool) -> None:
        """Flush everything. With `hold` the last frame is shown again until the new sound ends."""
        base = self._clock.base
        end = self._last_stamp * base + (self._last_duration * base or 1 / self._clock.rate)
        if hold and self._dub is not None:
            end = self._held_from(end, self._dub)
        rest = self.stream.encode(None)
        if self._report.frames <= _NEVER_REORDERED:
            # x265 gives decoding times at random to films that are shorter than the delay for which it makes them.
            for packet in rest:
                packet.dts = packet.pts
        self._mux(rest)
        self._close_picture(round(end / base))
        for track in self._recoded:
            track.finish()
        if self._dub is not None:
            self._dub.finish(float(max(end, self._replaced_end)))
            self._report.audio_cut_s, self._report.audio_silent_s = self._dub.cut_s, self._dub.silent_s

    def _held_from(self, first: Fraction, dub: AudioTrack) -> Fraction:
        """Show the last frame again from `first` (container seconds) on for as long as `dub` sounds; the new end."""
        assert self._last is not None
        base, step, end = self._clock.base, 1 / self._clock.rate, first
        # What is over before half a frame has passed needs none of its own.
        while dub.reaches(float(end + step / 2)):
            self._send(self._last, max(self._last_stamp + 1, round(end / base)), max(1, round(step / base)))
            self._report.held += 1
            end = first + self._report.held * step
        self._report.held_s = float(end - first)
        return end

    def _send(self, stored: VideoFrame, stamp: int, duration: int) -> None:
        base = self._clock.base
        if self._last is None:
            self._first_stamp = stamp
        self._last, self._last_stamp, self._last_duration = stored, stamp, duration
        stored.pts, stored.time_base = stamp, base
        stored.pict_type = 0  # otherwise x264 repeats the input's choice of frame types
        if duration:
            self._durations[stamp] = duration
        try:
            self._mux(self.stream.encode(stored))
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise broken_at(self._name, float(stamp * base), error) from error
        self._report.frames += 1
        for track in (*self._recoded, *([] if self._dub is None else [self._dub])):
            track.advance(float(stamp * base))

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0) if packet.pts is not None else 0
            if duration:
                packet.duration = duration
            if self._first_dts is None:
                self._first_dts = packet.dts
            if self._waiting is not None:
                self._target.mux(self._waiting)
            self._waiting = packet

    def _close_picture(self, end: int) -> None:
        """Write the last packet so that the track ends at `end` (ticks): MP4 has no other durations than the distances
        of decoding times, which end earlier than what is shown where the rate varies and frames are reordered."""
        last = self._waiting
        assert last is not None
        if self._target.format.name != "matroska" and self._first_dts is not None and last.dts is not None:
            duration = end - self._first_stamp - (last.dts - self._first_dts)
            last.duration = duration if duration > 0 else last.duration
        self._target.mux(last)
