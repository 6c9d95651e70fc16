"""Tracks that go from one container to another as they are, or are dropped by name."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_TAGS_OF_THE_MUXER = {"encoder", "duration", "vendor_id"}
_NO_STYLES = b"[Script Info]\r\n\r\n[Events]\r\n"
_TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"}


class Carrier:
    """Copies every track of `source` except those in `skip`; text subtitles change their coding where they must.

    `dropped` says in words which tracks `target`'s container cannot hold; `recoded_sounds` are sound tracks in a coding
    that it does not take, which are to be encoded again.
    """

    def __init__(self, source: InputContainer, target: OutputContainer, skip: set[int]) -> None:
        self._source, self._target = source, target
        self._tracks: dict[int, Stream] = {}
        self._recoded: dict[int, Any] = {}
        self._matroska = target.format.name == "matroska"
        self.dropped: list[str] = []
        self.recoded_sounds: list[Stream] = []
        for stream in source.streams:
            if stream.index not in skip:
                self._add(stream)

    def metadata(self, source: Stream, target: Stream) -> None:
        """Tags and dispositions of one track to another."""
        target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _TAGS_OF_THE_MUXER})
        target.disposition = source.disposition

    def chapters(self, shift: Fraction) -> None:
        """Chapters of the source, moved back by `shift` seconds."""
        self._target.set_chapters(
            [
                {
                    **chapter,
                    "start": chapter["start"] - round(shift / (chapter["time_base"] or Fraction(1, 1000))),
                    "end": chapter["end"] - round(shift / (chapter["time_base"] or Fraction(1, 1000))),
                }
                for chapter in self._source.chapters()
            ]
        )

    def packet(self, packet: Packet, shift: Fraction) -> None:
        """Pass one packet on, moved back by `shift` seconds; packets of dropped tracks end here."""
        index = packet.stream_index
        target = self._tracks.get(index)
        if target is None or packet.size == 0 or (packet.dts is None and packet.pts is None):
            return
        base = packet.time_base or Fraction(1, 90_000)
        if index in self._recoded:
            self._recode(packet, shift, base)
            return
        ticks = round(shift / base)
        if packet.pts is not None:
            packet.pts -= ticks
        if packet.dts is not None:
            packet.dts -= ticks
        # Matroska cannot hold times before zero and would move every track of the file instead; what lies there is an
        # encoder's priming, which nobody hears.
        if self._matroska and packet.pts is not None and packet.pts < 0:
            return
        packet.stream = target
        self._target.mux(packet)

    def _add(self, stream: Stream) -> None:
        context = stream.codec_context
        name = context.name if context is not None else stream.type
        mp4 = "mp4" in self._source.format.name or "mov" in self._source.format.name
        if stream.type == "data" and mp4:
            return  # chapter titles and time codes: the muxer makes these tracks again from chapters and tags
        try:
            if stream.type in ("attachment", "data", "unknown") and not self._matroska:
                raise ValueError("no codec to ask the container about; only Matroska takes such tracks as they are")
            target: Stream = self._target.add_stream_from_template(stream)
        except (ValueError, av.error.FFmpegError):
            if stream.type == "subtitle" and name in _TEXT_SUBTITLES and self._recodable(stream):
                return
            if stream.type == "audio":
                self.recoded_sounds.append(stream)
                return
            self.dropped.append(f"{stream.type} track {stream.index} ({name})")
            return
        self._keep(stream, target)

    def _keep(self, stream: Stream, target: Stream) -> None:
        self._tracks[stream.index] = target
        if stream.type != "attachment":
            self.metadata(stream, target)

    def _recodable(self, stream: Stream) -> bool:
        """Text subtitles in a coding that the container does not take become its own text coding."""
        coding = "mov_text" if self._target.format.name in ("mp4", "mov") else "subrip"
        try:
            target = self._target.add_stream(coding)
        except ValueError:
            return False
        decoder: Any = stream.codec_context
        encoder: Any = target.codec_context
        if not decoder.is_open:
            decoder.open()
        encoder.subtitle_header = decoder.subtitle_header or _NO_STYLES
        encoder.time_base = Fraction(1, 1000)
        self._recoded[stream.index] = (decoder, encoder)
        self._keep(stream, target)
        return True

    def _recode(self, packet: Packet, shift: Fraction, base: Fraction) -> None:
        decoder, encoder = self._recoded[packet.stream_index]
        subtitle = decoder.decode2(packet)
        if subtitle is None or packet.pts is None:
            return
        made = encoder.encode_subtitle(subtitle)
        made.time_base = Fraction(1, 1000)
        made.pts = made.dts = round((packet.pts * base - shift) * 1000)
        made.duration = round((packet.duration or 0) * base * 1000)
        made.stream = self._tracks[packet.stream_index]
        self._target.mux(made)
